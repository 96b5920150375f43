//! Next hops: who can be reached, at what cost (RFC 4271 §9.1.2.1). Routes refer to them by number.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgp_core::attributes::NextHop;
use bgp_core::{Ipv4Prefix, Ipv6Prefix, Prefix};
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::plane::hops::Affected;
use crate::rib::Rib;

/// What has to be resolved: an address, and the interface that scopes a link-local one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NextHopKey {
    /// The address.
    pub address: IpAddr,
    /// The interface's index.
    pub interface: Option<u32>,
    /// Routes of ours may not lead to it: it was told by an external peer one hop away (RFC 4271 §5.1.3).
    pub direct: bool,
}

/// Over which session a next hop was heard.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Over {
    /// The interface's index.
    pub(crate) interface: Option<u32>,
    /// The peer is external, and one hop away.
    pub(crate) direct: bool,
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

/// What is known of the way to a next hop.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Resolved {
    /// Its interior cost; `None`: there is no way.
    pub cost: Option<u64>,
    /// Routes of ours lead to it: what it would cost without each of them is what counts for paths to the same prefix, so
    /// that none depends on itself (RFC 4271 §9.1.2.1).
    pub without: Vec<(IpNet, Option<u64>)>,
    /// What arrives over the links to it when they are full, in bit/s, if that is known.
    pub rate: Option<u64>,
}

impl From<Option<u64>> for Resolved {
    fn from(cost: Option<u64>) -> Self {
        Self {
            cost,
            without: Vec::new(),
            rate: None,
        }
    }
}

/// For what a change of a next hop makes a difference.
#[derive(Debug, Default)]
pub(crate) struct Concerned {
    /// All paths by these.
    pub(crate) hops: SmallVec<[HopId; 2]>,
    /// The paths to these prefixes.
    pub(crate) prefixes: Vec<IpNet>,
    /// All paths by these, as far as anybody is told what their links carry.
    pub(crate) rated: SmallVec<[HopId; 2]>,
}

/// Refers to a next hop in the table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct HopId(pub(crate) u32);

#[derive(Debug)]
struct Entry {
    wire: NextHop,
    over: Over,
    key: NextHopKey,
    refs: u32,
}

/// The same as [`Reach`], for the decision's only look-up: a cost, or one of the constants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Glance(u64);

impl Glance {
    const UNKNOWN: Self = Self(u64::MAX);
    const UNREACHABLE: Self = Self(u64::MAX - 1);
    /// It depends on the prefix: the target knows.
    const DEPENDS: Self = Self(u64::MAX - 2);

    const fn of(cost: u64) -> Self {
        if cost < Self::DEPENDS.0 {
            Self(cost)
        } else {
            Self(Self::DEPENDS.0 - 1)
        }
    }

    #[inline]
    const fn cost(self) -> Option<u64> {
        if self.0 < Self::DEPENDS.0 {
            Some(self.0)
        } else {
            None
        }
    }
}

#[derive(Debug)]
struct Target {
    /// `None`: nobody has said yet.
    resolved: Option<Resolved>,
    /// Next hops on the wire that come to the same thing.
    entries: SmallVec<[u32; 2]>,
    told: bool,
}

impl Rib {
    /// What the resolver is to track from now on, or no more. Ask after each change.
    pub fn drain_next_hop_changes(&mut self) -> Vec<NextHopChange> {
        self.core.store.next_hops.drain()
    }

    /// Whether `key` can be reached, and at what interior cost. Decides again wherever it makes a difference, at once.
    pub fn set_next_hop(&mut self, key: NextHopKey, resolved: impl Into<Resolved>) {
        self.set_next_hops([(key, resolved)]);
    }

