//! What a bgpd leaves to the one after it: a small file that says whose sessions it had and what was wanted of it over the
//! API, and by its time of change that it was alive a moment ago.
//!
//! A bgpd that was killed cannot say goodbye. The next one finds the file, sees that the machine is still the same boot and
//! that no Restart Time has passed since, and tells its peers that it restarts (RFC 4724). The intents of API owners come
//! back with it, so that it has its peers and routes whether or not their owners are there; what the configuration file
//! wants is read from that file again. An orderly stop removes the file.
//!
//! Invariants: the file is replaced whole (written beside and renamed) or not at all; whatever is wrong with it is logged and
//! means a cold start; nobody but its owner may read it, for intents hold passwords; a hold time goes on from what was left
//! of it when bgpd was last alive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use rutter_api::intent::{Instance, Intent};
use serde::{Deserialize, Serialize};

/// How often the file's time of change says that bgpd is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// Format of the file. Another one is not read.
const VERSION: u32 = 2;
/// More than this is no state file.
const LONGEST: u64 = 1 << 30;
/// Nobody else may read it: intents hold passwords.
const MODE: u32 = 0o600;

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
    /// What was wanted over the API, by owner.
    intents: BTreeMap<String, SavedIntent>,
}

/// What one owner wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedIntent {
    /// Its hold time, as it was put.
    pub hold_seconds: Option<u32>,
    /// When the hold time is over, in milliseconds since 1970.
    pub held_until: Option<u64>,
    /// Its instances.
    pub instances: Vec<Arc<Instance>>,
}

/// An intent from before, and how much of its hold time is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredIntent {
    /// The owner's name.
    pub owner: String,
    /// The intent.
    pub intent: Intent,
    /// What is left of its hold time, if it has one.
    pub left: Option<Duration>,
}

/// One instance: who it was, and for how long which peers wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedInstance {
    local_asn: u32,
    router_id: std::net::Ipv4Addr,
    /// For how many seconds which peer keeps our routes, by its name; only peers with graceful restart.
    peers: BTreeMap<String, u32>,
}

impl SavedInstance {
    fn of(instance: &Instance) -> Self {
        let peers = instance.peers.iter();
        Self {
            local_asn: instance.local_asn,
            router_id: instance.router_id,
            peers: peers
                .filter_map(|peer| Some((peer.name.clone(), peer.graceful_restart?.kept_seconds())))
                .collect(),
        }
    }
}

/// What the bgpd before left, as far as it still counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    owners: BTreeSet<String>,
    instances: BTreeMap<String, SavedInstance>,
    intents: BTreeMap<String, SavedIntent>,
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
        let Saved { owners, instances, intents, .. } = saved;
        Ok(Self { owners, instances, intents, alive_at: Some(alive_at) })
    }

    /// Whether an instance that begins now goes on where one before stopped: the same speaker, and some peer still waits for
    /// it. What is begun is not asked about again.
    pub fn continues(&mut self, instance: &Instance) -> bool {
        let age = self.alive_at.and_then(|at| at.elapsed().ok());
        self.instances.remove(&instance.name).zip(age).is_some_and(|(before, age)| {
            let waits = |seconds: &u32| age <= Duration::from_secs((*seconds).into());
            let same = (before.local_asn, before.router_id) == (instance.local_asn, instance.router_id);
            same && before.peers.values().any(waits)
        })
    }

    /// Owners of intents before.
    #[must_use]
    pub fn owners(&self) -> BTreeSet<String> {
        self.owners.clone()
    }

    /// The intents of API owners before whose hold time was not over when bgpd was last alive.
    #[must_use]
    pub fn intents(&self) -> Vec<RestoredIntent> {
        let alive = epoch_millis(self.alive_at.unwrap_or(SystemTime::UNIX_EPOCH));
        let restored = self.intents.iter().filter_map(|(owner, saved)| {
            let left = saved.held_until.map(|until| until.saturating_sub(alive));
            let instances = saved.instances.iter().map(|instance| Instance::clone(instance)).collect();
            (left != Some(0)).then(|| RestoredIntent {
                owner: owner.clone(),
                intent: Intent { hold_seconds: saved.hold_seconds, instances },
                left: left.map(Duration::from_millis),
            })
        });
        restored.collect()
    }
}

/// Keeps the file.
#[derive(Debug)]
pub struct Keeper {
    saved: Option<Arc<Saved>>,
    file: Arc<StateFile>,
    /// How long writing took last.
    cost: Duration,
    /// The thread that writes, if writing takes long.
    writer: Option<Writer>,
}

