//! How many changes of cost a minute may bring.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// The moves of the last minute: never more than there may be.
#[derive(Debug)]
pub(super) struct Moves {
    most: usize,
    taken: VecDeque<Instant>,
    said: bool,
}

impl Moves {
    pub(super) fn new(a_minute: u32) -> Self {
        let mut moves = Self {
            most: 0,
            taken: VecDeque::new(),
            said: false,
        };
        moves.allow(a_minute);
        moves
    }

    pub(super) fn allow(&mut self, a_minute: u32) {
        self.most = usize::try_from(a_minute).unwrap_or(usize::MAX);
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let over = |at: &mut Instant| now.saturating_duration_since(*at) >= MINUTE;
        while self.taken.pop_front_if(over).is_some() {}
        if self.taken.len() >= self.most {
            return false;
        }
        self.taken.push_back(now);
        self.said = false;
        true
    }

    /// Whether it is time to say that there is none: once, until there was one again.
    pub(super) const fn say_exhausted(&mut self) -> bool {
        !std::mem::replace(&mut self.said, true)
    }
}
