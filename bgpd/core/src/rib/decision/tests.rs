//! Each step of the decision, and that order plays no part in any.

use bgp_wire::{AsPath, SegmentKind};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SINGLE: MultipathRule = MultipathRule { maximum: 1, relax: false };

/// A path as it is before a test makes it better or worse: external, one AS away.
#[derive(Clone, Debug)]
struct TestPath {
    attributes: PathAttributes,
    last_resort: bool,
    local: bool,
    external: bool,
    metric: u32,
    router_id: u8,
    address: u8,
}

impl TestPath {
    fn new(router_id: u8) -> Self {
        let attributes = PathAttributes {
            as_path: AsPath::sequence([65_001]),
            next_hop: Some(NextHop::V4(Ipv4Addr::new(192, 0, 2, router_id))),
            ..PathAttributes::default()
        };
        Self {
            attributes,
            last_resort: false,
            local: false,
            external: true,
            metric: 0,
            router_id,
            address: router_id,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn via(self, path: &str) -> Self {
        let path = path.parse().unwrap();
        self.with(|this| this.attributes.as_path = path)
    }

    fn med(self, med: u32) -> Self {
        self.with(|this| this.attributes.med = Some(med))
    }

    fn contender(&self) -> Contender<'_> {
        Contender {
            attributes: &self.attributes,
            last_resort: self.last_resort,
            local: self.local,
            external: self.external,
            metric: self.metric,
            router_id: Ipv4Addr::new(10, 0, 0, self.router_id),
            address: IpAddr::from([192, 0, 2, self.address]),
        }
    }
}

fn choose(paths: &[TestPath], rule: MultipathRule) -> Selection {
    let contenders: Vec<_> = paths.iter().map(TestPath::contender).collect();
    select(&contenders, rule).unwrap()
}

/// Asserts that `better` wins at `step`, whichever comes first, although it would lose at every later one.
fn wins_at(step: SelectionReason, better: TestPath, worse: TestPath) {
    for (paths, winner) in [([better.clone(), worse.clone()], 0), ([worse, better], 1)] {
        let selection = choose(&paths, SINGLE);
        assert_eq!(selection.best, winner, "{step}: {paths:?}");
        assert_eq!(selection.decided_by, step);
        assert_eq!(selection.lost_at[1 - winner], Some(step));
        assert_eq!(selection.lost_at[winner], None);
    }
}

#[test]
fn every_step_decides_before_the_next_ones() {
    let (low, high) = (TestPath::new(1), TestPath::new(9));
    wins_at(
        SelectionReason::LocalRoute,
        high.clone().with(|path| path.local = true).with(|path| path.attributes.local_pref = Some(1)),
        low.clone(),
    );
    wins_at(
        SelectionReason::LocalPref,
        high.clone().with(|path| path.attributes.local_pref = Some(101)).via("1 2 3"),
        low.clone(),
    );
    wins_at(
        SelectionReason::LocalPref,
        high.clone(),
        low.clone().with(|path| path.attributes.local_pref = Some(99)),
    );
    wins_at(
        SelectionReason::AsPath,
        high.clone().with(|path| path.attributes.origin = Origin::Incomplete),
        low.clone().via("65001 65002"),
    );
    wins_at(
        SelectionReason::Origin,
        high.clone().with(|path| path.attributes.origin = Origin::Egp).med(9),
        low.clone().with(|path| path.attributes.origin = Origin::Incomplete),
    );
    wins_at(SelectionReason::Med, high.clone().with(|path| path.external = false), low.clone().med(1));
    wins_at(
        SelectionReason::PeerType,
        high.clone().with(|path| path.metric = 9),
        low.clone().with(|path| path.external = false),
    );
    wins_at(SelectionReason::IgpMetric, high.clone(), low.clone().with(|path| path.metric = 1));
    wins_at(
        SelectionReason::RouterId,
        low.clone()
            .with(|path| path.attributes.cluster_list = Box::new([Ipv4Addr::LOCALHOST; 2]))
            .with(|path| path.address = 99),
        high.clone(),
    );
    let same_router = |address| TestPath::new(5).with(|path| path.address = address);
    wins_at(
        SelectionReason::ClusterLength,
        same_router(9),
        same_router(1).with(|path| path.attributes.cluster_list = Box::new([Ipv4Addr::LOCALHOST])),
    );
    wins_at(SelectionReason::NeighborAddress, same_router(1), same_router(9));
}

#[test]
fn originator_id_counts_as_router_id() {
    let reflected = TestPath::new(1)
        .with(|path| path.attributes.originator_id = Some(Ipv4Addr::new(10, 0, 0, 7)))
        .with(|path| path.external = false);
    let direct = TestPath::new(5).with(|path| path.external = false);
    wins_at(SelectionReason::RouterId, direct, reflected);
}

#[test]
fn a_set_counts_one_and_a_confederation_nothing() {
    let set = TestPath::new(9).via("65001 {1,2,3}");
    wins_at(SelectionReason::AsPath, set, TestPath::new(1).via("65001 1 2"));
    let segments = [(SegmentKind::ConfedSequence, vec![1, 2, 3]), (SegmentKind::Sequence, vec![65_001])];
    let confederation =
        TestPath::new(9).with(|path| path.attributes.as_path = AsPath::from_segments(segments));
    wins_at(SelectionReason::AsPath, confederation, TestPath::new(1).via("65001 1"));
}

#[test]
fn med_is_not_compared_between_neighbouring_ases() {
    let paths = [TestPath::new(1).via("65001").med(100), TestPath::new(2).via("65002").med(1)];
    let selection = choose(&paths, SINGLE);
    assert_eq!((selection.best, selection.decided_by), (0, SelectionReason::RouterId));
}

#[test]
fn an_alone_path_is_the_first_received() {
    let selection = choose(&[TestPath::new(1)], SINGLE);
    assert_eq!((selection.best, selection.decided_by), (0, SelectionReason::FirstPath));
    assert_eq!(select(&[], SINGLE), None);
}

/// RFC 3345: compared in pairs, these three beat each other in a circle.
#[test]
fn the_med_circle_has_one_winner() {
    let a = TestPath::new(1).via("65001").med(10);
    let b = TestPath::new(2).via("65001").med(5);
    let c = TestPath::new(3).via("65002").with(|path| path.metric = 0);
    let (a, b) = (a.with(|path| path.metric = 0), b.with(|path| path.metric = 9));
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let all = [a.clone(), b.clone(), c.clone()];
        let paths: Vec<_> = order.iter().map(|position| all[*position].clone()).collect();
        assert_eq!(paths[choose(&paths, SINGLE).best].router_id, 3);
    }
}

