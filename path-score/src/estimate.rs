//! What became of each probe: which were lost, on which way, and how long the others took.
//!
//! A gap in the answers is settled when a later probe was answered and the reordering that the link is known for has
//! had its time. The reflector's own sequence numbers then say how many of the gap it saw: those were lost on the way
//! back, the rest on the way there. Without any later answer nothing is known, until so many probes are overdue that the
//! link is silent: then all of them count as lost on both ways.

mod window;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::window::Windows;
pub use self::window::{Loss, Span};

/// So many overdue probes in a row are a silent link.
const SILENCE: usize = 9;
/// A link that was silent for so long is measured anew when it answers again: it was cut, and is another one perhaps. What
/// is shorter is a burst of losses, which counts.
const CUT: Duration = Duration::from_secs(1);
/// Probes that are remembered after their fate is settled, for answers that come late.
const SETTLED: usize = 128;
/// Probes that may wait for their fate; more than a minute of the slowest pace, ten seconds of the fastest.
const WAITING: usize = 512;
/// Bounds of the time that an answer may be overtaken by.
const LEAST_GRACE: Duration = Duration::from_millis(10);
const MOST_GRACE: Duration = Duration::from_millis(100);
/// An answer is overdue so long after the usual round trip, or four times its deviation.
const LEAST_MARGIN: Duration = Duration::from_millis(10);
/// The round trip that is assumed at first, and the most that is waited for.
const MOST_RTT: Duration = Duration::from_secs(2);
/// Answers of duplicated probes that are taken into account at once.
const MOST_EXTRA: u32 = 64;

/// One of the two ways of a link.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Direction {
    /// From us to the peer.
    Forward,
    /// From the peer to us.
    Reverse,
}

impl Direction {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::Forward, Self::Reverse];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Forward => Self::Reverse,
            Self::Reverse => Self::Forward,
        }
    }
}

/// An answer to a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The probe's sequence number.
    pub sequence: u32,
    /// The reflector's own, if it counts its answers.
    pub reflected: Option<u32>,
    /// T3 − T2: how long the reflector had it; `None` when its clock was set meanwhile.
    pub residence: Option<Duration>,
}

/// What happens to probes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Input {
    /// The next probe was sent.
    Sent,
    /// The probe with this number could not be sent.
    Unsent(u32),
    /// An answer came, at the time of the call.
    Answered(Answer),
    /// We were not scheduled: whatever is lost of what is under way is our own fault.
    Stalled,
    /// The deadline has come.
    Timeout,
}

/// What became of them, in the order of the probes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Output {
    /// A probe passed.
    Passed(Direction),
    /// A probe was lost.
    Lost(Direction),
    /// A probe that was said to be lost was only late.
    Forgiven(Direction),
    /// The link fell silent; said once.
    Silent,
    /// It was silent for long, and answers again: what was lost until now says nothing of how it is.
    Back,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Waiting,
    /// If it is lost, that is not the link's fault.
    Exempt,
    Answered {
        at: Instant,
        reflected: Option<u32>,
    },
    Lost(Lost),
    Forgiven,
}

#[derive(Clone, Copy, Debug)]
enum Lost {
    There,
    Back,
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    sent: Instant,
    fate: Fate,
}

/// The probes of one session.
#[derive(Debug)]
pub struct Estimate {
    slots: VecDeque<Slot>,
    /// The sequence number of the first slot.
    first: u32,
    /// So many slots, from the first on, are settled.
    settled: usize,
    /// The reflector's number of the last settled answer.
    reflected: Option<u32>,
    /// Answers to duplicates since: numbers of the reflector that belong to no further probe of ours.
    extra: u32,
    /// Probes that were answered, ever.
    answers: u64,
    /// Since then.
    silent: Option<Instant>,
    rtt: Option<Duration>,
    jitter: Duration,
    /// By how much answers were overtaken; fades.
    reordering: Duration,
    windows: Windows,
}

