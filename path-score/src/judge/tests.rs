//! What the judge promises: links whose loss is drawn, in virtual time.

use super::*;
use crate::alarm::Alarm;
use crate::estimate::{self, Answer, Estimate, Span};
use crate::tests::{Chance, some_instant};

const PROBE: Duration = Duration::from_millis(20);
const RTT: Duration = Duration::from_millis(40);

/// A link without its packets: only their numbers.
struct Track {
    estimate: Estimate,
    alarms: [Alarm; 2],
    raised: [bool; 2],
    sequence: u32,
    reflected: u32,
    loss: [f64; 2],
}

/// A node: its links and its judge.
struct World {
    start: Instant,
    now: Instant,
    chance: Chance,
    tracks: Vec<Track>,
    judge: Judge,
    out: Vec<Output>,
    changes: Vec<(f64, Change)>,
    notices: Vec<Notice>,
    ticks: u32,
    /// Ticks between two probes.
    every: u32,
}

impl World {
    fn new(seed: u64, links: u32) -> Self {
        Self::with(seed, links, Config::default())
    }

    fn with(seed: u64, links: u32, config: Config) -> Self {
        let now = some_instant();
        let mut judge = Judge::new(config);
        let mut out = Vec::new();
        let tracks = (0..links).map(|link| {
            judge.handle(now, Input::Add(LinkId(link), Cost::default()), &mut out);
            Track {
                estimate: Estimate::new(now),
                alarms: Default::default(),
                raised: [false; 2],
                sequence: 0,
                reflected: 0,
                loss: [0.0; 2],
            }
        });
        let tracks = tracks.collect();
        out.clear();
        let (changes, notices) = (Vec::new(), Vec::new());
        let chance = Chance::new(seed);
        Self {
            start: now,
            now,
            chance,
            tracks,
            judge,
            out,
            changes,
            notices,
            ticks: 0,
            every: 1,
        }
    }

    fn run(&mut self, seconds: u32) {
        for _ in 0..seconds * 50 {
            self.now += PROBE;
            self.ticks += 1;
            for at in 0..self.tracks.len() {
                let track = &mut self.tracks[at];
                if self.ticks.is_multiple_of(self.every) {
                    track.probe(self.now, &mut self.chance);
                }
                if self.ticks.is_multiple_of(10) || track.raised != [false; 2] {
                    let link = LinkId(u32::try_from(at).unwrap());
                    let report = track.report();
                    self.judge
                        .handle(self.now, Input::Report(link, report), &mut self.out);
                }
            }
            for output in self.out.drain(..) {
                match output {
                    Output::CostChanged(change) => {
                        let at = self.now.duration_since(self.start).as_secs_f64();
                        self.changes.push((at, change));
                    }
                    Output::Notice(notice) => self.notices.push(notice),
                }
            }
        }
    }

    /// Until all links are measured.
    fn settle(&mut self) {
        self.run(70);
        assert_eq!(self.changes.len(), self.tracks.len() * 2);
        assert!(
            self.changes
                .iter()
                .all(|(_, change)| change.why == Why::Measured)
        );
        self.changes.clear();
    }

    fn whys(&self) -> Vec<Why> {
        self.changes.iter().map(|(_, change)| change.why).collect()
    }
}

impl Track {
    fn probe(&mut self, now: Instant, chance: &mut Chance) {
        let mut out = Vec::new();
        let sent = now - RTT;
        self.estimate.handle(sent, estimate::Input::Sent, &mut out);
        let sequence = self.sequence;
        self.sequence += 1;
        if !chance.happens(self.loss[0]) {
            self.reflected += 1;
            if !chance.happens(self.loss[1]) {
                let reflected = Some(self.reflected - 1);
                let residence = Some(Duration::ZERO);
                let answer = Answer {
                    sequence,
                    reflected,
                    residence,
                };
                self.estimate
                    .handle(now, estimate::Input::Answered(answer), &mut out);
            }
        }
        for fate in out {
            match fate {
                estimate::Output::Passed(way) => self.alarms[way as usize].passed(),
                estimate::Output::Forgiven(way) => self.alarms[way as usize].forgive(),
                estimate::Output::Lost(way) => {
                    self.raised[way as usize] |= self.alarms[way as usize].lost().is_some();
                }
                estimate::Output::Silent => self.raised = [true; 2],
                estimate::Output::Back => self.alarms = Default::default(),
            }
        }
    }

