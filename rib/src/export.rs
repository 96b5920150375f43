//! What a peer is told of a route (RFC 4271 §5 and §9.2, RFC 4456 §8, RFC 1997, RFC 7311 §3.4, RFC 8326 §4.2,
//! RFC 9234 §5).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bgp_core::attributes::{Community, ExtendedCommunity, NextHop};
use bgp_core::capability::Role;
use bgp_core::header::{MAX, MAX_EXTENDED};
use bgp_core::open::AS_TRANS;
use bgp_core::update::EncodeContext;
use bgp_core::{Attributes, Family};
use ipnet::IpNet;

use crate::attribute_store::{DEFAULT_LOCAL_PREF, Facts, Has};
use crate::packer::MESSAGE_OVERHEAD;
use crate::peer::{
    AsPathRules, Drain, Kind, LocalAddresses, NextHopRule, PeerSession, PrivateAs, Source,
};
use crate::policy::{Chain, RouteContext};
use crate::rib::Config;

/// RFC 6996 §5.
const fn is_private(asn: u32) -> bool {
    matches!(asn, 64_512..=65_534 | 4_200_000_000..=4_294_967_294)
}

/// The whole argument of [`export`] beside the route, and so the key of an update group: members with equal views
/// are told the same bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct View {
    pub(crate) family: Family,
    /// Up to how many paths a prefix are told (RFC 7911), or 1 where each member is told the best one that may be told to
    /// it; `None`: the Loc-RIB's best alone.
    pub(crate) paths: Option<u8>,
    /// A monitoring station's: the Loc-RIB as it is, whatever peers may be told of it.
    pub(crate) loc_rib: bool,
    internal: bool,
    local_asn: u32,
    /// See [`AsPathRules`].
    outbound: Option<u32>,
    private: PrivateAs,
    /// The peer's AS number, if its paths are rewritten around it, and whether ours takes its place.
    around: Option<(u32, bool)>,
    cluster_id: Ipv4Addr,
    client_to_client: bool,
    rr_client: bool,
    rs_client: bool,
    next_hop: NextHopRule,
    local: LocalAddresses,
    extended_next_hop: bool,
    aigp: bool,
    link_bandwidth: bool,
    role: Option<Role>,
    drain: Drain,
    long_lived: bool,
    pub(crate) chain: Option<Chain>,
    /// The peer and its group as policies see them, if they look.
    peer: Option<(IpAddr, Option<Arc<str>>)>,
    pub(crate) encode: EncodeContext,
}

/// What it takes to get to the next hop of a route, and what gets there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WayThere {
    /// The interior cost.
    pub(crate) cost: u64,
    /// See [`Resolved::rate`](crate::Resolved).
    pub(crate) rate: Option<u64>,
}

impl View {
    pub(crate) fn of(session: &PeerSession, family: Family, config: &Config) -> Self {
        let chain = session.export.clone();
        let looks_at_peer = chain.as_ref().is_some_and(Chain::looks_at_peer);
        let add_path = *session.add_path_send.get(family);
        // RFC 7947 §2.3: a route server has no choice of its own that could hide a route from a client.
        let paths = add_path.or(session.rs_client.then_some(1));
        let AsPathRules {
            private,
            override_peer,
            ..
        } = session.as_path;
        let rewrites = private != PrivateAs::Keep || override_peer;
        Self {
            family,
            paths,
            loc_rib: false,
            internal: session.is_internal(),
            local_asn: session.local_asn,
            outbound: session.as_path.outbound,
            private: session.as_path.private,
            around: rewrites.then_some((session.asn, session.as_path.override_peer)),
            cluster_id: config.cluster_id,
            client_to_client: config.client_to_client,
            rr_client: session.rr_client,
            rs_client: session.rs_client,
            next_hop: session.next_hop,
            local: session.local,
            extended_next_hop: session.extended_next_hop,
            aigp: session.aigp,
            link_bandwidth: session.link_bandwidth,
            role: session.role,
            drain: session.drain,
            long_lived: session.long_lived,
            chain,
            peer: looks_at_peer.then(|| (session.address, session.group.clone())),
            encode: EncodeContext {
                four_octet_as: session.four_octet_as,
                add_path: add_path.is_some(),
                max_message: session.max_message,
            },
        }
    }

