//! What a group remembers: one entry per destination, or one per path where its members take several (RFC 7911).
//!
//! Either way there is an entry for the destination as a whole, the one without a path number. In groups that send one path
//! it is all there is; in the others it says only whether the destination has to be looked at.
//!
//! Invariant: what is not there reads as a vacant entry, and a vacant entry takes no room among the entries of several paths.

use smallvec::SmallVec;

use crate::PeerId;
use crate::rib::chunks::Chunks;
use crate::rib::interner::AttrId;
use crate::rib::path::{LOCAL, PathNumber, UNNUMBERED};
use crate::rib::table::DestId;

/// What the members have of one route, and what comes next. Sixteen octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The attributes that were sent last, or [`ABSENT`], or [`STALE`].
    pub(super) wire: AttrId,
    /// The attributes of the bucket it is in, or [`WITHDRAW`], [`DIRTY`] or [`CLEAN`].
    pub(super) staged: AttrId,
    /// Who the route on the wire came from: this member was not sent it.
    pub(super) source: PeerId,
    /// When it was sent, in seconds.
    pub(super) sent_at: u32,
}

/// Nothing was sent, or it was withdrawn.
pub(super) const ABSENT: AttrId = AttrId::mark(0);
/// Something was sent that has to be sent again, whatever it was.
pub(super) const STALE: AttrId = AttrId::mark(1);
/// Nothing to do.
pub(super) const CLEAN: AttrId = AttrId::mark(2);
/// Changed since it was last evaluated.
pub(super) const DIRTY: AttrId = AttrId::mark(3);
/// To be withdrawn.
pub(super) const WITHDRAW: AttrId = AttrId::mark(4);

const _: () = assert!(size_of::<Entry>() == 16);

impl Default for Entry {
    fn default() -> Self {
        Self { wire: ABSENT, staged: CLEAN, source: LOCAL, sent_at: 0 }
    }
}

impl Entry {
    /// Whether there is nothing to remember.
    pub(super) fn is_vacant(&self) -> bool {
        self.wire == ABSENT && self.staged == CLEAN
    }
}

/// Names an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) destination: DestId,
    /// [`UNNUMBERED`]: the destination as a whole.
    pub(super) path: PathNumber,
}

impl Slot {
    /// The destination as a whole.
    pub(super) const fn of(destination: DestId) -> Self {
        Self { destination, path: UNNUMBERED }
    }

    /// The path identifier on the wire, which is not there for groups that send one path.
    pub(super) fn path_id(self) -> u32 {
        self.path.into()
    }
}

/// All entries of a group.
#[derive(Debug)]
pub(super) enum Entries {
    /// One per destination.
    One(Chunks<Entry>),
    /// One per path, in the order of their numbers.
    Several(Chunks<Paths>),
}

type Paths = SmallVec<[(PathNumber, Entry); 2]>;

impl Entries {
    pub(super) const fn new(several: bool) -> Self {
        if several { Self::Several(Chunks::new()) } else { Self::One(Chunks::new()) }
    }

    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Entry {
        match self {
            Self::One(entries) => entries.get(slot.destination).copied().unwrap_or_default(),
            Self::Several(entries) => {
                let mut paths = entries.get(slot.destination).into_iter().flatten();
                paths.find(|(path, _)| *path == slot.path).map(|(_, entry)| *entry).unwrap_or_default()
            }
        }
    }

    #[inline]
    pub(super) fn set(&mut self, slot: Slot, entry: Entry) {
        match self {
            Self::One(entries) => entries.set(slot.destination, entry),
            Self::Several(entries) => set_path(entries, slot, entry),
        }
    }

    /// Marks a destination dirty, and says whether it was vacant. None: it was dirty already.
    #[inline]
    pub(super) fn mark(&mut self, destination: DestId) -> Option<bool> {
        let Self::One(entries) = self else { return self.mark_paths(destination) };
        let Some(entry) = entries.get_mut(destination) else {
            entries.set(destination, Entry { staged: DIRTY, ..Entry::default() });
            return Some(true);
        };
        let vacant = entry.is_vacant();
        (std::mem::replace(&mut entry.staged, DIRTY) != DIRTY).then_some(vacant)
    }