    fn report(&mut self) -> Report {
        let estimate = &self.estimate;
        let raised = std::mem::take(&mut self.raised);
        let [forward, reverse] = Direction::BOTH.map(|direction| Way {
            short: estimate.loss(direction, Span::Short),
            long: estimate.loss(direction, Span::Long),
            minute: estimate.loss(direction, Span::Minute),
            alarm: raised[direction as usize],
            suspicion: self.alarms[direction as usize].suspicion(),
        });
        Report {
            forward,
            reverse,
            rtt_short: estimate.least_rtt(Span::Short),
            rtt_long: estimate.least_rtt(Span::Long),
            jitter: estimate.jitter(),
            silent: estimate.silent(),
        }
    }
}

#[test]
fn twenty_four_hours_at_half_a_percent_bring_no_move() {
    let mut world = World::new(1, 1);
    world.tracks[0].loss = [0.005; 2];
    world.settle();
    world.run(24 * 3600);
    assert_eq!(world.changes, []);
    assert_eq!(world.notices, []);
}

#[test]
fn twenty_percent_on_one_way_change_that_way_alone_and_once() {
    let mut world = World::new(2, 3);
    world.settle();
    world.tracks[1].loss = [0.2, 0.0];
    world.run(120);
    let whys = world.whys();
    println!("{whys:?}");
    assert_eq!(whys[0], Why::Alarm);
    assert!(whys.len() <= 2, "{whys:?}");
    for (at, change) in &world.changes {
        assert_eq!(
            (change.link, change.direction),
            (LinkId(1), Direction::Forward)
        );
        assert!(change.cost.micros() > 100_000 && *at < 90.0);
    }
    assert!(
        world
            .judge
            .cost(LinkId(1), Direction::Forward)
            .unwrap()
            .micros()
            > 200_000
    );
    assert!(world.changes[0].0 < 72.0);
    assert!(world.changes[0].1.way.short.lost > 0);
}

#[test]
fn a_healed_link_comes_back_after_the_hold_down() {
    let mut world = World::new(3, 3);
    world.settle();
    world.tracks[0].loss = [0.4; 2];
    world.run(20);
    world.tracks[0].loss = [0.0; 2];
    world.changes.clear();
    world.run(9);
    assert_eq!(world.changes, []);
    world.run(6);
    assert_eq!(world.changes.len(), 2);
    for (_, change) in &world.changes {
        assert!(matches!(change.why, Why::Recovered { held } if held >= Duration::from_secs(10)));
        assert!(change.before.micros() > 300_000);
        assert_eq!(change.cost.micros(), 20_000);
    }
}

/// The longer window takes ten seconds to forget, the longest one a minute. Neither is waited for without need.
#[test]
fn a_healed_link_with_a_short_hold_down_comes_back_at_once_and_whole() {
    let hold_down = Duration::from_secs(3);
    let config = Config {
        hold_down,
        ..Config::default()
    };
    let mut world = World::with(3, 3, config);
    world.settle();
    world.tracks[0].loss = [0.2; 2];
    world.run(30);
    world.tracks[0].loss = [0.0; 2];
    world.changes.clear();
    world.run(13);
    assert_eq!(world.changes.len(), 2, "{:?}", world.changes);
    for (_, change) in &world.changes {
        assert!(matches!(change.why, Why::Recovered { held } if held >= hold_down));
        assert_eq!(change.cost.micros(), 20_000);
    }
    world.run(120);
    assert_eq!(world.changes.len(), 2, "{:?}", world.changes);
}

#[test]
fn a_link_that_was_cut_comes_back_after_half_the_hold_down() {
    let mut world = World::new(3, 3);
    world.settle();
    world.tracks[0].loss = [1.0; 2];
    world.run(30);
    world.tracks[0].loss = [0.0; 2];
    world.changes.clear();
    world.run(5);
    assert_eq!(world.changes, []);
    world.run(3);
    assert_eq!(world.changes.len(), 2, "{:?}", world.changes);
    for (_, change) in &world.changes {
        assert!(matches!(change.why, Why::Recovered { held } if held >= Duration::from_secs(5)));
        assert_eq!(change.cost.micros(), 20_000);
    }
}

/// It answers again, but not always: that is no way back.
#[test]
fn a_link_that_was_cut_and_is_lossy_now_stays_expensive() {
    let mut world = World::new(3, 3);
    world.settle();
    world.tracks[0].loss = [1.0; 2];
    world.run(30);
    world.tracks[0].loss = [0.2; 2];
    world.run(60);
    let cost = world.judge.cost(LinkId(0), Direction::Forward).unwrap();
    assert!(cost.micros() > 200_000, "{cost}");
    assert!(world.judge.is_bad(LinkId(0)) || world.whys().contains(&Why::Worse));
}

