//! One document of a file: who it is, whether it is right, and the object it becomes.
//!
//! Invariant: a document either becomes an object, or is skipped for a named reason, or is bad and says in which line.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use rutter_crds::schema::{GROUP, Kind as CustomKind, Version};
use serde::de::DeserializeOwned;

use super::kind::{self, Kind, Lookup};
use super::schema::Remark;
use super::service;
use super::yaml::{Node, SyntaxError, Value};
use crate::object::{self, DEFAULT_NAMESPACE, Object, ObjectRef, SecretObject};
use crate::report::{Reason, Severity};

/// What became of one document.
#[derive(Debug)]
pub(crate) struct Document {
    /// Who it is, as far as could be told.
    pub(crate) key: Option<ObjectRef>,
    /// Its first line.
    pub(crate) line: u64,
    /// The object, unless the document is bad or its kind is not used.
    pub(crate) object: Option<Object>,
    /// Whether something is wrong with it, so that what was there before must stay.
    pub(crate) bad: bool,
    /// Lines of fields, to find the place of what translation says later.
    pub(crate) lines: Arc<BTreeMap<String, u64>>,
    /// What there is to say.
    pub(crate) remarks: Vec<Remark>,
}

/// Cuts a text before each line that begins a document, so that each part can be read, and remembered, alone. With each
/// part comes the number of lines before it. Such a line is a marker wherever it stands (YAML 1.2 §9.1.2), in block and
/// quoted text too, and aliases do not reach across; only directives do, so a text with one is left whole.
pub(crate) fn split(text: &str) -> Vec<(u64, &str)> {
    let (mut parts, mut start, mut before) = (Vec::new(), 0, 0);
    let (mut at, mut line) = (0, 0);
    for text_line in text.split_inclusive('\n') {
        if text_line.starts_with('%') {
            return vec![(0, text)];
        }
        let marker = text_line.strip_prefix("---");
        if at > 0 && marker.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])) {
            parts.push((before, &text[start..at]));
            (start, before) = (at, line);
        }
        at += text_line.len();
        line += 1;
    }
    parts.push((before, &text[start..]));
    parts
}

/// Reads all documents of a text.
pub(crate) fn read(text: &str) -> Result<Vec<Document>, SyntaxError> {
    let mut documents = Vec::new();
    for node in Node::parse(text)? {
        read_node(node, None, &mut documents);
    }
    Ok(documents)
}

/// `implied` are apiVersion and kind of the items of a typed list, which need not repeat them.
fn read_node(mut node: Node, implied: Option<(&str, &str)>, documents: &mut Vec<Document>) {
    let line = node.line;
    if !matches!(node.value, Value::Map(_)) {
        return documents.push(Document::bad(None, line, Reason::NotAnObject { found: node.kind() }));
    }
    let text = |field: &str| node.field(field).and_then(Node::as_str).filter(|text| !text.is_empty());
    let (api_version, kind) = match (text("apiVersion"), text("kind"), implied) {
        (Some(api_version), Some(kind), _) => (api_version.to_owned(), kind.to_owned()),
        (None, None, Some((api_version, kind))) => {
            let identity = (api_version.to_owned(), kind.to_owned());
            node.set_text("apiVersion", api_version);
            node.set_text("kind", kind);
            identity
        }
        (None, ..) => {
            return documents.push(Document::bad(None, line, Reason::IdentityMissing { what: "apiVersion" }));
        }
        (_, None, _) => {
            return documents.push(Document::bad(None, line, Reason::IdentityMissing { what: "kind" }));
        }
    };
    match kind::lookup(&api_version, &kind) {
        Lookup::Used(kind) => documents.push(read_object(node, kind)),
        Lookup::List => {
            let implied = kind.strip_suffix("List").filter(|item| !item.is_empty());
            read_items(node, implied.map(|item| (api_version.as_str(), item)), documents);
        }
        Lookup::Skipped(reason) => {
            let mut document = Document::bad(None, line, reason);
            // A kind that is not ours says nothing about the objects that are.
            document.bad = false;
            documents.push(document);
        }
    }
}

fn read_items(node: Node, implied: Option<(&str, &str)>, documents: &mut Vec<Document>) {
    let line = node.line;
    let Value::Map(fields) = node.value else { return };
    match fields.into_iter().find(|field| field.name == "items").map(|field| field.node) {
        Some(Node { value: Value::List(items), .. }) => {
            for item in items {
                read_node(item, implied, documents);
            }
        }
        None | Some(Node { value: Value::Null, .. }) => {}
        Some(items) => {
            let reason = Reason::WrongType { expected: "a list".to_owned(), found: items.kind().to_owned() };
            let mut document = Document::bad(None, line, reason);
            document.remarks[0].path = "items".to_owned();
            documents.push(document);
        }
    }
}

