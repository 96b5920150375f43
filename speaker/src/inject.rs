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
pub(crate) const OWNER_FIRST: u32 = 2;

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
        self.check_batch(&batch)?;
        let mut done = Injected::default();
        let InjectionBatch {
            owner: name,
            lease,
            announce,
            withdraw,
            replace_all,
        } = batch;
        let mut gone = withdraw;
        if replace_all {
            gone.extend(
                self.routes_of(&name)
                    .filter(|key| !announce.iter().any(|r| (r.prefix, r.path_id) == *key)),
            );
        }
        for key in gone {
            done.withdrawn += usize::from(self.take_out(&name, key));
        }
        let id = self.injections.free_id();
        let owner = self
            .injections
            .owners
            .entry(name.clone())
            .or_insert_with(|| Owner {
                id,
                lease: None,
                expires: None,
                routes: BTreeMap::new(),
            });
        owner.lease = lease;
        owner.expires = lease.map(|lease| now + lease);
        let id = owner.id;
        self.rib.declare_local(id, RouteSource::Api);
        for route in announce {
            self.put_in(&name, route);
            done.announced += 1;
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
        let invalid = |field: String, why: &str| {
            Err(Refusal::Invalid {
                field,
                why: why.to_owned(),
            })
        };
        if batch.owner.is_empty() || batch.owner.len() > OWNER_LEN_MAX {
            return invalid("owner".to_owned(), "an owner's name has 1 to 64 octets");
        }
        if batch
            .lease
            .is_some_and(|lease| lease.is_zero() || lease > LEASE_MAX)
        {
            return invalid(
                "lease".to_owned(),
                "a lease is longer than nothing and at most 7 days",
            );
        }
        if batch.announce.len() + batch.withdraw.len() > BATCH_MAX {
            return Err(Refusal::Exhausted(format!(
                "a batch holds at most {BATCH_MAX} changes"
            )));
        }
        let owner = self.injections.owners.get(&batch.owner);
        if owner.is_none() && self.injections.owners.len() >= OWNERS_MAX as usize {
            return Err(Refusal::Exhausted(format!(
                "there are {OWNERS_MAX} owners already"
            )));
        }
        if self.injections.count + batch.announce.len() > INJECTED_MAX {
            return Err(Refusal::Exhausted(format!(
                "at most {INJECTED_MAX} routes can be injected"
            )));
        }
        let mut seen = BTreeSet::new();
        for (index, route) in batch.announce.iter().enumerate() {
            if route.prefix != route.prefix.trunc() {
                return invalid(
                    format!("announce[{index}].prefix"),
                    "it has bits beyond its length",
                );
            }
            if !seen.insert((route.prefix, route.path_id)) {
                return invalid(
                    format!("announce[{index}].prefix"),
                    "it is in the batch twice",
                );
            }
            if route.install && is_ourselves(route.attributes.next_hop) {
                return invalid(
                    format!("announce[{index}].next_hop"),
                    "to install it, it needs a next hop",
                );
            }
        }
        for (index, key) in batch.withdraw.iter().enumerate() {
            if !seen.insert(*key) {
                return invalid(
                    format!("withdraw[{index}].prefix"),
                    "it is in the batch twice",
                );
            }
            if !owner.is_some_and(|owner| owner.routes.contains_key(key)) {
                return Err(Refusal::NotFound(format!(
                    "withdraw[{index}].prefix: {} of this owner",
                    key.0
                )));
            }
        }
        Ok(())
    }

    fn routes_of(&self, owner: &str) -> impl Iterator<Item = (IpNet, u32)> + use<> {
        let routes = self
            .injections
            .owners
            .get(owner)
            .map(|owner| owner.routes.keys().copied().collect::<Vec<_>>());
        routes.unwrap_or_default().into_iter()
    }

    fn put_in(&mut self, name: &str, route: Injection) {
        let Some(owner) = self.injections.owners.get_mut(name) else {
            return;
        };
        let key = (route.prefix, route.path_id);
        let source = LocalSource {
            peer: owner.id,
            path_id: route.path_id,
        };
        let forwarding = route.install.then(|| {
            let address = route.attributes.next_hop.addr();
            LocalForwarding::Via(smallvec![(
                NextHopKey {
                    address,
                    interface: None
                },
                1
            )])
        });
        self.rib
            .announce_local(source, route.prefix, &route.attributes, forwarding);
        if owner.routes.insert(key, route).is_none() {
            self.injections.count += 1;
        }
    }

    fn take_out(&mut self, name: &str, key: (IpNet, u32)) -> bool {
        let Some(owner) = self.injections.owners.get_mut(name) else {
            return false;
        };
        let source = LocalSource {
            peer: owner.id,
            path_id: key.1,
        };
        let found = owner.routes.remove(&key).is_some();
        if found {
            self.injections.count -= 1;
            self.rib.withdraw_local(source, key.0);
        }
        found
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
            let keys: Vec<_> = self.routes_of(&owner).collect();
            let routes = keys.len();
            for key in keys {
                self.take_out(&owner, key);
            }
            self.forget_idle_owner(&owner);
            out.push(Effect::Notice(Notice::LeaseExpired { owner, routes }));
        }
    }
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
