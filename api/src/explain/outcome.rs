//! The short answer: whether the subject is announced from a node, and if not, the furthest link that was reached.
//!
//! Invariant: it is drawn from the links alone, so it cannot say anything that they do not.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::chain::{EntryChain, FamilyChain, PeerChain};
use super::wire::{OnWire, PeerOnWire, Told};
use super::{BgpdAnswer, Explanation, Stop, Subject};

/// How far it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainVerdict)]
pub enum Verdict {
    /// Every peer that it is offered to has it. Of a node: every session is established.
    Announced,
    /// Some have it.
    PartlyAnnounced,
    /// It is offered to peers, and what bgpd does with it is not known.
    Offered,
    /// It is offered to peers, and none has it.
    NotAnnounced,
    /// No peer is offered it.
    #[default]
    NotOffered,
}

/// The short answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainOutcome)]
pub struct Outcome {
    /// How far it came.
    pub verdict: Verdict,
    /// The same in a line.
    pub summary: String,
    /// Where and why it came no further.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stops: Vec<Stop>,
}

/// Notes that say less than others about the same link: an entry may be about IPv6 or another type on purpose.
const LESSER: [&str; 2] = ["AddressOfOtherFamily", "NoAddressOfType"];

impl Outcome {
    pub(super) fn of(explanation: &Explanation) -> Self {
        match explanation.subject {
            Subject::Node { .. } => of_node(explanation),
            Subject::Service { .. } | Subject::Prefix { .. } => of_routes(explanation),
        }
    }
}

fn of_node(explanation: &Explanation) -> Outcome {
    let peers = explanation.instances.iter().flat_map(|instance| &instance.peers);
    let (total, prefixes) = peers
        .filter(|peer| peer.configured)
        .fold((0, 0), |(total, prefixes), peer| (total + 1, prefixes + peer.prefixes));
    if total == 0 {
        return not_offered(explanation, "runs no session");
    }
    let BgpdAnswer::Asked { sessions, .. } = &explanation.bgpd else {
        let summary =
            format!("{} and {} to announce", counted(total, "session"), counted(prefixes, "prefix"));
        return Outcome { verdict: Verdict::Offered, summary, stops: Vec::new() };
    };
    let ours = |session: &&super::Session| {
        let mut instances = explanation.instances.iter();
        instances
            .any(|one| one.name == session.instance && one.peers.iter().any(|peer| peer.name == session.peer))
    };
    let up = sessions.iter().filter(ours).filter(|session| session.established).count();
    let down = sessions.iter().filter(ours).filter(|session| !session.established);
    let stops = down.map(|session| Stop {
        reason: "peer_down".to_owned(),
        severity: "error".to_owned(),
        object: Some(format!("peer {}", session.peer)),
        field: None,
        message: format!("the session is {}", session.state),
    });
    let verdict = match up {
        0 => Verdict::NotAnnounced,
        _ if up >= total => Verdict::Announced,
        _ => Verdict::PartlyAnnounced,
    };
    let summary = format!(
        "{up} of {} established, {} to announce",
        counted(total, "session"),
        counted(prefixes, "prefix")
    );
    Outcome { verdict, summary, stops: stops.collect() }
}

fn of_routes(explanation: &Explanation) -> Outcome {
    let offered: Vec<(&str, &PeerChain, String)> = explanation
        .instances
        .iter()
        .flat_map(|instance| {
            let each = instance.offered();
            each.map(|(peer, offered)| (instance.name.as_str(), peer, offered.prefix.to_string()))
        })
        .collect();
    let BgpdAnswer::Asked { prefixes, .. } = &explanation.bgpd else {
        if offered.is_empty() {
            return not_offered(explanation, "not announced");
        }
        let list = list_of(offered.iter().map(|(_, peer, prefix)| (prefix.clone(), peer.name.clone())));
        return Outcome {
            verdict: Verdict::Offered,
            summary: format!("to be announced: {list}"),
            stops: Vec::new(),
        };
    };
    let told = prefixes.iter().flat_map(|on_wire| {
        let instances = on_wire.instances.iter();
        instances.flat_map(move |instance| {
            instance.peers.iter().map(move |peer| (on_wire.prefix.as_str(), instance.instance.as_str(), peer))
        })
    });
    let mut sent: Vec<(String, String)> = Vec::new();
    let mut stops: BTreeSet<Stop> = BTreeSet::new();
    let mut expected = 0;
    for (prefix, instance, peer) in told {
        let wanted = offered
            .iter()
            .any(|(of, each, what)| *of == instance && each.name == peer.name && what == prefix);
        expected += usize::from(wanted);
        match &peer.told {
            Told::Sent { .. } => sent.push((prefix.to_owned(), peer.name.clone())),
            _ if wanted => stops.extend([withheld(peer)]),
            _ => {}
        }
    }
    if sent.is_empty() && offered.is_empty() {
        let a_prefix = matches!(explanation.subject, Subject::Prefix { .. });
        return match explanation.services.is_empty() && a_prefix {
            true => of_strangers(prefixes),
            false => not_offered(explanation, "not announced"),
        };
    }
    if expected < offered.len() && stops.is_empty() && sent.len() < offered.len() {
        stops.insert(unknown_to_bgpd());
    }
    let stops: Vec<Stop> = stops.into_iter().collect();
    let reasons = reasons(&stops);
    let (verdict, summary) = match (sent.is_empty(), stops.is_empty()) {
        (false, true) => (Verdict::Announced, format!("announced: {}", list_of(sent))),
        (false, false) => {
            (Verdict::PartlyAnnounced, format!("announced: {}; not everything: {reasons}", list_of(sent)))
        }
        (true, _) => (Verdict::NotAnnounced, format!("not announced: {reasons}")),
    };
    Outcome { verdict, summary, stops }
}