impl Estimate {
    /// A session that begins at `now`, with sequence number 0.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            slots: VecDeque::new(),
            first: 0,
            settled: 0,
            reflected: None,
            extra: 0,
            answers: 0,
            silent: None,
            rtt: None,
            jitter: Duration::ZERO,
            reordering: Duration::ZERO,
            windows: Windows::new(now),
        }
    }

    /// Takes in what happened at `now`, and pushes what follows from it.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        self.windows.advance(now);
        match input {
            Input::Sent => self.sent(now, out),
            Input::Unsent(sequence) => {
                if let Some(slot) = self.slot(sequence) {
                    slot.fate = Fate::Exempt;
                }
            }
            Input::Answered(answer) => self.answered(now, answer, out),
            Input::Stalled => self.excuse(self.first.wrapping_add(u32::MAX)),
            Input::Timeout => {}
        }
        self.settle(now, out);
        self.forget();
    }

    /// When to call with [`Input::Timeout`], if ever: a gap can be settled then.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        Some(self.next_answer()?.1 + self.grace())
    }

    /// The loss over a span that ends with the last input.
    #[must_use]
    pub fn loss(&self, direction: Direction, span: Span) -> Loss {
        self.windows.loss(direction, span)
    }

    /// The least round trip over a span: queues only add to it.
    #[must_use]
    pub fn least_rtt(&self, span: Span) -> Option<Duration> {
        self.windows.least_rtt(span)
    }

    /// The mean deviation of the round trip from its average.
    #[must_use]
    pub const fn jitter(&self) -> Duration {
        self.jitter
    }

    /// No answers come any more.
    #[must_use]
    pub const fn silent(&self) -> bool {
        self.silent.is_some()
    }

    /// Since when, if so.
    #[must_use]
    pub const fn silent_since(&self) -> Option<Instant> {
        self.silent
    }

    /// Probes that were answered, ever; each counts once.
    #[must_use]
    pub const fn answers(&self) -> u64 {
        self.answers
    }

    fn sent(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.slots.push_back(Slot {
            sent: now,
            fate: Fate::Waiting,
        });
        let overdue_since = now.checked_sub(self.patience());
        let is_overdue = |slot: &&Slot| overdue_since.is_some_and(|since| slot.sent <= since);
        let waiting = self.slots.range(self.settled..);
        if self.answers == 0 || self.next_answer().is_some() {
            return;
        }
        let overdue = waiting.take_while(is_overdue).count();
        let counted = self.slots.range(self.settled..).take(overdue);
        let counted = counted.filter(|slot| matches!(slot.fate, Fate::Waiting));
        if self.silent() || counted.count() >= SILENCE {
            if !self.silent() {
                self.silent = Some(now);
                out.push(Output::Silent);
            }
            self.charge(overdue, None, out);
        }
    }

    fn answered(&mut self, now: Instant, answer: Answer, out: &mut Vec<Output>) {
        let Some(slot) = self.slot(answer.sequence) else {
            return;
        };
        let elapsed = now.saturating_duration_since(slot.sent);
        let fate = slot.fate;
        let fresh = Fate::Answered {
            at: now,
            reflected: answer.reflected,
        };
        match fate {
            Fate::Waiting | Fate::Exempt => slot.fate = fresh,
            Fate::Answered { reflected, .. } => {
                if reflected != answer.reflected {
                    self.extra = (self.extra + 1).min(MOST_EXTRA);
                }
                return;
            }
            Fate::Lost(lost) => {
                slot.fate = Fate::Forgiven;
                self.forgive(lost, out);
            }
            Fate::Forgiven => return,
        }
        self.answers += 1;
        if self.answers == 1 {
            self.excuse(answer.sequence);
        }
        let silent = self.silent.take();
        if silent.is_some_and(|since| now.saturating_duration_since(since) >= CUT) {
            self.windows.forget_losses();
            self.excuse(answer.sequence);
            out.push(Output::Back);
        }
        if matches!(fate, Fate::Lost(_)) {
            let least = self.least_rtt(Span::Long).unwrap_or(elapsed);
            let late = elapsed.saturating_sub(least);
            self.reordering = self.reordering.max(late * 3 / 2).min(MOST_GRACE);
        }
        // A peer that claims to have had the probe for longer than it was away is not believed.
        if let Some(rtt) = answer.residence.and_then(|had| elapsed.checked_sub(had)) {
            self.round_trip(rtt);
        }
    }

    fn round_trip(&mut self, rtt: Duration) {
        self.windows.rtt(rtt);
        let average = self.rtt.unwrap_or(rtt);
        self.rtt = Some((average * 7 + rtt) / 8);
        self.jitter = (self.jitter * 15 + average.abs_diff(rtt)) / 16;
        self.reordering = self.reordering * 1023 / 1024;
    }

    /// Probes before `sequence` that have no answer are not counted if they get none: a reflector that starts later
    /// than we do has lost nothing.
    fn excuse(&mut self, sequence: u32) {
        let before = usize::try_from(sequence.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        for slot in self.slots.iter_mut().take(before).skip(self.settled) {
            if matches!(slot.fate, Fate::Waiting) {
                slot.fate = Fate::Exempt;
            }
        }
    }

    fn forgive(&mut self, lost: Lost, out: &mut Vec<Output>) {
        let ways: &[Direction] = match lost {
            Lost::There => &[Direction::Forward],
            Lost::Back => &[Direction::Reverse],
            Lost::Unknown => &Direction::BOTH,
        };
        for way in ways {
            self.windows.forgive(*way);
            out.push(Output::Forgiven(*way));
        }
    }

    /// Settles what can be, in the order of the probes.
    fn settle(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some((gap, at, reflected)) = self.next_answer() {
            if gap > 0 && now < at + self.grace() {
                return;
            }
            let back = self.seen_of_gap(gap, reflected);
            self.charge(gap, back, out);
            for way in Direction::BOTH {
                self.windows.passed(way);
                out.push(Output::Passed(way));
            }
            self.settled += 1;
        }
    }

    /// The next unsettled answer: how many probes before it have none, when it came, and the reflector's number.
    fn next_answer(&self) -> Option<(usize, Instant, Option<u32>)> {
        let waiting = self.slots.range(self.settled..).enumerate();
        let mut answers = waiting.filter_map(|(gap, slot)| match slot.fate {
            Fate::Answered { at, reflected } => Some((gap, at, reflected)),
            Fate::Waiting | Fate::Exempt | Fate::Lost(_) | Fate::Forgiven => None,
        });
        answers.next()
    }

    /// How many of a gap the reflector has answered, as its numbers say; `None` if they say nothing, because it does not
    /// count, or starts over.
    fn seen_of_gap(&mut self, gap: usize, reflected: Option<u32>) -> Option<usize> {
        let before = self.reflected;
        let now = reflected?;
        let Some(before) = before else {
            self.reflected = Some(now);
            return None;
        };
        let step = now.wrapping_sub(before);
        if step == 0 || step > u32::MAX / 2 {
            // Within the reordering of a few packets it is the same count; else the reflector starts over.
            if before.wrapping_sub(now) > MOST_EXTRA {
                self.reflected = Some(now);
            }
            return None;
        }
        self.reflected = Some(now);
        let unexplained = step - 1;
        let duplicates = unexplained.min(self.extra);
        self.extra -= duplicates;
        let seen = usize::try_from(unexplained - duplicates).unwrap_or(usize::MAX);
        Some(seen.min(gap))
    }

    /// Settles the next `gap` probes as lost, `back` of them on the way back. A gap that has to do with ourselves is not
    /// counted.
    fn charge(&mut self, gap: usize, back: Option<usize>, out: &mut Vec<Output>) {
        let ours = self.slots.range(self.settled..).take(gap);
        let exempt = ours
            .filter(|slot| matches!(slot.fate, Fate::Exempt))
            .count()
            > 0;
        for nth in 0..gap {
            let lost = match back {
                None => Lost::Unknown,
                Some(back) if nth < gap - back => Lost::There,
                Some(_) => Lost::Back,
            };
            if let (false, Some(slot)) = (exempt, self.slots.get_mut(self.settled)) {
                slot.fate = Fate::Lost(lost);
                self.lose(lost, out);
            }
            self.settled += 1;
        }
    }

    fn lose(&mut self, lost: Lost, out: &mut Vec<Output>) {
        let (there, back) = match lost {
            Lost::There => (Output::Lost(Direction::Forward), None),
            Lost::Back => (
                Output::Passed(Direction::Forward),
                Some(Output::Lost(Direction::Reverse)),
            ),
            Lost::Unknown => (
                Output::Lost(Direction::Forward),
                Some(Output::Lost(Direction::Reverse)),
            ),
        };
        for output in [Some(there), back].into_iter().flatten() {
            match output {
                Output::Passed(way) => self.windows.passed(way),
                Output::Lost(way) => self.windows.lost(way),
                Output::Forgiven(_) | Output::Silent | Output::Back => {}
            }
            out.push(output);
        }
    }

    /// Drops what is too old to matter.
    fn forget(&mut self) {
        while self.settled > SETTLED || self.slots.len() > SETTLED + WAITING {
            self.slots.pop_front();
            self.first = self.first.wrapping_add(1);
            self.settled = self.settled.saturating_sub(1);
        }
    }

    fn slot(&mut self, sequence: u32) -> Option<&mut Slot> {
        let at = usize::try_from(sequence.wrapping_sub(self.first)).ok()?;
        self.slots.get_mut(at)
    }

    fn patience(&self) -> Duration {
        let usual = self.rtt.unwrap_or(MOST_RTT);
        (usual + LEAST_MARGIN.max(self.jitter * 4)).min(MOST_RTT)
    }

    fn grace(&self) -> Duration {
        let grace = self.reordering.max(self.jitter * 4);
        grace.clamp(LEAST_GRACE, MOST_GRACE)
    }
}

#[cfg(test)]
mod tests;
