//! The RIB: both families, all peers, one way in for each kind of event.

use std::net::Ipv4Addr;
use std::ops::AddAssign;
use std::sync::Arc;

use bgp_core::attributes::NextHop;
use bgp_core::family::PerFamily;
use bgp_core::update::{AttributeFault, Nlri, Update, decode};
use bgp_core::{Attributes, Family, Ipv4Prefix, Ipv6Prefix, Prefix, Reset};
use bytes::Bytes;
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::aggregate::{Aggregate, Summaries};
use crate::attribute_store::{AttributeStore, Has, originator};
use crate::decision::{Candidate, Class, Multipath};
use crate::export::View;
use crate::forwarding::Forwarding;
use crate::import::{import_context, shuts_down};
use crate::local::{LocalForwarding, LocalRoutes, LocalSource};
use crate::next_hop::Over;
use crate::peer::{Kind, PeerId, PeerSession, Peers};
use crate::plane::{Arrival, Plane};
use crate::policy::{Chain, Placement, Policies, RouteSource};
use crate::table::{Flags, Path};

/// What holds for all peers.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Our AS number.
    pub local_asn: u32,
    /// BGP Identifier.
    pub identifier: Ipv4Addr,
    /// RFC 4456 §7.
    pub cluster_id: Ipv4Addr,
    /// What a client told is reflected to the others (RFC 4456 §6). Views are made anew by [`Rib::update_peer`].
    pub client_to_client: bool,
    /// Which paths may share the traffic.
    pub multipath: Multipath,
    /// Seeds the hashes, so that nobody can aim at them. Taken when the RIB is made.
    pub seed: u64,
    /// Next hops of which nobody has said anything count as reachable at no cost: where no kernel resolves them.
    pub assume_reachable: bool,
    /// There is a FIB that reads [`Rib::fib_next`]. Taken when the RIB is made.
    pub fib: bool,
}

/// Prefixes of a malformed UPDATE that are named where it is reported, at most.
pub const MALFORMED_SHOWN: usize = 100;

/// What an UPDATE did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Received {
    /// Prefixes announced, those that were to be withdrawn not counted.
    pub announced: usize,
    /// Prefixes withdrawn, those that had not been announced too.
    pub withdrawn: usize,
    /// Attributes that were wrong (RFC 7606).
    pub faults: SmallVec<[AttributeFault; 1]>,
    /// The announced prefixes were withdrawn instead (RFC 7606 §2).
    pub treat_as_withdraw: bool,
    /// Prefixes of a malformed UPDATE, the first [`MALFORMED_SHOWN`] of them.
    pub malformed: Vec<IpNet>,
    /// The peer has told all it knows of a family (RFC 4724 §2).
    pub end_of_rib: Option<Family>,
    /// Prefixes of the peer in all its Adj-RIBs-In now.
    pub prefixes: u32,
}

/// How large things are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Prefixes with a best route.
    pub routes: PerFamily<usize>,
    /// Paths of all peers, and our own.
    pub paths: usize,
    /// Distinct attribute sets in use.
    pub attribute_sets: usize,
    /// Next hops in use.
    pub next_hops: usize,
    /// Update groups.
    pub groups: usize,
    /// Octets of memory, about: tables, attributes and what groups were told.
    pub memory: usize,
}

/// What both families share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) policies: Arc<Policies>,
    pub(crate) peers: Peers,
    pub(crate) store: AttributeStore,
    pub(crate) local: LocalRoutes,
    /// What may enter the kernel, and where.
    pub(crate) fib: Chain,
    pub(crate) aggregates: Vec<Aggregate>,
    pub(crate) summaries: Summaries,
}

/// The RIB.
#[derive(Debug)]
pub struct Rib {
    pub(crate) core: Core,
    pub(crate) ipv4: Plane<Ipv4Prefix>,
    pub(crate) ipv6: Plane<Ipv6Prefix>,
}

