//! When to look at the manifests again: as soon as something happened below the directory, and from time to time anyway.
//!
//! Events only say *that* something happened; what happened is read off the files. Invariant: a lost event, a directory
//! that is replaced, or a watch that the kernel refuses costs latency and never correctness.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// A burst of events has ended when nothing came for this long.
const QUIET: Duration = Duration::from_millis(40);
/// A burst that does not end is cut here.
const PATIENCE: Duration = Duration::from_millis(100);
/// After a burst the directory is read once more: files in a directory that was just made may have no watch yet.
const SECOND_LOOK: Duration = Duration::from_millis(400);
/// Without a watch (the directory is not there) the directory is tried this often.
const UNWATCHED: Duration = Duration::from_millis(300);
/// With a watch and no events the directory is looked at this often: what links lead to changes
/// without an event. A look at files that stayed as they are costs one stat each.
const RESCAN: Duration = Duration::from_millis(700);

/// Waits for changes below a directory.
pub(crate) struct DirectoryWatch {
    root: PathBuf,
    events: Receiver<()>,
    sender: Sender<()>,
    armed: Option<Armed>,
    second_look: bool,
    /// What kept us from watching, said once however often we try again.
    complaint: Option<String>,
}

/// A watch in the kernel, and the directory it was set on.
struct Armed {
    _watcher: RecommendedWatcher,
    identity: (u64, u64),
    /// Set when the directory itself went: its successor may well have the same inode number.
    lost: Arc<AtomicBool>,
}

impl DirectoryWatch {
    pub(crate) fn new(root: &Path) -> Self {
        let (sender, events) = mpsc::channel();
        Self { root: root.to_owned(), events, sender, armed: None, second_look: false, complaint: None }
    }

    /// Whoever has it can have everything looked at again, at once.
    pub(crate) fn waker(&self) -> Sender<()> {
        self.sender.clone()
    }

    /// Sets or renews the watch. To be called before each reading of the directory, so that nothing falls between.
    pub(crate) fn arm(&mut self) {
        let identity = std::fs::metadata(&self.root).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        match (identity, &self.armed) {
            (None, _) => self.armed = None,
            (Some(identity), Some(armed))
                if armed.identity == identity && !armed.lost.load(Ordering::Acquire) => {}
            (Some(identity), _) => self.armed = self.watch(identity),
        }
    }

    fn watch(&mut self, identity: (u64, u64)) -> Option<Armed> {
        let (sender, root, lost) = (self.sender.clone(), self.root.clone(), Arc::new(AtomicBool::new(false)));
        let root_went = Arc::clone(&lost);
        let on_event = move |event: notify::Result<notify::Event>| {
            if let Ok(event) = &event {
                // Reading the files causes events too.
                if matches!(event.kind, EventKind::Access(access) if !closes_write(access)) {
                    return;
                }
                if takes_away(event.kind) && event.paths.contains(&root) {
                    root_went.store(true, Ordering::Release);
                }
            }
            let _ = sender.send(());
        };
        let armed = notify::recommended_watcher(on_event).and_then(|mut watcher| {
            watcher.watch(&self.root, RecursiveMode::Recursive)?;
            Ok(Armed { _watcher: watcher, identity, lost })
        });
        match armed {
            Ok(armed) => {
                self.complaint = None;
                Some(armed)
            }
            Err(error) => {
                let error = error.to_string();
                if self.complaint.as_ref() != Some(&error) {
                    let directory = self.root.display();
                    tracing::warn!(%directory, error, "cannot watch the manifests; looking at them every 0.3 s instead");
                }
                self.complaint = Some(error);
                None
            }
        }
    }

    /// Returns when the directory is to be read again.
    pub(crate) fn wait(&mut self) {
        let patience = match (&self.armed, self.second_look) {
            (None, _) => UNWATCHED,
            (Some(_), true) => SECOND_LOOK,
            (Some(_), false) => RESCAN,
        };
        self.second_look = false;
        match self.events.recv_timeout(patience) {
            Ok(()) => {
                let end = Instant::now() + PATIENCE;
                while Instant::now() < end && self.events.recv_timeout(QUIET).is_ok() {}
                while self.events.try_recv().is_ok() {}
                self.second_look = true;
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The other end is a field of ours.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(UNWATCHED),
        }
    }
}

fn takes_away(kind: EventKind) -> bool {
    matches!(kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)))
}

fn closes_write(access: notify::event::AccessKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    access == AccessKind::Close(AccessMode::Write)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// How long it takes until the watch wants the directory to be read, after an action.
    fn reaction(watch: &mut DirectoryWatch, action: impl FnOnce()) -> Duration {
        watch.arm();
        watch.second_look = false;
        while watch.events.try_recv().is_ok() {}
        action();
        let start = Instant::now();
        watch.wait();
        start.elapsed()
    }

    const SOON: Duration = Duration::from_millis(900);

    #[test]
    fn files_that_appear_change_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        let mut watch = DirectoryWatch::new(folder.path());
        assert!(reaction(&mut watch, || fs::write(&file, "a: 1").unwrap()) < SOON);
        assert!(reaction(&mut watch, || fs::write(&file, "a: 2").unwrap()) < SOON);
        assert!(reaction(&mut watch, || fs::rename(&file, folder.path().join("b.yaml")).unwrap()) < SOON);
        assert!(reaction(&mut watch, || fs::remove_file(folder.path().join("b.yaml")).unwrap()) < SOON);
        let deep = folder.path().join("x/y");
        assert!(reaction(&mut watch, || fs::create_dir_all(&deep).unwrap()) < SOON);
        watch.wait();
        assert!(reaction(&mut watch, || fs::write(deep.join("c.yaml"), "a: 1").unwrap()) < SOON);
    }

    #[test]
    fn a_directory_that_goes_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("manifests");
        let mut watch = DirectoryWatch::new(&root);
        watch.arm();
        assert!(watch.armed.is_none());
        assert!(reaction(&mut watch, || fs::create_dir(&root).unwrap()) < SOON);
        watch.arm();
        assert!(watch.armed.is_some());
        assert!(reaction(&mut watch, || fs::remove_dir(&root).unwrap()) < SOON);
        fs::create_dir(&root).unwrap();
        assert!(reaction(&mut watch, || fs::write(root.join("a.yaml"), "").unwrap()) < SOON);
    }

    #[test]
    fn reading_files_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "a: 1").unwrap();
        let mut watch = DirectoryWatch::new(folder.path());
        watch.arm();
        fs::read(&file).unwrap();
        assert!(watch.events.recv_timeout(Duration::from_millis(300)).is_err());
    }

    #[test]
    fn a_watch_that_fails_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let subscriber = tracing_subscriber::fmt()
            .with_writer(std::sync::Mutex::new(fs::File::create(&log).unwrap()))
            .finish();
        let mut watch = DirectoryWatch::new(&folder.path().join("none"));
        tracing::subscriber::with_default(subscriber, || {
            assert!(watch.watch((0, 0)).is_none() && watch.watch((0, 0)).is_none());
        });
        let text = fs::read_to_string(log).unwrap();
        assert_eq!(text.matches("cannot watch").count(), 1, "{text}");
    }
}
