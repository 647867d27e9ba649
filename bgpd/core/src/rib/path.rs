//! One path to a destination, and the short list of them that a destination has.
//!
//! The same entry is the Adj-RIB-In (what was received, [`Path::received`]) and the Loc-RIB's candidate (what it became,
//! [`Path::effective`], and how it stands, [`Path::standing`]).
//!
//! Invariant: a list has at most one path per peer, and no path of a list is anybody else's: whoever takes one out
//! releases its two attribute handles.

use crate::PeerId;
use crate::time::Time;

use super::interner::AttrId;
use super::reason::Ineligible;

/// A path from one peer, or our own. Twenty-four octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// Who sent it; [`LOCAL`] for our own.
    pub(super) peer: PeerId,
    /// Attributes as received.
    pub(super) received: AttrId,
    /// Attributes after the import policy.
    pub(super) effective: AttrId,
    /// When these attributes came.
    pub(super) received_at: Time,
    /// What the decision process makes of it.
    pub(super) standing: Standing,
    /// Its session ended, and the peer has not sent it again since (RFC 4724 §4.2).
    pub(super) stale: bool,
}

/// The peer of routes that this speaker originates.
pub(super) const LOCAL: PeerId = PeerId::new(u32::MAX);

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// The best path.
    Best,
    /// Used beside the best path.
    Multipath,
    /// Takes part in the decision and lost.
    Eligible,
    /// Takes no part in the decision.
    Ineligible(Ineligible),
}

impl Standing {
    /// Whether the path takes part in the decision.
    #[must_use]
    pub const fn is_eligible(self) -> bool {
        !matches!(self, Self::Ineligible(_))
    }

    /// Why the path takes no part in the decision, if it does not.
    #[must_use]
    pub const fn reason(self) -> Option<Ineligible> {
        match self {
            Self::Ineligible(reason) => Some(reason),
            _ => None,
        }
    }
}

/// The paths of one destination, in the order of their peers. One path, the usual case, needs no memory of its own.
#[derive(Clone, Debug, Default)]
pub(super) enum Paths {
    #[default]
    None,
    One(Path),
    Many(Box<[Path]>),
}

const _: () = assert!(size_of::<Path>() == 24 && size_of::<Paths>() == 24);

impl Paths {
    pub(super) fn as_slice(&self) -> &[Path] {
        match self {
            Self::None => &[],
            Self::One(path) => std::slice::from_ref(path),
            Self::Many(paths) => paths,
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Path] {
        match self {
            Self::None => &mut [],
            Self::One(path) => std::slice::from_mut(path),
            Self::Many(paths) => paths,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn of(&self, peer: PeerId) -> Option<&Path> {
        self.as_slice().iter().find(|path| path.peer == peer)
    }

    /// The best path, as the last decision left it.
    pub(super) fn best(&self) -> Option<&Path> {
        self.as_slice().iter().find(|path| path.standing == Standing::Best)
    }

    /// Puts a path in and gives back what the same peer had.
    pub(super) fn insert(&mut self, path: Path) -> Option<Path> {
        if let Some(place) = self.as_mut_slice().iter_mut().find(|other| other.peer == path.peer) {
            return Some(std::mem::replace(place, path));
        }
        *self = match std::mem::take(self) {
            Self::None => Self::One(path),
            Self::One(other) if other.peer < path.peer => Self::Many(Box::new([other, path])),
            Self::One(other) => Self::Many(Box::new([path, other])),
            Self::Many(paths) => {
                let mut paths = paths.into_vec();
                let position = paths.partition_point(|other| other.peer < path.peer);
                paths.reserve_exact(1);
                paths.insert(position, path);
                Self::Many(paths.into_boxed_slice())
            }
        };
        None
    }

    /// Takes a peer's path out.
    pub(super) fn remove(&mut self, peer: PeerId) -> Option<Path> {
        let position = self.as_slice().iter().position(|path| path.peer == peer)?;
        let mut paths = match std::mem::take(self) {
            Self::None => return None,
            Self::One(path) => return Some(path),
            Self::Many(paths) => paths.into_vec(),
        };
        let removed = paths.remove(position);
        *self = match paths.pop() {
            Some(last) if paths.is_empty() => Self::One(last),
            Some(last) => {
                paths.push(last);
                Self::Many(paths.into_boxed_slice())
            }
            None => Self::None,
        };
        Some(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(peer: u32, nanos: u64) -> Path {
        Path {
            peer: PeerId::new(peer),
            received: AttrId::mark(0),
            effective: AttrId::mark(0),
            received_at: Time::from_nanos(nanos),
            standing: Standing::Eligible,
            stale: false,
        }
    }

    fn peers(paths: &Paths) -> Vec<u32> {
        paths.as_slice().iter().map(|path| path.peer.get()).collect()
    }

    #[test]
    fn one_path_per_peer_in_order() {
        let mut paths = Paths::None;
        for peer in [3, 1, 2] {
            assert_eq!(paths.insert(path(peer, 0)), None);
        }
        assert_eq!(peers(&paths), [1, 2, 3]);
        assert_eq!(paths.insert(path(2, 9)), Some(path(2, 0)));
        assert_eq!(paths.of(PeerId::new(2)), Some(&path(2, 9)));
        assert_eq!(paths.remove(PeerId::new(7)), None);
        assert_eq!(paths.remove(PeerId::new(1)), Some(path(1, 0)));
        assert_eq!(paths.remove(PeerId::new(3)), Some(path(3, 0)));
        assert!(matches!(paths, Paths::One(_)));
        assert_eq!(paths.remove(PeerId::new(2)), Some(path(2, 9)));
        assert!(paths.is_empty());
    }
}
