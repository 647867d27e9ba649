//! A pool, as far as allocation looks at it.
//!
//! Invariant: everything here follows from the object alone. What is not understood in it (a block, the selector, an
//! annotation) is set aside and named; the rest serves on, and nothing that was given out is taken away for it.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use num_bigint::BigUint;
use rutter_crds::{AllowFirstLastIPs, CiliumLoadBalancerIPPool};

use crate::accepted::Accepted;
use crate::annotation::{PoolAnnotations, SERVICE_POOL};
use crate::block::{BadBlock, Block};
use crate::range::Range;
use crate::selector::ServiceSelector;
use crate::service::{Family, Service};
use crate::settings::Settings;

/// A pool.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The object it was read from.
    pub object: Arc<CiliumLoadBalancerIPPool>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.creationTimestamp`. Absent (manifests) counts as older than everything.
    pub created: Option<Timestamp>,
    /// `spec.disabled`: nothing new is given out.
    pub disabled: bool,
    /// Blocks that are understood, in the order of the spec.
    pub blocks: Box<[Block]>,
    /// Blocks that are not, with their place in `spec.blocks`.
    pub bad_blocks: Box<[(usize, BadBlock)]>,
    /// `spec.serviceSelector`.
    pub selector: ServiceSelector,
    /// What its annotations say.
    pub annotations: PoolAnnotations,
    /// Whether ranges of the cluster are refused: its annotation, else the settings.
    pub refuses_cluster_ranges: bool,
    /// Below how many days to exhaustion it warns: its annotation, else the settings. Absent: never.
    pub forecast_days: Option<u32>,
    /// What counts beside the spec while an edit waits (`rutter.dev/safe-shrink`).
    pub accepted: Accepted,
    /// Whether the annotation that keeps the accepted spec is wanted at all.
    pub(crate) keeps_accepted_spec: bool,
    /// Addresses of all blocks, each once: sorted, none touching another.
    union: Box<[Range]>,
    /// Edges that are not given out, sorted.
    edges: Box<[IpAddr]>,
}

impl Pool {
    /// From the object.
    #[must_use]
    pub fn parse(object: Arc<CiliumLoadBalancerIPPool>, settings: &Settings) -> Self {
        let (metadata, spec) = (&object.metadata, &object.spec);
        let mut annotations = PoolAnnotations::parse(metadata.annotations.as_ref());
        let before = annotations.bad.len();
        let accepted = Accepted::of(&object, &mut annotations, settings);
        let keeps_accepted_spec =
            annotations.safe_shrink.unwrap_or(settings.safe_shrink) && annotations.bad.len() == before;
        let (mut blocks, mut bad_blocks) = (Vec::with_capacity(spec.blocks.len()), Vec::new());
        for (index, block) in spec.blocks.iter().enumerate() {
            match Block::parse(index, block) {
                Ok(block) => blocks.push(block),
                Err(bad) => bad_blocks.push((index, bad)),
            }
        }
        let keep_edges = spec.allow_first_last_ips == Some(AllowFirstLastIPs::No);
        let mut edges: Vec<IpAddr> =
            blocks.iter().filter(|_| keep_edges).filter_map(Block::edges).flatten().collect();
        edges.sort_unstable();
        edges.dedup();
        Self {
            name: metadata.name.as_deref().unwrap_or_default().into(),
            created: metadata.creation_timestamp.as_ref().map(|created| created.0),
            disabled: spec.disabled,
            union: Range::union(blocks.iter().map(|block| block.range)).into(),
            blocks: blocks.into(),
            bad_blocks: bad_blocks.into(),
            selector: ServiceSelector::parse(spec.service_selector.as_ref()),
            refuses_cluster_ranges: annotations
                .refuse_cluster_ranges
                .unwrap_or(settings.refuse_cluster_ranges),
            forecast_days: annotations.forecast_days.or(settings.forecast_days).filter(|days| *days > 0),
            annotations,
            accepted,
            keeps_accepted_spec,
            edges: edges.into(),
            object,
        }
    }

    /// Whether an object says what this pool was read from: then only its status or its `resourceVersion` differ, and
    /// putting it into [`Self::object`] is all there is to do.
    #[must_use]
    pub fn means_the_same(&self, object: &CiliumLoadBalancerIPPool) -> bool {
        let (ours, theirs) = (&self.object.metadata, &object.metadata);
        if std::ptr::eq(&*self.object, object) {
            return true;
        }
        ours.name == theirs.name
            && ours.uid == theirs.uid
            && ours.creation_timestamp == theirs.creation_timestamp
            && ours.generation == theirs.generation
            && ours.annotations == theirs.annotations
            && self.object.spec == object.spec
    }

    /// The order in which pools are asked for an address: by priority, then by name.
    #[must_use]
    pub fn asked_before(&self, other: &Self) -> Ordering {
        let rank = |pool: &Self| pool.annotations.priority.map_or((1, 0), |priority| (0, priority));
        rank(self).cmp(&rank(other)).then_with(|| self.name.cmp(&other.name))
    }

    /// The order in which pools win conflicts: the older one, then by name.
    #[must_use]
    pub fn wins_over(&self, other: &Self) -> Ordering {
        self.created.cmp(&other.created).then_with(|| self.name.cmp(&other.name))
    }

    /// Whether the address is in a block.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        let at = self.union.partition_point(|range| {
            range.family() < Family::of(address)
                || (range.family() == Family::of(address) && range.last() < address)
        });
        self.union.get(at).is_some_and(|range| range.contains(address))
    }

    /// The first block, in the order of the spec, that the address is in.
    #[must_use]
    pub fn block_of(&self, address: IpAddr) -> Option<&Block> {
        self.blocks.iter().find(|block| block.range.contains(address))
    }

    /// Whether it has addresses of a family.
    #[must_use]
    pub fn has(&self, family: Family) -> bool {
        self.union.iter().any(|range| range.family() == family)
    }

    /// The addresses of all blocks, each once: sorted, none touching another.
    #[must_use]
    pub fn union(&self) -> &[Range] {
        &self.union
    }

    /// How many addresses of a family it has, edges included, each once.
    #[must_use]
    pub fn total(&self, family: Family) -> BigUint {
        self.union.iter().filter(|range| range.family() == family).map(Range::size).sum()
    }

    /// Edges that are not given out (`allowFirstLastIPs: No`), sorted. Who holds one already keeps it.
    #[must_use]
    pub fn edges(&self) -> &[IpAddr] {
        &self.edges
    }

    /// Whether the address is an edge that is not given out.
    #[must_use]
    pub fn is_edge(&self, address: IpAddr) -> bool {
        self.edges.binary_search(&address).is_ok()
    }

    /// Whether the Service may get addresses of it.
    #[must_use]
    pub fn selects(&self, service: &Service) -> bool {
        self.selector.selects(service)
    }

    /// What the Service lacks to be selected, in words.
    #[must_use]
    pub fn unmet(&self, service: &Service) -> Vec<String> {
        self.selector.unmet(service)
    }

    /// Whether the Service asks for this pool by name.
    #[must_use]
    pub fn is_named_by(&self, service: &Service) -> bool {
        let named = service.annotations.get(SERVICE_POOL);
        named.is_some_and(|names| names.split(',').any(|name| *name.trim() == *self.name))
    }

    /// Whether the Service may get an address of it without asking for that very address: not out of a pool that is there
    /// on request only, unless it names the pool; and a Service that names pools gets none of others.
    #[must_use]
    pub fn gives_unasked(&self, service: &Service) -> bool {
        self.is_named_by(service)
            || !(self.annotations.on_request_only || service.annotations.get(SERVICE_POOL).is_some())
    }

    /// Whether a Service that holds the address may keep it on account of this pool, whatever else the pool suffers from
    /// (disabled, conflicting): by its spec, or by the one before while an edit waits.
    #[must_use]
    pub fn keeps(&self, address: IpAddr, service: &Service) -> bool {
        self.keeps_by_spec(address, service)
            || match &self.accepted {
                Accepted::Nothing => false,
                Accepted::Earlier(earlier) => earlier.iter().any(|pool| pool.keeps_by_spec(address, service)),
                Accepted::Unreadable => true,
            }
    }

    /// Whether the spec as it stands lets the Service keep the address. Selected and in a block, that is; and while a block or
    /// the selector is not understood, it may mean this very address or Service, so it counts as if it did.
    #[must_use]
    pub fn keeps_by_spec(&self, address: IpAddr, service: &Service) -> bool {
        let selected = || matches!(self.selector, ServiceSelector::Unusable(_)) || self.selects(service);
        (self.covers(address) || !self.bad_blocks.is_empty()) && selected()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::annotation::{AUTO_ASSIGN, PRIORITY};
    use crate::service::ServiceKey;

    /// A pool of a name and blocks, `- ` ranges and CIDRs alike.
    pub(crate) fn pool(name: &str, blocks: &[&str]) -> Pool {
        Pool::parse(Arc::new(object(name, blocks)), &Settings::default())
    }

    pub(crate) fn object(name: &str, blocks: &[&str]) -> CiliumLoadBalancerIPPool {
        let blocks: Vec<_> = blocks
            .iter()
            .map(|block| match block.split_once(" - ") {
                Some((start, stop)) => json!({"start": start, "stop": stop}),
                None => json!({"cidr": block}),
            })
            .collect();
        from_json(json!({"metadata": {"name": name}, "spec": {"blocks": blocks}}))
    }

    pub(crate) fn from_json(mut object: serde_json::Value) -> CiliumLoadBalancerIPPool {
        object["apiVersion"] = json!("cilium.io/v2");
        object["kind"] = json!("CiliumLoadBalancerIPPool");
        serde_json::from_value(object).unwrap()
    }

    fn parse(object: serde_json::Value) -> Pool {
        Pool::parse(Arc::new(from_json(object)), &Settings::default())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn service(namespace: &str, annotations: &[(&str, &str)]) -> Service {
        Service {
            key: Arc::new(ServiceKey::new(namespace, "web")),
            annotations: annotations.iter().copied().collect(),
            ..Service::default()
        }
    }

    #[test]
    fn good_blocks_serve_beside_bad_ones() {
        let pool = pool("p", &["10.0.1.0/30", "010.0.0.0/24", "10.0.0.1 - 10.0.0.3", "x"]);
        let ranges: Vec<_> = pool.blocks.iter().map(|block| (block.index, block.range.to_string())).collect();
        assert_eq!(
            ranges,
            [(0, "10.0.1.0 - 10.0.1.3".to_owned()), (2, "10.0.0.1 - 10.0.0.3".to_owned())],
            "in the order of the spec"
        );
        assert_eq!(pool.bad_blocks.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 3]);
        for (address, covered) in [
            ("10.0.0.0", false),
            ("10.0.0.1", true),
            ("10.0.0.4", false),
            ("10.0.1.3", true),
            ("10.0.1.4", false),
        ] {
            assert_eq!(pool.covers(ip(address)), covered, "{address}");
            assert_eq!(pool.block_of(ip(address)).is_some(), covered, "{address}");
        }
    }

    #[test]
    fn edges_are_kept_back_on_demand() {
        let spec = |allow: serde_json::Value| {
            let blocks = json!([{"cidr": "10.0.0.0/30"}, {"cidr": "10.1.0.0/31"}, {"cidr": "fd00::/64"},
                {"start": "10.2.0.0", "stop": "10.2.0.255"}]);
            parse(json!({"metadata": {"name": "p"}, "spec": {"allowFirstLastIPs": allow, "blocks": blocks}}))
        };
        let no = spec(json!("No"));
        assert_eq!(
            no.edges(),
            [ip("10.0.0.0"), ip("10.0.0.3"), ip("fd00::"), ip("fd00::ffff:ffff:ffff:ffff")]
        );
        assert!(no.is_edge(ip("10.0.0.3")) && !no.is_edge(ip("10.0.0.2")) && !no.is_edge(ip("10.2.0.255")));
        assert_eq!(spec(json!("Yes")).edges(), [] as [IpAddr; 0]);
        assert_eq!(spec(json!(null)).edges(), [] as [IpAddr; 0]);
        // The same span as a range has no edges left: they go by how the block is written.
        assert!(!pool("p", &["10.0.0.0 - 10.0.0.3"]).is_edge(ip("10.0.0.0")));
        // Whoever holds an edge keeps it.
        assert!(no.keeps(ip("10.0.0.3"), &service("a", &[])));
    }

    #[test]
    fn pools_are_asked_by_priority_then_name() {
        let of = |name: &str, priority: Option<&str>| {
            let annotations = priority.map(|priority| json!({PRIORITY: priority}));
            parse(json!({"metadata": {"name": name, "annotations": annotations}, "spec": {}}))
        };
        let mut pools = [
            of("a", None),
            of("e", Some("10")),
            of("d", Some("10")),
            of("c", Some("-1")),
            of("b", Some("first")),
            of("z", Some("0")),
        ];
        pools.sort_by(Pool::asked_before);
        assert_eq!(pools.map(|pool| pool.name.to_string()), ["c", "z", "d", "e", "a", "b"]);
    }

    #[test]
    fn a_pool_on_request_gives_to_who_names_it() {
        let named = |pools| service("a", &[(SERVICE_POOL, pools)]);
        let on_request =
            parse(json!({"metadata": {"name": "p", "annotations": {AUTO_ASSIGN: "false"}}, "spec": {}}));
        let open = pool("q", &[]);
        assert!(!on_request.gives_unasked(&service("a", &[])) && open.gives_unasked(&service("a", &[])));
        assert!(on_request.gives_unasked(&named("x, p")) && !open.gives_unasked(&named("x, p")));
    }

    #[test]
    fn what_is_not_understood_takes_nothing_away() {
        let selector = json!({"matchLabels": {"io.kubernetes.service.namespace": "blue"}});
        let of = |blocks, selector| {
            parse(json!({"metadata": {"name": "p"}, "spec": {"blocks": blocks, "serviceSelector": selector}}))
        };
        let (blue, red) = (service("blue", &[]), service("red", &[]));
        let good = of(json!([{"cidr": "10.0.0.0/24"}]), selector.clone());
        assert!(good.keeps(ip("10.0.0.1"), &blue) && !good.keeps(ip("10.0.0.1"), &red));
        assert!(!good.keeps(ip("10.0.1.1"), &blue));
        let bad_block = of(json!([{"cidr": "10.0.0.0/24"}, {"stop": "10.0.1.9"}]), selector);
        assert!(bad_block.keeps(ip("10.0.1.1"), &blue), "it may be in the block that is not understood");
        assert!(!bad_block.keeps(ip("10.0.1.1"), &red));
        let bad_selector = of(
            json!([{"cidr": "10.0.0.0/24"}]),
            json!({"matchExpressions": [{"key": "a", "operator": "In", "values": []}]}),
        );
        assert!(bad_selector.keeps(ip("10.0.0.1"), &red) && !bad_selector.selects(&red));
        assert!(!bad_selector.keeps(ip("10.0.1.1"), &red));
    }

    #[test]
    fn duplicates_count_once() {
        let open = pool("q", &["10.0.0.0/24"]);
        assert!(!open.has(Family::V6));
        let pool = pool("p", &["10.0.0.0/24", "10.0.0.0/25", "10.0.0.255 - 10.0.1.0", "fd00::/64"]);
        assert_eq!(pool.total(Family::V4), BigUint::from(257u32));
        assert_eq!(pool.total(Family::V6).to_string(), "18446744073709551616");
        assert!(pool.has(Family::V6));
    }
}
