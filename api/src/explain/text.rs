//! Explanations for people: one line per link, deeper links further in, reasons by name.
//!
//! Invariant: a link that is in the value is in the text; what is left out is only what belongs to other subjects.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::chain::{AdvertisementChain, EntryChain, InstanceChain, Offered, PeerChain, ServiceFacts};
use super::outcome::counted;
use super::wire::{InstanceOnWire, OnWire, PeerOnWire, SentOnWire, Told};
use super::{BgpdAnswer, Explanation, Session, Stop, Subject};
use crate::show::text::uptime;

/// Lines, indented.
#[derive(Default)]
struct Page {
    out: String,
    depth: usize,
}

impl Page {
    fn line(&mut self, text: &str) {
        let text = text.trim_end();
        _ = writeln!(self.out, "{:1$}{text}", "", self.depth * 2);
    }

    fn deeper(&mut self, write: impl FnOnce(&mut Self)) {
        self.depth += 1;
        write(self);
        self.depth -= 1;
    }

    fn notes(&mut self, notes: &[Stop]) {
        for note in notes {
            self.line(&in_words(note, true));
        }
    }
}

/// Several nodes: who announces it and who does not, and then the way on each. `unheard`: nodes that did not answer.
#[must_use]
pub fn many(explanations: &[Explanation], unheard: &[(String, String)]) -> String {
    let mut page = Page::default();
    if let Some(first) = explanations.first() {
        if !matches!(first.subject, Subject::Service { .. }) {
            page.line(&first.subject.to_string());
        }
        first.services.iter().for_each(|service| service_facts(&mut page, service));
    }
    if explanations.len() + unheard.len() > 1 {
        page.out.push('\n');
        let mut groups: BTreeMap<(u8, String), Vec<&str>> = BTreeMap::new();
        for explanation in explanations {
            let outcome = &explanation.outcome;
            let rank = (outcome.verdict as u8, outcome.summary.clone());
            groups.entry(rank).or_default().push(&explanation.node);
        }
        for ((_, summary), nodes) in groups {
            page.line(&format!("{}: {summary}", nodes.join(", ")));
        }
        for (node, error) in unheard {
            page.line(&format!("{node}: not known: {error}"));
        }
    }
    for explanation in explanations {
        page.out.push('\n');
        one(&mut page, explanation);
    }
    page.out
}

fn one(page: &mut Page, explanation: &Explanation) {
    page.line(&format!("Node {}: {}", explanation.node, explanation.outcome.summary));
    page.deeper(|page| {
        for stop in &explanation.outcome.stops {
            page.line(&format!("! {}", in_words(stop, true)));
        }
        for service in &explanation.services {
            page.line(&endpoints(service));
        }
        node(page, explanation);
        for chain in &explanation.instances {
            instance(page, explanation, chain);
        }
        match &explanation.bgpd {
            BgpdAnswer::NotAsked { why } => page.line(&format!("bgpd: {why}")),
            BgpdAnswer::Unreachable { error } => page.line(&format!("bgpd: not known: {error}")),
            BgpdAnswer::Asked { prefixes, intent_pending, .. } => {
                if *intent_pending {
                    page.line("bgpd does not have the newest intent yet");
                }
                prefixes.iter().for_each(|on_wire| table(page, on_wire));
                strangers(page, explanation, prefixes);
            }
        }
    });
}

