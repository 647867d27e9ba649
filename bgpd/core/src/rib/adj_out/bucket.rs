//! Routes that wait to be sent, gathered by the attributes they will be sent with.
//!
//! Invariant: a bucket holds its attributes for as long as it is in the queue, so a route staged with a handle never finds
//! the handle reused. A route may be in several buckets after several changes; only the one that its entry
//! names counts, and the others skip it.

use std::collections::VecDeque;

use bgp_wire::AttributeBlock;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::PeerId;
use crate::rib::interner::AttrId;

use super::entries::Slot;

/// What the routes of one bucket have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct BucketKey {
    /// The attributes to send, or the mark for withdrawals.
    pub(super) attributes: AttrId,
    /// The member that the routes come from and who must not get them back.
    pub(super) except: Option<PeerId>,
}

/// Routes to be sent alike.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) key: BucketKey,
    /// The attributes encoded, from the first message on.
    pub(super) block: Option<AttributeBlock>,
    /// One is common, thousands are possible.
    routes: SmallVec<[Slot; 2]>,
    next: usize,
    /// Length of the prefixes when encoded.
    octets: usize,
}

impl Bucket {
    /// The route at the front.
    pub(super) fn front(&self) -> Option<Slot> {
        self.routes.get(self.next).copied()
    }

    /// Takes the route at the front out.
    pub(super) fn advance(&mut self) {
        self.next += 1;
    }
}

/// All buckets of a group, oldest first.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    queue: VecDeque<Option<Bucket>>,
    /// Number of the bucket at the front of the queue.
    first: u64,
    index: HashMap<BucketKey, u64, FixedState>,
    /// Routes in all buckets.
    staged: usize,
}

/// Number of a bucket; the next bucket has the next number.
pub(super) type BucketNumber = u64;

impl Buckets {
    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Routes in all buckets.
    pub(super) const fn staged(&self) -> usize {
        self.staged
    }

    /// How many buckets there are.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Puts a route, which takes `length` octets, into the bucket of `key`. Returns the number of the bucket, the octets of
    /// all in it, and whether it is new.
    pub(super) fn add(&mut self, key: BucketKey, route: Slot, length: usize) -> (BucketNumber, usize, bool) {
        self.staged += 1;
        let next = self.first + self.queue.len() as u64;
        let number = *self.index.entry(key).or_insert(next);
        if number == next {
            self.queue.push_back(Some(Bucket {
                key,
                block: None,
                routes: SmallVec::new(),
                next: 0,
                octets: 0,
            }));
        }
        let Some(bucket) = self.slot(number).and_then(Option::as_mut) else { return (number, 0, false) };
        bucket.routes.push(route);
        bucket.octets += length;
        (number, bucket.octets, number == next)
    }

    /// The number of the oldest bucket.
    pub(super) fn oldest(&self) -> Option<BucketNumber> {
        let waiting = (self.first..).zip(&self.queue);
        waiting.filter(|(_, bucket)| bucket.is_some()).map(|(number, _)| number).next()
    }

    /// Takes a bucket out, to send some of it; [`Buckets::give_back`] must follow.
    pub(super) fn take(&mut self, number: BucketNumber) -> Option<Bucket> {
        let bucket = self.slot(number)?.take()?;
        self.staged = self.staged.saturating_sub(bucket.routes.len() - bucket.next);
        Some(bucket)
    }

    /// Puts back what was taken. Gives the key back if the bucket is empty and therefore gone.
    pub(super) fn give_back(&mut self, number: BucketNumber, mut bucket: Bucket) -> Option<BucketKey> {
        let left = bucket.routes.len().saturating_sub(bucket.next);
        if left == 0 {
            self.index.remove(&bucket.key);
            while matches!(self.queue.front(), Some(None)) {
                self.queue.pop_front();
                self.first += 1;
            }
            return Some(bucket.key);
        }
        self.staged += left;
        // What is left, at a guess: the prefixes sent were as long as those that were not.
        bucket.octets = bucket.octets * left / (left + bucket.next).max(1);
        bucket.routes.drain(..bucket.next);
        bucket.next = 0;
        if let Some(slot) = self.slot(number) {
            *slot = Some(bucket);
        }
        None
    }

    /// The keys of all buckets.
    pub(super) fn keys(&self) -> impl Iterator<Item = &BucketKey> {
        self.index.keys()
    }

    /// Drops all buckets and gives their keys back.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = BucketKey> {
        self.first += self.queue.len() as u64;
        self.queue.clear();
        self.staged = 0;
        std::mem::take(&mut self.index).into_keys()
    }

    fn slot(&mut self, number: BucketNumber) -> Option<&mut Option<Bucket>> {
        let position = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.queue.get_mut(position)
    }
}
