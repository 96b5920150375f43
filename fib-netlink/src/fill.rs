//! Whether a bounded store had room for all it was given: said once, and asked for again when there is room.

/// See the module.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Fill {
    /// There was room for everything.
    #[default]
    Room,
    /// Something had no room, and nobody was told.
    Full,
    /// Something had no room, and that was told.
    Said,
}

impl Fill {
    /// How many of at most `max` may be left in a store that was full when what had no room is asked for again.
    #[must_use]
    pub const fn room_again(max: usize) -> usize {
        max / 8 * 7
    }

    /// Something had no room.
    pub fn overflow(&mut self) {
        if *self == Self::Room {
            *self = Self::Full;
        }
    }

    /// True once after something had no room.
    pub fn take_full(&mut self) -> bool {
        let full = *self == Self::Full;
        if full {
            *self = Self::Said;
        }
        full
    }

    /// True once when there is room again for what had none: `is_room` says that enough has gone.
    pub fn take_room(&mut self, is_room: bool) -> bool {
        let room = *self == Self::Said && is_room;
        if room {
            *self = Self::Room;
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_overflow_is_said_once_and_each_end_of_it() {
        let mut fill = Fill::default();
        assert!(!fill.take_full() && !fill.take_room(true));
        for _ in 0..2 {
            fill.overflow();
            // Nobody was told: nobody is told of its end.
            assert!(!fill.take_room(true));
            assert!(fill.take_full());
            fill.overflow();
            assert!(!fill.take_full() && !fill.take_room(false));
            assert!(fill.take_room(true) && !fill.take_room(true));
        }
    }
}
