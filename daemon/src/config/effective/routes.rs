//! Routes of our own: what they say, where they lead, and what of the kernel becomes one.

use bgp_core::Attributes;
use ipnet::IpNet;
use speaker::config::{Config, Originate, PeerOptions, Redistribute, Static, StaticVia, When};

use super::super::redistribute::show_protocol;
use super::Lines;

pub(super) fn originated(route: &Originate, lines: &mut Lines) {
    lines.text("prefix", route.prefix);
    own_attributes(&route.attributes, lines);
    lines.put("tag", route.tag);
    match &route.when {
        When::Always => lines.text("when", "always"),
        When::AddressPresent(address) => {
            lines.put("when", format!("{{ address-present = \"{address}\" }}"))
        }
        When::RoutePresent(prefix) => {
            lines.put("when", format!("{{ route-present = \"{prefix}\" }}"))
        }
    }
}

pub(super) fn own_attributes(attributes: &Attributes, lines: &mut Lines) {
    lines.maybe("med", attributes.med);
    lines.maybe("local-pref", attributes.local_pref);
    lines.some_texts("communities", &attributes.communities);
    lines.some_texts("large-communities", &attributes.large_communities);
    lines.some_texts("ext-communities", &attributes.ext_communities);
}

pub(super) fn static_route(route: &Static, lines: &mut Lines) {
    lines.text("prefix", route.prefix);
    match &route.via {
        StaticVia::Blackhole => lines.text("via", "blackhole"),
        StaticVia::Unreachable => lines.text("via", "unreachable"),
        StaticVia::Prohibit => lines.text("via", "prohibit"),
        StaticVia::NextHops(hops) => {
            let hop = hops.iter().map(|hop| {
                let mut inner = Lines::default();
                inner.text("address", hop.address);
                inner.maybe_text("interface", hop.interface.as_ref());
                inner.put("weight", hop.weight);
                inner.inline()
            });
            lines.put("via", format!("[{}]", hop.collect::<Vec<_>>().join(", ")));
        }
    }
    lines.put("originate", route.originate);
    lines.put("tag", route.tag);
}

pub(super) fn redistribute(redistribute: &Redistribute, lines: &mut Lines) {
    if let Some(connected) = &redistribute.connected {
        let mut inner = Lines::default();
        inner.some_texts("interfaces", &connected.interfaces.0);
        inner.text("policy", &connected.policy);
        lines.put("connected", inner.inline());
    }
    if let Some(kernel) = &redistribute.kernel {
        let mut inner = Lines::default();
        let protocols = kernel.protocols.iter().map(|p| show_protocol(*p));
        let protocols: Vec<_> = protocols.collect();
        inner.put("protocols", format!("[{}]", protocols.join(", ")));
        inner.put("table", kernel.table);
        inner.some_texts("interfaces", &kernel.interfaces.0);
        inner.text("policy", &kernel.policy);
        lines.put("kernel", inner.inline());
    }
}

/// Says so where a prefix covers an end of a session, which was allowed to it.
pub(super) fn covering(prefix: IpNet, config: &Config, lines: &mut Lines) {
    let local = |options: &PeerOptions| options.local_address;
    let ends = config
        .peers
        .iter()
        .flat_map(|peer| [Some(peer.address), local(&peer.options)]);
    let mut ends = ends
        .chain(config.ranges.iter().map(|range| local(&range.options)))
        .flatten();
    if ends.any(|end| prefix.contains(&end)) {
        lines.put("covers-peers", true);
    }
}