fn service_facts(page: &mut Page, service: &ServiceFacts) {
    let ServiceFacts { r#type, external_traffic_policy: external, internal_traffic_policy: internal, .. } =
        service;
    let class =
        service.load_balancer_class.as_ref().map(|class| format!(", class {class}")).unwrap_or_default();
    page.line(&format!(
        "Service {}: {type}{class}, traffic policy external {external}, internal {internal}",
        service.name
    ));
    page.deeper(|page| {
        let labels: Vec<String> =
            service.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        page.line(&format!(
            "labels     {}",
            if labels.is_empty() { "none".to_owned() } else { labels.join(" ") }
        ));
        for one in &service.addresses {
            let address = one.address.map_or_else(|| "-".to_owned(), |address| address.to_string());
            let left_out = one.stop.as_ref().filter(|_| one.address.is_none());
            let why = left_out.map(|stop| format!("   {}", in_words(stop, false))).unwrap_or_default();
            page.line(&format!("address    {address} ({}){why}", one.r#type));
        }
        page.notes(&service.notes);
    });
}

fn endpoints(service: &ServiceFacts) -> String {
    let ServiceFacts { name, endpoints_here: here, endpoints_anywhere: anywhere, .. } = service;
    format!("{} of Service {name} on this node, {anywhere} in all", counted(*here, "active endpoint"))
}

fn node(page: &mut Page, explanation: &Explanation) {
    let facts = &explanation.node_facts;
    match (&facts.cluster_config, facts.configured) {
        (Some(config), _) => page.line(&format!("CiliumBGPClusterConfig {config} configures the node")),
        (None, true) => page.line("a CiliumBGPNodeConfig without owner configures the node"),
        (None, false) => page.line("no object configures the node"),
    }
    page.deeper(|page| {
        let not = facts.cluster_configs.iter().filter(|config| !config.unmet.is_empty());
        for config in not {
            let unmet = config.unmet.join("; ");
            page.line(&format!("CiliumBGPClusterConfig {} does not select it: {unmet}", config.name));
        }
        page.notes(&facts.notes);
    });
}

fn instance(page: &mut Page, explanation: &Explanation, chain: &InstanceChain) {
    let head = match (chain.local_asn, &chain.router_id) {
        (Some(asn), Some(id)) => format!("instance {}: AS {asn}, router ID {id}", chain.name),
        _ => format!("instance {}: does not run", chain.name),
    };
    page.line(&head);
    page.deeper(|page| {
        page.notes(&chain.notes);
        for one in &chain.peers {
            peer(page, explanation, chain, one);
        }
    });
}

fn peer(page: &mut Page, explanation: &Explanation, instance: &InstanceChain, chain: &PeerChain) {
    let config =
        chain.peer_config.as_deref().map(|name| format!(", CiliumBGPPeerConfig {name}")).unwrap_or_default();
    let asn = chain.peer_asn.map(|asn| format!(" AS {asn}")).unwrap_or_default();
    let address = chain.address.as_deref().unwrap_or("left out");
    page.line(&format!("peer {}: {address}{asn}{config}", chain.name));
    page.deeper(|page| {
        page.notes(&chain.notes);
        if matches!(explanation.subject, Subject::Node { .. }) {
            page.line(&format!("policy {}: {}", chain.policy, counted(chain.prefixes, "prefix")));
        }
        for family in &chain.families {
            page.line(&format!("{} selects advertisements with {}", family.family, family.selector));
            page.deeper(|page| {
                page.notes(&family.notes);
                family.advertisements.iter().for_each(|one| advertisement(page, one));
            });
        }
        for one in &chain.offered {
            page.line(&offered(chain, one));
        }
        on_wire(page, explanation, instance, chain);
    });
}

fn advertisement(page: &mut Page, chain: &AdvertisementChain) {
    match &chain.stop {
        Some(stop) => page.line(&format!("{} not selected: {}", chain.name, in_words(stop, false))),
        None => page.line(&format!("CiliumBGPAdvertisement {} selected", chain.name)),
    }
    page.deeper(|page| chain.entries.iter().for_each(|one| entry(page, one)));
}

fn entry(page: &mut Page, chain: &EntryChain) {
    let selects = if chain.selected.is_empty() {
        String::new()
    } else {
        format!(" selects {}", chain.selected.join(", "))
    };
    page.line(&format!(
        "{} {}{selects}, {} in all",
        chain.field,
        chain.r#type,
        counted(chain.prefixes, "prefix")
    ));
    page.deeper(|page| {
        for offer in &chain.offers {
            page.line(&format!("{} for {} -> statement {}", offer.prefix, offer.source, offer.statement));
        }
        page.notes(&chain.notes);
    });
}

fn offered(chain: &PeerChain, offered: &Offered) -> String {
    let actions = &offered.actions;
    let mut changes = Vec::new();
    if let Some(value) = actions.local_preference {
        changes.push(format!("local preference {value}"));
    }
    let communities: Vec<&str> =
        actions.add_communities.iter().chain(&actions.add_large_communities).map(String::as_str).collect();
    if !communities.is_empty() {
        changes.push(format!("communities {}", communities.join(" ")));
    }
    let changes = if changes.is_empty() { String::new() } else { format!(", sets {}", changes.join(", ")) };
    let (prefix, statement, policy) = (offered.prefix, &offered.statement, &chain.policy);
    format!("{prefix} accepted by statement {statement} of {policy}{changes}")
}

/// What bgpd says about this peer.
fn on_wire(page: &mut Page, explanation: &Explanation, instance: &InstanceChain, chain: &PeerChain) {
    let BgpdAnswer::Asked { prefixes, sessions, .. } = &explanation.bgpd else { return };
    let session = sessions.iter().find(|one| one.instance == instance.name && one.peer == chain.name);
    session.into_iter().for_each(|session| page.line(&session_line(session)));
    for one in prefixes {
        let of_instance = one.instances.iter().filter(|each| each.instance == instance.name);
        for peer in of_instance.flat_map(|each| &each.peers).filter(|peer| peer.name == chain.name) {
            told(page, &one.prefix, peer);
        }
    }
}

fn session_line(session: &Session) -> String {
    if !session.established {
        return format!("session {}", session.state);
    }
    let Session { received, advertised, .. } = session;
    format!(
        "session established for {}, {advertised} sent, {received} received",
        uptime(session.uptime_seconds)
    )
}

fn told(page: &mut Page, prefix: &str, peer: &PeerOnWire) {
    let since = uptime(peer.state_seconds);
    let down = peer.down.as_deref().map(|down| format!(" ({down})")).unwrap_or_default();
    let state = format!("session {} for {since}{down}", peer.state);
    match &peer.told {
        Told::Sent { routes } => {
            page.line(&state);
            routes.iter().for_each(|route| sent(page, prefix, route));
            if peer.queued_octets > 0 {
                page.line(&format!("{} octets wait for the peer to take them", peer.queued_octets));
            }
        }
        Told::Queued => page.line(&format!("{state}; {prefix} is queued")),
        Told::Withheld { reason, message } => {
            page.line(&format!("{state}; {prefix} not sent: {reason}: {message}"))
        }
    }
}

fn sent(page: &mut Page, prefix: &str, route: &SentOnWire) {
    let id = route.path_id.map(|id| format!(" path {id}")).unwrap_or_default();
    page.line(&format!("{prefix}{id} sent {} UTC, {}", route.sent.string, route.attributes));
    page.deeper(|page| page.line(&format!("UPDATE {}", route.update)));
}

fn table(page: &mut Page, on_wire: &OnWire) {
    for instance in &on_wire.instances {
        let name = &instance.instance;
        if instance.restarting {
            page.line(&format!("instance {name} was restarted and advertises nothing yet"));
        }
        if instance.paths.is_empty() {
            page.line(&format!("table of {name}: {} is not in it", on_wire.prefix));
        }
        for path in &instance.paths {
            let from = match (&path.peer, &path.source) {
                (Some(peer), _) => format!("from {peer}"),
                (None, Some(source)) => format!("our own, for {source}"),
                (None, None) => "our own".to_owned(),
            };
            let mark = if path.best { "best" } else { "not best" };
            page.line(&format!("table of {name}: {} {from}, {mark}: {}", on_wire.prefix, path.message));
        }
    }
}

/// Peers that bgpd has from other owners and that were told something.
fn strangers(page: &mut Page, explanation: &Explanation, prefixes: &[OnWire]) {
    let known = |instance: &InstanceOnWire, peer: &PeerOnWire| {
        let mut chains = explanation.instances.iter();
        chains.any(|chain| {
            chain.name == instance.instance && chain.peers.iter().any(|one| one.name == peer.name)
        })
    };
    for on_wire in prefixes {
        for instance in &on_wire.instances {
            for peer in instance.peers.iter().filter(|peer| !known(instance, peer)) {
                page.line(&format!(
                    "peer {} of {}, which no object configures",
                    peer.name, instance.instance
                ));
                page.deeper(|page| told(page, &on_wire.prefix, peer));
            }
        }
    }
}

fn in_words(stop: &Stop, whole: bool) -> String {
    let Stop { reason, message, .. } = stop;
    let place =
        [stop.object.as_deref(), stop.field.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    if whole && !place.is_empty() {
        format!("{reason}: {place}: {message}")
    } else {
        format!("{reason}: {message}")
    }
}
