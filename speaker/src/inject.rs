//! Routes that clients put in through the API: owners, leases, atomic batches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use bgp_core::attributes::NextHop;
use ipnet::IpNet;
use rib::policy::RouteSource;
use rib::{LocalForwarding, LocalSource, NextHopKey, PeerId};
use smallvec::smallvec;

use crate::command::{Injected, Injection, InjectionBatch, Refusal};
use crate::event::Effect;
use crate::view::OwnerView;
use crate::{Notice, Speaker};

/// Numbers of owners among the RIB's sources begin here; peers come after [`OWNERS_MAX`] of them.
pub(crate) const OWNER_FIRST: u32 = 8;

/// Owners of injected routes, at most.
pub const OWNERS_MAX: u32 = 1024;
/// Injected routes of all owners, at most.
pub const INJECTED_MAX: usize = 262_144;
/// Changes in one batch, at most.
pub const BATCH_MAX: usize = 16_384;
/// Octets in an owner's name, at most.
pub const OWNER_LEN_MAX: usize = 64;
/// The longest lease.
pub const LEASE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Who injected what.
#[derive(Debug, Default)]
pub(crate) struct Injections {
    owners: BTreeMap<String, Owner>,
    count: usize,
}

/// A client of the API, with its routes.
#[derive(Debug)]
struct Owner {
    /// Its number among the RIB's sources.
    id: PeerId,
    lease: Option<Duration>,
    /// Its routes go then, unless it is heard again.
    expires: Option<Instant>,
    routes: BTreeMap<(IpNet, u32), Injection>,
}

impl Injections {
    /// When the next lease ends.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.owners.values().filter_map(|owner| owner.expires).min()
    }

    /// The owner with this number.
    pub(crate) fn owner_of(&self, id: PeerId) -> Option<&str> {
        self.owners
            .iter()
            .find(|(_, owner)| owner.id == id)
            .map(|(name, _)| name.as_str())
    }

    fn free_id(&self) -> PeerId {
        let taken: BTreeSet<u32> = self.owners.values().map(|owner| owner.id.0).collect();
        let free = (OWNER_FIRST..).find(|id| !taken.contains(id));
        PeerId(free.unwrap_or(OWNER_FIRST))
    }
}

impl Speaker {
    /// Carries out a batch: all of it, or nothing. Whatever it holds, it renews the owner's lease.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] names the field; [`Refusal::NotFound`] for a withdrawal of what is not there;
    /// [`Refusal::Exhausted`] names the bound.
    pub fn inject(
        &mut self,
        now: Instant,
        batch: InjectionBatch,
        out: &mut Vec<Effect>,
    ) -> Result<Injected, Refusal> {
        self.refuse_at_end()?;
        self.check_batch(&batch)?;
        let InjectionBatch {
            owner: name,
            lease,
            announce,
            withdraw,
            replace_all,
        } = batch;
        let mut gone: BTreeSet<_> = withdraw.into_iter().collect();
        if replace_all {
            gone.extend(self.routes_of(&name));
            for route in &announce {
                gone.remove(&route.key());
            }
        }
        let done = Injected {
            announced: announce.len(),
            withdrawn: gone.len(),
        };
        for key in gone {
            self.take_out(&name, key);
        }
        self.renew_lease(now, &name, lease);
        for route in announce {
            self.put_in(&name, route);
        }
        self.forget_idle_owner(&name);
        self.settle(now, out);
        Ok(done)
    }

    /// An owner says that it is still there.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if it has no routes: they may have expired.
    pub fn renew(&mut self, now: Instant, owner: &str) -> Result<(), Refusal> {
        let found = self.injections.owners.get_mut(owner);
        let owner = found.ok_or_else(|| Refusal::NotFound(format!("owner {owner}")))?;
        owner.expires = owner.lease.map(|lease| now + lease);
        Ok(())
    }

    /// The lease of an owner's routes, if it has one.
    #[must_use]
    pub fn lease_of(&self, owner: &str) -> Option<Duration> {
        self.injections.owners.get(owner)?.lease
    }

    /// Who injected what, by name.
    #[must_use]
    pub fn injections(&self, now: Instant) -> Vec<OwnerView> {
        let view = |(name, owner): (&String, &Owner)| OwnerView {
            owner: name.clone(),
            lease: owner.lease,
            lease_left: owner.expires.map(|at| at.saturating_duration_since(now)),
            routes: owner.routes.len(),
        };
        self.injections.owners.iter().map(view).collect()
    }

    fn check_batch(&self, batch: &InjectionBatch) -> Result<(), Refusal> {
        if batch.owner.is_empty() || batch.owner.len() > OWNER_LEN_MAX {
            return invalid("owner", "an owner's name has 1 to 64 octets");
        }
        let lease = batch.lease.unwrap_or(LEASE_MAX);
        if lease.is_zero() || lease > LEASE_MAX {
            let why = "a lease is longer than nothing and at most 7 days";
            return invalid("lease", why);
        }
        if batch.announce.len() + batch.withdraw.len() > BATCH_MAX {
            return exhausted(format!("a batch holds at most {BATCH_MAX} changes"));
        }
        let mut seen = BTreeSet::new();
        for (index, route) in batch.announce.iter().enumerate() {
            let field = |name| format!("announce[{index}].{name}");
            check_route(route).or_else(|(name, why)| invalid(field(name), why))?;
            if !seen.insert(route.key()) {
                return invalid(field("prefix"), "it is in the batch twice");
            }
        }
        let owner = self.injections.owners.get(&batch.owner);
        for (index, key) in batch.withdraw.iter().enumerate() {
            let field = format!("withdraw[{index}].prefix");
            if !seen.insert(*key) {
                return invalid(field, "it is in the batch twice");
            }
            if !owner.is_some_and(|owner| owner.routes.contains_key(key)) {
                let what = format!("{field}: {} of this owner", key.0);
                return Err(Refusal::NotFound(what));
            }
        }
        self.check_room(batch, owner)
    }

