//! Who held which address from when to when, as this process saw it.
//!
//! Leader and standbys record the same, because they record what stands in the statuses of Services and nothing they decided.
//! Invariant: bounded. Of what is over only the newest entries are kept; of what is, there is one entry per address and Service.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_sync::snapshot::Snapshot;
use lbipam::{Service, ServiceKey};
use serde::Serialize;

/// Entries of the past that are kept.
const PAST: usize = 4_096;

/// One end of a time for which a Service held an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) address: IpAddr,
    #[serde(serialize_with = "as_text")]
    pub(super) service: Arc<ServiceKey>,
    pub(super) what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum What {
    /// It got the address.
    Allocated,
    /// It had the address when recording began.
    Adopted,
    /// It does not have it any more.
    Released,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct History {
    since: Option<Timestamp>,
    /// Who holds what, since when, and whether the beginning was seen.
    held: BTreeMap<(IpAddr, Arc<ServiceKey>), (Timestamp, What)>,
    past: VecDeque<Entry>,
}

impl History {
    /// When recording began.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Takes in what differs between two snapshots. The first one is what recording begins with.
    pub(super) fn observe(&mut self, before: &Snapshot, after: &Snapshot, now: Timestamp) {
        let what = if self.since.is_none() { What::Adopted } else { What::Allocated };
        self.since.get_or_insert(now);
        if Arc::ptr_eq(&before.services, &after.services) {
            return;
        }
        let (mut came, mut went) = (Vec::new(), Vec::new());
        let mut old = before.services.iter().peekable();
        for (key, new) in after.services.iter() {
            while let Some((_, gone)) = old.next_if(|(other, _)| *other < key) {
                went.extend(pairs(gone.ipam.as_ref(), None));
            }
            let former = old.next_if(|(other, _)| *other == key).map(|(_, former)| former);
            if former.is_some_and(|former| Arc::ptr_eq(former, new)) {
                continue;
            }
            let (former, new) = (former.and_then(|former| former.ipam.as_ref()), new.ipam.as_ref());
            went.extend(pairs(former, new));
            came.extend(pairs(new, former));
        }
        old.for_each(|(_, gone)| went.extend(pairs(gone.ipam.as_ref(), None)));
        // An address that goes from one to another is released first.
        went.into_iter().for_each(|pair| self.released(pair, now));
        for pair in came {
            self.held.entry(pair).or_insert((now, what));
        }
    }

    fn released(&mut self, pair: Pair, now: Timestamp) {
        let Some((at, what)) = self.held.remove(&pair) else { return };
        let (address, service) = pair;
        self.past.push_back(Entry { at, address, service: Arc::clone(&service), what });
        self.past.push_back(Entry { at: now, address, service, what: What::Released });
        while self.past.len() > PAST {
            self.past.pop_front();
        }
    }

    /// Who holds an address.
    pub(super) fn holders(&self, address: IpAddr) -> impl Iterator<Item = &Arc<ServiceKey>> {
        let first = (address, Arc::new(ServiceKey::new("", "")));
        self.held.range(first..).take_while(move |((other, _), _)| *other == address).map(|((_, key), _)| key)
    }

    /// What happened to one address, or to all, newest first.
    pub(super) fn entries(&self, address: Option<IpAddr>, most: usize) -> Vec<Entry> {
        let matches = |other: IpAddr| address.is_none_or(|address| address == other);
        let held = self.held.iter().filter(|((address, _), _)| matches(*address));
        let held = held.map(|((address, service), (at, what))| Entry {
            at: *at,
            address: *address,
            service: Arc::clone(service),
            what: *what,
        });
        let past = self.past.iter().filter(|entry| matches(entry.address)).cloned();
        let mut entries: Vec<Entry> = past.chain(held).collect();
        // Of two at one moment the later in the list happened later: a release, then the allocation to the next.
        entries.reverse();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
        entries.truncate(most);
        entries
    }
}

type Pair = (IpAddr, Arc<ServiceKey>);

/// Addresses that one state of a Service has and the other has not.
fn pairs(one: Option<&Arc<Service>>, other: Option<&Arc<Service>>) -> Vec<Pair> {
    let addresses = |service: Option<&Arc<Service>>| -> Vec<IpAddr> {
        let entries = service.into_iter().flat_map(|service| service.ingress.iter());
        entries.filter_map(|entry| entry.ip).collect()
    };
    let (Some(service), others) = (one, addresses(other)) else { return Vec::new() };
    let mut only = addresses(one);
    only.retain(|address| !others.contains(address));
    only.into_iter().map(|address| (address, Arc::clone(&service.key))).collect()
}

fn as_text<S: serde::Serializer>(key: &Arc<ServiceKey>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(key)
}

#[cfg(test)]
mod tests {
    use k8s_sync::object::{self, NamespacedName, Object};
    use lbipam::service::Ingress;

    use super::*;

    fn snapshot(services: &[(&str, &[&str])]) -> Snapshot {
        Snapshot::new(services.iter().map(|(name, addresses)| {
            let ingress = addresses.iter().map(|text| Ingress::of(text.parse().unwrap())).collect();
            let key = Arc::new(ServiceKey::new("n", *name));
            let ipam = Some(Arc::new(Service { key, ingress, ..Service::default() }));
            let name = Arc::new(NamespacedName::new("n", *name));
            Object::Service(Arc::new(object::Service { name, ipam, ..object::Service::default() }))
        }))
    }

    fn told(history: &History, address: &str) -> Vec<String> {
        let entries = history.entries(Some(address.parse().unwrap()), 10);
        entries
            .iter()
            .map(|entry| format!("{} {} {:?}", entry.at.as_second(), entry.service.name, entry.what))
            .collect()
    }

    #[test]
    fn who_held_it_from_when_to_when() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut history = History::default();
        let steps: [&[(&str, &[&str])]; 5] = [
            &[("a", &["10.0.0.1"])],
            &[("a", &["10.0.0.1"]), ("b", &["10.0.0.2"])],
            &[("b", &["10.0.0.2"])],
            &[("b", &["10.0.0.2", "10.0.0.1"])],
            &[("b", &["10.0.0.2"]), ("c", &["10.0.0.1"])],
        ];
        let mut before = Snapshot::default();
        for (second, step) in (0_i64..).zip(steps) {
            let after = snapshot(step);
            history.observe(&before, &after, at(second));
            before = after;
        }
        assert_eq!(
            told(&history, "10.0.0.1"),
            ["4 c Allocated", "4 b Released", "3 b Allocated", "2 a Released", "0 a Adopted"]
        );
        assert_eq!(told(&history, "10.0.0.2"), ["1 b Allocated"]);
        let holders: Vec<_> = history.holders("10.0.0.1".parse().unwrap()).map(ToString::to_string).collect();
        assert_eq!(holders, ["n/c"]);
        assert_eq!((history.entries(None, 3).len(), history.since()), (3, Some(at(0))));
    }

    #[test]
    fn the_past_is_bounded() {
        let now = Timestamp::from_second(1).unwrap();
        let mut history = History::default();
        let (one, none) = (snapshot(&[("a", &["10.0.0.1"])]), snapshot(&[]));
        history.observe(&Snapshot::default(), &none, now);
        for _ in 0..PAST {
            history.observe(&none, &one, now);
            history.observe(&one, &none, now);
        }
        assert_eq!(history.past.len(), PAST);
    }
}