/// A prefix that no object here leads to: what there is of it came from peers.
fn of_strangers(prefixes: &[OnWire]) -> Outcome {
    let paths = prefixes.iter().flat_map(|one| &one.instances).flat_map(|instance| &instance.paths);
    let unused = paths.filter(|path| !path.best).map(|path| Stop {
        reason: path.reason.clone().unwrap_or_default(),
        severity: "info".to_owned(),
        object: path.peer.as_ref().map(|peer| format!("path from {peer}")),
        field: None,
        message: path.message.clone(),
    });
    let stops: BTreeSet<Stop> = unused.collect();
    let stops: Vec<Stop> = stops.into_iter().collect();
    let summary = match reasons(&stops) {
        reasons if reasons.is_empty() => "not announced: nothing leads to it".to_owned(),
        reasons => {
            format!("not announced: no object leads to it, and what peers sent is not used: {reasons}")
        }
    };
    Outcome { verdict: Verdict::NotOffered, summary, stops }
}

fn withheld(peer: &PeerOnWire) -> Stop {
    let (reason, mut message) = match &peer.told {
        Told::Withheld { reason, message } => (reason.clone(), message.clone()),
        _ => ("queued".to_owned(), "it will be sent as soon as the peer takes more messages".to_owned()),
    };
    if let Some(down) = &peer.down {
        message = format!("{message}: {down}");
    }
    let object = Some(format!("peer {}", peer.name));
    Stop { reason, severity: "warning".to_owned(), object, field: None, message }
}

fn unknown_to_bgpd() -> Stop {
    Stop {
        reason: "intent_pending".to_owned(),
        severity: "warning".to_owned(),
        object: None,
        field: None,
        message: "bgpd does not have this peer yet: the newest intent has not been taken".to_owned(),
    }
}

/// The links that were reached and not passed, the furthest ones.
fn not_offered(explanation: &Explanation, what: &str) -> Outcome {
    let mut reached: Vec<(u8, &Stop)> = explanation.node_facts.notes.iter().map(|note| (10, note)).collect();
    for instance in &explanation.instances {
        reached.extend(instance.notes.iter().map(|note| (20, note)));
        for peer in &instance.peers {
            reached.extend(peer.notes.iter().map(|note| (30, note)));
            for family in &peer.families {
                of_family(family, &mut reached);
            }
        }
    }
    let furthest = reached.iter().map(|(depth, _)| *depth).max().unwrap_or_default();
    let stops: BTreeSet<&Stop> =
        reached.iter().filter(|(depth, _)| *depth == furthest).map(|(_, stop)| *stop).collect();
    let stops: Vec<Stop> = stops.into_iter().cloned().collect();
    let summary = match reasons(&stops) {
        reasons if reasons.is_empty() => format!("{what}: nothing leads to it"),
        reasons => format!("{what}: {reasons}"),
    };
    Outcome { verdict: Verdict::NotOffered, summary, stops }
}

fn of_family<'e>(family: &'e FamilyChain, reached: &mut Vec<(u8, &'e Stop)>) {
    reached.extend(family.notes.iter().map(|note| (40, note)));
    for advertisement in &family.advertisements {
        reached.extend(advertisement.stop.iter().map(|stop| (50, stop)));
        for entry in &advertisement.entries {
            reached.extend(entry.notes.iter().map(|note| (depth(entry, note), note)));
        }
    }
}

