//! What a link promises: a sender, a reflector and what is between them, in virtual time.

use std::collections::BTreeMap;

use super::*;
use crate::stamp::{Config, Datagram, Format, Reflector};
use crate::tests::{Chance, some_instant};

const PEER: &str = "192.0.2.1:862";

/// A link under test. Times are whole microseconds, so that nothing depends on how it is woken.
struct World {
    start: Instant,
    now: Instant,
    link: Link,
    reflector: Reflector,
    chance: Chance,
    /// Loss there and back.
    loss: [f64; 2],
    /// One way, in microseconds.
    delay: u64,
    spread: u64,
    flying: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    number: u64,
    each_millisecond: bool,
    reports: Vec<(Duration, Report)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = some_instant();
        let config = Config {
            ssid: 7,
            interval: Duration::from_millis(20),
            format: Format::Ntp,
            clock_error: Duration::from_millis(10),
            key: None,
            padding: 0,
            stateful: true,
        };
        let mut reflector = Reflector::new(Format::Ptp, Duration::from_millis(1));
        let peer: std::net::SocketAddr = PEER.parse().unwrap();
        reflector.allow(peer.ip(), None);
        Self {
            start: now,
            now,
            link: Link::new(now, config),
            reflector,
            chance: Chance::new(seed),
            loss: [0.0; 2],
            delay: 2_000,
            spread: 1,
            flying: BTreeMap::new(),
            number: 0,
            each_millisecond: false,
            reports: Vec::new(),
        }
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
                let (at_reflector, packet) = entry.remove();
                if at_reflector {
                    self.reflect(&packet);
                } else {
                    self.tell(Input::Received(&packet));
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
                Output::Transmit { packet, .. } => self.fly(0, packet),
                Output::Report(report) => {
                    let at = self.now.duration_since(self.start);
                    self.reports.push((at, report));
                }
                Output::Stalled(_) => {}
            }
        }
    }

    fn reflect(&mut self, packet: &[u8]) {
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
            .for_each(|answer| self.fly(1, answer.packet));
    }

    fn fly(&mut self, way: usize, packet: Vec<u8>) {
        if self.chance.happens(self.loss[way]) {
            return;
        }
        let delay = Duration::from_micros(self.delay + self.chance.below(self.spread));
        self.number += 1;
        self.flying
            .insert((self.now + delay, self.number), (way == 0, packet));
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
    let run = |each_millisecond| {
        let mut world = World::new(11);
        world.each_millisecond = each_millisecond;
        world.spread = 30_000;
        world.loss = [0.1, 0.1];
        world.run(MINUTE);
        world.reports
    };
    let (at_deadlines, always) = (run(false), run(true));
    assert_eq!(at_deadlines.len(), always.len());
    assert_eq!(at_deadlines, always);
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
        match chance.below(4) {
            0 => world.tell(Input::Unsent(u32::try_from(chance.below(1000)).unwrap())),
            1 => world.tell(Input::Timeout {
                clock: Duration::from_nanos(chance.bits()),
            }),
            2 => world.tell(Input::Interval(Duration::from_nanos(chance.bits()))),
            _ => world.tell(Input::Received(&bytes)),
        }
    }
}
