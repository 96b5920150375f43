//! What clients say, into what the core takes: parsed once, wrong values named by their field.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use bgp_core::attributes::{AsPath, LargeCommunity, NextHop, Origin, SegmentKind};
use bgp_core::update::encode_attributes;
use bgp_core::{Attributes, Family};
use ipnet::IpNet;
use proto::v1;
use proto::v1::as_path_segment::Kind;
use speaker::command::{Injection, InjectionBatch, PeerName, Refusal};
use speaker::view::RouteQuery;

/// Most octets of an owner's name.
const OWNER_MAX: usize = 64;
/// Most octets of a shutdown communication (RFC 9003 §2).
const MESSAGE_MAX: usize = 255;
/// Most octets of the attributes of an injected route: they and a prefix with its next hop fit a message of
/// 4096 octets (RFC 4271 §4.1), also when we add to the path.
const ATTRIBUTES_MAX: usize = 3_900;

/// What a drain grants if it does not say.
const GRACE: Duration = Duration::from_secs(60);

type Parsed<T> = Result<T, Refusal>;

fn invalid(field: &str, why: impl Display) -> Refusal {
    Refusal::Invalid {
        field: field.into(),
        why: why.to_string(),
    }
}

/// A prefix with its length, and no host bits.
pub(crate) fn prefix(field: &str, text: &str) -> Parsed<IpNet> {
    let net: IpNet = text.parse().map_err(|_| {
        invalid(
            field,
            format!("`{text}` is no prefix: write 10.0.0.0/8 or 2001:db8::/32"),
        )
    })?;
    if net.trunc() != net {
        let why = format!(
            "`{text}` has bits set beyond its length: write {}",
            net.trunc()
        );
        return Err(invalid(field, why));
    }
    Ok(net)
}

/// The prefix behind which a page begins; empty is the first page.
pub(crate) fn prefix_token(token: &str) -> Parsed<Option<IpNet>> {
    let prefix = (!token.is_empty()).then(|| token.parse()).transpose();
    prefix.map_err(|_| unknown_token())
}

/// The peer behind which a page begins; empty is the first page.
pub(crate) fn peer_token(token: &str) -> Parsed<Option<PeerName>> {
    let name = (!token.is_empty())
        .then(|| peer_name("page_token", token))
        .transpose();
    name.map_err(|_| unknown_token())
}

/// The row behind which a page begins; empty is the first page.
pub(crate) fn offset(token: &str) -> Parsed<usize> {
    if token.is_empty() {
        return Ok(0);
    }
    token.parse().map_err(|_| unknown_token())
}

fn unknown_token() -> Refusal {
    let why = "it is not one that an answer gave: leave it empty to start anew";
    invalid("page_token", why)
}

