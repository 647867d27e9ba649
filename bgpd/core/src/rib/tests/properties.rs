//! Whatever happens in whatever order: the invariants hold after each step, and everybody ends up with the same.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::paths::taking;
use super::*;
use crate::config::PathsSent;

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    Up(u32),
    Down(u32),
    /// Its session ends, and its routes of these families are kept.
    Lose(u32, FamilySet),
    Sweep(u32, Family),
    Announce {
        from: u32,
        prefix: usize,
        id: u32,
        path: usize,
    },
    Withdraw {
        from: u32,
        prefix: usize,
        id: u32,
    },
    PathsSent(u32, PathsSent),
    /// The peer begins to send everything again, or has done so.
    Refreshing(u32, Family, bool),
    Originate(Vec<(usize, Option<u32>)>),
    Policies {
        of: u32,
        import: usize,
        export: usize,
    },
    Poll {
        to: u32,
        messages: usize,
    },
    Refresh(u32, bool),
    /// Another process takes over; nobody may notice.
    HandOver,
    NextHop {
        of: u32,
        state: NextHopState,
    },
    Configure {
        maximum_paths: u8,
        relax: bool,
        asn: u32,
    },
}

const PREFIXES: [&str; 6] =
    ["10.1.0.0/16", "10.2.0.0/16", "10.2.3.0/24", "0.0.0.0/0", "2001:db8:1::/48", "2001:db8:2::/48"];

/// Peers 1 to 4 are external, two of them in one AS; 5 is internal, 6 and 7 are clients. Three of them take several paths.
const PEERS: std::ops::RangeInclusive<u32> = 1..=7;

fn params_of(number: u32) -> PeerParams {
    let asn = [65_001, 65_001, 65_002, 65_003, OWN_ASN, OWN_ASN, OWN_ASN][number as usize - 1];
    let params = params(number, asn);
    let params = match number {
        2 | 6 => taking(params, PathsSent::All),
        5 => taking(params, PathsSent::Best(2)),
        _ => params,
    };
    PeerParams {
        route_reflector_client: number >= 6,
        // One that has no IPv6 address, and one that speaks IPv4 alone.
        enhanced_refresh: number.is_multiple_of(2),
        local_address_v6: params.local_address_v6.filter(|_| number != 4),
        families: if number == 3 { FamilySet::IPV4_UNICAST } else { FamilySet::ALL },
        ..params
    }
}

/// The attributes of a peer's path: alike for peers of one AS, so that exports coincide.
fn path(from: u32, variant: usize, prefix: &str) -> PathAttributes {
    let asn = params_of(from).remote_asn;
    let first = if asn == OWN_ASN { String::new() } else { asn.to_string() };
    let hops = ["7", "7 8", "9", "65000", ""][variant % 5];
    let as_path = format!("{first} {hops}");
    let base =
        if net(prefix).addr().is_ipv4() { via(from, as_path.trim()) } else { via_v6(from, as_path.trim()) };
    PathAttributes {
        med: [None, Some(5), Some(10)][variant % 3],
        communities: [None, Some(Community::NO_EXPORT), None, None][variant % 4].into_iter().collect(),
        local_pref: (asn == OWN_ASN && variant % 2 == 1).then_some(200),
        ..base
    }
}

fn policies(variant: usize) -> Option<Arc<Policy>> {
    let set = Actions { med: Some(77), local_preference: Some(150), prepend: 1, ..Actions::default() };
    match variant {
        0 => None,
        1 => Some(policy(&["10.1.0.0/16", "2001:db8:1::/48"], Verdict::Accept, set)),
        2 => Some(policy(&["10.2.0.0/16"], Verdict::Reject, Actions::default())),
        _ => Some(policy(&[], Verdict::Accept, set)),
    }
}

/// Most peers send one path per prefix; those that send several have few.
fn path_id() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(0), 1 => 1..6_u32]
}