/// Does the same for each family.
macro_rules! both {
    ($rib:ident, |$plane:ident, $core:ident| $body:expr) => {{
        let Rib {
            core: $core,
            ipv4,
            ipv6,
        } = $rib;
        let v4 = {
            let $plane = ipv4;
            $body
        };
        let v6 = {
            let $plane = ipv6;
            $body
        };
        PerFamily { ipv4: v4, ipv6: v6 }
    }};
}

/// Does it for the family of a prefix.
macro_rules! of_net {
    ($rib:ident, $net:expr, |$plane:ident, $core:ident, $prefix:ident| $body:expr) => {{
        let Rib {
            core: $core,
            ipv4,
            ipv6,
        } = $rib;
        if let Some($prefix) = Ipv4Prefix::from_net($net) {
            let $plane = ipv4;
            Some($body)
        } else if let Some($prefix) = Ipv6Prefix::from_net($net) {
            let $plane = ipv6;
            Some($body)
        } else {
            None
        }
    }};
}

impl Rib {
    /// An empty one.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut store = AttributeStore::new(config.seed);
        store.next_hops.assume_reachable = config.assume_reachable;
        Self {
            ipv4: Plane::new(config.seed, config.fib),
            ipv6: Plane::new(config.seed, config.fib),
            core: Core {
                policies: Arc::default(),
                peers: Peers::default(),
                store,
                local: LocalRoutes::default(),
                fib: Chain::accept_all(),
                aggregates: Vec::new(),
                summaries: Summaries::default(),
                config,
            },
        }
    }

    /// Other rules for all. What they change is decided again. A change of AS, identifier or cluster is judged when
    /// routes come in again: reset the sessions.
    pub fn set_config(&mut self, config: Config) {
        let old = std::mem::replace(&mut self.core.config, config);
        let new = &self.core.config;
        self.core.store.next_hops.assume_reachable = new.assume_reachable;
        if (old.multipath, old.assume_reachable) != (new.multipath, new.assume_reachable) {
            both!(self, |plane, core| plane.decide_all(core));
        }
    }

    /// The compiled policies that chains refer to. It judges nothing by itself: [`Rib::update_peer`] does.
    pub fn set_policies(&mut self, policies: Arc<Policies>) {
        self.core.policies = policies;
    }

    /// A session came up: the peer will be told all, then End-of-RIB, in each family agreed on.
    pub fn peer_up(&mut self, peer: PeerId, session: PeerSession) {
        self.peer_down(peer);
        self.core.peers.up(peer, session);
        both!(self, |plane, core| {
            plane.source_changed(core, peer);
            plane.join_if_agreed(core, peer);
        });
    }

    /// A session ended: the peer's routes go.
    pub fn peer_down(&mut self, peer: PeerId) {
        both!(self, |plane, core| {
            plane.leave(core, peer);
            plane.withdraw_all(core, peer);
        });
        self.core.peers.remove(peer);
    }

    /// Other policies or options for a session that stays up. Its routes are judged again if import changed, it is told
    /// the difference if export did. Others are told what changes for them, and nothing else.
    pub fn update_peer(&mut self, peer: PeerId, session: PeerSession) {
        let Some(old) = self.core.peers.session(peer) else {
            return;
        };
        let kind = |core: &Core| core.peers.get(peer).map(|p| p.source.kind);
        let old_kind = kind(&self.core);
        self.core.peers.up(peer, session);
        let Some(new) = self.core.peers.session(peer) else {
            return;
        };
        let import = |s: &PeerSession| (s.import.clone(), s.allow_local_as, s.role);
        let judge = import(&old) != import(&new);
        let another = old_kind != kind(&self.core);
        both!(self, |plane, core| {
            if judge {
                plane.import_again(core, peer, &new);
            }
            if another {
                plane.decide_all(core);
                plane.source_changed(core, peer);
            }
            let view = View::of(&new, plane.family(), &core.config);
            for seat in plane.seats_of(peer) {
                plane.change_view(core, seat, view.clone());
            }
        });
    }

    /// An UPDATE's body.
    ///
    /// # Errors
    /// What ends the session (RFC 7606 §3); nothing of the message was taken.
    pub fn receive(&mut self, peer: PeerId, body: &[u8]) -> Result<Received, Reset> {
        let Some(session) = self.core.peers.session(peer) else {
            return Ok(Received::default());
        };
        let mut update = decode(body, &session.decode)?;
        let mut done = Received {
            treat_as_withdraw: update.treat_as_withdraw,
            end_of_rib: update.end_of_rib,
            faults: std::mem::take(&mut update.faults),
            ..Received::default()
        };
        if !done.faults.is_empty() {
            done.malformed = prefixes(&update);
        }
        if let (Some(asn), Some(attributes)) = (session.as_path.inbound, &mut update.attributes) {
            attributes.as_path.prepend(asn, 1);
        }
        for nlri in &update.withdrawn {
            done.withdrawn += self.withdraw(peer, *nlri);
        }
        for (next_hop, nlri) in &update.announced {
            match &mut update.attributes {
                Some(attributes) if !update.treat_as_withdraw => {
                    attributes.next_hop = *next_hop;
                    done.announced += self.announce(peer, &session, attributes, *nlri);
                }
                Some(_) | None => done.withdrawn += self.withdraw(peer, *nlri),
            }
        }
        let heard = self.core.peers.get(peer).map(|p| p.heard);
        let heard = heard.unwrap_or_default();
        done.prefixes = heard.ipv4.received + heard.ipv6.received;
        Ok(done)
    }

    /// Says what policies are to see as the source of an owner's routes, before it has any; else `originate`.
    pub fn declare_local(&mut self, owner: PeerId, source: RouteSource) {
        let identifier = self.core.config.identifier;
        self.core.peers.local(owner, identifier, source);
    }

    /// Puts in a route of our own, or changes it. `forwarding` is for our kernel; `None` leaves the kernel alone.
    /// An unspecified next hop means ourselves; another one is resolved, and the route waits until it is reachable.
    pub fn announce_local(
        &mut self,
        source: LocalSource,
        prefix: IpNet,
        attributes: &Attributes,
        forwarding: Option<LocalForwarding>,
    ) {
        self.announce_tagged(source, prefix, (attributes, 0), forwarding);
    }

    /// The same, with a tag for policies.
    pub fn announce_tagged(
        &mut self,
        source: LocalSource,
        prefix: IpNet,
        (attributes, tag): (&Attributes, u32),
        forwarding: Option<LocalForwarding>,
    ) {
        let prefix = prefix.trunc();
        self.declare_local(source.peer, RouteSource::Originate);
        let changed = self.core.local.set(prefix, source, forwarding);
        let attrs = self.core.store.intern(attributes, Over::default(), tag);
        let arrival = Arrival {
            attrs,
            received: attrs,
            flags: Flags::default(),
        };
        of_net!(self, prefix, |plane, core, prefix| {
            plane.announce(core, source.peer, source.path_id, prefix, arrival);
            if changed {
                plane.touch(core, prefix);
            }
        });
        self.core.done(arrival);
    }

    /// Takes out a route of our own. False: there was none.
    pub fn withdraw_local(&mut self, source: LocalSource, prefix: IpNet) -> bool {
        let prefix = prefix.trunc();
        self.core.local.set(prefix, source, None);
        of_net!(self, prefix, |plane, core, prefix| {
            plane.withdraw(core, source.peer, source.path_id, prefix)
        })
        .unwrap_or_default()
    }

    /// A peer wants to be told a family again (RFC 2918 §3); `enhanced`: between marks (RFC 7313 §4).
    pub fn refresh_requested(&mut self, peer: PeerId, family: Family, enhanced: bool) {
        match family {
            Family::Ipv4Unicast => self.ipv4.refresh(peer, enhanced),
            Family::Ipv6Unicast => self.ipv6.refresh(peer, enhanced),
        }
    }

    /// What there is to say to a peer, whole messages, until `max_octets` are passed. Says whether there is more.
    pub fn transmit(&mut self, peer: PeerId, max_octets: usize, out: &mut Vec<Bytes>) -> bool {
        let mut octets = 0;
        both!(self, |plane, core| {
            plane.transmit(core, peer, max_octets, &mut octets, out);
        });
        self.has_pending(peer)
    }

    /// Whether there is something to say to a peer. It may come to nothing, where export rules it out.
    #[must_use]
    pub fn has_pending(&self, peer: PeerId) -> bool {
        self.ipv4.has_pending(peer) || self.ipv6.has_pending(peer)
    }

    /// Gives the FIB what changed and where in the kernel it is to be, at most `max` prefixes of each family. Says whether there is more.
    pub fn fib_next(
        &mut self,
        max: usize,
        wanted: &mut dyn FnMut(IpNet, Option<(Forwarding, Placement)>),
    ) -> bool {
        let more = both!(self, |plane, core| plane.fib_next(core, max, wanted));
        more.ipv4 || more.ipv6
    }

    /// Whether [`Rib::fib_next`] would give anything.
    #[must_use]
    pub fn fib_has_news(&self) -> bool {
        let v4 = self
            .ipv4
            .fib
            .as_ref()
            .is_some_and(|r| self.ipv4.has_news(r));
        let v6 = self
            .ipv6
            .fib
            .as_ref()
            .is_some_and(|r| self.ipv6.has_news(r));
        v4 || v6 || self.ipv4.spares.has_news() || self.ipv6.spares.has_news()
    }

    /// The FIB starts over: it is given all there is, then what changes. Routes that it has and is not given are gone.
    pub fn fib_resync(&mut self) {
        both!(self, |plane, _core| {
            plane.forget_spares();
            plane.fib = Some(plane.reader());
        });
    }

    /// There is no FIB any more that is given anything.
    pub fn fib_stop(&mut self) {
        both!(self, |plane, _core| {
            plane.forget_spares();
            plane.fib = None;
            plane.trim();
        });
    }

    /// Counts the changes since start: what was looked at is still true while it stays the same.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.ipv4.changes + self.ipv6.changes
    }

    /// Whether anybody but `sources` has a route to exactly `prefix` that may be chosen.
    #[must_use]
    pub fn is_known_beside(&self, sources: &[PeerId], prefix: IpNet) -> bool {
        match Ipv4Prefix::from_net(prefix) {
            Some(prefix) => self.ipv4.is_known_beside(&self.core, sources, prefix),
            None => Ipv6Prefix::from_net(prefix)
                .is_some_and(|prefix| self.ipv6.is_known_beside(&self.core, sources, prefix)),
        }
    }

    /// How large things are. Costs nothing to speak of.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            attribute_sets: self.core.store.used(),
            next_hops: self.core.store.next_hops.len(),
            memory: self.core.store.memory(),
            ..Counts::default()
        };
        self.ipv4.add_to(&mut counts);
        self.ipv6.add_to(&mut counts);
        counts
    }

    fn announce(
        &mut self,
        peer: PeerId,
        session: &PeerSession,
        attributes: &Attributes,
        nlri: Nlri<'_>,
    ) -> usize {
        let Self { core, ipv4, ipv6 } = self;
        let received = core.store.intern(attributes, session.over(), 0);
        let told = (peer, attributes, received);
        let count = match nlri.family {
            Family::Ipv4Unicast => ipv4.import(core, session, told, nlri),
            Family::Ipv6Unicast => ipv6.import(core, session, told, nlri),
        };
        core.store.release(received);
        count
    }

    fn withdraw(&mut self, peer: PeerId, nlri: Nlri<'_>) -> usize {
        let Self { core, ipv4, ipv6 } = self;
        match nlri.family {
            Family::Ipv4Unicast => ipv4.withdraw_nlri(core, peer, nlri),
            Family::Ipv6Unicast => ipv6.withdraw_nlri(core, peer, nlri),
        }
    }
}