#[test]
fn each_relapse_doubles_the_hold_down() {
    let mut world = World::new(4, 3);
    world.settle();
    let mut holds = Vec::new();
    for _ in 0..4 {
        world.tracks[0].loss = [0.4, 0.0];
        world.run(3);
        world.tracks[0].loss = [0.0; 2];
        world.run(100);
        let (_, last) = world.changes.last().unwrap();
        let Why::Recovered { held } = last.why else {
            panic!("{last:?}")
        };
        holds.push(held.as_secs());
    }
    assert_eq!(holds, [10, 20, 40, 80]);
    assert_eq!(world.notices.len(), 3);
}

/// What every link loses now and then does not keep one from holding out, however rare probes are.
#[test]
fn a_link_that_loses_as_little_as_all_do_outlasts_the_longest_hold_down() {
    let config = Config {
        hold_down: Duration::from_secs(300),
        ..Config::default()
    };
    let mut world = World::with(6, 2, config);
    world.every = 12;
    world.tracks[0].loss = [0.005; 2];
    world.settle();
    world.tracks[0].loss = [0.2; 2];
    world.run(30);
    world.tracks[0].loss = [0.005; 2];
    world.run(700);
    let recovered = |why: &&Why| matches!(why, Why::Recovered { .. });
    assert_eq!(world.whys().iter().filter(recovered).count(), 2);
}

#[test]
fn a_link_that_flaps_does_not_oscillate() {
    let mut world = World::new(5, 3);
    world.settle();
    for _ in 0..60 {
        world.tracks[0].loss = [0.3, 0.0];
        world.run(5);
        world.tracks[0].loss = [0.0; 2];
        world.run(15);
    }
    // Twenty minutes of it.
    println!("{} changes", world.changes.len());
    assert!(world.changes.len() <= 12, "{:?}", world.whys());
}

#[test]
fn silence_costs_the_most_at_once() {
    let mut world = World::new(6, 3);
    world.settle();
    world.tracks[2].loss = [1.0; 2];
    world.run(1);
    assert_eq!(world.whys(), [Why::Silent, Why::Silent]);
    assert!(
        world
            .changes
            .iter()
            .all(|(_, change)| change.cost.micros() > 10_000_000)
    );
}

#[test]
fn when_more_than_half_of_the_links_look_bad_nothing_moves() {
    let mut world = World::new(7, 4);
    world.settle();
    for track in &mut world.tracks {
        track.loss = [1.0; 2];
    }
    world.run(30);
    assert!(world.judge.frozen());
    // Those that were judged before the others looked bad.
    assert!(world.changes.len() <= 4, "{:?}", world.whys());
    for track in &mut world.tracks {
        track.loss = [0.0; 2];
    }
    world.run(20);
    assert!(!world.judge.frozen());
    assert!(matches!(world.notices[0], Notice::Frozen { links: 4, .. }));
    assert!(world.notices.contains(&Notice::Thawed));
}

#[test]
fn half_of_the_links_are_not_enough_to_freeze() {
    let mut world = World::new(8, 4);
    world.settle();
    world.tracks[0].loss = [1.0; 2];
    world.tracks[1].loss = [1.0; 2];
    world.run(1);
    assert_eq!((world.changes.len(), world.judge.frozen()), (4, false));
}

#[test]
fn moves_are_budgeted_and_what_waits_is_not_forgotten() {
    let config = Config {
        moves_a_minute: 8,
        ..Config::default()
    };
    let mut world = World::with(9, 3, config);
    world.settle();
    world.run(60);
    for at in [0, 1, 2] {
        world.tracks[at].loss = [0.5; 2];
        world.run(8);
    }
    world.run(10);
    assert!(
        (6..=12).contains(&world.changes.len()),
        "{:?}",
        world.whys()
    );
    let mut judge = Judge::new(Config {
        moves_a_minute: 1,
        ..config
    });
    let mut out = Vec::new();
    judge.handle(world.now, Input::Add(LinkId(0), Cost::default()), &mut out);
    let good = world.tracks[0].report();
    judge.handle(world.now, Input::Report(LinkId(0), good), &mut out);
    out.clear();
    let mut changed_at = Vec::new();
    for second in 0..130 {
        let now = world.now + Duration::from_secs(second);
        let mut report = good;
        (report.silent, report.forward.alarm, report.reverse.alarm) = (true, true, true);
        judge.handle(now, Input::Report(LinkId(0), report), &mut out);
        for output in out.drain(..) {
            match output {
                Output::CostChanged(_) => changed_at.push(second),
                Output::Notice(notice) => assert_eq!((second, notice), (0, Notice::Exhausted)),
            }
        }
    }
    // One of the two directions, and a minute later the other.
    assert_eq!(changed_at, [0, 60]);
}

