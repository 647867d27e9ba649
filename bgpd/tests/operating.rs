//! What an operator tells sessions, and what they remember of it.

use crate::fixture::{Bgpd, address, peer, router};

#[tokio::test]
async fn the_last_words_of_a_session_outlive_it() {
    let (a, b) = (address(), address());
    let left = Bgpd::start(&router(a, 65001, &[peer("right", a, b, 65002, "")], "")).await;
    let right = Bgpd::start(&router(b, 65002, &[peer("left", b, a, 65001, ", passive: true")], "")).await;
    left.until(b, "Established").await;
    right.until(a, "Established").await;
    left.order("right", "disable?text=new%20optics").await;
    right.until(a, "Active").await;
    left.order("right", "enable").await;
    right.until(a, "Established").await;

    let history = &left.json("/v1/show/bgp/neighbors/right/history").await[b.to_string()];
    let orders: Vec<_> = history["orders"].as_array().expect("a list").iter().collect();
    assert_eq!(orders[0]["order"], "shutdown taken back by an operator", "{history:#}");
    assert_eq!(orders[1]["order"], "shut down by an operator: \"new optics\"");
    assert_eq!(history["endedSessions"][0]["cause"], "admin-shutdown", "{history:#}");
    assert_eq!(history["endedSessions"][0]["notification"]["direction"], "sent");

    let history = &right.json(&format!("/v1/show/bgp/neighbors/{a}/history")).await[a.to_string()];
    let received = &history["notifications"][0];
    assert_eq!((&received["code"], &received["subcode"]), (&6.into(), &2.into()), "{history:#}");
    assert_eq!(received["shutdownDescription"], "new optics");
    assert_eq!(history["endedSessions"][0]["notification"]["shutdownDescription"], "new optics");
    assert_eq!((&history["bgpState"], &history["connectionsDropped"]), (&"Established".into(), &1.into()));
    let text = right.text("/v1/show/bgp/neighbors/left/history?format=text").await;
    assert!(text.contains("received 6/2 Cease/Administrative Shutdown: \"new optics\""), "{text}");
    assert!(right.client.get_text("/v1/show/bgp/neighbors/nobody/history").await.is_err());
}

#[tokio::test]
async fn words_that_no_peer_could_read_are_refused() {
    let (a, b) = (address(), address());
    let bgpd = Bgpd::start(&router(a, 65001, &[peer("right", a, b, 65002, "")], "")).await;
    let long = "x".repeat(256);
    for (text, what) in [(long.as_str(), "256 octets"), ("%1b%5b2J", "control character")] {
        let path = format!("/v1/control/bgp/neighbors/right/disable?text={text}");
        let error = bgpd.client.post(&path).await.expect_err("refused").to_string();
        assert!(error.contains(what), "{error}");
    }
    let fits = "é".repeat(127).replace('é', "%C3%A9");
    let path = format!("/v1/control/bgp/neighbors/right/disable?text={fits}");
    bgpd.client.post(&path).await.expect("254 octets fit");
}