/// An address; a link-local one with its interface.
pub(crate) fn peer_name(field: &str, text: &str) -> Parsed<PeerName> {
    let (address, interface) = match text.split_once('%') {
        Some((address, interface)) => (address, Some(interface)),
        None => (text, None),
    };
    let wrong = || {
        invalid(
            field,
            format!("`{text}` is no peer: write its address, as 10.0.0.2 or fe80::2%eth0"),
        )
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    match (address, interface) {
        (IpAddr::V6(v6), Some(interface))
            if v6.is_unicast_link_local() && !interface.is_empty() =>
        {
            Ok(PeerName {
                address,
                interface: Some(interface.into()),
            })
        }
        (IpAddr::V6(v6), None) if v6.is_unicast_link_local() => Err(invalid(
            field,
            format!("`{text}` is link-local: add its interface, as {text}%eth0"),
        )),
        (_, Some(_)) => Err(wrong()),
        (_, None) => Ok(PeerName {
            address,
            interface: None,
        }),
    }
}

/// A family; absent is all of them.
pub(crate) fn family(field: &str, family: Option<i32>) -> Parsed<Option<Family>> {
    match family.map(v1::Family::try_from) {
        None => Ok(None),
        Some(Ok(v1::Family::Ipv4)) => Ok(Some(Family::Ipv4Unicast)),
        Some(Ok(v1::Family::Ipv6)) => Ok(Some(Family::Ipv6Unicast)),
        Some(Ok(v1::Family::Unspecified) | Err(_)) => {
            Err(invalid(field, "no such family: FAMILY_IPV4 or FAMILY_IPV6"))
        }
    }
}

/// What a peer is told when its session ends (RFC 9003).
pub(crate) fn shutdown_message(message: Option<String>) -> Parsed<Option<String>> {
    match message {
        Some(text) if text.len() > MESSAGE_MAX => {
            let why = format!(
                "it has {} octets: at most {MESSAGE_MAX} go to a peer",
                text.len()
            );
            Err(invalid("message", why))
        }
        message => Ok(message),
    }
}

pub(crate) fn route_query(request: v1::ListRoutesRequest) -> Parsed<RouteQuery> {
    let peer =
        |field: &str, name: Option<String>| name.map(|name| peer_name(field, &name)).transpose();
    let query = RouteQuery {
        prefix: request
            .prefix
            .map(|text| prefix("prefix", &text))
            .transpose()?,
        longer: request.longer,
        best_only: request.best_only,
        received_from: peer("received_from", request.received_from)?,
        advertised_to: peer("advertised_to", request.advertised_to)?,
        family: family("family", request.family)?,
    };
    if query.longer && query.prefix.is_none() {
        return Err(invalid(
            "longer",
            "within which prefix? Give one, or leave this out for all",
        ));
    }
    if query.received_from.is_some() && query.advertised_to.is_some() {
        return Err(invalid("advertised_to", "not together with received_from"));
    }
    Ok(query)
}

/// Who owns injected routes.
pub(crate) fn owner_name(owner: String) -> Parsed<String> {
    if owner.is_empty() || owner.len() > OWNER_MAX || owner.chars().any(char::is_control) {
        let why = format!("a name of 1 to {OWNER_MAX} octets, with no control characters");
        return Err(invalid("owner", why));
    }
    Ok(owner)
}

pub(crate) fn batch(request: v1::InjectRequest) -> Parsed<InjectionBatch> {
    let announce = request.announce.into_iter().enumerate();
    Ok(InjectionBatch {
        owner: owner_name(request.owner)?,
        lease: request.lease.map(lease).transpose()?,
        announce: announce
            .map(|(i, route)| injection(&format!("announce[{i}]"), route))
            .collect::<Parsed<_>>()?,
        withdraw: keys("withdraw", &request.withdraw)?,
        replace_all: request.replace_all,
    })
}

pub(crate) fn withdrawal(request: v1::WithdrawRequest) -> Parsed<InjectionBatch> {
    if request.routes.is_empty() {
        return Err(invalid("routes", "which ones? Name at least one"));
    }
    Ok(InjectionBatch {
        owner: owner_name(request.owner)?,
        withdraw: keys("routes", &request.routes)?,
        ..InjectionBatch::default()
    })
}

fn keys(field: &str, keys: &[v1::RouteKey]) -> Parsed<Vec<(IpNet, u32)>> {
    let keys = keys.iter().enumerate();
    let parsed = keys.map(|(i, key)| {
        Ok((
            prefix(&format!("{field}[{i}].prefix"), &key.prefix)?,
            key.path_id,
        ))
    });
    parsed.collect()
}

/// How long peers may take to move away from a router that is drained.
pub(crate) fn grace(grace: Option<prost_types::Duration>) -> Parsed<Duration> {
    grace.map_or(Ok(GRACE), |grace| {
        Duration::try_from(grace).map_err(|_| invalid("grace", "it is negative, or too long"))
    })
}

fn lease(lease: prost_types::Duration) -> Parsed<Duration> {
    Duration::try_from(lease).map_err(|_| invalid("lease", "it is negative, or too long"))
}

fn injection(field: &str, route: v1::InjectedRoute) -> Parsed<Injection> {
    let prefix = prefix(&format!("{field}.prefix"), &route.prefix)?;
    let attributes = route.attributes.unwrap_or_default();
    Ok(Injection {
        prefix,
        attributes: parse_attributes(field, prefix, &attributes)?,
        path_id: route.path_id,
        install: route.install,
        tag: route.tag,
    })
}

pub(super) fn parse_attributes(
    field: &str,
    prefix: IpNet,
    said: &v1::Attributes,
) -> Parsed<Attributes> {
    answers_only(field, said)?;
    let origin = match v1::Origin::try_from(said.origin) {
        Ok(v1::Origin::Unspecified | v1::Origin::Igp) => Origin::Igp,
        Ok(v1::Origin::Egp) => Origin::Egp,
        Ok(v1::Origin::Incomplete) => Origin::Incomplete,
        Err(_) => return Err(invalid(&format!("{field}.origin"), "no such origin")),
    };
    let as_path = as_path(&format!("{field}.as_path"), &said.as_path)?;
    let attributes = Attributes {
        med: said.med,
        local_pref: said.local_pref,
        atomic_aggregate: said.atomic_aggregate,
        communities: list(&format!("{field}.communities"), &said.communities)?,
        ext_communities: list(&format!("{field}.ext_communities"), &said.ext_communities)?,
        ipv6_ext_communities: list(
            &format!("{field}.ipv6_ext_communities"),
            &said.ipv6_ext_communities,
        )?,
        aigp: said.aigp,
        large_communities: LargeCommunity::distinct(list::<_, Vec<_>>(
            &format!("{field}.large_communities"),
            &said.large_communities,
        )?),
        ..Attributes::new(origin, as_path, next_hop(field, prefix, said)?)
    };
    let mut block = Vec::new();
    encode_attributes(&attributes, true, &mut block);
    if block.len() > ATTRIBUTES_MAX {
        let why = format!(
            "they take {} octets: at most {ATTRIBUTES_MAX} fit a message",
            block.len()
        );
        return Err(invalid(field, why));
    }
    Ok(attributes)
}

/// What a route gets on its way cannot be given to it: to drop it in silence would be a lie.
fn answers_only(field: &str, said: &v1::Attributes) -> Parsed<()> {
    let given = [
        ("aggregator", said.aggregator.is_some()),
        ("originator_id", said.originator_id.is_some()),
        ("cluster_list", !said.cluster_list.is_empty()),
        ("only_to_customer", said.only_to_customer.is_some()),
        ("unknown", !said.unknown.is_empty()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(invalid(
            &format!("{field}.{name}"),
            "it cannot be injected: leave it out",
        )),
        None => Ok(()),
    }
}

fn as_path(field: &str, segments: &[v1::AsPathSegment]) -> Parsed<AsPath> {
    let mut path = AsPath::default();
    for (i, segment) in segments.iter().enumerate() {
        let field = format!("{field}[{i}]");
        let kind = match Kind::try_from(segment.kind) {
            Ok(Kind::Unspecified | Kind::Sequence) => SegmentKind::Sequence,
            Ok(Kind::Set) => SegmentKind::Set,
            Ok(Kind::ConfedSequence) => SegmentKind::ConfedSequence,
            Ok(Kind::ConfedSet) => SegmentKind::ConfedSet,
            Err(_) => return Err(invalid(&field, "no such kind of segment")),
        };
        if segment.asns.contains(&0) {
            return Err(invalid(&field, "0 is nobody's AS number (RFC 7607)"));
        }
        path.push(kind, &segment.asns);
    }
    Ok(path)
}

/// An unspecified address stands for ourselves.
fn next_hop(field: &str, prefix: IpNet, said: &v1::Attributes) -> Parsed<NextHop> {
    let field = format!("{field}.next_hop");
    let address = said.next_hop.as_deref().map(|text| {
        let usable = text.parse().ok().filter(|address| is_host(*address));
        usable.ok_or_else(|| {
            invalid(
                &field,
                format!("`{text}` is no host's address: leave it out for ourselves"),
            )
        })
    });
    let link_local = said.link_local_next_hop.as_deref().map(|text| {
        let usable = text.parse().ok().filter(Ipv6Addr::is_unicast_link_local);
        usable.ok_or_else(|| invalid(&field, format!("`{text}` is no link-local address")))
    });
    match (prefix, address.transpose()?, link_local.transpose()?) {
        (IpNet::V4(_), None, None) => Ok(NextHop::V4(Ipv4Addr::UNSPECIFIED)),
        (IpNet::V6(_), None, None) => Ok(NextHop::V6(Ipv6Addr::UNSPECIFIED)),
        (IpNet::V4(_), Some(IpAddr::V4(v4)), None) => Ok(NextHop::V4(v4)),
        (_, Some(IpAddr::V6(v6)), None) => Ok(NextHop::V6(v6)),
        (_, Some(IpAddr::V6(v6)), Some(local)) => Ok(NextHop::V6WithLinkLocal(v6, local)),
        (IpNet::V6(_), Some(IpAddr::V4(v4)), None) => Err(invalid(
            &field,
            format!("{prefix} needs an IPv6 address, not {v4}"),
        )),
        (_, None | Some(IpAddr::V4(_)), Some(_)) => Err(invalid(
            &field,
            "a link-local address goes with a global IPv6 one",
        )),
    }
}

fn is_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !address.is_loopback() && !broadcast
}

fn list<T, C>(field: &str, texts: &[String]) -> Parsed<C>
where
    T: FromStr<Err = String>,
    C: FromIterator<T>,
{
    let values = texts.iter().enumerate().map(|(i, text)| {
        text.parse()
            .map_err(|why: String| invalid(&format!("{field}[{i}]"), why))
    });
    values.collect()
}