fn read_object(mut node: Node, kind: Kind) -> Document {
    let line = node.line;
    let (key, mut remarks) = match identify(&mut node, kind) {
        Ok(identified) => identified,
        Err(remark) => {
            let mut document = Document::bad(None, line, remark.reason.clone());
            document.remarks = vec![remark];
            return document;
        }
    };
    remarks.extend(kind.schema().conform(&mut node, kind == Kind::Secret));
    if let Kind::Custom(custom, Version::V2Alpha1) = kind {
        remarks.extend(unread_fields(&node, custom));
    }
    if kind == Kind::Service {
        remarks.extend(service::remarks(&node));
    }
    let mut lines = BTreeMap::new();
    if matches!(kind, Kind::Custom(..) | Kind::Reservation) {
        collect_lines(&node, &mut String::new(), &mut lines);
    }
    let mut object = None;
    if !remarks.iter().any(|remark| remark.reason.severity() == Severity::Error) {
        match decode(&node, kind) {
            Ok(decoded) => object = Some(decoded),
            Err((path, error)) => {
                let line = line_of(&node, &path).unwrap_or(line);
                remarks.push(Remark { path, line, reason: Reason::Undecodable { error } });
            }
        }
    }
    Document { key: Some(key), line, bad: object.is_none(), object, lines: Arc::new(lines), remarks }
}

/// Kind, namespace and name; fills in the default namespace.
fn identify(node: &mut Node, kind: Kind) -> Result<(ObjectRef, Vec<Remark>), Remark> {
    let line = node.line;
    let metadata = node.field("metadata");
    let name = metadata.and_then(|metadata| metadata.field("name"));
    let Some(text) = name.and_then(Node::as_str).filter(|text| !text.is_empty()) else {
        let found = name.filter(|name| !matches!(name.value, Value::Null | Value::String(_)));
        let reason = match found {
            Some(name) => {
                let expected = "a string (write it in quotes)".to_owned();
                Reason::WrongType { expected, found: name.kind().to_owned() }
            }
            None => Reason::IdentityMissing { what: "metadata.name" },
        };
        let line = name.or(metadata).map_or(line, |node| node.line);
        return Err(Remark { path: "metadata.name".to_owned(), line, reason });
    };
    let mut remarks = Vec::new();
    let mut check = |path: &str, text: &str, line: u64| {
        if !is_name(text) {
            let reason = Reason::NameInvalid { value: text.to_owned() };
            remarks.push(Remark { path: path.to_owned(), line, reason });
        }
    };
    check("metadata.name", text, name.map_or(line, |name| name.line));
    let namespace = metadata.and_then(|metadata| metadata.field("namespace"));
    let mut key = ObjectRef::cluster(kind.name(), text);
    let namespace = namespace.and_then(|node| Some((node.as_str()?.to_owned(), node.line)));
    match (kind.is_namespaced(), namespace) {
        (true, Some((namespace, line))) => {
            check("metadata.namespace", &namespace, line);
            key.namespace = Some(namespace);
        }
        (true, None) => key.namespace = Some(DEFAULT_NAMESPACE.to_owned()),
        (false, Some((namespace, line))) if !namespace.is_empty() => {
            let reason = Reason::NamespaceIgnored { namespace };
            remarks.push(Remark { path: "metadata.namespace".to_owned(), line, reason });
        }
        (false, _) => {}
    }
    Ok((key, remarks))
}

/// A DNS subdomain (RFC 1123), which is what every kind here wants at least.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Fields of v2alpha1 that v2 dropped because nothing ever used them.
fn unread_fields(node: &Node, kind: CustomKind) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut ignored = |path: String, node: &Node, why| {
        remarks.push(Remark { path, line: node.line, reason: Reason::FieldIgnored { why } });
    };
    match kind {
        CustomKind::CiliumBGPPeerConfig => {
            let transport = node.field("spec").and_then(|spec| spec.field("transport"));
            if let Some(port) = transport.and_then(|transport| transport.field("localPort")) {
                let why = "no version of Cilium used it and v2 has dropped it; remove it";
                ignored("spec.transport.localPort".to_owned(), port, why);
            }
        }
        CustomKind::CiliumBGPClusterConfig | CustomKind::CiliumBGPNodeConfig => {
            let instances = node.field("spec").and_then(|spec| spec.field("bgpInstances"));
            for (i, instance) in items(instances).iter().enumerate() {
                for (p, peer) in items(instance.field("peers")).iter().enumerate() {
                    let Some(reference) = peer.field("peerConfigRef") else { continue };
                    for (field, expected) in [("group", GROUP), ("kind", "CiliumBGPPeerConfig")] {
                        if let Some(value) =
                            reference.field(field).filter(|value| value.as_str() != Some(expected))
                        {
                            let path = format!("spec.bgpInstances[{i}].peers[{p}].peerConfigRef.{field}");
                            ignored(
                                path,
                                value,
                                "a reference is always to a CiliumBGPPeerConfig of cilium.io",
                            );
                        }
                    }
                }
            }
        }
        _ => {}
    }
    remarks
}

