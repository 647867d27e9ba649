//! How bgpd begins and ends.

use nix::sys::signal::Signal;

use crate::fixture::{Bgpd, address, peer, router};

#[tokio::test]
async fn sigterm_tells_the_peers_why() {
    let (a, b) = (address(), address());
    let mut left = Bgpd::start(&router(a, 65001, &[peer("right", a, b, 65002, "")], "")).await;
    let right = Bgpd::start(&router(b, 65002, &[peer("left", b, a, 65001, "")], "")).await;
    left.until(b, "Established").await;
    left.signal(Signal::SIGTERM);
    assert_eq!(left.ended().await.code(), Some(0), "{}", left.log());
    assert!(!left.socket().exists(), "the socket file is gone");
    right
        .wait("the Cease is shown", async || {
            let neighbor = right.json("/v1/show/bgp/neighbors").await[a.to_string()].clone();
            let reason = &neighbor["lastNotificationReason"];
            if reason == "Cease/Administrative Shutdown" { Ok(()) } else { Err(format!("{neighbor:#}")) }
        })
        .await;
}

#[tokio::test]
async fn a_killed_bgpd_leaves_a_socket_that_the_next_one_takes() {
    let mut first = Bgpd::start_with(None, &[]).await;
    let socket = first.socket().to_str().expect("a path").to_owned();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_bgpd")).args(["--socket", &socket]).output();
    let second = second.expect("bgpd starts");
    assert_eq!(second.status.code(), Some(3));
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(text.contains("is served by another bgpd"), "{text}");
    first.client.health().await.expect("the first is not disturbed");
    first.signal(Signal::SIGKILL);
    first.ended().await;
    assert!(first.socket().exists());
    let third = std::process::Command::new(env!("CARGO_BIN_EXE_bgpd"))
        .args(["--socket", &socket])
        .stderr(std::process::Stdio::null())
        .spawn();
    let mut third = third.expect("bgpd starts");
    first
        .wait("the next one answers", async || {
            first.client.health().await.map(drop).map_err(|e| e.to_string())
        })
        .await;
    third.kill().expect("our own child");
    third.wait().expect("our own child");
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let mut bgpd = Bgpd::start_with(None, &[]).await;
    bgpd.signal(Signal::SIGTERM);
    bgpd.signal(Signal::SIGINT);
    let code = bgpd.ended().await.code();
    assert!(matches!(code, Some(0 | 4)), "{code:?}");
}