/// A hub that has just started measures a hundred links at once: that leaves it its moves.
#[test]
fn what_is_measured_for_the_first_time_is_no_move() {
    let config = Config {
        moves_a_minute: 2,
        ..Config::default()
    };
    let mut world = World::with(3, 10, config);
    world.run(5);
    assert_eq!(world.whys(), [Why::Measured; 20]);
    world.changes.clear();
    world.tracks[0].loss = [0.4; 2];
    world.run(5);
    assert_eq!(world.whys().get(..2), Some(&[Why::Alarm; 2][..]));
}

/// Few probes prove little: at ten a second, and just started, three or four losses by chance are no news.
#[test]
fn a_few_losses_of_a_few_probes_are_no_loss() {
    let certain_at = |probes| {
        let mut lost = 0..=probes;
        lost.find(|lost| {
            certain(Loss {
                lost: *lost,
                probes,
            }) > 0.0
        })
    };
    // By chance, at half a percent: less than once in a hundred million times.
    assert_eq!(
        [60, 240, 3000].map(certain_at),
        [Some(8), Some(13), Some(56)]
    );
}

#[test]
fn a_link_costs_the_default_until_it_is_measured_and_its_admin_cost_always() {
    let mut world = World::new(10, 1);
    let cost = |world: &World| {
        world
            .judge
            .cost(LinkId(0), Direction::Reverse)
            .unwrap()
            .micros()
    };
    assert_eq!(cost(&world), 100_000);
    let mut out = Vec::new();
    world.judge.handle(
        world.now,
        Input::Add(LinkId(0), Cost::from_micros(3)),
        &mut out,
    );
    assert_eq!((cost(&world), out.len()), (100_003, 2));
    world.run(2);
    assert_eq!(cost(&world), 20_003);
    world.judge.handle(
        world.now,
        Input::Add(LinkId(0), Cost::from_micros(9)),
        &mut out,
    );
    assert_eq!(cost(&world), 20_009);
    world
        .judge
        .handle(world.now, Input::Remove(LinkId(0)), &mut out);
    assert_eq!(world.judge.cost(LinkId(0), Direction::Reverse), None);
}

#[test]
fn noise_never_panics_and_a_change_always_changes_something() {
    let mut chance = Chance::new(11);
    let mut now = some_instant();
    let mut judge = Judge::new(Config::default());
    let mut out = Vec::new();
    for _ in 0..50_000 {
        now += Duration::from_millis(chance.below(500));
        let link = LinkId(u32::try_from(chance.below(5)).unwrap());
        let mut loss = || {
            let probes = u32::try_from(chance.below(4000)).unwrap();
            Loss {
                lost: u32::try_from(chance.below(u64::from(probes) + 1)).unwrap(),
                probes,
            }
        };
        let mut way = || Way {
            short: loss(),
            long: loss(),
            minute: loss(),
            ..Way::default()
        };
        let (mut forward, mut reverse) = (way(), way());
        forward.alarm = chance.happens(0.1);
        reverse.suspicion = if chance.happens(0.1) { 1.0 } else { 0.0 };
        let rtt = chance
            .happens(0.9)
            .then(|| Duration::from_nanos(chance.bits() >> 30));
        let report = Report {
            forward,
            reverse,
            rtt_short: rtt,
            rtt_long: rtt,
            jitter: Duration::ZERO,
            silent: chance.happens(0.05),
        };
        let input = match chance.below(50) {
            0 => Input::Add(
                link,
                Cost::from_micros(u32::try_from(chance.below(1 << 32)).unwrap()),
            ),
            1 => Input::Remove(link),
            _ => Input::Report(link, report),
        };
        judge.handle(now, input, &mut out);
        for output in out.drain(..) {
            if let Output::CostChanged(change) = output {
                assert_eq!(judge.cost(change.link, change.direction), Some(change.cost));
                let first = matches!(change.why, Why::Configured | Why::Measured);
                assert!(first || change.before != change.cost, "{change:?}");
            }
        }
    }
}
