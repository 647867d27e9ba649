//! The index against reading statement by statement.

use std::sync::Arc;

use bgp_wire::{Community, LargeCommunity};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::policy::{CommunityMatch, Policy, PrefixMatch};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn statement(name: &str, prefixes: Vec<PrefixMatch>, action: Verdict) -> Statement {
    Statement {
        name: name.into(),
        families: Vec::new(),
        prefixes,
        any_community: Vec::new(),
        sources: Vec::new(),
        action,
        set: Actions::default(),
    }
}

fn compile(default_action: Verdict, statements: Vec<Statement>) -> CompiledPolicy {
    let statements = statements.into();
    CompiledPolicy::new(Arc::new(Policy { name: "test".into(), default_action, statements }))
}

fn decide(policy: &CompiledPolicy, prefix: &str) -> Outcome {
    let attributes = PathAttributes::default();
    policy.evaluate(Candidate { prefix: &net(prefix), attributes: &attributes, source: SourceMatch::Local })
}

#[test]
fn ten_thousand_exact_prefixes_each_find_their_own_statement() {
    let service = |number: u16| {
        let [high, low] = number.to_be_bytes();
        format!("10.96.{high}.{low}/32")
    };
    let mut statements: Vec<_> = (0..10_000)
        .map(|number| {
            let mut statement =
                statement("service", vec![PrefixMatch::exact(net(&service(number)))], Verdict::Accept);
            statement.set.med = Some(number.into());
            statement
        })
        .collect();
    statements.push(statement("pods", vec![PrefixMatch::exact(net("10.244.1.0/24"))], Verdict::Accept));
    let policy = compile(Verdict::Reject, statements);
    for number in [0, 1, 4_711, 9_999] {
        let outcome = decide(&policy, &service(number));
        assert_eq!(outcome, Outcome { verdict: Verdict::Accept, statement: Some(number.into()) });
        assert_eq!(policy.actions(outcome).unwrap().med, Some(number.into()));
    }
    assert_eq!(decide(&policy, "10.244.1.0/24").statement, Some(10_000));
    assert_eq!(decide(&policy, "10.96.0.0/16"), Outcome { verdict: Verdict::Reject, statement: None });
    assert!(!policy.is_prefix_blind(Family::IPV4_UNICAST));
    assert!(policy.is_prefix_blind(Family::IPV6_UNICAST));
}

#[test]
fn lengths_default_to_the_prefix_itself() {
    let range = |min, max| {
        let matched = PrefixMatch::new(net("10.1.0.0/16"), min, max);
        compile(Verdict::Reject, vec![statement("range", vec![matched], Verdict::Accept)])
    };
    let accepted = |policy: &CompiledPolicy| -> Vec<&str> {
        let prefixes = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "10.2.0.0/24"];
        prefixes.into_iter().filter(|prefix| decide(policy, prefix).verdict == Verdict::Accept).collect()
    };
    assert_eq!(accepted(&range(None, None)), ["10.1.0.0/16"]);
    assert_eq!(accepted(&range(Some(24), None)), ["10.1.2.0/24"]);
    assert_eq!(accepted(&range(None, Some(24))), ["10.1.0.0/16", "10.1.2.0/24"]);
    assert_eq!(accepted(&range(Some(8), Some(32))), ["10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32"]);
    assert!(accepted(&range(Some(30), Some(20))).is_empty());
}

#[test]
fn actions_change_what_they_name() {
    let actions = Actions {
        local_preference: Some(200),
        med: Some(5),
        add_communities: vec![Community::NO_EXPORT, Community::new(65_001, 1)],
        add_large_communities: vec![LargeCommunity { global: 65_001, local1: 2, local2: 3 }],
        prepend: 3,
    };
    let mut attributes = PathAttributes {
        communities: [Community::new(65_001, 1), Community::new(65_001, 2)].into_iter().collect(),
        ..PathAttributes::default()
    };
    actions.apply(&mut attributes);
    let expected = PathAttributes {
        local_pref: Some(200),
        med: Some(5),
        communities: [Community::new(65_001, 1), Community::new(65_001, 2), Community::NO_EXPORT]
            .into_iter()
            .collect(),
        large_communities: [LargeCommunity { global: 65_001, local1: 2, local2: 3 }].into_iter().collect(),
        ..PathAttributes::default()
    };
    assert_eq!(attributes, expected);
}

#[test]
fn equal_policies_decide_alike_whatever_their_names() {
    let one = compile(Verdict::Reject, vec![statement("a", Vec::new(), Verdict::Accept)]);
    let renamed = Policy { name: "other".into(), ..Policy::clone(one.policy()) };
    assert!(one.decides_as(&Arc::new(renamed.clone())));
    assert_ne!(one, CompiledPolicy::new(Arc::new(renamed.clone())));
    assert!(!one.decides_as(&Arc::new(Policy { default_action: Verdict::Accept, ..renamed })));
}

/// Reads the statements one after the other.
fn naive(policy: &Policy, route: Candidate<'_>) -> Outcome {
    let family = Family::of(route.prefix);
    for (number, statement) in (0..).zip(&*policy.statements) {
        let family_holds = statement.families.is_empty() || statement.families.contains(&family);
        let prefix_holds = statement.prefixes.is_empty()
            || statement.prefixes.iter().any(|matched| {
                matched.prefix.contains(route.prefix)
                    && matched.min_length <= route.prefix.prefix_len()
                    && route.prefix.prefix_len() <= matched.max_length
            });
        let community_holds = statement.any_community.is_empty()
            || statement.any_community.iter().any(|community| match community {
                CommunityMatch::Standard(community) => {
                    route.attributes.communities.iter().any(|carried| carried == community)
                }
                CommunityMatch::Large(community) => {
                    route.attributes.large_communities.iter().any(|carried| carried == community)
                }
            });
        let source_holds = statement.sources.is_empty() || statement.sources.contains(&route.source);
        if family_holds && prefix_holds && community_holds && source_holds {
            return Outcome { verdict: statement.action, statement: Some(number) };
        }
    }
    Outcome { verdict: policy.default_action, statement: None }
}

