//! SIGHUP: only what differs is applied.

use crate::fixture::{Bgpd, address, peer, router};

#[tokio::test]
async fn unchanged_sessions_stay_up() {
    let (a, b, c) = (address(), address(), address());
    let config = |more: &str| {
        let changing = peer("b", a, b, 65002, more);
        router(
            a,
            65001,
            &[changing, peer("c", a, c, 65003, "")],
            "    routes: [{prefix: 10.1.0.0/16, nextHop: 192.0.2.1}]\n",
        )
    };
    let middle = Bgpd::start(&config("")).await;
    let right = Bgpd::start(&router(b, 65002, &[peer("a", b, a, 65001, "")], "")).await;
    let left = Bgpd::start(&router(c, 65003, &[peer("a", c, a, 65001, "")], "")).await;
    for far in [&right, &left] {
        far.until(a, "Established").await;
    }

    // A file that is wrong changes nothing.
    middle.reload("instances: [{name: main, localASN: 0}]\n");
    middle
        .wait("the refusal is logged", async || {
            let log = middle.log();
            if log.contains("bgpd.yaml:1:") && log.contains("stays as it was") { Ok(()) } else { Err(log) }
        })
        .await;
    assert_eq!(middle.peer(b).await["connectionsEstablished"], 1);

    // Nor does one that somebody is just writing.
    middle.reload("");
    middle
        .wait("the empty file is refused", async || {
            let log = middle.log();
            if log.contains("is empty, as if it were being written") { Ok(()) } else { Err(log) }
        })
        .await;
    assert_eq!(middle.peer(b).await["connectionsEstablished"], 1);

    // What is agreed on in OPENs waits for the next one.
    middle.reload(&config("").replace("holdSeconds: 9", "holdSeconds: 12"));
    middle
        .wait("the change is logged", async || {
            let log = middle.log();
            if log.contains("(timers.holdSeconds 9 -> 12 from the next session on)") {
                Ok(())
            } else {
                Err(log)
            }
        })
        .await;
    assert_eq!(middle.peer(b).await["connectionsEstablished"], 1);

    // A change of one peer that the session cannot go on with resets that one.
    let one_family = ", families: [ipv4-unicast]";
    middle.reload(&config(one_family));
    middle
        .wait("the changed session came back", async || {
            let row = middle.peer(b).await;
            if row["connectionsEstablished"] == 2 && row["state"] == "Established" {
                Ok(())
            } else {
                Err(row.to_string())
            }
        })
        .await;
    let row = middle.peer(c).await;
    assert_eq!(
        (&row["connectionsEstablished"], &row["connectionsDropped"]),
        (&1.into(), &0.into()),
        "{row:#}"
    );
    assert!(
        middle.log().contains(r#"main/b: session reset (families none -> ["ipv4-unicast"])"#),
        "{}",
        middle.log()
    );

    // Routes come and go without touching any session.
    let more = config(one_family).replace(
        "[{prefix: 10.1.0.0/16, nextHop: 192.0.2.1}]",
        "[{prefix: 10.9.0.0/16, nextHop: 192.0.2.1}]",
    );
    middle.reload(&more);
    left.wait("the new route replaces the old", async || {
        let routes = left.json("/v1/show/bgp/ipv4").await["routes"].clone();
        let keys: Vec<_> = routes.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
        if keys == ["10.9.0.0/16"] { Ok(()) } else { Err(routes.to_string()) }
    })
    .await;
    assert_eq!(middle.peer(c).await["connectionsEstablished"], 1);
}
