//! One direction of a link: what it loses, how long packets take, and which overtake each other.

use std::time::{Duration, Instant};

use crate::sim::net::Chance;

/// Loss up to this share, and no longer way than usual: such a link must never raise an alarm.
const USUAL: f64 = 0.005;
/// What is sent again waits so long at first, and twice as long each further time (RFC 6298 §2.4, Linux).
const RETRANSMIT: Duration = Duration::from_millis(200);
/// So often TCP sends the same again in a row; more is a cut.
const RETRANSMITS_MAX: u32 = 7;

/// How packets are lost.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// Each by itself (Bernoulli), that share.
    Even(f64),
    /// In bursts (Gilbert-Elliott): pauses and bursts of these mean lengths, up to twice as long; in a burst, that share.
    Bursts {
        pause: Duration,
        burst: Duration,
        inside: f64,
    },
}

/// How a line is for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) loss: Loss,
    /// The way is longer by this.
    pub(super) longer: Duration,
    /// Each packet takes up to so much longer.
    pub(super) jitter: Duration,
    /// This share of packets strays,
    pub(super) stray: f64,
    /// and comes so much later.
    pub(super) later: Duration,
}

impl Weather {
    /// As on any day, with that share lost.
    pub(super) const fn fair(loss: f64) -> Self {
        Self {
            loss: Loss::Even(loss),
            longer: Duration::ZERO,
            jitter: Duration::from_micros(300),
            stray: 0.0,
            later: Duration::ZERO,
        }
    }

    /// Whether a link's cost may rise for it: overtaking and jitter are no reason.
    const fn is_bad(&self) -> bool {
        let lossy = match self.loss {
            Loss::Even(share) => share > USUAL,
            Loss::Bursts { .. } => true,
        };
        lossy || !self.longer.is_zero()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Line {
    /// From whom to whom.
    pub(super) ends: (usize, usize),
    /// How long a packet takes.
    pub(super) base: Duration,
    fair: Weather,
    weather: Weather,
    /// Counts up with the weather.
    pub(super) epoch: u32,
    bursting: bool,
    turns: Option<Instant>,
    cuts: u32,
    /// When it was bad last, and when cut, if it is not now.
    bad_until: Option<Instant>,
    cut_until: Option<Instant>,
    /// A segment that TCP had to send again arrives then.
    news_until: Option<Instant>,
}

impl Line {
    pub(super) const fn new(ends: (usize, usize), base: Duration, loss: f64) -> Self {
        Self {
            ends,
            base,
            fair: Weather::fair(loss),
            weather: Weather::fair(loss),
            epoch: 0,
            bursting: false,
            turns: None,
            cuts: 0,
            bad_until: None,
            cut_until: None,
            news_until: None,
        }
    }

    /// How long a packet takes that is sent now; `None`: it is lost.
    pub(super) fn carry(&mut self, now: Instant, chance: &mut Chance) -> Option<Duration> {
        if self.is_cut() || self.loses(now, chance) {
            return None;
        }
        let weather = self.weather;
        let jitter = weather.jitter * part(chance) / PARTS;
        let strays = weather.stray > 0.0 && happens(chance, weather.stray);
        let later = if strays {
            weather.later
        } else {
            Duration::ZERO
        };
        Some(self.base + weather.longer + jitter + later)
    }

    /// How long it takes TCP to bring a segment over; the caller minds cuts.
    pub(super) fn carry_surely(&mut self, now: Instant, chance: &mut Chance) -> Duration {
        if self.is_cut() {
            return self.base;
        }
        let (mut waited, mut wait) = (Duration::ZERO, RETRANSMIT);
        let mut taken = None;
        for _ in 0..RETRANSMITS_MAX {
            taken = self.carry(now + waited, chance);
            if taken.is_some() {
                break;
            }
            waited += wait;
            wait *= 2;
        }
        let takes = waited + taken.unwrap_or(self.base);
        if waited > Duration::ZERO {
            self.news_until = self.news_until.max(Some(now + takes));
        }
        takes
    }

    /// Whether what TCP carries was held up until `span` ago: lost and sent again, or by a cut.
    pub(super) fn holds_up(&self, now: Instant, span: Duration) -> bool {
        self.was_cut(now, span) || self.news_until.is_some_and(|at| at + span >= now)
    }

    /// The way as it is, jitter apart.
    pub(super) fn delay(&self) -> Duration {
        self.base + self.weather.longer
    }

    /// The weather changes.
    pub(super) fn turn(&mut self, now: Instant, weather: Option<Weather>) {
        if self.weather.is_bad() {
            self.bad_until = Some(now);
        }
        self.weather = weather.unwrap_or(self.fair);
        self.epoch += 1;
        (self.bursting, self.turns) = (false, None);
    }

    /// Cut once more, or once less.
    pub(super) fn cut(&mut self, now: Instant, cut: bool) {
        if cut {
            self.cuts += 1;
        } else {
            self.cuts = self.cuts.saturating_sub(1);
        }
        (self.cut_until, self.bad_until) = (Some(now), Some(now));
    }

    pub(super) const fn is_cut(&self) -> bool {
        self.cuts > 0
    }

    /// Whether it was bad at any time since `span` ago.
    pub(super) fn was_bad(&self, now: Instant, span: Duration) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) <= span;
        self.is_cut() || self.weather.is_bad() || self.bad_until.is_some_and(recent)
    }

    /// The same for cuts.
    pub(super) fn was_cut(&self, now: Instant, span: Duration) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) <= span;
        self.is_cut() || self.cut_until.is_some_and(recent)
    }

    fn loses(&mut self, now: Instant, chance: &mut Chance) -> bool {
        match self.weather.loss {
            Loss::Even(share) => share > 0.0 && happens(chance, share),
            Loss::Bursts {
                pause,
                burst,
                inside,
            } => {
                while self.turns.is_none_or(|at| at <= now) {
                    let began = self.turns.unwrap_or(now);
                    self.bursting = self.turns.is_some() && !self.bursting;
                    let mean = if self.bursting { burst } else { pause };
                    self.turns = Some(began + mean * (part(chance) + 1) * 2 / PARTS);
                }
                self.bursting && happens(chance, inside)
            }
        }
    }
}

const PARTS: u32 = 1024;

/// Below [`PARTS`].
fn part(chance: &mut Chance) -> u32 {
    u32::try_from(chance.below(PARTS as usize)).unwrap_or(0)
}

/// True with that probability.
pub(super) fn happens(chance: &mut Chance, share: f64) -> bool {
    const ALL: usize = 1 << 30;
    (chance.below(ALL) as f64) < share * ALL as f64
}
