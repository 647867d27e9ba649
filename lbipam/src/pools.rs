//! All pools together: in the order in which they are asked, with conflicts and counts.
//!
//! Invariant: a count is the number of addresses of the pool at which anybody is. An address that lies in several pools counts
//! in each of them, since it is free in none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use rutter_crds::CiliumLoadBalancerIPPool;

use crate::conflict::{Conflict, conflicts};
use crate::counts::{Counts, Tally};
use crate::occupancy::Occupancy;
use crate::plan::PoolChange;
use crate::pool::Pool;
use crate::settings::Settings;
use crate::status;

/// A pool among the others.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) pool: Pool,
    pub(crate) conflict: Option<Conflict>,
    pub(crate) tally: Tally,
}

/// What a new set of objects means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Nothing that decides anything: statuses at most.
    None,
    /// Services have to be looked at again.
    Decisive,
}

/// The pools.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pools {
    members: Vec<Member>,
    by_name: BTreeMap<Arc<str>, usize>,
    /// When pools went away that somebody may still have addresses of.
    gone: BTreeMap<Arc<str>, Timestamp>,
    /// Places of those whose status may have to be written.
    unsettled: BTreeSet<usize>,
}

impl Pools {
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// With their places, in the order in which they are asked.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Member)> {
        self.members.iter().enumerate()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// When a pool of this name went away, if that was since the Services were last looked at.
    pub(crate) fn gone_at(&self, name: &str) -> Option<Timestamp> {
        self.gone.get(name).copied()
    }

    /// The Services were looked at.
    pub(crate) fn forget_gone(&mut self) {
        self.gone.clear();
    }

    /// Takes the whole set of objects.
    pub(crate) fn replace(
        &mut self,
        objects: Vec<Arc<CiliumLoadBalancerIPPool>>,
        occupancy: &Occupancy,
        settings: &Settings,
        now: Timestamp,
    ) -> Difference {
        let objects: BTreeMap<String, Arc<CiliumLoadBalancerIPPool>> = objects
            .into_iter()
            .map(|object| (object.metadata.name.clone().unwrap_or_default(), object))
            .collect();
        let same = objects.len() == self.members.len()
            && self.members.iter().all(|member| {
                objects.get(&*member.pool.name).is_some_and(|object| member.pool.means_the_same(object))
            });
        if same {
            for (place, member) in self.members.iter_mut().enumerate() {
                if let Some(object) = objects.get(&*member.pool.name)
                    && !Arc::ptr_eq(object, &member.pool.object)
                {
                    member.pool.object = Arc::clone(object);
                    self.unsettled.insert(place);
                }
            }
            return Difference::None;
        }
        for name in self.by_name.keys() {
            if !objects.contains_key(&**name) {
                self.gone.entry(Arc::clone(name)).or_insert(now);
            }
        }
        let mut pools: Vec<Pool> =
            objects.into_values().map(|object| Pool::parse(object, settings)).collect();
        pools.sort_by(Pool::asked_before);
        let mut conflicts = conflicts(&pools);
        self.members = pools
            .into_iter()
            .map(|pool| Member {
                conflict: conflicts.remove(&pool.name),
                tally: Tally::of(
                    &pool,
                    pool.union()
                        .iter()
                        .flat_map(|range| occupancy.within(*range))
                        .map(|(address, _)| address),
                ),
                pool,
            })
            .collect();
        self.by_name = self
            .members
            .iter()
            .enumerate()
            .map(|(place, member)| (Arc::clone(&member.pool.name), place))
            .collect();
        self.gone.retain(|name, _| !self.by_name.contains_key(name));
        self.unsettled = (0..self.members.len()).collect();
        Difference::Decisive
    }

    /// Somebody is at an address where nobody was.
    pub(crate) fn take(&mut self, address: IpAddr) {
        for (place, member) in self.members.iter_mut().enumerate() {
            if member.pool.covers(address) {
                member.tally.take(&member.pool, address);
                self.unsettled.insert(place);
            }
        }
    }

    /// Nobody is at an address any more.
    pub(crate) fn free(&mut self, address: IpAddr) {
        for (place, member) in self.members.iter_mut().enumerate() {
            if member.pool.covers(address) {
                member.tally.free(&member.pool, address);
                self.unsettled.insert(place);
            }
        }
    }

    /// What has to be written into the pools' statuses.
    pub(crate) fn changes(&mut self, now: Timestamp) -> Vec<PoolChange> {
        let mut changes = Vec::new();
        self.unsettled.retain(|place| {
            let change = self.members.get(*place).and_then(|member| {
                let wanted = status::wanted(
                    &member.pool,
                    &Counts::of(&member.pool, member.tally),
                    member.conflict.as_ref(),
                );
                status::difference(&member.pool, wanted, Vec::new(), now)
            });
            let differs = change.is_some();
            changes.extend(change);
            differs
        });
        changes
    }
}
