//! Real FRR on a host: zebra and bgpd of the distribution's package, with sockets and files of their own.
//!
//! Both daemons change to the user `frr`, so their folder belongs to that user and the lab's folder is open to all.
//! Shows go straight to the daemon's vty socket, as vtysh does it, which spares vtysh's start on every poll.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{User, chown};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::host::Host;

const DAEMONS: &str = "/usr/lib/frr";
const START: Duration = Duration::from_secs(20);
const VTY_TIMEOUT: Duration = Duration::from_secs(15);

/// A running FRR.
#[derive(Debug)]
pub struct Frr {
    host: Host,
    folder: PathBuf,
    zebra: Daemon,
    bgpd: Daemon,
}

impl Frr {
    /// Starts zebra and bgpd. The configuration is bgpd's, and a line that it does not understand is an error; zebra has
    /// nothing to be told.
    pub(crate) fn start(host: &Host, config: &str) -> Result<Self> {
        let user = User::from_name("frr")?;
        let (Some(user), true) = (user, Path::new(DAEMONS).join("bgpd").exists()) else {
            bail!("FRR is not installed: `apt-get install frr`");
        };
        let folder = host.folder().join("frr");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        chown(&folder, Some(user.uid), Some(user.gid))?;
        for (name, config) in [("zebra", ""), ("bgpd", config)] {
            let file = folder.join(format!("{name}.conf"));
            fs::write(&file, format!("hostname {}\n{config}\n", host.name()))?;
            chown(&file, Some(user.uid), Some(user.gid))?;
        }

        let daemon = |name: &str| {
            let mut argv: Vec<_> = ["-P", "0", "--log", "stdout", "--vty_socket"].map(Into::into).to_vec();
            argv.push(folder.clone().into());
            let (config, pid) = (format!("{name}.conf"), format!("{name}.pid"));
            for (option, file) in [("-f", config.as_str()), ("-z", "zserv.api"), ("-i", &pid)] {
                argv.extend([option.into(), folder.join(file).into()]);
            }
            Daemon::new(host, name, &Path::new(DAEMONS).join(name), argv)
        };
        let frr =
            Self { host: host.clone(), zebra: daemon("zebra"), bgpd: daemon("bgpd"), folder: folder.clone() };
        frr.zebra.start()?;
        // A bgpd that finds no zebra tries again only after ten seconds.
        frr.zebra.wait_ready(START, || {
            ensure!(folder.join("zserv.api").exists(), "no zserv.api yet");
            frr.vty("zebra", "show version").map(drop)
        })?;
        frr.start_bgpd()?;
        let complaint =
            frr.bgpd.log().lines().find(|line| line.contains("on config line")).map(str::to_owned);
        match complaint {
            Some(line) => bail!("FRR refused its configuration: {line}"),
            None => Ok(frr),
        }
    }

    /// The BGP daemon, to be killed, frozen and so on. zebra goes on running.
    #[must_use]
    pub const fn daemon(&self) -> &Daemon {
        &self.bgpd
    }

    /// Starts bgpd (again) and waits until it answers.
    pub fn start_bgpd(&self) -> Result<()> {
        let _ = fs::remove_file(self.folder.join("bgpd.vty"));
        self.bgpd.start()?;
        self.bgpd.wait_ready(START, || self.show("show bgp summary").map(drop))
    }

    /// What bgpd answers to a show command.
    pub fn show(&self, command: &str) -> Result<String> {
        self.vty("bgpd", command)
    }

    /// What bgpd answers to a show command with `json` at its end.
    pub fn show_json(&self, command: &str) -> Result<Value> {
        let text = self.show(command)?;
        serde_json::from_str(&text).with_context(|| format!("`{command}` did not answer JSON: {text}"))
    }

    /// What zebra answers to a show command with `json` at its end, for example `show ip route json`.
    pub fn zebra_json(&self, command: &str) -> Result<Value> {
        let text = self.vty("zebra", command)?;
        serde_json::from_str(&text).with_context(|| format!("`{command}` did not answer JSON: {text}"))
    }

    /// The command line that a person would type to ask this FRR, for narration.
    #[must_use]
    pub fn vtysh_command(&self, command: &str) -> Vec<String> {
        let socket = self.folder.display().to_string();
        ["vtysh", "--vty_socket", &socket, "-c", command].map(str::to_owned).to_vec()
    }

    /// Runs the real vtysh with these commands.
    pub fn vtysh(&self, commands: &[&str]) -> Result<String> {
        let socket = self.folder.display().to_string();
        let mut argv = vec!["vtysh", "--vty_socket", &socket];
        for command in commands {
            argv.extend(["-c", command]);
        }
        self.host.check(&argv)
    }

    /// Enters configuration lines, one command each, in order.
    pub fn configure(&self, lines: &[&str]) -> Result<()> {
        let mut commands = vec!["configure terminal"];
        commands.extend(lines);
        let said = self.vtysh(&commands)?;
        ensure!(!said.contains('%'), "FRR refused {lines:?}: {said}");
        Ok(())
    }

    /// Lets the daemons run on when this handle is dropped.
    pub fn leave_running(self) {
        self.zebra.leave_running();
        self.bgpd.leave_running();
    }

    /// One command over a daemon's vty socket: it ends with NUL, its answer with three NULs and a status.
    fn vty(&self, daemon: &str, command: &str) -> Result<String> {
        let path = self.folder.join(format!("{daemon}.vty"));
        let mut vty = UnixStream::connect(&path).with_context(|| format!("connecting {}", path.display()))?;
        vty.set_read_timeout(Some(VTY_TIMEOUT))?;
        exchange(&mut vty, "enable")?;
        let (answer, status) = exchange(&mut vty, command)?;
        ensure!(status <= 1, "FRR's {daemon} does not know `{command}` (status {status}): {answer}");
        Ok(answer)
    }
}

fn exchange(vty: &mut UnixStream, command: &str) -> Result<(String, u8)> {
    vty.write_all(command.as_bytes())?;
    vty.write_all(&[0])?;
    let mut answer = Vec::new();
    let mut chunk = [0; 16_384];
    loop {
        let read = match vty.read(&mut chunk) {
            // A read with a timeout is not restarted after this process was stopped and continued.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other.with_context(|| format!("waiting for the answer to `{command}`"))?,
        };
        ensure!(read > 0, "FRR closed the vty during `{command}`");
        answer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if let Some((text, [0, 0, 0, status])) = answer.split_last_chunk::<4>() {
            return Ok((String::from_utf8_lossy(text).into_owned(), *status));
        }
    }
}
