//! Draws what hosts have besides: several paths, aggregates, what is redistributed.

use std::net::{Ipv4Addr, Ipv6Addr};

use bgp_core::Attributes;
use bgp_core::attributes::{AsPath, Community, Origin};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rib::policy::Action;
use speaker::config::{
    Aggregate, Config, Interfaces, PeerOptions, Redistribute, RedistributeConnected,
    RedistributeKernel,
};
use speaker::inject::ourselves;

use super::{numbered, policy, prefix};
use crate::sim::net::Chance;

/// The policy of what is redistributed.
const FROM_KERNEL: &str = "from-kernel";
/// The metric of routes that are there to be redistributed: nobody else uses it.
pub(in crate::sim) const REDISTRIBUTED: u32 = 5;

/// Several paths a prefix, to or from some peers.
pub(super) fn add_path(options: &mut PeerOptions, chance: &mut Chance) {
    options.add_path_receive = !chance.one_in(3);
    options.add_path_send = !chance.one_in(3);
    options.add_path_limit = chance.pick(&[1, 2, 3, 8]).unwrap_or(8);
}

/// All that is drawn for a host in a world that has everything.
pub(super) fn enrich(config: &mut Config, chance: &mut Chance) {
    config.router.multipath = chance.pick(&[1, 16]).unwrap_or(1);
    if chance.one_in(3) {
        let all = config.peers.iter_mut().map(|peer| &mut peer.options);
        let ranges = config.ranges.iter_mut().map(|range| &mut range.options);
        for options in all.chain(ranges) {
            add_path(options, chance);
        }
    }
    for originate in &mut config.originate {
        if chance.one_in(5) {
            originate.attributes.communities.push(Community::NO_LLGR);
        }
    }
    let mut from_kernel = policy(FROM_KERNEL, false, chance);
    from_kernel.default = Some(Action::Accept);
    config.policies.push(from_kernel);
    config.aggregates = aggregates(chance);
    config.redistribute = redistribute(chance);
}

pub(in crate::sim) fn aggregates(chance: &mut Chance) -> Vec<Aggregate> {
    let v4 = |third, len| net4(Ipv4Addr::new(10, 100, third, 0), len);
    let v6 = |third, len| net6(Ipv6Addr::new(0xfd01, 0, third, 0, 0, 0, 0, 0), len);
    let all = [
        net4(Ipv4Addr::new(10, 96, 0, 0), 12),
        v4(0, 16),
        v4(0, 20),
        v4(8, 22),
        v4(16, 21),
        v6(0, 32),
        v6(8, 45),
    ];
    let mut aggregates = Vec::new();
    for prefix in all {
        if !chance.one_in(4) {
            continue;
        }
        let mut attributes = Attributes::new(Origin::Igp, AsPath::default(), ourselves(prefix));
        attributes.med = chance.one_in(3).then_some(1);
        if chance.one_in(3) {
            attributes.communities.push(Community(0xfde8_0063));
        }
        aggregates.push(Aggregate {
            prefix,
            summary_only: chance.one_in(2),
            attributes,
            tag: 0,
            discard: chance.one_in(2),
        });
    }
    aggregates
}

pub(in crate::sim) fn redistribute(chance: &mut Chance) -> Redistribute {
    let policy = || FROM_KERNEL.to_owned();
    let interfaces = || Interfaces(Vec::new());
    Redistribute {
        connected: chance.one_in(3).then(|| RedistributeConnected {
            interfaces: interfaces(),
            policy: policy(),
        }),
        kernel: chance.one_in(2).then(|| RedistributeKernel {
            // `RTPROT_STATIC`.
            protocols: vec![4],
            table: 254,
            interfaces: interfaces(),
            policy: policy(),
        }),
    }
}

/// Where somebody else puts a route.
pub(in crate::sim) fn foreign(chance: &mut Chance) -> IpNet {
    match chance.one_in(2) {
        true => numbered(104, u8::try_from(chance.below(4)).unwrap_or(0)),
        false => prefix(chance),
    }
}

fn net4(network: Ipv4Addr, len: u8) -> IpNet {
    Ipv4Net::new(network, len).unwrap_or_default().into()
}

fn net6(network: Ipv6Addr, len: u8) -> IpNet {
    Ipv6Net::new(network, len).unwrap_or_default().into()
}
