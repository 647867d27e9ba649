//! Peers that are not one neighbour: groups that others take their parameters from, and ranges of dynamic neighbours.
//!
//! Both are written like a [`Peer`] without an address. What the author wrote counts, not what a field is when it is left
//! out: a peer that writes `passive: false` is not passive, whatever its group says. So taking over needs to know which
//! fields were written, and [`Intent::take_over`] is told by whoever read the text.
//!
//! Invariant: after [`Intent::take_over`] every peer is complete in itself; nothing looks at a group again but to show its
//! name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;
use serde::de::value::{MapAccessDeserializer, StrDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::{Intent, InvalidIntent, Peer, Problem};

/// How many dynamic neighbours there may be unless it is said.
pub const DEFAULT_LIMIT: u32 = 100;

/// Parameters that several peers share: any field of a peer but its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerGroup {
    /// The parameters and the group's name. The address means nothing.
    pub peer: Peer,
}

/// Neighbours that are known only by where they come from: a connection from one of the ranges makes a peer, named by its
/// address, that goes away a minute after its session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicPeers {
    /// Where they come from.
    pub ranges: Vec<IpNet>,
    /// How many there may be at the same time.
    pub limit: u32,
    /// Of which ASN each may be, beside [`Peer::peer_asn`]. Empty: any.
    pub peer_asns: Vec<u32>,
    /// Their parameters and name. The address means nothing.
    pub peer: Peer,
}

/// Fields of peers that were taken over, and from which field of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenOver(BTreeMap<String, String>);

impl TakenOver {
    /// Where a peer's field was written, if that was in a group.
    #[must_use]
    pub fn source(&self, field: &str) -> Option<String> {
        let mut known = field;
        loop {
            if let Some(source) = self.0.get(known) {
                return Some(format!("{source}{}", field.get(known.len()..).unwrap_or_default()));
            }
            known = known.get(..known.rfind(['.', '['])?)?;
        }
    }
}

impl Intent {
    /// Completes peers with what their groups have and they do not. `written` says whether the author wrote a field, by its
    /// path.
    ///
    /// # Errors
    /// [`InvalidIntent`] if a peer names a group that its instance does not have.
    pub fn take_over(&mut self, written: impl Fn(&str) -> bool) -> Result<TakenOver, InvalidIntent> {
        let mut taken = TakenOver::default();
        for (number, instance) in self.instances.iter_mut().enumerate() {
            let at = format!("instances[{number}]");
            let groups = instance.peer_groups.clone();
            let fixed =
                instance.peers.iter_mut().enumerate().map(|(index, peer)| (format!("peers[{index}]"), peer));
            let ranges = instance.dynamic_peers.iter_mut().enumerate();
            let ranges = ranges.map(|(index, dynamic)| (format!("dynamicPeers[{index}]"), &mut dynamic.peer));
            for (place, peer) in fixed.chain(ranges) {
                let Some(name) = &peer.group else { continue };
                let path = format!("{at}.{place}");
                let found = groups.iter().enumerate().find(|(_, group)| group.peer.name == *name);
                let Some((index, group)) = found else { return Err(unknown_group(&path, name)) };
                let source = format!("{at}.peerGroups[{index}]");
                complete(peer, &group.peer, &path, &source, &written, &mut taken.0);
            }
        }
        Ok(taken)
    }
}

pub(super) fn unknown_group(peer: &str, name: &str) -> InvalidIntent {
    let expected = "the name of a peer group; list it under the instance's peerGroups";
    InvalidIntent {
        field: format!("{peer}.group"),
        problem: Problem::Malformed { value: name.to_owned(), expected },
    }
}

