//! A kernel that does as it likes, and a naive look at it.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test draws a few facts")]

use std::collections::BTreeSet;

use fib_netlink::{Path, Rank};

use super::*;
use crate::config::RedistributeConnected;

const OURS: u8 = 186;

/// A kernel, as simple as can be.
#[derive(Clone, Debug, Default)]
struct Kernel {
    links: BTreeMap<u32, (String, bool)>,
    addresses: BTreeSet<(IpNet, u32)>,
    /// By prefix and metric.
    routes: BTreeMap<(IpNet, u32), KernelRoute>,
}

/// Draws numbers, the same ones each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }

    fn small(&mut self, end: u8) -> u8 {
        u8::try_from(self.below(end.into())).unwrap()
    }
}

fn wanted() -> Redistribute {
    let interfaces = || Interfaces(vec!["*".to_owned(), "!eth1".to_owned()]);
    Redistribute {
        connected: Some(RedistributeConnected {
            interfaces: interfaces(),
            policy: String::new(),
        }),
        kernel: Some(RedistributeKernel {
            protocols: vec![3, 4],
            table: 254,
            interfaces: interfaces(),
            policy: String::new(),
        }),
    }
}

fn address_of(prefix: IpNet) -> IpAddr {
    prefix.hosts().next().unwrap()
}

impl Kernel {
    /// Changes something, and tells it.
    fn change(&mut self, chance: &mut Chance) -> Vec<Fact> {
        let index = u32::from(chance.small(3)) + 1;
        let prefix: IpNet = format!("10.{}.0.0/16", chance.small(6)).parse().unwrap();
        let metric = u32::from(chance.small(2));
        match chance.below(8) {
            0 | 1 => {
                let link = (format!("eth{index}"), chance.below(3) > 0);
                self.links.insert(index, link.clone());
                let (name, up) = link;
                vec![Fact::Link { index, name, up }]
            }
            2 if self.links.remove(&index).is_some() => {
                self.addresses.retain(|(_, link)| *link != index);
                let over = |route: &KernelRoute| interfaces_of(route).any(|i| i == index);
                let gone: Vec<_> = self.routes.extract_if(.., |_, route| over(route)).collect();
                let gone = gone.into_iter().map(|(_, route)| Fact::RouteGone(route));
                std::iter::once(Fact::LinkGone { index })
                    .chain(gone)
                    .collect()
            }
            3 if self.links.contains_key(&index) => {
                let address = address_of(prefix);
                if self.addresses.insert((prefix, index)) {
                    vec![Fact::Address {
                        index,
                        address,
                        prefix,
                    }]
                } else {
                    self.addresses.remove(&(prefix, index));
                    vec![Fact::AddressGone {
                        index,
                        address,
                        prefix,
                    }]
                }
            }
            4 => {
                let gone = self.routes.remove(&(prefix, metric));
                gone.map(Fact::RouteGone).into_iter().collect()
            }
            _ if self.links.contains_key(&index) => {
                let path = Path {
                    gateway: None,
                    interface: index,
                    onlink: false,
                };
                let via = RouteVia::Paths([(path, 1)].into_iter().collect());
                let kinds = [
                    RouteKind::Unicast(via),
                    RouteKind::Blackhole,
                    RouteKind::Other,
                ];
                let route = KernelRoute {
                    prefix,
                    table: 254,
                    metric,
                    protocol: [2, 3, 4, OURS][usize::from(chance.small(4))],
                    tos: 0,
                    kind: kinds[usize::from(chance.small(3))].clone(),
                    prefsrc: None,
                };
                self.routes.insert((prefix, metric), route.clone());
                vec![Fact::Route(route)]
            }
            _ => Vec::new(),
        }
    }

    fn dump(&self) -> Vec<Fact> {
        let links = self.links.iter().map(|(index, (name, up))| Fact::Link {
            index: *index,
            name: name.clone(),
            up: *up,
        });
        let addresses = self.addresses.iter().map(|(prefix, index)| Fact::Address {
            index: *index,
            address: address_of(*prefix),
            prefix: *prefix,
        });
        let routes = self.routes.values().cloned().map(Fact::Route);
        let all = links.chain(addresses).chain(routes);
        let begin = std::iter::once(Fact::DumpBegin);
        begin.chain(all).chain([Fact::DumpEnd]).collect()
    }

