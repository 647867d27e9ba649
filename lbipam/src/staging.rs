//! Who would move by edits of pools that wait (`rutter.dev/safe-shrink`).
//!
//! Invariant: an address that an edit would take from somebody is one that somebody holds and that no pool lets them keep by its
//! spec alone. Looked for only while an edit waits, among the addresses of the spec before it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::accepted::Accepted;
use crate::ipam::Ipam;
use crate::pools::Member;
use crate::range::Range;
use crate::roster::{Entry, Id};
use crate::service::ServiceKey;

/// What the edit of a pool would move if it did not wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Staging {
    /// Addresses, and who holds them.
    pub(crate) movers: Vec<Mover>,
    /// Places of the earlier specs that let them stay.
    pub(crate) needed: Vec<usize>,
}

/// An address that an edit would take from Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mover {
    pub(crate) address: IpAddr,
    pub(crate) services: Vec<Arc<ServiceKey>>,
}

impl fmt::Display for Mover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let services: Vec<String> = self.services.iter().take(SHOWN).map(ToString::to_string).collect();
        write!(f, "{} of {}", self.address, services.join(", "))?;
        match self.services.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl Ipam {
    /// Finds out what edits that wait would move, if anything happened since it was last found out.
    pub(crate) fn stage(&mut self) {
        if !std::mem::take(&mut self.stirred) {
            return;
        }
        for place in self.pools.staged() {
            let Some((_, member)) = self.pools.iter().nth(place) else { continue };
            let staging = self.staging(member);
            self.pools.stage(place, staging);
        }
    }

    fn staging(&self, member: &Member) -> Staging {
        let mut staging = Staging::default();
        let mut needed = BTreeSet::new();
        let mut add = |(address, ids): (IpAddr, &[Id])| {
            let mut services = Vec::new();
            for entry in ids.iter().filter_map(|id| self.roster.get(*id)) {
                if member.pool.keeps(address, &entry.service) && self.moves(entry, address) {
                    needed.extend(member.pool.earlier_that_keep(address, &entry.service));
                    services.push(Arc::clone(&entry.service.key));
                }
            }
            if !services.is_empty() {
                services.sort_unstable();
                staging.movers.push(Mover { address, services });
            }
        };
        match &member.pool.accepted {
            Accepted::Nothing => {}
            Accepted::Earlier(earlier) => {
                // A block of theirs that is not understood may be any.
                let everything = earlier.iter().any(|pool| !pool.bad_blocks.is_empty());
                let ranges = Range::union(earlier.iter().flat_map(|pool| pool.union()).copied());
                if everything {
                    self.occupancy.iter().for_each(&mut add);
                } else {
                    ranges.iter().flat_map(|range| self.occupancy.within(*range)).for_each(&mut add);
                }
            }
            Accepted::Unreadable => self.occupancy.iter().for_each(&mut add),
        }
        staging.needed = needed.into_iter().collect();
        staging
    }

    /// Whether a Service holds an address that no pool lets it keep by its spec alone.
    fn moves(&self, entry: &Entry, address: IpAddr) -> bool {
        let mut pools = self.pools.iter().map(|(_, member)| &member.pool);
        entry.is_served()
            && entry.holds(address)
            && !pools.any(|pool| pool.keeps_by_spec(address, &entry.service))
    }
}
