//! Peers, as the RIB knows them: the facts of their session, and where they come from as sources of routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bgp_core::Family;
use bgp_core::capability::Role;
use bgp_core::family::PerFamily;
use bgp_core::update::DecodeContext;

use crate::next_hop::Over;
use crate::policy::{Chain, RouteSource};
use crate::tally::ChangeCounts;

/// Most numbers of peers, local sources among them: a path keeps its peer in 24 bits.
pub const PEERS_MAX: u32 = 1 << 24;

/// A peer, or a source of local routes: a small dense number that the caller gives. Numbers of peers that
/// are gone may be given again after [`Rib::peer_down`](crate::Rib::peer_down).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerId(pub u32);

/// How the next hop is written for a peer.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum NextHopRule {
    /// Ourselves to external peers, unchanged to internal ones and to route server clients (RFC 4271 §5.1.3).
    #[default]
    Standard,
    /// Always ourselves.
    Myself,
    /// Never changed, unless it would be ourselves anyway.
    Unchanged,
    /// This one, for routes whose family it can serve; ourselves for others.
    Address(IpAddr),
}

/// Our addresses on the session, for next hops.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct LocalAddresses {
    /// For IPv4.
    pub ipv4: Option<Ipv4Addr>,
    /// For IPv6: a global one; or a link-local one, if there is no other.
    pub ipv6: Option<Ipv6Addr>,
    /// The link-local one beside a global one, if the peer is on the link (RFC 2545 §3).
    pub link_local: Option<Ipv6Addr>,
}

/// How far a graceful shutdown of ours is, as it shows in what a peer is told (RFC 8326 §4.2).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Drain {
    /// There is none.
    #[default]
    None,
    /// Routes are told as ones that are about to go.
    Announcing,
    /// Nothing is told any more.
    Withdrawn,
}

/// What is done with AS_PATH beyond the rule (RFC 4271 §5.1.2), on external sessions.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct AsPathRules {
    /// Put before what the peer tells, as if it were an AS on the way (RFC 7705 §3.3, "Local AS", inbound).
    pub inbound: Option<u32>,
    /// Stands behind our AS number in what the peer is told (RFC 7705 §3.3, "Local AS", outbound); `None`: that one is
    /// alone ("Replace Old AS").
    pub outbound: Option<u32>,
    /// What becomes of AS numbers for private use (RFC 6996).
    pub private: PrivateAs,
    /// Our AS number takes the place of the peer's, so that it does not see a loop.
    pub override_peer: bool,
}

/// What becomes of AS numbers for private use in what a peer is told. Its own stays: it must see its loops.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum PrivateAs {
    /// They stay.
    #[default]
    Keep,
    /// They are taken out.
    Remove,
    /// Our AS number takes their place: the path stays as long as it is.
    Replace,
}

/// What holds for a peer while its session is up.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerSession {
    /// Its AS number.
    pub asn: u32,
    /// Its BGP Identifier.
    pub identifier: Ipv4Addr,
    /// Its address.
    pub address: IpAddr,
    /// The peer group it belongs to, for policies that look at it.
    pub group: Option<Arc<str>>,
    /// Our AS number towards it. The session is internal if the two are the same.
    pub local_asn: u32,
    /// Our addresses.
    pub local: LocalAddresses,
    /// The interface's index, for link-local next hops.
    pub interface: Option<u32>,
    /// It is external and one hop away: its next hops are on the link, or where the kernel alone says (RFC 4271 §5.1.3).
    pub direct: bool,
    /// How its UPDATEs are read; the families that were agreed on.
    pub decode: DecodeContext,
    /// It reads AS numbers of four octets.
    pub four_octet_as: bool,
    /// Most octets of a message to it: 4096, or 65535 (RFC 8654).
    pub max_message: usize,
    /// Up to how many paths a prefix it is told, each with a Path Identifier (RFC 7911); `None`: the best one alone.
    pub add_path_send: PerFamily<Option<u8>>,
    /// It takes IPv6 next hops for IPv4 (RFC 8950).
    pub extended_next_hop: bool,
    /// Import policies; `None` accepts nothing (RFC 8212 §2.1), also on internal sessions: the caller gives its default.
    pub import: Option<Chain>,
    /// Export policies; `None` announces nothing (RFC 8212 §2.2), likewise.
    pub export: Option<Chain>,
    /// How the next hop is written.
    pub next_hop: NextHopRule,
    /// A client of ours (RFC 4456 §2).
    pub rr_client: bool,
    /// A client of our route server (RFC 7947): it is told the best path that may be told to it, its own aside.
    pub rs_client: bool,
    /// How often our own AS may stand in an AS_PATH.
    pub allow_local_as: u8,
    /// What is done with AS_PATH.
    pub as_path: AsPathRules,
    /// AIGP goes both ways (RFC 7311 §3.1).
    pub aigp: bool,
    /// It is told what our links carry, where we are the next hop (draft-ietf-idr-link-bandwidth).
    pub link_bandwidth: bool,
    /// What we are to it (RFC 9234 §4.1).
    pub role: Option<Role>,
    /// Whether we are about to leave.
    pub drain: Drain,
    /// It knows what to make of routes with LLGR_STALE (RFC 9494 §4.3).
    pub long_lived: bool,
}

