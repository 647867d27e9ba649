//! One network namespace, by the names and files that iproute2 uses, so that `ip netns exec` works on it for people.
//!
//! Invariant: a namespace is deleted only after every process in it was killed; otherwise it would live on, nameless.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where iproute2 keeps its named namespaces.
pub(crate) const NETNS_DIR: &str = "/run/netns";
/// Where FRR's daemons keep their crash logs; a killed daemon leaves its folder there.
pub(crate) const FRR_SCRATCH: &str = "/var/tmp/frr";

/// An entered handle to a named network namespace. Dropping it closes the handle; [`remove`] deletes the namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    handle: File,
}

impl Namespace {
    /// Makes the namespace and brings its loopback up. Duplicate address detection is off: a lab has no duplicates and no
    /// time to wait for their absence.
    pub(crate) fn create(name: &str) -> Result<Self> {
        ip(&["netns", "add", name])?;
        Self::prepare(name).inspect_err(|_| remove(name))
    }

    fn prepare(name: &str) -> Result<Self> {
        let handle = File::open(path_of(name)).with_context(|| format!("opening namespace {name}"))?;
        let namespace = Self { name: name.to_owned(), handle };
        namespace.ip(&["link", "set", "lo", "up"])?;
        for which in ["all", "default"] {
            namespace.sysctl(&format!("net.ipv6.conf.{which}.accept_dad"), "0")?;
        }
        Ok(namespace)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a thread inside the namespace: sockets it opens and children it starts belong there for good.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.handle, CloneFlags::CLONE_NEWNET)
                    .with_context(|| format!("entering namespace {}", self.name))?;
                Ok(work())
            });
            match inside.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Runs `ip` inside the namespace. `ip -n` would do too, but makes a mount namespace each time.
    pub(crate) fn ip(&self, args: &[&str]) -> Result<String> {
        self.enter(|| ip(args))?
    }

    /// Sets a kernel setting of this namespace; dots in the key separate folders, as with `sysctl`.
    pub(crate) fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(key.replace('.', "/"));
        self.enter(|| fs::write(&path, value))?.with_context(|| format!("setting {key} to {value}"))
    }
}

/// Kills everything inside the named namespace and deletes it. Best effort: it runs from `drop` and from the sweep.
pub(crate) fn remove(name: &str) {
    // A killed process may have had a child on its way: look again until a look finds nobody.
    for _ in 0..10 {
        let pids = pids_in(name);
        if pids.is_empty() {
            break;
        }
        for pid in pids {
            let _ = kill(pid, Signal::SIGKILL);
            remove_frr_scratch(pid);
        }
        thread::sleep(std::time::Duration::from_millis(5));
    }
    let _ = ip(&["netns", "del", name]);
}

/// Removes what FRR's daemon with this process id left in `/var/tmp/frr`, and that folder when nobody else uses it.
pub(crate) fn remove_frr_scratch(pid: Pid) {
    for daemon in ["zebra", "bgpd"] {
        let _ = fs::remove_dir_all(format!("{FRR_SCRATCH}/{daemon}.{pid}"));
    }
    let _ = fs::remove_dir(FRR_SCRATCH);
}

/// Names of all namespaces that start with `prefix`.
pub(crate) fn names_with(prefix: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(NETNS_DIR) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

/// Runs `ip` with these arguments.
pub(crate) fn ip(args: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(args).output().context("starting `ip`: is iproute2 installed?")?;
    ensure!(
        output.status.success(),
        "`ip {}` failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn path_of(name: &str) -> PathBuf {
    Path::new(NETNS_DIR).join(name)
}

/// Living processes inside the namespace. Zombies have no namespace any more and do not count.
fn pids_in(name: &str) -> Vec<Pid> {
    let Ok(wanted) = fs::metadata(path_of(name)) else { return Vec::new() };
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id();
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| u32::try_from(*pid).is_ok_and(|pid| pid != own))
        .filter(|pid| {
            fs::metadata(format!("/proc/{pid}/ns/net"))
                .is_ok_and(|net| (net.dev(), net.ino()) == (wanted.dev(), wanted.ino()))
        })
        .map(Pid::from_raw)
        .collect()
}
