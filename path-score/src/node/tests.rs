//! Nodes in a full mesh, in virtual time: what is lost on one link is said of that link, in that direction, and of no other.

use std::net::SocketAddr;

use super::*;
use crate::judge::Why;
use crate::tests::{Chance, some_instant};

const MS: Duration = Duration::from_millis(1);
const CLOCK: Duration = Duration::from_secs(1_795_000_000);

/// A datagram under way.
struct Flight {
    at: Instant,
    to: usize,
    from: SocketAddr,
    /// The link whose socket it is for; `None`: the reflector's port.
    link: Option<LinkId>,
    method: Method,
    packet: Vec<u8>,
}

struct World {
    start: Instant,
    now: Instant,
    nodes: Vec<Node>,
    flights: Vec<Flight>,
    chance: Chance,
    /// The share that is lost from one node to another.
    loss: BTreeMap<(usize, usize), f64>,
    log: Vec<(Duration, usize, Change)>,
    notices: Vec<(usize, judge::Notice)>,
    /// This one has no reflector.
    mute: Option<usize>,
    /// Nobody replies to echo.
    no_echo: bool,
}

fn address(node: usize) -> IpAddr {
    IpAddr::from([10, 255, 0, u8::try_from(node + 1).unwrap()])
}

/// A link is named by the neighbor's number.
fn link(to: usize) -> LinkId {
    LinkId(u32::try_from(to).unwrap())
}

fn config_of(to: usize) -> LinkConfig {
    LinkConfig {
        peer: address(to),
        admin: Cost::default(),
        key: None,
        ssid: u16::try_from(to + 1).unwrap(),
        echo_key: Key::new(&[1, u8::try_from(to).unwrap()]).unwrap(),
    }
}

impl World {
    fn new(nodes: usize, config: Config) -> Self {
        let now = some_instant();
        let mut world = Self {
            start: now,
            now,
            nodes: (0..nodes).map(|_| Node::new(config, MS)).collect(),
            flights: Vec::new(),
            chance: Chance::new(5),
            loss: BTreeMap::new(),
            log: Vec::new(),
            notices: Vec::new(),
            mute: None,
            no_echo: false,
        };
        for from in 0..nodes {
            for to in (0..nodes).filter(|to| *to != from) {
                let mut out = Vec::new();
                assert!(world.nodes[from].open(now, link(to), &config_of(to), &mut out));
                world.act(from, out);
            }
        }
        world.log.clear();
        world
    }

    fn clock(&self) -> Duration {
        CLOCK + (self.now - self.start)
    }

    fn fly(&mut self, (from, to): (usize, usize), link: Option<LinkId>, probe: (Method, Vec<u8>)) {
        let (method, packet) = probe;
        let lost = self.loss.get(&(from, to)).copied().unwrap_or_default();
        if self.chance.happens(lost) {
            return;
        }
        // Twenty milliseconds a hop.
        self.flights.push(Flight {
            at: self.now + 20 * MS,
            to,
            from: SocketAddr::new(address(from), 50_000),
            link,
            method,
            packet,
        });
    }

