//! Who would move by edits of pools that wait (`rutter.dev/safe-shrink`).
//!
//! Invariant: an address that an edit would take from somebody is one that somebody holds and that no pool lets them keep by its
//! spec alone. Looked for only while an edit waits, among the addresses of the spec before it.

use std::net::IpAddr;
use std::sync::Arc;

use crate::accepted::Accepted;
use crate::ipam::Ipam;
use crate::pools::{Member, Mover};
use crate::roster::Id;

impl Ipam {
    /// Finds out what edits that wait would move, if anything happened since it was last found out.
    pub(crate) fn stage(&mut self) {
        if !std::mem::take(&mut self.stirred) {
            return;
        }
        for place in self.pools.staged() {
            let Some((_, member)) = self.pools.iter().nth(place) else { continue };
            let movers = self.movers(member);
            self.pools.would_move(place, movers);
        }
    }

    fn movers(&self, member: &Member) -> Vec<Mover> {
        let moves = |(address, ids): (IpAddr, &[Id])| {
            let ids = ids.iter().filter(|id| self.moves(**id, address));
            let services = ids.filter_map(|id| Some(Arc::clone(&self.roster.get(*id)?.service.key)));
            services.map(|service| Mover { address, service }).collect::<Vec<_>>()
        };
        match &member.pool.accepted {
            Accepted::Nothing | Accepted::Current => Vec::new(),
            Accepted::Earlier(earlier) => {
                let addresses = earlier.union().iter().flat_map(|range| self.occupancy.within(*range));
                addresses.flat_map(moves).collect()
            }
            Accepted::Unreadable => self.occupancy.iter().flat_map(moves).collect(),
        }
    }

    /// Whether a Service holds an address that no pool lets it keep by its spec alone.
    fn moves(&self, id: Id, address: IpAddr) -> bool {
        self.roster.get(id).is_some_and(|entry| {
            let pools = || self.pools.iter().map(|(_, member)| &member.pool);
            entry.is_served()
                && entry.holds(address)
                && !pools().any(|pool| pool.keeps_by_spec(address, &entry.service))
        })
    }
}
