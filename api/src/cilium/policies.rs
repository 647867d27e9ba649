//! `bgp route-policies`: what the peers' import and export policies do.
//!
//! Invariant: the list is made from the intent alone. An export policy is listed for the peers that name it; an import
//! policy that every peer of an instance has is listed once, without peers, as Cilium lists its global one.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::table::Table;
use super::{Family, is_default};
use crate::intent::{self, Instance, Intent, SourceMatch, Verdict};

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = CiliumRoutePolicy)]
pub struct RoutePolicy {
    /// Name of the instance. rutter's own.
    #[serde(default)]
    pub instance: String,
    /// Name of the policy.
    pub name: String,
    /// ASN of the instance.
    pub router_asn: u32,
    /// `export` or `import`.
    pub r#type: PolicyType,
    /// Its statements, in order of evaluation.
    pub statements: Vec<Statement>,
}

/// In which direction a policy works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = CiliumPolicyType)]
pub enum PolicyType {
    /// On what is received.
    Import,
    /// On what is sent.
    Export,
}

/// A statement: all conditions hold, or it does not apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", default)]
#[schema(as = CiliumPolicyStatement)]
pub struct Statement {
    /// Its name. rutter's own.
    pub name: String,
    /// Addresses of the peers it is about. Empty: all.
    pub match_neighbors: Vec<String>,
    /// Families it is about. Empty: all.
    pub match_families: Vec<Family>,
    /// Prefixes it is about. Empty: all.
    pub match_prefixes: Vec<PrefixMatch>,
    /// Communities of which a route must have one. rutter's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_communities: Vec<String>,
    /// Where a route must come from: `local`, `internal`, `external`. rutter's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_sources: Vec<String>,
    /// What happens to the route.
    pub route_action: RouteAction,
    /// Communities that are added.
    pub add_communities: Vec<String>,
    /// Large communities that are added.
    pub add_large_communities: Vec<String>,
    /// LOCAL_PREF that is set.
    #[serde(skip_serializing_if = "is_default")]
    pub set_local_preference: Option<u32>,
    /// MULTI_EXIT_DISC that is set. rutter's own.
    #[serde(skip_serializing_if = "is_default")]
    pub set_med: Option<u32>,
    /// How often our ASN is prepended. rutter's own.
    #[serde(skip_serializing_if = "is_default")]
    pub prepend: Option<u8>,
}

/// A prefix and the lengths inside it that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = CiliumPrefixMatch)]
pub struct PrefixMatch {
    /// The prefix.
    #[schema(value_type = String)]
    pub cidr: IpNet,
    /// Smallest length.
    #[serde(default, skip_serializing_if = "is_default")]
    pub prefix_len_min: u8,
    /// Largest length.
    #[serde(default, skip_serializing_if = "is_default")]
    pub prefix_len_max: u8,
}

/// What happens to a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = CiliumRouteAction)]
pub enum RouteAction {
    /// The next statement decides.
    #[default]
    None,
    /// It passes.
    Accept,
    /// It does not.
    Reject,
}

impl RouteAction {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Accept => "accept",
            Self::Reject => "reject",
        }
    }
}

/// All policies of an intent, by instance and peer.
#[must_use]
pub fn of_intent(intent: &Intent) -> Vec<RoutePolicy> {
    intent.instances.iter().flat_map(of_instance).collect()
}

fn of_instance(instance: &Instance) -> Vec<RoutePolicy> {
    let mut found: Vec<(PolicyType, &intent::Policy, Vec<String>)> = Vec::new();
    for peer in &instance.peers {
        for (direction, policy) in [(PolicyType::Import, &peer.import), (PolicyType::Export, &peer.export)] {
            let Some(policy) = policy else { continue };
            let address = peer.address.to_string();
            match found.iter_mut().find(|(other, same, _)| *other == direction && *same == policy) {
                Some((_, _, neighbors)) => neighbors.push(address),
                None => found.push((direction, policy, vec![address])),
            }
        }
    }
    found
        .into_iter()
        .map(|(direction, policy, mut neighbors)| {
            if direction == PolicyType::Import && neighbors.len() == instance.peers.len() {
                neighbors.clear();
            }
            RoutePolicy {
                instance: instance.name.clone(),
                name: policy.name.clone(),
                router_asn: instance.local_asn,
                r#type: direction,
                statements: statements(policy, &neighbors),
            }
        })
        .collect()
}

/// Cilium's policies reject what no statement accepts, so only another default is worth a row.
fn statements(policy: &intent::Policy, neighbors: &[String]) -> Vec<Statement> {
    let mut all: Vec<Statement> =
        policy.statements.iter().map(|statement| Statement::new(statement, neighbors)).collect();
    if policy.default_action == Verdict::Accept {
        all.push(Statement {
            name: "default".to_owned(),
            match_neighbors: neighbors.to_vec(),
            route_action: RouteAction::Accept,
            ..Statement::default()
        });
    }
    all
}

impl Statement {
    fn new(statement: &intent::Statement, neighbors: &[String]) -> Self {
        let source = |source: &SourceMatch| match source {
            SourceMatch::Local => "local".to_owned(),
            SourceMatch::Internal => "internal".to_owned(),
            SourceMatch::External => "external".to_owned(),
        };
        let set = &statement.set;
        Self {
            name: statement.name.clone(),
            match_neighbors: neighbors.to_vec(),
            match_families: statement.families.iter().copied().map(Family::from).collect(),
            match_prefixes: statement.prefixes.iter().map(PrefixMatch::from).collect(),
            match_communities: statement.any_community.clone(),
            match_sources: statement.sources.iter().map(source).collect(),
            route_action: match statement.action {
                Verdict::Accept => RouteAction::Accept,
                Verdict::Reject => RouteAction::Reject,
            },
            add_communities: set.add_communities.clone(),
            add_large_communities: set.add_large_communities.clone(),
            set_local_preference: set.local_preference,
            set_med: set.med,
            prepend: set.prepend,
        }
    }

    fn prefix_cell(&self) -> String {
        let each = self
            .match_prefixes
            .iter()
            .map(|prefix| format!("{} ({}..{})", prefix.cidr, prefix.prefix_len_min, prefix.prefix_len_max));
        cell(each, "(any) ")
    }

    fn actions_cell(&self) -> String {
        let list = |name: &str, values: &[String]| {
            (!values.is_empty()).then(|| format!("{name}: [{}]", values.join(" ")))
        };
        let actions = "accept       {SetLocalPreference: 99} {AddCommunities: [65000:99 no-export]}";
        assert!(lines[2].contains("ipv4/unicast     10.244.1.0/24 (24..24)   "), "{text}");
        assert!(lines[2].ends_with(actions), "{text}");
        assert!(
            lines[3].ends_with("(any) {192.0.2.1/32 (32..32)} {192.0.2.0/24 (24..32)}   accept"),
            "{text}"
        );
    }
}
