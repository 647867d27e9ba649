//! One host of a lab: commands, addresses, and software to start on it.
//!
//! Invariant: everything a host starts runs inside its namespace, from the first instruction on.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};

use crate::lab::LinkEnd;
use crate::namespace::{self, Namespace};
use crate::{Agent, Bgpd, Bird, Daemon, Frr, GoBgp, HttpConnection, HttpReply, Operator};

/// A handle to a host; clones are the same host.
#[derive(Clone, Debug)]
pub struct Host(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    namespace: Namespace,
    lab_folder: PathBuf,
    folder: PathBuf,
    stays: AtomicBool,
}

/// What a command printed, and whether it succeeded.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Whether the exit status was 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Host {
    pub(crate) fn new(name: &str, namespace: Namespace, lab_folder: &Path) -> Result<Self> {
        let folder = lab_folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let (name, lab_folder) = (name.to_owned(), lab_folder.to_owned());
        Ok(Self(Arc::new(Inner { name, namespace, lab_folder, folder, stays: AtomicBool::new(false) })))
    }

    /// Its name in the lab.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Name of its network namespace, as `ip netns` lists it.
    #[must_use]
    pub fn netns(&self) -> &str {
        self.0.namespace.name()
    }

    /// A folder for this host's files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Where the log of software with this name goes.
    pub(crate) fn log_path(&self, software: &str) -> PathBuf {
        self.0.lab_folder.join(format!("{}-{software}.log", self.0.name))
    }

    /// One end of a cable, to be plugged in by [`crate::Lab::link`] or [`crate::Lab::switch`].
    #[must_use]
    pub const fn port<'a>(&'a self, interface: &'a str, addresses: &'a [&'a str]) -> LinkEnd<'a> {
        LinkEnd { host: self, interface, addresses }
    }

    /// Runs `work` inside the host's network namespace; sockets opened there stay there.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.0.namespace.enter(work)
    }

    /// Runs a command on the host and waits for it; its failure is not an error.
    pub fn run(&self, argv: &[&str]) -> Result<Ran> {
        let (program, args) = argv.split_first().context("an empty command")?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        let output: Output = self
            .enter(|| command.output())?
            .with_context(|| format!("starting `{program}` on host {}", self.0.name))?;
        Ok(Ran {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command that has to succeed, and returns what it printed.
    pub fn check(&self, argv: &[&str]) -> Result<String> {
        let ran = self.run(argv)?;
        ensure!(
            ran.success,
            "`{}` failed on host {}: {}{}",
            argv.join(" "),
            self.0.name,
            ran.stdout,
            ran.stderr.trim_end()
        );
        Ok(ran.stdout)
    }

    /// `ip` on this host.
    pub fn ip(&self, args: &[&str]) -> Result<String> {
        self.0.namespace.ip(args).with_context(|| format!("on host {}", self.0.name))
    }

    /// Sets a kernel setting of this host, for example `net.ipv4.ip_forward`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.0.namespace.sysctl(key, value)
    }

    /// Cuts the line to a neighbour without any sign of it: packets to `address` go to a hardware address nobody has,
    /// both ends still see a carrier. Cutting one direction is enough for BGP, whose TCP then gets no answers.
    pub fn silence(&self, interface: &str, address: &str) -> Result<()> {
        let nowhere = "02:00:00:00:00:01";
        self.ip(&["neigh", "replace", address, "lladdr", nowhere, "nud", "permanent", "dev", interface])?;
        Ok(())
    }

    /// Undoes [`Host::silence`].
    pub fn unsilence(&self, interface: &str, address: &str) -> Result<()> {
        self.ip(&["neigh", "del", address, "dev", interface])?;
        Ok(())
    }

    /// Starts any program; it is killed when the handle is dropped.
    pub fn spawn(&self, name: &str, argv: &[&str]) -> Result<Daemon> {
        let (program, args) = argv.split_first().context("an empty command")?;
        let daemon = Daemon::new(self, name, Path::new(program), args.iter().map(Into::into).collect());
        daemon.start()?;
        Ok(daemon)
    }

    /// Starts FRR (zebra and bgpd) with this configuration.
    pub fn frr(&self, config: &str) -> Result<Frr> {
        Frr::start(self, config)
    }

    /// Starts BIRD with this configuration.
    pub fn bird(&self, config: &str) -> Result<Bird> {
        Bird::start(self, config)
    }

    /// Starts GoBGP with this TOML configuration.
    pub fn gobgp(&self, config: &str) -> Result<GoBgp> {
        GoBgp::start(self, config)
    }

    /// Starts rutter's bgpd with this YAML configuration, into which the API socket is written.
    pub fn bgpd(&self, config: &str) -> Result<Bgpd> {
        Bgpd::start(self, config, &[])
    }

    /// Starts rutter's bgpd with more options.
    pub fn bgpd_with(&self, config: &str, options: &[&str]) -> Result<Bgpd> {
        Bgpd::start(self, config, options)
    }

    /// Starts rutter's agent of `node` with these options, beside this host's bgpd.
    pub fn agent(&self, node: &str, options: &[&str]) -> Result<Agent> {
        Agent::start(self, node, options)
    }

    /// Starts a `rutter-operator run` with these options, whose HTTP API listens on `listen`. `name` tells several apart.
    pub fn operator(&self, name: &str, listen: SocketAddr, options: &[&str]) -> Result<Operator> {
        Operator::start(self, name, listen, options)
    }

    /// One HTTP request over TCP from this host, over a connection of its own.
    pub fn http(&self, to: SocketAddr, method: &str, target: &str, body: Option<&str>) -> Result<HttpReply> {
        self.enter(|| HttpConnection::tcp(to)?.request(method, target, body))?
            .with_context(|| format!("{method} {target} on {to} from host {}", self.0.name))
    }

    pub(crate) fn spawn_child(&self, command: &mut Command) -> Result<Child> {
        let program = command.get_program().to_string_lossy().into_owned();
        self.enter(|| command.spawn())?.with_context(|| format!("starting {program} on host {}", self.0.name))
    }

    /// Kills everything on the host and deletes its namespace, whoever still holds a handle.
    pub(crate) fn remove(&self) {
        namespace::remove(self.netns());
        self.0.stays.store(true, Ordering::Relaxed);
    }

    pub(crate) fn leave_running(&self) {
        self.0.stays.store(true, Ordering::Relaxed);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.stays.load(Ordering::Relaxed) {
            namespace::remove(self.namespace.name());
        }
    }
}
