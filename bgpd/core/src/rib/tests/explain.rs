//! What `explain` says about a route on the wire is what went over the wire.

use super::*;
use crate::config::PathsSent;

fn sent(lab: &Lab, number: u32, prefix: &str) -> Vec<SentRoute> {
    match lab.rib.advertisement(peer(number), &net(prefix)) {
        Advertisement::Sent(sent) => sent,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_update_is_the_one_that_was_sent() {
    let mut lab = Lab::new(config());
    let community = Actions { add_communities: vec![Community(7)], ..Actions::default() };
    let export = policy(&["10.1.0.0/16", "2001:db8:1::/48"], Verdict::Accept, community);
    lab.originate(vec![own("10.1.0.0/16"), own("2001:db8:1::/48"), own("10.2.0.0/16")]);
    lab.up(PeerParams { export: Some(export), ..params(1, 65_001) }, 1);
    let messages = lab.drain_one(1);
    for prefix in ["10.1.0.0/16", "2001:db8:1::/48"] {
        let sent = sent(&lab, 1, prefix);
        let update = lab.rib.update_of(peer(1), &sent[0]).unwrap();
        assert!(messages.contains(&update), "{prefix}: {update:?}");
        assert_eq!(lab.rib.statement_of(peer(1), &sent[0]).as_deref(), Some("some"));
    }
    assert_eq!(
        lab.rib.advertisement(peer(1), &net("10.2.0.0/16")),
        Advertisement::Not(NotAdvertised::ExportPolicy { policy: "test".into(), statement: None })
    );
}

#[test]
fn several_paths_have_an_update_each() {
    let mut lab = Lab::with_peers(&[65_001, 65_002]);
    let taker = params(3, 65_003);
    let encode = EncodeContext { add_path: FamilySet::ALL, ..taker.encode };
    lab.up(PeerParams { encode, paths_sent: Some(PathsSent::All), ..taker }, 3);
    lab.announce(1, &via(1, "65001 1"), &["10.1.0.0/16"]);
    lab.announce(2, &via(2, "65002 1 2"), &["10.1.0.0/16"]);
    let messages = lab.drain_one(3);
    let sent = sent(&lab, 3, "10.1.0.0/16");
    assert_eq!(sent.len(), 2);
    for sent in sent {
        assert!(messages.contains(&lab.rib.update_of(peer(3), &sent).unwrap()));
        assert_eq!(lab.rib.statement_of(peer(3), &sent), None, "there is no policy");
    }
}
