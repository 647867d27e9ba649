//! Real GoBGP on a host.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::gobgp_build::{GoBgpBinaries, gobgp_binaries};
use crate::host::Host;

const START: Duration = Duration::from_secs(10);

/// A running GoBGP.
#[derive(Debug)]
pub struct GoBgp {
    host: Host,
    binaries: &'static GoBgpBinaries,
    daemon: Daemon,
}

impl GoBgp {
    pub(crate) fn start(host: &Host, config: &str) -> Result<Self> {
        let binaries = gobgp_binaries()?;
        let file = host.folder().join("gobgpd.toml");
        fs::write(&file, config)?;
        // Its API has no authentication: the host's own loopback is the only place for it.
        let options = ["-t", "toml", "--api-hosts", "127.0.0.1:50051", "--pprof-disable", "-f"];
        let mut args: Vec<_> = options.map(Into::into).to_vec();
        args.push(file.into());
        let daemon = Daemon::new(host, "gobgpd", &binaries.gobgpd, args);
        let gobgp = Self { host: host.clone(), binaries, daemon };
        gobgp.start_again()?;
        Ok(gobgp)
    }

    /// The process, to be killed, frozen and so on.
    #[must_use]
    pub const fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Starts GoBGP after it was killed and waits until it answers.
    pub fn start_again(&self) -> Result<()> {
        self.daemon.start()?;
        self.daemon.wait_ready(START, || self.gobgp(&["global"]).map(drop))
    }

    /// What the `gobgp` client prints.
    pub fn gobgp(&self, args: &[&str]) -> Result<String> {
        let client = self.binaries.gobgp.to_str().context("the path of gobgp is not text")?;
        let mut argv = vec![client];
        argv.extend(args);
        let text = self.host.check(&argv)?;
        // The client says some refusals with a good exit status.
        ensure!(!text.starts_with("rpc error"), "gobgp {}: {text}", args.join(" "));
        Ok(text)
    }

    /// What the client prints with `-j`. Its "not found" is no JSON: that is `null` here.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let mut full = args.to_vec();
        full.push("-j");
        let text = self.gobgp(&full)?;
        if text.trim().is_empty() || text.contains("not in table") {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("`gobgp {}`: {text}", args.join(" ")))
    }
}