    fn act(&mut self, node: usize, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Transmit {
                    link,
                    method,
                    packet,
                    ..
                } => {
                    let to = usize::try_from(link.0).unwrap();
                    self.fly((node, to), None, (method, packet));
                }
                Output::Reflect(answer) => {
                    let to = (0..self.nodes.len()).find(|n| address(*n) == answer.to.ip());
                    let answer = (Method::Stamp, answer.packet);
                    self.fly((node, to.unwrap()), Some(link(node)), answer);
                }
                Output::Cost(change) => self.log.push((self.now - self.start, node, change)),
                Output::Notice(notice) => self.notices.push((node, notice)),
                Output::Stalled(_) | Output::Answered { .. } | Output::Measured { .. } => {}
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let arrivals = self.flights.iter().map(|flight| flight.at);
            let dues = self.nodes.iter().filter_map(Node::deadline);
            let Some(next) = arrivals.chain(dues).min().filter(|at| *at <= until) else {
                break;
            };
            self.now = next.max(self.now);
            let now = self.now;
            let all = std::mem::take(&mut self.flights).into_iter();
            let (here, later): (Vec<_>, Vec<_>) = all.partition(|flight| flight.at <= now);
            self.flights = later;
            for flight in here {
                self.arrive(&flight);
            }
            let clock = self.clock();
            for node in 0..self.nodes.len() {
                let mut out = Vec::new();
                self.nodes[node].handle(now, Input::Timeout { clock }, &mut out);
                self.act(node, out);
            }
        }
        self.now = until;
    }

    fn arrive(&mut self, flight: &Flight) {
        let (now, clock) = (self.now, self.clock());
        let input = match flight.link {
            Some(link) => Input::Answer(link, flight.method, &flight.packet),
            None if flight.method == Method::Icmp => {
                let from = (0..self.nodes.len()).find(|n| address(*n) == flight.from.ip());
                let mut packet = flight.packet.clone();
                packet[0] = 0;
                if !self.no_echo {
                    let back = (flight.to, from.unwrap());
                    self.fly(back, Some(link(flight.to)), (Method::Icmp, packet));
                }
                return;
            }
            None if self.mute == Some(flight.to) => return,
            None => Input::Probe(Datagram {
                from: flight.from,
                ttl: 255,
                received: clock,
                clock,
                payload: &flight.packet,
            }),
        };
        let mut out = Vec::new();
        self.nodes[flight.to].handle(now, input, &mut out);
        self.act(flight.to, out);
    }

    fn view(&self, node: usize, to: usize) -> View {
        self.nodes[node]
            .views()
            .find(|view| view.link == link(to))
            .unwrap()
    }

    fn cost(&self, node: usize, to: usize) -> u32 {
        self.view(node, to).costs[0].micros()
    }
}

#[test]
fn a_link_costs_half_its_round_trip() {
    let mut world = World::new(3, Config::default());
    world.pass(Duration::from_secs(20));
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let view = world.view(from, to);
        assert!(view.method == Some(Method::Stamp) && !view.bad && view.report.is_some());
        assert_eq!(view.costs.map(Cost::micros), [20_000; 2]);
        assert_eq!(view.interval, budget::FASTEST);
    }
}

/// The bar: 20 % each way is found within 1.5 s at the 99th percentile, and said once.
#[test]
fn a_lossy_link_costs_more_within_a_second_and_a_half_and_others_do_not() {
    let mut world = World::new(4, Config::default());
    world.pass(Duration::from_secs(70));
    world.log.clear();
    let cut = world.now - world.start;
    world.loss.insert((0, 1), 0.2);
    world.loss.insert((1, 0), 0.2);
    world.pass(Duration::from_secs(60));
    for (at, node, change) in &world.log {
        assert!(
            matches!((node, change.link.0), (0, 1) | (1, 0)),
            "{node} {change:?}"
        );
        assert!(change.cost > change.before, "{at:?} {change:?}");
    }
    for node in [0, 1] {
        let first = world
            .log
            .iter()
            .find(|(_, n, change)| *n == node && change.direction == Direction::Forward);
        let (at, _, change) = first.unwrap();
        assert!(*at - cut < Duration::from_millis(1_500), "{:?}", *at - cut);
        assert_eq!(change.why, Why::Alarm);
        assert!(world.cost(node, 1 - node) > 100_000);
        assert!(world.view(node, 1 - node).bad);
    }
    world.loss.clear();
    world.pass(Duration::from_secs(120));
    for node in [0, 1] {
        let view = world.view(node, 1 - node);
        assert!(!view.bad && view.costs[0].micros() == 20_000, "{view:?}");
        assert!(view.history.len() >= 2);
    }
}

#[test]
fn loss_one_way_is_said_of_that_way_alone() {
    let mut world = World::new(4, Config::default());
    world.pass(Duration::from_secs(70));
    world.loss.insert((0, 1), 0.2);
    world.pass(Duration::from_secs(30));
    let (ours, theirs) = (world.view(0, 1), world.view(1, 0));
    assert!(ours.costs[0].micros() > 100_000, "{ours:?}");
    assert_eq!(ours.costs[1].micros(), 20_000);
    assert_eq!(theirs.costs[0].micros(), 20_000);
    assert!(theirs.costs[1].micros() > 100_000, "{theirs:?}");
}

