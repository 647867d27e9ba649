//! `cargo xtask crds`: writes `deploy/crds/*.yaml`, the CustomResourceDefinitions to install, from the Rust types.
//!
//! Invariant: what lies there is what the types say; a test fails when it is not.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rutter_crds::manifest;
use serde_json::Value;

use crate::run;

const HEAD: &str =
    "# Written by `cargo xtask crds` from the types in k8s-sync/crds. Do not edit: change the types.\n";

/// Writes all definitions, and says which.
pub(crate) fn write() -> Result<()> {
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for (name, text) in files()? {
        let path = folder.join(name);
        let before = fs::read_to_string(&path).unwrap_or_default();
        println!("{} {}", if before == text { "unchanged" } else { "written  " }, path.display());
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn folder() -> PathBuf {
    run::root().join("deploy/crds")
}

/// File name and content of every definition.
fn files() -> Result<Vec<(String, String)>> {
    manifest::installed()
        .into_iter()
        .map(|manifest| {
            let name = manifest["spec"]["names"]["plural"].as_str().context("a definition without a name")?;
            Ok((format!("{name}.yaml"), format!("{HEAD}{}", yaml(&manifest)?)))
        })
        .collect()
}

fn yaml(manifest: &Value) -> Result<String> {
    serde_saphyr::to_string(manifest).context("writing YAML")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deploy_crds_is_what_the_types_say() {
        let mut expected = Vec::new();
        for (name, text) in files().unwrap() {
            let path = folder().join(&name);
            let found = fs::read_to_string(&path).unwrap_or_default();
            assert!(found == text, "{} is stale: run `cargo xtask crds` and commit it", path.display());
            expected.push(name);
        }
        let mut found: Vec<String> = fs::read_dir(folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".yaml"))
            .collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "deploy/crds holds something that no type leads to");
    }

    #[test]
    fn what_is_written_reads_back_as_the_same() {
        for manifest in manifest::installed() {
            let back: Value = serde_saphyr::from_str(&yaml(&manifest).unwrap()).unwrap();
            assert_eq!(back, manifest);
        }
    }
}
