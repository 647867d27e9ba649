//! Who is at which address, over all pools and whatever state they are in.
//!
//! Invariant: an address is in here as long as anybody holds it, any Service's status still says so, or it is kept for somebody. Only such addresses
//! cost memory: a pool's size costs nothing, and the lowest free address of a block is found by one look at the run of
//! neighbouring addresses that covers its beginning.

use std::collections::BTreeMap;
use std::net::IpAddr;

use smallvec::SmallVec;

use crate::range::{Range, address, number};
use crate::roster::Id;
use crate::service::Family;

/// What somebody's being at an address changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Nothing: it was there already.
    None,
    /// Nobody was there before.
    First,
    /// Others are there too.
    Further,
}

/// What somebody's leaving an address changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// Nothing: it was not there.
    None,
    /// Nobody is there any more.
    Last,
    /// Others are still there.
    Further,
}

/// Addresses and who is at them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Occupancy {
    seats: BTreeMap<IpAddr, Seat>,
    v4: Runs,
    v6: Runs,
}

/// Who is at one address, and for whose namespaces it is kept.
#[derive(Clone, Debug, Default)]
struct Seat {
    occupants: SmallVec<[Id; 2]>,
    /// One for each reservation.
    reserved: Vec<Box<str>>,
}

impl Seat {
    fn is_free(&self) -> bool {
        self.occupants.is_empty() && self.reserved.is_empty()
    }
}

impl Occupancy {
    /// Whoever is at the address, by id.
    pub(crate) fn at(&self, address: IpAddr) -> &[Id] {
        self.seats.get(&address).map_or(&[], |seat| seat.occupants.as_slice())
    }

    /// Whether anybody is at the address, or it is kept for somebody.
    pub(crate) fn is_taken(&self, address: IpAddr) -> bool {
        self.seats.contains_key(&address)
    }

    /// The namespaces for which the address is kept, one for each reservation.
    pub(crate) fn reserved(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        self.seats.get(&address).into_iter().flat_map(|seat| &seat.reserved).map(|namespace| &**namespace)
    }

    /// Somebody is at an address. What that changes.
    pub(crate) fn enter(&mut self, address: IpAddr, id: Id) -> Arrival {
        let seat = self.seats.entry(address).or_default();
        let first = seat.is_free();
        let Err(at) = seat.occupants.binary_search(&id) else { return Arrival::None };
        seat.occupants.insert(at, id);
        self.arrived(address, first)
    }

    /// Somebody is no longer at an address. What that changes.
    pub(crate) fn leave(&mut self, address: IpAddr, id: Id) -> Departure {
        let Some(seat) = self.seats.get_mut(&address) else { return Departure::None };
        let Ok(at) = seat.occupants.binary_search(&id) else { return Departure::None };
        seat.occupants.remove(at);
        self.left(address)
    }

    /// An address is kept for a Service of a namespace. What that changes.
    pub(crate) fn reserve(&mut self, address: IpAddr, namespace: &str) -> Arrival {
        let seat = self.seats.entry(address).or_default();
        let first = seat.is_free();
        seat.reserved.push(namespace.into());
        self.arrived(address, first)
    }

    /// A reservation of an address is over. What that changes.
    pub(crate) fn release(&mut self, address: IpAddr, namespace: &str) -> Departure {
        let Some(seat) = self.seats.get_mut(&address) else { return Departure::None };
        let Some(at) = seat.reserved.iter().position(|other| **other == *namespace) else {
            return Departure::None;
        };
        seat.reserved.remove(at);
        self.left(address)
    }

    fn arrived(&mut self, address: IpAddr, first: bool) -> Arrival {
        if !first {
            return Arrival::Further;
        }
        self.runs_mut(Family::of(address)).insert(number(address));
        Arrival::First
    }

    fn left(&mut self, address: IpAddr) -> Departure {
        if self.seats.get(&address).is_some_and(|seat| !seat.is_free()) {
            return Departure::Further;
        }
        self.seats.remove(&address);
        self.runs_mut(Family::of(address)).remove(number(address));
        Departure::Last
    }

    /// The lowest address of a range at which nobody is.
    pub(crate) fn lowest_free(&self, range: Range) -> Option<IpAddr> {
        let free = self.runs(range.family()).lowest_free(range.first_number(), range.last_number())?;
        Some(address(range.family(), free))
    }