/// The file, and whether it can be written.
#[derive(Debug)]
struct StateFile {
    path: PathBuf,
    broken: AtomicBool,
}

/// Writes what it is given on a thread of its own; of several that wait, the last.
#[derive(Debug)]
struct Writer {
    sender: mpsc::Sender<Arc<Saved>>,
    /// Ends with how long writing took last.
    thread: JoinHandle<Duration>,
}

/// Sessions and owners do not wait for a file that takes longer than this to write.
const QUICK: Duration = Duration::from_millis(2);
/// A file that takes long is not written again for so many times as long (a second at most): a tenth of the time is enough.
const SPARING: u32 = 9;

impl Keeper {
    /// Keeps state in this file.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        let file = Arc::new(StateFile { path, broken: AtomicBool::new(false) });
        Self { saved: None, file, cost: Duration::ZERO, writer: None }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Notes what runs now, and what is wanted over the API. What is quickly written is in the file afterwards; ten thousand
    /// routes are in it within a second.
    pub fn save<'a>(
        &mut self,
        owners: BTreeSet<String>,
        instances: impl Iterator<Item = &'a Instance>,
        intents: BTreeMap<String, SavedIntent>,
    ) {
        let instances =
            instances.map(|instance| (instance.name.clone(), SavedInstance::of(instance))).collect();
        let saved = Saved { version: VERSION, boot: boot(), owners, instances, intents };
        if self.saved.as_deref() == Some(&saved) {
            return;
        }
        let saved = Arc::new(saved);
        self.saved = Some(Arc::clone(&saved));
        if self.writer.is_none() && self.cost > QUICK {
            self.writer = Writer::start(&self.file);
        }
        let left = match &self.writer {
            Some(writer) => writer.give(saved),
            None => Err(saved),
        };
        if let Err(saved) = left {
            self.cost = self.file.write(&saved);
        }
    }

    /// Waits until everything is in the file. Before somebody else writes it, or nobody any more.
    pub fn settle(&mut self) {
        if let Some(Writer { sender, thread }) = self.writer.take() {
            drop(sender);
            // One that ended by a bug has said so.
            self.cost = thread.join().unwrap_or_default();
        }
    }

    /// Says that bgpd is alive.
    pub fn beat(&self) {
        if self.saved.is_some() {
            self.file.touch();
        }
    }

    /// An orderly end: nobody takes over.
    pub fn remove(&mut self) {
        self.settle();
        self.saved = None;
        match std::fs::remove_file(self.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %self.path().display(), %error, "the state file cannot be removed");
            }
            _ => {}
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.settle();
    }
}

impl Writer {
    /// None, if the system gives no thread.
    fn start(file: &Arc<StateFile>) -> Option<Self> {
        let (sender, receiver) = mpsc::channel::<Arc<Saved>>();
        let file = Arc::clone(file);
        let write = move || {
            let mut cost = Duration::ZERO;
            let mut next = receiver.recv().ok();
            while let Some(saved) = next {
                cost = file.write(&saved);
                next = newest(&receiver, Instant::now() + (cost * SPARING).min(HEARTBEAT / 5));
            }
            cost
        };
        let thread = thread::Builder::new().name("state".to_owned()).spawn(write).ok()?;
        Some(Self { sender, thread })
    }

    /// Gives it back, if the thread has ended.
    fn give(&self, saved: Arc<Saved>) -> Result<(), Arc<Saved>> {
        self.sender.send(saved).map_err(|mpsc::SendError(saved)| saved)
    }
}

/// The last of what comes until then, or else the first after it. None, when nothing will come any more.
fn newest(receiver: &mpsc::Receiver<Arc<Saved>>, until: Instant) -> Option<Arc<Saved>> {
    let mut newest = None;
    loop {
        match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(saved) => newest = Some(saved),
            Err(mpsc::RecvTimeoutError::Disconnected) => return newest,
            Err(mpsc::RecvTimeoutError::Timeout) => return newest.or_else(|| receiver.recv().ok()),
        }
    }
}

impl StateFile {
    fn write(&self, saved: &Saved) -> Duration {
        let begun = Instant::now();
        let written = self.replace(saved);
        self.report(written);
        begun.elapsed()
    }

    fn touch(&self) {
        let touched = File::options()
            .write(true)
            .open(&self.path)
            .and_then(|file| file.set_modified(SystemTime::now()));
        self.report(touched);
    }

