//! rutter's agent on a host, as a black box: its binary, its options, its API socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::bgpd::rutter_binary;
use crate::daemon::Daemon;
use crate::host::Host;
use crate::http::{HttpReply, http_request};

const START: Duration = Duration::from_secs(15);

/// A running rutter-agent.
#[derive(Debug)]
pub struct Agent {
    socket: PathBuf,
    daemon: Daemon,
}

impl Agent {
    /// Starts the agent of this node with these options; its API listens on [`Agent::socket`], and it talks to the host's bgpd.
    pub(crate) fn start(host: &Host, node: &str, options: &[&str]) -> Result<Self> {
        let folder = host.folder();
        let (socket, bgpd) = (folder.join("agent.sock"), folder.join("bgpd.sock"));
        let args = [
            "--node".as_ref(),
            node.as_ref(),
            "--bgpd-socket".as_ref(),
            bgpd.as_os_str(),
            "--socket".as_ref(),
            socket.as_os_str(),
        ];
        let args = args.into_iter().map(Into::into).chain(options.iter().map(Into::into)).collect();
        let daemon = Daemon::new(host, "rutter-agent", &rutter_binary("rutter-agent")?, args);
        let agent = Self { socket, daemon };
        agent.start_again()?;
        Ok(agent)
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

    /// The API socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Starts the agent after it ended and waits until its API answers, whatever it has to say.
    pub fn start_again(&self) -> Result<()> {
        self.daemon.start()?;
        self.daemon.wait_ready(START, || self.request("GET", "/v1/health").map(drop))
    }

    /// One request to the API, whatever its status.
    pub fn request(&self, method: &str, target: &str) -> Result<HttpReply> {
        http_request(&self.socket, method, target, None)
    }

    /// The JSON that the API answers to a GET.
    pub fn get(&self, target: &str) -> Result<Value> {
        let reply = self.request("GET", target)?;
        ensure!(reply.status == 200, "GET {target} answers {}: {}", reply.status, reply.body);
        reply.json()
    }
}