const PREFIXES: [&str; 9] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.1.0/24",
    "10.1.1.1/32",
    "192.0.2.0/24",
    "::/0",
    "2001:db8::/32",
    "2001:db8:1::/48",
];

fn any_prefix() -> impl Strategy<Value = IpNet> {
    select(&PREFIXES[..]).prop_map(net)
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    select(vec![Verdict::Accept, Verdict::Reject])
}

fn any_source() -> impl Strategy<Value = SourceMatch> {
    select(vec![SourceMatch::Local, SourceMatch::Internal, SourceMatch::External])
}

fn any_community() -> impl Strategy<Value = CommunityMatch> {
    (0..3_u32, any::<bool>()).prop_map(|(number, large)| {
        if large {
            CommunityMatch::Large(LargeCommunity { global: number, local1: 0, local2: 0 })
        } else {
            CommunityMatch::Standard(Community(number))
        }
    })
}

fn any_statement() -> impl Strategy<Value = Statement> {
    let length = || proptest::option::of(0..=48_u8);
    let matched =
        (any_prefix(), length(), length()).prop_map(|(prefix, min, max)| PrefixMatch::new(prefix, min, max));
    let families = vec(select(vec![Family::IPV4_UNICAST, Family::IPV6_UNICAST]), 0..2);
    (families, vec(matched, 0..4), vec(any_community(), 0..2), vec(any_source(), 0..2), any_verdict())
        .prop_map(|(families, prefixes, any_community, sources, action)| Statement {
            families,
            any_community,
            sources,
            ..statement("any", prefixes, action)
        })
}

proptest! {
    #[test]
    fn decides_as_reading_from_the_first_to_the_last(
        default_action in any_verdict(),
        statements in vec(any_statement(), 0..12),
        prefix in any_prefix(),
        communities in vec(any_community(), 0..3),
        source in any_source(),
    ) {
        let mut attributes = PathAttributes::default();
        for community in communities {
            match community {
                CommunityMatch::Standard(community) => {
                    attributes.communities = attributes.communities.with([community]);
                }
                CommunityMatch::Large(community) => {
                    attributes.large_communities = attributes.large_communities.with([community]);
                }
            }
        }
        let policy = compile(default_action, statements);
        let route = Candidate { prefix: &prefix, attributes: &attributes, source };
        prop_assert_eq!(policy.evaluate(route), naive(policy.policy(), route));
    }
}

/// What becomes of a route, whatever the number of the statement that says so.
fn fate(policy: &CompiledPolicy, prefix: &str) -> (Verdict, Option<Actions>) {
    let outcome = decide(policy, prefix);
    (outcome.verdict, policy.actions(outcome).cloned())
}

#[test]
fn two_policies_differ_in_the_prefixes_of_the_statements_that_differ() {
    let prefixes = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24", "10.0.4.0/24"];
    let service = |prefix: &str, med: u32| {
        let mut statement = statement("service", vec![PrefixMatch::exact(net(prefix))], Verdict::Accept);
        statement.set.med = Some(med);
        statement
    };
    let all: Vec<_> = prefixes.iter().map(|prefix| service(prefix, 1)).collect();
    // One less, one more, one changed, two exchanged, a second one for a prefix before the first: whatever decides a
    // route in another way is named.
    let mut variants = vec![all.clone()];
    for position in 0..all.len() {
        let mut fewer = all.clone();
        fewer.remove(position);
        let mut changed = all.clone();
        changed[position].set.med = Some(2);
        let mut exchanged = all.clone();
        exchanged.swap(position, (position + 2) % all.len());
        let mut twice = all.clone();
        twice.insert(position, service(prefixes[4], 3));
        variants.extend([fewer, changed, exchanged, twice]);
    }
    let policies: Vec<_> =
        variants.into_iter().map(|statements| compile(Verdict::Reject, statements)).collect();
    for (one, other) in policies.iter().flat_map(|one| policies.iter().map(move |other| (one, other))) {
        let difference = one.difference(other).expect("all statements name their prefix");
        for prefix in prefixes {
            let named = difference.contains(&net(prefix));
            assert!(named || fate(one, prefix) == fate(other, prefix), "{prefix}");
        }
    }
    assert_eq!(policies[0].difference(&policies[0]), Some(Vec::new()));
    assert_eq!(policies[0].difference(&policies[1]), Some(vec![net(prefixes[0])]), "one less");
}

#[test]
fn policies_that_differ_in_more_than_single_prefixes_may_differ_in_all() {
    let range = PrefixMatch::new(net("10.0.0.0/8"), Some(24), None);
    let some = compile(Verdict::Reject, vec![statement("one", vec![range], Verdict::Accept)]);
    let any = compile(Verdict::Reject, vec![statement("any", Vec::new(), Verdict::Accept)]);
    let none = compile(Verdict::Reject, Vec::new());
    let open = compile(Verdict::Accept, Vec::new());
    for (one, other) in [(&some, &none), (&none, &any), (&none, &open)] {
        assert_eq!(one.difference(other), None);
        assert_eq!(other.difference(one), None);
    }
}
