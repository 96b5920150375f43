//! Routes of our own: originated, static, injected.

use std::collections::BTreeMap;

use ipnet::IpNet;
use smallvec::SmallVec;

use crate::next_hop::NextHopKey;
use crate::peer::PeerId;

/// Who owns a local route: a number of its own among those of the peers. An owner may have several paths to a prefix.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct LocalSource {
    /// The number.
    pub peer: PeerId,
    /// Tells apart its paths to one prefix.
    pub path_id: u32,
}

/// How the kernel forwards packets of a local route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LocalForwarding {
    /// By these next hops, with their weights, `1..=255`.
    Via(SmallVec<[(NextHopKey, u8); 2]>),
    /// Packets are dropped silently.
    Blackhole,
    /// Packets are refused with ICMP.
    Unreachable,
    /// Packets are refused with ICMP, as forbidden.
    Prohibit,
}

/// The forwarding of local routes that have one.
#[derive(Debug, Default)]
pub(crate) struct LocalRoutes(BTreeMap<(IpNet, LocalSource), LocalForwarding>);

impl LocalRoutes {
    pub(crate) fn get(&self, prefix: IpNet, source: LocalSource) -> Option<&LocalForwarding> {
        self.0.get(&(prefix, source))
    }

    /// Returns whether it is another than before.
    pub(crate) fn set(
        &mut self,
        prefix: IpNet,
        source: LocalSource,
        forwarding: Option<LocalForwarding>,
    ) -> bool {
        match forwarding {
            Some(forwarding) => {
                let old = self.0.insert((prefix, source), forwarding);
                old.as_ref() != self.0.get(&(prefix, source))
            }
            None => self.0.remove(&(prefix, source)).is_some(),
        }
    }
}