    fn replace(&self, saved: &Saved) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(MODE)
            // Somebody else's link, in a folder that all may write to.
            .custom_flags(libc::O_NOFOLLOW)
            .open(&beside)?;
        // One that somebody left behind has its own mode.
        file.set_permissions(std::fs::Permissions::from_mode(MODE))?;
        file.write_all(&serde_json::to_vec(saved)?)?;
        std::fs::rename(&beside, &self.path)
    }

    fn report(&self, result: io::Result<()>) {
        let was_broken = self.broken.swap(result.is_err(), Ordering::Relaxed);
        if let Err(error) = &result
            && !was_broken
        {
            tracing::warn!(
                file = %self.path.display(), %error,
                "the state file cannot be written: after a crash bgpd would start cold"
            );
        }
    }
}

/// The kernel's name for this boot; empty, and so equal to itself, where there is none.
fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Milliseconds since 1970.
#[must_use]
pub fn epoch_millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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
    fn what_takes_long_to_write_is_written_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut keeper = Keeper::new(path.clone());
        keeper.cost = QUICK * 2;
        for owner in ["a", "b", "c"] {
            keeper.save([owner.to_owned()].into(), std::iter::empty(), BTreeMap::new());
            assert!(keeper.writer.is_some(), "on a thread of its own");
        }
        keeper.settle();
        assert_eq!(Earlier::read(&path).owners(), ["c".to_owned()].into());
        assert!(keeper.writer.is_none() && keeper.cost > Duration::ZERO);
        keeper.cost = QUICK * 2;
        keeper.save(["d".to_owned()].into(), std::iter::empty(), BTreeMap::new());
        drop(keeper);
        assert_eq!(Earlier::read(&path).owners(), ["d".to_owned()].into(), "the end waits for it");
        let mut keeper = Keeper::new(path.clone());
        keeper.cost = QUICK * 2;
        keeper.save(["e".to_owned()].into(), std::iter::empty(), BTreeMap::new());
        keeper.remove();
        assert!(!path.exists(), "nothing comes after the end");
    }

    #[test]
    fn an_instance_continues_while_a_peer_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let with = instance(65_001, Some(120));
        let mut keeper = Keeper::new(path.clone());
        keeper.save(["file".to_owned()].into(), std::iter::once(&with), BTreeMap::new());
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
        keeper.save(["file".to_owned()].into(), std::iter::once(&instance(65_001, None)), BTreeMap::new());
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
            format!(
                r#"{{"version": 1, "boot": "{boot}", "owners": [], "instances": {{}}, "intents": {{}}}}"#
            ),
            r#"{"version": 2, "boot": "another", "owners": ["x"], "instances": {}, "intents": {}}"#
                .to_owned(),
        ];
        for text in texts {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(Earlier::read(&path), Earlier::default(), "{text}");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(Earlier::read(&path), Earlier::default());
        let mut keeper = Keeper::new(path);
        keeper.save(BTreeSet::new(), std::iter::empty(), BTreeMap::new());
        keeper.beat();
        assert!(keeper.file.broken.load(Ordering::Relaxed), "said in the log, and bgpd goes on");
    }

    #[test]
    fn intents_come_back_with_what_was_left_of_their_hold_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut keeper = Keeper::new(path.clone());
        let saved = |hold: Option<u32>| SavedIntent {
            hold_seconds: hold,
            held_until: hold.map(|hold| epoch_millis(SystemTime::now()) + u64::from(hold) * 1000),
            instances: vec![Arc::new(instance(65_001, None))],
        };
        let intents = [("agent".to_owned(), saved(None)), ("person".to_owned(), saved(Some(60)))];
        keeper.save(BTreeSet::new(), std::iter::empty(), intents.into());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "there may be passwords in it");
        let restored = Earlier::read(&path).intents();
        assert_eq!(restored.len(), 2);
        assert_eq!((&*restored[0].owner, restored[0].left), ("agent", None));
        assert_eq!(restored[0].intent.instances, [instance(65_001, None)]);
        let left = restored[1].left.unwrap().as_secs();
        assert!((58..=60).contains(&left), "{left}");
        // Being dead costs nothing: it goes on from when bgpd was last alive.
        age(&path, 20);
        let left = Earlier::read(&path).intents()[1].left.unwrap().as_secs();
        assert!((78..=80).contains(&left), "{left}");
    }
}
