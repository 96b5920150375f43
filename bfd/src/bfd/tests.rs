//! Two speakers in virtual time, a link between them that can do everything, and what belongs to whom.

use std::num::NonZeroU8;

use proptest::prelude::*;

use super::*;
use crate::authentication::{Authentication, Kind};

const MS: Duration = Duration::from_millis(1);
const LATENCY: Duration = Duration::from_micros(300);
const ADDRESSES: [&str; 2] = ["10.0.0.1", "10.0.0.2"];

fn config() -> Config {
    Config {
        transmit: 50 * MS,
        receive: 50 * MS,
        multiplier: NonZeroU8::new(3).unwrap(),
        passive: false,
        spares_lossy: true,
        authentication: None,
    }
}

fn address(side: usize) -> IpAddr {
    ADDRESSES[side].parse().unwrap()
}

/// The path as `side` sees it.
fn path(side: usize) -> Path {
    Path {
        remote: address(1 - side),
        local: None,
        interface: Some("wg0".to_owned()),
        hops: Hops::Single,
    }
}

/// A packet under way.
struct Flight {
    at: Instant,
    to: usize,
    octets: Octets,
}

struct World {
    start: Instant,
    now: Instant,
    ends: [Bfd; 2],
    flights: Vec<Flight>,
    /// Whether a packet to this side is lost.
    lossy: Box<dyn FnMut(usize) -> bool>,
    log: Vec<(Duration, usize, Change)>,
    gone: [usize; 2],
}

impl World {
    fn new(config: &Config) -> Self {
        #[expect(clippy::disallowed_methods)]
        let start = Instant::now();
        let mut world = Self {
            start,
            now: start,
            ends: [Bfd::new(1), Bfd::new(2)],
            flights: Vec::new(),
            lossy: Box::new(|_| false),
            log: Vec::new(),
            gone: [0, 0],
        };
        for side in 0..2 {
            world.open(side, config.clone());
        }
        world
    }

    fn open(&mut self, side: usize, config: Config) {
        let mut out = Vec::new();
        assert!(self.ends[side].open(self.now, &path(side), config, &mut out));
        self.act(side, out);
    }

    fn act(&mut self, side: usize, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send { octets, .. } => {
                    let to = 1 - side;
                    if !(self.lossy)(to) {
                        let at = self.now + LATENCY;
                        self.flights.push(Flight { at, to, octets });
                    }
                }
                Output::Changed { change, .. } => {
                    self.log.push((self.now - self.start, side, change))
                }
                Output::Missing { .. } => {}
                Output::Gone { .. } => self.gone[side] += 1,
            }
        }
    }

    /// Lets time pass; `step`: wakes the engines that often too, not at their deadlines only.
    fn pass_waking(&mut self, time: Duration, step: Option<Duration>) {
        let until = self.now + time;
        loop {
            let arrival = self.flights.iter().map(|flight| flight.at).min();
            let dues = self.ends.iter().filter_map(Bfd::deadline);
            let tick = step.map(|step| self.now + step);
            let next = dues.chain(arrival).chain(tick).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            self.now = next.max(self.now);
            let now = self.now;
            let (here, later) = std::mem::take(&mut self.flights)
                .into_iter()
                .partition(|f| f.at <= now);
            self.flights = later;
            let here: Vec<Flight> = here;
            for flight in here {
                self.arrive(flight.to, flight.octets.as_ref(), 255);
            }
            for side in 0..2 {
                let mut out = Vec::new();
                self.ends[side].timeout(self.now, &mut out);
                self.act(side, out);
            }
        }
        self.now = until;
    }

    fn pass(&mut self, time: Duration) {
        self.pass_waking(time, None);
    }

    fn arrive(&mut self, to: usize, octets: &[u8], ttl: u8) {
        let arrival = Arrival {
            remote: address(1 - to),
            local: address(to),
            interface: Some("wg0"),
            ttl,
            hops: Hops::Single,
        };
        let mut out = Vec::new();
        self.ends[to].receive(self.now, &arrival, octets, &mut out);
        self.act(to, out);
    }

    fn states(&self) -> [State; 2] {
        [0, 1].map(|side| self.ends[side].sessions().next().unwrap().state)
    }

    fn drops(&self, side: usize) -> Vec<(Fault, u64)> {
        self.ends[side].drops().iter().collect()
    }
}

#[test]
fn two_ends_come_up_and_stay_so() {
    let mut world = World::new(&config());
    world.pass(Duration::from_secs(3));
    assert_eq!(world.states(), [State::Up; 2]);
    world.log.clear();
    world.pass(Duration::from_secs(600));
    assert!(world.log.is_empty());
    assert!(world.drops(0).is_empty() && world.drops(1).is_empty());
    let status = world.ends[0].sessions().next().unwrap();
    assert_eq!(status.transmit_interval, Some(50 * MS));
    assert_eq!(status.detection_time, Some(150 * MS));
}