/// A neighbor that answers nothing is no broken link.
#[test]
fn who_never_answers_is_not_measured() {
    let mut world = World::new(3, Config::default());
    world.mute = Some(2);
    world.no_echo = true;
    // What was answered before it was mute is none: it is mute from the first probe on.
    world.pass(Duration::from_secs(60));
    let view = world.view(0, 2);
    assert!(view.method.is_none() && view.report.is_none() && !view.bad);
    assert_eq!(view.costs[0], judge::Config::default().weights.unmeasured);
    assert!(view.sent > 1000);
}

/// Without STAMP, by echo: found in time, said of that link alone, and its cost falls again once it holds.
#[test]
fn a_link_without_stamp_costs_more_when_it_loses_and_less_when_it_is_whole() {
    let mut world = World::new(4, Config::default());
    world.mute = Some(1);
    world.pass(Duration::from_secs(70));
    let view = world.view(0, 1);
    assert_eq!(view.method, Some(Method::Icmp));
    assert_eq!(view.costs.map(Cost::micros), [20_000; 2]);
    world.log.clear();
    let cut = world.now - world.start;
    world.loss.insert((0, 1), 0.4);
    world.loss.insert((1, 0), 0.4);
    world.pass(Duration::from_secs(60));
    let (at, _, change) = world.log.iter().find(|(_, n, _)| *n == 0).unwrap();
    assert!(*at - cut < Duration::from_secs(1), "{:?}", *at - cut);
    assert_eq!((change.why, change.link), (Why::Alarm, link(1)));
    assert!(
        world
            .log
            .iter()
            .all(|(_, n, c)| matches!((n, c.link.0), (0, 1) | (1, 0)))
    );
    let view = world.view(0, 1);
    // 64 % of the round trip, of either direction.
    assert!(view.bad && view.costs[0].micros() > 1_000_000, "{view:?}");
    assert_eq!(view.costs[0], view.costs[1]);
    world.loss.clear();
    world.pass(Duration::from_secs(120));
    let view = world.view(0, 1);
    assert!(!view.bad && view.costs[0].micros() == 20_000, "{view:?}");
}

/// BFD misses packets: a link that is measured by echo is taken at its word as well.
#[test]
fn a_link_without_stamp_on_which_others_miss_packets_costs_the_most() {
    let mut world = World::new(3, Config::default());
    world.mute = Some(1);
    world.pass(Duration::from_secs(10));
    let mut out = Vec::new();
    world.nodes[0].handle(world.now, Input::Missed(link(1)), &mut out);
    world.act(0, out);
    assert!(world.cost(0, 1) > 10_000_000);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.cost(0, 1), 20_000);
}

/// A neighbor that restarts without its reflector is not lost for ever.
#[test]
fn a_link_whose_reflector_went_costs_the_most_for_a_minute_or_so() {
    let mut world = World::new(3, Config::default());
    world.pass(Duration::from_secs(10));
    world.mute = Some(1);
    world.pass(Duration::from_secs(60));
    let view = world.view(0, 1);
    assert!(view.bad && view.costs[0].micros() > 10_000_000);
    assert_eq!(view.method, Some(Method::Stamp));
    world.pass(Duration::from_secs(20));
    let view = world.view(0, 1);
    assert_eq!(view.method, Some(Method::Icmp));
    assert!(!view.bad && view.costs[0].micros() == 20_000, "{view:?}");
    world.mute = None;
    world.log.clear();
    world.pass(Duration::from_secs(60));
    assert_eq!(world.view(0, 1).method, Some(Method::Stamp));
    assert!(world.log.is_empty(), "{:?}", world.log);
}

/// More than half of the links at once: it may be us.
#[test]
fn all_at_once_changes_nothing() {
    let mut world = World::new(4, Config::default());
    world.pass(Duration::from_secs(70));
    world.log.clear();
    for to in 1..4 {
        world.loss.insert((0, to), 0.5);
        world.loss.insert((to, 0), 0.5);
    }
    world.pass(Duration::from_secs(10));
    assert!(world.nodes[0].is_frozen());
    assert!(
        world
            .notices
            .iter()
            .any(|(node, notice)| *node == 0 && matches!(notice, judge::Notice::Frozen { .. }))
    );
    let moved = world.log.iter().filter(|(_, node, _)| *node == 0).count();
    assert!(moved <= 2, "what alarmed before the others did: {moved}");
}