fn complete(
    peer: &mut Peer,
    group: &Peer,
    path: &str,
    source: &str,
    written: &impl Fn(&str) -> bool,
    taken: &mut BTreeMap<String, String>,
) {
    let fields = |peer: &Peer| match serde_json::to_value(peer) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let mut own = fields(peer);
    let mut given = fields(group);
    for identity in ["name", "address", "group"] {
        given.remove(identity);
    }
    merge(&mut own, &given, path, source, written, taken);
    // Both were peers, and every field of the result is a field of one of them.
    if let Ok(complete) = serde_json::from_value(Value::Object(own)) {
        *peer = complete;
    }
}

/// Fields of objects are taken one by one, but for policies, whose statements belong together, and lists.
fn merge(
    own: &mut Map<String, Value>,
    given: &Map<String, Value>,
    path: &str,
    source: &str,
    written: &impl Fn(&str) -> bool,
    taken: &mut BTreeMap<String, String>,
) {
    for (key, value) in given {
        let (path, source) = (format!("{path}.{key}"), format!("{source}.{key}"));
        if !written(&source) {
            // A default that was spelled out on the way through JSON.
            continue;
        }
        let own_is_written = written(&path);
        // Half of one prefix limit and half of another would be nobody's.
        let whole = matches!(key.as_str(), "import" | "export" | "maxPrefixes");
        match value {
            Value::Object(inner) if !whole => {
                let slot = own.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
                if !own_is_written {
                    taken.insert(path.clone(), source.clone());
                    if !slot.is_object() {
                        *slot = Value::Object(Map::new());
                    }
                }
                // A number where the group has an object is the peer's own.
                if let Value::Object(slot) = slot {
                    merge(slot, inner, &path, &source, written, taken);
                }
            }
            _ if own_is_written => {}
            _ => {
                taken.insert(path, source);
                own.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Gives [`Peer`] the address that a template has not, and takes out what a range has beside a peer's fields.
struct Template<A> {
    map: A,
    range: Option<Range>,
    address_given: bool,
}

#[derive(Default)]
struct Range {
    ranges: Vec<IpNet>,
    limit: Option<u32>,
    peer_asns: Vec<u32>,
}

const NO_ADDRESS: &str = "0.0.0.0";

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Template<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            match (key.as_str(), &mut self.range) {
                ("address", _) => {
                    return Err(A::Error::custom("unknown field `address`, there is none here"));
                }
                ("ranges", Some(range)) => range.ranges = self.map.next_value()?,
                ("limit", Some(range)) => range.limit = Some(self.map.next_value()?),
                ("peerASNs", Some(range)) => range.peer_asns = self.map.next_value()?,
                _ => {
                    let key: StringDeserializer<A::Error> = key.into_deserializer();
                    return seed.deserialize(key).map(Some);
                }
            }
        }
        if self.address_given {
            return Ok(None);
        }
        self.address_given = true;
        let key: StrDeserializer<'_, A::Error> = "address".into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        if self.address_given {
            let value: StrDeserializer<'_, A::Error> = NO_ADDRESS.into_deserializer();
            return seed.deserialize(value);
        }
        self.map.next_value_seed(seed)
    }
}

struct TemplateVisitor {
    of_range: bool,
}

impl<'de> Visitor<'de> for TemplateVisitor {
    type Value = (Peer, Range);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of peer fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let range = self.of_range.then(Range::default);
        let mut template = Template { map, range, address_given: false };
        let peer = Peer::deserialize(MapAccessDeserializer::new(&mut template))?;
        Ok((peer, template.range.unwrap_or_default()))
    }
}

impl<'de> Deserialize<'de> for PeerGroup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (peer, _) = deserializer.deserialize_map(TemplateVisitor { of_range: false })?;
        Ok(Self { peer })
    }
}

impl<'de> Deserialize<'de> for DynamicPeers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (peer, range) = deserializer.deserialize_map(TemplateVisitor { of_range: true })?;
        let Range { ranges, limit, peer_asns } = range;
        Ok(Self { ranges, limit: limit.unwrap_or(DEFAULT_LIMIT), peer_asns, peer })
    }
}

