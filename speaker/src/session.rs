//! What the RIB is told of a session: what was agreed on, and what the configuration adds.

use std::net::IpAddr;

use bgp_core::capability::Capability;
use bgp_core::family::PerFamily;
use bgp_core::update::DecodeContext;
use bgp_fsm::Session;
use rib::peer::{AsPathRules, LocalAddresses, NextHopRule};
use rib::policy::Chain;
use rib::{PeerId, PeerSession};

use crate::Speaker;
use crate::config::NextHopMode;
use crate::event::Effect;
use crate::peer::{Peer, Place};

/// RFC 4271 §4.
const MESSAGE_MAX: usize = 4096;
/// RFC 8654 §4.
const EXTENDED_MESSAGE_MAX: usize = 65535;

impl Speaker {
    /// The RIB's view of a peer's session.
    pub(crate) fn rib_session(&self, id: PeerId, session: &Session) -> Option<PeerSession> {
        let peer = self.peers.get(id)?;
        let options = &peer.options;
        let local_asn = peer.local_asn(&self.config.router);
        let internal = session.peer_asn == local_asn;
        let several = |agreed: bool| agreed.then_some(options.add_path_limit);
        Some(PeerSession {
            asn: session.peer_asn,
            identifier: session.identifier,
            address: peer.name.address,
            local_asn,
            group: options.group.as_deref().map(Into::into),
            local: peer.place.local,
            interface: peer.place.interface,
            direct: !internal && options.multihop.is_none_or(|hops| hops <= 1),
            decode: DecodeContext {
                four_octet_as: session.four_octet_as,
                external: !internal,
                confederation: false,
                first_as: (options.enforce_first_as && !internal).then_some(session.peer_asn),
                aigp: options.aigp,
                families: session.families,
                add_path: session.add_path_receive,
                extended_next_hop: session.extended_next_hop,
                no_sets: !options.allow_as_sets,
            },
            four_octet_as: session.four_octet_as,
            max_message: if session.extended_message {
                EXTENDED_MESSAGE_MAX
            } else {
                MESSAGE_MAX
            },
            add_path_send: PerFamily {
                ipv4: several(session.add_path_send.ipv4),
                ipv6: several(session.add_path_send.ipv6),
            },
            extended_next_hop: session.extended_next_hop,
            import: self.chain(options.import.as_ref(), internal),
            export: self.chain(options.export.as_ref(), internal),
            next_hop: next_hop_rule(options.next_hop),
            rr_client: options.rr_client && internal,
            rs_client: options.rs_client,
            allow_local_as: options.allow_local_as,
            as_path: as_path_rules(peer, self.config.router.asn, internal),
            aigp: options.aigp,
            link_bandwidth: options.link_bandwidth,
            role: options.role,
            drain: self.draining.stage(),
            long_lived: knows_long_lived(session),
        })
    }

    /// Our addresses for next hops. Over IPv6, and where the peer takes it, IPv4 routes have the IPv6 next hop too
    /// (RFC 8950): that the link has an IPv4 address does not mean that the peer is in its subnet.
    fn next_hops_of(&self, local: Option<IpAddr>, extended: bool) -> LocalAddresses {
        let addresses = self.local_addresses(local);
        match local {
            Some(IpAddr::V6(_)) if extended => LocalAddresses {
                ipv4: None,
                ..addresses
            },
            Some(_) | None => addresses,
        }
    }

    /// Notes where a peer's session is among our links. True if that is news.
    pub(crate) fn locate(&mut self, id: PeerId) -> bool {
        let place = self.peers.get(id).and_then(|peer| {
            let extended = peer.fsm.session()?.extended_next_hop;
            let local = peer.session_conn()?.local.map(|local| local.ip());
            let interface = peer.interface();
            Some(Place {
                local: self.next_hops_of(local, extended),
                interface: interface.and_then(|name| self.fib.interface(name)),
            })
        });
        let (Some(place), Some(peer)) = (place, self.peers.get_mut(id)) else {
            return false;
        };
        std::mem::replace(&mut peer.place, place) != place
    }

    /// Links or addresses changed: next hops that a session takes from them are told anew, and link-local ones that
    /// it heard are asked for again.
    pub(crate) fn relocate_sessions(&mut self, out: &mut Vec<Effect>) {
        for id in self.peers.ids() {
            let before = self.peers.get(id).map(|peer| peer.place.interface);
            if !self.locate(id) {
                continue;
            }
            self.update_rib_session(id);
            if before != self.peers.get(id).map(|peer| peer.place.interface) {
                self.request_refresh(id, None, out);
            }
        }
    }

    /// Brings the RIB up to date with a peer whose options changed while its session stays.
    pub(crate) fn update_rib_session(&mut self, id: PeerId) {
        let peer = self.peers.get(id);
        let held = peer.and_then(|peer| peer.held.as_ref().map(|held| &held.session));
        let session = peer
            .and_then(|peer| peer.fsm.session())
            .or(held.map(AsRef::as_ref))
            .cloned();
        if let Some(session) = session.and_then(|session| self.rib_session(id, &session)) {
            self.rib.update_peer(id, session);
        }
    }

    /// The compiled policies of a peer. Without any, an external peer gets and gives nothing (RFC 8212 §2), an
    /// internal one everything.
    fn chain(&self, names: Option<&Vec<String>>, internal: bool) -> Option<Chain> {
        let all = vec!["accept".to_owned()];
        let names = match names {
            Some(names) => names,
            None if internal => &all,
            None => return None,
        };
        // The configuration was checked: a name that is not there rejects, rather than letting through.
        self.policies.chain(names).ok()
    }
}

/// What is done with the paths of an external peer.
fn as_path_rules(peer: &Peer, router_asn: u32, internal: bool) -> AsPathRules {
    if internal {
        return AsPathRules::default();
    }
    let options = &peer.options;
    let local = options.local_as.filter(|_| !peer.as_router);
    let local = local.filter(|local| local.asn != router_asn);
    AsPathRules {
        inbound: local.filter(|l| !l.no_prepend).map(|l| l.asn),
        outbound: local.filter(|l| !l.replace_as).map(|_| router_asn),
        private: options.remove_private_as,
        override_peer: options.as_override,
    }
}

const fn next_hop_rule(mode: NextHopMode) -> NextHopRule {
    match mode {
        NextHopMode::Standard => NextHopRule::Standard,
        NextHopMode::Myself => NextHopRule::Myself,
        NextHopMode::Unchanged => NextHopRule::Unchanged,
        NextHopMode::Address(address) => NextHopRule::Address(address),
    }
}

/// RFC 9494 §4.1: the capability counts only beside that of graceful restart. It may list no family.
fn knows_long_lived(session: &Session) -> bool {
    let is_it = |c: &Capability| matches!(c, Capability::LongLivedGracefulRestart(_));
    session.graceful_restart.is_some() && session.capabilities.iter().any(is_it)
}
