//! All pools together: in the order in which they are asked, with conflicts and counts.
//!
//! Invariant: a count is the number of addresses of the pool at which anybody is. An address that lies in several pools counts
//! in each of them, since it is free in none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use rutter_crds::CiliumLoadBalancerIPPool;

use crate::cluster_range::ClusterRange;
use crate::conflict::{Conflict, conflicts};
use crate::counts::{Counts, Tally};
use crate::forecast::{self, Forecast, Since};
use crate::occupancy::Occupancy;
use crate::plan::PoolChange;
use crate::pool::Pool;
use crate::refusal::{self, Covered, covered};
use crate::settings::Settings;
use crate::staging::Staging;
use crate::status;

/// A pool among the others.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) pool: Pool,
    pub(crate) conflict: Option<Conflict>,
    /// What it has of the cluster's ranges, if its owner wants that refused.
    pub(crate) covered: Vec<Covered>,
    pub(crate) tally: Tally,
    /// Since when its addresses are held, if its owner wants a forecast.
    since: Option<Since>,
    /// At how many of its addresses each namespace is, if its owner counts by namespace.
    pub(crate) by_namespace: BTreeMap<Box<str>, u64>,
    /// What was to be expected of it when its status was last settled.
    pub(crate) forecasts: Vec<Forecast>,
    /// What would move if its edit did not wait.
    pub(crate) staging: Staging,
}

/// When the oldest of those who are at an address was created; none if nobody is, or nobody whose creation is known.
pub(crate) type Oldest<'a> = &'a dyn Fn(IpAddr) -> Option<Timestamp>;

impl Member {
    fn new(pool: Pool, conflict: Option<Conflict>, cluster: &[ClusterRange]) -> Self {
        Self {
            covered: covered(&pool, cluster),
            tally: Tally::default(),
            since: pool.forecast_days.map(|_| Since::default()),
            by_namespace: BTreeMap::new(),
            forecasts: Vec::new(),
            staging: Staging::default(),
            conflict,
            pool,
        }
    }

    /// Counts whoever is at its addresses.
    fn count(&mut self, occupancy: &Occupancy, oldest: Oldest<'_>) {
        let taken = self.pool.union().iter().flat_map(|range| occupancy.within(*range));
        for (address, _) in taken {
            self.tally.take(&self.pool, address);
            if let Some(since) = &mut self.since {
                since.note(address, oldest(address));
            }
        }
    }

    /// Whether it counts by namespace.
    pub(crate) fn has_quota(&self) -> bool {
        self.pool.annotations.quota.is_some()
    }

    /// What has to be written into its status.
    fn change(&mut self, now: Timestamp) -> Option<PoolChange> {
        let (pool, tally) = (&self.pool, self.tally);
        let mut wanted = status::wanted(pool, &Counts::of(pool, tally), self.conflict.as_ref());
        wanted.extend(pool.staged(self.staging.movers.iter()));
        wanted.extend(refusal::condition(&self.covered));
        if let Some(since) = &self.since {
            self.forecasts = Forecast::of(pool, since, |family| Counts::of_family(pool, tally, family), now);
            wanted.extend(forecast::condition(pool, &self.forecasts));
        }
        let Staging { movers, needed } = &self.staging;
        let annotate = pool.accepts(needed, !movers.is_empty()).into_iter().collect();
        status::difference(pool, wanted, annotate, now)
    }
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
    /// What the cluster itself uses, sorted.
    cluster: Vec<ClusterRange>,
    /// When forecasts have to be made anew, if anybody wants one.
    forecast_due: Option<Timestamp>,
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
        oldest: Oldest<'_>,
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
        for pool in &mut pools {
            let before = self.by_name.get(&pool.name).and_then(|place| self.members.get(*place));
            if let Some(before) = before {
                pool.inherit(&before.pool);
            }
        }
        pools.sort_by(Pool::asked_before);
        let mut conflicts = conflicts(&pools);
        let members = pools.into_iter().map(|pool| {
            let conflict = conflicts.remove(&pool.name);
            let mut member = Member::new(pool, conflict, &self.cluster);
            member.count(occupancy, oldest);
            member
        });
        self.members = members.collect();
        self.forecast_due = self.members.iter().any(|member| member.since.is_some()).then_some(now);
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