    /// The same for several that change together: the tables are looked through once, whatever their number.
    pub fn set_next_hops<R: Into<Resolved>>(
        &mut self,
        changes: impl IntoIterator<Item = (NextHopKey, R)>,
    ) {
        let mut all = Concerned::default();
        for (key, resolved) in changes {
            let concerned = self.core.store.next_hops.set(key, resolved.into());
            all.hops.extend(concerned.hops);
            all.prefixes.extend(concerned.prefixes);
            all.rated.extend(concerned.rated);
        }
        let Concerned {
            mut hops,
            prefixes,
            mut rated,
        } = all;
        let core = &mut self.core;
        for net in prefixes {
            if let Some(prefix) = Ipv4Prefix::from_net(net) {
                self.ipv4.decide_prefix(core, prefix);
            } else if let Some(prefix) = Ipv6Prefix::from_net(net) {
                self.ipv6.decide_prefix(core, prefix);
            }
        }
        if !hops.is_empty() {
            hops.sort_unstable();
            let mut affected = Affected::by(&hops, &core.store);
            self.ipv4.next_hops_changed(core, &mut affected);
            self.ipv6.next_hops_changed(core, &mut affected);
        }
        if !rated.is_empty() && core.peers.any_told_bandwidth() {
            rated.sort_unstable();
            self.ipv4.rates_changed(core, &rated);
            self.ipv6.rates_changed(core, &rated);
        }
    }
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct NextHops {
    /// An unknown next hop counts as reachable at no cost.
    pub(crate) assume_reachable: bool,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    index: BTreeMap<(NextHop, Over), u32>,
    targets: BTreeMap<NextHopKey, Target>,
    /// What each entry's target says, by entry.
    glances: Vec<Glance>,
    /// Keys whose tracking may have to change; each at most once per drain.
    touched: Vec<NextHopKey>,
}

impl NextHops {
    /// The number of a next hop as a route has it, and as it was heard. Counts a reference.
    pub(crate) fn intern(&mut self, wire: NextHop, over: Over) -> HopId {
        let over = Over {
            interface: over.interface.filter(|_| link_local(wire).is_some()),
            direct: over.direct && !wire.addr().is_unspecified(),
        };
        if let Some(&id) = self.index.get(&(wire, over)) {
            self.acquire(HopId(id));
            return HopId(id);
        }
        let key = key_of(wire, over);
        let entry = Some(Entry {
            wire,
            over,
            key,
            refs: 1,
        });
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(slot) = self.entries.get_mut(id as usize) {
                    *slot = entry;
                }
                id
            }
            None => {
                self.entries.push(entry);
                self.glances.push(Glance::UNKNOWN);
                u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.index.insert((wire, over), id);
        let is_new = !self.targets.contains_key(&key);
        let target = self.targets.entry(key).or_insert_with(|| Target {
            resolved: None,
            entries: SmallVec::new(),
            told: false,
        });
        target.entries.push(id);
        if key.address.is_unspecified() {
            // Ourselves: there is nothing to resolve.
            target.resolved = Some(Some(0).into());
        }
        if let Some(slot) = self.glances.get_mut(id as usize) {
            *slot = glance(target.resolved.as_ref());
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
        let (wire, over, key) = (entry.wire, entry.over, entry.key);
        *slot = None;
        self.free.push(id.0);
        self.index.remove(&(wire, over));
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

    /// Over which session it was heard, as far as that matters.
    pub(crate) fn over(&self, id: HopId) -> Over {
        self.entry(id).map(|entry| entry.over).unwrap_or_default()
    }

    /// Whether it can be reached, by a path to `prefix`.
    pub(crate) fn reach(&self, id: HopId, prefix: impl Into<IpNet>) -> Reach {
        let glance = self.glance(id);
        if glance == Glance::UNKNOWN {
            return Reach::Unknown;
        }
        let cost = glance.cost();
        let cost = cost.or_else(|| self.cost_for(id, || Some(prefix.into())));
        cost.map_or(Reach::Unreachable, Reach::Reachable)
    }

    /// The interior cost for a path to `prefix`; `None`: it is not eligible (RFC 4271 §9.1.2.1).
    #[inline]
    pub(crate) fn cost(&self, id: HopId, prefix: impl Into<IpNet>) -> Option<u64> {
        self.cost_of(id, || Some(prefix.into()))
    }

    /// The same where the prefix would have to be looked up, which is needed but seldom.
    #[inline]
    pub(crate) fn cost_of(&self, id: HopId, prefix: impl FnOnce() -> Option<IpNet>) -> Option<u64> {
        let glance = self.glance(id);
        match glance.cost() {
            Some(cost) => Some(cost),
            None if glance == Glance::UNKNOWN => self.assume_reachable.then_some(0),
            None => self.cost_for(id, prefix),
        }
    }

    /// What arrives over the links to it when they are full, in bit/s, if that is known.
    pub(crate) fn rate(&self, id: HopId) -> Option<u64> {
        self.targets.get(&self.key(id)?)?.resolved.as_ref()?.rate
    }

    /// Whether its cost may be another one for each prefix.
    pub(crate) fn depends(&self, id: HopId) -> bool {
        self.glance(id) == Glance::DEPENDS
    }

    #[inline]
    fn glance(&self, id: HopId) -> Glance {
        let glance = self.glances.get(id.0 as usize);
        glance.copied().unwrap_or(Glance::UNKNOWN)
    }

    #[cold]
    #[inline(never)]
    fn cost_for(&self, id: HopId, prefix: impl FnOnce() -> Option<IpNet>) -> Option<u64> {
        let prefix = prefix()?;
        let resolved = self.targets.get(&self.key(id)?)?.resolved.as_ref()?;
        let itself = resolved.without.iter().find(|(net, _)| *net == prefix);
        itself.map_or(resolved.cost, |(_, without)| *without)
    }

    /// Notes what is known about `key` now. Says for which paths it makes a difference.
    pub(crate) fn set(&mut self, key: NextHopKey, resolved: Resolved) -> Concerned {
        let mut concerned = Concerned::default();
        let target = self.targets.get_mut(&key);
        let Some(target) = target.filter(|_| !key.address.is_unspecified()) else {
            return concerned;
        };
        // While nobody had said anything, what is assumed held.
        let assumed = || self.assume_reachable.then_some(0).into();
        let before = target.resolved.take().unwrap_or_else(assumed);
        if before.cost != resolved.cost {
            concerned.hops = target.entries.iter().map(|entry| HopId(*entry)).collect();
        } else {
            let differs = |one: &Resolved, other: &Resolved| {
                let one = one.without.iter();
                let only = one.filter(|without| !other.without.contains(without));
                only.map(|(prefix, _)| *prefix).collect::<Vec<_>>()
            };
            concerned.prefixes = differs(&before, &resolved);
            concerned.prefixes.extend(differs(&resolved, &before));
            concerned.prefixes.sort_unstable();
            concerned.prefixes.dedup();
        }
        if before.rate != resolved.rate {
            concerned.rated = target.entries.iter().map(|entry| HopId(*entry)).collect();
        }
        target.resolved = Some(resolved);
        for entry in &target.entries {
            if let Some(slot) = self.glances.get_mut(*entry as usize) {
                *slot = glance(target.resolved.as_ref());
            }
        }
        concerned
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

fn glance(resolved: Option<&Resolved>) -> Glance {
    match resolved {
        None => Glance::UNKNOWN,
        Some(resolved) if !resolved.without.is_empty() => Glance::DEPENDS,
        Some(resolved) => resolved.cost.map_or(Glance::UNREACHABLE, Glance::of),
    }
}

fn key_of(wire: NextHop, over: Over) -> NextHopKey {
    let Over { interface, direct } = over;
    let global = match wire {
        NextHop::V4(address) => address.into(),
        NextHop::V6(address) | NextHop::V6WithLinkLocal(address, _) => IpAddr::V6(address),
    };
    // RFC 2545 §3: on the shared link packets go to the link-local address.
    match (interface, link_local(wire)) {
        (Some(_), Some(address)) => NextHopKey {
            address,
            interface,
            direct,
        },
        (None, _) | (_, None) => NextHopKey {
            address: global,
            interface: None,
            direct,
        },
    }
}
