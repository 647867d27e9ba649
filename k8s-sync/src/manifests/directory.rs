//! The watched directory: which files hold which objects, and which objects are in force.
//!
//! Rules, in the order in which they decide:
//! 1. A directory or file that cannot be read, and a file that is no YAML, change nothing: what they held stays.
//! 2. A bad document leaves its object as it was; a file with any bad document removes nothing.
//! 3. A file that is gone, and a document that a good file no longer has, remove their objects.
//! 4. Of two documents about one object the one in force stays; at first that is the one in the file that sorts first.
//!
//! Invariant: whatever the files do, the snapshot is made of documents that were right when they were read.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::document::{self, Document};
use super::yaml::SyntaxError;
use crate::object::{Object, ObjectRef};
use crate::report::{Finding, Location, Reason, Report};
use crate::snapshot::Snapshot;

/// Directories below each other at most.
const MAX_DEPTH: usize = 16;
/// A manifest of more bytes is none: etcd itself holds little more than that of everything together.
const MAX_SIZE: u64 = 256 * 1024 * 1024;
/// A change within this time of the one before may leave the same time stamps, so text this young is read again.
const SETTLED: Duration = Duration::from_secs(2);

/// A directory of manifests and what is in force of it.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    files: BTreeMap<PathBuf, File>,
    /// For each object in force, the file it came from.
    owners: BTreeMap<ObjectRef, PathBuf>,
    /// When each object in force appeared, for those that bring no creationTimestamp.
    first_seen: BTreeMap<ObjectRef, Timestamp>,
    report: Report,
    snapshot: Arc<Snapshot>,
    /// Whether the directory itself has ever been read.
    seen: bool,
}

#[derive(Debug, Default)]
struct File {
    /// Whether it was right as a whole at least once, so that what it holds is what its author last meant.
    ever_right: bool,
    /// Hash of the text as last read.
    text: Option<u64>,
    /// What the file system said about it then, once that can be relied on.
    stamp: Option<Stamp>,
    held: BTreeMap<ObjectRef, Held>,
    findings: Vec<Finding>,
    /// What its parts, by the hash of their text, were read to: of a large file only the parts that changed are read.
    parts: HashMap<u64, Arc<Vec<Document>>>,
}

/// Device, inode, size, and the times of the last change of text and inode: while they stay, the text does.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

/// The lines of a file before a part of it, and the part's documents.
type Part = (u64, Arc<Vec<Document>>);

#[derive(Clone, Debug)]
struct Held {
    object: Object,
    line: u64,
    /// Lines of its fields, counted from `before`.
    lines: Arc<BTreeMap<String, u64>>,
    /// Lines of the file before the part that it stands in.
    before: u64,
}

/// One file, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileStatus {
    /// Path below the directory.
    pub file: PathBuf,
    /// How many objects it holds in force.
    pub objects: usize,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

impl Directory {
    /// A directory that has not been read yet; it need not exist.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            files: BTreeMap::new(),
            owners: BTreeMap::new(),
            first_seen: BTreeMap::new(),
            report: Report::default(),
            snapshot: Arc::default(),
            seen: false,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads the directory again. Returns whether the objects in force or the findings may have changed.
    pub fn refresh(&mut self, now: Timestamp) -> bool {
        let mut report = Report::default();
        let mut changed = false;
        let mut scan = Scan::default();
        match scan.directory(&self.root, Path::new(""), &mut Vec::new()) {
            Ok(()) => {
                changed |= !self.seen;
                self.seen = true;
                let gone: Vec<PathBuf> =
                    self.files.keys().filter(|file| !scan.covers(file)).cloned().collect();
                for file in gone {
                    self.files.remove(&file);
                    changed = true;
                }
                for (file, found) in &scan.files {
                    changed |= self.read_file(file, found);
                }
            }
            Err(error) => scan.unreadable.push((PathBuf::from("."), error)),
        }
        for (directory, error) in scan.unreadable {
            let path = self.root.join(if directory == Path::new(".") { Path::new("") } else { &directory });
            let reason = Reason::DirectoryUnreadable { error: format!("{}: {error}", path.display()) };
            report.add(Finding::at(directory, 0, reason));
        }
        let in_force = if changed { Some(self.resolve(now)) } else { None };
        report.extend(self.duplicates());
        report.extend(self.files.values().flat_map(|file| file.findings.iter().cloned()));
        if let Some(objects) = in_force {
            self.snapshot = Arc::new(Snapshot::new(objects));
        }
        if report != self.report {
            self.report = report;
            changed = true;
        }
        changed
    }

