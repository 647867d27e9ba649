//! YAML and JSON text as a tree in which every value knows its line.
//!
//! Typed reading comes later, after the schema has had its say: a tree keeps the place of every field for as long as it
//! may have to be blamed. Invariant: no text of the input is repeated in an error but keys and single scalars, and of a
//! Secret not even those.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number};
use serde_saphyr::{MessageFormatter as _, Spanned};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// Line, counted from 1; 0 for values that the schema filled in.
    pub(crate) line: u64,
}

/// A JSON value whose parts know their place.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Node>),
    Map(Vec<Field>),
}

/// A field of an object.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// Line of the name.
    pub(crate) line: u64,
    pub(crate) node: Node,
}

/// Why a text is not YAML.
#[derive(Clone, Debug)]
pub(crate) struct SyntaxError {
    pub(crate) line: u64,
    pub(crate) text: String,
}

impl Node {
    /// All documents of a text. Empty documents are left out.
    pub(crate) fn parse(text: &str) -> Result<Vec<Self>, SyntaxError> {
        let options = serde_saphyr::options! {
            // A dump of a large cluster in one file must pass; what aliases expand to and nesting stay limited.
            budget: serde_saphyr::budget! {
                max_documents: 200_000,
                max_events: 20_000_000,
                max_nodes: 10_000_000,
                max_recorded_anchor_events: 50_000,
            },
            with_snippet: false,
            strict_booleans: true,
            // Octal for one parser, decimal for another: as text it can only be refused, or be the label it was meant as.
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        };
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            SyntaxError { line, text: one_line(&describe(&error)) }
        })
    }

    /// The field of this name, if the value is an object that has it.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(fields) => fields.iter().find(|field| field.name == name).map(|field| &field.node),
            _ => None,
        }
    }

    /// The text, if the value is one.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Sets a field of an object to a text that stands in no file.
    pub(crate) fn set_text(&mut self, name: &str, text: &str) {
        if let Value::Map(fields) = &mut self.value {
            let node = Self { value: Value::String(text.to_owned()), line: 0 };
            fields.retain(|field| field.name != name);
            fields.push(Field { name: name.to_owned(), line: 0, node });
        }
    }

    /// The value without places.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => serde_json::Value::Bool(*value),
            Value::Number(value) => serde_json::Value::Number(value.clone()),
            Value::String(text) => serde_json::Value::String(text.clone()),
            Value::List(items) => serde_json::Value::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(fields) => serde_json::Value::Object(
                fields.iter().map(|field| (field.name.clone(), field.node.to_json())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// A value that stands in no file.
    pub(crate) fn from_json(value: &serde_json::Value) -> Self {
        let value = match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(value) => Value::Number(value.clone()),
            serde_json::Value::String(text) => Value::String(text.clone()),
            serde_json::Value::Array(items) => Value::List(items.iter().map(Self::from_json).collect()),
            serde_json::Value::Object(fields) => Value::Map(
                fields
                    .iter()
                    .map(|(name, value)| Field { name: name.clone(), line: 0, node: Self::from_json(value) })
                    .collect(),
            ),
        };
        Self { value, line: 0 }
    }

    /// The kind of value, with its article, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(number) if number.is_f64() => "a number",
            Value::Number(_) => "an integer",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { value: spanned.value, line: spanned.referenced.line() })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
                Value::deserialize(deserializer)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Number(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Number(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::String(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Value, E> {
                Ok(Value::String(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Value::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, node)) = entries.next_entry::<Spanned<String>, Node>()? {
                    fields.push(Field { name: name.value, line: name.referenced.line(), node });
                }
                Ok(Value::Map(fields))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// The parser's words without its place, which we say ourselves, and without advice to programmers.
fn describe(error: &serde_saphyr::Error) -> String {
    let text = serde_saphyr::UserMessageFormatter.format_message(error);
    match error.location() {
        Some(location) if location.column() > 1 => format!("{text} (column {})", location.column()),
        _ => text.into_owned(),
    }
}

/// Parsers like to explain over several lines; a log line and a status field have one.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let text = "# comment\na: 1\nb:\n  - x\n  - {c: true}\n---\n\nd: \"no\"\n";
        let documents = Node::parse(text).unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0].field("a").unwrap().line, 2);
        let Value::List(items) = &documents[0].field("b").unwrap().value else { panic!("b is a list") };
        assert_eq!((items[0].line, items[1].line), (4, 5));
        assert_eq!(documents[1].field("d").unwrap().line, 8);
        assert_eq!(documents[1].to_json(), serde_json::json!({"d": "no"}));
    }

    #[test]
    fn json_is_read_as_well() {
        let documents = Node::parse("{\n  \"kind\": \"List\",\n  \"items\": []\n}").unwrap();
        assert_eq!(documents[0].field("items").unwrap().line, 3);
    }

    #[test]
    fn errors_name_the_line() {
        let error = Node::parse("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.line >= 2, "{error:?}");
        let error = Node::parse("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(error.line, 3, "{error:?}");
        assert_eq!(error.text, "duplicate mapping key `a` is not allowed here");
        let error = Node::parse("a:\n\tb: 1\n").unwrap_err();
        assert_eq!((error.line, error.text.contains("tabs")), (2, true), "{error:?}");
    }

    #[test]
    fn anchors_are_followed_and_may_not_explode() {
        let documents = Node::parse("a: &x {k: 1}\nb: *x\nc:\n  <<: *x\n  l: 2\n").unwrap();
        assert_eq!(
            documents[0].to_json(),
            serde_json::json!({"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 1, "l": 2}})
        );
        let mut text = "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let aliases = format!("*a{},", level - 1).repeat(10);
            text.push_str(&format!("b{level}: &a{level} [{aliases}]\n"));
        }
        let error = Node::parse(&text).unwrap_err();
        assert!(error.text.contains("too large or too complex"), "{error:?}");
    }

    #[test]
    fn words_that_parsers_disagree_about_are_text() {
        let documents = Node::parse("a: no\nb: on\nc: true\nd: 017\ne: null\nf: 65001\n").unwrap();
        assert_eq!(
            documents[0].to_json(),
            serde_json::json!({"a": "no", "b": "on", "c": true, "d": "017", "e": null, "f": 65001})
        );
    }

    #[test]
    fn a_large_cluster_in_one_file() {
        let text = "a: {b: [1, 2, 3]}\n---\n".repeat(3000);
        assert_eq!(Node::parse(&text).unwrap().len(), 3000);
    }

    #[test]
    fn errors_repeat_no_value() {
        for value in [
            "*hunter2",
            "!hunter2 x",
            "@hunter2",
            "`hunter2",
            "%hunter2",
            "{hunter2",
            "\"hunter2",
            "&hunter2",
            "- hunter2",
            "\"\\hunter2\"",
            "hunter2: a: b",
            "[hunter2: *hunter2]",
            "!!int hunter2",
            "!!binary hunter2",
            "|9hunter2",
            "!!float hunter2",
            "&a *hunter2",
        ] {
            let text = format!("kind: Secret\nstringData:\n  password: {value}\n");
            if let Err(error) = Node::parse(&text) {
                assert!(!error.text.contains("hunter2"), "{value}: {error:?}");
            }
        }
    }

    #[test]
    fn comments_alone_are_no_document() {
        assert!(Node::parse("# nothing here\n---\n# nor here\n").unwrap().is_empty());
    }
}
