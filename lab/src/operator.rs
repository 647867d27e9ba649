//! rutter's operator on a host, as a black box: its binary, its options, its HTTP address.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::bgpd::rutter_binary;
use crate::daemon::Daemon;
use crate::host::Host;
use crate::http::HttpReply;

const START: Duration = Duration::from_secs(15);

/// A running `rutter-operator run`.
#[derive(Debug)]
pub struct Operator {
    host: Host,
    listen: SocketAddr,
    daemon: Daemon,
}

impl Operator {
    /// Starts one with these options. `name` tells operators on one host apart, `listen` is where its HTTP API is on this host.
    pub(crate) fn start(host: &Host, name: &str, listen: SocketAddr, options: &[&str]) -> Result<Self> {
        let address = listen.to_string();
        let args = ["run", "--listen", &address];
        let args = args.iter().chain(options).map(Into::into).collect();
        let daemon = Daemon::new(host, name, &rutter_binary("rutter-operator")?, args);
        let operator = Self { host: host.clone(), listen, daemon };
        operator.start_again()?;
        Ok(operator)
    }

    /// The process, to be killed, frozen and so on.
    #[must_use]
    pub const fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The process itself, for one that is to outlive this handle.
    #[must_use]
    pub fn into_daemon(self) -> Daemon {
        self.daemon
    }

    /// Starts the operator after it ended and waits until its API answers, whatever it has to say.
    pub fn start_again(&self) -> Result<()> {
        self.daemon.start()?;
        self.daemon.wait_ready(START, || self.request("GET", "/v1/health").map(drop))
    }

    /// One request to the API, whatever its status.
    pub fn request(&self, method: &str, target: &str) -> Result<HttpReply> {
        self.host.http(self.listen, method, target, None)
    }

    /// The JSON that the API answers to a GET.
    pub fn get(&self, target: &str) -> Result<Value> {
        let reply = self.request("GET", target)?;
        ensure!(reply.status == 200, "GET {target} answers {}: {}", reply.status, reply.body);
        reply.json()
    }
}