impl<P: Prefix> Plane<P> {
    const fn family(&self) -> Family {
        P::FAMILY
    }

    fn is_known_beside(&self, core: &Core, sources: &[PeerId], prefix: P) -> bool {
        let net = self.table.find(prefix);
        let paths = net.into_iter().flat_map(|net| self.table.paths_of(net));
        paths.filter_map(|path| self.table.path(path)).any(|path| {
            let known = || Self::candidate(core, prefix, path).is_some();
            !sources.contains(&path.peer()) && known()
        })
    }

    pub(crate) fn join_if_agreed(&mut self, core: &mut Core, peer: PeerId) {
        let Some(session) = core.peers.session(peer) else {
            return;
        };
        if *session.decode.families.get(P::FAMILY) {
            let view = View::of(&session, P::FAMILY, &core.config);
            self.join(core, peer, view);
        }
    }

    fn add_to(&self, counts: &mut Counts) {
        *counts.routes.get_mut(P::FAMILY) = self.routes;
        counts.paths.add_assign(self.table.paths_used());
        let groups = self.groups.iter().flatten();
        counts.groups += groups.clone().count();
        counts.memory += self.table.memory() + self.journal.len() * size_of::<u32>();
        counts.memory += groups.map(|group| group.memory()).sum::<usize>();
    }
}

