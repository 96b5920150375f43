//! Draws what a world is made of: who is linked with whom and how, configurations, routes, policies.

mod more;
mod plan;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bgp_core::Attributes;
use bgp_core::attributes::{AsPath, Community, Origin};
use bgp_core::family::PerFamily;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rib::policy::{
    Action, CommunitiesConfig, MatchConfig, PolicyConfig, PrependConfig, RuleConfig, SetConfig,
    Then,
};
use speaker::command::{Injection, InjectionBatch};
use speaker::config::{
    Config, Fib, GracefulRestart, MaxPrefixes, MaxPrefixesAction, NextHopMode, Originate, Peer,
    PeerOptions, PeerRange, Ribs, Router, Static, StaticNextHop, StaticVia, Station, When,
};
use speaker::inject::ourselves;

use super::net::Chance;
use super::world::STATION;
pub(super) use more::{REDISTRIBUTED, aggregates, foreign, redistribute};
use plan::Plan;

/// Prefixes that exist, of each family.
const PREFIXES: u8 = 24;
/// The AS that hosts share.
const SHARED_AS: u32 = 65000;
/// An address that comes and goes.
pub(super) const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 255, 0, 200));

/// Who is linked with whom, and how.
#[derive(Debug)]
pub(super) struct Topology {
    asns: Vec<u32>,
    /// So many hosts, from the first, reflect to the others of their AS, which have no sessions among themselves.
    reflectors: usize,
    /// The first host names nobody and takes who comes.
    open: bool,
    /// For each pair, the smaller first: whether they speak over IPv6, and IPv4 routes then have IPv6 next hops.
    over_ipv6: Vec<bool>,
    /// Hosts with graceful restart, and their Restart Times.
    graceful: Vec<Option<Duration>>,
    /// Their Long-Lived Stale Times.
    long_lived: Vec<Option<Duration>>,
    /// The links of an AS with reflectors, instead of those above.
    plan: Option<Plan>,
    /// Hosts have all that there is.
    rich: bool,
}

impl Topology {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let count = 2 + chance.below(4);
        let star = count > 2 && chance.one_in(3);
        let reflectors = match (star, count) {
            (false, _) => 0,
            (true, ..=3) => 1,
            (true, _) => 1 + chance.below(2),
        };
        let outsider = star && count > 3 && chance.one_in(2);
        let asn = |host: usize, chance: &mut Chance| {
            let shared = if star {
                !(outsider && host + 1 == count)
            } else {
                chance.one_in(3)
            };
            let own = SHARED_AS + 1 + u32::try_from(host).unwrap_or(0);
            if shared { SHARED_AS } else { own }
        };
        Self {
            asns: (0..count).map(|host| asn(host, chance)).collect(),
            reflectors,
            open: reflectors < 2 && chance.one_in(4),
            over_ipv6: (0..count * count).map(|_| chance.one_in(3)).collect(),
            graceful: Vec::new(),
            long_lived: Vec::new(),
            plan: None,
            rich: false,
        }
    }

    /// One in which hosts have all that there is.
    pub(super) fn draw_rich(chance: &mut Chance) -> Self {
        let mut topology = Self::draw(chance);
        topology.rich = true;
        if !chance.one_in(3) {
            let plan = Plan::draw(chance);
            let own = |host: usize| SHARED_AS + 1 + u32::try_from(host).unwrap_or(0);
            let asn = |host| {
                if host < plan.inside {
                    SHARED_AS
                } else {
                    own(host)
                }
            };
            topology.asns = (0..plan.count).map(asn).collect();
            topology.open = false;
            let pairs = 0..plan.count * plan.count;
            topology.over_ipv6 = pairs.map(|_| chance.one_in(3)).collect();
            topology.plan = Some(plan);
        }
        if chance.one_in(2) {
            topology.draw_graceful(&mut chance.clone(), chance);
        }
        topology
    }

    /// Some hosts have graceful restart, and some of those long-lived graceful restart, which is drawn aside.
    pub(super) fn draw_graceful(&mut self, chance: &mut Chance, aside: &mut Chance) {
        let time = |chance: &mut Chance| {
            let seconds = chance.pick(&[3, 20, 120]).unwrap_or(120);
            (!chance.one_in(4)).then(|| Duration::from_secs(seconds))
        };
        self.graceful = (0..self.count()).map(|_| time(chance)).collect();
        self.long_lived = (0..self.count()).map(|_| time(aside)).collect();
    }

    fn graceful(&self, host: usize) -> Option<GracefulRestart> {
        let time = self.graceful.get(host).copied().flatten();
        time.map(|restart_time| GracefulRestart {
            restart_time,
            long_lived: self.long_lived.get(host).copied().flatten(),
        })
    }

    pub(super) fn count(&self) -> usize {
        self.asns.len()
    }

    fn asn(&self, host: usize) -> u32 {
        self.asns.get(host).copied().unwrap_or(SHARED_AS)
    }

    fn linked(&self, a: usize, b: usize) -> bool {
        if let Some(plan) = &self.plan {
            return plan.linked(a, b);
        }
        let (a, b) = (a.min(b), a.max(b));
        if a == b || self.reflectors == 0 {
            return a != b;
        }
        let outsider = self.asn(b) != SHARED_AS;
        if outsider {
            a + 1 == b
        } else {
            a < self.reflectors
        }
    }

    /// Whether `host` has `other` as a client.
    fn reflects_to(&self, host: usize, other: usize) -> bool {
        match &self.plan {
            Some(plan) => plan.reflects_to(host, other),
            None => host < self.reflectors && other >= self.reflectors && self.linked(host, other),
        }
    }

    fn over_ipv6(&self, a: usize, b: usize) -> bool {
        let at = a.min(b) * self.count() + a.max(b);
        self.over_ipv6.get(at).copied().unwrap_or(false)
    }
}

