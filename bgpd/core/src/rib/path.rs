//! One path to a destination, and the short list of them that a destination has.
//!
//! The same entry is the Adj-RIB-In (what was received, [`Path::received`]) and the Loc-RIB's candidate (what it became,
//! [`Path::effective`], and how it stands, [`Path::standing`]).
//!
//! A peer has one path per destination, or as many as it tells apart by path identifiers (RFC 7911 §3). What it calls a path
//! ([`Path::path_id`]) means nothing to anybody else: to those who take several paths from us, a path goes by a number of
//! our own ([`Path::number`]), which it keeps for as long as it is there.
//!
//! Invariant: a list has at most one path per peer and identifier, the numbers in it differ, and no path of a list is
//! anybody else's: whoever takes one out releases its two attribute handles.

use smallvec::{SmallVec, smallvec};

use crate::PeerId;

use super::interner::AttrId;
use super::reason::Ineligible;

/// A path from one peer, or our own. Twenty-four octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// Who sent it; [`LOCAL`] for our own.
    pub(super) peer: PeerId,
    /// What that peer calls it; 0 without add-path.
    pub(super) path_id: u32,
    /// Attributes as received.
    pub(super) received: AttrId,
    /// Attributes after the import policy.
    pub(super) effective: AttrId,
    /// When these attributes came, in whole seconds.
    pub(super) received_at: u32,
    /// What we call it to peers that take several paths: 1 and up.
    pub(super) number: PathNumber,
    /// What the decision process makes of it.
    pub(super) standing: Standing,
    /// Whether its session ended, or its peer began to send everything again.
    pub(super) stale: Staleness,
}

/// Whether the session of a path ended or its peer began to send everything again (RFC 7313 §4), and has not sent it since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Staleness {
    #[default]
    Fresh,
    /// The peer is at it, or has its Restart Time to come back (RFC 4724 §4.2).
    Stale,
    /// It was away for longer: the path is a last resort (RFC 9494 §4.2).
    LongLived,
}

impl Staleness {
    pub(super) const fn is_stale(self) -> bool {
        !matches!(self, Self::Fresh)
    }

    pub(super) const fn is_long_lived(self) -> bool {
        matches!(self, Self::LongLived)
    }
}

/// What tells the paths of a destination apart.
pub(super) type PathKey = (PeerId, u32);

/// Number of a path among those of its destination.
pub(super) type PathNumber = u16;

/// The number of no path.
pub(super) const UNNUMBERED: PathNumber = 0;

/// How many paths to one destination a peer may have. A destination with many paths costs time with each change, so a
/// peer that sends ever more of them would hold up the others.
pub const MOST_PATHS: usize = if cfg!(test) { 4 } else { 255 };

impl Path {
    pub(super) const fn key(&self) -> PathKey {
        (self.peer, self.path_id)
    }
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

/// The paths of one destination, in the order of their peers and identifiers. One path, the usual case, needs no memory of its own.
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

    /// The paths of a peer.
    pub(super) fn of(&self, peer: PeerId) -> impl Iterator<Item = &Path> {
        self.as_slice().iter().filter(move |path| path.peer == peer)
    }

    /// The path that goes by this number.
    pub(super) fn numbered(&self, number: PathNumber) -> Option<&Path> {
        self.as_slice().iter().find(|path| path.number == number)
    }

    /// The lowest number that no path has. None: there are more paths than numbers.
    fn free_number(&self) -> Option<PathNumber> {
        let paths = self.as_slice();
        // One of the first `len + 1` numbers is free.
        let mut taken: SmallVec<[bool; 16]> = smallvec![false; paths.len() + 1];
        for path in paths {
            if let Some(taken) = taken.get_mut(usize::from(path.number).wrapping_sub(1)) {
                *taken = true;
            }
        }
        let position = taken.iter().position(|taken| !taken)?;
        PathNumber::try_from(position + 1).ok()
    }

    /// The best path, as the last decision left it.
    pub(super) fn best(&self) -> Option<&Path> {
        self.as_slice().iter().find(|path| path.standing == Standing::Best)
    }