impl Core {
    /// What the decision reads of a path to `prefix`; `None`: its next hop cannot be reached.
    #[inline]
    pub(crate) fn candidate(&self, prefix: impl Into<IpNet>, path: &Path) -> Option<Candidate> {
        let (peer, path_id) = (path.peer(), path.path_id);
        let facts = self.store.facts(path.attrs)?;
        let cost = self.store.next_hops.cost(facts.next_hop, prefix)?;
        let source = &self.peers.get(peer)?.source;
        let class = match source.kind {
            Kind::Local => Class::Local,
            Kind::External => Class::External,
            Kind::Client | Kind::Internal => Class::Internal,
        };
        let aigp = facts
            .has(Has::Aigp)
            .then(|| facts.aigp.saturating_add(cost));
        Some(Candidate {
            llgr_stale: facts.has(Has::LlgrStale),
            local_pref: facts.local_pref,
            class,
            aigp,
            as_path_len: facts.as_path_len,
            origin: facts.origin,
            neighbor_as: facts.neighbor_as,
            med: facts.med,
            cost,
            originator: originator(facts).unwrap_or(source.identifier).into(),
            cluster_list_len: facts.cluster_list_len,
            peer: source.address,
            path: (peer.0, path_id),
        })
    }

    /// What import policy does with a route, a line a rule that speaks.
    pub(crate) fn import_trace(
        &self,
        peer: PeerId,
        prefix: IpNet,
        received: Option<Attributes>,
    ) -> Vec<String> {
        let session = self.peers.session(peer);
        let chain = session.as_ref().and_then(|s| s.import.clone());
        let (Some(session), Some(chain), Some(mut attributes)) = (session, chain, received) else {
            return Vec::new();
        };
        let context = import_context(&session, prefix);
        let (_, trace) = self.policies.explain(&chain, &context, &mut attributes);
        let leaves = shuts_down(&session, &attributes);
        let leaves = leaves.then(|| "graceful-shutdown (RFC 8326): local-pref 0".to_owned());
        let steps = trace.steps.iter().map(ToString::to_string);
        steps.chain(leaves).collect()
    }
}

/// The next hop of routes that are to be announced with ourselves as next hop.
pub const OURSELVES: NextHop = NextHop::V4(Ipv4Addr::UNSPECIFIED);

/// What an UPDATE names, as far as [`MALFORMED_SHOWN`]: what is treated as withdrawn stands among the withdrawn.
fn prefixes(update: &Update<'_>) -> Vec<IpNet> {
    let announced = update.announced.iter().map(|(_, nlri)| nlri);
    let prefixes = announced.chain(&update.withdrawn).flat_map(|nlri| {
        let v4 = nlri.iter::<Ipv4Prefix>().map(|(_, prefix)| prefix.into());
        v4.chain(nlri.iter::<Ipv6Prefix>().map(|(_, prefix)| prefix.into()))
    });
    prefixes.take(MALFORMED_SHOWN).collect()
}

#[cfg(test)]
mod tests;
