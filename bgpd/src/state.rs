//! What a bgpd leaves to the one after it: a small file that says whose sessions it had, and by its time of change that it
//! was alive a moment ago.
//!
//! A bgpd that was killed cannot say goodbye. The next one finds the file, sees that the machine is still the same boot and
//! that no Restart Time has passed since, and tells its peers that it restarts (RFC 4724). An orderly stop removes the file.
//!
//! Invariants: the file is replaced whole (written beside and renamed) or not at all; whatever is wrong with it is logged and
//! means a cold start; nothing in it is secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rutter_api::intent::Instance;
use serde::{Deserialize, Serialize};

/// How often the file's time of change says that bgpd is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// Format of the file. Another one is not read.
const VERSION: u32 = 1;
/// More than this is no state file.
const LONGEST: u64 = 16 << 20;

/// The file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Saved {
    version: u32,
    /// The kernel's name for this boot: after another one nothing is forwarded as it was.
    boot: String,
    /// Owners of intents.
    owners: BTreeSet<String>,
    instances: BTreeMap<String, SavedInstance>,
}

/// One instance: who it was, and for how long which peers wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedInstance {
    local_asn: u32,
    router_id: std::net::Ipv4Addr,
    /// Restart Time by the name of the peer; only peers with graceful restart.
    peers: BTreeMap<String, u16>,
}

impl SavedInstance {
    fn of(instance: &Instance) -> Self {
        let peers = instance.peers.iter();
        Self {
            local_asn: instance.local_asn,
            router_id: instance.router_id,
            peers: peers
                .filter_map(|peer| Some((peer.name.clone(), peer.graceful_restart?.restart_seconds)))
                .collect(),
        }
    }
}

/// What the bgpd before left, as far as it still counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    owners: BTreeSet<String>,
    instances: BTreeMap<String, SavedInstance>,
    /// When the bgpd before was last known to be alive.
    alive_at: Option<SystemTime>,
}

/// Why a file does not count.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("it has format {0}, this bgpd reads {VERSION}")]
    Version(u32),
    #[error("it is longer than {LONGEST} octets")]
    Long,
    #[error("it is from the future")]
    Future,
}

impl Earlier {
    /// Reads what the bgpd before left. Nothing, if there is no file or it does not count; the log says so.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        match Self::try_read(path) {
            Ok(earlier) => earlier,
            Err(Unusable::Io(error)) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the state file does not count: a cold start");
                Self::default()
            }
        }
    }

    fn try_read(path: &Path) -> Result<Self, Unusable> {
        let metadata = std::fs::metadata(path)?;
        if metadata.len() > LONGEST {
            return Err(Unusable::Long);
        }
        let alive_at = metadata.modified()?;
        if alive_at > SystemTime::now() {
            return Err(Unusable::Future);
        }
        let saved: Saved = serde_json::from_slice(&std::fs::read(path)?)?;
        if saved.version != VERSION {
            return Err(Unusable::Version(saved.version));
        }
        if saved.boot != boot() {
            return Ok(Self::default());
        }
        Ok(Self { owners: saved.owners, instances: saved.instances, alive_at: Some(alive_at) })
    }

    /// Whether an instance that begins now goes on where one before stopped: the same speaker, and some peer still waits for
    /// it. What is begun is not asked about again.
    pub fn continues(&mut self, instance: &Instance) -> bool {
        let age = self.alive_at.and_then(|at| at.elapsed().ok());
        self.instances.remove(&instance.name).zip(age).is_some_and(|(before, age)| {
            let waits = |seconds: &u16| age <= Duration::from_secs((*seconds).into());
            let same = (before.local_asn, before.router_id) == (instance.local_asn, instance.router_id);
            same && before.peers.values().any(waits)
        })
    }

    /// Owners of intents before.
    #[must_use]
    pub fn owners(&self) -> BTreeSet<String> {
        self.owners.clone()
    }
}

/// Keeps the file.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    saved: Option<Saved>,
    broken: bool,
}

