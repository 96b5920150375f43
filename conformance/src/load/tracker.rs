//! What a receiver has: which prefixes, and by how long a path.

use std::time::Instant;

use super::table::Table;
use super::wire::{keys, update};

/// Counts what one receiver is told.
#[derive(Debug)]
pub(super) struct Tracker {
    /// By prefix: zero for none, else the length of the AS_PATH and one.
    lengths: Vec<u8>,
    /// What the device adds to an AS_PATH.
    prepended: u8,
    present: usize,
    best: usize,
    last: Option<Instant>,
}

impl Tracker {
    pub(super) fn new(table: &Table, prepended: u8) -> Self {
        Self {
            lengths: vec![0; table.len()],
            prepended,
            present: 0,
            best: 0,
            last: None,
        }
    }

    /// Takes the body of an UPDATE that came at `now`.
    pub(super) fn take(&mut self, table: &Table, body: &[u8], now: Instant) {
        let Some(update) = update(body) else { return };
        for octets in update.withdrawn {
            keys(octets, |key| self.set(table, key, 0, now));
        }
        let length = update.path_length.saturating_add(1);
        for octets in update.announced {
            keys(octets, |key| self.set(table, key, length, now));
        }
    }

    /// Whether it has every prefix by a shortest path.
    pub(super) fn is_complete(&self) -> bool {
        self.best == self.lengths.len()
    }

    /// Whether it has none.
    pub(super) fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// When something changed last.
    pub(super) fn last(&self) -> Option<Instant> {
        self.last
    }

    /// How many prefixes it has.
    pub(super) fn present(&self) -> usize {
        self.present
    }

    fn set(&mut self, table: &Table, key: u64, length: u8, now: Instant) {
        let Some(index) = table.index(key) else {
            return;
        };
        let Some(place) = self.lengths.get_mut(index) else {
            return;
        };
        let shortest = table.shortest(index).saturating_add(self.prepended + 1);
        self.present = self.present + usize::from(length > 0) - usize::from(*place > 0);
        self.best = self.best + usize::from(length == shortest) - usize::from(*place == shortest);
        *place = length;
        self.last = Some(now);
    }
}