pub(super) fn addresses(host: usize) -> [IpAddr; 2] {
    let last = u8::try_from(host + 1).unwrap_or(u8::MAX);
    [
        Ipv4Addr::new(10, 255, 0, last).into(),
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()).into(),
    ]
}

pub(super) fn config(host: usize, topology: &Topology, chance: &mut Chance) -> Config {
    let last = u8::try_from(host + 1).unwrap_or(u8::MAX);
    let open = topology.open && host == 0;
    let others = (0..topology.count()).filter(|other| !open && topology.linked(host, *other));
    let peers = others.map(|other| peer(host, other, topology, chance));
    let peers = peers.collect();
    let ranges = if open {
        let options = options(host, 1, topology, chance);
        ["10.255.0.0/24", "fd00::/64"]
            .into_iter()
            .filter_map(|prefix| prefix.parse().ok())
            .map(|prefix| PeerRange {
                prefix,
                asns: Vec::new(),
                limit: topology.count(),
                options: options.clone(),
            })
            .collect()
    } else {
        Vec::new()
    };
    let mut originate: Vec<_> = (0..1 + chance.below(4))
        .map(|_| originate(chance))
        .collect();
    originate.sort_by_key(|originate| originate.prefix);
    originate.dedup_by_key(|originate| originate.prefix);
    let cluster = match &topology.plan {
        Some(plan) => plan.cluster(host, last),
        // Two reflectors are of one cluster, or of two.
        None if topology.open => 1,
        None => last,
    };
    let plan = topology.plan.as_ref();
    let mut config = Config {
        router: Router {
            asn: topology.asn(host),
            router_id: Ipv4Addr::new(10, 255, 0, last),
            listen: Vec::new(),
            cluster_id: Ipv4Addr::new(10, 255, 0, cluster),
            client_to_client: plan.is_none_or(|plan| plan.client_to_client),
            multipath: if chance.one_in(2) { 1 } else { 4 },
            multipath_cost_tolerance: 0,
        },
        peers,
        ranges,
        originate,
        statics: statics(host, topology, chance),
        aggregates: Vec::new(),
        redistribute: Default::default(),
        probe: Default::default(),
        fib: Fib {
            policy: chance.clone().one_in(2).then(kernel_chain),
            ..Fib::default()
        },
        policies: vec![
            policy("shape", false, chance),
            policy("shape-out", true, chance),
            to_kernel(&mut chance.clone()),
        ],
        sets: Default::default(),
        stations: Vec::new(),
    };
    if topology.rich {
        more::enrich(&mut config, chance);
    }
    config
}

