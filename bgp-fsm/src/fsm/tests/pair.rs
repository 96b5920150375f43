//! Two state machines and the TCP between them: bytes come in order, cut anywhere, after any latency.

use std::collections::BTreeMap;

use super::*;

/// So many worlds are lived through.
const SEEDS: u64 = 4000;
/// Longest latency of a connection, one way.
const LATENCY: u64 = 20_000;

#[derive(Debug)]
enum Arrival {
    Syn,
    Accepted,
    Refused,
    Bytes(Bytes),
    Fin,
}

/// A TCP connection. The first of its ends is who asked for it.
#[derive(Debug)]
struct Tcp {
    ends: [usize; 2],
    /// The end takes part. A closed end hears nothing.
    open: [bool; 2],
    /// Who asked for it has heard that it is there.
    made: bool,
    /// What goes to each end arrives in order.
    last: [Instant; 2],
}

struct Host {
    fsm: Fsm,
    /// The connection of each side, [`Side::Outgoing`] first, also while it is being made.
    conns: [Option<usize>; 2],
    started: bool,
    ups: u32,
    up_at: Option<Instant>,
}

struct World {
    now: Instant,
    chance: Chance,
    hosts: [Host; 2],
    tcp: Vec<Tcp>,
    arrivals: BTreeMap<(Instant, u64), (usize, usize, Arrival)>,
    serial: u64,
}

fn place(side: Side) -> usize {
    match side {
        Side::Outgoing => 0,
        Side::Incoming => 1,
    }
}

impl World {
    fn new(seed: u64, passive: Option<usize>) -> Self {
        let now = epoch();
        let mut chance = Chance::new(seed);
        // The same identifier in some worlds: the AS number decides.
        let identifiers = [1, 1 + u8::try_from(chance.below(3)).unwrap()];
        let host = |index: usize, seed| {
            let mut config = with(65001 + u32::try_from(index).unwrap(), identifiers[index]);
            config.passive = passive == Some(index);
            Host {
                fsm: Fsm::new(config, seed),
                conns: [None; 2],
                started: false,
                ups: 0,
                up_at: None,
            }
        };
        let hosts = [host(0, seed * 2), host(1, seed * 2 + 1)];
        Self {
            now,
            chance,
            hosts,
            tcp: Vec::new(),
            arrivals: BTreeMap::new(),
            serial: 0,
        }
    }

    fn later(&mut self, tcp: usize, end: usize, what: Arrival) {
        let at = self.now + Duration::from_micros(100 + self.chance.below(LATENCY));
        let at = at.max(self.tcp[tcp].last[end]);
        self.tcp[tcp].last[end] = at;
        self.serial += 1;
        self.arrivals.insert((at, self.serial), (tcp, end, what));
    }

    fn start(&mut self, host: usize) {
        self.hosts[host].started = true;
        self.feed(host, Input::Start);
    }

    fn feed(&mut self, host: usize, input: Input) {
        let mut out = Vec::new();
        self.hosts[host].fsm.handle(self.now, input, &mut out);
        for output in out {
            self.act(host, output);
        }
    }

    fn act(&mut self, host: usize, output: Output) {
        match output {
            Output::Connect => {
                assert_eq!(self.hosts[host].conns[0], None);
                self.hosts[host].conns[0] = Some(self.tcp.len());
                self.tcp.push(Tcp {
                    ends: [host, 1 - host],
                    open: [true, false],
                    made: false,
                    last: [self.now; 2],
                });
                self.later(self.tcp.len() - 1, 1, Arrival::Syn);
            }
            Output::Send(side, bytes) => {
                let (tcp, end) = self.conn(host, side);
                let cut = usize::try_from(self.chance.below(bytes.len() as u64)).unwrap();
                self.later(tcp, 1 - end, Arrival::Bytes(bytes.slice(..cut)));
                self.later(tcp, 1 - end, Arrival::Bytes(bytes.slice(cut..)));
            }
            Output::Close(side) => {
                let (tcp, end) = self.conn(host, side);
                self.hosts[host].conns[place(side)] = None;
                self.tcp[tcp].open[end] = false;
                self.later(tcp, 1 - end, Arrival::Fin);
            }
            Output::Up(_) => {
                self.hosts[host].ups += 1;
                self.hosts[host].up_at = Some(self.now);
            }
            Output::Down(_) => self.hosts[host].up_at = None,
            Output::Update(_) | Output::Refresh(_) => panic!("nobody said that"),
        }
    }

