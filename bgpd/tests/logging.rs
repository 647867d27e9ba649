//! Nobody waits for whoever reads the log.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use rutter_api::client::Client;

use crate::fixture::{address, peer, router};

/// What Linux keeps of a pipe that nobody reads.
const PIPE: usize = 64 << 10;
/// Orders, each of which says what it does in more than a hundred octets.
const ORDERS: usize = 2 * PIPE / 100;

#[tokio::test]
async fn a_log_that_nobody_reads_holds_nobody_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let (socket, config) = (folder.path().join("bgpd.sock"), folder.path().join("bgpd.yaml"));
    let (here, there) = (address(), address());
    let nobody = peer("nobody", here, there, 65002, ", passive: true");
    std::fs::write(&config, router(here, 65001, &[nobody], "")).expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_bgpd"))
        .args(["--socket".as_ref(), socket.as_os_str(), "--config".as_ref(), config.as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bgpd starts");
    let client = Client::new(&socket).timeout(Duration::from_secs(5));
    let mut given = 0;
    let mut tries = 0;
    let outcome = loop {
        let word = if given % 2 == 0 { "disable" } else { "enable" };
        match client.post(&format!("/v1/control/bgp/neighbors/nobody/{word}")).await {
            Ok(_) if given == ORDERS => break Ok(()),
            Ok(_) => given += 1,
            // It starts.
            Err(_) if given == 0 && tries < 1_000 => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => break Err(format!("after {given} orders: {error}")),
        }
        tries += 1;
    };
    child.kill().expect("our own child");
    let mut log = Vec::new();
    child.stderr.take().expect("piped").read_to_end(&mut log).expect("read");
    child.wait().expect("our own child");
    outcome.expect("bgpd goes on answering");
    assert!(log.len() > PIPE - 4096, "the pipe was not full: {} octets", log.len());
}
