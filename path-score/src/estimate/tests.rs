//! What the bookkeeping promises.

use super::*;
use crate::tests::{Chance, some_instant};

const PACE: Duration = Duration::from_millis(20);
const RTT: Duration = Duration::from_millis(5);

/// A session with a reflector that counts.
struct Session {
    now: Instant,
    estimate: Estimate,
    sent: u32,
    reflected: u32,
    out: Vec<Output>,
}

impl Session {
    fn new() -> Self {
        let now = some_instant();
        Self {
            now,
            estimate: Estimate::new(now),
            sent: 0,
            reflected: 0,
            out: Vec::new(),
        }
    }

    fn tell(&mut self, input: Input) {
        self.estimate.handle(self.now, input, &mut self.out);
    }

    /// A probe goes out; its number.
    fn send(&mut self) -> u32 {
        self.tell(Input::Sent);
        self.sent += 1;
        self.sent - 1
    }

    fn answer(&mut self, sequence: u32, reflected: u32) {
        let residence = Some(Duration::from_micros(100));
        self.tell(Input::Answered(Answer {
            sequence,
            reflected: Some(reflected),
            residence,
        }));
    }

    /// A probe, and what the link does to it.
    fn probe(&mut self, there: bool, back: bool) {
        let sequence = self.send();
        self.now += RTT;
        if there {
            let reflected = self.reflected;
            self.reflected = reflected.wrapping_add(1);
            if back {
                self.answer(sequence, reflected);
            }
        }
        self.now += PACE - RTT;
    }

    fn loss(&self) -> [(u32, u32); 2] {
        Direction::BOTH.map(|direction| {
            let loss = self.estimate.loss(direction, Span::Minute);
            (loss.lost, loss.probes)
        })
    }
}

#[test]
fn the_two_ways_are_told_apart() {
    let (mut session, mut chance) = (Session::new(), Chance::new(1));
    session.probe(true, true);
    let (mut there, mut back) = (0, 0);
    for _ in 0..2000 {
        let (lost_there, lost_back) = (chance.happens(0.2), chance.happens(0.05));
        there += u32::from(lost_there);
        back += u32::from(!lost_there && lost_back);
        session.probe(!lost_there, !lost_back);
    }
    session.probe(true, true);
    session.now += MOST_GRACE;
    session.tell(Input::Timeout);
    assert_eq!(session.loss(), [(there, 2002), (back, 2002 - there)]);
}

#[test]
fn loss_on_one_way_is_never_charged_to_the_other() {
    for way in Direction::BOTH {
        let (mut session, mut chance) = (Session::new(), Chance::new(2));
        session.probe(true, true);
        for _ in 0..2000 {
            let lost = chance.happens(0.3);
            session.probe(
                !lost || way == Direction::Reverse,
                !lost || way == Direction::Forward,
            );
        }
        let other = Direction::BOTH
            .into_iter()
            .find(|other| *other != way)
            .unwrap();
        assert_eq!(session.estimate.loss(other, Span::Minute).lost, 0);
        let loss = session.estimate.loss(way, Span::Minute).ratio();
        assert!((0.27..0.33).contains(&loss), "{loss}");
    }
}

#[test]
fn reordering_is_no_loss() {
    let mut session = Session::new();
    session.probe(true, true);
    for _ in 0..500 {
        let (a, b) = (session.send(), session.send());
        session.now += PACE;
        session.answer(b, session.reflected);
        session.now += Duration::from_millis(8);
        session.answer(a, session.reflected + 1);
        session.reflected += 2;
        session.now += PACE;
    }
    session.probe(true, true);
    assert_eq!(session.loss().map(|(lost, _)| lost), [0, 0]);
    assert!(
        !session
            .out
            .iter()
            .any(|output| matches!(output, Output::Lost(_)))
    );
}

#[test]
fn what_came_too_late_is_forgiven_and_waited_for_from_then_on() {
    let mut session = Session::new();
    session.probe(true, true);
    for _ in 0..50 {
        let (a, b) = (session.send(), session.send());
        session.answer(b, session.reflected + 1);
        session.now += Duration::from_millis(40);
        session.tell(Input::Timeout);
        session.answer(a, session.reflected);
        session.reflected += 2;
        session.now += PACE;
    }
    session.probe(true, true);
    assert_eq!(session.loss().map(|(lost, _)| lost), [0, 0]);
    let lost = session
        .out
        .iter()
        .filter(|output| matches!(output, Output::Lost(_)));
    assert!(lost.count() <= 2);
}

