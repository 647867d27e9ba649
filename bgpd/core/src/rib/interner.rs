//! Path attributes, each distinct set once.
//!
//! A table of a million routes has a few thousand distinct sets of attributes. Routes hold an [`AttrId`] of four octets,
//! two routes have equal attributes exactly when their handles are equal, and whatever is derived from attributes (the
//! export towards a group of peers) can be remembered by handle.
//!
//! Invariant: a set is kept for as long as its count of holders is above zero and dropped at once after. Counting is by
//! hand, because a handle without a destructor is what lets a route be twenty-four octets; [`super::Rib::check`] counts
//! all holders afresh.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use bgp_wire::PathAttributes;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// A handle to interned attributes. Equal handles are equal attributes, while both are held.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct AttrId(u32);

impl AttrId {
    /// Handles from here up are never given out: others use them as marks.
    pub(super) const RESERVED: u32 = u32::MAX - 15;

    /// A handle that is none, for marks.
    pub(super) const fn mark(number: u32) -> Self {
        Self(Self::RESERVED + number)
    }

    /// Whether this is a handle and no mark.
    pub(super) const fn is_handle(self) -> bool {
        self.0 < Self::RESERVED
    }

    const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for AttrId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attr{}", self.0)
    }
}

/// All distinct sets of attributes.
#[derive(Debug)]
pub(super) struct Interner {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Finds the slot with given attributes. The hash is stored in the slot, so growing never hashes attributes again.
    index: HashTable<u32>,
    hasher: FixedState,
    /// Stands in for a handle nobody may have; reaching it is a bug that `check` finds.
    absent: Arc<PathAttributes>,
}

#[derive(Debug)]
struct Slot {
    attributes: Option<Arc<PathAttributes>>,
    hash: u64,
    holders: u32,
}

impl Interner {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: FixedState::default(),
            absent: Arc::default(),
        }
    }

    /// How many distinct sets there are.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The handle for `attributes`, held once more. They are copied only if they are new.
    pub(super) fn intern(&mut self, attributes: &PathAttributes) -> AttrId {
        let hash = self.hash(attributes);
        match self.find(hash, attributes) {
            Some(id) => self.held(id),
            None => self.insert(hash, Arc::new(attributes.clone())),
        }
    }

    /// The handle for `attributes`, held once more.
    pub(super) fn intern_owned(&mut self, attributes: PathAttributes) -> AttrId {
        let hash = self.hash(&attributes);
        match self.find(hash, &attributes) {
            Some(id) => self.held(id),
            None => self.insert(hash, Arc::new(attributes)),
        }
    }

    fn held(&mut self, id: AttrId) -> AttrId {
        self.hold(id, 1);
        id
    }

    fn hash(&self, attributes: &PathAttributes) -> u64 {
        self.hasher.hash_one(attributes)
    }

    fn find(&self, hash: u64, attributes: &PathAttributes) -> Option<AttrId> {
        let same = |number: &u32| {
            self.slot(AttrId(*number))
                .is_some_and(|slot| slot.hash == hash && slot.attributes.as_deref() == Some(attributes))
        };
        self.index.find(hash, same).map(|number| AttrId(*number))
    }

    fn insert(&mut self, hash: u64, attributes: Arc<PathAttributes>) -> AttrId {
        let slot = Slot { attributes: Some(attributes), hash, holders: 1 };
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(place) = self.slots.get_mut(number as usize) {
                    *place = slot;
                }
                number
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).unwrap_or(AttrId::RESERVED)
            }
        };
        debug_assert!(number < AttrId::RESERVED, "more than four billion distinct sets of attributes");
        let slots = &self.slots;
        let hash_of = |number: &u32| slots.get(*number as usize).map_or(0, |slot| slot.hash);
        match self.index.entry(hash, |other| *other == number, hash_of) {
            Entry::Vacant(place) => {
                place.insert(number);
            }
            Entry::Occupied(_) => debug_assert!(false, "free slot {number} was still indexed"),
        }
        AttrId(number)
    }

    /// The attributes behind a handle.
    #[inline]
    pub(super) fn get(&self, id: AttrId) -> &Arc<PathAttributes> {
        let attributes = self.slot(id).and_then(|slot| slot.attributes.as_ref());
        debug_assert!(attributes.is_some(), "{id:?} is not held");
        attributes.unwrap_or(&self.absent)
    }

    /// `count` more holders.
    #[inline]
    pub(super) fn hold(&mut self, id: AttrId, count: u32) {
        if let Some(slot) = self.slots.get_mut(id.index()) {
            debug_assert!(slot.holders > 0, "{id:?} is not held");
            slot.holders += count;
        }
    }

    /// One holder less.
    #[inline]
    pub(super) fn release(&mut self, id: AttrId) {
        let Some(slot) = self.slots.get_mut(id.index()) else { return };
        debug_assert!(slot.holders > 0, "{id:?} is not held");
        slot.holders = slot.holders.saturating_sub(1);
        if slot.holders == 0 {
            self.drop_slot(id);
        }
    }

    /// How many hold `id`, for `check`.
    pub(super) fn holders(&self) -> impl Iterator<Item = (AttrId, u32)> {
        let numbered = (0_u32..).zip(&self.slots);
        numbered
            .filter(|(_, slot)| slot.attributes.is_some())
            .map(|(number, slot)| (AttrId(number), slot.holders))
    }

    fn drop_slot(&mut self, id: AttrId) {
        let Some(slot) = self.slots.get_mut(id.index()) else { return };
        slot.attributes = None;
        if let Ok(place) = self.index.find_entry(slot.hash, |number| *number == id.0) {
            place.remove();
        }
        self.free.push(id.0);
    }

    #[inline]
    fn slot(&self, id: AttrId) -> Option<&Slot> {
        self.slots.get(id.index())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_med(med: u32) -> PathAttributes {
        PathAttributes { med: Some(med), ..PathAttributes::default() }
    }

    #[test]
    fn equal_attributes_have_one_handle_until_the_last_holder_leaves() {
        let mut interner = Interner::new();
        let one = interner.intern(&with_med(1));
        let two = interner.intern_owned(with_med(2));
        assert_ne!(one, two);
        assert_eq!(interner.intern_owned(with_med(1)), one);
        assert_eq!(interner.len(), 2);
        interner.release(one);
        assert_eq!(interner.get(one).med, Some(1));
        interner.release(one);
        assert_eq!(interner.len(), 1);
        assert_eq!(interner.holders().collect::<Vec<_>>(), [(two, 1)]);
        let three = interner.intern(&with_med(3));
        assert_eq!(three, one, "the slot is used again");
        assert_eq!(interner.get(three).med, Some(3));
    }
}
