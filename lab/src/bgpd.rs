//! rutter's own bgpd on a host, as a black box: its binary, a YAML file, its API socket.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use nix::sys::signal::Signal;

use crate::daemon::Daemon;
use crate::host::Host;
use crate::http::{HttpReply, http_request};
use crate::wait::wait_for;

const START: Duration = Duration::from_secs(10);
const LOG_NAME: &str = "rutter-bgpd";

/// A running bgpd.
#[derive(Debug)]
pub struct Bgpd {
    host: Host,
    program: PathBuf,
    args: Vec<OsString>,
    config: PathBuf,
    socket: PathBuf,
    daemon: Daemon,
}

impl Bgpd {
    /// Writes the configuration and starts bgpd with it; its API listens on [`Bgpd::socket`].
    pub(crate) fn start(host: &Host, config: &str, options: &[&str]) -> Result<Self> {
        let program = rutter_binary("bgpd")?;
        let folder = host.folder();
        let (file, socket) = (folder.join("bgpd.yaml"), folder.join("bgpd.sock"));
        fs::write(&file, config)?;
        let args = ["--config".as_ref(), file.as_os_str(), "--socket".as_ref(), socket.as_os_str()];
        let mut args: Vec<OsString> = args.map(Into::into).to_vec();
        args.extend(options.iter().map(Into::into));
        let daemon = Daemon::new(host, LOG_NAME, &program, args.clone());
        let bgpd = Self { host: host.clone(), program, args, config: file, socket, daemon };
        bgpd.start_again()?;
        Ok(bgpd)
    }

    /// The process, to be killed, frozen and so on.
    #[must_use]
    pub const fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The API socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Starts bgpd after it ended and waits until it is ready.
    pub fn start_again(&self) -> Result<()> {
        self.daemon.start()?;
        self.daemon.wait_ready(START, || {
            let reply = self.request("GET", "/v1/health", None)?;
            ensure!(reply.status == 200, "health answers {}: {}", reply.status, reply.body);
            Ok(())
        })
    }

    /// Starts a bgpd that takes over from this one (`--take-over=or-fail`) and waits until this one has ended and the other is
    /// ready. If nothing is taken over, this one goes on.
    pub fn take_over(&mut self) -> Result<()> {
        let mut args = self.args.clone();
        args.push("--take-over=or-fail".into());
        let next = Daemon::new(&self.host, LOG_NAME, &self.program, args);
        next.start()?;
        let status = wait_for(START, "the bgpd before to hand over and end", || {
            next.ensure_running()?;
            self.daemon.ended()
        })
        .map_err(|error| error.context(self.daemon.log()))?;
        ensure!(status.success(), "the bgpd before ended with {status}; its log:\n{}", self.daemon.log());
        self.daemon = next;
        self.daemon.wait_ready(START, || {
            let reply = self.request("GET", "/v1/health", None)?;
            ensure!(reply.status == 200, "health answers {}: {}", reply.status, reply.body);
            Ok(())
        })
    }

    /// Replaces the configuration file and sends SIGHUP.
    pub fn reload(&self, config: &str) -> Result<()> {
        fs::write(&self.config, config)?;
        self.daemon.signal(Signal::SIGHUP)
    }

    /// One request to the API, whatever its status.
    pub fn request(&self, method: &str, target: &str, body: Option<&str>) -> Result<HttpReply> {
        http_request(&self.socket, method, target, body)
    }

    /// The JSON that the API answers to a GET.
    pub fn get(&self, target: &str) -> Result<Value> {
        let reply = self.request("GET", target, None)?;
        ensure!(reply.status == 200, "GET {target} answers {}: {}", reply.status, reply.body);
        reply.json()
    }

    /// Puts an owner's whole intent (JSON).
    pub fn put_intent(&self, owner: &str, intent: &Value) -> Result<Value> {
        let reply = self.request("PUT", &format!("/v1/intents/{owner}"), Some(&intent.to_string()))?;
        ensure!(reply.status == 200, "the intent of {owner} was refused ({}): {}", reply.status, reply.body);
        reply.json()
    }
}

/// Finds one of the product's binaries: in `$RUTTER_BIN_DIR`, else beside the running program (`target/<profile>`, from
/// a test in `deps/` one folder up).
pub fn rutter_binary(name: &str) -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("RUTTER_BIN_DIR") {
        let path = PathBuf::from(folder).join(name);
        ensure!(path.exists(), "RUTTER_BIN_DIR is set, but there is no {}", path.display());
        return Ok(path);
    }
    let own = std::env::current_exe().context("finding the running program")?;
    for folder in own.ancestors().skip(1).take(2) {
        let path = folder.join(name);
        // `deps/` holds hashed copies of test binaries, never a plain `bgpd`.
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!("no `{name}` beside {}: `cargo build -p {name}` first, or set RUTTER_BIN_DIR", own.display())
}