#[test]
fn duplicates_hide_no_loss_and_make_none() {
    let mut session = Session::new();
    session.probe(true, true);
    for _ in 0..300 {
        // Twice at the reflector, which answers twice; then the answer is doubled; then one is lost on the way there.
        session.probe(true, true);
        session.answer(session.sent - 1, session.reflected);
        session.reflected += 1;
        session.probe(true, true);
        session.answer(session.sent - 1, session.reflected - 1);
        session.probe(false, true);
    }
    session.probe(true, true);
    session.now += MOST_GRACE;
    session.tell(Input::Timeout);
    assert_eq!(session.loss().map(|(lost, _)| lost), [300, 0]);
}

#[test]
fn a_reflector_that_starts_over_has_lost_nothing() {
    let mut session = Session::new();
    for round in 0..20 {
        (0..100).for_each(|_| session.probe(true, true));
        session.reflected = if round % 2 == 0 { 0 } else { u32::MAX - 20 };
    }
    (0..100).for_each(|_| session.probe(true, true));
    assert_eq!(session.loss().map(|(lost, _)| lost), [0, 0]);
}

#[test]
fn a_reflector_that_starts_later_than_we_do_has_lost_nothing() {
    let mut session = Session::new();
    (0..3000).for_each(|_| session.probe(false, false));
    assert_eq!(session.loss(), [(0, 0), (0, 0)]);
    (0..100).for_each(|_| session.probe(true, true));
    assert_eq!(session.loss(), [(0, 100), (0, 100)]);
}

#[test]
fn a_peer_that_lies_cannot_leave_the_range_from_none_to_all() {
    for seed in 0..20 {
        let (mut session, mut chance) = (Session::new(), Chance::new(seed));
        for _ in 0..3000 {
            let sequence = session.send();
            session.now += Duration::from_millis(chance.below(25));
            for _ in 0..chance.below(3) {
                let lie = match chance.below(3) {
                    0 => u32::try_from(chance.bits() >> 32).unwrap(),
                    1 => sequence,
                    _ => sequence.wrapping_sub(u32::try_from(chance.below(300)).unwrap()),
                };
                let about = sequence.wrapping_sub(u32::try_from(chance.below(700)).unwrap());
                session.answer(about, lie);
            }
            for direction in Direction::BOTH {
                for span in [Span::Short, Span::Long, Span::Minute] {
                    let loss = session.estimate.loss(direction, span);
                    assert!(loss.lost <= loss.probes && loss.probes <= 3000);
                    assert!((0.0..=1.0).contains(&loss.ratio()));
                    assert!(loss.at_least() <= loss.ratio() + 1e-9);
                }
            }
        }
        assert!(session.estimate.slots.len() <= SETTLED + WAITING);
    }
}

/// Numbers that are made up can shift loss between the ways, but not make any.
#[test]
fn no_lie_makes_loss_where_every_probe_is_answered() {
    let (mut session, mut chance) = (Session::new(), Chance::new(3));
    for _ in 0..2000 {
        let sequence = session.send();
        session.now += RTT;
        session.answer(sequence, u32::try_from(chance.bits() >> 32).unwrap());
        session.now += PACE;
    }
    assert_eq!(session.loss().map(|(lost, _)| lost), [0, 0]);
}

#[test]
fn without_the_reflectors_numbers_both_ways_are_charged() {
    let mut session = Session::new();
    for round in 0..100 {
        let sequence = session.send();
        session.now += PACE;
        if round % 4 != 3 {
            session.tell(Input::Answered(Answer {
                sequence,
                reflected: None,
                residence: None,
            }));
        }
    }
    session.probe(true, true);
    session.now += MOST_GRACE;
    session.tell(Input::Timeout);
    assert_eq!(session.loss().map(|(lost, _)| lost), [25, 25]);
}

#[test]
fn our_own_gaps_are_never_loss() {
    let mut session = Session::new();
    session.probe(true, true);
    for _ in 0..50 {
        // What could not be sent.
        let unsent = session.send();
        session.tell(Input::Unsent(unsent));
        session.now += PACE;
        session.probe(true, true);
        // What was under way while nobody listened.
        for _ in 0..20 {
            session.send();
        }
        session.reflected += 20;
        session.now += Duration::from_secs(3);
        session.tell(Input::Stalled);
        session.probe(true, true);
        session.probe(true, true);
    }
    assert_eq!(session.loss().map(|(lost, _)| lost), [0, 0]);
    assert!(!session.out.contains(&Output::Silent));
}

