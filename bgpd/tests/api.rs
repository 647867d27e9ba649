//! Intents over HTTP.

use std::time::Duration;

use rutter_api::client::ClientError;
use rutter_api::intent::Intent;
use serde_json::{Value, json};

use crate::fixture::{Bgpd, PORT, address, peer, router};

fn intent(value: Value) -> Intent {
    serde_json::from_value(value).expect("an intent")
}

#[tokio::test]
async fn a_bad_intent_changes_nothing_and_names_the_field() {
    let bgpd = Bgpd::start_with(None, &[]).await;
    let good = json!({"instances": [{"name": "m", "localASN": 65001, "routerID": "10.0.0.1", "routes": [{"prefix": "10.1.0.0/16"}]}]});
    let applied = bgpd.client.put_intent("me", &intent(good.clone())).await.expect("valid");
    assert_eq!(applied.changes[0].to_string(), "m: added (0 peers, 1 route)");
    assert!(bgpd.client.put_intent("me", &intent(good.clone())).await.expect("valid").changes.is_empty());

    let mut bad = good.clone();
    bad["instances"][0]["routes"][0]["prefix"] = json!("10.1.2.3/16");
    let error = bgpd.client.put_intent("me", &intent(bad)).await.expect_err("host bits");
    let ClientError::Refused { status: 422, body, .. } = &error else { panic!("{error}") };
    assert_eq!(body.field.as_deref(), Some("instances[0].routes[0].prefix"));
    let error =
        bgpd.client.put_json::<_, Value>("/v1/intents/me", &json!({"instances": [{"name": 1}]})).await;
    let Err(ClientError::Refused { status: 422, body, .. }) = &error else { panic!("{error:?}") };
    assert_eq!(body.field.as_deref(), Some("instances[0].name"));
    assert_eq!(bgpd.client.intent("me").await.expect("still there"), intent(good));
    assert_eq!(bgpd.json("/v1/show/bgp/ipv4").await["totalRoutes"], 1);

    assert_eq!(
        bgpd.client.delete_intent("me").await.expect("deleted").changes[0].to_string(),
        "m: removed (0 peers, 1 route)"
    );
    assert_eq!(bgpd.client.delete_intent("me").await.expect_err("gone").status(), Some(404));
    assert_eq!(
        bgpd.client.put_intent("file", &Intent::default()).await.expect_err("not ours").status(),
        Some(409)
    );
    assert_eq!(bgpd.client.health().await.expect("alive").instances, 0);
}

#[tokio::test]
async fn owners_share_a_session_and_conflicts_have_names() {
    let (a, b) = (address(), address());
    let bgpd = Bgpd::start(&router(a, 65001, &[peer("far", a, b, 65002, "")], "")).await;
    let far = Bgpd::start(&router(b, 65002, &[peer("near", b, a, 65001, "")], "")).await;
    far.until(a, "Established").await;
    let more = json!({"instances": [{
        "name": "main", "localASN": 65001, "routerID": a.to_string(),
        "routes": [{"prefix": "10.5.0.0/16", "nextHop": "192.0.2.1", "source": "a test"}],
        "peers": [{"name": "far", "address": b.to_string(), "port": PORT, "peerASN": 65099}],
    }]});
    let applied = bgpd.client.put_intent("kubernetes", &intent(more)).await.expect("valid");
    let texts: Vec<String> = applied.changes.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["main: routes changed (1 added)"]);
    assert_eq!(
        applied.conflicts[0].to_string(),
        "main/far: peerASN of owner kubernetes is not in force: owner file set another value"
    );
    assert_eq!(bgpd.json("/v1/conflicts").await[0]["field"], "peerASN");
    far.wait("the added route", async || {
        let table = far.json("/v1/show/bgp/ipv4").await;
        if table["routes"]["10.5.0.0/16"].is_array() { Ok(()) } else { Err(table.to_string()) }
    })
    .await;
    bgpd.client.delete_intent("kubernetes").await.expect("deleted");
    far.wait("the withdrawal", async || {
        let table = far.json("/v1/show/bgp/ipv4").await;
        if table["totalRoutes"] == 0 { Ok(()) } else { Err(table.to_string()) }
    })
    .await;
    assert_eq!(far.peer(a).await["connectionsEstablished"], 1, "the session did not notice");
}

#[tokio::test]
async fn an_intent_ends_with_its_hold_time() {
    let bgpd = Bgpd::start_with(None, &[]).await;
    let held =
        json!({"holdSeconds": 1, "instances": [{"name": "m", "localASN": 65001, "routerID": "10.0.0.1"}]});
    bgpd.client.put_intent("short", &intent(held)).await.expect("valid");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(bgpd.client.health().await.expect("alive").instances, 1);
    bgpd.wait("the hold time is over", async || match bgpd.client.health().await {
        Ok(health) if health.instances == 0 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(bgpd.client.intents().await.expect("a list").is_empty());
}

#[tokio::test]
async fn over_tcp_only_the_token_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "0123456789abcdef0123\n").expect("written");
    let listen = std::net::SocketAddr::from((address(), PORT));
    let config = format!("api: {{listen: \"{listen}\", tokenFile: {}}}\n", token.display());
    let bgpd = Bgpd::start(&config).await;
    let ask = async |method: &str, head: &str| {
        let body = "{}";
        let request = format!(
            "{method} /v1/intents/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n{head}\r\n{body}",
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(listen).await.expect("open");
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.expect("answered");
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(ask("PUT", "").await, "401");
    assert_eq!(ask("PUT", "authorization: Bearer wrong\r\n").await, "401");
    assert_eq!(ask("PUT", "authorization: Bearer 0123456789abcdef0123\r\n").await, "200");
    assert_eq!(ask("GET", "").await, "200");
    assert_eq!(bgpd.client.intents().await.expect("a list").len(), 2, "file and x");
}

#[test]
fn the_checked_in_description_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi/bgpd.json");
    let current = bgpd::http::openapi_json();
    assert_eq!(bgpd::http::description().1, Vec::<String>::new(), "show commands without a path");
    for reference in current.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(current.contains(&format!("\"{name}\": {{")), "{name} is referenced and not defined");
    }
    if std::env::var_os("RUTTER_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, &current).expect("written");
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == current,
        "docs/openapi/bgpd.json is old; run RUTTER_UPDATE=1 cargo test -p bgpd --test main description"
    );
}

#[tokio::test]
async fn nothing_here_has_an_answer_too() {
    let bgpd = Bgpd::start_with(None, &[]).await;
    let error = bgpd.client.get_json::<Value>("/v1/nowhere").await.expect_err("no such page");
    assert_eq!(error.status(), Some(404));
    assert!(error.to_string().contains("/openapi.json lists what there is"), "{error}");
    assert_eq!(
        bgpd.text("/v1/show/bgp/summary?format=text").await,
        "% No BGP neighbors found in VRF default\n"
    );
    assert!(bgpd.text("/metrics").await.contains("bgpd_uptime_seconds"));
}