/// The station that somebody tells of all tables.
pub(super) fn station() -> Station {
    Station {
        address: STATION,
        local_address: None,
        system_name: "sim".to_owned(),
        ribs: Ribs {
            pre_policy: true,
            post_policy: true,
            adj_rib_out: true,
            loc_rib: true,
        },
        statistics: Some(Duration::from_secs(30)),
        connect_retry: Duration::from_secs(1),
        connect_retry_max: Duration::from_secs(16),
    }
}

fn peer(host: usize, other: usize, topology: &Topology, chance: &mut Chance) -> Peer {
    let [v4, v6] = addresses(other);
    let over_ipv6 = topology.over_ipv6(host, other);
    Peer {
        address: if over_ipv6 { v6 } else { v4 },
        asn: topology.asn(other),
        options: options(host, other, topology, chance),
    }
}

fn options(host: usize, other: usize, topology: &Topology, chance: &mut Chance) -> PeerOptions {
    let chain = |shape: &str, chance: &mut Chance| {
        let mut chain = Vec::new();
        if chance.one_in(3) {
            chain.push(shape.to_owned());
        }
        chain.push("accept".to_owned());
        Some(chain)
    };
    let stop = MaxPrefixes {
        limit: 3 + u32::try_from(chance.below(8)).unwrap_or(0),
        warn_at: 80,
        then: MaxPrefixesAction::Stop,
    };
    PeerOptions {
        families: PerFamily {
            ipv4: true,
            ipv6: !chance.one_in(6),
        },
        // Of two, at least one connects: not the one who is not named.
        passive: !topology.open && other < host && chance.one_in(4),
        import: chain("shape", chance),
        export: chain("shape-out", chance),
        idle_hold_max: Duration::from_secs(8),
        hold_time: Duration::from_secs(chance.pick(&[0, 9, 30, 90]).unwrap_or(90)),
        next_hop: NextHopMode::Myself,
        extended_next_hop: topology.over_ipv6(host, other),
        rr_client: topology.reflects_to(host, other),
        max_prefixes: chance.one_in(12).then_some(stop),
        graceful_restart: topology.graceful(host),
        ..PeerOptions::default()
    }
}

pub(super) fn originate(chance: &mut Chance) -> Originate {
    let prefix = prefix(chance);
    Originate {
        tag: 0,
        prefix,
        attributes: attributes(prefix, chance),
        when: if chance.one_in(5) {
            When::AddressPresent(VIP)
        } else {
            When::Always
        },
    }
}

/// Static routes, to prefixes that are never injected.
fn statics(host: usize, topology: &Topology, chance: &mut Chance) -> Vec<Static> {
    let hop = |other: usize| {
        let [address, _] = addresses(other);
        StaticNextHop {
            address,
            interface: other.is_multiple_of(2).then(|| "eth0".to_owned()),
            weight: 1,
        }
    };
    let others: Vec<_> = (0..topology.count())
        .filter(|other| *other != host)
        .collect();
    (0..chance.below(3))
        .map(|index| Static {
            tag: 0,
            prefix: numbered(102, u8::try_from(index).unwrap_or(0)),
            via: match chance.below(3) {
                0 => StaticVia::Blackhole,
                1 => StaticVia::Unreachable,
                _ => StaticVia::NextHops(others.iter().copied().map(hop).collect()),
            },
            originate: chance.one_in(2),
        })
        .collect()
}

/// A policy that neither knows the other hosts nor prefers some of them, lest there be no stable answer.
fn policy(name: &str, export: bool, chance: &mut Chance) -> PolicyConfig {
    let mut rules = Vec::new();
    for third in 0..PREFIXES {
        if !chance.one_in(4) {
            continue;
        }
        let mut set = SetConfig::default();
        let mut then = Then::Next;
        match chance.below(5) {
            0 => then = Then::Decide(Action::Reject),
            // Where MED is made up of where a route comes in, an AS may never agree with itself (RFC 3345 §2).
            1 if export => set.med = Some((third % 3).to_string()),
            2 if export => {
                set.prepend = Some(PrependConfig {
                    asn: None,
                    count: Some(1 + third % 2),
                });
            }
            // The same everywhere, and less than that of own routes.
            1 | 2 => set.local_pref = Some((50 + third).to_string()),
            _ => {
                set.communities = CommunitiesConfig {
                    add: vec![format!("65000:{}", 100 + third)],
                    ..CommunitiesConfig::default()
                };
            }
        }
        rules.push(RuleConfig {
            matches: MatchConfig {
                prefixes: vec![
                    numbered(100, third).to_string(),
                    numbered_v6(third).to_string(),
                ],
                ..MatchConfig::default()
            },
            set,
            then,
        });
    }
    PolicyConfig {
        name: name.to_owned(),
        default: None,
        rules,
    }
}