fn any_step() -> impl Strategy<Value = Step> {
    let prefix = || 0..PREFIXES.len();
    let state = prop_oneof![
        (0..3_u32).prop_map(|metric| NextHopState::Reachable { metric }),
        Just(NextHopState::Unreachable)
    ];
    prop_oneof![
        3 => PEERS.prop_map(Step::Up),
        1 => PEERS.prop_map(Step::Down),
        2 => (PEERS, select(vec![FamilySet::ALL, FamilySet::IPV4_UNICAST])).prop_map(|(of, kept)| Step::Lose(of, kept)),
        2 => (PEERS, select(vec![Family::IPV4_UNICAST, Family::IPV6_UNICAST])).prop_map(|(of, family)| Step::Sweep(of, family)),
        8 => (PEERS, prefix(), path_id(), 0..12_usize).prop_map(|(from, prefix, id, path)| Step::Announce { from, prefix, id, path }),
        3 => (PEERS, prefix(), path_id()).prop_map(|(from, prefix, id)| Step::Withdraw { from, prefix, id }),
        1 => (PEERS, select(vec![PathsSent::All, PathsSent::Best(1), PathsSent::Best(2)])).prop_map(|(of, which)| Step::PathsSent(of, which)),
        2 => vec((prefix(), select(vec![None, Some(1)])), 0..4).prop_map(Step::Originate),
        2 => (PEERS, 0..4_usize, 0..4_usize).prop_map(|(of, import, export)| Step::Policies { of, import, export }),
        2 => (PEERS, select(vec![Family::IPV4_UNICAST, Family::IPV6_UNICAST]), any::<bool>()).prop_map(|(of, family, begins)| Step::Refreshing(of, family, begins)),
        8 => (PEERS, 1..4_usize).prop_map(|(to, messages)| Step::Poll { to, messages }),
        2 => Just(Step::HandOver),
        1 => (PEERS, any::<bool>()).prop_map(|(to, v6)| Step::Refresh(to, v6)),
        1 => (PEERS, state).prop_map(|(of, state)| Step::NextHop { of, state }),
        1 => (1..4_u8, any::<bool>(), select(vec![OWN_ASN, 9])).prop_map(|(maximum_paths, relax, asn)| {
            Step::Configure { maximum_paths, relax, asn }
        }),
    ]
}

impl Lab {
    fn is_up(&self, number: u32) -> bool {
        self.mirrors.contains_key(&peer(number))
    }

    fn step(&mut self, step: &Step) {
        self.now += std::time::Duration::from_millis(300);
        match *step {
            Step::Up(number) if !self.is_up(number) => self.up(params_of(number), number),
            Step::Down(number) if self.is_up(number) => self.down(number),
            Step::Lose(number, families) if self.is_up(number) => {
                self.lose(number, families);
            }
            Step::Sweep(number, family) => {
                self.sweep(number, family);
            }
            Step::Announce { from, prefix, id, path: variant } if self.is_up(from) => {
                let prefix = PREFIXES[prefix];
                let family = Family::of(&net(prefix));
                if params_of(from).families.contains(family) {
                    self.announce_paths(from, &path(from, variant, prefix), &[(id, prefix)]);
                }
            }
            Step::Withdraw { from, prefix, id } if self.is_up(from) => {
                self.withdraw_paths(from, &[(id, PREFIXES[prefix])]);
            }
            Step::Refreshing(of, family, begins) if self.is_up(of) => {
                if begins {
                    self.rib.refresh_begins(peer(of), family);
                } else {
                    self.rib.refresh_ends(peer(of), family);
                }
            }
            Step::PathsSent(of, which) => self.rib.set_paths_sent(peer(of), Some(which), self.now),
            Step::Originate(ref routes) => {
                let route = |(prefix, med): &(usize, Option<u32>)| OriginatedRoute {
                    med: *med,
                    ..own(PREFIXES[*prefix])
                };
                self.originate(routes.iter().map(route).collect());
            }
            Step::Policies { of, import, export } => {
                self.rib.set_policies(peer(of), policies(import), policies(export), self.now);
            }
            Step::Poll { to, messages } if self.is_up(to) => {
                for _ in 0..messages {
                    self.poll(to);
                }
            }
            Step::Refresh(number, v6) if self.is_up(number) => {
                self.mirrors.get_mut(&peer(number)).unwrap().refreshing = true;
                let family = if v6 { Family::IPV6_UNICAST } else { Family::IPV4_UNICAST };
                self.rib.refresh_out(peer(number), family, self.now);
            }
            Step::HandOver => self.hand_over(),
            Step::NextHop { of, state } => {
                let addresses = [format!("192.0.2.{of}"), format!("2001:db8::{of}")];
                self.rib.set_next_hops(addresses.map(|address| (address.parse().unwrap(), state)));
            }
            Step::Configure { maximum_paths, relax, asn } => {
                let config = RibConfig {
                    maximum_paths,
                    multipath_relax: relax,
                    local_asn: asn,
                    ..self.rib.config.clone()
                };
                self.rib.set_config(config, self.now);
            }
            _ => {}
        }
        self.check();
    }

