//! Checks a document against the OpenAPI schema of its kind, as an API server does on the way in: types, ranges,
//! patterns, list-map keys and rules are errors, unknown fields are dropped, nulls vanish, defaults are filled in.
//!
//! The schemas are those generated from our own types (custom resources) and of k8s-openapi (built-in kinds). Invariant:
//! a document that passes without error has every default in place and can be read into its type.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value as Json;

use super::cel;
use super::yaml::{Field, Node, Value};
use crate::report::Reason;

/// A finding inside a document: the field's path, its line, what it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Remark {
    pub(crate) path: String,
    pub(crate) line: u64,
    pub(crate) reason: Reason,
}

/// A compiled schema node.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    kind: Option<Kind>,
    format: Option<String>,
    properties: BTreeMap<String, Self>,
    additional: Option<Box<Self>>,
    items: Option<Box<Self>>,
    required: Vec<String>,
    default: Option<Json>,
    one_of: Vec<Json>,
    minimum: Option<i64>,
    maximum: Option<i64>,
    length: (Option<u64>, Option<u64>),
    count: (Option<u64>, Option<u64>),
    pattern: Option<Regex>,
    map_keys: Vec<String>,
    rules: Vec<(String, String)>,
    /// Fields that the schema does not list are kept without a word.
    open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Object,
    List,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

impl Schema {
    /// Compiles an OpenAPI v3 schema. `$ref`s must have been inlined.
    pub(crate) fn compile(json: &Json) -> Self {
        let text = |key: &str| json[key].as_str().map(str::to_owned);
        let kind = match json["type"].as_str() {
            _ if json["x-kubernetes-int-or-string"] == true => Some(Kind::IntOrString),
            Some("object") => Some(Kind::Object),
            Some("array") => Some(Kind::List),
            Some("string") => Some(Kind::String),
            Some("integer") => Some(Kind::Integer),
            Some("number") => Some(Kind::Number),
            Some("boolean") => Some(Kind::Boolean),
            _ => None,
        };
        let properties: BTreeMap<_, _> = json["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, property)| (name.clone(), Self::compile(property)))
            .collect();
        let additional = json.get("additionalProperties").filter(|additional| additional.is_object());
        let rules = json["x-kubernetes-validations"].as_array().into_iter().flatten().filter_map(|rule| {
            Some((rule["rule"].as_str()?.to_owned(), rule["message"].as_str()?.to_owned()))
        });
        Self {
            kind,
            format: text("format"),
            open: json["x-kubernetes-preserve-unknown-fields"] == true
                || (kind == Some(Kind::Object) && properties.is_empty() && additional.is_none()),
            properties,
            additional: additional.map(|additional| Box::new(Self::compile(additional))),
            items: json.get("items").map(|items| Box::new(Self::compile(items))),
            required: strings(&json["required"]),
            default: json.get("default").cloned(),
            one_of: json["enum"].as_array().cloned().unwrap_or_default(),
            minimum: whole(&json["minimum"]),
            maximum: whole(&json["maximum"]),
            length: (json["minLength"].as_u64(), json["maxLength"].as_u64()),
            count: (json["minItems"].as_u64(), json["maxItems"].as_u64()),
            pattern: text("pattern").and_then(|pattern| Regex::new(&pattern).ok()),
            map_keys: strings(&json["x-kubernetes-list-map-keys"]),
            rules: rules.collect(),
        }
    }

    /// Keeps fields that the schema does not list, at this level and below.
    pub(crate) fn keep_unknown_fields(&mut self) {
        self.open = true;
        self.properties.values_mut().for_each(Self::keep_unknown_fields);
        if let Some(items) = &mut self.items {
            items.keep_unknown_fields();
        }
    }

    /// Replaces the schema of a field.
    pub(crate) fn set_property(&mut self, name: &str, schema: Self) {
        self.properties.insert(name.to_owned(), schema);
    }

    /// Makes fields optional again.
    pub(crate) fn not_required(&mut self, names: &[&str]) {
        self.required.retain(|name| !names.contains(&name.as_str()));
    }

    /// Checks and completes a document. With `secret`, no value of it is repeated in a remark.
    pub(crate) fn conform(&self, node: &mut Node, secret: bool) -> Vec<Remark> {
        let mut walk = Walk { remarks: Vec::new(), secret };
        walk.visit(self, node, &mut String::new());
        walk.remarks
    }
}

struct Walk {
    remarks: Vec<Remark>,
    secret: bool,
}

impl Walk {
    fn visit(&mut self, schema: &Schema, node: &mut Node, path: &mut String) {
        if !schema.accepts(node) {
            let found = self.describe(node);
            return self.say(path, node.line, Reason::WrongType { expected: schema.expected(), found });
        }
        let before = self.remarks.len();
        let line = node.line;
        match &mut node.value {
            Value::Map(fields) => self.visit_object(schema, fields, line, path),
            Value::List(items) => self.visit_list(schema, items, line, path),
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) => self.visit_scalar(schema, node, path),
        }
        // CEL runs only on values that are structurally right, as on the server.
        if self.remarks[before..]
            .iter()
            .any(|remark| remark.reason.severity() == crate::report::Severity::Error)
        {
            return;
        }
        for (rule, message) in &schema.rules {
            if let Some(advice) = cel::broken(rule, &node.to_json()) {
                self.say(path, node.line, Reason::RuleBroken { message: message.clone(), advice });
            }
        }
    }