    fn is_good(&self, index: u32) -> bool {
        self.links
            .get(&index)
            .is_some_and(|(name, up)| *up && name != "eth1")
    }

    fn is_connected(&self, prefix: IpNet) -> bool {
        let mut of_it = self.addresses.iter().filter(|(p, _)| *p == prefix);
        of_it.any(|(_, index)| self.is_good(*index))
    }

    fn route(&self, prefix: IpNet) -> Option<&KernelRoute> {
        let of_it = self.routes.values().filter(|route| {
            let asked = [3, 4].contains(&route.protocol) && route.kind != RouteKind::Other;
            route.prefix == prefix && asked && interfaces_of(route).any(|i| self.is_good(i))
        });
        of_it.min_by_key(|route| route.metric)
    }
}

/// Whatever the kernel tells, lost facts and dumps amid it: what is kept is what a look at the kernel would say, and
/// every prefix that changed is named.
#[test]
fn whatever_is_told_the_kernel_says_the_same() {
    let prefixes: Vec<IpNet> = (0..6)
        .map(|n| format!("10.{n}.0.0/16").parse().unwrap())
        .collect();
    for seed in 0..200 {
        let (mut chance, mut kernel) = (Chance(seed), Kernel::default());
        let mut foreign = Foreign::default();
        foreign.want(&wanted(), OURS);
        let mut known: BTreeMap<IpNet, (bool, bool)> = BTreeMap::new();
        for step in 0..200 {
            let mut facts = kernel.change(&mut chance);
            if chance.below(40) == 0 {
                // These are lost, and the dump makes up for it.
                kernel.change(&mut chance);
                facts = kernel.dump();
            }
            facts.iter().for_each(|fact| foreign.hear(fact));
            if chance.below(3) > 0 {
                continue;
            }
            while let Some(prefix) = foreign.next_change() {
                let now = (
                    foreign.is_connected(prefix),
                    foreign.route(prefix).is_some(),
                );
                known.insert(prefix, now);
            }
            for prefix in &prefixes {
                let route = kernel.route(*prefix);
                let expected = (kernel.is_connected(*prefix), route.is_some());
                let found = known.get(prefix).copied().unwrap_or_default();
                assert_eq!(
                    found, expected,
                    "seed {seed}, step {step}: {prefix} in {kernel:?}"
                );
                assert_eq!(foreign.route(*prefix), route, "seed {seed}, step {step}");
            }
            let asked =
                |route: &&KernelRoute| is_asked_for(foreign.wanted.kernel.as_ref().unwrap(), route);
            let routes = kernel.routes.values().filter(asked).count();
            assert_eq!(
                foreign.count,
                kernel.addresses.len() + routes,
                "seed {seed}, step {step}"
            );
        }
    }
}

/// `ip route append`: when one of several goes, the others stay.
#[test]
fn a_route_beside_another_stays_when_that_goes() {
    let mut foreign = Foreign::default();
    foreign.want(&wanted(), OURS);
    for index in [2, 3] {
        let name = format!("eth{index}");
        let up = true;
        foreign.hear(&Fact::Link { index, name, up });
    }
    let prefix: IpNet = "10.0.0.0/16".parse().unwrap();
    let over = |interface: u32, protocol: u8| {
        let path = Path {
            gateway: None,
            interface,
            onlink: false,
        };
        KernelRoute {
            prefix,
            table: 254,
            metric: 0,
            protocol,
            tos: 0,
            kind: RouteKind::Unicast(RouteVia::Paths([(path, 1)].into_iter().collect())),
            prefsrc: None,
        }
    };
    for route in [over(2, 4), over(3, 4), over(3, OURS)] {
        foreign.hear(&Fact::RouteBeside(route, Rank::Last));
    }
    assert_eq!(foreign.count, 2);
    foreign.hear(&Fact::RouteGone(over(3, OURS)));
    foreign.hear(&Fact::RouteGone(over(2, 4)));
    assert_eq!(foreign.route(prefix), Some(&over(3, 4)));
    foreign.hear(&Fact::RouteGone(over(3, 4)));
    assert_eq!((foreign.route(prefix), foreign.count), (None, 0));
}
