//! Label selectors written as text, as annotations have them: `zone in (a, b), !spot, tier != test`.
//!
//! The grammar is that of Kubernetes' `labels.Parse`, without `<` and `>`. Invariant: what cannot be understood is an
//! error for its caller to report, never a selector that selects too much.

use rutter_crds::{LabelSelector, LabelSelectorRequirement, SelectorOperator};

/// Reads a selector; nothing if it is none.
pub(crate) fn parse(text: &str) -> Option<LabelSelector> {
    let mut selector = LabelSelector::default();
    if text.trim().is_empty() {
        return Some(selector);
    }
    for part in split_requirements(text)? {
        selector.match_expressions.push(requirement(part.trim())?);
    }
    Some(selector)
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
        let selector = parse(selector)?;
        Some(selector.matches(|key| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)))
    }

    #[test]
    fn every_operator() {
        let labels = [("zone", "a"), ("example.com/tier", "gold")];
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
            "zone > 3",
            "a b",
            "=x",
            ",",
            "zone=a b",
        ] {
            assert_eq!(matches(selector, &[]), None, "{selector}");
        }
    }
}
