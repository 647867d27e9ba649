//! The lab itself: who owns the hosts and links, and who cleans up.
//!
//! Invariant: names tell the owner. A namespace or folder called `rtr-<pid>-...` belongs to the process `<pid>`; once
//! that has gone, the next lab may remove it. A persistent lab has a name of its own and is removed by that name only.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use anyhow::{Context, Result, ensure};
use nix::unistd::{Uid, geteuid};

use crate::guardian::Guardian;
use crate::host::Host;
use crate::namespace::{self, Namespace, ip};

/// Start of the names of everything that belongs to one process.
const PREFIX: &str = "rtr-";
/// How much of each log a failure shows.
const LOG_TAIL_LINES: usize = 60;

/// Hosts, links and a folder for their files; all gone when dropped.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
    folder: PathBuf,
    hosts: Mutex<Vec<Host>>,
    guardian: Option<Guardian>,
}

/// One end of a cable: made by [`Host::port`], plugged in by [`Lab::link`] or [`Lab::switch`].
#[derive(Clone, Copy, Debug)]
pub struct LinkEnd<'a> {
    pub(crate) host: &'a Host,
    pub(crate) interface: &'a str,
    pub(crate) addresses: &'a [&'a str],
}

impl Lab {
    /// An empty lab for one test. `name` appears in the folder's name only.
    pub fn new(name: &str) -> Result<Self> {
        static SWEEP: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(1);
        require_root()?;
        SWEEP.call_once(sweep);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{PREFIX}{}-{number}-", std::process::id());
        // FRR's daemons run as their own user and must be able to reach their sockets below.
        let folder = tempfile::Builder::new()
            .prefix(&format!("{prefix}{name}-"))
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .context("making the lab's folder")?
            .keep();
        Self::open(prefix, folder)
    }

    /// A lab with fixed names: namespaces `<name>-<host>` and this folder, which may outlive the process, see
    /// [`Lab::leave_running`]. What stood under that name is torn down first.
    pub fn persistent(name: &str, folder: &Path) -> Result<Self> {
        require_root()?;
        Self::demolish(name, folder);
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
        Self::open(format!("{name}-"), folder.to_owned())
    }

    /// Removes the persistent lab of this name, whoever made it. Says whether there was anything.
    pub fn demolish(name: &str, folder: &Path) -> bool {
        let names = namespace::names_with(&format!("{name}-"));
        for name in &names {
            namespace::remove(name);
        }
        fs::remove_dir_all(folder).is_ok() || !names.is_empty()
    }

    fn open(prefix: String, folder: PathBuf) -> Result<Self> {
        let guardian = Guardian::start(&prefix, &folder)?;
        Ok(Self { prefix, folder, hosts: Mutex::default(), guardian: Some(guardian) })
    }

    /// The folder for this lab's files: configurations, sockets, logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A new host: a network namespace with only a loopback.
    pub fn host(&self, name: &str) -> Result<Host> {
        let namespace = Namespace::create(&format!("{}{name}", self.prefix))?;
        let host = Host::new(name, namespace, &self.folder)?;
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).push(host.clone());
        Ok(host)
    }

    /// A cable (veth pair) between two hosts.
    pub fn link(&self, a: LinkEnd<'_>, b: LinkEnd<'_>) -> Result<()> {
        plug(a, b)
    }

    /// A switch (bridge in a namespace of its own) with one cable to each end.
    pub fn switch(&self, name: &str, ends: &[LinkEnd<'_>]) -> Result<Host> {
        let switch = self.host(name)?;
        switch.ip(&["link", "add", "lan", "type", "bridge", "forward_delay", "0"])?;
        switch.ip(&["link", "set", "lan", "up"])?;
        for (index, end) in ends.iter().enumerate() {
            let port = format!("port{index}");
            cable(end.host.netns(), end.interface, switch.netns(), &port)?;
            switch.ip(&["link", "set", &port, "master", "lan", "up"])?;
            end.configure()?;
        }
        Ok(switch)
    }

    /// The last lines of every log in the lab, for a person who looks at a failure.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut paths: Vec<PathBuf> = fs::read_dir(&self.folder)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        paths.sort();
        let mut text = String::new();
        for path in paths {
            let bytes = fs::read(&path).unwrap_or_default();
            let log = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = log.lines().collect();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            text.push_str(&format!("--- {name} ({} lines)\n", lines.len()));
            for line in lines.iter().skip(lines.len().saturating_sub(LOG_TAIL_LINES)) {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }

    /// Lets everything go on running after this process ends; [`Lab::demolish`] removes it later. Daemon handles must be
    /// released with [`crate::Daemon::leave_running`] too.
    pub fn leave_running(mut self) {
        for host in self.hosts.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            host.leave_running();
        }
        if let Some(guardian) = self.guardian.take() {
            guardian.dismiss();
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let Some(guardian) = self.guardian.take() else { return };
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        for host in self.hosts.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            host.remove();
        }
        // Whatever a failed step left half-made.
        for name in namespace::names_with(&self.prefix) {
            namespace::remove(&name);
        }
        let _ = fs::remove_dir_all(&self.folder);
        guardian.dismiss();
    }
}

impl LinkEnd<'_> {
    fn configure(&self) -> Result<()> {
        for address in self.addresses {
            self.host.ip(&["addr", "add", address, "dev", self.interface])?;
        }
        self.host.ip(&["link", "set", self.interface, "up"])?;
        Ok(())
    }
}

/// A cable between two hosts of any labs.
pub(crate) fn plug(a: LinkEnd<'_>, b: LinkEnd<'_>) -> Result<()> {
    cable(a.host.netns(), a.interface, b.host.netns(), b.interface)?;
    a.configure()?;
    b.configure()
}

/// Both ends are made where they belong, so equal interface names never meet.
fn cable(netns_a: &str, interface_a: &str, netns_b: &str, interface_b: &str) -> Result<()> {
    ip(&[
        "link",
        "add",
        interface_a,
        "netns",
        netns_a,
        "type",
        "veth",
        "peer",
        "name",
        interface_b,
        "netns",
        netns_b,
    ])?;
    Ok(())
}

fn require_root() -> Result<()> {
    ensure!(
        geteuid() == Uid::from_raw(0),
        "network namespaces and FRR need root: run this as root, for example with `sudo -E`"
    );
    Ok(())
}

/// Removes namespaces and folders whose owning process has gone.
fn sweep() {
    let orphaned = |name: &str| {
        name.strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next())
            .and_then(|pid| pid.parse::<u32>().ok())
            .is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    };
    for name in namespace::names_with(PREFIX) {
        if orphaned(&name) {
            namespace::remove(&name);
        }
    }
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(orphaned)
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
