//! Next hops that changed, and which paths that concerns.

use bgp_core::Prefix;

use crate::attribute_store::{AttrId, AttributeStore, Has};
use crate::next_hop::HopId;
use crate::plane::Plane;
use crate::rib::Core;
use crate::table::Path;

/// The attributes with next hops that changed.
#[derive(Debug)]
pub(crate) struct Affected {
    attrs: Vec<bool>,
    /// How many references to them may yet be found in paths.
    left: usize,
}

impl Affected {
    /// By these next hops, which are sorted.
    pub(crate) fn by(hops: &[HopId], store: &AttributeStore) -> Self {
        let mut left = 0;
        let by_hop = |id: u32| {
            let facts = store.facts(AttrId(id));
            let is = facts.is_some_and(|f| hops.binary_search(&f.next_hop).is_ok());
            left += if is { store.references(AttrId(id)) } else { 0 };
            is
        };
        let attrs = store.ids().map(by_hop).collect();
        Self { attrs, left }
    }

    fn holds(&self, attrs: AttrId) -> bool {
        self.attrs.get(attrs.0 as usize).is_some_and(|a| *a)
    }

    /// Whether a path is affected. Counts the references that it has.
    fn finds(&mut self, path: &Path) -> bool {
        let is = self.holds(path.attrs);
        let received = path.received != path.attrs && self.holds(path.received);
        self.left = self
            .left
            .saturating_sub(usize::from(is) + usize::from(received));
        is
    }
}

impl<P: Prefix> Plane<P> {
    /// Decides again wherever a path goes by a next hop that changed.
    pub(crate) fn next_hops_changed(&mut self, core: &mut Core, affected: &mut Affected) {
        // From the end: a next hop that is new has the routes that came last, and when all are found, it is over.
        let mut hits = Vec::new();
        for net in self.table.indices().rev() {
            if affected.left == 0 {
                break;
            }
            let mut hit = false;
            for path in self.table.paths_of(net) {
                hit |= self
                    .table
                    .path(path)
                    .is_some_and(|path| affected.finds(path));
            }
            if hit {
                hits.push(net);
            }
        }
        for net in hits.into_iter().rev() {
            self.decide(core, net, false);
        }
        let is_affected = |attrs: AttrId| affected.holds(attrs);
        // Who makes itself the next hop adds its cost to AIGP: what was told of these is no more true.
        let has_aigp = |attrs: AttrId| {
            let facts = core.store.facts(attrs);
            is_affected(attrs) && facts.is_some_and(|f| f.has(Has::Aigp))
        };
        let nets = if core.store.ids().any(|id| has_aigp(AttrId(id))) {
            self.nets_told(|attrs, _| has_aigp(attrs))
        } else {
            Vec::new()
        };
        for net in nets {
            self.say_again(core, net);
        }
    }

    /// What was told of the links to these next hops, which are sorted, is no more true.
    pub(crate) fn rates_changed(&mut self, core: &mut Core, hops: &[HopId]) {
        let by_hop = |attrs: AttrId| {
            let facts = core.store.facts(attrs);
            facts.is_some_and(|f| hops.binary_search(&f.next_hop).is_ok())
        };
        for net in self.nets_told(|attrs, _| by_hop(attrs)) {
            self.say_again(core, net);
        }
    }
}