    fn check_room(&self, batch: &InjectionBatch, owner: Option<&Owner>) -> Result<(), Refusal> {
        if owner.is_none() && self.injections.owners.len() >= OWNERS_MAX as usize {
            return exhausted(format!("there are {OWNERS_MAX} owners already"));
        }
        let has = owner.map_or(0, |owner| owner.routes.len());
        let known =
            |route: &&Injection| owner.is_some_and(|owner| owner.routes.contains_key(&route.key()));
        let replaced = batch.announce.iter().filter(known).count();
        let stay = if batch.replace_all {
            0
        } else {
            has - batch.withdraw.len() - replaced
        };
        if self.injections.count - has + stay + batch.announce.len() > INJECTED_MAX {
            return exhausted(format!("at most {INJECTED_MAX} routes can be injected"));
        }
        Ok(())
    }

    /// The owner, who may be new, was heard now.
    fn renew_lease(&mut self, now: Instant, name: &str, lease: Option<Duration>) {
        if !self.injections.owners.contains_key(name) {
            let id = self.injections.free_id();
            self.rib.declare_local(id, RouteSource::Api);
            let owner = Owner {
                id,
                lease: None,
                expires: None,
                routes: BTreeMap::new(),
            };
            self.injections.owners.insert(name.to_owned(), owner);
        }
        if let Some(owner) = self.injections.owners.get_mut(name) {
            owner.lease = lease;
            owner.expires = lease.map(|lease| now + lease);
        }
    }

    fn routes_of(&self, owner: &str) -> Vec<(IpNet, u32)> {
        let owner = self.injections.owners.get(owner);
        owner
            .map(|owner| owner.routes.keys().copied().collect())
            .unwrap_or_default()
    }

    fn put_in(&mut self, name: &str, route: Injection) {
        let Some(owner) = self.injections.owners.get_mut(name) else {
            return;
        };
        let key = route.key();
        let source = LocalSource {
            peer: owner.id,
            path_id: route.path_id,
        };
        let forwarding = route.install.then(|| {
            let address = route.attributes.next_hop.addr();
            LocalForwarding::Via(smallvec![(
                NextHopKey {
                    address,
                    interface: None,
                    direct: false,
                },
                1
            )])
        });
        let told = (&route.attributes, route.tag);
        self.rib
            .announce_tagged(source, route.prefix, told, forwarding);
        if owner.routes.insert(key, route).is_none() {
            self.injections.count += 1;
        }
    }

    fn take_out(&mut self, name: &str, key: (IpNet, u32)) {
        let Some(owner) = self.injections.owners.get_mut(name) else {
            return;
        };
        let source = LocalSource {
            peer: owner.id,
            path_id: key.1,
        };
        if owner.routes.remove(&key).is_some() {
            self.injections.count -= 1;
            self.rib.withdraw_local(source, key.0);
        }
    }

    fn forget_idle_owner(&mut self, name: &str) {
        if self
            .injections
            .owners
            .get(name)
            .is_some_and(|owner| owner.routes.is_empty())
        {
            self.injections.owners.remove(name);
        }
    }

    pub(crate) fn expire_leases(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let expired = |owner: &Owner| owner.expires.is_some_and(|at| at <= now);
        let names: Vec<String> = self
            .injections
            .owners
            .iter()
            .filter(|(_, owner)| expired(owner))
            .map(|(name, _)| name.clone())
            .collect();
        for owner in names {
            let keys = self.routes_of(&owner);
            let routes = keys.len();
            for key in keys {
                self.take_out(&owner, key);
            }
            self.forget_idle_owner(&owner);
            out.push(Effect::Notice(Notice::LeaseExpired { owner, routes }));
        }
    }
}

/// What is wrong with a route of a batch: the field, and why.
fn check_route(route: &Injection) -> Result<(), (&'static str, &'static str)> {
    let next_hop = route.attributes.next_hop;
    if route.prefix != route.prefix.trunc() {
        return Err(("prefix", "it has bits beyond its length"));
    }
    if matches!((route.prefix, next_hop), (IpNet::V6(_), NextHop::V4(_))) {
        return Err(("next_hop", "an IPv6 route has an IPv6 next hop"));
    }
    if route.attributes.as_path.has_set() {
        return Err(("as_path", "AS_SET must not be announced (RFC 9774)"));
    }
    if route.install && is_ourselves(next_hop) {
        return Err(("next_hop", "to install it, it needs a next hop"));
    }
    Ok(())
}

fn invalid<T>(field: impl Into<String>, why: &str) -> Result<T, Refusal> {
    Err(Refusal::Invalid {
        field: field.into(),
        why: why.to_owned(),
    })
}

const fn exhausted<T>(bound: String) -> Result<T, Refusal> {
    Err(Refusal::Exhausted(bound))
}

/// A next hop that stands for ourselves.
pub(crate) const fn is_ourselves(next_hop: NextHop) -> bool {
    match next_hop {
        NextHop::V4(v4) => v4.is_unspecified(),
        NextHop::V6(v6) | NextHop::V6WithLinkLocal(v6, _) => v6.is_unspecified(),
    }
}

/// The next hop that stands for ourselves, for a prefix.
#[must_use]
pub const fn ourselves(prefix: IpNet) -> NextHop {
    match prefix {
        IpNet::V4(_) => NextHop::V4(Ipv4Addr::UNSPECIFIED),
        IpNet::V6(_) => NextHop::V6(Ipv6Addr::UNSPECIFIED),
    }
}
