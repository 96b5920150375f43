//! What becomes of a route that a peer tells: loop checks (RFC 4271 §9.1.2, RFC 4456 §8), route leaks (RFC 9234 §5),
//! import policy (RFC 8212 §2.1), graceful shutdown (RFC 8326 §4.1).

use bgp_core::capability::Role;
use bgp_core::update::Nlri;
use bgp_core::{Attributes, Prefix};
use ipnet::IpNet;

use crate::attribute_store::AttrId;
use crate::export::is_about_to_go;
use crate::peer::{PeerId, PeerSession};
use crate::plane::{Arrival, Plane};
use crate::policy::{Chain, RouteContext, RouteSource, Verdict};
use crate::query::family_of;
use crate::rib::Core;
use crate::table::Flags;
use crate::tally::ChangeCounts;

impl<P: Prefix> Plane<P> {
    /// Prefixes that a peer announced with attributes it told: their number in the store is the caller's.
    pub(crate) fn import(
        &mut self,
        core: &mut Core,
        session: &PeerSession,
        (peer, attributes, received): (PeerId, &Attributes, AttrId),
        nlri: Nlri<'_>,
    ) -> usize {
        let mut counts = ChangeCounts::default();
        if looks_at_prefix(session) {
            for (path_id, prefix) in nlri.iter::<P>() {
                let arrival = core.judge(session, prefix.into(), attributes, received);
                let changed = self.announce(core, peer, path_id, prefix, arrival);
                counts.announced(arrival.flags, changed);
                core.done(arrival);
            }
            return core.peers.changed(peer, P::FAMILY, &counts);
        }
        let Some((_, first)) = nlri.iter::<P>().next() else {
            return 0;
        };
        let arrival = core.judge(session, first.into(), attributes, received);
        for (path_id, prefix) in nlri.iter::<P>() {
            let changed = self.announce(core, peer, path_id, prefix, arrival);
            counts.announced(arrival.flags, changed);
        }
        core.done(arrival);
        core.peers.changed(peer, P::FAMILY, &counts)
    }

    /// Judges all routes of a peer again.
    pub(crate) fn import_again(&mut self, core: &mut Core, peer: PeerId, session: &PeerSession) {
        let shared = !looks_at_prefix(session);
        let mut last: Option<Arrival> = None;
        self.judge_again(core, peer, |core, prefix, received| {
            if let Some(last) = last.filter(|last| shared && last.received == received) {
                return last;
            }
            let attributes = core.store.attributes(received);
            let arrival = attributes.map(|a| core.judge(session, prefix.into(), &a, received));
            if let Some(last) = std::mem::replace(&mut last, arrival) {
                core.done(last);
            }
            arrival.unwrap_or(Arrival {
                attrs: received,
                received,
                flags: Flags::REJECTED,
            })
        });
        if let Some(last) = last {
            core.done(last);
        }
    }

    /// Prefixes that a peer withdrew.
    pub(crate) fn withdraw_nlri(&mut self, core: &mut Core, peer: PeerId, nlri: Nlri<'_>) -> usize {
        let mut counts = ChangeCounts::default();
        for (path_id, prefix) in nlri.iter::<P>() {
            let had = self.withdraw(core, peer, path_id, prefix);
            counts.withdrew(had);
        }
        core.peers.changed(peer, P::FAMILY, &counts)
    }
}

