//! Real BIRD on a host.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::daemon::Daemon;
use crate::host::Host;

const START: Duration = Duration::from_secs(10);
const PLACES: [&str; 3] = ["/usr/sbin/bird", "/usr/local/sbin/bird", "/usr/bin/bird"];

/// A running BIRD.
#[derive(Debug)]
pub struct Bird {
    host: Host,
    config: PathBuf,
    socket: PathBuf,
    daemon: Daemon,
}

impl Bird {
    pub(crate) fn start(host: &Host, config: &str) -> Result<Self> {
        let program = PLACES
            .iter()
            .map(Path::new)
            .find(|path| path.exists())
            .context("BIRD is not installed: `apt-get install bird2`")?;
        let folder = host.folder();
        let (file, socket) = (folder.join("bird.conf"), folder.join("bird.ctl"));
        fs::write(&file, config)?;
        let args = ["-f".as_ref(), "-c".as_ref(), file.as_os_str(), "-s".as_ref(), socket.as_os_str()];
        let daemon = Daemon::new(host, "bird", program, args.map(Into::into).to_vec());
        let bird = Self { host: host.clone(), config: file, socket, daemon };
        bird.start_again()?;
        Ok(bird)
    }

    /// The process, to be killed, frozen and so on.
    #[must_use]
    pub const fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Starts BIRD after it was killed and waits until it answers.
    pub fn start_again(&self) -> Result<()> {
        let _ = fs::remove_file(&self.socket);
        self.daemon.start()?;
        self.daemon.wait_ready(START, || {
            let status = self.birdc("show status")?;
            ensure!(status.contains("Daemon is up and running"), "{status}");
            Ok(())
        })
    }

    /// What `birdc` prints for a command.
    pub fn birdc(&self, command: &str) -> Result<String> {
        let socket = self.socket.display().to_string();
        let mut argv = vec!["birdc", "-s", &socket];
        argv.extend(command.split_whitespace());
        self.host.check(&argv)
    }

    /// Replaces the configuration, as an operator does it: edit the file, `configure`.
    pub fn reconfigure(&self, config: &str) -> Result<()> {
        fs::write(&self.config, config)?;
        let said = self.birdc("configure")?;
        ensure!(said.contains("Reconfigur"), "BIRD refused its configuration: {said}");
        Ok(())
    }
}
