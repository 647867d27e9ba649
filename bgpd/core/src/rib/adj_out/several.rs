//! Which paths of a destination go to peers that take several (RFC 7911), and the evaluation of all of them.
//!
//! Each path goes by the number it has in the table ([`Path::number`]), so a path that changes is replaced at the peer and one
//! that goes is withdrawn alone. The rules of export, the policy and the member that a path came from are looked at path by
//! path, as they are for the best one alone.
//!
//! Invariant: of two groups that send the same choice of paths by the same key, each has the same on the wire.

use smallvec::SmallVec;

use crate::config::PathsSent;
use crate::rib::decision::{MultipathRule, select};
use crate::rib::loc::contenders;
use crate::rib::path::{Path, PathNumber, Paths, UNNUMBERED};
use crate::rib::table::DestId;
use crate::rib::{Environment, Reader};

use super::bucket::BucketNumber;
use super::entries::{Entry, Slot};
use super::export::Refusal;
use super::group::Group;

impl Group {
    /// Exports all paths of a dirty destination that the group is to have, and stages the differences.
    pub(super) fn evaluate_paths(
        &mut self,
        env: &mut Environment<'_>,
        destination: DestId,
        which: PathsSent,
    ) -> Option<BucketNumber> {
        let mut full = None;
        let found = env.table.get(destination);
        let prefix = found.map(|found| found.prefix);
        let wanted = found.map(|found| wanted(env.reader(), &found.paths, which)).unwrap_or_default();
        for path in &wanted {
            let Some(prefix) = &prefix else { continue };
            let target = self.target(env, prefix, path);
            full = self.stage(env, Slot { destination, path: path.number }, target).or(full);
        }
        for slot in self.entries.routes(destination) {
            if !wanted.iter().any(|path| path.number == slot.path) {
                full = self.stage(env, slot, Err(Refusal::NoBestPath)).or(full);
            }
        }
        // Only now: as long as it was dirty, the destination was not forgotten.
        self.entries.set(Slot::of(destination), Entry::default());
        if self.entries.is_vacant(destination) {
            env.table.unpin(destination);
        }
        full
    }

    /// The paths that the group is to have, each by the number it goes by on the wire.
    pub(in crate::rib) fn chosen(&self, reader: Reader<'_>, paths: &Paths) -> Vec<(PathNumber, Path)> {
        match self.key.several {
            Some(which) => wanted(reader, paths, which).into_iter().map(|path| (path.number, path)).collect(),
            None => paths.best().map(|best| (UNNUMBERED, best.clone())).into_iter().collect(),
        }
    }
}

/// The paths that are to be sent, if the rules let them pass.
fn wanted(reader: Reader<'_>, paths: &Paths, which: PathsSent) -> SmallVec<[Path; 4]> {
    let eligible = || paths.as_slice().iter().filter(|path| path.standing.is_eligible());
    match which {
        PathsSent::Best(most) if eligible().count() > usize::from(most) => {
            best(reader, paths.as_slice(), most.into())
        }
        PathsSent::All | PathsSent::Best(_) => eligible().cloned().collect(),
    }
}

/// The best so many: what the decision process would choose if those before were not there.
fn best(reader: Reader<'_>, paths: &[Path], most: usize) -> SmallVec<[Path; 4]> {
    let (mut positions, mut left) = contenders(reader.judges(), reader.interner, paths);
    let mut best = SmallVec::new();
    while best.len() < most {
        let Some(selection) = select(&left, MultipathRule::ONE) else { break };
        left.remove(selection.best);
        best.extend(paths.get(positions.remove(selection.best)).cloned());
    }
    best
}
