//! From two OPENs to a session: what is refused (RFC 4271 §6.2), and what is agreed on (RFC 5492).

use std::net::Ipv4Addr;
use std::time::Duration;

use bgp_core::capability::{AddPathMode, Afi, GracefulRestart, LongLived, Role};
use bgp_core::family::PerFamily;
use bgp_core::open::AS_TRANS;
use bgp_core::refresh::Subtype;
use bgp_core::{Capability, Code, Family, Open, Reset, RouteRefresh};
use bytes::{BufMut as _, Bytes, BytesMut};

use crate::config::Config;
use crate::event::Side;

/// The AFI of IPv6.
const AFI_IPV6: u16 = 2;

/// What both sides agreed on. Exists only once they have.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The peer's AS number.
    pub peer_asn: u32,
    /// The peer's BGP Identifier.
    pub identifier: Ipv4Addr,
    /// Who opened the connection.
    pub side: Side,
    /// The smaller of the two hold times (RFC 4271 §4.2); `None`: no hold timer, no KEEPALIVEs.
    pub hold_time: Option<Duration>,
    /// Time between our KEEPALIVEs, before jitter.
    pub keepalive: Option<Duration>,
    /// Families that both offer. A peer that names none offers IPv4 unicast (RFC 4760 §8).
    pub families: PerFamily<bool>,
    /// AS numbers take four octets (RFC 6793).
    pub four_octet_as: bool,
    /// Path Identifiers come with what we receive (RFC 7911 §4).
    pub add_path_receive: PerFamily<bool>,
    /// They go with what we send.
    pub add_path_send: PerFamily<bool>,
    /// The peer takes ROUTE-REFRESH (RFC 2918).
    pub route_refresh: bool,
    /// Both mark the beginning and the end of a refresh (RFC 7313).
    pub enhanced_refresh: bool,
    /// Messages may have 65535 octets (RFC 8654).
    pub extended_message: bool,
    /// IPv4 routes may have IPv6 next hops, both ways (RFC 8950).
    pub extended_next_hop: bool,
    /// The peer's (RFC 4724), if we offered it too. Its N bit is set if ours was as well (RFC 8538 §2).
    pub graceful_restart: Option<GracefulRestart>,
    /// The peer's (RFC 9494).
    pub long_lived: Vec<LongLived>,
    /// The peer's (RFC 9234).
    pub role: Option<Role>,
    /// All that the peer offered, in its order.
    pub capabilities: Vec<Capability>,
    /// The OPENs that it came from, as they were sent: a monitoring station is told (RFC 7854 §4.10).
    pub opens: Box<Opens>,
}

/// The two OPENs of a session, whole messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Opens {
    /// Ours.
    pub sent: Bytes,
    /// The peer's.
    pub received: Bytes,
}

impl Session {
    /// Whether a ROUTE-REFRESH is one that was agreed on; all others are ignored (RFC 2918 §4, RFC 7313 §5).
    pub(crate) fn covers(&self, refresh: &RouteRefresh) -> bool {
        let family = Family::from_numbers(refresh.family.afi, refresh.family.safi);
        let subtype = match refresh.subtype {
            Subtype::Request => true,
            Subtype::Begin | Subtype::End => self.enhanced_refresh,
            Subtype::Unknown(_) => false,
        };
        subtype && family.is_some_and(|family| *self.families.get(family))
    }
}

/// Judges a peer's OPEN, and makes a session of it.
pub(crate) fn agree(config: &Config, open: Open, side: Side) -> Result<Session, Reset> {
    let ours = &config.capabilities;
    let theirs = &open.capabilities;
    check_peer(config, &open)?;
    let families = families(config, theirs)?;
    let role = if open.asn == config.local_asn {
        None
    } else {
        role(config, theirs)?
    };
    let hold_time = config
        .hold_time
        .min(Duration::from_secs(open.hold_time.into()));
    let hold_time = (!hold_time.is_zero()).then_some(hold_time);
    let both = |wanted: &Capability| ours.contains(wanted) && theirs.contains(wanted);
    Ok(Session {
        peer_asn: open.asn,
        identifier: open.identifier,
        side,
        hold_time,
        keepalive: hold_time.map(|hold| config.keepalive.unwrap_or(hold / 3).min(hold / 3)),
        families,
        four_octet_as: has_four_octets(ours) && has_four_octets(theirs),
        add_path_receive: add_path(theirs, ours),
        add_path_send: add_path(ours, theirs),
        route_refresh: theirs.contains(&Capability::RouteRefresh),
        enhanced_refresh: both(&Capability::EnhancedRouteRefresh),
        extended_message: both(&Capability::ExtendedMessage),
        extended_next_hop: has_extended_next_hop(ours) && has_extended_next_hop(theirs),
        graceful_restart: graceful_restart(ours, theirs),
        long_lived: theirs
            .iter()
            .find_map(|c| {
                if let Capability::LongLivedGracefulRestart(rows) = c {
                    Some(rows.clone())
                } else {
                    None
                }
            })
            .unwrap_or_default(),
        role,
        capabilities: open.capabilities,
        opens: Box::default(),
    })
}