    fn mark_paths(&mut self, destination: DestId) -> Option<bool> {
        let (slot, vacant) = (Slot::of(destination), self.is_vacant(destination));
        let entry = self.get(slot);
        (entry.staged != DIRTY).then(|| {
            self.set(slot, Entry { staged: DIRTY, ..entry });
            vacant
        })
    }

    /// Whether there is nothing to remember about a destination.
    #[inline]
    pub(super) fn is_vacant(&self, destination: DestId) -> bool {
        match self {
            Self::One(entries) => entries.get(destination).is_none_or(Entry::is_vacant),
            Self::Several(entries) => entries.get(destination).is_none_or(SmallVec::is_empty),
        }
    }

    /// The slots of a destination that stand for what was sent or is to be sent: the destination itself in a group that
    /// sends one path, those of the paths known so far in one that sends several.
    pub(super) fn routes(&self, destination: DestId) -> SmallVec<[Slot; 4]> {
        match self {
            Self::One(_) => SmallVec::from_slice(&[Slot::of(destination)]),
            Self::Several(entries) => {
                let paths = entries.get(destination).into_iter().flatten().map(|(path, _)| *path);
                paths.filter(|path| *path != UNNUMBERED).map(|path| Slot { destination, path }).collect()
            }
        }
    }

    /// All that is not vacant.
    pub(super) fn occupied(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        let (one, several) = match self {
            Self::One(entries) => (Some(entries), None),
            Self::Several(entries) => (None, Some(entries)),
        };
        let one = one.into_iter().flat_map(Chunks::iter).filter(|(_, entry)| !entry.is_vacant());
        let several = several.into_iter().flat_map(Chunks::iter).flat_map(|(destination, paths)| {
            paths.iter().map(move |(path, entry)| (Slot { destination, path: *path }, entry))
        });
        one.map(|(destination, entry)| (Slot::of(destination), entry)).chain(several)
    }
}

fn set_path(entries: &mut Chunks<Paths>, slot: Slot, entry: Entry) {
    let vacant = entry.is_vacant();
    let Some(paths) = entries.get_mut(slot.destination) else {
        if !vacant {
            entries.set(slot.destination, SmallVec::from_iter([(slot.path, entry)]));
        }
        return;
    };
    let position = paths.partition_point(|(path, _)| *path < slot.path);
    match paths.get_mut(position).filter(|(path, _)| *path == slot.path) {
        Some(_) if vacant => {
            paths.remove(position);
        }
        Some((_, place)) => *place = entry,
        None if !vacant => paths.insert(position, (slot.path, entry)),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRTY_ENTRY: Entry = Entry { wire: ABSENT, staged: DIRTY, source: LOCAL, sent_at: 0 };

    #[test]
    fn paths_of_a_destination_come_and_go() {
        let mut entries = Entries::new(true);
        let slot = |path| Slot { destination: 300, path };
        assert!(entries.is_vacant(300) && entries.get(slot(2)).is_vacant());
        for path in [2, 0, 7] {
            entries.set(slot(path), DIRTY_ENTRY);
        }
        assert_eq!(entries.routes(300).as_slice(), [slot(2), slot(7)]);
        assert_eq!(entries.occupied().map(|(slot, _)| slot.path).collect::<Vec<_>>(), [0, 2, 7]);
        entries.set(slot(7), Entry { sent_at: 9, ..DIRTY_ENTRY });
        assert_eq!((entries.get(slot(7)).sent_at, entries.get(slot(2)).sent_at), (9, 0));
        for path in [0, 2, 7, 7] {
            entries.set(slot(path), Entry::default());
        }
        assert!(entries.is_vacant(300) && entries.occupied().next().is_none());
    }

    #[test]
    fn without_several_paths_a_destination_is_one_entry() {
        let mut entries = Entries::new(false);
        entries.set(Slot::of(7), DIRTY_ENTRY);
        assert_eq!(entries.routes(7).as_slice(), [Slot::of(7)]);
        assert_eq!(entries.occupied().map(|(slot, _)| slot).collect::<Vec<_>>(), [Slot::of(7)]);
        assert!(entries.is_vacant(8) && !entries.is_vacant(7));
        entries.set(Slot::of(7), Entry::default());
        assert!(entries.is_vacant(7));
    }
}