    /// The objects in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    /// Whether everything that the files mean is known. It is not before the directory has been read, nor while a file has
    /// been wrong ever since this process first saw it: what it held before that, nobody here can tell.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.seen && self.files.values().all(|file| file.ever_right)
    }

    /// What is wrong with the files.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Every file with what it holds and what is wrong with it.
    #[must_use]
    pub fn files(&self) -> Vec<FileStatus> {
        let mut objects: BTreeMap<&Path, usize> = BTreeMap::new();
        for owner in self.owners.values() {
            *objects.entry(owner).or_default() += 1;
        }
        let status = |(path, file): (&PathBuf, &File)| FileStatus {
            file: path.clone(),
            objects: objects.get(path.as_path()).copied().unwrap_or_default(),
            findings: file.findings.clone(),
        };
        self.files.iter().map(status).collect()
    }

    /// Where an object, or a field of it, is written. For a field that is not written, the nearest one above.
    #[must_use]
    pub fn locate(&self, object: &ObjectRef, field: Option<&str>) -> Option<Location> {
        let file = self.owners.get(object)?;
        let held = self.files.get(file)?.held.get(object)?;
        let mut path = field.unwrap_or_default();
        let line = loop {
            if let Some(line) = held.lines.get(path) {
                break held.before + *line;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => break held.line,
            }
        };
        Some(Location { file: file.clone(), line })
    }

    /// Reads a file if its text changed. Returns whether anything may be different.
    fn read_file(&mut self, path: &Path, found: &Result<Metadata, String>) -> bool {
        let file = self.files.entry(path.to_owned()).or_default();
        let stamp = found.as_ref().ok().and_then(settled);
        if stamp.is_some() && stamp == file.stamp {
            return false;
        }
        let text = match found.clone().and_then(|metadata| read(&self.root.join(path), &metadata)) {
            Ok(text) => text,
            Err(error) => {
                (file.text, file.stamp) = (None, None);
                return file.set_findings(vec![Finding::at(path, 0, Reason::FileUnreadable { error })]);
            }
        };
        let hash = hash(&text);
        file.stamp = stamp;
        if file.text == Some(hash) {
            return false;
        }
        file.text = Some(hash);
        file.take(path, &text);
        true
    }

    /// Decides which file's document is in force for each object, and returns these objects.
    fn resolve(&mut self, now: Timestamp) -> Vec<Object> {
        let mut owners = BTreeMap::new();
        for (path, file) in &self.files {
            for key in file.held.keys() {
                let former = self
                    .owners
                    .get(key)
                    .filter(|former| self.files.get(*former).is_some_and(|file| file.held.contains_key(key)));
                owners.entry(key.clone()).or_insert_with(|| former.unwrap_or(path).clone());
            }
        }
        self.owners = owners;
        self.first_seen.retain(|key, _| self.owners.contains_key(key));
        let mut objects = Vec::with_capacity(self.owners.len());
        for (key, path) in &self.owners {
            let since = *self.first_seen.entry(key.clone()).or_insert(now);
            let Some(held) = self.files.get(path).and_then(|file| file.held.get(key)) else { continue };
            objects.push(with_creation_time(held.object.clone(), since));
        }
        objects
    }

    fn duplicates(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, file) in &self.files {
            for (key, held) in &file.held {
                if self.owners.get(key).is_some_and(|owner| owner != path)
                    && let Some(first) = self.locate(key, None)
                {
                    let reason = Reason::DuplicateObject { first: first.to_string() };
                    let location = Some(Location { file: path.clone(), line: held.line });
                    findings.push(Finding { location, object: Some(key.clone()), field: None, reason });
                }
            }
        }
        findings
    }
}