    fn visit_object(&mut self, schema: &Schema, fields: &mut Vec<Field>, line: u64, path: &mut String) {
        // A null is the same as an absent field: pruned, then defaulted.
        fields.retain(|field| !matches!(field.node.value, Value::Null));
        fields.retain(|field| {
            let known =
                schema.open || schema.additional.is_some() || schema.properties.contains_key(&field.name);
            if !known {
                let path = join(path, &field.name);
                self.remarks.push(Remark { path, line: field.line, reason: Reason::UnknownField });
            }
            known
        });
        for (name, property) in &schema.properties {
            if let Some(default) = &property.default
                && !fields.iter().any(|field| field.name == *name)
            {
                fields.push(Field { name: name.clone(), line, node: Node::from_json(default) });
            }
        }
        for name in &schema.required {
            if !fields.iter().any(|field| field.name == *name) {
                self.remarks.push(Remark { path: join(path, name), line, reason: Reason::Required });
            }
        }
        for field in fields {
            let Some(below) = schema.properties.get(&field.name).or(schema.additional.as_deref()) else {
                continue;
            };
            let length = path.len();
            *path = join(path, &field.name);
            self.visit(below, &mut field.node, path);
            path.truncate(length);
        }
    }

    fn visit_list(&mut self, schema: &Schema, items: &mut [Node], line: u64, path: &mut String) {
        if let Some(allowed) = outside(items.len() as u64, schema.count) {
            self.say(path, line, Reason::WrongCount { count: items.len(), allowed });
        }
        let mut keys = BTreeSet::new();
        for (index, item) in items.iter_mut().enumerate() {
            let length = path.len();
            path.push_str(&format!("[{index}]"));
            if let Some(below) = &schema.items {
                self.visit(below, item, path);
            }
            if !schema.map_keys.is_empty() {
                let values: Vec<_> =
                    schema.map_keys.iter().map(|key| item.field(key).and_then(Node::as_str)).collect();
                let value =
                    values.iter().map(|value| value.unwrap_or_default()).collect::<Vec<_>>().join(",");
                if !keys.insert(value.clone()) {
                    let key = schema.map_keys.join(",");
                    self.say(path, item.line, Reason::DuplicateKey { key, value });
                }
            }
            path.truncate(length);
        }
    }

    fn visit_scalar(&mut self, schema: &Schema, node: &Node, path: &str) {
        if !schema.one_of.is_empty() && !schema.one_of.contains(&node.to_json()) {
            let allowed = schema.one_of.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(", ");
            let value = self.quote(node);
            return self.say(path, node.line, Reason::NotAllowed { value, allowed });
        }
        match &node.value {
            Value::Number(number) => self.visit_number(schema, number.as_i64(), node, path),
            Value::String(text) => self.visit_text(schema, text, node, path),
            _ => {}
        }
    }

    fn visit_number(&mut self, schema: &Schema, number: Option<i64>, node: &Node, path: &str) {
        let (low, high) = match schema.format.as_deref() {
            Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => (i64::MIN, i64::MAX),
        };
        let (low, high) = (schema.minimum.unwrap_or(low), schema.maximum.unwrap_or(high));
        if schema.kind == Some(Kind::Integer) && !number.is_some_and(|number| (low..=high).contains(&number))
        {
            let value = self.quote(node);
            self.say(path, node.line, Reason::OutOfRange { value, allowed: format!("{low} to {high}") });
        }
    }

