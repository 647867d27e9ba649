//! One text that is no file of a directory: standard input, or a file that somebody asks about.
//!
//! Invariant: it is read and checked exactly as a file of a directory is.

use std::path::Path;

use super::directory::findings_of;
use super::document;
use crate::object::Object;
use crate::report::{Finding, Reason, Report};

/// The objects of a text, and what is wrong with it. `name` is how findings call it.
#[must_use]
pub fn read_text(name: &Path, text: &str) -> (Vec<Object>, Report) {
    let (mut objects, mut report) = (Vec::new(), Report::default());
    match document::read(text) {
        Ok(documents) => {
            for document in documents {
                report.extend(findings_of(name, 0, &document));
                objects.extend(document.object);
            }
        }
        Err(error) => report.add(Finding::at(name, error.line, Reason::Syntax { error: error.text })),
    }
    (objects, report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_what_is_wrong() {
        let text = "apiVersion: cilium.io/v2\nkind: CiliumLoadBalancerIPPool\nmetadata: {name: a}\nspec: {}\n---\n\
                    apiVersion: cilium.io/v2\nkind: CiliumLoadBalancerIPPool\nmetadata: {name: b}\nspec: {blocks: 7}\n";
        let (objects, report) = read_text(Path::new("-"), text);
        assert_eq!(objects.iter().map(Object::name).collect::<Vec<_>>(), ["a"]);
        let said: Vec<String> = report.iter().map(ToString::to_string).collect();
        assert!(said.len() == 1 && said[0].starts_with("-:9: "), "{said:?}");
        let (objects, report) = read_text(Path::new("-"), "a: [");
        assert!(objects.is_empty() && report.iter().count() == 1);
    }
}