/// What is found on an object that an entry selects is further than what keeps the entry from selecting it.
fn depth(entry: &EntryChain, note: &Stop) -> u8 {
    let about_selected = note.object.as_ref().is_some_and(|object| entry.selected.contains(object));
    match about_selected {
        true if LESSER.contains(&note.reason.as_str()) => 65,
        true => 70,
        // That it does not select this one says as much, and why.
        false if note.reason == "SelectorMatchesNothing" => 55,
        false => 60,
    }
}

/// The names of reasons, each once.
fn reasons(stops: &[Stop]) -> String {
    let names: BTreeSet<&str> = stops.iter().map(|stop| stop.reason.as_str()).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// `172.16.1.1/32 to tor-a, tor-b; 172.16.1.2/32 to tor-a`
fn list_of(pairs: impl IntoIterator<Item = (String, String)>) -> String {
    let mut by_prefix: Vec<(String, Vec<String>)> = Vec::new();
    for (prefix, peer) in pairs {
        match by_prefix.iter_mut().find(|(known, _)| *known == prefix) {
            Some((_, peers)) => peers.push(peer),
            None => by_prefix.push((prefix, vec![peer])),
        }
    }
    let each = by_prefix.into_iter().map(|(prefix, peers)| format!("{prefix} to {}", peers.join(", ")));
    each.collect::<Vec<_>>().join("; ")
}

/// `1 session`, `2 sessions`, `2 prefixes`
pub(super) fn counted(count: usize, what: &str) -> String {
    let plural = if what.ends_with('x') { "es" } else { "s" };
    format!("{count} {what}{}", if count == 1 { "" } else { plural })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// One peer that is offered 10.0.0.1/32, and what bgpd says it told `told` about it.
    fn explanation(told: &serde_json::Value, offered: bool) -> Explanation {
        let offered = if offered { json!([{"prefix": "10.0.0.1/32", "statement": "s"}]) } else { json!([]) };
        let on_wire = json!({"name": "tor", "address": "192.0.2.1", "state": "Active", "stateSeconds": 1, "told": told});
        let path = json!({"peer": "tor", "best": false, "reason": "import_policy", "message": "rejected", "attributes": "",
            "since": {"epoch": 0, "string": ""}});
        serde_json::from_value(json!({
            "node": "w1", "subject": {"kind": "prefix", "prefix": "10.0.0.1/32"},
            "outcome": {"verdict": "notOffered", "summary": ""},
            "nodeFacts": {"configured": true},
            "instances": [{"name": "main", "runs": true, "peers": [{"name": "tor", "configured": true, "offered": offered}]}],
            "bgpd": {"state": "asked", "prefixes": [{"prefix": "10.0.0.1/32", "instances": [
                {"instance": "main", "paths": [path], "peers": [on_wire]}]}]},
        }))
        .expect("an explanation")
    }

    fn outcome(told: &serde_json::Value, offered: bool) -> (Verdict, String) {
        let outcome = Outcome::of(&explanation(told, offered));
        (outcome.verdict, outcome.summary)
    }

    #[test]
    fn the_wire_decides_what_is_offered() {
        let sent = json!({"told": "sent", "routes": []});
        assert_eq!(outcome(&sent, true), (Verdict::Announced, "announced: 10.0.0.1/32 to tor".to_owned()));
        assert_eq!(outcome(&json!({"told": "queued"}), true).1, "not announced: queued");
        let down =
            json!({"told": "withheld", "reason": "peer_down", "message": "the session is not established"});
        assert_eq!(outcome(&down, true), (Verdict::NotAnnounced, "not announced: peer_down".to_owned()));
    }

    #[test]
    fn what_bgpd_has_not_heard_of_is_pending() {
        let mut unknown = explanation(&json!({"told": "queued"}), true);
        let BgpdAnswer::Asked { prefixes, .. } = &mut unknown.bgpd else { panic!("it was asked") };
        prefixes[0].instances[0].peers.clear();
        assert_eq!(Outcome::of(&unknown).summary, "not announced: intent_pending");
        unknown.bgpd = BgpdAnswer::Unreachable { error: String::new() };
        assert_eq!(Outcome::of(&unknown).summary, "to be announced: 10.0.0.1/32 to tor");
    }

    #[test]
    fn a_strangers_prefix_ends_where_its_paths_do() {
        let nothing = json!({"told": "withheld", "reason": "no_best_path", "message": ""});
        let (verdict, summary) = outcome(&nothing, false);
        assert_eq!(verdict, Verdict::NotOffered);
        assert!(summary.ends_with("what peers sent is not used: import_policy"), "{summary}");
        assert_eq!(outcome(&json!({"told": "sent", "routes": []}), false).0, Verdict::Announced, "passed on");
    }
}