#[test]
fn multipath_takes_equals_by_router_id_up_to_the_maximum() {
    let paths: Vec<_> = [4, 2, 3, 1].into_iter().map(TestPath::new).collect();
    let chosen = |maximum, paths: &[TestPath]| -> Vec<u8> {
        let selection = choose(paths, MultipathRule { maximum, relax: false });
        let positions = std::iter::once(selection.best).chain(selection.multipath);
        positions.map(|position| paths[position].router_id).collect()
    };
    assert_eq!(chosen(1, &paths), [1]);
    assert_eq!(chosen(3, &paths), [1, 2, 3]);
    assert_eq!(chosen(128, &paths), [1, 2, 3, 4]);
    let mut unequal = paths.clone();
    unequal[1].metric = 1;
    assert_eq!(chosen(128, &unequal), [1, 3, 4]);
    let mut one_next_hop = paths;
    one_next_hop[1].attributes.next_hop = one_next_hop[3].attributes.next_hop;
    assert_eq!(chosen(128, &one_next_hop), [1, 3, 4]);
}

#[test]
fn multipath_wants_equal_as_paths_unless_relaxed() {
    let paths = [TestPath::new(1).via("65001 1"), TestPath::new(2).via("65002 1")];
    let rule = |relax| MultipathRule { maximum: 8, relax };

    assert!(choose(&paths, rule(false)).multipath.is_empty());
    assert_eq!(choose(&paths, rule(true)).multipath[..], [1]);
}

#[test]
fn own_routes_have_no_multipath() {
    let own = TestPath::new(1).with(|path| path.local = true);
    let selection = choose(&[own, TestPath::new(2)], MultipathRule { maximum: 8, relax: true });
    assert!(selection.multipath.is_empty());
}

fn any_path() -> impl Strategy<Value = TestPath> {
    let ranks = (0..2_u32, 1..3_u32, 0..2_u32, 0..3_u32);
    (ranks, any::<bool>(), 0..2_u32, 0..4_u8, proptest::option::of(0..4_u8), 0..2_usize).prop_map(
        |((pref, neighbor, length, med), external, metric, router_id, originator, clusters)| {
            let path = (0..=length).map(|_| neighbor);
            TestPath::new(router_id).with(|this| {
                this.attributes.local_pref = Some(pref);
                this.attributes.as_path = AsPath::sequence(path);
                this.attributes.med = Some(med);
                this.attributes.originator_id = originator.map(|id| Ipv4Addr::new(10, 0, 0, id));
                this.attributes.cluster_list = vec![Ipv4Addr::LOCALHOST; clusters].into();
                this.external = external;
                this.metric = metric;
            })
        },
    )
}

proptest! {
    #[test]
    fn order_plays_no_part(
        paths in vec(any_path(), 1..8),
        shuffle in any::<u64>(),
        maximum in 1..5_u8,
        relax in any::<bool>(),
    ) {
        // Addresses tell the paths apart, as they do for sessions.
        let paths: Vec<_> =
            (0..).zip(paths).map(|(address, path)| path.with(|path| path.address = address)).collect();
        let mut shuffled = paths.clone();
        let mut state = shuffle;
        for position in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(position, (state >> 33) as usize % (position + 1));
        }
        let rule = MultipathRule { maximum, relax };
        let outcome = |paths: &[TestPath]| {
            let selection = choose(paths, rule);
            let address = |position: usize| paths[position].address;
            let mut multipath: Vec<_> = selection.multipath.iter().map(|position| address(*position)).collect();
            multipath.sort_unstable();
            let mut lost: Vec<_> = (0..paths.len()).map(|at| (address(at), selection.lost_at[at])).collect();
            lost.sort_unstable();
            (address(selection.best), selection.decided_by, multipath, lost)
        };
        prop_assert_eq!(outcome(&paths), outcome(&shuffled));
    }

    /// A path that loses does not change who wins among the others, unless it beat somebody by MED.
    #[test]
    fn the_best_path_stays_best_without_the_others(paths in vec(any_path(), 2..7)) {
        let paths: Vec<_> =
            (0..).zip(paths).map(|(address, path)| path.with(|path| path.address = address)).collect();
        let best = choose(&paths, SINGLE).best;
        for other in (0..paths.len()).filter(|other| *other != best) {
            let beats_by_med = |one: &TestPath| {
                paths.iter().any(|path| {
                    path.attributes.as_path.first_asn() == one.attributes.as_path.first_asn()
                        && path.attributes.med > one.attributes.med
                })
            };
            if beats_by_med(&paths[other]) {
                continue;
            }
            let mut left = paths.clone();
            left.remove(other);
            prop_assert_eq!(left[choose(&left, SINGLE).best].address, paths[best].address);
        }
    }
}