fn without_address<E: serde::ser::Error>(peer: &Peer) -> Result<Value, E> {
    let mut value = serde_json::to_value(peer).map_err(E::custom)?;
    if let Value::Object(fields) = &mut value {
        fields.remove("address");
    }
    Ok(value)
}

impl Serialize for PeerGroup {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        without_address::<S::Error>(&self.peer)?.serialize(serializer)
    }
}

impl Serialize for DynamicPeers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = without_address::<S::Error>(&self.peer)?;
        if let Value::Object(fields) = &mut value {
            let ranges = self.ranges.iter().map(|range| Value::String(range.to_string())).collect();
            fields.insert("ranges".to_owned(), Value::Array(ranges));
            fields.insert("limit".to_owned(), self.limit.into());
            if !self.peer_asns.is_empty() {
                fields.insert("peerASNs".to_owned(), self.peer_asns.clone().into());
            }
        }
        value.serialize(serializer)
    }
}

/// The schema of a peer without its address, and what `more` adds.
fn schema(description: &str, more: impl IntoIterator<Item = (&'static str, Value)>) -> RefOr<Schema> {
    let mut value = serde_json::to_value(Peer::schema()).unwrap_or_default();
    if let Some(Value::Array(required)) = value.get_mut("required") {
        required.retain(|name| name != "address");
    }
    if let Some(Value::Object(properties)) = value.get_mut("properties") {
        properties.remove("address");
        properties.extend(more.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    }
    if let Value::Object(fields) = &mut value {
        fields.insert("description".to_owned(), description.into());
    }
    serde_json::from_value(value).unwrap_or_else(|_unreadable| Peer::schema())
}

impl PartialSchema for PeerGroup {
    fn schema() -> RefOr<Schema> {
        schema("Parameters that several peers share: any field of a peer but its address.", [])
    }
}

impl ToSchema for PeerGroup {
    fn name() -> Cow<'static, str> {
        "PeerGroup".into()
    }
}

impl PartialSchema for DynamicPeers {
    fn schema() -> RefOr<Schema> {
        let described = |text: &str, mut schema: Value| {
            if let Value::Object(fields) = &mut schema {
                fields.insert("description".to_owned(), text.into());
            }
            schema
        };
        let list = |of: Value| serde_json::json!({"type": "array", "items": of});
        let number = serde_json::json!({"type": "integer", "format": "int32", "minimum": 0});
        schema(
            "Neighbours that are known only by where they come from: a connection from one of the ranges makes a peer, \
             named by its address, that goes away a minute after its session is over. Beside these fields, any of a peer.",
            [
                ("ranges", described("Where they come from.", list(serde_json::json!({"type": "string"})))),
                ("limit", described("How many there may be at the same time. Default 100.", number.clone())),
                ("peerASNs", described("Of which ASN each may be. Absent: any, or `peerASN`.", list(number))),
            ],
        )
    }
}

impl ToSchema for DynamicPeers {
    fn name() -> Cow<'static, str> {
        "DynamicPeers".into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(mut value: Value) -> Result<(Intent, TakenOver), String> {
        value = json!({"instances": [value]});
        let mut intent: Intent = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
        let written = |path: &str| {
            let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
            value.pointer(&pointer).is_some()
        };
        let taken = intent.take_over(written).map_err(|error| error.to_string())?;
        Ok((intent, taken))
    }

    fn instance(peers: Value, dynamic: Value) -> Value {
        json!({
            "name": "m", "localASN": 1, "routerID": "10.0.0.1", "listenPort": 179,
            "peerGroups": [{
                "name": "tors", "peerASN": 65010, "passive": true, "port": 1179, "password": "geheim",
                "timers": {"holdSeconds": 9, "keepaliveSeconds": 3}, "families": ["ipv4-unicast"],
                "maxPrefixes": {"limit": 9, "action": "restart", "restartSeconds": 60},
                "import": {"name": "i", "defaultAction": "reject", "statements": [{"name": "s", "action": "accept"}]}
            }],
            "peers": peers, "dynamicPeers": dynamic
        })
    }

    #[test]
    fn a_peer_takes_over_what_it_does_not_say() {
        let peers = json!([
            {"name": "a", "address": "10.0.0.2", "group": "tors"},
            {"name": "b", "address": "10.0.0.3", "group": "tors", "passive": false, "port": 179,
             "timers": {"holdSeconds": 30}, "import": {"name": "own", "defaultAction": "accept"},
             "maxPrefixes": {"limit": 5, "action": "warn"}},
            {"name": "c", "address": "10.0.0.4"}
        ]);
        let (intent, taken) = read(instance(peers, json!([]))).expect("an intent");
        let [a, b, c] = &intent.instances[0].peers[..] else { panic!("three peers") };
        assert_eq!((a.peer_asn, a.passive, a.port, a.timers.hold_seconds), (Some(65010), true, 1179, 9));
        assert_eq!(a.timers.connect_retry_seconds, 120, "what neither says is the default");
        assert_eq!((&*a.name, a.address.to_string()), ("a", "10.0.0.2".to_owned()));
        assert_eq!((b.passive, b.port), (false, 179), "a default that is written is the peer's own word");
        assert_eq!((b.timers.hold_seconds, b.timers.keepalive_seconds), (30, 3), "nested fields one by one");
        let import = b.import.as_ref().expect("a policy");
        assert_eq!((&*import.name, import.statements.len()), ("own", 0), "policies as a whole");
        let seconds = |peer: &Peer| peer.max_prefixes.map(|max| max.rules().restart_seconds);
        assert_eq!((seconds(a), seconds(b)), (Some(Some(60)), Some(None)), "limits as a whole");
        assert_eq!(b.password.as_ref().map(|secret| secret.expose()), Some("geheim"));
        assert_eq!((c.passive, c.peer_asn), (false, None));
        assert_eq!(
            taken.source("instances[0].peers[1].timers.keepaliveSeconds").as_deref(),
            Some("instances[0].peerGroups[0].timers.keepaliveSeconds")
        );
        assert_eq!(
            taken.source("instances[0].peers[0].import.statements[0].name").as_deref(),
            Some("instances[0].peerGroups[0].import.statements[0].name")
        );
        assert_eq!(taken.source("instances[0].peers[1].timers.holdSeconds"), None);
    }

    #[test]
    fn ranges_take_over_too_and_survive_json() {
        let dynamic = json!([{"name": "rack", "ranges": ["10.9.0.0/16", "fd00::/64"], "peerASNs": [1, 2], "group": "tors",
            "timers": {"holdSeconds": 60}}]);
        let (intent, _) = read(instance(json!([]), dynamic)).expect("an intent");
        let rack = &intent.instances[0].dynamic_peers[0];
        assert_eq!((rack.limit, &rack.peer_asns[..], rack.peer.timers.hold_seconds), (100, &[1, 2][..], 60));
        assert_eq!((rack.peer.passive, rack.ranges.len()), (true, 2));
        let text = serde_json::to_string(&intent).expect("JSON");
        assert!(!text.contains(NO_ADDRESS), "{text}");
        assert_eq!(serde_json::from_str::<Intent>(&text).expect("the same again"), intent);
    }

    #[test]
    fn what_is_no_field_is_named() {
        let error = |instance| read(instance).expect_err("a refusal");
        let unknown = instance(json!([{"name": "a", "address": "10.0.0.2", "group": "spines"}]), json!([]));
        let text = error(unknown);
        assert!(
            text.starts_with("instances[0].peers[0].group: \"spines\" is not the name of a peer group"),
            "{text}"
        );
        let mut typo = instance(json!([]), json!([]));
        typo["peerGroups"][0]["pasive"] = true.into();
        assert!(error(typo).contains("unknown field `pasive`"));
        let mut address = instance(json!([]), json!([]));
        address["peerGroups"][0]["address"] = "10.0.0.9".into();
        assert!(error(address).contains("unknown field `address`"));
    }
}
