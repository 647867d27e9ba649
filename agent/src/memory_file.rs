//! The file in which the addresses that this agent gave are kept, beside the manifests: several agents that read one directory
//! share it, and so agree.
//!
//! Invariants: whoever reads the manifests, decides and writes does it while it holds the lock, so each one decides with at least
//! what the one before knew; the file is whole at every moment. The lock is on the directory that the file is in: it needs no
//! right to write, and leaves nothing behind.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use k8s_sync::lbipam::{MEMORY_FILE as NAME, Memory};
use k8s_sync::report::{Finding, Reason, Report};

/// Longest wait for another agent, which needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// The file.
#[derive(Debug)]
pub(crate) struct MemoryFile {
    path: PathBuf,
    /// What it said when it was last read or written.
    text: Option<String>,
    unreadable: Option<String>,
    unwritable: Option<String>,
}

/// While it lives, no other agent reads, decides or writes.
#[derive(Debug)]
pub(crate) struct Lock {
    _directory: File,
}

impl MemoryFile {
    /// The one of this directory, or this one.
    pub(crate) fn new(manifests: &Path, path: Option<&Path>) -> Self {
        let path = path.map_or_else(|| manifests.join(NAME), Path::to_owned);
        Self { path, text: None, unreadable: None, unwritable: None }
    }

    /// Waits for the lock. Without it everything goes on, but nothing is written.
    pub(crate) fn lock(&self) -> io::Result<Lock> {
        let directory = File::open(self.folder())?;
        let end = Instant::now() + PATIENCE;
        loop {
            match directory.try_lock() {
                Ok(()) => return Ok(Lock { _directory: directory }),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if Instant::now() > end => {
                    return Err(io::Error::new(
                        ErrorKind::WouldBlock,
                        "another process has held it for a second",
                    ));
                }
                Err(TryLockError::WouldBlock) => sleep(PAUSE),
            }
        }
    }

    /// There is no lock, for this reason. With nothing to remember, a directory that is not there is no problem of ours.
    pub(crate) fn not_locked(&mut self, memory: &Memory, error: &io::Error) {
        let said = !memory.is_empty() || error.kind() != ErrorKind::NotFound;
        self.unwritable = said.then(|| format!("cannot lock {}: {error}", self.folder().display()));
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }

    /// What it says, if that is something else than before.
    pub(crate) fn read(&mut self) -> Option<Memory> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                (self.text, self.unreadable) = (None, None);
                return None;
            }
            Err(error) => {
                self.unreadable = Some(format!("{}: {error}", self.path.display()));
                return None;
            }
        };
        if self.text.as_ref() == Some(&text) {
            return None;
        }
        match serde_json::from_str(&text) {
            Ok(memory) => {
                (self.text, self.unreadable) = (Some(text), None);
                Some(memory)
            }
            Err(error) => {
                self.unreadable = Some(format!("{}: {error}", self.path.display()));
                None
            }
        }
    }

    /// Writes what is to be remembered, if that is something else. A file that cannot be understood is not written over: it may
    /// be repaired.
    pub(crate) fn write(&mut self, memory: &Memory, _lock: &Lock) {
        if self.unreadable.is_some() || (self.text.is_none() && memory.is_empty()) {
            self.unwritable = None;
            return;
        }
        let text = match serde_json::to_string_pretty(memory) {
            Ok(text) => text + "\n",
            Err(error) => return self.unwritable = Some(error.to_string()),
        };
        if self.text.as_ref() == Some(&text) {
            self.unwritable = None;
            return;
        }
        match self.replace(&text) {
            Ok(()) => (self.text, self.unwritable) = (Some(text), None),
            Err(error) => self.unwritable = Some(format!("{}: {error}", self.path.display())),
        }
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = self.path.with_file_name(name);
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)
    }

    /// What keeps it from being of use.
    pub(crate) fn report(&self) -> Report {
        let mut report = Report::default();
        let mut say = |reason| report.add(Finding { location: None, object: None, field: None, reason });
        if let Some(error) = self.unreadable.clone() {
            say(Reason::AddressMemoryUnreadable { error });
        }
        if let Some(error) = self.unwritable.clone() {
            say(Reason::AddressMemoryUnwritable { error });
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: &str = r#"{"services":{"default/a":{"addresses":["10.0.0.1"]}}}"#;

    fn memory() -> Memory {
        serde_json::from_str(MEMORY).unwrap()
    }

    #[test]
    fn what_is_written_is_read_by_the_others_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = MemoryFile::new(folder.path(), None);
        let mut two = MemoryFile::new(folder.path(), None);
        assert!(one.read().is_none());
        let lock = one.lock().unwrap();
        one.write(&Memory::default(), &lock);
        assert!(!folder.path().join(NAME).exists(), "nothing to remember, no file");
        one.write(&memory(), &lock);
        drop(lock);
        assert!(one.read().is_none(), "it is what we wrote");
        assert_eq!(two.read(), Some(memory()));
        assert!(two.read().is_none());
        let names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [NAME], "nothing else stays behind");
        assert!(one.report().is_empty() && two.report().is_empty());
    }

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let one = MemoryFile::new(folder.path(), None);
        let mut two = MemoryFile::new(folder.path(), None);
        let lock = one.lock().unwrap();
        let error = two.lock().unwrap_err();
        two.not_locked(&memory(), &error);
        assert!(two.report().to_string().contains("cannot lock"), "{}", two.report());
        drop(lock);
        let lock = two.lock().unwrap();
        two.write(&memory(), &lock);
        assert!(two.report().is_empty());
    }

    #[test]
    fn a_file_that_is_broken_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        fs::write(&path, "{").unwrap();
        let mut file = MemoryFile::new(Path::new("/nowhere"), Some(&path));
        assert!(file.read().is_none());
        let lock = file.lock().unwrap();
        file.write(&memory(), &lock);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{");
        assert!(file.report().to_string().contains("AddressMemoryUnreadable"), "{}", file.report());
        fs::write(&path, MEMORY).unwrap();
        assert_eq!(file.read(), Some(memory()));
        assert!(file.report().is_empty());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = MemoryFile::new(folder.path(), None);
        let lock = file.lock().unwrap();
        // Root may write anywhere, but not a file where a directory is.
        fs::create_dir(folder.path().join(format!("{NAME}.new"))).unwrap();
        file.write(&memory(), &lock);
        assert!(file.report().to_string().contains("AddressMemoryUnwritable"), "{}", file.report());
    }
}