    fn visit_text(&mut self, schema: &Schema, text: &str, node: &Node, path: &str) {
        if let Some(allowed) = outside(text.chars().count() as u64, schema.length) {
            let length = text.chars().count();
            let allowed = format!("{allowed} characters");
            self.say(path, node.line, Reason::WrongLength { length, allowed });
        }
        let expected = match (&schema.pattern, schema.format.as_deref()) {
            (Some(pattern), _) if !pattern.is_match(text) => expectation(path),
            (_, Some("ipv4")) if text.parse::<std::net::Ipv4Addr>().is_err() => "an IPv4 address",
            (_, Some("cidr")) if !is_cidr(text) => "a CIDR",
            _ => return,
        };
        let value = self.quote(node);
        self.say(path, node.line, Reason::Malformed { value, expected });
    }

    fn say(&mut self, path: &str, line: u64, reason: Reason) {
        self.remarks.push(Remark { path: path.to_owned(), line, reason });
    }

    /// The value as its author wrote it, or only what sort of value it is.
    fn quote(&self, node: &Node) -> String {
        if self.secret { node.kind().to_owned() } else { node.to_json().to_string() }
    }

    fn describe(&self, node: &Node) -> String {
        match &node.value {
            Value::Bool(_) | Value::Number(_) if !self.secret => {
                format!("{} ({})", node.kind(), node.to_json())
            }
            Value::String(text) if !self.secret && text.len() <= 80 => format!("the string {text:?}"),
            _ => node.kind().to_owned(),
        }
    }
}

impl Schema {
    fn accepts(&self, node: &Node) -> bool {
        match (self.kind, &node.value) {
            (None, _)
            | (Some(Kind::Object), Value::Map(_))
            | (Some(Kind::List), Value::List(_))
            | (Some(Kind::String), Value::String(_))
            | (Some(Kind::Boolean), Value::Bool(_))
            | (Some(Kind::Number), Value::Number(_))
            | (Some(Kind::IntOrString), Value::Number(_) | Value::String(_)) => true,
            (Some(Kind::Integer), Value::Number(number)) => !number.is_f64(),
            _ => false,
        }
    }

    fn expected(&self) -> String {
        let text = match self.kind {
            Some(Kind::Object) => "an object",
            Some(Kind::List) => "a list",
            Some(Kind::String) => "a string (write it in quotes)",
            Some(Kind::Integer) => "an integer",
            Some(Kind::Number) => "a number",
            Some(Kind::Boolean) => "true or false",
            Some(Kind::IntOrString) => "an integer or a string",
            None => "a value",
        };
        text.to_owned()
    }
}

/// As an API server takes it: with zeros before the digits of an IPv4 address. Whoever reads the field may take that amiss.
fn is_cidr(text: &str) -> bool {
    let digits = |part: &str| match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0".to_owned(),
        rest => rest.to_owned(),
    };
    let plain = || match text.split_once('/') {
        Some((address, length)) if !address.contains(':') => {
            format!("{}/{length}", address.split('.').map(digits).collect::<Vec<_>>().join("."))
        }
        _ => text.to_owned(),
    };
    plain().parse::<ipnet::IpNet>().is_ok()
}

/// What a field with a pattern is, in words: the expressions themselves help nobody.
fn expectation(path: &str) -> &'static str {
    if path.contains(".large[") {
        "a large community: three numbers from 0 to 4294967295 with colons between, like 65001:1:2"
    } else if path.contains(".standard[") {
        "a community: a number from 0 to 4294967295, or two from 0 to 65535 with a colon between, like 65001:100"
    } else if path.contains("matchLabels.") {
        "a label value: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
    } else if path.ends_with("Address") {
        "an IP address, like 192.0.2.1 or 2001:db8::1"
    } else {
        "in the form this field wants"
    }
}

/// Whether a length is outside of its limits; the limits as text.
fn outside(length: u64, (low, high): (Option<u64>, Option<u64>)) -> Option<String> {
    let inside = low.is_none_or(|low| length >= low) && high.is_none_or(|high| length <= high);
    (!inside).then(|| match (low, high) {
        (Some(low), Some(high)) => format!("{low} to {high}"),
        (Some(low), None) => format!("at least {low}"),
        (_, high) => format!("at most {}", high.unwrap_or_default()),
    })
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn strings(json: &Json) -> Vec<String> {
    json.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Limits come as floats out of the schema generator; all of ours are whole.
fn whole(json: &Json) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "limits are whole numbers far below 2^53")]
    json.as_i64().or_else(|| json.as_f64().map(|number| number as i64))
}
