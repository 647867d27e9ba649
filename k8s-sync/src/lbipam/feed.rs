//! What is different between two snapshots is handed over, and nothing else.
//!
//! Invariant: after [`feed`] the allocator has seen exactly the
//! objects of the newer snapshot. Objects are compared by identity, so one changed Service among ten thousand costs a walk
//! over pointers.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use lbipam::Ipam;

use super::{cluster_ranges, cluster_ranges_may_differ};
use crate::snapshot::Snapshot;

/// Hands over what is different in `after`. A new allocator gets everything: `before` is the empty snapshot.
pub fn feed(ipam: &mut Ipam, before: &Snapshot, after: &Snapshot, now: Timestamp) {
    let pools = differ(&before.lb_pools, &after.lb_pools);
    if pools {
        ipam.handle_pools(after.lb_pools.values().cloned().collect(), now);
    }
    // Nodes change all the time, and hardly anybody asks; a pool that begins to is a pool that differs.
    if ipam.needs_cluster_ranges() && (pools || cluster_ranges_may_differ(before, after)) {
        ipam.handle_cluster_ranges(cluster_ranges(after));
    }
    if differ(&before.lb_reservations, &after.lb_reservations) {
        ipam.handle_reservations(after.lb_reservations.values().cloned().collect());
    }
    for (before, after) in differences(&before.services, &after.services) {
        let former = before.and_then(|service| service.ipam.as_ref());
        match (former, after.and_then(|service| service.ipam.as_ref())) {
            (_, Some(service)) => ipam.handle_service(Arc::clone(service)),
            (Some(service), None) => ipam.handle_service_gone(&service.key),
            (None, None) => {}
        }
    }
}

/// Whether two maps hold different objects.
fn differ<K: Ord, V>(before: &Arc<BTreeMap<K, Arc<V>>>, after: &Arc<BTreeMap<K, Arc<V>>>) -> bool {
    differences(before, after).next().is_some()
}

/// What is different: the former object, the newer one.
fn differences<'m, K: Ord, V>(
    before: &'m Arc<BTreeMap<K, Arc<V>>>,
    after: &'m Arc<BTreeMap<K, Arc<V>>>,
) -> impl Iterator<Item = (Option<&'m Arc<V>>, Option<&'m Arc<V>>)> {
    let same = Arc::ptr_eq(before, after);
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    std::iter::from_fn(move || {
        if same {
            return None;
        }
        loop {
            let order = match (old.peek(), new.peek()) {
                // One object has one name, so the names need not be compared.
                (Some((_, a)), Some((_, b))) if Arc::ptr_eq(a, b) => {
                    old.next();
                    new.next();
                    continue;
                }
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return None,
            };
            let former = if order.is_le() { old.next() } else { None };
            let newer = if order.is_ge() { new.next() } else { None };
            return Some((former.map(|(_, object)| object), newer.map(|(_, object)| object)));
        }
    })
}

#[cfg(test)]
mod tests;