    /// Who is at an address has changed.
    pub(crate) fn note(&mut self, address: IpAddr, oldest: Oldest<'_>) {
        if self.forecast_due.is_none() {
            return;
        }
        for member in self.members.iter_mut().filter(|member| member.pool.covers(address)) {
            if let Some(since) = &mut member.since {
                since.note(address, oldest(address));
            }
        }
    }

    /// A namespace is at an address where it was not before. Whether anybody counts that.
    pub(crate) fn namespace_comes(&mut self, address: IpAddr, namespace: &str) -> bool {
        let mut counted = false;
        for member in self.counting(address) {
            *member.by_namespace.entry(namespace.into()).or_default() += 1;
            counted = true;
        }
        counted
    }

    /// A namespace is at an address no longer. Whether anybody counts that.
    pub(crate) fn namespace_goes(&mut self, address: IpAddr, namespace: &str) -> bool {
        let mut counted = false;
        for member in self.counting(address) {
            if let Some(used) = member.by_namespace.get_mut(namespace) {
                *used = used.saturating_sub(1);
                if *used == 0 {
                    member.by_namespace.remove(namespace);
                }
            }
            counted = true;
        }
        counted
    }

    /// Those that have the address and count by namespace.
    fn counting(&mut self, address: IpAddr) -> impl Iterator<Item = &mut Member> {
        self.members.iter_mut().filter(move |member| member.has_quota() && member.pool.covers(address))
    }

    /// Begins to count by namespace: who is at which addresses.
    pub(crate) fn count_namespaces<'a, N: Iterator<Item = &'a str>>(
        &mut self,
        occupancy: &Occupancy,
        namespaces: impl Fn(IpAddr) -> N,
    ) {
        for member in self.members.iter_mut().filter(|member| member.has_quota()) {
            member.by_namespace.clear();
            for (address, _) in member.pool.union().iter().flat_map(|range| occupancy.within(*range)) {
                let here: BTreeSet<&str> = namespaces(address).collect();
                for namespace in here {
                    *member.by_namespace.entry(namespace.into()).or_default() += 1;
                }
            }
        }
    }

    /// All ranges that the cluster itself uses.
    pub(crate) fn cover(&mut self, mut cluster: Vec<ClusterRange>) -> Difference {
        cluster.sort_unstable();
        if cluster == self.cluster {
            return Difference::None;
        }
        self.cluster = cluster;
        let mut difference = Difference::None;
        for (place, member) in self.members.iter_mut().enumerate() {
            let covered = covered(&member.pool, &self.cluster);
            if covered.is_empty() != member.covered.is_empty() {
                difference = Difference::Decisive;
            }
            if covered != member.covered {
                member.covered = covered;
                self.unsettled.insert(place);
            }
        }
        difference
    }

    /// Pools with an edit that waits, with their places.
    pub(crate) fn staged(&self) -> Vec<usize> {
        let staged = self.iter().filter(|(_, member)| member.pool.may_be_staged());
        staged.map(|(place, _)| place).collect()
    }

    /// What the edit of a pool would move now.
    pub(crate) fn stage(&mut self, place: usize, staging: Staging) {
        if let Some(member) = self.members.get_mut(place)
            && member.staging != staging
        {
            member.staging = staging;
            self.unsettled.insert(place);
        }
    }

    /// When a status may differ by time alone.
    pub(crate) fn forecast_due(&self) -> Option<Timestamp> {
        self.forecast_due
    }

    /// What has to be written into the pools' statuses.
    pub(crate) fn changes(&mut self, now: Timestamp) -> Vec<PoolChange> {
        if self.forecast_due.is_some_and(|due| due <= now) {
            self.forecast_due = Some(forecast::next(now));
            let forecast = self.members.iter().enumerate().filter(|(_, member)| member.since.is_some());
            self.unsettled.extend(forecast.map(|(place, _)| place));
        }
        let mut changes = Vec::new();
        self.unsettled.retain(|place| {
            let change = self.members.get_mut(*place).and_then(|member| member.change(now));
            let differs = change.is_some();
            changes.extend(change);
            differs
        });
        changes
    }
}