/// The bar: a link that dies is known after three packets of 50 ms, at both ends.
#[test]
fn a_dead_link_is_known_within_a_detection_time() {
    let mut world = World::new(&config());
    world.pass(Duration::from_secs(3));
    world.lossy = Box::new(|_| true);
    world.log.clear();
    let cut = world.now - world.start;
    world.pass(200 * MS);
    assert_eq!(world.states(), [State::Down; 2]);
    for (at, _, change) in &world.log {
        assert_eq!(change.reason, Reason::DetectionTimeExpired);
        let after = *at - cut;
        assert!(after > 100 * MS && after <= 151 * MS, "{after:?}");
    }
}

/// One direction only: the deaf end sees it, and tells the other, which then knows too.
#[test]
fn a_link_dead_one_way_is_down_at_both_ends() {
    let mut world = World::new(&config());
    world.pass(Duration::from_secs(3));
    world.lossy = Box::new(|to| to == 0);
    world.log.clear();
    world.pass(200 * MS);
    let reasons: Vec<_> = world
        .log
        .iter()
        .map(|(_, side, c)| (*side, c.reason))
        .collect();
    assert_eq!(
        reasons,
        [(0, Reason::DetectionTimeExpired), (1, Reason::NeighborDown)]
    );
    world.lossy = Box::new(|_| false);
    world.pass(Duration::from_secs(3));
    assert_eq!(world.states(), [State::Up; 2]);
}

/// An engine that sleeps until its deadline does the same as one that is woken each millisecond.
#[test]
fn deadlines_are_complete() {
    let run = |step| {
        let mut world = World::new(&config());
        let mut count = 0_u32;
        world.lossy = Box::new(move |_| {
            count += 1;
            count % 97 < 5
        });
        world.pass_waking(Duration::from_secs(60), step);
        world.log
    };
    let log = run(None);
    assert!(log.len() > 10);
    assert_eq!(format!("{log:?}"), format!("{:?}", run(Some(MS))));
}

#[test]
fn whoever_leaves_leaves_no_failure_behind() {
    let mut world = World::new(&config());
    world.pass(Duration::from_secs(3));
    world.log.clear();
    let mut out = Vec::new();
    world.ends[0].close_all(world.now, &mut out);
    world.act(0, out);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.gone, [1, 0]);
    assert_eq!(world.ends[0].sessions().count(), 0);
    assert!(world.ends[0].deadline().is_none());
    assert!(
        world
            .log
            .iter()
            .all(|(_, _, change)| !change.reason.is_failure())
    );
    assert_eq!(world.states_of(1), State::Down);
}

impl World {
    fn states_of(&self, side: usize) -> State {
        self.ends[side].sessions().next().unwrap().state
    }
}

/// Who comes back while the old session still says goodbye goes on with it.
#[test]
fn a_path_that_is_wanted_again_lives_on() {
    let mut world = World::new(&config());
    world.pass(Duration::from_secs(3));
    let mut out = Vec::new();
    world.ends[0].close(world.now, &path(0), &mut out);
    world.act(0, out);
    world.pass(MS);
    world.open(0, config());
    world.pass(Duration::from_secs(3));
    assert_eq!(world.gone, [0, 0]);
    assert_eq!(world.states(), [State::Up; 2]);
}

#[test]
fn a_change_of_timers_takes_no_session_down() {
    let mut world = World::new(&config());
    world.pass(Duration::from_secs(3));
    world.log.clear();
    for (side, interval, multiplier) in [
        (0, 300, 3),
        (1, 10, 3),
        (0, 20, 5),
        (0, 1000, 2),
        (1, 300, 1),
        (0, 50, 3),
    ] {
        let multiplier = NonZeroU8::new(multiplier).unwrap();
        world.open(
            side,
            Config {
                transmit: interval * MS,
                receive: interval * MS,
                multiplier,
                ..config()
            },
        );
        world.pass(Duration::from_secs(4));
    }
    assert!(world.log.is_empty(), "{:?}", world.log);
}

#[test]
fn every_kind_of_authentication_comes_up_and_stays_so() {
    for kind in [
        Kind::Simple,
        Kind::KeyedMd5,
        Kind::MeticulousKeyedMd5,
        Kind::KeyedSha1,
        Kind::MeticulousKeyedSha1,
    ] {
        let key = Authentication::new(kind, 3, b"a secret").unwrap();
        let mut world = World::new(&Config {
            authentication: Some(key),
            ..config()
        });
        world.pass(Duration::from_secs(60));
        assert_eq!(world.states(), [State::Up; 2]);
        assert_eq!(world.log.len(), 4);
        assert!(world.drops(0).is_empty() && world.drops(1).is_empty());
    }
}

/// §6.8.1, bfd.AuthSeqKnown: who comes back with other numbers is heard again once it was silent for a while.
#[test]
fn a_neighbor_that_restarts_counts_anew() {
    let key = Authentication::new(Kind::MeticulousKeyedSha1, 3, b"a secret").unwrap();
    let config = Config {
        authentication: Some(key),
        ..config()
    };
    let mut world = World::new(&config);
    world.pass(Duration::from_secs(3));
    world.ends[0] = Bfd::new(77);
    world.open(0, config);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.states(), [State::Up; 2]);
}

