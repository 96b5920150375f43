//! What becomes of a route that a peer tells: loop checks (RFC 4271 §9.1.2, RFC 4456 §8), route leaks (RFC 9234 §5),
//! import policy (RFC 8212 §2.1).

use bgp_core::Attributes;
use bgp_core::capability::Role;
use ipnet::IpNet;

use crate::attribute_store::AttrId;
use crate::peer::PeerSession;
use crate::plane::Arrival;
use crate::policy::Chain;
use crate::rib::Core;
use crate::table::Flags;

/// Whether all prefixes of an UPDATE fare alike.
pub(crate) fn looks_at_prefix(session: &PeerSession) -> bool {
    session.import.as_ref().is_some_and(Chain::looks_at_prefix)
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
            Some(chain) if chain.is_accept_all() && mark.is_none() => kept(flags),
            Some(chain) => {
                let mut attributes = attributes.clone();
                attributes.only_to_customer = attributes.only_to_customer.or(mark);
                if !self.import_policy(chain, prefix, session, &mut attributes) {
                    kept(flags.with(Flags::REJECTED, true))
                } else {
                    let attrs = self.store.intern(&attributes, session.interface);
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
        let originator = attributes.originator_id == Some(self.config.identifier);
        let cluster = attributes.cluster_list.contains(&self.config.cluster_id);
        Flags::default()
            .with(Flags::AS_LOOP, times > usize::from(session.allow_local_as))
            .with(Flags::ORIGINATOR_LOOP, originator)
            .with(Flags::CLUSTER_LOOP, cluster)
            .with(Flags::LEAK, is_leak(session, attributes))
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
