//! Label selectors written as text, as annotations have them: `zone in (a, b), !spot, tier != test, cores > 8`.
//!
//! The grammar is that of Kubernetes' `labels.Parse`. Invariant: what cannot be understood is an error for its caller to
//! report, never a selector that selects too much.

use crate::label_selector::{LabelSelector, LabelSelectorRequirement, SelectorOperator};

/// A label selector that was written as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextSelector {
    labels: LabelSelector,
    bounds: Vec<Bound>,
}

/// A requirement that an object of the API cannot have: the label is a number, and on this side of another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    key: String,
    above: bool,
    number: i64,
}

impl TextSelector {
    /// Reads a selector; nothing if it is none. An empty text selects everything.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut selector = Self::default();
        if text.trim().is_empty() {
            return Some(selector);
        }
        for part in split_requirements(text)?.into_iter().map(str::trim) {
            match part.split_once(['<', '>']).filter(|_| !part.contains('(')) {
                Some((key, number)) => {
                    let (key, number) = (key.trim(), number.trim());
                    // A sign is no part of a label's value.
                    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
                    let number = number.parse().ok().filter(|_| digits && is_key(key))?;
                    selector.bounds.push(Bound { key: key.to_owned(), above: part.contains('>'), number });
                }
                None => selector.labels.match_expressions.push(requirement(part)?),
            }
        }
        Some(selector)
    }

    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        let holds = |bound: &Bound| {
            let found = label(&bound.key).and_then(|value| value.parse::<i64>().ok());
            found.is_some_and(|found| if bound.above { found > bound.number } else { found < bound.number })
        };
        self.bounds.iter().all(holds) && self.labels.matches(&label)
    }
}

/// Splits at commas that are not inside parentheses.
fn split_requirements(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        match character {
            '(' if inside => return None,
            '(' => inside = true,
            ')' if !inside => return None,
            ')' => inside = false,
            ',' if !inside => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!inside).then_some(parts)
}

fn requirement(text: &str) -> Option<LabelSelectorRequirement> {
    let build = |key: &str, operator, values| {
        let key = key.trim();
        is_key(key).then(|| LabelSelectorRequirement { key: key.to_owned(), operator, values })
    };
    if let Some(key) = text.strip_prefix('!') {
        return build(key, SelectorOperator::DoesNotExist, Vec::new());
    }
    if let Some((head, list)) = text.split_once('(') {
        let mut words = head.split_whitespace();
        let (key, operator) = (words.next()?, words.next()?);
        let operator = match (operator, words.next()) {
            ("in", None) => SelectorOperator::In,
            ("notin", None) => SelectorOperator::NotIn,
            _ => return None,
        };
        let values = list.strip_suffix(')')?.split(',').map(value).collect::<Option<Vec<_>>>()?;
        return build(key, operator, values);
    }
    for (sign, operator) in
        [("!=", SelectorOperator::NotIn), ("==", SelectorOperator::In), ("=", SelectorOperator::In)]
    {
        if let Some((key, text)) = text.split_once(sign) {
            return build(key, operator, vec![value(text)?]);
        }
    }
    build(text, SelectorOperator::Exists, Vec::new())
}

fn is_key(key: &str) -> bool {
    let name = |text: &str| {
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    match key.split_once('/') {
        Some((prefix, rest)) => name(prefix) && name(rest),
        None => name(key),
    }
}

fn value(text: &str) -> Option<String> {
    let text = text.trim();
    (text.is_empty() || (is_key(text) && !text.contains('/'))).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> Option<bool> {
        let selector = TextSelector::parse(selector)?;
        Some(selector.matches(|key| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)))
    }

    #[test]
    fn every_operator() {
        let labels = [("zone", "a"), ("example.com/tier", "gold"), ("cores", "8")];
        for (selector, expected) in [
            ("", true),
            ("zone", true),
            ("!zone", false),
            ("! spot", true),
            ("zone=a", true),
            ("zone == a, example.com/tier in ( gold , silver )", true),
            ("zone != a", false),
            ("spot != a", true),
            ("zone notin (b, c),example.com/tier", true),
            ("zone in (b)", false),
            ("cores > 7,zone", true),
            ("cores>8", false),
            ("cores < 9", true),
            ("zone < 9", false),
            ("memory > 1", false),
        ] {
            assert_eq!(matches(selector, &labels), Some(expected), "{selector}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for selector in [
            "zone in a",
            "zone in (a",
            "zone) a",
            "zone within (a)",
            "zone > a",
            "zone > -3",
            "> 3",
            "zone > 3 4",
            "zone >",
            "zone in (a > 3)",
            "a b",
            "=x",
            ",",
            "zone=a b",
        ] {
            assert_eq!(matches(selector, &[]), None, "{selector}");
        }
    }
}
