//! The tables in another process: nobody hears of it.

use super::*;
use crate::handover::RouteFrame;

impl Lab {
    /// Goes on with tables that were made from what these gave, octet by octet.
    pub(super) fn hand_over(&mut self) {
        let (before, names) = (self.loc_rib(), self.names());
        let frames: Vec<Bytes> =
            self.rib.export().expect("it can be written").iter().map(RouteFrame::to_bytes).collect();
        let mut rib = Rib::new(self.rib.config.clone());
        rib.next_hops = self.rib.next_hops.clone();
        rib.set_local_routes(self.rib.local.values().cloned().collect(), self.now);
        for (peer, state) in &self.rib.peers {
            rib.resume_peer(*peer, state.params.clone(), state.up, (state.kept, state.refreshing));
        }
        for frame in frames {
            rib.resume_routes(RouteFrame::from_bytes(frame).expect("a frame")).expect("it can be read");
        }
        rib.resume_output();
        for (peer, state) in &self.rib.peers {
            assert_eq!(state.counters, rib.peers[peer].counters, "{peer:?}");
        }
        self.rib = rib;
        self.check();
        assert_eq!(self.loc_rib(), before);
        assert_eq!(self.names(), names);
    }

    /// Every path with what its peer calls it and when it came, and with what we call it if anybody is told.
    fn names(&self) -> Vec<(IpNet, PeerId, u32, u32, u16)> {
        let told = self.rib.peers.values().any(|state| state.params.paths_sent.is_some());
        let tables = self.rib.families.iter().flat_map(|rib| rib.table.iter_after(None));
        let paths = tables
            .flat_map(|(_, found)| found.paths.as_slice().iter().map(|path| (found.prefix, path.clone())));
        let name = |(prefix, path): (IpNet, path::Path)| {
            let number = if told { path.number } else { 0 };
            (prefix, path.peer, path.path_id, path.received_at, number)
        };
        paths.map(name).collect()
    }
}

#[test]
fn nobody_hears_of_a_hand_over() {
    let mut lab = Lab::with_peers(&[65_001, 65_002, OWN_ASN]);
    lab.originate(vec![own("10.9.0.0/16")]);
    lab.announce(1, &via(1, "65001 7"), &["10.1.0.0/16", "10.2.0.0/16"]);
    lab.announce(2, &via(2, "65002 7"), &["10.1.0.0/16", "10.3.0.0/16"]);
    lab.drain();
    let messages = |lab: &Lab| lab.mirrors.values().map(|mirror| mirror.messages).collect::<Vec<_>>();
    let told = messages(&lab);
    for _ in 0..2 {
        lab.hand_over();
        lab.drain();
        assert_eq!(messages(&lab), told);
    }
}

#[test]
fn what_was_owed_is_still_owed() {
    let mut lab = Lab::with_peers(&[65_001, 65_002, 65_003]);
    lab.announce(1, &via(1, "65001 7"), &["10.1.0.0/16", "10.2.0.0/16"]);
    // One reads the message of the group, the other does not.
    lab.poll(2);
    lab.withdraw(1, &["10.2.0.0/16"]);
    lab.lose(1, FamilySet::ALL);
    lab.hand_over();
    lab.drain();
    assert_eq!(lab.told(2), ["10.1.0.0/16"]);
    assert_eq!(lab.told(3), ["10.1.0.0/16"]);
    assert!(lab.entry("10.1.0.0/16").paths[0].stale);
    lab.hand_over();
    lab.sweep(1, Family::IPV4_UNICAST);
    lab.sweep(1, Family::IPV6_UNICAST);
    lab.hand_over();
    lab.drain();
    assert!(lab.told(2).is_empty() && lab.told(3).is_empty());
}
