//! What is known, for those who show it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use num_bigint::BigUint;
use serde::{Serialize, Serializer};

use crate::counts::Counts;
use crate::ipam::Ipam;
use crate::pools::Member;
use crate::quota::QuotaUse;
use crate::roster::{Entry, Say};
use crate::service::{Family, Service, ServiceKey};
use crate::status::listed;

/// A pool, for `show` and metrics.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolView {
    /// Its name.
    pub name: Arc<str>,
    /// Lower is asked first; absent is last.
    pub priority: Option<i64>,
    /// Whether it gives only to Services that ask for it.
    pub on_request_only: bool,
    /// `spec.disabled`.
    pub disabled: bool,
    /// The text of its conflict, if it gives nothing new because of one.
    pub conflict: Option<String>,
    /// What it has of the cluster's ranges, if it gives nothing new because of that.
    pub covers_cluster_range: Option<String>,
    /// Addresses, and whose they are, that its edit would move if it did not wait.
    pub would_move: Vec<String>,
    /// What is to be expected of its families, if its owner wants to know.
    pub forecast: Vec<Outlook>,
    /// What namespaces have of it, if its owner counts that: those that have any, and those that are named.
    pub quotas: Vec<QuotaUse>,
    /// Ranges of its good blocks, in the order of the spec.
    pub ranges: Vec<String>,
    /// What is wrong with its other blocks.
    pub bad_blocks: Option<String>,
    /// IPv4 addresses.
    pub ipv4: Use,
    /// IPv6 addresses.
    pub ipv6: Use,
}

/// What is to be expected of one family of a pool, as of the last plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outlook {
    /// The family.
    pub family: Family,
    /// Addresses a day: an upper bound of the net growth.
    pub per_day: f64,
    /// Whole days until the last address is gone, at that rate; absent without growth.
    pub days_to_full: Option<u64>,
    /// Below how many days the pool warns.
    pub warns_below_days: Option<u32>,
}

/// How many addresses there are. Numbers are decimal texts: an IPv6 pool has more than JSON can count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// All.
    #[serde(serialize_with = "decimal")]
    pub total: BigUint,
    /// Those at which somebody is, and edges that are not given out.
    #[serde(serialize_with = "decimal")]
    pub used: BigUint,
    /// Those that are free.
    #[serde(serialize_with = "decimal")]
    pub available: BigUint,
}

impl From<Counts> for Use {
    fn from(counts: Counts) -> Self {
        Self { available: counts.available(), total: counts.total, used: counts.used }
    }
}

fn decimal<S: Serializer>(number: &BigUint, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

/// How many Services there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceCounts {
    /// Those that LB IPAM serves.
    pub handled: usize,
    /// Those of them that miss something.
    pub unsatisfied: usize,
}

impl Ipam {
    /// The pools, in the order in which they are asked.
    pub fn pools(&self) -> impl Iterator<Item = PoolView> {
        self.pools.iter().map(|(_, member)| {
            let pool = &member.pool;
            let of = |family| Use::from(Counts::of_family(pool, member.tally, family));
            PoolView {
                name: Arc::clone(&pool.name),
                priority: pool.annotations.priority,
                on_request_only: pool.annotations.on_request_only,
                disabled: pool.disabled,
                conflict: member.conflict.as_ref().map(ToString::to_string),
                covers_cluster_range: (!member.covered.is_empty()).then(|| listed(&member.covered)),
                would_move: member.staging.movers.iter().map(ToString::to_string).collect(),
                forecast: member
                    .forecasts
                    .iter()
                    .map(|forecast| Outlook {
                        family: forecast.family,
                        per_day: forecast.per_day(),
                        days_to_full: forecast.days_to_full(),
                        warns_below_days: pool.forecast_days,
                    })
                    .collect(),
                quotas: quotas(member),
                ranges: pool.blocks.iter().map(|block| block.range.to_string()).collect(),
                bad_blocks: (!pool.bad_blocks.is_empty()).then(|| {
                    listed(pool.bad_blocks.iter().map(|(index, bad)| format!("spec.blocks[{index}] {bad}")))
                }),
                ipv4: of(Family::V4),
                ipv6: of(Family::V6),
            }
        })
    }

    /// Who holds an address, oldest first. Services whose status still says it although it is decided that they lose it
    /// are not in it.
    #[must_use]
    pub fn holders(&self, address: IpAddr) -> Vec<Arc<Service>> {
        self.entries_at(address, |entry| entry.holds(address))
    }

    /// Who is at an address as far as others are concerned, oldest first: who holds it, and whose status says it does.
    #[must_use]
    pub fn occupants(&self, address: IpAddr) -> Vec<Arc<Service>> {
        self.entries_at(address, |_| true)
    }

    /// All addresses that are held, ascending, each with its holders, oldest first.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, Vec<Arc<Service>>)> {
        let taken = self.occupancy.iter().map(|(address, _)| (address, self.holders(address)));
        taken.filter(|(_, holders)| !holders.is_empty())
    }

    /// The addresses that a Service holds, in the order they came.
    #[must_use]
    pub fn held(&self, key: &ServiceKey) -> Vec<IpAddr> {
        let entry = self.roster.find(key).and_then(|id| self.roster.get(id));
        entry.into_iter().flat_map(|entry| &entry.held).map(|held| held.address).collect()
    }

    /// How many Services there are. Looks at all of them.
    #[must_use]
    pub fn service_counts(&self) -> ServiceCounts {
        let mut counts = ServiceCounts::default();
        for (_, entry) in self.roster.iter().filter(|(_, entry)| entry.ours) {
            counts.handled += 1;
            counts.unsatisfied += usize::from(matches!(entry.say, Say::Refused(..)));
        }
        counts
    }

    fn entries_at(&self, address: IpAddr, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Service>> {
        let ids = self.occupancy.at(address).iter();
        let mut entries: Vec<&Entry> =
            ids.filter_map(|id| self.roster.get(*id)).filter(|entry| wanted(entry)).collect();
        entries.sort_by(|one, other| one.age.cmp(&other.age));
        entries.into_iter().map(|entry| Arc::clone(&entry.service)).collect()
    }
}

fn quotas(member: &Member) -> Vec<QuotaUse> {
    let Some(quota) = &member.pool.annotations.quota else { return Vec::new() };
    let mut used: BTreeMap<&str, u64> = quota.named().map(|namespace| (namespace, 0)).collect();
    used.extend(member.by_namespace.iter().map(|(namespace, used)| (&**namespace, *used)));
    let view = |(namespace, used): (&str, u64)| QuotaUse {
        namespace: namespace.into(),
        used,
        limit: quota.limit(namespace),
    };
    used.into_iter().map(view).collect()
}