#[test]
fn the_least_round_trip_ignores_queues_and_clocks() {
    let mut session = Session::new();
    for nth in 0..200_u64 {
        let sequence = session.send();
        session.now += RTT + Duration::from_millis(nth % 7);
        // The reflector's clock is set now and then: its difference is absurd, or unknown.
        let residence = match nth % 3 {
            0 => Some(Duration::ZERO),
            1 => Some(Duration::from_secs(3600)),
            _ => None,
        };
        session.tell(Input::Answered(Answer {
            sequence,
            reflected: None,
            residence,
        }));
        session.now += PACE;
    }
    assert_eq!(session.estimate.least_rtt(Span::Short), Some(RTT));
    assert!(session.estimate.jitter() < Duration::from_millis(7));
}

#[test]
fn a_link_that_was_cut_is_measured_anew() {
    let mut session = Session::new();
    for _ in 0..100 {
        session.probe(true, true);
    }
    for _ in 0..100 {
        session.probe(false, false);
    }
    assert!(session.estimate.silent());
    session.out.clear();
    for _ in 0..30 {
        session.probe(true, true);
    }
    assert_eq!(
        session.out.iter().filter(|o| **o == Output::Back).count(),
        1
    );
    let [(lost, probes), (lost_back, probes_back)] = session.loss();
    assert_eq!((lost, lost_back), (0, 0));
    assert!(
        (29..=31).contains(&probes) && probes == probes_back,
        "{probes}"
    );
}

#[test]
fn a_burst_is_not_forgotten() {
    let mut session = Session::new();
    for _ in 0..100 {
        session.probe(true, true);
    }
    for _ in 0..40 {
        session.probe(false, false);
    }
    assert!(session.estimate.silent());
    for _ in 0..30 {
        session.probe(true, true);
    }
    assert!(!session.estimate.silent() && !session.out.contains(&Output::Back));
    assert!(session.loss()[0].0 >= 39, "{:?}", session.loss());
}

#[test]
fn windows_forget() {
    let mut session = Session::new();
    session.probe(true, true);
    (0..20).for_each(|_| session.probe(false, true));
    let lost = |session: &Session, span| session.estimate.loss(Direction::Forward, span).lost;
    session.probe(true, true);
    session.now += MOST_GRACE;
    session.tell(Input::Timeout);
    let at = session.now;
    for (after, span) in [(2, Span::Short), (11, Span::Long), (61, Span::Minute)] {
        assert_eq!(lost(&session, span), 20);
        session.now = at + Duration::from_secs(after);
        session.tell(Input::Timeout);
        assert_eq!(lost(&session, span), 0);
    }
}

/// Woken only at the deadline is as good as woken each millisecond.
#[test]
fn deadlines_are_complete() {
    let run = |each_millisecond: bool| {
        let (mut session, mut chance) = (Session::new(), Chance::new(9));
        let start = session.now;
        let mut fates = Vec::new();
        let mut pending: Vec<(Instant, u32, u32)> = Vec::new();
        for ms in 0..20_000_u64 {
            session.now = start + Duration::from_millis(ms);
            let (due, rest) = pending.into_iter().partition(|(at, ..)| *at <= session.now);
            pending = rest;
            let due: Vec<(Instant, u32, u32)> = due;
            due.into_iter()
                .for_each(|(_, sequence, reflected)| session.answer(sequence, reflected));
            if each_millisecond
                || session
                    .estimate
                    .deadline()
                    .is_some_and(|at| at <= session.now)
            {
                session.tell(Input::Timeout);
            }
            if ms.is_multiple_of(20) {
                let sequence = session.send();
                if !chance.happens(0.2) {
                    session.reflected += 1;
                    let at = session.now + Duration::from_millis(5 + chance.below(40));
                    if !chance.happens(0.2) {
                        pending.push((at, sequence, session.reflected - 1));
                    }
                }
            }
            fates.extend(session.out.drain(..).map(|output| (ms, output)));
        }
        fates
    };
    assert_eq!(run(true), run(false));
}