/// The chain of `[fib]`, where there is one.
pub(super) fn kernel_chain() -> Vec<String> {
    ["to-kernel", "accept"].map(str::to_owned).into()
}

/// Metrics that hosts give to their routes.
pub(super) const METRICS: [u32; 2] = [20, 30];

/// A policy for what enters the kernel, and where. It is drawn aside, so that seeds name the worlds they did before.
pub(super) fn to_kernel(chance: &mut Chance) -> PolicyConfig {
    let mut rules = Vec::new();
    for third in 0..PREFIXES {
        let mut set = SetConfig::default();
        let mut then = Then::Next;
        match chance.below(6) {
            0 => then = Then::Decide(Action::Reject),
            1 => set.table = Some(101),
            2 => set.metric = chance.pick(&METRICS),
            _ => continue,
        }
        let prefixes = [
            numbered(100, third),
            numbered(102, third),
            numbered_v6(third),
        ];
        rules.push(RuleConfig {
            matches: MatchConfig {
                prefixes: prefixes.map(|prefix| prefix.to_string()).into(),
                ..MatchConfig::default()
            },
            set,
            then,
        });
    }
    PolicyConfig {
        name: "to-kernel".to_owned(),
        default: None,
        rules,
    }
}

pub(super) fn prefix(chance: &mut Chance) -> IpNet {
    let which = u8::try_from(chance.below(PREFIXES.into())).unwrap_or(0);
    if chance.one_in(3) {
        numbered_v6(which)
    } else {
        numbered(100, which)
    }
}

fn numbered(second: u8, third: u8) -> IpNet {
    let network = Ipv4Addr::new(10, second, third, 0);
    Ipv4Net::new(network, 24).unwrap_or_default().into()
}

fn numbered_v6(which: u8) -> IpNet {
    let network = Ipv6Addr::new(0xfd01, 0, which.into(), 0, 0, 0, 0, 0);
    Ipv6Net::new(network, 48).unwrap_or_default().into()
}

fn attributes(prefix: IpNet, chance: &mut Chance) -> Attributes {
    let origin = if chance.one_in(4) {
        Origin::Incomplete
    } else {
        Origin::Igp
    };
    let mut attributes = Attributes::new(origin, AsPath::default(), ourselves(prefix));
    attributes.med = chance
        .one_in(3)
        .then(|| u32::try_from(chance.below(3)).unwrap_or(0));
    if chance.one_in(3) {
        let value = 0xfde8_0000 + u32::try_from(chance.below(9)).unwrap_or(0);
        attributes.communities.push(Community(value));
    }
    if chance.one_in(8) {
        attributes.communities.push(Community::NO_EXPORT);
    }
    attributes
}

/// Changes of one of two owners. One of them has routes that go into the kernel too, to prefixes of their own.
pub(super) fn batch(host: usize, count: usize, chance: &mut Chance) -> InjectionBatch {
    let install = chance.one_in(2);
    let lease = chance
        .one_in(2)
        .then(|| Duration::from_secs(1 + chance.below(20) as u64));
    let mut batch = InjectionBatch {
        owner: if install { "one" } else { "two" }.to_owned(),
        lease,
        replace_all: chance.one_in(4),
        ..InjectionBatch::default()
    };
    for _ in 0..1 + chance.below(5) {
        let prefix = if install {
            numbered(103, u8::try_from(chance.below(4)).unwrap_or(0))
        } else {
            prefix(chance)
        };
        if chance.one_in(3) {
            batch.withdraw.push((prefix, 0));
        } else if batch.announce.iter().all(|route| route.prefix != prefix) {
            let mut attributes = attributes(prefix, chance);
            if let ([IpAddr::V4(hop), _], true) = (addresses((host + 1) % count), install) {
                attributes.next_hop = bgp_core::attributes::NextHop::V4(hop);
            }
            batch.announce.push(Injection {
                tag: 0,
                prefix,
                attributes,
                path_id: 0,
                install,
            });
        }
    }
    batch
}