#[test]
fn the_budget_is_shared() {
    let config = Config {
        budget: 100_000,
        ..Config::default()
    };
    let mut world = World::new(4, config);
    world.pass(Duration::from_secs(10));
    let sent: u64 = (1..4).map(|to| world.view(0, to).sent).sum();
    let bits = sent * 140 * 8 / 10;
    assert!((90_000..=105_000).contains(&bits), "{bits} bit/s");
    let mut out = Vec::new();
    let now = world.now;
    world.nodes[0].close(now, link(3), &mut out);
    assert_eq!(world.view(0, 1).interval, budget::interval(2, 100_000));
}

#[test]
fn a_link_that_is_gone_is_forgotten_and_its_neighbor_answered_no_more() {
    let mut world = World::new(2, Config::default());
    world.pass(Duration::from_secs(5));
    let mut out = Vec::new();
    let now = world.now;
    world.nodes[0].close(now, link(1), &mut out);
    assert_eq!(world.nodes[0].views().count(), 0);
    assert_eq!(world.nodes[0].deadline(), None);
    world.pass(Duration::from_secs(1));
    assert!(world.nodes[0].refused() > 40);
}

/// RFC 8762 §4.4: who has another key, or none, is not answered, and not believed.
#[test]
fn a_link_with_another_key_is_another_session() {
    let mut world = World::new(2, Config::default());
    world.pass(Duration::from_secs(5));
    let key = |secret: &[u8]| Key::new(secret);
    let open = |world: &mut World, node: usize, key: Option<Key>| {
        let mut out = Vec::new();
        let other = 1 - node;
        let config = LinkConfig {
            key,
            ..config_of(other)
        };
        assert!(world.nodes[node].open(world.now, link(other), &config, &mut out));
        world.act(node, out);
    };
    open(&mut world, 0, key(b"one"));
    assert!(world.nodes[0].views().next().unwrap().method.is_none());
    world.pass(Duration::from_secs(2));
    assert!(world.nodes[0].views().next().unwrap().method.is_none());
    open(&mut world, 1, key(b"two"));
    world.pass(Duration::from_secs(2));
    assert!(world.nodes[0].views().next().unwrap().method.is_none());
    open(&mut world, 1, key(b"one"));
    world.pass(Duration::from_secs(2));
    assert!(
        world
            .nodes
            .iter()
            .all(|node| node.views().next().unwrap().method.is_some())
    );
    // The same again changes nothing.
    let sent = world.nodes[0].views().next().unwrap().sent;
    open(&mut world, 0, key(b"one"));
    assert_eq!(world.nodes[0].views().next().unwrap().sent, sent);
}

#[test]
fn a_link_on_which_others_miss_packets_costs_the_most_until_it_proves_better() {
    let mut world = World::new(3, Config::default());
    world.pass(Duration::from_secs(5));
    world.log.clear();
    let mut out = Vec::new();
    world.nodes[0].handle(world.now, Input::Missed(link(1)), &mut out);
    // One of a node's links that is not there, or not measured, is nobody's.
    world.nodes[0].handle(world.now, Input::Missed(LinkId(99)), &mut out);
    world.act(0, out);
    assert_eq!(world.log.len(), 2);
    assert!(
        world
            .log
            .iter()
            .all(|(_, _, c)| c.why == Why::Silent && c.cost.micros() > 10_000_000)
    );
    world.log.clear();
    world.pass(Duration::from_millis(4_900));
    assert!(world.log.is_empty(), "{:?}", world.log);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.log.len(), 2);
    assert!(world.log.iter().all(|(_, _, c)| c.cost.micros() < 100_000));
}

#[test]
fn there_are_only_so_many_links() {
    let now = some_instant();
    let mut node = Node::new(Config::default(), MS);
    let mut out = Vec::new();
    for number in 0..=LINKS_MAX {
        let id = LinkId(u32::try_from(number).unwrap());
        assert_eq!(
            node.open(now, id, &config_of(1), &mut out),
            number < LINKS_MAX
        );
    }
}