    /// The connection of a side of a host, and which end of it that host is.
    fn conn(&self, host: usize, side: Side) -> (usize, usize) {
        (self.hosts[host].conns[place(side)].unwrap(), place(side))
    }

    fn arrive(&mut self, tcp: usize, end: usize, what: Arrival) {
        let host = self.tcp[tcp].ends[end];
        let side = if end == 0 {
            Side::Outgoing
        } else {
            Side::Incoming
        };
        if let Arrival::Syn = what {
            // As the driver has it: one connection of a side; who asks again has forgotten the one before it.
            if !self.hosts[host].started {
                return self.later(tcp, 0, Arrival::Refused);
            }
            if self.hosts[host].conns[1].is_some() {
                if self.hosts[host]
                    .fsm
                    .session()
                    .is_some_and(|s| s.side == Side::Incoming)
                {
                    return self.later(tcp, 0, Arrival::Refused);
                }
                let (old, end) = self.conn(host, Side::Incoming);
                self.tcp[old].open[end] = false;
                self.hosts[host].conns[1] = None;
                self.later(old, 1 - end, Arrival::Fin);
                self.feed(host, Input::Closed(Side::Incoming));
            }
            self.tcp[tcp].open[1] = true;
            self.hosts[host].conns[1] = Some(tcp);
            self.later(tcp, 0, Arrival::Accepted);
            return self.feed(host, Input::Connected(Side::Incoming));
        }
        if !self.tcp[tcp].open[end] {
            return;
        }
        match what {
            Arrival::Syn => {}
            Arrival::Accepted => {
                self.tcp[tcp].made = true;
                self.feed(host, Input::Connected(side));
            }
            Arrival::Bytes(bytes) => self.feed(host, Input::Received(side, bytes)),
            Arrival::Refused | Arrival::Fin => {
                self.tcp[tcp].open[end] = false;
                self.hosts[host].conns[end] = None;
                let failed = side == Side::Outgoing && !self.tcp[tcp].made;
                self.feed(
                    host,
                    if failed {
                        Input::ConnectFailed
                    } else {
                        Input::Closed(side)
                    },
                );
            }
        }
    }

    /// TCP breaks: both ends hear of it.
    fn reset(&mut self, tcp: usize) {
        self.later(tcp, 0, Arrival::Fin);
        self.later(tcp, 1, Arrival::Fin);
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            let arrival = self.arrivals.keys().next().map(|(at, _)| *at);
            let timers = self.hosts.iter().filter_map(|host| host.fsm.deadline());
            let Some(next) = timers.chain(arrival).min().filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(first) = self
                .arrivals
                .first_entry()
                .filter(|e| e.key().0 <= self.now)
            {
                let (tcp, end, what) = first.remove();
                self.arrive(tcp, end, what);
            }
            for host in 0..2 {
                if self.hosts[host]
                    .fsm
                    .deadline()
                    .is_some_and(|at| at <= self.now)
                {
                    self.feed(host, Input::Timeout);
                }
            }
        }
        self.now = until;
    }

    /// One session on both ends, the same one, and no connection beside it.
    fn check(&self, seed: u64) {
        let of = |host: &Host| {
            let side = host
                .fsm
                .session()
                .unwrap_or_else(|| panic!("seed {seed}: no session"))
                .side;
            assert_eq!(
                host.conns[1 - place(side)],
                None,
                "seed {seed}: another connection"
            );
            host.conns[place(side)].unwrap()
        };
        let [a, b] = &self.hosts;
        assert_eq!(of(a), of(b), "seed {seed}: two sessions");
    }

    /// When both ends had it that the session is up.
    fn up_at(&self, seed: u64) -> Instant {
        let up = self.hosts.iter().map(|host| host.up_at);
        up.max()
            .flatten()
            .unwrap_or_else(|| panic!("seed {seed}: not up"))
    }
}

