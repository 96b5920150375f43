//! Which gateways there are, how they are linked, and how they tell each other routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;
use std::time::Duration;

use bgp_core::Attributes;
use bgp_core::attributes::{AsPath, Origin};
use bgp_core::family::PerFamily;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use speaker::bfd;
use speaker::config::{Bfd, Config, NextHopMode, Originate, Peer, PeerOptions, Probe, When};
use speaker::inject::ourselves;
use speaker::path_score::{judge, node};

use crate::sim::net::Chance;

/// The AS of a world with reflectors; else each gateway has its own, from here.
const AS: u32 = 65_000;
/// Gateways of a region.
const PAIR: usize = 2;
/// From so many gateways on, trouble takes ten minutes, and three with fewer.
const MANY: usize = 1000;
/// What a gateway's clock says at first, since 1970.
pub(super) const CLOCK: Duration = Duration::from_secs(1_795_000_000);

/// A gateway's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Whose Pods it has.
    pub(super) region: usize,
    /// It reflects routes.
    pub(super) hub: bool,
    /// The probe budget, in bit/s.
    pub(super) budget: u64,
}

/// A link, and how long each direction takes and what it always loses.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkPlan {
    pub(super) ends: [usize; 2],
    pub(super) delays: [Duration; 2],
    pub(super) losses: [f64; 2],
}

/// How long what goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Until all sessions are up and all links measured.
    pub(super) start: Duration,
    /// Things go wrong.
    pub(super) trouble: Duration,
    /// Between two of them, on average.
    pub(super) pause: Duration,
    /// Nothing does any more; until the longest hold-down is over.
    pub(super) calm: Duration,
    /// Nothing may change any more.
    pub(super) still: Duration,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) places: Vec<Place>,
    pub(super) links: Vec<LinkPlan>,
    pub(super) regions: usize,
    /// All are of one AS, and hubs reflect; else each has its own.
    pub(super) reflected: bool,
    pub(super) judge: judge::Config,
    pub(super) bfd: Option<bfd::Config>,
    multipath: u8,
    pub(super) times: Times,
}

impl Plan {
    /// Three to eight gateways.
    pub(super) fn small(chance: &mut Chance) -> Self {
        let count = 3 + chance.below(6);
        let reflected = count > 4 && chance.one_in(3);
        let paired = count > 3 && chance.one_in(2);
        let region = |n: usize| if paired { n / PAIR } else { n };
        let ends = if reflected {
            small_star(count)
        } else {
            small_mesh(count, chance)
        };
        let links: Vec<_> = ends
            .into_iter()
            .map(|e| LinkPlan::draw(e, chance))
            .collect();
        // What all of them may send: a run is to take a second.
        let interval = Duration::from_millis(if count == 3 {
            20
        } else {
            20 * links.len() as u64 / 3
        });
        let places = (0..count).map(|n| {
            let degree = links.iter().filter(|link| link.ends.contains(&n)).count();
            Place {
                region: region(n),
                hub: reflected && n < PAIR,
                budget: budget(degree, interval),
            }
        });
        // Probes can only show that a lossy link is alive if several of them are sent in a detection time.
        let profile = bfd_config(interval * chance.pick(&[5, 10]).unwrap_or(5));
        Self {
            places: places.collect(),
            regions: region(count - 1) + 1,
            reflected,
            judge: judge::Config {
                hold_down: Duration::from_secs(5),
                hold_down_max: Duration::from_secs(40),
                moves_a_minute: chance.pick(&[10, 60]).unwrap_or(60),
                ..judge::Config::default()
            },
            bfd: (!chance.one_in(4)).then_some(profile),
            multipath: chance.pick(&[1, 16]).unwrap_or(1),
            times: Times {
                start: Duration::from_secs(60),
                trouble: Duration::from_secs(150),
                pause: Duration::from_secs(6),
                calm: Duration::from_secs(150),
                still: Duration::from_secs(40),
            },
            links,
        }
    }