impl Core {
    /// Judges a route. `received` is the number of `attributes`, and the caller's reference to it stays the caller's;
    /// the arrival comes with a reference to its own attributes, to be given back with [`Core::done`].
    pub(crate) fn judge(
        &mut self,
        session: &PeerSession,
        prefix: IpNet,
        attributes: &Attributes,
        received: AttrId,
    ) -> Arrival {
        let flags = self.loops(session, attributes);
        let kept = |flags| Arrival {
            attrs: received,
            received,
            flags,
        };
        let mark = mark(session, attributes);
        let arrival = match &session.import {
            _ if !flags.accepted() => kept(flags),
            None => kept(flags.with(Flags::REJECTED, true)),
            Some(chain)
                if chain.is_accept_all() && mark.is_none() && !shuts_down(session, attributes) =>
            {
                kept(flags)
            }
            Some(chain) => {
                let next_hop = attributes.next_hop;
                let mut attributes = attributes.clone();
                attributes.only_to_customer = attributes.only_to_customer.or(mark);
                let context = import_context(session, prefix);
                let (verdict, tag) =
                    self.policies
                        .evaluate_tagged(chain, &context, &mut attributes);
                if attributes.next_hop.addr().is_unspecified() {
                    // `self` is for routes that are told: here it would lead nowhere.
                    attributes.next_hop = next_hop;
                }
                if verdict == Verdict::Reject {
                    kept(flags.with(Flags::REJECTED, true))
                } else {
                    if shuts_down(session, &attributes) {
                        attributes.local_pref = Some(0);
                    }
                    let attrs = self.store.intern(&attributes, session.over(), tag);
                    return Arrival {
                        attrs,
                        received,
                        flags,
                    };
                }
            }
        };
        self.store.acquire(received);
        arrival
    }

    /// Gives back the reference of [`Core::judge`].
    pub(crate) fn done(&mut self, arrival: Arrival) {
        self.store.release(arrival.attrs);
    }

    fn loops(&self, session: &PeerSession, attributes: &Attributes) -> Flags {
        let ours = |asn: &u32| *asn == session.local_asn || *asn == self.config.local_asn;
        let times = attributes.as_path.asns().filter(ours).count();
        // What we put there ourselves is no loop.
        let own = session.as_path.inbound.filter(ours);
        let allowed = usize::from(session.allow_local_as) + usize::from(own.is_some());
        let originator = attributes.originator_id == Some(self.config.identifier);
        let cluster = attributes.cluster_list.contains(&self.config.cluster_id);
        Flags::default()
            .with(Flags::AS_LOOP, times > allowed)
            .with(Flags::ORIGINATOR_LOOP, originator)
            .with(Flags::CLUSTER_LOOP, cluster)
            .with(Flags::LEAK, is_leak(session, attributes))
    }
}

/// What import policies see of a route.
pub(crate) fn import_context(session: &PeerSession, prefix: IpNet) -> RouteContext<'_> {
    RouteContext {
        prefix,
        peer: Some(session.address),
        group: session.group.as_deref(),
        source: RouteSource::Bgp,
        family: family_of(prefix),
        local_asn: session.local_asn,
        tag: 0,
    }
}

/// RFC 9234 §5, ingress, rules 1 and 2.
fn is_leak(session: &PeerSession, attributes: &Attributes) -> bool {
    match (session.role, attributes.only_to_customer) {
        // From a customer or a client: nobody there may pass on what is marked.
        (Some(Role::Provider | Role::RouteServer), Some(_)) => true,
        // From a peer: only its own mark.
        (Some(Role::Peer), Some(marked)) => marked != session.asn,
        (Some(Role::Customer | Role::RouteServerClient), Some(_)) | (_, None) | (None, _) => false,
    }
}

/// RFC 9234 §5, ingress, rule 3: what comes from a provider, a peer or a route server is marked with its AS.
fn mark(session: &PeerSession, attributes: &Attributes) -> Option<u32> {
    let down = matches!(
        session.role,
        Some(Role::Customer | Role::Peer | Role::RouteServerClient)
    );
    (down && attributes.only_to_customer.is_none()).then_some(session.asn)
}

/// RFC 8326 §4.1: anything else is preferred to what another AS is about to shut down. This has the last word after
/// import policy, which may take the community out.
pub(crate) fn shuts_down(session: &PeerSession, attributes: &Attributes) -> bool {
    !session.is_internal() && is_about_to_go(attributes)
}

/// Whether the prefixes of an UPDATE may fare differently.
fn looks_at_prefix(session: &PeerSession) -> bool {
    session.import.as_ref().is_some_and(Chain::looks_at_prefix)
}