    /// All paths of all destinations with all that was decided about them.
    pub(super) fn loc_rib(&self) -> Vec<String> {
        let families = [Family::IPV4_UNICAST, Family::IPV6_UNICAST];
        let entries = families.into_iter().flat_map(|family| self.rib.rib_page(family, None, 1_000).entries);
        entries
            .flat_map(|entry| {
                entry.paths.into_iter().map(move |path| {
                    format!(
                        "{} {:?} {} {:?} {:?} {}",
                        entry.prefix, path.peer, path.path_id, path.standing, path.selection, path.attributes
                    )
                })
            })
            .collect()
    }
}

/// Few by default, because every step recomputes everything; `PROPTEST_CASES` asks for more.
fn some_cases() -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: wanted.unwrap_or(48), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(some_cases())]

    #[test]
    fn invariants_hold_after_every_step(
        up in proptest::sample::subsequence(PEERS.collect::<Vec<_>>(), 0..=7),
        steps in vec(any_step(), 1..60),
    ) {
        let mut lab = Lab::new(config());
        for number in up {
            lab.up(params_of(number), number);
        }
        for step in &steps {
            lab.step(step);
        }
        lab.drain();
        // When everybody is gone, nothing is left.
        for number in PEERS.filter(|number| lab.is_up(*number)).collect::<Vec<_>>() {
            lab.down(number);
        }
        for number in PEERS {
            lab.rib.peer_down(peer(number), lab.now);
        }
        lab.originate(Vec::new());
        for family in [Family::IPV4_UNICAST, Family::IPV6_UNICAST] {
            let totals = lab.rib.totals(family);
            prop_assert_eq!((totals.prefixes, totals.paths, totals.groups, totals.attribute_sets), (0, 0, 0, 0));
        }
    }

    #[test]
    fn the_order_of_arrival_plays_no_part(
        // Too few identifiers to have too many paths: those that come last would stay out.
        updates in vec((PEERS, 0..PREFIXES.len(), 0..3_u32, proptest::option::weighted(0.8, 0..12_usize)), 1..40),
        keys in vec(any::<u64>(), 40),
        maximum_paths in 1..4_u8,
    ) {
        let run = |order: &[usize]| {
            let mut lab = Lab::new(RibConfig { maximum_paths, ..config() });
            for number in PEERS {
                lab.up(params_of(number), number);
            }
            for position in order {
                let (from, prefix, id, path) = updates[*position];
                lab.step(&match path {
                    Some(path) => Step::Announce { from, prefix, id, path },
                    None => Step::Withdraw { from, prefix, id },
                });
            }
            lab.drain();
            // Which number a path has depends on the order; which paths there are does not.
            let told = |mirror: &Mirror| {
                let routes = mirror.routes.iter();
                let mut routes: Vec<_> = routes.map(|((prefix, _), what)| format!("{prefix} {what}")).collect();
                routes.sort_unstable();
                routes
            };
            let told: Vec<_> = lab.mirrors.values().map(told).collect();
            (lab.loc_rib(), told)
        };
        let as_given: Vec<usize> = (0..updates.len()).collect();
        // Any interleaving that keeps the order of each peer's updates: merge the peers by random keys.
        let mut shuffled = as_given.clone();
        let mut last = BTreeMap::new();
        let mut key_of = vec![0; updates.len()];
        for position in &as_given {
            let last = last.entry(updates[*position].0).or_insert(0_u64);
            *last = (*last).saturating_add(keys[*position] >> 8);
            key_of[*position] = *last;
        }
        shuffled.sort_by_key(|position| key_of[*position]);
        prop_assert_eq!(run(&as_given), run(&shuffled));
    }
}

/// Found by chance: who joined a group that was to send everything again was sent the same twice.
#[test]
fn who_comes_up_beside_a_refresh_is_told_once() {
    let mut lab = Lab::new(config());
    for number in [1, 2, 3, 7] {
        lab.up(params_of(number), number);
    }
    let steps = [
        Step::Announce { from: 1, prefix: 3, id: 0, path: 0 },
        Step::Announce { from: 1, prefix: 1, id: 0, path: 4 },
        Step::Refresh(7, false),
        Step::Up(6),
        Step::Announce { from: 1, prefix: 0, id: 0, path: 1 },
        Step::Announce { from: 6, prefix: 2, id: 0, path: 0 },
    ];
    for step in &steps {
        lab.step(step);
    }
    lab.drain();
}
