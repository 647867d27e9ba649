//! Speakers that know only 2-octet ASNs (RFC 6793): AS_TRANS towards them, AS4_PATH and AS4_AGGREGATOR from them.

use anyhow::{Result, ensure};
use frr_interop_tests::{KEEPALIVE, Oracle, PATIENCE, RawPeer, UPDATE, attribute, open_two_octet, run};
use rutter_lab::wait_for;

use crate::daemons::{Neighbor, RUTTER, Wants, bird, frr, over_v4, rutter};

#[test]
fn an_old_bird_between_new_speakers() {
    run("as2-bird", &["frr", "old-bird"], |star| {
        let own = 4_200_000_000;
        let neighbors = [over_v4(1, 4_200_000_001), over_v4(2, 65_002)];
        let _bgpd = star.bgpd(&rutter(own, &neighbors, &["prefix: 203.0.113.0/24"]))?;
        let wants = Wants { remote_asn: own, networks: &["198.51.1.0/24"], ..Wants::default() };
        let _frr = star.peer(1)?.frr(&frr(1, 4_200_000_001, "10.0.1.1", wants))?;
        let session = "enable as4 off;";
        let wants = Wants { remote_asn: own, session, ..Wants::default() };
        // BIRD reads rutter's real ASN from the OPEN, but without AS4 that number is not allowed in its configuration.
        let config =
            bird(2, 65_002, "10.0.2.1", wants).replace("10.0.2.1 as 4200000000;", "10.0.2.1 external;");
        let bird = star.peer(2)?.bird(&config)?;
        // BIRD puts AS_PATH and AS4_PATH together again: both must be right for the real path to appear.
        let path = bird.wait_path("203.0.113.0/24")?;
        ensure!(path.as_path == "4200000000", "{path:?}");
        let path = bird.wait_path("198.51.1.0/24")?;
        ensure!(path.as_path == "4200000000 4200000001", "{path:?}");
        let shown = bird.birdc("show protocols all rutter")?;
        ensure!(!shown.contains("external AS4"), "the session uses 4-octet ASNs: {shown}");
        Ok(())
    });
}

/// What goes over the wire to an old speaker: AS_TRANS for what does not fit, and the truth in AS4_PATH.
#[test]
fn as_trans_towards_an_old_speaker() {
    run("as2-towards", &["raw", "frr"], |star| {
        let own = 4_200_000_000_u32;
        let neighbors = [over_v4(1, 65_001).with("passive: true"), over_v4(2, 65_002)];
        let _bgpd = star.bgpd(&rutter(own, &neighbors, &[]))?;
        let wants = Wants { remote_asn: own, networks: &["198.51.1.0/24"], ..Wants::default() };
        let frr = star.peer(2)?.frr(&frr(2, 65_002, "10.0.2.1", wants))?;
        frr.wait_established("10.0.2.1")?;
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        let open = raw.establish_with(&open_two_octet(65_001, [10, 0, 1, 2].into()))?;
        ensure!(open.body[1..3] == 23_456_u16.to_be_bytes(), "My Autonomous System in OPEN: {open:?}");
        // The first UPDATE may be End-of-RIB, if FRR was slow.
        let update = wait_for(PATIENCE, "an UPDATE with routes", || {
            let frame = raw.expect(UPDATE, PATIENCE)?;
            ensure!(frame.body.len() > 4, "{frame:?}");
            Ok(frame.body)
        })?;
        let as_path = attribute(0x40, 2, &[2, 2, 0x5b, 0xa0, 0xfd, 0xea]);
        let as4_path =
            attribute(0xc0, 17, &[&[2, 2][..], &own.to_be_bytes(), &65_002_u32.to_be_bytes()].concat());
        for wanted in [as_path, as4_path] {
            ensure!(
                update.windows(wanted.len()).any(|window| window == wanted),
                "no {wanted:x?} in {update:x?}"
            );
        }
        Ok(())
    });
}

#[test]
fn as4_path_from_an_old_speaker_is_merged() {
    run("as2-raw", &["raw", "frr"], |star| {
        let neighbors: [Neighbor; 2] = [over_v4(1, 65_001).with("passive: true"), over_v4(2, 65_002)];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let frr = star.peer(2)?.frr(&frr(2, 65_002, "10.0.2.1", Wants::default()))?;
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish_with(&open_two_octet(65_001, [10, 0, 1, 2].into()))?;
        let path = |asns: &[u16]| -> Vec<u8> {
            let mut value = vec![2, u8::try_from(asns.len()).unwrap_or_default()];
            value.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
            attribute(0x40, 2, &value)
        };
        let as4_path = |asns: &[u32]| -> Vec<u8> {
            let mut value = vec![2, u8::try_from(asns.len()).unwrap_or_default()];
            value.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
            attribute(0xc0, 17, &value)
        };
        let rest = || [attribute(0x40, 1, &[0]), attribute(0x40, 3, &[10, 0, 1, 2])];
        let with = |more: Vec<Vec<u8>>| [rest().to_vec(), more].concat();
        let announce = |raw: &mut RawPeer, prefix: &str, more: Vec<Vec<u8>>| -> Result<()> {
            raw.announce(&with(more), &[prefix])
        };
        announce(&mut raw, "20.1.0.0/16", vec![path(&[65_001, 7])])?;
        // The two leading ASNs of old speakers stay, AS4_PATH brings the rest (RFC 6793 §4.2.3).
        announce(
            &mut raw,
            "20.2.0.0/16",
            vec![path(&[65_001, 23_456, 23_456]), as4_path(&[4_200_000_001, 4_200_000_002])],
        )?;
        // An AS4_PATH longer than AS_PATH is not believed.
        announce(&mut raw, "20.3.0.0/16", vec![path(&[65_001]), as4_path(&[1, 2, 3])])?;
        let aggregator = |asn: u16| attribute(0xc0, 7, &[&asn.to_be_bytes()[..], &[9, 9, 9, 9]].concat());
        let as4_aggregator =
            |asn: u32| attribute(0xc0, 18, &[&asn.to_be_bytes()[..], &[8, 8, 8, 8]].concat());
        announce(
            &mut raw,
            "20.4.0.0/16",
            vec![path(&[65_001]), aggregator(23_456), as4_aggregator(4_200_000_009)],
        )?;
        // AS4_AGGREGATOR beside an AGGREGATOR with a real ASN: both AS4 attributes are ignored.
        announce(
            &mut raw,
            "20.5.0.0/16",
            vec![
                path(&[65_001, 23_456]),
                as4_path(&[4_200_000_001]),
                aggregator(64_999),
                as4_aggregator(4_200_000_009),
            ],
        )?;
        raw.send(KEEPALIVE, &[])?;
        let expected = [
            ("20.1.0.0/16", "65000 65001 7", None),
            ("20.2.0.0/16", "65000 65001 4200000001 4200000002", None),
            ("20.3.0.0/16", "65000 65001", None),
            ("20.4.0.0/16", "65000 65001", Some((4_200_000_009, [8, 8, 8, 8].into()))),
            ("20.5.0.0/16", "65000 65001 23456", Some((64_999, [9, 9, 9, 9].into()))),
        ];
        for (prefix, as_path, aggregator) in expected {
            let path = frr.wait_path(prefix)?;
            ensure!(path.as_path == as_path && path.aggregator == aggregator, "{prefix}: {path:?}");
        }
        Ok(())
    });
}
