//! What a host must have told a neighbor.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgp_core::attributes::{Community, NextHop};
use bgp_core::{Attributes, Family};
use ipnet::IpNet;
use rib::Drain;
use speaker::config::Config;

use super::choice::{Candidate, Choices, is_beneath, mark};
use super::{Linked, Neighbor};
use crate::sim::{draw, policy};

/// Of each prefix, the paths that a neighbor is told, in no order.
pub(super) type Told = BTreeMap<IpNet, Vec<Attributes>>;

/// What a peer must have been told. All peers have `next-hop = "self"`.
pub(super) fn expected(config: &Config, stage: Drain, linked: &Linked, choices: &Choices) -> Told {
    let Linked { neighbor, back, .. } = linked;
    let (ours, theirs) = (&neighbor.peer.options, &back.peer.options);
    // RFC 7911: several, where both want it; else the best one.
    let several = ours.add_path_send && theirs.add_path_receive;
    let mut told = Told::new();
    if stage == Drain::Withdrawn {
        return told;
    }
    for (prefix, choice) in choices {
        let most = if several { usize::MAX } else { 1 };
        let limit = if several {
            ours.add_path_limit.into()
        } else {
            1
        };
        let exported = choice.ranked.iter().take(most).filter_map(|route| {
            let attributes = export(config, stage, linked, (*prefix, route))?;
            Some((route.peer, attributes))
        });
        let paths = exported.take(limit);
        let paths = paths.filter(|(from, _)| *from != Some(neighbor.peer.address));
        let paths: Vec<_> = paths.map(|(_, attributes)| attributes).collect();
        if !paths.is_empty() {
            told.insert(*prefix, paths);
        }
    }
    told
}

/// Whether a route may be told at all.
fn admits(config: &Config, linked: &Linked, (prefix, route): (IpNet, &Candidate)) -> bool {
    let (router, peer, theirs) = (
        &config.router,
        &linked.neighbor.peer,
        &linked.back.peer.options,
    );
    let family = match prefix {
        IpNet::V4(_) => Family::Ipv4Unicast,
        IpNet::V6(_) => Family::Ipv6Unicast,
    };
    let external = peer.asn != router.asn;
    let agreed = *peer.options.families.get(family) && *theirs.families.get(family);
    let internal = route.peer.is_some() && !route.external;
    let client = peer.options.rr_client;
    // RFC 4456 §6: from clients to all, unless they tell each other; from others to clients.
    let reflected = match route.client {
        true => router.client_to_client || !client,
        false => client,
    };
    let mut summaries = config.aggregates.iter().filter(|a| a.summary_only);
    let suppressed = !route.aggregate && summaries.any(|a| is_beneath(&prefix, a));
    // RFC 9494 §4.3.
    let knows = theirs
        .graceful_restart
        .is_some_and(|g| g.long_lived.is_some());
    let kept_back = !agreed
        || suppressed
        || route.carries(Community::NO_ADVERTISE)
        || external && route.carries(Community::NO_EXPORT)
        || external && route.carries(Community::LLGR_STALE) && !knows
        || !external && internal && !reflected;
    !kept_back
}

/// A route as a neighbor is told it.
fn export(
    config: &Config,
    stage: Drain,
    linked: &Linked,
    (prefix, route): (IpNet, &Candidate),
) -> Option<Attributes> {
    let Linked { neighbor, back, .. } = linked;
    let (router, peer) = (&config.router, &neighbor.peer);
    let external = peer.asn != router.asn;
    let mut attributes = route.attributes.clone();
    // RFC 4271 §5.1.4: MED of another AS goes no further.
    if external && route.peer.is_some() {
        attributes.med = None;
    }
    let export = peer.options.export.as_ref();
    let passes = admits(config, linked, (prefix, route))
        && policy::apply(
            &config.policies,
            export,
            prefix,
            &mut attributes,
            router.asn,
        );
    if !passes {
        return None;
    }
    attributes.next_hop = next_hop(neighbor, back, prefix);
    if external {
        attributes.as_path.prepend(router.asn, 1);
        attributes.local_pref = None;
        attributes.originator_id = None;
        attributes.cluster_list.clear();
    } else {
        attributes.local_pref.get_or_insert(100);
        if route.peer.is_some() && !route.external {
            // RFC 4456 §8.
            attributes.originator_id.get_or_insert(route.identifier);
            attributes.cluster_list.insert(0, router.cluster_id);
        }
        // RFC 9494 §4.6.
        let theirs = back.peer.options.graceful_restart;
        let knows = theirs.is_some_and(|g| g.long_lived.is_some());
        if route.carries(Community::LLGR_STALE) && !knows {
            attributes.local_pref = Some(0);
            mark(&mut attributes, Community::NO_EXPORT);
        }
    }
    if stage == Drain::Announcing {
        // RFC 8326 §4.2.
        mark(&mut attributes, Community::GRACEFUL_SHUTDOWN);
        attributes.local_pref = if external { None } else { Some(0) };
    }
    Some(attributes)
}

/// Ourselves, as a peer sees us: IPv4 routes have an IPv6 next hop over IPv6, if both offered it (RFC 8950).
fn next_hop(neighbor: &Neighbor, back: &Neighbor, prefix: IpNet) -> NextHop {
    let [v4, v6] = draw::addresses(back.host);
    let extended = neighbor.peer.options.extended_next_hop && back.peer.options.extended_next_hop;
    match (v4, v6) {
        (IpAddr::V4(v4), _)
            if prefix.addr().is_ipv4() && !(extended && back.peer.address.is_ipv6()) =>
        {
            NextHop::V4(v4)
        }
        (_, IpAddr::V6(v6)) => NextHop::V6(v6),
        (_, IpAddr::V4(v4)) => NextHop::V4(v4),
    }
}
