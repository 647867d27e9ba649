//! Route reflection (RFC 4456): rutter reflects between an FRR client, a BIRD client and a GoBGP that is no client.

use std::time::Duration;

use anyhow::ensure;
use frr_interop_tests::{Oracle, run};

use crate::daemons::{RUTTER, TRIO, Trio, over_v4, rutter};

#[test]
fn clients_see_everything_and_others_see_clients() {
    run("reflection", &TRIO, |star| {
        let client = |link| over_v4(link, RUTTER).with("routeReflectorClient: true");
        let _bgpd = star.bgpd(&rutter(RUTTER, &[client(1), client(2), over_v4(3, RUTTER)], &[]))?;
        // The far next hops must be reachable, or FRR will not use what it got.
        for link in 1..=3 {
            star.peer(link)?.ip(&["route", "add", "10.0.0.0/16", "via", &format!("10.0.{link}.1")])?;
        }
        star.hub.sysctl("net.ipv4.ip_forward", "1")?;
        let trio = Trio::start(
            star,
            false,
            [RUTTER; 3],
            [&["198.51.1.0/24"], &["198.51.2.0/24"], &["198.51.3.0/24"]],
        )?;
        let expectations: [(&dyn Oracle, &str, u8); 5] = [
            (&trio.bird, "198.51.1.0/24", 1),
            (&trio.bird, "198.51.3.0/24", 3),
            (&trio.frr, "198.51.2.0/24", 2),
            (&trio.frr, "198.51.3.0/24", 3),
            (&trio.gobgp, "198.51.1.0/24", 1),
        ];
        for (oracle, prefix, origin) in expectations {
            let path = oracle.wait_path(prefix)?;
            ensure!(
                path.originator_id == Some([10, 0, origin, 2].into())
                    && path.cluster_list == [std::net::Ipv4Addr::new(192, 0, 2, 1)]
                    && path.next_hop == Some([10, 0, origin, 2].into())
                    && path.as_path.is_empty()
                    && path.local_pref == Some(100),
                "{}: {prefix} {path:?}",
                oracle.kind()
            );
        }
        trio.gobgp.wait_path("198.51.2.0/24")?;
        // Its own route must not come back to a client as somebody else's.
        let path = trio.frr.wait_path("198.51.1.0/24")?;
        ensure!(path.from.is_none(), "{path:?}");
        Ok(())
    });
}

/// Without any client rutter is an ordinary internal speaker; becoming a client of nobody reflects nothing.
#[test]
fn nothing_is_reflected_between_non_clients() {
    run("no-reflection", &TRIO, |star| {
        let neighbors =
            [over_v4(1, RUTTER), over_v4(2, RUTTER), over_v4(3, RUTTER).with("routeReflectorClient: true")];
        let _bgpd = star.bgpd(&rutter(RUTTER, &neighbors, &[]))?;
        let trio = Trio::start(star, false, [RUTTER; 3], [&["198.51.1.0/24"], &[], &[]])?;
        // The client proves that rutter has the route.
        trio.gobgp.wait_path("198.51.1.0/24")?;
        trio.bird.ensure_absent_for("198.51.1.0/24", Duration::from_secs(2))
    });
}

/// RFC 4456 §8: a route that carries rutter's own cluster or router ID has been here before.
#[test]
fn reflection_loops_are_cut() {
    use frr_interop_tests::{RawPeer, attribute};

    run("reflection-loop", &["raw", "bird"], |star| {
        let client = |link| over_v4(link, RUTTER).with("routeReflectorClient: true");
        let _bgpd = star.bgpd(&rutter(RUTTER, &[client(1), client(2)], &[]))?;
        let wants = crate::daemons::Wants::default();
        let bird = star.peer(2)?.bird(&crate::daemons::bird(2, RUTTER, "10.0.2.1", wants))?;
        let mut raw = RawPeer::connect(star.peer(1)?, "10.0.1.1")?;
        raw.establish(RUTTER, [10, 0, 1, 2].into())?;
        let base = || {
            vec![
                attribute(0x40, 1, &[0]),
                attribute(0x40, 2, &[]),
                attribute(0x40, 3, &[10, 0, 1, 2]),
                attribute(0x40, 5, &100_u32.to_be_bytes()),
            ]
        };
        let own_cluster = [base(), vec![attribute(0x80, 10, &[9, 9, 9, 9, 192, 0, 2, 1])]].concat();
        let own_origin = [base(), vec![attribute(0x80, 9, &[192, 0, 2, 1])]].concat();
        let foreign = vec![attribute(0x80, 9, &[7, 7, 7, 7]), attribute(0x80, 10, &[9, 9, 9, 9])];
        raw.announce(&own_cluster, &["198.51.1.0/24"])?;
        raw.announce(&own_origin, &["198.51.2.0/24"])?;
        raw.announce(&[base(), foreign].concat(), &["198.51.3.0/24"])?;
        let path = bird.wait_path("198.51.3.0/24")?;
        ensure!(
            path.originator_id == Some([7, 7, 7, 7].into())
                && path.cluster_list == [[192, 0, 2, 1], [9, 9, 9, 9]].map(std::net::Ipv4Addr::from),
            "{path:?}"
        );
        bird.ensure_absent_for("198.51.1.0/24", Duration::from_secs(1))?;
        bird.ensure_absent_for("198.51.2.0/24", Duration::from_millis(200))
    });
}
