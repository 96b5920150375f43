//! Watching the best routes: readers of the journal with a handle.

use bgp_core::Prefix;
use ipnet::IpNet;

use crate::plane::Plane;
use crate::rib::Rib;

/// Most watchers at once.
pub const WATCHERS_MAX: usize = 64;

/// A place in the stream of changes. Give it back with [`Rib::unwatch`]: as long as it stands still, prefixes that
/// are gone cannot be forgotten.
#[derive(Debug, Eq, PartialEq)]
pub struct Watcher(usize);

impl Rib {
    /// Watches the best routes: all there are first, if `whole`, then what changes. `None`: there are
    /// [`WATCHERS_MAX`] already.
    pub fn watch(&mut self, whole: bool) -> Option<Watcher> {
        let id = self.ipv4.watch(whole)?;
        self.ipv6.watch(whole).map(|_| Watcher(id))
    }

    /// Gives at most `max` prefixes whose best route changed since the last call, however often it did; what it
    /// is now is [`Rib::route`]'s to say. Says whether there is more.
    pub fn changes(
        &mut self,
        watcher: &mut Watcher,
        max: usize,
        changed: &mut dyn FnMut(IpNet),
    ) -> bool {
        let mut left = max;
        let mut count = |prefix| {
            left = left.saturating_sub(1);
            changed(prefix);
        };
        let more = self.ipv4.changes(watcher.0, max, &mut count);
        let max = left;
        self.ipv6.changes(watcher.0, max, changed) || more
    }

    /// Whether [`Rib::changes`] would give anything.
    #[must_use]
    pub fn has_changes(&self, watcher: &Watcher) -> bool {
        self.ipv4.has_changes(watcher.0) || self.ipv6.has_changes(watcher.0)
    }

    /// Ends a watch.
    #[expect(clippy::needless_pass_by_value, reason = "it is gone afterwards")]
    pub fn unwatch(&mut self, watcher: Watcher) {
        self.ipv4.unwatch(watcher.0);
        self.ipv6.unwatch(watcher.0);
    }
}

impl<P: Prefix> Plane<P> {
    fn watch(&mut self, whole: bool) -> Option<usize> {
        let reader = if whole {
            self.reader()
        } else {
            self.follower()
        };
        if let Some(id) = self.watchers.iter().position(Option::is_none) {
            *self.watchers.get_mut(id)? = Some(reader);
            return Some(id);
        }
        if self.watchers.len() >= WATCHERS_MAX {
            return None;
        }
        self.watchers.push(Some(reader));
        Some(self.watchers.len() - 1)
    }

    fn changes(&mut self, id: usize, max: usize, changed: &mut dyn FnMut(IpNet)) -> bool {
        let Some(mut reader) = self.watchers.get_mut(id).and_then(Option::take) else {
            return false;
        };
        let more = self.read(&mut reader, max, |net| {
            if let Some(net) = self.table.net(net) {
                changed(net.prefix.into());
            }
        });
        if let Some(slot) = self.watchers.get_mut(id) {
            *slot = Some(reader);
        }
        self.trim();
        more
    }

    fn has_changes(&self, id: usize) -> bool {
        let reader = self.watchers.get(id).and_then(Option::as_ref);
        reader.is_some_and(|reader| self.has_news(reader))
    }

    fn unwatch(&mut self, id: usize) {
        if let Some(slot) = self.watchers.get_mut(id) {
            *slot = None;
        }
        self.trim();
    }
}