    /// Puts a path in, under the number of the one it replaces or else the lowest that is free, and gives that one back.
    /// None of both if there is no room.
    pub(super) fn insert(&mut self, mut path: Path) -> Inserted {
        if matches!(self, Self::None) {
            path.number = UNNUMBERED + 1;
            *self = Self::One(path);
            return Inserted::New;
        }
        let key = path.key();
        if let Some(place) = self.as_mut_slice().iter_mut().find(|other| other.key() == key) {
            path.number = place.number;
            return Inserted::Instead(std::mem::replace(place, path));
        }
        let crowded = self.as_slice().len() >= MOST_PATHS && self.of(path.peer).count() >= MOST_PATHS;
        let Some(number) = self.free_number().filter(|_| !crowded) else { return Inserted::NoRoom };
        path.number = number;
        *self = match std::mem::take(self) {
            Self::None => Self::One(path),
            Self::One(other) if other.key() < key => Self::Many(Box::new([other, path])),
            Self::One(other) => Self::Many(Box::new([path, other])),
            Self::Many(paths) => {
                let mut paths = paths.into_vec();
                let position = paths.partition_point(|other| other.key() < key);
                paths.reserve_exact(1);
                paths.insert(position, path);
                Self::Many(paths.into_boxed_slice())
            }
        };
        Inserted::New
    }

    /// Takes a path out.
    pub(super) fn remove(&mut self, key: PathKey) -> Option<Path> {
        let position = self.as_slice().iter().position(|path| path.key() == key)?;
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

/// What became of a path that was to be put in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    /// It is there, and nothing had its place.
    New,
    /// It is there instead of this one.
    Instead(Path),
    /// Its peer has as many paths to the destination as it may have.
    NoRoom,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(peer: u32, path_id: u32, seconds: u32) -> Path {
        Path {
            peer: PeerId::new(peer),
            path_id,
            received: AttrId::mark(0),
            effective: AttrId::mark(0),
            received_at: seconds,
            number: UNNUMBERED,
            standing: Standing::Eligible,
            stale: Staleness::Fresh,
        }
    }

    fn keys(paths: &Paths) -> Vec<(u32, u32, PathNumber)> {
        paths.as_slice().iter().map(|path| (path.peer.get(), path.path_id, path.number)).collect()
    }

    #[test]
    fn one_path_per_peer_and_identifier_in_order() {
        let mut paths = Paths::None;
        for (peer, path_id) in [(3, 0), (1, 7), (2, 0), (1, 5)] {
            assert_eq!(paths.insert(path(peer, path_id, 0)), Inserted::New);
        }
        assert_eq!(keys(&paths), [(1, 5, 4), (1, 7, 2), (2, 0, 3), (3, 0, 1)]);
        let replaced = Path { number: 3, ..path(2, 0, 0) };
        assert_eq!(paths.insert(path(2, 0, 9)), Inserted::Instead(replaced));
        assert_eq!(paths.numbered(3).map(|path| path.received_at), Some(9));
        assert_eq!(paths.remove((PeerId::new(1), 6)), None);
        assert_eq!(paths.remove((PeerId::new(1), 7)).map(|path| path.number), Some(2));
        assert_eq!(paths.insert(path(9, 0, 0)), Inserted::New);
        assert_eq!(keys(&paths), [(1, 5, 4), (2, 0, 3), (3, 0, 1), (9, 0, 2)], "a free number is used again");
        for key in [(1, 5), (3, 0), (9, 0)] {
            assert!(paths.remove((PeerId::new(key.0), key.1)).is_some());
        }
        assert!(matches!(paths, Paths::One(_)));
        assert_eq!(paths.remove((PeerId::new(2), 0)).map(|path| path.received_at), Some(9));
        assert!(paths.is_empty());
    }

    #[test]
    fn a_peer_has_only_so_many_paths_to_a_destination() {
        let mut paths = Paths::None;
        for path_id in 0..4 {
            assert_eq!(paths.insert(path(1, path_id, 0)), Inserted::New);
        }
        assert_eq!(paths.insert(path(1, 9, 0)), Inserted::NoRoom);
        assert_eq!(paths.insert(path(2, 9, 0)), Inserted::New, "another peer's are another matter");
        assert!(
            matches!(paths.insert(path(1, 3, 5)), Inserted::Instead(_)),
            "a path that is there may change"
        );
    }
}
