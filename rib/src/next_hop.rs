//! Next hops: who can be reached, at what cost (RFC 4271 §9.1.2.1). Routes refer to them by number.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgp_core::attributes::NextHop;
use smallvec::SmallVec;

/// What has to be resolved: an address, and the interface that scopes a link-local one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NextHopKey {
    /// The address.
    pub address: IpAddr,
    /// The interface's index.
    pub interface: Option<u32>,
}

/// What the one who resolves next hops has to know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NextHopChange {
    /// Routes depend on it: resolve it, and tell each change with [`Rib::set_next_hop`](crate::Rib::set_next_hop).
    Track(NextHopKey),
    /// No route depends on it any more.
    Untrack(NextHopKey),
}

/// Whether a next hop can be reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach {
    /// Nobody has said yet.
    Unknown,
    /// There is no way.
    Unreachable,
    /// There is, at this interior cost.
    Reachable(u64),
}

/// Refers to a next hop in the table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct HopId(pub(crate) u32);

#[derive(Debug)]
struct Entry {
    wire: NextHop,
    key: NextHopKey,
    refs: u32,
}

#[derive(Debug)]
struct Target {
    reach: Reach,
    /// Next hops on the wire that come to the same thing.
    entries: SmallVec<[u32; 2]>,
    told: bool,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct NextHops {
    /// An unknown next hop counts as reachable at no cost.
    pub(crate) assume_reachable: bool,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    index: BTreeMap<(NextHop, Option<u32>), u32>,
    targets: BTreeMap<NextHopKey, Target>,
    /// What each entry's target says, by entry: the decision's only look-up.
    reach: Vec<Reach>,
    /// Keys whose tracking may have to change; each at most once per drain.
    touched: Vec<NextHopKey>,
}

impl NextHops {
    /// The number of a next hop as a route has it, heard over `interface`. Counts a reference.
    pub(crate) fn intern(&mut self, wire: NextHop, interface: Option<u32>) -> HopId {
        let interface = interface.filter(|_| link_local(wire).is_some());
        if let Some(&id) = self.index.get(&(wire, interface)) {
            self.acquire(HopId(id));
            return HopId(id);
        }
        let key = key_of(wire, interface);
        let entry = Some(Entry { wire, key, refs: 1 });
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(slot) = self.entries.get_mut(id as usize) {
                    *slot = entry;
                }
                id
            }
            None => {
                self.entries.push(entry);
                self.reach.push(Reach::Unknown);
                u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.index.insert((wire, interface), id);
        let is_new = !self.targets.contains_key(&key);
        let target = self.targets.entry(key).or_insert_with(|| Target {
            reach: Reach::Unknown,
            entries: SmallVec::new(),
            told: false,
        });
        target.entries.push(id);
        if key.address.is_unspecified() {
            // Ourselves: there is nothing to resolve.
            target.reach = Reach::Reachable(0);
        }
        if let Some(slot) = self.reach.get_mut(id as usize) {
            *slot = target.reach;
        }
        if is_new {
            self.touch(key);
        }
        HopId(id)
    }

    pub(crate) fn acquire(&mut self, id: HopId) {
        if let Some(Some(entry)) = self.entries.get_mut(id.0 as usize) {
            entry.refs += 1;
        }
    }

    pub(crate) fn release(&mut self, id: HopId) {
        let Some(slot) = self.entries.get_mut(id.0 as usize) else {
            return;
        };
        let Some(entry) = slot else { return };
        entry.refs -= 1;
        if entry.refs > 0 {
            return;
        }
        let (wire, key) = (entry.wire, entry.key);
        *slot = None;
        self.free.push(id.0);
        let interface = key.interface;
        self.index.remove(&(wire, interface));
        if let Some(target) = self.targets.get_mut(&key) {
            target.entries.retain(|e| *e != id.0);
            if target.entries.is_empty() {
                self.touch(key);
            }
        }
    }

    fn touch(&mut self, key: NextHopKey) {
        if self.touched.len() > 2 * self.targets.len() {
            self.touched.sort_unstable();
            self.touched.dedup();
        }
        self.touched.push(key);
    }

    /// What the attribute said.
    pub(crate) fn wire(&self, id: HopId) -> NextHop {
        self.entry(id)
            .map_or(NextHop::V4([0; 4].into()), |entry| entry.wire)
    }

    /// What has to be resolved.
    pub(crate) fn key(&self, id: HopId) -> Option<NextHopKey> {
        self.entry(id).map(|entry| entry.key)
    }

    /// Whether it can be reached.
    pub(crate) fn reach(&self, id: HopId) -> Reach {
        self.reach
            .get(id.0 as usize)
            .copied()
            .unwrap_or(Reach::Unknown)
    }

    /// The interior cost; `None`: its routes are not eligible (RFC 4271 §9.1.2.1).
    pub(crate) fn cost(&self, id: HopId) -> Option<u64> {
        match self.reach(id) {
            Reach::Reachable(cost) => Some(cost),
            Reach::Unknown if self.assume_reachable => Some(0),
            Reach::Unknown | Reach::Unreachable => None,
        }
    }

    /// Notes what is known about `key` now. Returns the entries for which it makes a difference.
    pub(crate) fn set(&mut self, key: NextHopKey, reach: Reach) -> SmallVec<[HopId; 2]> {
        match self.targets.get_mut(&key) {
            Some(target) if target.reach != reach && !key.address.is_unspecified() => {
                target.reach = reach;
                for entry in &target.entries {
                    if let Some(slot) = self.reach.get_mut(*entry as usize) {
                        *slot = reach;
                    }
                }
                target.entries.iter().map(|entry| HopId(*entry)).collect()
            }
            Some(_) | None => SmallVec::new(),
        }
    }

    /// What changed since the last call. Bounded by the next hops in use, before and now.
    pub(crate) fn drain(&mut self) -> Vec<NextHopChange> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let mut changes = Vec::new();
        for key in touched {
            let Some(target) = self.targets.get_mut(&key) else {
                continue;
            };
            if !target.entries.is_empty() {
                if !target.told && !key.address.is_unspecified() {
                    target.told = true;
                    changes.push(NextHopChange::Track(key));
                }
            } else {
                if target.told {
                    changes.push(NextHopChange::Untrack(key));
                }
                self.targets.remove(&key);
            }
        }
        changes
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    fn entry(&self, id: HopId) -> Option<&Entry> {
        self.entries.get(id.0 as usize)?.as_ref()
    }
}

fn link_local(wire: NextHop) -> Option<IpAddr> {
    match wire {
        NextHop::V6(address) if address.is_unicast_link_local() => Some(address.into()),
        NextHop::V6WithLinkLocal(_, link_local) => Some(link_local.into()),
        NextHop::V4(_) | NextHop::V6(_) => None,
    }
}

fn key_of(wire: NextHop, interface: Option<u32>) -> NextHopKey {
    let global = match wire {
        NextHop::V4(address) => address.into(),
        NextHop::V6(address) | NextHop::V6WithLinkLocal(address, _) => IpAddr::V6(address),
    };
    // RFC 2545 §3: on the shared link packets go to the link-local address.
    match (interface, link_local(wire)) {
        (Some(_), Some(address)) => NextHopKey { address, interface },
        (None, _) | (_, None) => NextHopKey {
            address: global,
            interface: None,
        },
    }
}
