//! A vector that grows by chunks, so that growing never copies and never doubles memory; and a slab over it.

use std::ops::Range;

/// Elements of a chunk.
const CHUNK: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 12;

/// A vector in chunks of [`CHUNK`] elements.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    len: u32,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

const fn place(index: u32) -> (usize, usize) {
    ((index >> CHUNK_BITS) as usize, index as usize & (CHUNK - 1))
}

impl<T> Chunks<T> {
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) const fn indices(&self) -> Range<u32> {
        0..self.len
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let (chunk, at) = place(index);
        self.chunks.get(chunk)?.get(at)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let (chunk, at) = place(index);
        self.chunks.get_mut(chunk)?.get_mut(at)
    }

    /// Appends, and says where.
    pub(crate) fn push(&mut self, value: T) -> u32 {
        let index = self.len;
        let (chunk, _) = place(index);
        if chunk == self.chunks.len() {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.get_mut(chunk) {
            chunk.push(value);
        }
        self.len += 1;
        index
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Octets held.
    pub(crate) fn memory(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<T>()
    }
}

impl<T: Copy> Chunks<T> {
    /// Grows to `len` with copies of `value`.
    pub(crate) fn grow(&mut self, len: u32, value: T) {
        while self.len < len {
            self.push(value);
        }
    }
}

/// Values at indices that are used again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    items: Chunks<T>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            items: Chunks::default(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Values in use.
    pub(crate) fn used(&self) -> usize {
        self.items.len() as usize - self.free.len()
    }

    /// All indices, those that are free too.
    pub(crate) const fn indices(&self) -> Range<u32> {
        self.items.indices()
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.items.get(index)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.items.get_mut(index)
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        match self.free.pop() {
            Some(index) => {
                if let Some(slot) = self.items.get_mut(index) {
                    *slot = value;
                }
                index
            }
            None => self.items.push(value),
        }
    }

    /// Gives the index back. Its value stays readable until it is used again, so the owner marks it.
    pub(crate) fn free(&mut self, index: u32) {
        self.free.push(index);
    }

    pub(crate) fn memory(&self) -> usize {
        self.items.memory() + self.free.capacity() * size_of::<u32>()
    }
}