    /// Whether each member is told the best path that may be told to it, instead of the Loc-RIB's.
    pub(crate) const fn is_for_each(&self) -> bool {
        self.paths.is_some() && !self.encode.add_path
    }

    /// Whether nothing is ever told: there is no export policy, or it rejects everything.
    pub(crate) fn is_silent(&self) -> bool {
        !self.loc_rib && self.chain.as_ref().is_none_or(Chain::is_reject_all)
    }

    /// The Loc-RIB itself (RFC 9069).
    pub(crate) fn of_loc_rib(family: Family, config: &Config) -> Self {
        Self {
            family,
            paths: None,
            loc_rib: true,
            internal: true,
            local_asn: config.local_asn,
            outbound: None,
            private: PrivateAs::Keep,
            around: None,
            cluster_id: config.cluster_id,
            client_to_client: config.client_to_client,
            rr_client: false,
            rs_client: false,
            next_hop: NextHopRule::Unchanged,
            local: LocalAddresses::default(),
            extended_next_hop: true,
            aigp: true,
            link_bandwidth: false,
            role: None,
            drain: Drain::None,
            long_lived: true,
            chain: None,
            peer: None,
            encode: EncodeContext {
                four_octet_as: true,
                add_path: false,
                max_message: MAX,
            },
        }
    }

    /// How a route with so many octets of attributes is written. A station takes larger messages where there must be one.
    pub(crate) const fn encode(&self, octets: usize) -> EncodeContext {
        let mut encode = self.encode;
        if self.loc_rib && octets + MESSAGE_OVERHEAD > encode.max_message {
            encode.max_message = MAX_EXTENDED;
        }
        encode
    }