impl Keeper {
    /// Keeps state in this file.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, saved: None, broken: false }
    }

    /// Notes what runs now.
    pub fn save<'a>(&mut self, owners: BTreeSet<String>, instances: impl Iterator<Item = &'a Instance>) {
        let instances =
            instances.map(|instance| (instance.name.clone(), SavedInstance::of(instance))).collect();
        let saved = Saved { version: VERSION, boot: boot(), owners, instances };
        if self.saved.as_ref() == Some(&saved) {
            return;
        }
        let written = self.write(&saved);
        self.report(written);
        self.saved = Some(saved);
    }

    /// Says that bgpd is alive.
    pub fn beat(&mut self) {
        if self.saved.is_some() {
            let touched = File::options()
                .write(true)
                .open(&self.path)
                .and_then(|file| file.set_modified(SystemTime::now()));
            self.report(touched);
        }
    }

    /// An orderly end: nobody takes over.
    pub fn remove(&mut self) {
        self.saved = None;
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %self.path.display(), %error, "the state file cannot be removed");
            }
            _ => {}
        }
    }

    fn write(&self, saved: &Saved) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            // Somebody else's link, in a folder that all may write to.
            .custom_flags(libc::O_NOFOLLOW)
            .open(&beside)?;
        file.write_all(&serde_json::to_vec(saved)?)?;
        std::fs::rename(&beside, &self.path)
    }

    fn report(&mut self, result: io::Result<()>) {
        if let Err(error) = &result
            && !self.broken
        {
            tracing::warn!(
                file = %self.path.display(), %error,
                "the state file cannot be written: after a crash bgpd would start cold"
            );
        }
        self.broken = result.is_err();
    }
}

/// The kernel's name for this boot; empty, and so equal to itself, where there is none.
fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(asn: u32, restart: Option<u16>) -> Instance {
        let restart = restart.map_or(String::new(), |seconds| {
            format!(r#", "gracefulRestart": {{"restartSeconds": {seconds}}}"#)
        });
        let text = format!(
            r#"{{"name": "one", "localASN": {asn}, "routerID": "10.0.0.1",
                "peers": [{{"name": "tor", "address": "192.0.2.1", "peerASN": 65002{restart}}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn age(path: &Path, seconds: u64) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn an_instance_continues_while_a_peer_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let with = instance(65_001, Some(120));
        let mut keeper = Keeper::new(path.clone());
        keeper.save(["file".to_owned()].into(), std::iter::once(&with));
        let mut earlier = Earlier::read(&path);
        assert!(earlier.continues(&with));
        assert!(!earlier.continues(&with), "it has begun already");
        assert_eq!(earlier.owners(), ["file".to_owned()].into());
        assert!(!Earlier::read(&path).continues(&instance(65_009, Some(120))), "another speaker");
        age(&path, 100);
        assert!(Earlier::read(&path).continues(&with));
        age(&path, 130);
        assert!(!Earlier::read(&path).continues(&with), "everybody has given up on it");
        keeper.beat();
        assert!(Earlier::read(&path).continues(&with));
        keeper.save(["file".to_owned()].into(), std::iter::once(&instance(65_001, None)));
        assert!(!Earlier::read(&path).continues(&with), "no peer keeps anything");
        keeper.remove();
        assert_eq!(Earlier::read(&path), Earlier::default());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_cannot_be_used_means_a_cold_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let boot = boot();
        let texts = [
            String::new(),
            "{".to_owned(),
            "[1, 2]".to_owned(),
            format!(r#"{{"version": 2, "boot": "{boot}", "owners": [], "instances": {{}}}}"#),
            r#"{"version": 1, "boot": "another", "owners": ["x"], "instances": {}}"#.to_owned(),
        ];
        for text in texts {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(Earlier::read(&path), Earlier::default(), "{text}");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(Earlier::read(&path), Earlier::default());
        let mut keeper = Keeper::new(path);
        keeper.save(BTreeSet::new(), std::iter::empty());
        keeper.beat();
        assert!(keeper.broken, "said in the log, and bgpd goes on");
    }
}