/// RFC 5881 §5: "all received BFD Control packets that are demultiplexed to the session MUST be discarded if the
/// received TTL or Hop Limit is not equal to 255."
#[test]
fn what_crossed_a_router_is_no_neighbors() {
    let mut world = World::new(&config());
    world.pass(Duration::from_secs(3));
    let us = world.ends[0].sessions().next().unwrap().discriminator;
    let forged = Packet {
        diagnostic: Diagnostic::NONE,
        state: State::AdminDown,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        multiplier: 3,
        my_discriminator: 1,
        your_discriminator: us.get(),
        desired_min_tx: 50 * MS,
        required_min_rx: 50 * MS,
        required_min_echo_rx: Duration::ZERO,
    };
    world.arrive(0, &forged.encode(false), 254);
    assert_eq!(world.states(), [State::Up; 2]);
    assert_eq!(world.drops(0), [(Fault::Ttl, 1)]);
    // A discriminator that is nobody's, and a stranger.
    world.arrive(
        0,
        &Packet {
            your_discriminator: us.get() ^ 1,
            ..forged
        }
        .encode(false),
        255,
    );
    world.arrive(
        0,
        &Packet {
            your_discriminator: 0,
            ..forged
        }
        .encode(false),
        255,
    );
    assert_eq!(
        world.states_of(0),
        State::Down,
        "a neighbor that says AdminDown is believed"
    );
    let mut out = Vec::new();
    let stranger = Arrival {
        remote: "10.0.0.9".parse().unwrap(),
        local: address(0),
        interface: Some("wg0"),
        ttl: 255,
        hops: Hops::Single,
    };
    let hello = Packet {
        your_discriminator: 0,
        state: State::Down,
        ..forged
    }
    .encode(false);
    world.ends[0].receive(world.now, &stranger, &hello, &mut out);
    assert!(out.is_empty());
    assert_eq!(world.drops(0), [(Fault::Ttl, 1), (Fault::NoSession, 2)]);
}

/// RFC 5881 §3, RFC 5883 §3: who does not know our discriminator is told apart by address, device and hops.
#[test]
fn the_first_packet_finds_its_session() {
    let now = World::new(&config()).now;
    let mut bfd = Bfd::new(9);
    let mut out = Vec::new();
    let remote = address(1);
    let paths = [
        Path {
            remote,
            local: None,
            interface: Some("wg0".to_owned()),
            hops: Hops::Single,
        },
        Path {
            remote,
            local: None,
            interface: Some("wg1".to_owned()),
            hops: Hops::Single,
        },
        Path {
            remote,
            local: Some(address(0)),
            interface: None,
            hops: Hops::Several,
        },
        Path {
            remote: "10.0.0.3".parse().unwrap(),
            local: None,
            interface: None,
            hops: Hops::Single,
        },
    ];
    for path in &paths {
        assert!(bfd.open(now, path, config(), &mut out));
    }
    let found = |remote: IpAddr, interface, hops| {
        let arrival = Arrival {
            remote,
            local: address(0),
            interface,
            ttl: 255,
            hops,
        };
        bfd.find(&arrival).and_then(|id| bfd.path(id)).cloned()
    };
    assert_eq!(
        found(remote, Some("wg0"), Hops::Single).as_ref(),
        Some(&paths[0])
    );
    assert_eq!(
        found(remote, Some("wg1"), Hops::Single).as_ref(),
        Some(&paths[1])
    );
    assert_eq!(found(remote, Some("wg2"), Hops::Single), None);
    assert_eq!(
        found(remote, Some("wg2"), Hops::Several).as_ref(),
        Some(&paths[2])
    );
    assert_eq!(
        found(paths[3].remote, Some("eth0"), Hops::Single).as_ref(),
        Some(&paths[3])
    );
    assert_eq!(
        found("10.0.0.4".parse().unwrap(), Some("wg0"), Hops::Single),
        None
    );
}

#[test]
fn there_are_only_so_many_sessions() {
    let now = World::new(&config()).now;
    let mut bfd = Bfd::new(9);
    let mut out = Vec::new();
    for number in 0..=SESSIONS_MAX {
        let remote = IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
        let path = Path {
            remote,
            local: None,
            interface: None,
            hops: Hops::Single,
        };
        assert_eq!(
            bfd.open(now, &path, config(), &mut out),
            number < SESSIONS_MAX
        );
    }
}

proptest! {
    /// Whatever is lost, and whatever comes beside it: nothing panics, the states stay legal, and once the link is
    /// whole both ends are up within three seconds.
    #[test]
    fn noise_and_loss_end_in_a_session(
        seed in any::<u64>(),
        loss in 0_u64..100,
        noise in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..20),
    ) {
        let mut world = World::new(&config());
        let mut x = seed | 1;
        world.lossy = Box::new(move |_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x % 100 < loss
        });
        for octets in noise {
            world.pass(333 * MS);
            world.arrive(0, &octets, 255);
        }
        world.lossy = Box::new(|_| false);
        world.pass(Duration::from_secs(4));
        prop_assert_eq!(world.states(), [State::Up; 2]);
    }
}