    /// Many gateways as they are run: regions of two, of which one in 25 has hubs that reflect. Hubs are fully meshed;
    /// each other gateway has a link to its neighbor in the region, to two hubs, and to two gateways elsewhere.
    pub(super) fn large(count: usize, chance: &mut Chance) -> Self {
        let count = (count / PAIR).max(4) * PAIR;
        let hubs = (count / 25).next_multiple_of(PAIR).max(4);
        let mut ends: Vec<[usize; 2]> = Vec::new();
        let mut link = |a: usize, b: usize| {
            let pair = [a.min(b), a.max(b)];
            if a != b && !ends.contains(&pair) {
                ends.push(pair);
            }
        };
        for a in 0..hubs {
            (a + 1..hubs).for_each(|b| link(a, b));
        }
        for n in hubs..count {
            // One hub of each of two regions.
            let first = chance.below(hubs);
            let second = (first + PAIR + chance.below(hubs - 2 * PAIR + 1)) % hubs;
            link(n, first);
            link(n, second);
            link(n, n ^ 1);
            link(n, hubs + chance.below(count - hubs));
        }
        let links: Vec<_> = ends
            .into_iter()
            .map(|e| LinkPlan::draw(e, chance))
            .collect();
        let mut degrees = vec![0_usize; count];
        for end in links.iter().flat_map(|link| link.ends) {
            if let Some(degree) = degrees.get_mut(end) {
                *degree += 1;
            }
        }
        let place = |(n, _)| Place {
            region: n / PAIR,
            hub: n < hubs,
            budget: if n < hubs { 250_000 } else { 25_000 },
        };
        Self {
            places: degrees.iter().enumerate().map(place).collect(),
            links,
            regions: count / PAIR,
            reflected: true,
            judge: judge::Config::default(),
            bfd: Some(bfd_config(Duration::from_secs(1))),
            multipath: 16,
            times: Times {
                start: Duration::from_secs(90),
                trouble: Duration::from_secs(if count < MANY { 180 } else { 600 }),
                // As often a link, whatever their number; of many, ten minutes bring six hundred.
                pause: Duration::from_secs_f64((MANY as f64 / count as f64).min(3.0)),
                calm: Duration::from_secs(420),
                still: Duration::from_secs(60),
            },
        }
    }

    /// The configuration of a gateway.
    pub(super) fn config(&self, n: usize) -> Option<Config> {
        let place = self.places.get(n)?;
        let mut config = Config::new(self.asn(n), router_id(n));
        config.router.multipath = self.multipath;
        config.originate.push(Originate {
            prefix: prefix(place.region),
            attributes: Attributes::new(
                Origin::Igp,
                AsPath::default(),
                ourselves(prefix(place.region)),
            ),
            tag: 0,
            when: When::Always,
        });
        config.probe = Probe {
            node: node::Config {
                judge: self.judge,
                budget: place.budget,
                ..node::Config::default()
            },
            ..Probe::default()
        };
        let others = self.links.iter().filter_map(|link| link.other(n));
        config.peers = others.map(|other| self.peer(n, other)).collect();
        config.peers.sort_by_key(|peer| peer.address);
        Some(config)
    }

    /// Whether a gateway reflects to another one.
    pub(super) fn reflects_to(&self, n: usize, other: usize) -> bool {
        self.reflected && self.is_hub(n) && !self.is_hub(other)
    }

    pub(super) fn is_hub(&self, n: usize) -> bool {
        self.places.get(n).is_some_and(|place| place.hub)
    }

    fn asn(&self, n: usize) -> u32 {
        let own = AS + 1 + u32::try_from(n).unwrap_or(0);
        if self.reflected { AS } else { own }
    }

    fn peer(&self, n: usize, other: usize) -> Peer {
        let accept = Some(vec!["accept".to_owned()]);
        let bfd = self.bfd.clone().map(|session| Bfd {
            profile: "default".to_owned(),
            session,
            strict: false,
        });
        Peer {
            address: address(other),
            asn: self.asn(other),
            options: PeerOptions {
                families: PerFamily {
                    ipv4: true,
                    ipv6: false,
                },
                passive: other > n,
                import: accept.clone(),
                export: accept,
                connect_retry: Duration::from_secs(1),
                idle_hold_max: Duration::from_secs(8),
                next_hop: NextHopMode::Myself,
                rr_client: self.reflects_to(n, other),
                aigp: true,
                probe: true,
                bfd,
                ..PeerOptions::default()
            },
        }
    }
}