impl PeerSession {
    /// How its next hops are heard.
    pub(crate) const fn over(&self) -> Over {
        Over {
            interface: self.interface,
            direct: self.direct,
        }
    }

    /// Whether the peer is in our AS.
    #[must_use]
    pub const fn is_internal(&self) -> bool {
        self.asn == self.local_asn
    }
}

/// What kind of neighbor told a route.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    /// Nobody: it is ours.
    Local,
    /// Another AS.
    External,
    /// A peer in our AS that is our client, as a route reflector.
    Client,
    /// Another peer in our AS.
    Internal,
}

/// The facts of a source that decision and export read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) kind: Kind,
    /// As policies see it.
    pub(crate) route: RouteSource,
    pub(crate) identifier: Ipv4Addr,
    pub(crate) address: IpAddr,
}

/// How many prefixes a peer told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Heard {
    pub(crate) received: u32,
    pub(crate) accepted: u32,
    pub(crate) changes: ChangeCounts,
}

/// One peer or local source.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) source: Source,
    /// `None`: a local source.
    pub(crate) session: Option<Arc<PeerSession>>,
    pub(crate) heard: PerFamily<Heard>,
}

/// All of them, by number.
#[derive(Debug, Default)]
pub(crate) struct Peers(Vec<Option<Peer>>);

impl Peers {
    /// Whether a session tells what our links carry.
    pub(crate) fn any_told_bandwidth(&self) -> bool {
        let mut sessions = self.0.iter().flatten().filter_map(|p| p.session.as_ref());
        sessions.any(|session| session.link_bandwidth)
    }

    pub(crate) fn up(&mut self, id: PeerId, session: PeerSession) {
        let kind = match (session.is_internal(), session.rr_client) {
            (false, _) => Kind::External,
            (true, true) => Kind::Client,
            (true, false) => Kind::Internal,
        };
        let source = Source {
            kind,
            route: RouteSource::Bgp,
            identifier: session.identifier,
            address: session.address,
        };
        let heard = self.get(id).map(|peer| peer.heard).unwrap_or_default();
        self.put(
            id,
            Peer {
                source,
                session: Some(Arc::new(session)),
                heard,
            },
        );
    }

    /// Makes sure that a local source is there.
    pub(crate) fn local(&mut self, id: PeerId, identifier: Ipv4Addr, route: RouteSource) {
        if self.get(id).is_some() {
            return;
        }
        let source = Source {
            kind: Kind::Local,
            route,
            identifier,
            // Beyond those of peers in no way that matters: routes of our own are settled before.
            address: Ipv4Addr::UNSPECIFIED.into(),
        };
        self.put(
            id,
            Peer {
                source,
                session: None,
                heard: PerFamily::default(),
            },
        );
    }

    /// An UPDATE changed routes of a peer. Says how many it was about.
    pub(crate) fn changed(&mut self, id: PeerId, family: Family, by: &ChangeCounts) -> usize {
        if let Some(heard) = heard(self, id, family) {
            heard.changes.add(by);
        }
        usize::try_from(by.updates + by.withdraws).unwrap_or(usize::MAX)
    }

    pub(crate) fn remove(&mut self, id: PeerId) {
        if let Some(slot) = self.0.get_mut(id.0 as usize) {
            *slot = None;
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: PeerId) -> Option<&Peer> {
        self.0.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.0.get_mut(id.0 as usize)?.as_mut()
    }

    /// The session of a peer, shared so that the store can change meanwhile.
    pub(crate) fn session(&self, id: PeerId) -> Option<Arc<PeerSession>> {
        self.get(id)?.session.clone()
    }

    /// All that are there, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        (0..)
            .map(PeerId)
            .zip(&self.0)
            .filter_map(|(id, peer)| Some((id, peer.as_ref()?)))
    }

    fn put(&mut self, id: PeerId, peer: Peer) {
        if id.0 >= PEERS_MAX {
            return;
        }
        let at = id.0 as usize;
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        if let Some(slot) = self.0.get_mut(at) {
            *slot = Some(peer);
        }
    }
}

impl Heard {
    /// A path was added (`by` 1) or removed (`by` -1).
    pub(crate) fn count(&mut self, accepted: bool, by: i32) {
        self.received = self.received.saturating_add_signed(by);
        if accepted {
            self.accepted = self.accepted.saturating_add_signed(by);
        }
    }
}

/// The counts of `family`.
pub(crate) fn heard(peers: &mut Peers, id: PeerId, family: Family) -> Option<&mut Heard> {
    peers.get_mut(id).map(|peer| peer.heard.get_mut(family))
}