fn with(asn: u32, identifier: u8) -> Config {
    Config {
        local_asn: asn,
        identifier: Ipv4Addr::new(10, 0, 0, identifier),
        peer_asn: PeerAs::Any,
        capabilities: capabilities(asn),
        ..config()
    }
}

/// §6.8, all interleavings: both ends call each other at about the same time.
#[test]
fn of_colliding_connections_the_same_one_survives_on_both_ends() {
    let mut flaps = 0;
    for seed in 0..SEEDS {
        let mut world = World::new(seed, None);
        world.start(0);
        let apart = world.chance.below(3 * LATENCY);
        world.run(Duration::from_micros(apart));
        world.start(1);
        world.run(Duration::from_secs(30));
        world.check(seed);
        flaps += world.hosts.iter().map(|host| host.ups - 1).sum::<u32>();
    }
    // One end may take a session for up that the other gives up at that very time; it comes again.
    assert!(flaps < u32::try_from(SEEDS).unwrap() / 25, "{flaps}");
}

/// Connections break at the worst of times.
#[test]
fn after_connections_broke_one_session_comes_back() {
    for seed in 0..SEEDS / 4 {
        let mut world = World::new(seed, None);
        world.start(0);
        world.start(1);
        for _ in 0..world.chance.below(8) {
            let pause = world.chance.below(400_000);
            world.run(Duration::from_micros(pause));
            if let Some(last) = world.tcp.len().checked_sub(1) {
                let which = usize::try_from(world.chance.below(2)).unwrap();
                world.reset(last.saturating_sub(which));
            }
        }
        world.run(Duration::from_secs(60));
        world.check(seed);
    }
}

/// Sessions come up within a second of both ends being there, however long one waited for the other.
#[test]
fn a_session_is_up_within_a_second_of_both_ends_being_there() {
    for seed in 0..SEEDS / 4 {
        let mut world = World::new(seed, (seed % 4 == 0).then_some(0));
        let waited = world.chance.below(120_000_000);
        world.start(0);
        world.run(Duration::from_micros(waited));
        let both = world.now;
        world.start(1);
        world.run(Duration::from_secs(30));
        world.check(seed);
        let took = world.up_at(seed) - both;
        assert!(took < Duration::from_secs(1), "seed {seed}: {took:?}");
    }
}

/// A peer that forgot all, and nobody was told, calls again: its half-open connection does not keep it out.
#[test]
fn a_peer_that_lost_its_state_is_let_in_while_no_session_is_up() {
    for seed in 0..SEEDS / 4 {
        let mut world = World::new(seed, Some(0));
        world.start(0);
        world.start(1);
        let short = world.chance.below(4 * LATENCY);
        world.run(Duration::from_micros(short));
        if world.hosts[0].fsm.session().is_some() {
            continue;
        }
        // The machine is off: nothing of it arrives, nothing to it is heard.
        world.arrivals.clear();
        for tcp in &mut world.tcp {
            let gone = tcp.ends.iter().position(|host| *host == 1).unwrap();
            tcp.open[gone] = false;
        }
        world.hosts[1].fsm = Fsm::new(with(65002, 9), seed);
        world.hosts[1].conns = [None; 2];
        world.run(Duration::from_millis(200));
        let back = world.now;
        world.start(1);
        world.run(Duration::from_secs(30));
        world.check(seed);
        let took = world.up_at(seed) - back;
        assert!(took < Duration::from_secs(1), "seed {seed}: {took:?}");
    }
}