/// RFC 4724 §3: of several, the last one counts. RFC 8538 §2: the N bit is agreed on when both set it.
fn graceful_restart(ours: &[Capability], theirs: &[Capability]) -> Option<GracefulRestart> {
    let last = |all: &[Capability]| {
        all.iter().rev().find_map(|c| {
            if let Capability::GracefulRestart(restart) = c {
                Some(restart.clone())
            } else {
                None
            }
        })
    };
    let (ours, mut theirs) = (last(ours)?, last(theirs)?);
    theirs.notification &= ours.notification;
    Some(theirs)
}

fn has_four_octets(all: &[Capability]) -> bool {
    all.iter().any(|c| matches!(c, Capability::FourOctetAs(_)))
}

fn has_extended_next_hop(all: &[Capability]) -> bool {
    let row = (Afi::from(Family::Ipv4Unicast), AFI_IPV6);
    all.iter()
        .any(|c| matches!(c, Capability::ExtendedNextHop(rows) if rows.contains(&row)))
}

/// RFC 7911 §4: Path Identifiers flow where one end sends them and the other takes them.
fn add_path(from: &[Capability], to: &[Capability]) -> PerFamily<bool> {
    let mode = |all: &[Capability], family: Family| {
        let afi = Afi::from(family);
        all.iter().find_map(|c| {
            let Capability::AddPath(rows) = c else {
                return None;
            };
            rows.iter()
                .find(|(of, _)| *of == afi)
                .map(|(_, mode)| *mode)
        })
    };
    let flows = |family| {
        matches!(
            mode(from, family),
            Some(AddPathMode::Send | AddPathMode::Both)
        ) && matches!(
            mode(to, family),
            Some(AddPathMode::Receive | AddPathMode::Both)
        )
    };
    PerFamily {
        ipv4: flows(Family::Ipv4Unicast),
        ipv6: flows(Family::Ipv6Unicast),
    }
}

/// RFC 4271 §6.2, RFC 6286 §2.2, RFC 6793 §4.2.
fn check_peer(config: &Config, open: &Open) -> Result<(), Reset> {
    // AS_TRANS is no AS of anybody, and a capability that says otherwise is a lie.
    if open.asn == 0 || open.asn == u32::from(AS_TRANS) || !config.peer_asn.takes(open.asn) {
        return Err(Code::BadPeerAs.into());
    }
    let internal = open.asn == config.local_asn;
    if open.identifier.is_unspecified() || (internal && open.identifier == config.identifier) {
        return Err(Code::BadBgpIdentifier.into());
    }
    Ok(())
}

fn families(config: &Config, theirs: &[Capability]) -> Result<PerFamily<bool>, Reset> {
    let names_any = theirs
        .iter()
        .any(|c| matches!(c, Capability::Multiprotocol(_)));
    let offered = |family: Family| {
        theirs.contains(&Capability::Multiprotocol(family.into()))
            || (!names_any && family == Family::Ipv4Unicast)
    };
    let common = |family| *config.families.get(family) && offered(family);
    let families = PerFamily {
        ipv4: common(Family::Ipv4Unicast),
        ipv6: common(Family::Ipv6Unicast),
    };
    if families.ipv4 || families.ipv6 {
        return Ok(families);
    }
    // RFC 5492 §5: the data lists the capabilities that cause it.
    let mut data = BytesMut::new();
    for family in Family::ALL
        .into_iter()
        .filter(|family| *config.families.get(*family))
    {
        let Afi { afi, safi } = family.into();
        data.put_slice(&[1, 4]);
        data.put_u16(afi);
        data.put_slice(&[0, safi]);
    }
    Err(Reset {
        code: Code::UnsupportedCapability,
        data: data.freeze(),
    })
}

/// RFC 9234 §4.2: the peer's role, if it fits ours. Internal sessions have none.
fn role(config: &Config, theirs: &[Capability]) -> Result<Option<Role>, Reset> {
    let role_of = |c: &Capability| {
        if let Capability::Role(role) = c {
            Some(*role)
        } else {
            None
        }
    };
    let ours = config.capabilities.iter().find_map(role_of);
    let mut roles = theirs.iter().filter_map(role_of);
    let their = roles.next();
    let agrees_with_itself = roles.all(|other| Some(other) == their);
    let fits = match (ours, their) {
        (Some(ours), Some(their)) => matches!(
            (ours, their),
            (Role::Provider, Role::Customer)
                | (Role::Customer, Role::Provider)
                | (Role::RouteServer, Role::RouteServerClient)
                | (Role::RouteServerClient, Role::RouteServer)
                | (Role::Peer, Role::Peer)
        ),
        (Some(_), None) => !config.strict_role,
        (None, _) => true,
    };
    if fits && agrees_with_itself {
        Ok(their)
    } else {
        Err(Code::RoleMismatch.into())
    }
}

#[cfg(test)]
mod tests;
