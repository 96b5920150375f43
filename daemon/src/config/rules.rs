//! Rules between sections: addresses that are ours, and prefixes that would swallow the way to a peer.

use std::net::IpAddr;

use speaker::config::{Fib, Peer, PeerRange, Router};

use super::peers::{Placed, show};
use super::report::Report;
use super::routes::Own;

/// No peer may have an address of ours.
pub(super) fn own_addresses(router: &Router, fib: &Fib, peers: &[Placed<Peer>], report: &Report) {
    let mut ours: Vec<(IpAddr, &str)> = vec![(router.router_id.into(), "`router-id`")];
    let listen = router.listen.iter().map(|socket| socket.ip());
    ours.extend(
        listen
            .filter(|ip| !ip.is_unspecified())
            .map(|ip| (ip, "`listen`")),
    );
    ours.extend(fib.prefsrc_v4.map(|ip| (ip.into(), "`prefsrc`")));
    ours.extend(fib.prefsrc_v6.map(|ip| (ip.into(), "`prefsrc`")));
    let local = peers
        .iter()
        .filter_map(|peer| peer.value.options.local_address);
    ours.extend(local.map(|ip| (ip, "a `local-address`")));
    for peer in peers {
        // The same link-local address is on many links.
        if super::values::is_link_local(peer.value.address) {
            continue;
        }
        if let Some((_, key)) = ours.iter().find(|(ip, _)| *ip == peer.value.address) {
            let what = format!("{} is an address of ours, by {key}", peer.value.address);
            report.error(
                peer.at.clone(),
                &what,
                "write the address of the other side",
            );
        }
    }
}

/// A prefix that covers an end of a session would lead the packets of the tunnel into the tunnel.
/// The default route covers everything and is left alone.
pub(super) fn tunnels(
    own: &[Own],
    peers: &[Placed<Peer>],
    ranges: &[Placed<PeerRange>],
    report: &Report,
) {
    let of_peers = peers.iter().flat_map(|peer| {
        let local = peer.value.options.local_address;
        [
            Some((peer.value.address, show(&peer.value))),
            local.map(|ip| (ip, format!("{ip}, our end of a session,"))),
        ]
    });
    let of_ranges = ranges.iter().map(|range| {
        range
            .value
            .options
            .local_address
            .map(|ip| (ip, format!("{ip}, our end of sessions,")))
    });
    let ends: Vec<_> = of_peers.chain(of_ranges).flatten().collect();
    for own in own
        .iter()
        .filter(|own| !own.covers_peers && own.prefix.prefix_len() != 0)
    {
        if let Some((_, whose)) = ends.iter().find(|(ip, _)| own.prefix.contains(ip)) {
            let what = if own.announced {
                format!(
                    "{} covers the peer network: {whose} lies within, and its tunnel would be led into itself",
                    own.prefix
                )
            } else {
                format!("{} cuts off {whose} which lies within", own.prefix)
            };
            let instead =
                "write a prefix apart from it, or add `covers-peers = true` if that is meant";
            report.error(own.at.clone(), &what, instead);
        }
    }
}
