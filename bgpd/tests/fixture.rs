//! Children, folders and addresses of one test.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rutter_api::client::Client;
use serde_json::Value;

/// The port all tests listen on; their addresses differ.
pub(crate) const PORT: u16 = 17_900;
const PATIENCE: Duration = Duration::from_secs(10);

/// A loopback address that no other test uses.
pub(crate) fn address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high % 250 + 2, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A running bgpd. Dropping it kills it and removes its folder.
pub(crate) struct Bgpd {
    child: Child,
    folder: tempfile::TempDir,
    pub(crate) client: Client,
}

impl Bgpd {
    /// Starts with this configuration file and waits until the API answers.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_with(Some(config), &[]).await
    }

    pub(crate) async fn start_with(config: Option<&str>, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("bgpd.sock");
        if let Some(config) = config {
            fs::write(folder.path().join("bgpd.yaml"), config).expect("written");
        }
        let child = spawn(folder.path(), options);
        let bgpd = Self { child, folder, client: Client::new(&socket).timeout(Duration::from_secs(5)) };
        bgpd.ready().await;
        bgpd
    }

    /// Starts another bgpd in the same folder, with the same file, and gives the one before back.
    pub(crate) fn spawn_again(&mut self, options: &[&str]) -> Child {
        std::mem::replace(&mut self.child, spawn(self.folder.path(), options))
    }

    /// Waits until the API answers.
    pub(crate) async fn ready(&self) {
        self.wait("the API answers", async || {
            self.client.health().await.map(drop).map_err(|e| e.to_string())
        })
        .await;
    }

    pub(crate) fn socket(&self) -> &Path {
        self.client.socket()
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join("bgpd.yaml")
    }

    /// Replaces the configuration file and sends SIGHUP.
    pub(crate) fn reload(&self, config: &str) {
        fs::write(self.config_file(), config).expect("written");
        self.signal(Signal::SIGHUP);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process ID"));
        kill(pid, signal).expect("our own child");
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "bgpd does not end; log:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        self.client
            .get_json(path)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}; log:\n{}", self.log()))
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        self.client
            .get_text(path)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}; log:\n{}", self.log()))
    }

    /// Tells a session to do something.
    pub(crate) async fn order(&self, peer: &str, command: &str) {
        let mut stream = tokio::net::UnixStream::connect(self.socket()).await.expect("the API is open");
        let request = format!(
            "POST /v1/control/bgp/neighbors/{peer}/{command} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        );
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.expect("answered");
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    }

    /// The row of a peer in the IPv4 summary.
    pub(crate) async fn peer(&self, address: Ipv4Addr) -> Value {
        self.json("/v1/show/bgp/summary").await["ipv4Unicast"]["peers"][address.to_string()].clone()
    }

    /// Waits until the session with a peer is in this state.
    pub(crate) async fn until(&self, address: Ipv4Addr, state: &str) {
        let what = format!("{address} is {state}");
        self.wait(&what, async || {
            let now = self.peer(address).await["state"].clone();
            if now == state { Ok(()) } else { Err(format!("it is {now}")) }
        })
        .await;
    }

    /// Waits for a condition; shows the log if it does not come.
    pub(crate) async fn wait(&self, what: &str, condition: impl AsyncFnMut() -> Result<(), String>) {
        if let Err(problem) = try_eventually(condition).await {
            panic!("not in {PATIENCE:?}: {what}: {problem}; log:\n{}", self.log());
        }
    }
}

/// Starts bgpd in a folder; its log goes on in the same file.
fn spawn(folder: &Path, options: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bgpd"));
    command.arg("--socket").arg(folder.join("bgpd.sock")).args(options);
    let config = folder.join("bgpd.yaml");
    if config.exists() {
        command.arg("--config").arg(config);
    }
    let log = fs::File::options().append(true).create(true).open(folder.join("log")).expect("a log");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("bgpd starts")
}

impl Drop for Bgpd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

async fn try_eventually(mut condition: impl AsyncFnMut() -> Result<(), String>) -> Result<(), String> {
    let start = Instant::now();
    loop {
        match condition().await {
            Ok(()) => return Ok(()),
            Err(problem) if start.elapsed() > PATIENCE => return Err(problem),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A configuration with one instance `main` that listens on `address`; `peers` and `more` are YAML flow text.
pub(crate) fn router(address: Ipv4Addr, asn: u32, peers: &[String], more: &str) -> String {
    let peers = match peers {
        [] => " []".to_owned(),
        peers => peers.iter().map(|peer| format!("\n      - {{{peer}}}")).collect::<String>(),
    };
    format!(
        "hostname: r{asn}\ninstances:\n  - name: main\n    localASN: {asn}\n    routerID: {address}\n    \
         listenPort: {PORT}\n    listenAddresses: [{address}]\n{more}    peers:{peers}\n"
    )
}

/// A peer in flow style that dials from `local` to `remote` and is impatient enough for tests.
pub(crate) fn peer(name: &str, local: Ipv4Addr, remote: Ipv4Addr, asn: u32, more: &str) -> String {
    format!(
        "name: {name}, address: {remote}, peerASN: {asn}, port: {PORT}, localAddress: {local}, \
         timers: {{connectRetrySeconds: 1, holdSeconds: 9, keepaliveSeconds: 3}}{more}"
    )
}
