//! A walk over all accepted paths, in pieces: what a table dump writes. Nothing waits for the walker: a place in it is
//! two numbers, and holds nothing.

use bgp_core::Prefix;
use bgp_core::attributes::NextHop;

use crate::peer::PeerId;
use crate::plane::Plane;
use crate::rib::{Core, Rib};

/// A place in the walk. A route that stays while it is walked is met once; one that comes or goes meanwhile may be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DumpCursor {
    /// All of IPv4 was seen.
    pub(crate) ipv6: bool,
    pub(crate) net: u32,
}

/// A path that import policy and the RFC's checks let pass.
#[derive(Clone, Copy, Debug)]
pub struct DumpPath<'a> {
    /// Who told it.
    pub peer: PeerId,
    /// Its Path Identifier.
    pub path_id: u32,
    /// Its attributes after import policy, as [`bgp_core::update::encode_attributes`] writes them, AS numbers with four
    /// octets.
    pub block: &'a [u8],
    /// Its next hop.
    pub next_hop: NextHop,
}

/// Takes what a walk meets.
pub trait DumpSink {
    /// A prefix with its accepted paths, at least one.
    fn net<P: Prefix>(&mut self, prefix: P, paths: &[DumpPath<'_>]);
}

impl Rib {
    /// Walks on over at most `max` places of the tables. False: that was the end.
    pub fn dump(&self, cursor: &mut DumpCursor, max: u32, sink: &mut impl DumpSink) -> bool {
        if !cursor.ipv6 {
            if self.ipv4.walk_paths(&self.core, &mut cursor.net, max, sink) {
                return true;
            }
            *cursor = DumpCursor { ipv6: true, net: 0 };
            return true;
        }
        self.ipv6.walk_paths(&self.core, &mut cursor.net, max, sink)
    }
}

impl<P: Prefix> Plane<P> {
    fn walk_paths(&self, core: &Core, at: &mut u32, max: u32, sink: &mut impl DumpSink) -> bool {
        let all = self.table.indices().end;
        let to = all.min(at.saturating_add(max));
        let mut paths = Vec::new();
        for index in *at..to {
            let Some(net) = self.table.net(index).filter(|net| net.is_live()) else {
                continue;
            };
            paths.clear();
            let of_net = self.table.paths_of(index);
            paths.extend(of_net.filter_map(|path| {
                let path = self.table.path(path)?;
                let (block, next_hop) = core.store.encoded(path.attrs)?;
                path.flags().accepted().then_some(DumpPath {
                    peer: path.peer(),
                    path_id: path.path_id,
                    block,
                    next_hop,
                })
            }));
            if !paths.is_empty() {
                sink.net(net.prefix, &paths);
            }
        }
        *at = to;
        to < all
    }
}
