//! Exports that were computed already, by handle of the attributes.
//!
//! Invariant: the memo holds the attributes on both sides, so a remembered handle is never one that was given to other
//! attributes since. It is emptied whenever its group has nothing to send, and when it grows large.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::PeerId;
use crate::rib::interner::{AttrId, Interner};

use super::export::Refusal;

/// All that the export of a route to one group depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MemoKey {
    pub(super) attributes: AttrId,
    pub(super) peer: PeerId,
    /// The statement of the export policy that decides.
    pub(super) statement: Option<u32>,
}

/// Remembered exports.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// The one that was asked for last: neighbouring routes often have the same attributes.
    last: Option<(MemoKey, Result<AttrId, Refusal>)>,
    known: HashMap<MemoKey, Result<AttrId, Refusal>, FixedState>,
}

/// Tests reach it.
const MOST: usize = if cfg!(test) { 3 } else { 4_096 };

impl Memo {
    pub(super) fn get(&mut self, key: &MemoKey) -> Option<Result<AttrId, Refusal>> {
        if let Some((last, result)) = self.last.filter(|(last, _)| last == key) {
            debug_assert_eq!(last, *key);
            return Some(result);
        }
        let result = *self.known.get(key)?;
        self.last = Some((*key, result));
        Some(result)
    }

    /// Remembers. Takes over the caller's hold on the result, and holds the attributes that it came from.
    pub(super) fn insert(&mut self, interner: &mut Interner, key: MemoKey, result: Result<AttrId, Refusal>) {
        if self.known.len() >= MOST {
            self.clear(interner);
        }
        interner.hold(key.attributes, 1);
        self.last = Some((key, result));
        self.known.insert(key, result);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self, interner: &mut Interner) {
        self.last = None;
        for (key, result) in self.known.drain() {
            interner.release(key.attributes);
            if let Ok(id) = result {
                interner.release(id);
            }
        }
    }

    /// All handles held, for `check`.
    pub(super) fn held(&self) -> impl Iterator<Item = AttrId> {
        self.known.iter().flat_map(|(key, result)| [Some(key.attributes), result.ok()]).flatten()
    }
}
