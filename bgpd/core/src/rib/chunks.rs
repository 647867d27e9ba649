//! An array that grows in chunks, addressed by number.
//!
//! Destinations and what was sent about them live in arrays of this kind: growing copies nothing, so no single route pays
//! for a million others, and at most one chunk is unused.
//!
//! Invariant: a chunk that nothing was written to takes no memory and reads as the default value.

/// A sparse array of `T`.
#[derive(Clone, Debug)]
pub(super) struct Chunks<T> {
    chunks: Vec<Option<Box<[T]>>>,
}

const BITS: u32 = 8;
const SIZE: usize = 1 << BITS;

impl<T: Clone + Default> Chunks<T> {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    /// The value at `number`, if anything was ever written near it.
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let (chunk, offset) = split(number);
        self.chunks.get(chunk)?.as_ref()?.get(offset)
    }

    /// The value at `number`, to change it where it is.
    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (chunk, offset) = split(number);
        self.chunks.get_mut(chunk)?.as_mut()?.get_mut(offset)
    }

    /// Writes `value` at `number`, making room for it.
    pub(super) fn set(&mut self, number: u32, value: T) {
        let (chunk, offset) = split(number);
        if chunk >= self.chunks.len() {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let Some(slot) = self.chunks.get_mut(chunk) else { return };
        let values = slot.get_or_insert_with(|| vec![T::default(); SIZE].into_boxed_slice());
        if let Some(place) = values.get_mut(offset) {
            *place = value;
        }
    }

    /// All values in chunks that were written to, with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.chunks
            .iter()
            .zip((0_u32..).step_by(SIZE))
            .flat_map(|(chunk, first)| chunk.iter().flat_map(move |values| (first..).zip(values.iter())))
    }
}

#[inline]
const fn split(number: u32) -> (usize, usize) {
    ((number >> BITS) as usize, number as usize & (SIZE - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written_and_nothing_else() {
        let mut chunks = Chunks::<u32>::new();
        assert_eq!(chunks.get(0), None);
        chunks.set(1_000, 7);
        assert_eq!(chunks.get(1_000), Some(&7));
        assert_eq!(chunks.get(1_001), Some(&0));
        assert_eq!(chunks.get(0), None);
        *chunks.get_mut(1_000).unwrap() += 1;
        let written: Vec<_> = chunks.iter().filter(|(_, value)| **value != 0).collect();
        assert_eq!(written, [(1_000, &8)]);
    }
}