pub(super) fn items(node: Option<&Node>) -> &[Node] {
    match node.map(|node| &node.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn decode(node: &Node, kind: Kind) -> Result<Object, (String, String)> {
    let json = node.to_json();
    Ok(match kind {
        Kind::Node => Object::Node(typed(json)?),
        Kind::Service => {
            Object::Service(Arc::new(object::Service::with_ipam(unshared(typed::<Service>(json)?))))
        }
        Kind::EndpointSlice => {
            Object::EndpointSlice(Arc::new(unshared(typed::<EndpointSlice>(json)?).into()))
        }
        Kind::ServiceCIDR => Object::ServiceCIDR(typed(json)?),
        Kind::Reservation => Object::LoadBalancerIPReservation(typed(json)?),
        Kind::Secret => Object::Secret(decode_secret(json)?),
        Kind::Custom(custom, _) => match custom {
            CustomKind::CiliumBGPClusterConfig => Object::CiliumBGPClusterConfig(typed(json)?),
            CustomKind::CiliumBGPPeerConfig => Object::CiliumBGPPeerConfig(typed(json)?),
            CustomKind::CiliumBGPAdvertisement => Object::CiliumBGPAdvertisement(typed(json)?),
            CustomKind::CiliumBGPNodeConfigOverride => Object::CiliumBGPNodeConfigOverride(typed(json)?),
            CustomKind::CiliumBGPNodeConfig => Object::CiliumBGPNodeConfig(typed(json)?),
            CustomKind::CiliumNode => Object::CiliumNode(typed(json)?),
            CustomKind::CiliumPodIPPool => Object::CiliumPodIPPool(typed(json)?),
            CustomKind::CiliumLoadBalancerIPPool => Object::CiliumLoadBalancerIPPool(typed(json)?),
        },
    })
}

/// What nobody else has yet.
fn unshared<T: Clone>(object: Arc<T>) -> T {
    Arc::unwrap_or_clone(object)
}

fn typed<T: DeserializeOwned>(mut json: serde_json::Value) -> Result<Arc<T>, (String, String)> {
    // v2alpha1 is read into the types of v2; k8s-openapi's own types insist on their apiVersion.
    if let Some(api_version) = json.get_mut("apiVersion").filter(|version| *version == "cilium.io/v2alpha1") {
        *api_version = "cilium.io/v2".into();
    }
    let decoded: Result<T, _> = serde_path_to_error::deserialize(json);
    decoded.map(Arc::new).map_err(|error| (error.path().to_string(), error.inner().to_string()))
}

/// `stringData` overwrites `data`, as on the server. Errors name the key and nothing else.
fn decode_secret(json: serde_json::Value) -> Result<SecretObject, (String, String)> {
    let secret: Result<Arc<Secret>, _> = typed(json);
    let mut secret = secret.map_err(|(path, _)| {
        (path, "the value is not base64; write plain text under stringData".to_owned())
    })?;
    let plain = Arc::make_mut(&mut secret);
    if let Some(texts) = plain.string_data.take() {
        let data = plain.data.get_or_insert_default();
        data.extend(texts.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))));
    }
    Ok(SecretObject(secret))
}

fn collect_lines(node: &Node, path: &mut String, lines: &mut BTreeMap<String, u64>) {
    let length = path.len();
    match &node.value {
        Value::Map(fields) => {
            for field in fields.iter().filter(|field| field.line > 0) {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&field.name);
                lines.insert(path.clone(), field.line);
                collect_lines(&field.node, path, lines);
                path.truncate(length);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                lines.insert(path.clone(), item.line);
                collect_lines(item, path, lines);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn line_of(node: &Node, path: &str) -> Option<u64> {
    let mut lines = BTreeMap::new();
    collect_lines(node, &mut String::new(), &mut lines);
    lines.get(path).copied()
}

impl Document {
    fn bad(key: Option<ObjectRef>, line: u64, reason: Reason) -> Self {
        let remarks = vec![Remark { path: String::new(), line, reason }];
        Self { key, line, object: None, bad: true, lines: Arc::default(), remarks }
    }
}

#[cfg(test)]
mod tests;
