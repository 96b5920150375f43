//! What a link promises: a sender, a reflector and what is between them, in virtual time.

use std::collections::BTreeMap;

use super::*;
use crate::stamp::{Datagram, Format, Key, Reflector};
use crate::tests::{Chance, some_instant};

const PEER: &str = "192.0.2.1:862";

/// A link under test. Times are whole microseconds, so that nothing depends on how it is woken.
struct World {
    start: Instant,
    now: Instant,
    link: Link,
    reflector: Reflector,
    chance: Chance,
    /// The peer answers it.
    stamp: bool,
    echo: bool,
    /// Loss there and back.
    loss: [f64; 2],
    /// One way, in microseconds.
    delay: u64,
    spread: u64,
    flying: BTreeMap<(Instant, u64), (bool, Method, Vec<u8>)>,
    number: u64,
    each_millisecond: bool,
    reports: Vec<(Duration, Report)>,
    /// What it was measured by, and from when on.
    methods: Vec<(Duration, Method)>,
    sent: Vec<(Duration, Method)>,
}

fn config() -> Config {
    let interval = Duration::from_millis(20);
    Config {
        stamp: stamp::Config {
            ssid: 7,
            interval,
            format: Format::Ntp,
            clock_error: Duration::from_millis(10),
            key: None,
            padding: 0,
            stateful: true,
        },
        icmp: Some(icmp::Config {
            ipv4: true,
            identifier: 7,
            key: Key::new(b"token").unwrap(),
            session: 0,
            interval,
        }),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let now = some_instant();
        let mut reflector = Reflector::new(Format::Ptp, Duration::from_millis(1));
        let peer: std::net::SocketAddr = PEER.parse().unwrap();
        reflector.allow(peer.ip(), None);
        Self {
            start: now,
            now,
            link: Link::new(now, config()),
            reflector,
            chance: Chance::new(seed),
            stamp: true,
            echo: true,
            loss: [0.0; 2],
            delay: 2_000,
            spread: 1,
            flying: BTreeMap::new(),
            number: 0,
            each_millisecond: false,
            reports: Vec::new(),
            methods: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// Of a peer without STAMP.
    fn without_stamp(seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.stamp = false;
        world
    }

    fn elapsed(&self) -> Duration {
        self.now.duration_since(self.start)
    }

    /// Probes of that kind that were sent since.
    fn sent_since(&self, since: Duration, method: Method) -> usize {
        let sent = self.sent.iter();
        sent.filter(|(at, kind)| *at >= since && *kind == method)
            .count()
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.flying.keys().next().map(|(at, _)| *at);
            let tick = self
                .each_millisecond
                .then(|| self.now + Duration::from_millis(1));
            let next = [arrival, tick, self.link.deadline()];
            let next = next.into_iter().flatten().min().unwrap().max(self.now);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            while let Some(entry) = self
                .flying
                .first_entry()
                .filter(|entry| entry.key().0 <= next)
            {
                let (is_there, method, packet) = entry.remove();
                match (is_there, method) {
                    (false, _) => self.tell(Input::Received(method, &packet)),
                    (true, Method::Stamp) => self.reflect(&packet),
                    (true, Method::Icmp) => self.reply(packet),
                }
            }
            if self.each_millisecond || self.link.deadline().unwrap() <= next {
                let clock = self.now.duration_since(self.start);
                self.tell(Input::Timeout { clock });
            }
        }
    }

    fn tell(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        self.link.handle(self.now, input, &mut out);
        for output in out {
            match output {
                Output::Transmit { method, packet, .. } => {
                    self.sent.push((self.elapsed(), method));
                    self.fly(0, method, packet);
                }
                Output::Report(report) => self.reports.push((self.elapsed(), report)),
                Output::Measured(method) => self.methods.push((self.elapsed(), method)),
                Output::Answered | Output::Stalled(_) => {}
            }
        }
    }

    fn reply(&mut self, mut packet: Vec<u8>) {
        if self.echo {
            packet[0] = 0;
            self.fly(1, Method::Icmp, packet);
        }
    }

    fn reflect(&mut self, packet: &[u8]) {
        if !self.stamp {
            return;
        }
        let clock = self.now.duration_since(self.start);
        let datagram = Datagram {
            from: PEER.parse().unwrap(),
            ttl: 255,
            received: clock,
            clock,
            payload: packet,
        };
        let mut out = Vec::new();
        self.reflector.handle(self.now, datagram, &mut out);
        out.into_iter()
            .for_each(|answer| self.fly(1, Method::Stamp, answer.packet));
    }

    fn fly(&mut self, way: usize, method: Method, packet: Vec<u8>) {
        if self.chance.happens(self.loss[way]) {
            return;
        }
        let delay = Duration::from_micros(self.delay + self.chance.below(self.spread));
        self.number += 1;
        self.flying
            .insert((self.now + delay, self.number), (way == 0, method, packet));
    }

    /// Seconds from now to the first alarm of each way within `time`.
    fn alarms(&mut self, time: Duration) -> [Option<f64>; 2] {
        self.reports.clear();
        let since = self.now.duration_since(self.start);
        self.run(time);
        Direction::BOTH.map(|direction| {
            let alarm = self
                .reports
                .iter()
                .find(|(_, report)| report.way(direction).alarm);
            alarm.map(|(at, _)| at.saturating_sub(since).as_secs_f64())
        })
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// Mean and largest time to the first alarm of either way over `runs`, in seconds.
fn detection(loss: [f64; 2], runs: u64) -> (f64, f64) {
    let mut all = Vec::new();
    for seed in 1..=runs {
        let mut world = World::new(seed);
        world.run(Duration::from_millis(5_000 + seed * 37 % 20));
        world.loss = loss;
        let alarms = world.alarms(Duration::from_secs(30));
        all.push(alarms.into_iter().flatten().reduce(f64::min).unwrap());
    }
    all.sort_by(f64::total_cmp);
    let mean = all.iter().sum::<f64>() / runs as f64;
    let p99 = all[all.len() * 99 / 100];
    println!("{loss:?}: mean {mean:.2} s, p99 {p99:.2} s");
    (mean, p99)
}

#[test]
fn silence_is_found_in_a_fifth_of_a_second() {
    let (mean, p99) = detection([1.0, 1.0], 100);
    assert!(mean < 0.21 && p99 < 0.24, "{mean} {p99}");
}

#[test]
fn a_lossy_link_is_found_in_time_from_packets_too() {
    for (loss, mean_at_most, p99_at_most) in [
        ([0.2, 0.0], 0.95, 2.0),
        ([0.2, 0.2], 0.8, 1.5),
        ([0.4, 0.4], 0.5, 0.8),
        ([0.1, 0.1], 1.9, 3.5),
        ([0.05, 0.05], 7.0, 15.0),
    ] {
        let (mean, p99) = detection(loss, 100);
        assert!(
            mean <= mean_at_most && p99 <= p99_at_most,
            "{loss:?} {mean} {p99}"
        );
    }
}

/// Mean and 99th percentile of the time until both ends of a link know that what they send on it is lost, in seconds: then
/// nothing takes it any more.
fn known_at_both_ends(loss: f64, links: u64) -> (f64, f64) {
    let knows = |seed: u64| {
        let mut world = World::new(seed);
        world.run(Duration::from_millis(5_000 + seed * 37 % 20));
        world.loss = [loss; 2];
        let [forward, _] = world.alarms(Duration::from_secs(40));
        forward.unwrap()
    };
    let both = |link: u64| knows(2 * link).max(knows(2 * link + 1));
    let mut all: Vec<f64> = (1..=links).map(both).collect();
    all.sort_by(f64::total_cmp);
    let mean = all.iter().sum::<f64>() / links as f64;
    let p99 = all[all.len() * 99 / 100];
    println!("{loss} at both ends: mean {mean:.2} s, p99 {p99:.2} s");
    (mean, p99)
}

#[test]
fn a_link_that_loses_both_ways_is_known_to_at_both_ends_in_time() {
    for (loss, mean_at_most, p99_at_most) in
        [(0.4, 0.55, 0.85), (0.2, 0.95, 1.5), (0.05, 7.0, 12.0)]
    {
        let (mean, p99) = known_at_both_ends(loss, 300);
        assert!(
            mean <= mean_at_most && p99 <= p99_at_most,
            "{loss} {mean} {p99}"
        );
    }
}

#[test]
fn only_the_direction_that_loses_alarms() {
    for (loss, which) in [([0.2, 0.0], 0), ([0.0, 0.2], 1)] {
        let mut world = World::new(3);
        world.run(Duration::from_secs(5));
        world.loss = loss;
        let alarms = world.alarms(MINUTE);
        assert!(
            alarms[which].is_some() && alarms[1 - which].is_none(),
            "{alarms:?}"
        );
    }
}

#[test]
fn jitter_reordering_and_a_longer_way_bring_no_alarm() {
    let mut world = World::new(4);
    world.spread = 30_000;
    assert_eq!(world.alarms(MINUTE), [None, None]);
    world.delay = 80_000;
    assert_eq!(world.alarms(MINUTE), [None, None]);
    world.delay = 2_000;
    assert_eq!(world.alarms(MINUTE), [None, None]);
}

#[test]
fn a_process_that_is_stopped_now_and_then_alarms_nobody() {
    let mut world = World::new(5);
    world.delay = 50_000;
    for _ in 0..30 {
        assert_eq!(world.alarms(Duration::from_secs(2)), [None, None]);
        // Nobody calls; what comes meanwhile is lost in full buffers.
        world.now += Duration::from_millis(700);
        world.flying.clear();
    }
}

#[test]
fn a_reflector_that_restarts_alarms_nobody() {
    let mut world = World::new(6);
    for _ in 0..10 {
        assert_eq!(world.alarms(Duration::from_secs(5)), [None, None]);
        let ip = "192.0.2.1".parse().unwrap();
        world.reflector.forget(ip);
        world.reflector.allow(ip, None);
    }
}

#[test]
fn a_report_says_what_was_measured() {
    let mut world = World::new(8);
    world.loss = [0.1, 0.3];
    world.run(MINUTE);
    let (_, report) = world.reports.last().unwrap();
    assert!((0.08..0.12).contains(&report.forward.minute.ratio()));
    assert!((0.26..0.34).contains(&report.reverse.minute.ratio()));
    assert_eq!(report.rtt_long.map(|rtt| rtt.as_millis()), Some(4));
    assert!(!report.silent);
    world.loss = [1.0; 2];
    world.run(Duration::from_secs(1));
    assert!(world.reports.last().unwrap().1.silent);
}

/// Woken only at the deadline is as good as woken each millisecond.
#[test]
fn deadlines_are_complete() {
    let run = |each_millisecond, has_stamp| {
        let mut world = World::new(11);
        world.each_millisecond = each_millisecond;
        world.spread = 30_000;
        world.loss = [0.1, 0.1];
        world.stamp = has_stamp;
        world.run(MINUTE);
        world.stamp = !has_stamp;
        world.run(MINUTE * 2);
        (world.reports, world.methods, world.sent)
    };
    for has_stamp in [true, false] {
        let (at_deadlines, always) = (run(false, has_stamp), run(true, has_stamp));
        assert_eq!(at_deadlines.0.len(), always.0.len());
        assert_eq!(at_deadlines, always);
    }
}

#[test]
fn noise_never_panics() {
    let (mut world, mut chance) = (World::new(12), Chance::new(12));
    for _ in 0..20_000 {
        world.now += Duration::from_millis(chance.below(30));
        let len = usize::try_from(chance.below(60)).unwrap();
        let mut bytes: Vec<u8> = (0..len).map(|_| chance.bits().to_be_bytes()[0]).collect();
        if let Some(ssid) = bytes.get_mut(14..16) {
            ssid.fill(0);
        }
        if let Some(sequence) = bytes.get_mut(24..27) {
            sequence.fill(0);
        }
        let method = [Method::Stamp, Method::Icmp][usize::try_from(chance.below(2)).unwrap()];
        match chance.below(4) {
            0 => world.tell(Input::Unsent(
                method,
                u32::try_from(chance.below(1000)).unwrap(),
            )),
            1 => world.tell(Input::Timeout {
                clock: Duration::from_nanos(chance.bits()),
            }),
            2 => world.tell(Input::Interval(Duration::from_nanos(chance.bits()))),
            _ => world.tell(Input::Received(method, &bytes)),
        }
    }
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// The budget is kept: as many probes as if there were STAMP alone, one of them a second of the other kind.
#[test]
fn who_has_no_stamp_is_measured_by_echo_after_three_seconds() {
    let mut world = World::without_stamp(20);
    world.run(UNANSWERED - MS);
    assert_eq!(world.sent_since(Duration::ZERO, Method::Icmp), 0);
    assert_eq!((world.link.method(), world.reports.len()), (None, 0));
    world.run(SECOND);
    let (at, method) = world.methods[0];
    assert_eq!(
        (method, world.link.method()),
        (Method::Icmp, Some(Method::Icmp))
    );
    assert!(at < UNANSWERED + Duration::from_millis(50), "{at:?}");
    let since = world.elapsed();
    world.run(SECOND * 20);
    let [echo, stamp] = [Method::Icmp, Method::Stamp].map(|m| world.sent_since(since, m));
    assert!((978..=981).contains(&echo), "{echo}");
    assert!((19..=21).contains(&stamp), "{stamp}");
    let (_, report) = world.reports.last().unwrap();
    assert_eq!(report.rtt_long, Some(4 * MS));
    assert_eq!(report.forward.minute.lost, 0);
    assert!(report.forward.minute.probes > 900 && !report.silent);
    assert_eq!(world.methods.len(), 1);
}

#[test]
fn where_echo_may_not_be_there_is_stamp_or_nothing() {
    let mut world = World::without_stamp(30);
    world.link.config.icmp = None;
    world.run(MINUTE);
    assert!(world.link.method().is_none() && world.reports.is_empty());
    world.stamp = true;
    world.run(MINUTE);
    world.stamp = false;
    world.run(MINUTE * 3);
    assert_eq!(world.link.method(), Some(Method::Stamp));
    assert!(world.reports.last().unwrap().1.silent);
    assert_eq!(world.sent_since(Duration::ZERO, Method::Icmp), 0);
}

#[test]
fn who_answers_neither_is_never_measured() {
    let mut world = World::without_stamp(21);
    world.echo = false;
    world.run(MINUTE * 3);
    assert_eq!((world.link.method(), world.reports.len()), (None, 0));
    assert!(world.methods.is_empty());
}

/// The same alarm: what is lost of the round trip is found as soon, and held against either direction.
#[test]
fn loss_is_found_by_echo_as_soon_as_by_stamp() {
    for (loss, mean_at_most, most) in [
        ([1.0, 1.0], 0.22, 0.25),
        ([0.4, 0.4], 0.4, 0.7),
        ([0.2, 0.2], 0.6, 1.2),
        ([0.2, 0.0], 0.95, 2.0),
        ([0.0, 0.2], 0.95, 2.0),
    ] {
        let mut all = Vec::new();
        for seed in 1..=100 {
            let mut world = World::without_stamp(seed);
            world.run(Duration::from_millis(8_000 + seed * 37 % 20));
            world.loss = loss;
            let [forward, reverse] = world.alarms(SECOND * 30);
            assert_eq!(forward, reverse);
            all.push(forward.unwrap());
        }
        all.sort_by(f64::total_cmp);
        let (mean, p99) = (all.iter().sum::<f64>() / 100.0, all[98]);
        println!("{loss:?}: mean {mean:.2} s, p99 {p99:.2} s");
        assert!(mean <= mean_at_most && p99 <= most, "{loss:?} {mean} {p99}");
    }
}

#[test]
fn all_loss_of_the_round_trip_is_held_against_either_direction() {
    let mut world = World::without_stamp(22);
    world.run(SECOND * 5);
    world.loss = [0.2, 0.2];
    world.run(MINUTE * 2);
    let (_, report) = world.reports.last().unwrap();
    let [there, back] = [report.forward, report.reverse].map(|way| way.minute);
    assert_eq!(there, back);
    assert!((0.32..0.40).contains(&there.ratio()), "{there:?}");
}

#[test]
fn a_good_link_and_jitter_bring_no_alarm_by_echo() {
    let mut world = World::without_stamp(23);
    world.run(SECOND * 5);
    world.spread = 30_000;
    assert_eq!(world.alarms(MINUTE * 5), [None, None]);
    world.spread = 1;
    world.loss = [0.002, 0.002];
    assert_eq!(world.alarms(MINUTE * 30), [None, None]);
}

#[test]
fn a_peer_that_gets_stamp_is_measured_by_it_again_and_echo_ends() {
    let mut world = World::without_stamp(24);
    world.run(SECOND * 20);
    world.stamp = true;
    let since = world.elapsed();
    world.run(SECOND * 5);
    let (at, method) = *world.methods.last().unwrap();
    assert_eq!(method, Method::Stamp);
    assert!(
        at - since < Duration::from_millis(3_100),
        "{:?}",
        at - since
    );
    let since = world.elapsed();
    assert_eq!(world.alarms(MINUTE), [None, None]);
    assert_eq!(world.sent_since(since, Method::Icmp), 0);
    assert_eq!(world.sent_since(since, Method::Stamp), 3000);
    assert_eq!(world.methods.len(), 2);
    // What is lost one way is said of that way again.
    world.loss = [0.3, 0.0];
    let alarms = world.alarms(MINUTE);
    assert!(alarms[0].is_some() && alarms[1].is_none());
}

/// Silence where there was STAMP is loss: the neighbor's reflector may be gone, or the link.
#[test]
fn stamp_that_falls_silent_is_loss_and_not_a_reason_for_echo() {
    let mut world = World::new(25);
    world.run(SECOND * 10);
    world.loss = [1.0; 2];
    let [alarm, _] = world.alarms(MINUTE * 10);
    assert!(alarm.unwrap() < 0.25);
    assert!(world.reports.last().unwrap().1.silent);
    assert_eq!(world.link.method(), Some(Method::Stamp));
    // It is whole again: the first answers are those of STAMP, even if most are lost still.
    world.loss = [0.8; 2];
    let since = world.elapsed();
    world.run(MINUTE);
    assert_eq!(world.methods.len(), 1, "{:?}", world.methods);
    let kept = world.sent_since(since, Method::Stamp);
    assert!(kept > 2_900, "{kept}");
    world.loss = [0.0; 2];
    let since = world.elapsed();
    world.run(SECOND * 5);
    assert!(!world.reports.last().unwrap().1.silent);
    assert_eq!(world.sent_since(since, Method::Icmp), 0);
}

#[test]
fn who_lost_its_reflector_is_measured_by_echo_after_a_minute() {
    let mut world = World::new(26);
    world.run(SECOND * 10);
    world.stamp = false;
    let since = world.elapsed();
    world.run(DOUBT);
    assert_eq!(world.sent_since(since, Method::Icmp), 0);
    assert!(world.reports.last().unwrap().1.silent);
    world.run(SECOND * 3);
    // A minute, and it asks; nothing is believed yet, and no more is sent than before.
    assert!(world.reports.last().unwrap().1.silent);
    let all = world.sent_since(since, Method::Stamp) + world.sent_since(since, Method::Icmp);
    assert!(all.abs_diff(63 * 50) <= 3, "{all}");
    world.run(SECOND * 5);
    let (at, method) = *world.methods.last().unwrap();
    assert_eq!(method, Method::Icmp);
    let after = at - since;
    assert!(
        after > DOUBT + SECOND * 4 && after < DOUBT + SECOND * 6,
        "{after:?}"
    );
    assert_eq!(world.alarms(MINUTE), [None, None]);
    let (_, report) = world.reports.last().unwrap();
    assert!(!report.silent && report.forward.minute.lost == 0);
    // And back.
    world.stamp = true;
    assert_eq!(world.alarms(MINUTE), [None, None]);
    assert_eq!(world.link.method(), Some(Method::Stamp));
}

/// Whether we were not scheduled, or the socket takes nothing: who was not asked has not failed to answer.
#[test]
fn who_was_not_asked_has_stamp_perhaps() {
    let mut world = World::without_stamp(27);
    for _ in 0..10 {
        world.run(SECOND * 2);
        world.now += SECOND * 4;
        world.flying.clear();
    }
    assert_eq!(world.sent_since(Duration::ZERO, Method::Icmp), 0);
    let mut link = Link::new(world.now, config());
    let mut out = Vec::new();
    for _ in 0..1_000 {
        let now = link.deadline().unwrap();
        let clock = Duration::ZERO;
        link.handle(now, Input::Timeout { clock }, &mut out);
        for output in std::mem::take(&mut out) {
            if let Output::Transmit {
                method, sequence, ..
            } = output
            {
                assert_eq!(method, Method::Stamp);
                link.handle(now, Input::Unsent(method, sequence), &mut out);
            }
        }
    }
}

#[test]
fn gaps_of_our_own_are_no_loss_by_echo_either() {
    let mut world = World::without_stamp(28);
    world.delay = 50_000;
    world.run(SECOND * 5);
    for _ in 0..30 {
        assert_eq!(world.alarms(SECOND * 2), [None, None]);
        // Nobody calls; what comes meanwhile is lost in full buffers.
        world.now += Duration::from_millis(700);
        world.flying.clear();
    }
    assert_eq!(world.reports.last().unwrap().1.forward.minute.lost, 0);
}

/// A socket that takes nothing measures nothing.
#[test]
fn echo_that_cannot_be_sent_is_no_loss() {
    let mut link = Link::new(some_instant(), config());
    let (mut out, mut tried) = (Vec::new(), 0);
    for _ in 0..5_000 {
        let now = link.deadline().unwrap();
        let clock = Duration::ZERO;
        link.handle(now, Input::Timeout { clock }, &mut out);
        for output in std::mem::take(&mut out) {
            match output {
                Output::Transmit {
                    method: Method::Icmp,
                    sequence,
                    ..
                } => {
                    tried += 1;
                    link.handle(now, Input::Unsent(Method::Icmp, sequence), &mut out);
                }
                Output::Transmit { .. } => {}
                Output::Answered | Output::Report(_) | Output::Measured(_) | Output::Stalled(_) => {
                    panic!("{output:?}")
                }
            }
        }
    }
    assert!(tried > 1_000 && link.method().is_none());
}

/// One packet of a stranger's that was taken for an answer does not take echo from a link.
#[test]
fn a_single_answer_of_stamp_ends_no_echo() {
    let mut world = World::without_stamp(29);
    world.run(SECOND * 10);
    for _ in 0..2 {
        world.stamp = true;
        world.run(SECOND);
        world.stamp = false;
        world.run(SECOND * 30);
    }
    assert_eq!(world.link.method(), Some(Method::Icmp));
    assert_eq!(world.methods.len(), 1);
}