impl LinkPlan {
    fn draw(ends: [usize; 2], chance: &mut Chance) -> Self {
        let usual = [0.0, 0.001, 0.005];
        let way = 1000 + chance.below(60_000) as u64;
        let mut delay = || Duration::from_micros(way + chance.below(5000) as u64);
        let delays = [delay(), delay()];
        let mut loss = || chance.pick(&usual).unwrap_or(0.0);
        Self {
            ends,
            delays,
            losses: [loss(), loss()],
        }
    }

    fn other(&self, n: usize) -> Option<usize> {
        match self.ends {
            [a, b] if a == n => Some(b),
            [a, b] if b == n => Some(a),
            _ => None,
        }
    }
}

/// All linked with all, or a ring with chords.
fn small_mesh(count: usize, chance: &mut Chance) -> Vec<[usize; 2]> {
    let full = chance.one_in(2);
    let mut ends = Vec::new();
    for a in 0..count {
        for b in a + 1..count {
            let ring = b == a + 1 || (a, b + 1) == (0, count);
            if full || ring || chance.one_in(3) {
                ends.push([a, b]);
            }
        }
    }
    ends
}

/// Two hubs that have links with all, and some links beside.
fn small_star(count: usize) -> Vec<[usize; 2]> {
    let mut ends = Vec::new();
    for a in 0..count {
        for b in a + 1..count {
            if a < PAIR || b == a + 1 {
                ends.push([a, b]);
            }
        }
    }
    ends
}

/// What lets each of so many links be probed in that interval.
fn budget(links: usize, interval: Duration) -> u64 {
    const PROBE_BITS: u64 = 140 * 8;
    let micros = u64::try_from(interval.as_micros()).unwrap_or(1).max(1);
    links as u64 * PROBE_BITS * 1_000_000 / micros
}

fn bfd_config(interval: Duration) -> bfd::Config {
    bfd::Config {
        transmit: interval,
        receive: interval,
        multiplier: NonZeroU8::MIN.saturating_add(2),
        passive: false,
        spares_lossy: true,
        authentication: None,
    }
}

/// The address of a gateway.
pub(super) fn address(n: usize) -> IpAddr {
    let octet = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    Ipv4Addr::new(10, 254, octet(1 + n / 250), octet(1 + n % 250)).into()
}

/// Whose it is.
pub(super) fn gateway(address: IpAddr) -> Option<usize> {
    let IpAddr::V4(address) = address else {
        return None;
    };
    let [10, 254, high, low] = address.octets() else {
        return None;
    };
    let (high, low) = (usize::from(high), usize::from(low));
    Some(high.checked_sub(1)? * 250 + low.checked_sub(1)?)
}

fn router_id(n: usize) -> Ipv4Addr {
    match address(n) {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// The addresses of a gateway for its kernel, and what is on its link.
pub(super) fn on_link(n: usize) -> ([IpAddr; 2], [IpNet; 2]) {
    let low = u16::try_from(n + 1).unwrap_or(u16::MAX);
    let v6 = |low| Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, low);
    let nets = [
        Ipv4Net::new(Ipv4Addr::new(10, 254, 0, 0), 16)
            .unwrap_or_default()
            .into(),
        Ipv6Net::new(v6(0), 64).unwrap_or_default().into(),
    ];
    ([address(n), v6(low).into()], nets)
}

/// The Pods of a region.
pub(super) fn prefix(region: usize) -> IpNet {
    let octet = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    let first = Ipv4Addr::new(100, octet(64 + region / 256), octet(region % 256), 0);
    Ipv4Net::new(first, 24).unwrap_or_default().into()
}

/// Which one it is.
pub(super) fn region(prefix: IpNet) -> Option<usize> {
    let IpNet::V4(prefix) = prefix else {
        return None;
    };
    let [100, high, low, 0] = prefix.addr().octets() else {
        return None;
    };
    Some(usize::from(high).checked_sub(64)? * 256 + usize::from(low))
}
