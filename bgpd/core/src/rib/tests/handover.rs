//! The tables in another process: nobody hears of it.

use super::*;
use crate::handover::RouteFrame;

impl Lab {
    /// Goes on with tables that were made from what these gave, octet by octet.
    pub(super) fn hand_over(&mut self) {
        let before = self.loc_rib();
        let frames: Vec<Bytes> =
            self.rib.export().expect("it can be written").iter().map(RouteFrame::to_bytes).collect();
        let mut rib = Rib::new(self.rib.config.clone());
        rib.next_hops = self.rib.next_hops.clone();
        rib.set_local_routes(self.rib.local.values().cloned().collect(), self.now);
        for (peer, state) in &self.rib.peers {
            rib.resume_peer(*peer, state.params.clone(), state.up, state.kept);
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