    /// What export policies see of a route.
    pub(crate) fn context(&self, prefix: IpNet, source: &Source, tag: u32) -> RouteContext<'_> {
        RouteContext {
            prefix,
            peer: self.peer.as_ref().map(|(address, _)| *address),
            group: self.peer.as_ref().and_then(|(_, group)| group.as_deref()),
            source: source.route,
            family: self.family,
            local_asn: self.local_asn,
            tag,
        }
    }

    /// Whether a route may be told at all, as far as that can be said without its attributes.
    pub(crate) fn admits(&self, facts: &Facts, source: &Source) -> bool {
        let transparent = self.is_transparent(source);
        // RFC 1997: NO_ADVERTISE is for nobody, NO_EXPORT and NO_EXPORT_SUBCONFED not for external peers.
        if facts.has(Has::NoAdvertise) && !transparent || self.drain == Drain::Withdrawn {
            return false;
        }
        // RFC 9494 §4.3: what is stale for long is for those who know what that is; §4.6: or for those in our AS.
        if facts.has(Has::LlgrStale) && !self.long_lived && !self.internal {
            return false;
        }
        if self.internal {
            return match source.kind {
                Kind::Local | Kind::External => true,
                // RFC 4456 §6: to all, unless the clients tell each other.
                Kind::Client => self.client_to_client || !self.rr_client,
                // RFC 4271 §9.2: not from one to another, but RFC 4456 §6 has us reflect to clients.
                Kind::Internal => self.rr_client,
            };
        }
        // RFC 9234 §5: a route with OTC is not passed on to providers, peers and route servers.
        let up = matches!(
            self.role,
            Some(Role::Customer | Role::Peer | Role::RouteServerClient)
        );
        let inside = facts.has(Has::NoExport) || facts.has(Has::NoExportSubconfed);
        !(inside && !transparent || up && facts.has(Has::OnlyToCustomer))
    }

    /// What is done before export policy has its say.
    pub(crate) fn before_policy(&self, attributes: &mut Attributes, source: &Source) {
        // RFC 7311 §3.4.1: what begins in our own AS gets its AIGP here, before any cost is added.
        if self.aigp && attributes.as_path.is_empty() {
            attributes.aigp.get_or_insert(0);
        }
        // RFC 4271 §5.1.4: MED of a neighboring AS is not propagated to other ASes. RFC 7947 §2.2.3: route servers do.
        if !self.internal && !self.rs_client && source.kind != Kind::Local {
            attributes.med = None;
        }
        if let Some((peer, override_peer)) = self.around.filter(|_| !self.internal) {
            let other = |asn| match self.private {
                _ if asn == peer && override_peer => Some(self.local_asn),
                PrivateAs::Remove if asn != peer && is_private(asn) => None,
                PrivateAs::Replace if asn != peer && is_private(asn) => Some(self.local_asn),
                PrivateAs::Keep | PrivateAs::Remove | PrivateAs::Replace => Some(asn),
            };
            attributes.as_path = attributes.as_path.map(other);
        }
    }

    /// What is done after it. `chosen` is the next hop of the route in the Loc-RIB; where policy set another, it stands.
    /// False: there is no next hop that the peer could use.
    pub(crate) fn after_policy(
        &self,
        attributes: &mut Attributes,
        source: &Source,
        chosen: NextHop,
        way: WayThere,
    ) -> bool {
        let mut bandwidths = attributes.ext_communities.iter();
        let heard = bandwidths.find_map(|c| c.as_link_bandwidth());
        if self.internal {
            self.for_internal(attributes, source);
        } else {
            self.for_external(attributes, self.is_transparent(source));
        }
        if self.internal && !self.long_lived {
            for_partial_deployment(attributes);
        }
        if self.drain != Drain::None {
            self.for_drain(attributes);
        }
        let written = if attributes.next_hop == chosen {
            self.write_next_hop(chosen)
        } else if attributes.next_hop.addr().is_unspecified() {
            // Policy says `self`.
            self.ourselves()
        } else {
            Some(attributes.next_hop)
        };
        let Some(next_hop) = written else {
            return false;
        };
        attributes.next_hop = next_hop;
        if !self.aigp {
            // RFC 7311 §3.4: not over a session that is not AIGP-enabled.
            attributes.aigp = None;
        } else if attributes.next_hop != chosen {
            // RFC 7311 §3.4: who makes itself the next hop adds its own cost.
            attributes.aigp = attributes.aigp.map(|aigp| aigp.saturating_add(way.cost));
        }
        if let Some(rate) = way.rate.filter(|_| self.link_bandwidth)
            && attributes.next_hop != chosen
        {
            self.tell_bandwidth(attributes, heard.map(|(_, rate)| rate), rate);
        }
        true
    }

    /// Draft-ietf-idr-link-bandwidth §2: the link's bandwidth in octets a second, with our AS number if it fits. Traffic that
    /// comes to us does not get through wider than before.
    fn tell_bandwidth(&self, attributes: &mut Attributes, heard: Option<f32>, rate: u64) {
        let all = &mut attributes.ext_communities;
        all.retain(|c| c.as_link_bandwidth().is_none());
        #[allow(
            clippy::cast_precision_loss,
            reason = "IEEE single precision is what is told"
        )]
        let ours = (rate / 8) as f32;
        let least = heard.map_or(ours, |heard| heard.min(ours));
        let asn = u16::try_from(self.local_asn).unwrap_or(AS_TRANS);
        all.push(ExtendedCommunity::link_bandwidth(asn, least));
    }

    fn for_internal(&self, attributes: &mut Attributes, source: &Source) {
        // RFC 4271 §5.1.5: LOCAL_PREF is in all UPDATEs to internal peers.
        attributes.local_pref.get_or_insert(DEFAULT_LOCAL_PREF);
        if matches!(source.kind, Kind::Client | Kind::Internal) {
            // RFC 4456 §8.
            attributes.originator_id.get_or_insert(source.identifier);
            attributes.cluster_list.insert(0, self.cluster_id);
        }
    }

    /// RFC 7947 §2.2.4: what clients say to each other by communities is not for the route server to read or take out.
    fn is_transparent(&self, source: &Source) -> bool {
        self.rs_client && source.kind == Kind::External
    }

    fn for_external(&self, attributes: &mut Attributes, transparent: bool) {
        // RFC 4271 §5.1.5: LOCAL_PREF is not for external peers; RFC 4456 §8: nor are these two.
        attributes.local_pref = None;
        attributes.originator_id = None;
        attributes.cluster_list.clear();
        // RFC 4360 §6: what is not transitive stays in the AS.
        attributes
            .ext_communities
            .retain(|c| transparent || c.is_transitive());
        if attributes.as_path.has_confederation() {
            attributes.as_path = attributes.as_path.without_confederation();
        }
        // RFC 7947 §2.2.2: a route server does not put itself into the path.
        if !self.rs_client {
            // RFC 7705 §3.3: first the AS number that we have in truth, then the one that we have for this peer.
            if let Some(asn) = self.outbound {
                attributes.as_path.prepend(asn, 1);
            }
            attributes.as_path.prepend(self.local_asn, 1);
        }
        let down = matches!(
            self.role,
            Some(Role::Provider | Role::Peer | Role::RouteServer)
        );
        if down {
            // RFC 9234 §5: what goes to customers, peers and clients is marked with our AS, unless it is marked.
            attributes.only_to_customer.get_or_insert(self.local_asn);
        }
    }

    /// RFC 8326 §4.2: what is about to go says so, and in our AS anything else is preferred. Policy cannot undo it.
    fn for_drain(&self, attributes: &mut Attributes) {
        if self.internal {
            attributes.local_pref = Some(0);
        }
        mark(attributes, Community::GRACEFUL_SHUTDOWN);
    }

    fn write_next_hop(&self, chosen: NextHop) -> Option<NextHop> {
        let rule = match self.next_hop {
            NextHopRule::Standard if self.internal || self.rs_client => NextHopRule::Unchanged,
            NextHopRule::Standard => NextHopRule::Myself,
            other @ (NextHopRule::Myself | NextHopRule::Unchanged | NextHopRule::Address(_)) => {
                other
            }
        };
        match (rule, chosen) {
            (NextHopRule::Address(address), _) => {
                let address = match address {
                    IpAddr::V4(address) => NextHop::V4(address),
                    IpAddr::V6(address) => NextHop::V6(address),
                };
                self.fits(address)
                    .then_some(address)
                    .or_else(|| self.ourselves())
            }
            (NextHopRule::Unchanged, NextHop::V4(address)) if !address.is_unspecified() => {
                Some(chosen)
            }
            // RFC 2545 §3: the link-local address is of no use beyond the link.
            (
                NextHopRule::Unchanged,
                NextHop::V6(address) | NextHop::V6WithLinkLocal(address, _),
            ) if !address.is_unspecified() && !address.is_unicast_link_local() => {
                let next_hop = NextHop::V6(address);
                self.fits(next_hop).then_some(next_hop)
            }
            (NextHopRule::Standard | NextHopRule::Unchanged | NextHopRule::Myself, _) => {
                self.ourselves()
            }
        }
    }

    /// Whether the peer takes such a next hop for the family (RFC 8950).
    fn fits(&self, next_hop: NextHop) -> bool {
        match (self.family, next_hop) {
            (Family::Ipv4Unicast, NextHop::V6(_) | NextHop::V6WithLinkLocal(..)) => {
                self.extended_next_hop
            }
            (Family::Ipv6Unicast, NextHop::V4(_)) => false,
            (Family::Ipv4Unicast, NextHop::V4(_))
            | (Family::Ipv6Unicast, NextHop::V6(_) | NextHop::V6WithLinkLocal(..)) => true,
        }
    }

    fn ourselves(&self) -> Option<NextHop> {
        let v6 = self.local.ipv6.map(|global| match self.local.link_local {
            Some(link_local) if link_local != global => {
                NextHop::V6WithLinkLocal(global, link_local)
            }
            Some(_) | None => NextHop::V6(global),
        });
        match (self.family, self.local.ipv4) {
            (Family::Ipv4Unicast, Some(address)) => Some(NextHop::V4(address)),
            (Family::Ipv4Unicast, None) if self.extended_next_hop => v6,
            (Family::Ipv4Unicast, None) => None,
            (Family::Ipv6Unicast, _) => v6,
        }
    }
}

/// RFC 8326 §5: the path is to be shut down.
pub(crate) fn is_about_to_go(attributes: &Attributes) -> bool {
    let mark = Community::GRACEFUL_SHUTDOWN;
    attributes.communities.contains(&mark)
}

/// RFC 9494 §4.6: who does not know LLGR_STALE must prefer anything else, and keep the route in the AS.
fn for_partial_deployment(attributes: &mut Attributes) {
    if attributes.communities.contains(&Community::LLGR_STALE) {
        attributes.local_pref = Some(0);
        mark(attributes, Community::NO_EXPORT);
    }
}

/// It carries a community from now on.
pub(crate) fn mark(attributes: &mut Attributes, community: Community) {
    if !attributes.communities.contains(&community) {
        attributes.communities.push(community);
    }
}
