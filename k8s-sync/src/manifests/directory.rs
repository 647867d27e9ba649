//! The watched directory: which files hold which objects, and which objects are in force.
//!
//! Rules, in the order in which they decide:
//! 1. A directory or file that cannot be read, and a file that is no YAML, change nothing: what they held stays.
//! 2. A bad document leaves its object as it was; a file with any bad document removes nothing.
//! 3. A file that is gone, and a document that a good file no longer has, remove their objects.
//! 4. Of two documents about one object the one in force stays; at first that is the one in the file that sorts first.
//!
//! Invariant: whatever the files do, the snapshot is made of documents that were right when they were read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::document::{self, Document};
use crate::object::{Object, ObjectRef};
use crate::report::{Finding, Location, Reason, Report};
use crate::snapshot::Snapshot;

/// Directories below each other at most; more is a loop of links.
const MAX_DEPTH: usize = 16;

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
    held: BTreeMap<ObjectRef, Held>,
    findings: Vec<Finding>,
}

#[derive(Clone, Debug)]
struct Held {
    object: Object,
    line: u64,
    lines: Arc<BTreeMap<String, u64>>,
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
        match scan.directory(&self.root, Path::new(""), 0) {
            Ok(()) => {
                changed |= !self.seen;
                self.seen = true;
                let gone: Vec<PathBuf> =
                    self.files.keys().filter(|file| !scan.covers(file)).cloned().collect();
                for file in gone {
                    self.files.remove(&file);
                    changed = true;
                }
                for file in &scan.files {
                    changed |= self.read_file(file);
                }
            }
            Err(error) => scan.unreadable.push((PathBuf::from("."), error)),
        }
        for (directory, error) in scan.unreadable {
            let reason = Reason::DirectoryUnreadable { error: error.to_string() };
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
                break *line;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => break held.line,
            }
        };
        Some(Location { file: file.clone(), line })
    }

    /// Reads a file if its text changed. Returns whether anything may be different.
    fn read_file(&mut self, path: &Path) -> bool {
        let text = match fs::read(self.root.join(path)) {
            Ok(bytes) => bytes,
            // Gone between listing and reading: the next pass sees that.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(error) => {
                let file = self.files.entry(path.to_owned()).or_default();
                file.text = None;
                let reason = Reason::FileUnreadable { error: error.to_string() };
                return file.set_findings(vec![Finding::at(path, 0, reason)]);
            }
        };
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        let file = self.files.entry(path.to_owned()).or_default();
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
        let Ok(text) = std::str::from_utf8(text) else {
            self.findings = refuse(0, Reason::Syntax { error: "is not UTF-8 text".to_owned() });
            return;
        };
        if text.trim().is_empty() && !self.held.is_empty() {
            self.findings = refuse(0, Reason::FileEmpty);
            return;
        }
        let documents = match document::read(text) {
            Ok(documents) => documents,
            Err(error) => {
                self.findings = refuse(error.line, Reason::Syntax { error: error.text });
                return;
            }
        };
        self.findings.clear();
        let keeps_all = documents.iter().any(|document| document.bad);
        let mut held = if keeps_all { std::mem::take(&mut self.held) } else { BTreeMap::new() };
        let mut seen: BTreeMap<ObjectRef, u64> = BTreeMap::new();
        for document in documents {
            self.findings.extend(findings_of(path, &document));
            let Document { key: Some(key), line, object: Some(object), lines, .. } = document else {
                continue;
            };
            if let Some(first) = seen.get(&key) {
                let first = Location { file: path.to_owned(), line: *first };
                let reason = Reason::DuplicateObject { first: first.to_string() };
                let location = Some(Location { file: path.to_owned(), line });
                self.findings.push(Finding { location, object: Some(key), field: None, reason });
                continue;
            }
            seen.insert(key.clone(), line);
            held.insert(key, Held { object, line, lines: Arc::new(lines) });
        }
        self.held = held;
        self.ever_right |= !keeps_all;
    }

    fn set_findings(&mut self, findings: Vec<Finding>) -> bool {
        let changed = self.findings != findings;
        self.findings = findings;
        changed
    }
}

fn findings_of(path: &Path, document: &Document) -> Vec<Finding> {
    document
        .remarks
        .iter()
        .map(|remark| Finding {
            location: Some(Location {
                file: path.to_owned(),
                line: if remark.line == 0 { document.line } else { remark.line },
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

#[derive(Default)]
struct Scan {
    files: BTreeSet<PathBuf>,
    unreadable: Vec<(PathBuf, io::Error)>,
}

impl Scan {
    /// Lists manifests below a directory. Hidden entries are skipped (editors, `..data` of mounted ConfigMaps), links are
    /// followed.
    fn directory(&mut self, root: &Path, below: &Path, depth: usize) -> io::Result<()> {
        for entry in fs::read_dir(root.join(below))? {
            let entry = entry?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = below.join(&name);
            let Ok(metadata) = fs::metadata(root.join(&path)) else { continue };
            if metadata.is_file() && is_manifest(&path) {
                self.files.insert(path);
            } else if metadata.is_dir()
                && depth < MAX_DEPTH
                && let Err(error) = self.directory(root, &path, depth + 1)
                && error.kind() != io::ErrorKind::NotFound
            {
                self.unreadable.push((path, error));
            }
        }
        Ok(())
    }

    /// Whether a known file is still there, as far as could be seen.
    fn covers(&self, file: &Path) -> bool {
        self.files.contains(file) || self.unreadable.iter().any(|(directory, _)| file.starts_with(directory))
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}

#[cfg(test)]
mod tests;
