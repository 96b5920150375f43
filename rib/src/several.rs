//! What a group was told that is told several paths a prefix (RFC 7911), or one of several: for each net a list of
//! paths, each under its Path Identifier.

use smallvec::SmallVec;

use crate::attribute_store::AttrId;
use crate::peer::PeerId;
use crate::slab::{Chunks, Slab};

/// No path.
const NONE: u32 = u32::MAX;
/// The net has not been looked at yet.
const NEW: u32 = u32::MAX - 1;
/// In place of attributes: who knows what was told; it must be said again, be it a withdrawal.
const UNKNOWN: AttrId = AttrId(u32::MAX);

/// A path that was told. The group holds a reference to the attributes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ToldPath {
    /// The Path Identifier.
    pub(crate) number: u32,
    attrs: AttrId,
    pub(crate) source: PeerId,
}

impl ToldPath {
    pub(crate) const fn new(number: u32, attrs: AttrId, source: PeerId) -> Self {
        Self {
            number,
            attrs,
            source,
        }
    }

    /// The attributes and the source, if it is known what was told.
    pub(crate) fn get(self) -> Option<(AttrId, PeerId)> {
        (self.attrs != UNKNOWN).then_some((self.attrs, self.source))
    }

    /// Whose it is, if it is known what was told. If not, the source may be another by now that has the same number.
    pub(crate) fn of(self) -> Option<PeerId> {
        self.get().map(|(_, source)| source)
    }

    /// The same, to be said again.
    pub(crate) const fn unknown(self) -> Self {
        Self {
            attrs: UNKNOWN,
            ..self
        }
    }
}

/// The paths of a net, in the order of the decision.
pub(crate) type ToldPaths = SmallVec<[ToldPath; 8]>;

#[derive(Clone, Copy, Debug)]
struct Head {
    first: u32,
    /// The largest Path Identifier that was ever told. Who is behind does not know of a larger one.
    highest: u32,
}

/// See the module. Eight octets a net, and sixteen a path.
#[derive(Debug)]
pub(crate) struct Several {
    heads: Chunks<Head>,
    paths: Slab<(u32, ToldPath)>,
}

impl Several {
    /// Of a table of `nets`, none of which has been looked at.
    pub(crate) fn new(nets: u32) -> Self {
        let mut heads = Chunks::default();
        let first = NEW;
        heads.grow(nets, Head { first, highest: 0 });
        Self {
            heads,
            paths: Slab::default(),
        }
    }

    /// Nothing was told of the net, and nobody has looked whether there is something.
    pub(crate) fn is_new(&self, net: u32) -> bool {
        self.heads.get(net).is_some_and(|head| head.first == NEW)
    }

    /// The largest Path Identifier that anybody may know of the net; zero if there is none.
    pub(crate) fn highest(&self, net: u32) -> u32 {
        self.heads.get(net).map_or(0, |head| head.highest)
    }

    /// What was told of a net.
    pub(crate) fn told(&self, net: u32) -> ToldPaths {
        self.iter(net).collect()
    }

    /// All that was told.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, ToldPath)> {
        let nets = self.heads.indices();
        nets.flat_map(|net| self.iter(net).map(move |told| (net, told)))
    }

    /// Puts in what is told from now on, and gives what was told before.
    pub(crate) fn replace(&mut self, net: u32, told: &[ToldPath]) -> ToldPaths {
        let first = NONE;
        self.heads.grow(net + 1, Head { first, highest: 0 });
        let old = self.told(net);
        let mut next = self.heads.get(net).map_or(NONE, |head| head.first);
        while let Some((after, _)) = self.paths.get(next) {
            let after = *after;
            self.paths.free(next);
            next = after;
        }
        let mut first = NONE;
        for path in told.iter().rev() {
            first = self.paths.insert((first, *path));
        }
        if let Some(head) = self.heads.get_mut(net) {
            let highest = told.iter().map(|path| path.number).max();
            head.first = first;
            head.highest = head.highest.max(highest.unwrap_or_default());
        }
        old
    }

    pub(crate) fn memory(&self) -> usize {
        self.heads.memory() + self.paths.memory()
    }

    fn iter(&self, net: u32) -> impl Iterator<Item = ToldPath> {
        let mut next = self.heads.get(net).map_or(NONE, |head| head.first);
        std::iter::from_fn(move || {
            let (after, told) = self.paths.get(next)?;
            next = *after;
            Some(*told)
        })
    }
}