impl File {
    /// Takes over what a text says, as far as it is right.
    fn take(&mut self, path: &Path, text: &[u8]) {
        let refuse = |line, reason| vec![Finding::at(path, line, reason)];
        let text = match std::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => {
                let (line, error) = no_text(text, error.valid_up_to());
                self.findings = refuse(line, Reason::Syntax { error });
                return;
            }
        };
        if text.trim().is_empty() && !self.held.is_empty() {
            self.findings = refuse(0, Reason::FileEmpty);
            return;
        }
        let parts = match self.read_parts(text) {
            Ok(parts) => parts,
            Err(error) => {
                self.findings = refuse(error.line, Reason::Syntax { error: error.text });
                return;
            }
        };
        self.findings.clear();
        let documents =
            || parts.iter().flat_map(|(before, part)| part.iter().map(move |read| (*before, read)));
        let keeps_all = documents().any(|(_, document)| document.bad);
        let mut held = if keeps_all { std::mem::take(&mut self.held) } else { BTreeMap::new() };
        let mut seen: BTreeMap<&ObjectRef, u64> = BTreeMap::new();
        for (before, document) in documents() {
            self.findings.extend(findings_of(path, before, document));
            let (Some(key), Some(object)) = (&document.key, &document.object) else { continue };
            let line = before + document.line;
            if let Some(first) = seen.get(key) {
                let first = Location { file: path.to_owned(), line: *first };
                let reason = Reason::DuplicateObject { first: first.to_string() };
                let location = Some(Location { file: path.to_owned(), line });
                self.findings.push(Finding { location, object: Some(key.clone()), field: None, reason });
                continue;
            }
            seen.insert(key, line);
            let lines = Arc::clone(&document.lines);
            held.insert(key.clone(), Held { object: object.clone(), line, lines, before });
        }
        self.held = held;
        self.ever_right |= !keeps_all;
    }

    /// The documents of a text part by part, each with the number of lines before it; known parts are not read again.
    fn read_parts(&mut self, text: &str) -> Result<Vec<Part>, SyntaxError> {
        let (mut parts, mut known) = (Vec::new(), HashMap::new());
        for (before, part) in document::split(text) {
            let hash = hash(part.as_bytes());
            let documents = match self.parts.get(&hash) {
                Some(documents) => Arc::clone(documents),
                None => Arc::new(document::read(part).map_err(|error| SyntaxError {
                    line: if error.line == 0 { 0 } else { before + error.line },
                    text: error.text,
                })?),
            };
            known.insert(hash, Arc::clone(&documents));
            parts.push((before, documents));
        }
        self.parts = known;
        Ok(parts)
    }

    fn set_findings(&mut self, findings: Vec<Finding>) -> bool {
        let changed = self.findings != findings;
        self.findings = findings;
        changed
    }
}