    /// All addresses that are taken, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpAddr, &[Id])> {
        self.seats.iter().map(|(address, seat)| (*address, seat.occupants.as_slice()))
    }

    /// Those of a range, ascending.
    pub(crate) fn within(&self, range: Range) -> impl Iterator<Item = (IpAddr, &[Id])> {
        let seats = self.seats.range(range.first()..=range.last());
        seats.map(|(address, seat)| (*address, seat.occupants.as_slice()))
    }

    fn runs(&self, family: Family) -> &Runs {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn runs_mut(&mut self, family: Family) -> &mut Runs {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

/// Numbers in use, as runs from a first to a last one. No two runs touch: after the end of one there is always a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Runs(BTreeMap<u128, u128>);

impl Runs {
    fn insert(&mut self, number: u128) {
        if self.covering(number).is_some() {
            return;
        }
        let below = number.checked_sub(1).and_then(|below| self.covering(below));
        let first = below.map_or(number, |(first, _)| first);
        let above = number.checked_add(1).and_then(|above| self.0.remove(&above));
        self.0.insert(first, above.unwrap_or(number));
    }

    fn remove(&mut self, number: u128) {
        let Some((first, last)) = self.covering(number) else { return };
        self.0.remove(&first);
        if first < number {
            self.0.insert(first, number - 1);
        }
        if number < last {
            self.0.insert(number + 1, last);
        }
    }

    /// The run that a number is in.
    fn covering(&self, number: u128) -> Option<(u128, u128)> {
        let (first, last) = self.0.range(..=number).next_back()?;
        (number <= *last).then_some((*first, *last))
    }

    fn lowest_free(&self, first: u128, last: u128) -> Option<u128> {
        let free = match self.covering(first) {
            Some((_, end)) => end.checked_add(1)?,
            None => first,
        };
        (free <= last).then_some(free)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_are_a_set(steps in prop::collection::vec((any::<bool>(), 0u128..40), 0..200), low in 0u128..40, length in 0u128..40) {
            // At the upper end of all numbers, where sums overflow.
            let base = u128::MAX - 39;
            let (mut runs, mut set) = (Runs::default(), BTreeSet::new());
            for (insert, number) in steps {
                let number = base + number;
                if insert {
                    runs.insert(number);
                    set.insert(number);
                } else {
                    runs.remove(number);
                    set.remove(&number);
                }
                let (first, last) = (base + low, (base + low).saturating_add(length));
                prop_assert_eq!(runs.lowest_free(first, last), (first..=last).find(|number| !set.contains(number)));
                let mut ends: Vec<_> = runs.0.iter().flat_map(|(first, last)| [*first, *last]).collect();
                prop_assert!(ends.is_sorted());
                ends.dedup();
                prop_assert!(runs.0.iter().zip(runs.0.iter().skip(1)).all(|((_, last), (first, _))| last + 1 < *first));
                prop_assert_eq!(runs.0.iter().map(|(first, last)| last - first + 1).sum::<u128>(), set.len() as u128);
            }
        }
    }

    #[test]
    fn an_address_is_free_when_the_last_one_leaves() {
        let mut occupancy = Occupancy::default();
        let ip: IpAddr = "::".parse().unwrap();
        let arrivals = [2, 1, 1].map(|id| occupancy.enter(ip, Id(id)));
        assert_eq!(arrivals, [Arrival::First, Arrival::Further, Arrival::None]);
        assert_eq!(occupancy.at(ip), [Id(1), Id(2)]);
        let all = Range::new(ip, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap()).unwrap();
        assert_eq!(occupancy.lowest_free(all), Some("::1".parse().unwrap()));
        let departures = [2, 1, 1].map(|id| occupancy.leave(ip, Id(id)));
        assert_eq!(departures, [Departure::Further, Departure::Last, Departure::None]);
        assert_eq!(occupancy.lowest_free(all), Some(ip));
    }

    #[test]
    fn what_is_kept_for_somebody_is_not_free() {
        let mut occupancy = Occupancy::default();
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(occupancy.reserve(ip, "a"), Arrival::First);
        assert_eq!(
            (occupancy.enter(ip, Id(1)), occupancy.reserve(ip, "a")),
            (Arrival::Further, Arrival::Further)
        );
        assert_eq!(
            (occupancy.release(ip, "a"), occupancy.leave(ip, Id(1))),
            (Departure::Further, Departure::Further)
        );
        assert_eq!(occupancy.lowest_free(Range::of(ip)), None);
        assert_eq!(
            (occupancy.release(ip, "b"), occupancy.release(ip, "a")),
            (Departure::None, Departure::Last)
        );
        assert_eq!(occupancy.lowest_free(Range::of(ip)), Some(ip));
    }
}
