//! Readers of the journal: the FIB, watchers, aggregates.

use bgp_core::Prefix;

use crate::journal::Version;
use crate::plane::{Member, Plane, TRIM_STEP};

/// A reader of the journal that remembers nothing of what it was told: the FIB, a watcher.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(super) next: Version,
    /// The net to be told next, while it walks the whole table first.
    pub(super) walk: Option<u32>,
}

impl<P: Prefix> Plane<P> {
    /// A reader that walks the whole table, then follows.
    pub(crate) fn reader(&self) -> Reader {
        Reader {
            next: self.journal.end(),
            walk: Some(0),
        }
    }

    /// A reader of what changes from now on.
    pub(crate) fn follower(&self) -> Reader {
        Reader {
            next: self.journal.end(),
            walk: None,
        }
    }

    /// Moves a reader on, over at most `max` nets, which it gets as `told`. Says whether there is more.
    pub(crate) fn read(&self, reader: &mut Reader, max: usize, mut told: impl FnMut(u32)) -> bool {
        let mut left = max;
        while let Some(net) = reader.walk {
            if left == 0 {
                return true;
            }
            if net >= self.table.indices().end {
                reader.walk = None;
                break;
            }
            if self.table.best(net).is_some() {
                told(net);
                left -= 1;
            }
            reader.walk = Some(net + 1);
        }
        while let Some(net) = self.journal.get(reader.next) {
            if left == 0 {
                return true;
            }
            let is_live = self
                .table
                .net(net)
                .is_some_and(|n| n.version == reader.next && !self.journal.is_of_others(n.version));
            reader.next += 1;
            if is_live {
                told(net);
                left -= 1;
            }
        }
        false
    }

    /// Whether the reader has yet to come to a net of which something is to be told.
    pub(crate) fn will_hear(&self, reader: &Reader, net: u32) -> bool {
        let version = self.table.net(net).map_or(0, |n| n.version);
        let follows = version >= reader.next && !self.journal.is_of_others(version);
        follows || reader.walk.is_some_and(|at| at <= net)
    }

    /// Whether there is something for the reader.
    pub(crate) fn has_news(&self, reader: &Reader) -> bool {
        reader.walk.is_some() || reader.next < self.journal.end()
    }

    /// Lets go of journal entries that all have heard, and of nets without paths among them.
    pub(crate) fn trim(&mut self) {
        if self.journal.len() < self.trim_at {
            return;
        }
        let heard = self.heard_by_all();
        while let Some((version, net)) = self.journal.pop_before(heard) {
            if let Some(slot) = self.table.net_mut(net)
                && slot.version == version
            {
                slot.version = 0;
                self.free_if_forgotten(net);
            }
        }
        self.trim_at = 2 * self.journal.len() + TRIM_STEP;
    }

    /// Before which entries all are heard.
    fn heard_by_all(&self) -> Version {
        let members = self.members.iter().flatten().map(Member::hold);
        let readers = self.watchers.iter().flatten().chain(&self.fib);
        let readers = readers.chain(self.aggregates.iter().map(|a| &a.reader));
        let waves = self.groups.iter().flatten().filter_map(|g| g.wave.as_ref());
        let all = members
            .chain(readers.map(|reader| reader.next))
            .chain(waves.map(|wave| wave.start));
        all.min().unwrap_or_else(|| self.journal.end())
    }
}