fn hash(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

pub(super) fn findings_of(path: &Path, before: u64, document: &Document) -> Vec<Finding> {
    document
        .remarks
        .iter()
        .map(|remark| Finding {
            location: Some(Location {
                file: path.to_owned(),
                line: before + if remark.line == 0 { document.line } else { remark.line },
            }),
            object: document.key.clone(),
            field: (!remark.path.is_empty()).then(|| remark.path.clone()),
            reason: remark.reason.clone(),
        })
        .collect()
}

/// The first owner of a node is the oldest cluster configuration. Files have no creation time of objects, so the moment
/// at which an object appeared stands in: who came first keeps what it has.
fn with_creation_time(mut object: Object, since: Timestamp) -> Object {
    if let Object::CiliumBGPClusterConfig(config) = &mut object
        && config.metadata.creation_timestamp.is_none()
    {
        Arc::make_mut(config).metadata.creation_timestamp = Some(Time(since));
    }
    object
}

/// The stamp of a file whose last change is old enough that a later one would leave another stamp.
fn settled(metadata: &Metadata) -> Option<Stamp> {
    let age = SystemTime::now().duration_since(metadata.modified().ok()?).ok()?;
    let (mtime, ctime) =
        ((metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec()));
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(metadata.ctime()).ok()?);
    let age = age.min(SystemTime::now().duration_since(changed).ok()?);
    (age > SETTLED).then(|| (metadata.dev(), metadata.ino(), metadata.len(), mtime, ctime))
}

fn read(path: &Path, metadata: &Metadata) -> Result<Vec<u8>, String> {
    if metadata.len() > MAX_SIZE {
        let (size, limit) = (metadata.len() >> 20, MAX_SIZE >> 20);
        return Err(format!("it has {size} MiB and at most {limit} are read; split it"));
    }
    fs::read(path).map_err(|error| error.to_string())
}

/// The line at which text ends to be UTF-8, and what it may be instead.
fn no_text(bytes: &[u8], valid_up_to: usize) -> (u64, String) {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return (1, "is UTF-16 text; save it as UTF-8 (in PowerShell: Out-File -Encoding utf8)".to_owned());
    }
    let line = 1 + bytes.iter().take(valid_up_to).filter(|byte| **byte == b'\n').count();
    (line as u64, "is not UTF-8 text; save the file as UTF-8".to_owned())
}

#[derive(Default)]
struct Scan {
    /// Every manifest, with what the file system says about it.
    files: BTreeMap<PathBuf, Result<Metadata, String>>,
    unreadable: Vec<(PathBuf, io::Error)>,
}

impl Scan {
    /// Lists manifests below a directory. Hidden entries are skipped (editors, `..data` of mounted ConfigMaps), links are
    /// followed, but not into a directory that we are in (`above`).
    fn directory(&mut self, root: &Path, below: &Path, above: &mut Vec<(u64, u64)>) -> io::Result<()> {
        let here = fs::metadata(root.join(below))?;
        let here = (here.dev(), here.ino());
        if above.contains(&here) || above.len() > MAX_DEPTH {
            return Ok(());
        }
        above.push(here);
        let listed = self.entries(root, below, above);
        above.pop();
        listed
    }

    fn entries(&mut self, root: &Path, below: &Path, above: &mut Vec<(u64, u64)>) -> io::Result<()> {
        for entry in fs::read_dir(root.join(below))? {
            let name = entry?.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = below.join(&name);
            let metadata = match fs::metadata(root.join(&path)) {
                Ok(metadata) => metadata,
                // A link that leads nowhere now may lead somewhere soon; what it led to stays. Gone altogether is gone.
                Err(error) => {
                    if is_manifest(&path) && fs::symlink_metadata(root.join(&path)).is_ok() {
                        self.files.insert(path, Err(error.to_string()));
                    } else if error.kind() != io::ErrorKind::NotFound {
                        self.unreadable.push((path, error));
                    }
                    continue;
                }
            };
            if metadata.is_file() && is_manifest(&path) {
                self.files.insert(path, Ok(metadata));
            } else if metadata.is_dir()
                && let Err(error) = self.directory(root, &path, above)
                && error.kind() != io::ErrorKind::NotFound
            {
                self.unreadable.push((path, error));
            }
        }
        Ok(())
    }

    /// Whether a known file is still there, as far as could be seen.
    fn covers(&self, file: &Path) -> bool {
        self.files.contains_key(file)
            || self.unreadable.iter().any(|(directory, _)| file.starts_with(directory))
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}

#[cfg(test)]
mod tests;
