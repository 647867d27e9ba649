//! The rules for peer groups and dynamic neighbours.
//!
//! Invariant: what every peer of a range would be is checked here as if it were a peer; a group is checked with each peer
//! that takes over from it.

use ipnet::IpNet;

use super::{InvalidIntent, Path, Problem, Seen};
use crate::intent::template::unknown_group;
use crate::intent::{DynamicPeers, Instance, Peer};

impl Instance {
    pub(super) fn check_templates(&self, at: &Path) -> Result<(), InvalidIntent> {
        let mut names = Seen::new("give each peer group of an instance its own name");
        for (index, group) in self.peer_groups.iter().enumerate() {
            let at = at.key("peerGroups").index(index);
            at.key("name").name(&group.peer.name)?;
            names.add(group.peer.name.as_str(), &at.key("name"))?;
            if group.peer.group.is_some() {
                let why = "groups do not take over from groups".to_owned();
                return at.key("group").fail(Problem::Contradicts { other: "name", why });
            }
        }
        for (index, peer) in self.peers.iter().enumerate() {
            self.check_group(peer, &at.key("peers").index(index))?;
        }
        let mut names = Seen::new("give each list of ranges its own name");
        let mut ranges = Seen::new("a range belongs to one list");
        for (index, dynamic) in self.dynamic_peers.iter().enumerate() {
            let at = at.key("dynamicPeers").index(index);
            at.key("name").name(&dynamic.peer.name)?;
            names.add(dynamic.peer.name.as_str(), &at.key("name"))?;
            self.check_group(&dynamic.peer, &at)?;
            self.check_dynamic(dynamic, &at, &mut ranges)?;
        }
        Ok(())
    }

    fn check_group(&self, peer: &Peer, at: &Path) -> Result<(), InvalidIntent> {
        let known = |group: &str| self.peer_groups.iter().any(|other| other.peer.name == group);
        match peer.group.as_deref() {
            Some(group) if !known(group) => Err(unknown_group(&at.to_string(), group)),
            _ => Ok(()),
        }
    }

    fn check_dynamic(
        &self,
        dynamic: &DynamicPeers,
        at: &Path,
        ranges: &mut Seen<IpNet>,
    ) -> Result<(), InvalidIntent> {
        if self.listen_port.is_none() {
            let why = "dynamic neighbours can only be accepted, and this instance does not listen";
            return at.key("ranges").fail(Problem::Needs { other: "listenPort", why });
        }
        if dynamic.ranges.is_empty() {
            return at.key("ranges").fail(Problem::Empty { advice: "give at least one range" });
        }
        for (index, range) in dynamic.ranges.iter().enumerate() {
            let here = at.key("ranges").index(index);
            here.network(*range)?;
            ranges.add(*range, &here)?;
            self.check_keys(dynamic, *range, &here)?;
        }
        at.key("limit").within(dynamic.limit.into(), 1, 100_000)?;
        if dynamic.peer.peer_asn.is_some_and(|asn| asn != 0) && !dynamic.peer_asns.is_empty() {
            let why = "one says which ASN it must be, the other which it may be".to_owned();
            return at.key("peerASNs").fail(Problem::Contradicts { other: "peerASN", why });
        }
        for (index, asn) in dynamic.peer_asns.iter().enumerate() {
            let here = at.key("peerASNs").index(index);
            here.within((*asn).into(), 1, u32::MAX.into())?;
            here.asn(*asn)?;
        }
        dynamic.peer.check_parameters(self, at)
    }

    /// The kernel looks for keys by address, and finds that of the range for a peer that has none.
    fn check_keys(&self, dynamic: &DynamicPeers, range: IpNet, at: &Path) -> Result<(), InvalidIntent> {
        let signed = |peer: &Peer| peer.password.is_some() || peer.tcp_ao.is_some();
        if !signed(&dynamic.peer) {
            return Ok(());
        }
        match self.peers.iter().find(|peer| range.contains(&peer.address) && !signed(peer)) {
            None => Ok(()),
            Some(peer) => at.fail(Problem::Contradicts {
                other: "peers",
                why: format!(
                    "peer {:?} lies in {range} and has no key, but the kernel would ask it for the range's; give it one",
                    peer.name
                ),
            }),
        }
    }
}
