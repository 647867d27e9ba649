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
        let actions = [
            self.set_local_preference.map(|value| format!("SetLocalPreference: {value}")),
            list("AddCommunities", &self.add_communities),
            list("AddLargeCommunities", &self.add_large_communities),
            self.set_med.map(|value| format!("SetMed: {value}")),
            self.prepend.map(|times| format!("Prepend: {times}")),
        ];
        cell(actions.into_iter().flatten(), "")
    }
}

impl From<&intent::PrefixMatch> for PrefixMatch {
    fn from(prefix: &intent::PrefixMatch) -> Self {
        let shortest = prefix.min_length.unwrap_or_else(|| prefix.prefix.prefix_len());
        Self {
            cidr: prefix.prefix,
            prefix_len_min: shortest,
            prefix_len_max: prefix.max_length.unwrap_or(shortest),
        }
    }
}

/// Cilium writes a single value as it is and several in braces, after a word that says how they combine.
fn cell(values: impl Iterator<Item = String>, combined: &str) -> String {
    let values: Vec<String> = values.collect();
    match values.as_slice() {
        [] => String::new(),
        [single] => single.clone(),
        several => {
            let braced: Vec<_> = several.iter().map(|value| format!("{{{value}}}")).collect();
            format!("{combined}{}", braced.join(" "))
        }
    }
}

/// Cilium's table, with the column Node if the node is known.
#[must_use]
pub fn to_text(policies: &[RoutePolicy], node: Option<&str>) -> String {
    table(node.is_some(), [(node.unwrap_or_default(), policies)])
}

/// The same of several nodes.
#[must_use]
pub fn of_nodes(nodes: &[(String, Vec<RoutePolicy>)]) -> String {
    table(true, nodes.iter().map(|(node, policies)| (node.as_str(), policies.as_slice())))
}

fn table<'a>(with_node: bool, nodes: impl IntoIterator<Item = (&'a str, &'a [RoutePolicy])>) -> String {
    let heading = [
        "Node",
        "Instance",
        "Policy Name",
        "Type",
        "Statement Name",
        "Match Peers",
        "Match Families",
        "Match Prefixes (Min..Max Len)",
        "RIB Action",
        "Path Actions",
    ];
    let skip = usize::from(!with_node);
    let mut table = Table::new(heading.into_iter().skip(skip));
    let named = |(node, policies): (&'a str, &'a [RoutePolicy])| {
        policies.iter().enumerate().map(move |(index, policy)| (if index == 0 { node } else { "" }, policy))
    };
    for (node, policy) in nodes.into_iter().flat_map(named) {
        let direction = match policy.r#type {
            PolicyType::Import => "import",
            PolicyType::Export => "export",
        };
        let instance =
            if policy.instance.is_empty() { policy.router_asn.to_string() } else { policy.instance.clone() };
        let mut of_policy = [node.to_owned(), instance, policy.name.clone(), direction.to_owned()];
        for statement in &policy.statements {
            let families =
                statement.match_families.iter().map(|family| format!("{}/{}", family.afi, family.safi));
            let of_statement = [
                statement.name.clone(),
                cell(statement.match_neighbors.iter().cloned(), "(any) "),
                cell(families, "(any) "),
                statement.prefix_cell(),
                statement.route_action.name().to_owned(),
                statement.actions_cell(),
            ];
            table.push(of_policy.iter().cloned().chain(of_statement).skip(skip));
            of_policy.fill(String::new());
        }
        if policy.statements.is_empty() {
            table.push(of_policy.into_iter().skip(skip));
        }
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn intent() -> Intent {
        let export = |peer: &str| {
            json!({"name": format!("peer-{peer}-export"), "defaultAction": "reject", "statements": [
                {"name": "PodCIDR-ipv4", "families": ["ipv4-unicast"], "prefixes": [{"prefix": "10.244.1.0/24"}],
                 "action": "accept", "set": {"localPreference": 99, "addCommunities": ["65000:99", "no-export"]}},
                {"name": "Service-web-default-LoadBalancerIP-ipv4", "families": ["ipv4-unicast"],
                 "prefixes": [{"prefix": "192.0.2.1/32"}, {"prefix": "192.0.2.0/24", "maxLength": 32}],
                 "action": "accept"}
            ]})
        };
        let import = json!({"name": "allow-local", "defaultAction": "reject",
                            "statements": [{"name": "accept-local", "sources": ["local"], "action": "accept"}]});
        serde_json::from_value(json!({"instances": [{
            "name": "instance-65001", "localASN": 65001, "routerID": "10.0.0.1", "peers": [
                {"name": "tor-a", "address": "10.0.0.2", "peerASN": 65000, "import": import, "export": export("tor-a")},
                {"name": "tor-b", "address": "fd00::2", "peerASN": 65000, "import": import, "export": export("tor-b")}
            ]}]}))
        .expect("an intent")
    }

    #[test]
    fn one_export_policy_per_peer_and_one_import_policy() {
        let policies = of_intent(&intent());
        let named: Vec<_> = policies.iter().map(|policy| (policy.name.as_str(), policy.r#type)).collect();
        let expected = [
            ("allow-local", PolicyType::Import),
            ("peer-tor-a-export", PolicyType::Export),
            ("peer-tor-b-export", PolicyType::Export),
        ];
        assert_eq!(named, expected);
        assert!(policies[0].statements[0].match_neighbors.is_empty());
        assert_eq!(policies[2].statements[1].match_neighbors, ["fd00::2"]);
    }

    #[test]
    fn the_json_has_all_lists_and_no_absent_scalars() {
        let policies = of_intent(&intent());
        let expected = json!({
            "name": "PodCIDR-ipv4",
            "match-neighbors": ["10.0.0.2"],
            "match-families": [{"afi": "ipv4", "safi": "unicast"}],
            "match-prefixes": [{"cidr": "10.244.1.0/24", "prefix-len-min": 24, "prefix-len-max": 24}],
            "route-action": "accept",
            "add-communities": ["65000:99", "no-export"],
            "add-large-communities": [],
            "set-local-preference": 99
        });
        assert_eq!(serde_json::to_value(&policies[1].statements[0]).expect("JSON"), expected);
    }

    #[test]
    fn the_table() {
        let text = to_text(&of_intent(&intent())[..2], Some("n1"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(
            lines[0].starts_with("Node   Instance         Policy Name         Type     Statement Name"),
            "{text}"
        );
        assert!(
            lines[1].starts_with("n1     instance-65001   allow-local         import   accept-local"),
            "{text}"
        );
        let actions = "accept       {SetLocalPreference: 99} {AddCommunities: [65000:99 no-export]}";
        assert!(lines[2].contains("ipv4/unicast     10.244.1.0/24 (24..24)   "), "{text}");
        assert!(lines[2].ends_with(actions), "{text}");
        assert!(
            lines[3].ends_with("(any) {192.0.2.1/32 (32..32)} {192.0.2.0/24 (24..32)}   accept"),
            "{text}"
        );
    }
}
