//! When a link's cost changes: bad news at once, good news slowly, nothing when it may be us.

mod budget;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use self::budget::Moves;
use crate::cost::{Cost, Weights};
use crate::estimate::{Direction, Loss};
use crate::link::{Report, Way};

/// A direction is first scored when the fate of so many of its probes is known.
pub const FIRST: u32 = 50;
/// An alarm so recent makes a link look bad *now*.
const RECENT: Duration = Duration::from_secs(5);
/// A way that is nearer to its alarm than this looks bad.
const SUSPICIOUS: f64 = 0.5;
/// Fewer links than this cannot outvote each other.
const QUORUM: usize = 2;
/// A relapse this soon after a recovery doubles the hold-down.
const RELAPSE: Duration = Duration::from_secs(300);

/// As long as nothing alarms, no more loss than this costs nothing: chance alone makes it come and go.
const USUAL: f64 = 0.01;

/// A link, as the caller knows it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkId(pub u32);

/// How the judge judges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// What makes a cost of a measurement.
    pub weights: Weights,
    /// A link must be good for so long before its cost falls, half as long if it had been cut; doubles at each relapse.
    pub hold_down: Duration,
    /// Up to this.
    pub hold_down_max: Duration,
    /// A change is by at least this share of the cost,
    pub margin: f64,
    /// and by at least this.
    pub margin_least: Cost,
    /// Changes of cost in any minute; what is measured for the first time does not count.
    pub moves_a_minute: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            weights: Weights::default(),
            hold_down: Duration::from_secs(10),
            hold_down_max: Duration::from_secs(300),
            margin: 0.2,
            margin_least: Cost::from_micros(5_000),
            moves_a_minute: 60,
        }
    }
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// There is a link; what it costs beside what is measured. Said again, it changes that.
    Add(LinkId, Cost),
    /// There is it no more.
    Remove(LinkId),
    /// What was measured. This is also the judge's tick: it has no timer of its own.
    Report(LinkId, Report),
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Output {
    /// A direction of a link costs something else now.
    CostChanged(Change),
    /// What an operator wants to know.
    Notice(Notice),
}

/// A cost that changed, and what it was measured by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Of this link,
    pub link: LinkId,
    /// in this direction,
    pub direction: Direction,
    /// from this
    pub before: Cost,
    /// to this.
    pub cost: Cost,
    /// What the cost counts as lost: a share of the packets, 0 to 1.
    pub loss: f64,
    /// What for.
    pub why: Why,
    /// The direction as it was measured then.
    pub way: Way,
    /// The least round trip of the last ten seconds.
    pub rtt: Option<Duration>,
}

/// What a cost changed for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// The link is new, or what it costs beside the measurement was changed.
    Configured,
    /// It is measured for the first time.
    Measured,
    /// It loses more than it may.
    Alarm,
    /// No answers come any more.
    Silent,
    /// It became worse in both windows, little by little.
    Worse,
    /// It was good, or better, for the hold-down.
    Recovered {
        /// How long that was.
        held: Duration,
    },
}

/// What an operator wants to know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Notice {
    /// More than half of the links look bad at once: no cost changes until that ends.
    Frozen {
        /// That look bad,
        bad: usize,
        /// of so many.
        links: usize,
    },
    /// Costs change again.
    Thawed,
    /// The changes of this minute are used up; further ones wait.
    Exhausted,
    /// A link that had recovered lost again: its next hold-down is this.
    Relapsed {
        /// The link.
        link: LinkId,
        /// The direction.
        direction: Direction,
        /// What it must hold out for.
        hold_down: Duration,
    },
}

/// Judges all links of a node.
#[derive(Debug)]
pub struct Judge {
    config: Config,
    links: BTreeMap<LinkId, Judged>,
    moves: Moves,
    frozen: bool,
}

#[derive(Debug)]
struct Judged {
    admin: Cost,
    forward: Verdict,
    reverse: Verdict,
}

/// What is thought of one direction.
#[derive(Debug)]
struct Verdict {
    level: Level,
    measured: bool,
    standing: Standing,
    hold_down: Duration,
    recovered: Option<Instant>,
    /// The last alarm.
    alarmed: Option<Instant>,
    suspicious: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    /// Nothing is wrong; perhaps it has been better than its cost since then.
    Good { better: Option<Instant> },
    /// There was an alarm, which is not in the cost yet: frozen, or out of moves.
    Owed(Why),
    /// The cost says so since the first instant; good again, perhaps, since the second.
    Bad {
        since: Instant,
        good: Option<Instant>,
        /// It lost everything, rather than some of it.
        cut: bool,
    },
}

/// A cost, and the loss that it counts.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    cost: Cost,
    loss: f64,
}

impl Level {
    /// The dearer one.
    fn max(self, other: Self) -> Self {
        if other.cost > self.cost { other } else { self }
    }

    /// The cheaper one.
    fn min(self, other: Self) -> Self {
        if other.cost < self.cost { other } else { self }
    }
}

/// What the windows make.
struct Levels {
    short: Level,
    long: Level,
    /// What is certain, over ten seconds and over a minute.
    calm: [Level; 2],
    /// Over a second and over ten: what chance alone makes of the usual loss is none.
    hopeful: Level,
}

impl Judge {
    /// One without links.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            moves: Moves::new(config.moves_a_minute),
            config,
            links: BTreeMap::new(),
            frozen: false,
        }
    }

    /// Judges by this from now on. What was decided stands until a measurement says otherwise.
    pub fn configure(&mut self, config: Config) {
        self.moves.allow(config.moves_a_minute);
        self.config = config;
    }

    /// Takes in what happened at `now`, and pushes what follows from it.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Add(link, admin) => self.add(link, admin, out),
            Input::Remove(link) => {
                self.links.remove(&link);
            }
            Input::Report(link, report) => self.report(now, link, &report, out),
        }
    }

    /// What a direction of a link costs now, if there is that link.
    #[must_use]
    pub fn cost(&self, link: LinkId, direction: Direction) -> Option<Cost> {
        let judged = self.links.get(&link)?;
        Some(judged.verdict(direction).level.cost)
    }

    /// Whether more than half of the links look bad at once.
    #[must_use]
    pub const fn frozen(&self) -> bool {
        self.frozen
    }

    /// Whether a link lost more than it may, in either direction, and was not good for long enough since.
    #[must_use]
    pub fn is_bad(&self, link: LinkId) -> bool {
        let bad = |verdict: &Verdict| match verdict.standing {
            Standing::Good { .. } => false,
            Standing::Owed(_) | Standing::Bad { .. } => true,
        };
        let judged = self.links.get(&link);
        judged.is_some_and(|judged| bad(&judged.forward) || bad(&judged.reverse))
    }

    fn add(&mut self, link: LinkId, admin: Cost, out: &mut Vec<Output>) {
        let config = &self.config;
        let judged = self.links.entry(link).or_insert_with(|| Judged {
            admin: Cost::default(),
            forward: Verdict::new(config.weights.unmeasured, config.hold_down),
            reverse: Verdict::new(config.weights.unmeasured, config.hold_down),
        });
        let was = std::mem::replace(&mut judged.admin, admin);
        for direction in Direction::BOTH {
            let verdict = judged.verdict_mut(direction);
            let before = verdict.level.cost;
            verdict.level.cost = before - was + admin;
            out.push(Output::CostChanged(Change {
                link,
                direction,
                before,
                cost: verdict.level.cost,
                loss: verdict.level.loss,
                why: Why::Configured,
                way: Way::default(),
                rtt: None,
            }));
        }
    }

    fn report(&mut self, now: Instant, link: LinkId, report: &Report, out: &mut Vec<Output>) {
        let Some(judged) = self.links.get_mut(&link) else {
            return;
        };
        for direction in Direction::BOTH {
            let hold_down = (self.config.hold_down, self.config.hold_down_max);
            let verdict = judged.verdict_mut(direction);
            if let Some(hold_down) = verdict.see(now, report.way(direction), report, hold_down) {
                out.push(Output::Notice(Notice::Relapsed {
                    link,
                    direction,
                    hold_down,
                }));
            }
        }
        self.vote(now, out);
        if self.frozen {
            return;
        }
        for direction in Direction::BOTH {
            self.judge(now, link, direction, report, out);
        }
    }

    /// Links do not all break at once; but we may have stopped listening.
    fn vote(&mut self, now: Instant, out: &mut Vec<Output>) {
        let links = self.links.len();
        let all = self.links.values();
        let bad = all.filter(|link| link.looks_bad(now, self.frozen));
        let bad = bad.count();
        let frozen = links >= QUORUM && bad * 2 > links;
        if frozen != self.frozen {
            self.frozen = frozen;
            out.push(Output::Notice(if frozen {
                Notice::Frozen { bad, links }
            } else {
                Notice::Thawed
            }));
        }
    }

    fn judge(
        &mut self,
        now: Instant,
        link: LinkId,
        direction: Direction,
        report: &Report,
        out: &mut Vec<Output>,
    ) {
        let config = &self.config;
        let Some(judged) = self.links.get_mut(&link) else {
            return;
        };
        let admin = judged.admin;
        let verdict = judged.verdict_mut(direction);
        let way = report.way(direction);
        let Some(levels) = levels(config, admin, way, report) else {
            return;
        };
        let Some((level, why)) = verdict.wants(now, &levels, config) else {
            return;
        };
        let (before, cost) = (verdict.level.cost, level.cost);
        let counts = cost != before && why != Why::Measured;
        if counts && !self.moves.take(now) {
            if self.moves.say_exhausted() {
                out.push(Output::Notice(Notice::Exhausted));
            }
            return;
        }
        verdict.accept(now, level, why);
        if before == cost && why != Why::Measured {
            return;
        }
        out.push(Output::CostChanged(Change {
            link,
            direction,
            before,
            cost,
            loss: level.loss,
            why,
            way: *way,
            rtt: report.rtt_long,
        }));
    }
}

impl Judged {
    const fn verdict(&self, direction: Direction) -> &Verdict {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Reverse => &self.reverse,
        }
    }

    const fn verdict_mut(&mut self, direction: Direction) -> &mut Verdict {
        match direction {
            Direction::Forward => &mut self.forward,
            Direction::Reverse => &mut self.reverse,
        }
    }

    fn looks_bad(&self, now: Instant, frozen: bool) -> bool {
        let ways = [&self.forward, &self.reverse];
        ways.iter().any(|way| way.looks_bad(now, frozen))
    }
}

impl Verdict {
    const fn new(cost: Cost, hold_down: Duration) -> Self {
        Self {
            level: Level { cost, loss: 0.0 },
            measured: false,
            standing: Standing::Good { better: None },
            hold_down,
            recovered: None,
            alarmed: None,
            suspicious: false,
        }
    }

    /// Notes an alarm. Some hold-down is the longer one of a relapse.
    fn see(
        &mut self,
        now: Instant,
        way: &Way,
        report: &Report,
        (least, most): (Duration, Duration),
    ) -> Option<Duration> {
        self.suspicious = way.suspicion >= SUSPICIOUS || report.silent;
        if !way.alarm {
            return None;
        }
        self.alarmed = Some(now);
        let why = if report.silent {
            Why::Silent
        } else {
            Why::Alarm
        };
        match &mut self.standing {
            Standing::Bad { good, cut, .. } => {
                *good = None;
                *cut &= report.silent;
                None
            }
            Standing::Owed(_) => None,
            Standing::Good { .. } => {
                self.standing = Standing::Owed(why);
                let recovered = self.recovered.take();
                let relapse =
                    recovered.is_some_and(|at| now.saturating_duration_since(at) < RELAPSE);
                self.hold_down = if relapse {
                    (self.hold_down * 2).min(most)
                } else {
                    least
                };
                relapse.then_some(self.hold_down)
            }
        }
    }

    /// Whether it went bad just now: what has long been known to be bad does not count, unless it became so with the
    /// rest.
    fn looks_bad(&self, now: Instant, frozen: bool) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < RECENT;
        let bad = self.suspicious || self.alarmed.is_some_and(recent);
        match self.standing {
            Standing::Bad { since, .. } => recent(since) || frozen && bad,
            Standing::Owed(_) => bad,
            Standing::Good { .. } => self.suspicious,
        }
    }

    /// The cost that it should have now, if that is another one.
    fn wants(&mut self, now: Instant, levels: &Levels, config: &Config) -> Option<(Level, Why)> {
        let worst = levels.short.max(levels.long);
        let [calm, calm_minute] = levels.calm;
        if !self.measured {
            return Some((calm.max(calm_minute), Why::Measured));
        }
        let (present, hold_down) = (self.level, self.hold_down);
        let worse = |than: Level| exceeds(than, present, config);
        let held = |since: &mut Option<Instant>, good: bool, hold_down: Duration| {
            if !good {
                *since = None;
                return None;
            }
            let since = *since.get_or_insert(now);
            let held = now.saturating_duration_since(since);
            (held >= hold_down).then_some(Why::Recovered { held })
        };
        match &mut self.standing {
            Standing::Owed(why) => Some((if worse(worst) { worst } else { present }, *why)),
            Standing::Bad { good, cut, .. } => {
                let level = levels.short.min(calm);
                if worse(level) {
                    return Some((level, Why::Worse));
                }
                // A link that was cut is whole again or it is not; one that is lossy may only seem to be better.
                let hold_down = if *cut { hold_down / 2 } else { hold_down };
                let why = held(good, exceeds(present, levels.hopeful, config), hold_down)?;
                // While the longer window still goes down there is no level yet.
                let settled = !exceeds(levels.long, levels.short, config);
                // What is certain is less than what is likely, and would have it come back too soon.
                settled.then_some((calm.max(levels.hopeful), why))
            }
            Standing::Good { better } => {
                let level = calm.min(calm_minute);
                if worse(level) {
                    return Some((level, Why::Worse));
                }
                let level = calm.max(calm_minute).max(levels.hopeful);
                let better_now = exceeds(present, level, config);
                let why = held(better, better_now, hold_down)?;
                Some((level, why))
            }
        }
    }

    fn accept(&mut self, now: Instant, level: Level, why: Why) {
        self.level = level;
        self.measured = true;
        let bad = matches!(self.standing, Standing::Bad { .. });
        self.standing = match why {
            Why::Alarm | Why::Silent => Standing::Bad {
                since: now,
                good: None,
                cut: why == Why::Silent,
            },
            Why::Worse if bad => self.standing,
            Why::Worse | Why::Measured | Why::Configured => Standing::Good { better: None },
            Why::Recovered { .. } => {
                if bad {
                    self.recovered = Some(now);
                }
                Standing::Good { better: None }
            }
        };
    }
}

/// Whether `more` is more than `less` by the margin, relative and absolute.
fn exceeds(more: Level, less: Level, config: &Config) -> bool {
    let micros = |level: Level| f64::from(level.cost.micros());
    let (more, less) = (micros(more), micros(less));
    let by = more - less;
    by >= f64::from(config.margin_least.micros()) && by >= config.margin * more
}

fn levels(config: &Config, admin: Cost, way: &Way, report: &Report) -> Option<Levels> {
    let long = report.rtt_long.or(report.rtt_short);
    if way.minute.probes < FIRST && !way.alarm {
        return None;
    }
    let rtt = long.unwrap_or_default();
    let level = |rtt, loss| Level {
        cost: config.weights.cost(rtt, loss, admin),
        loss,
    };
    if report.silent {
        let none = level(rtt, 1.0);
        return Some(Levels {
            short: none,
            long: none,
            calm: [none; 2],
            hopeful: none,
        });
    }
    let rtt_short = report.rtt_short.unwrap_or(rtt);
    Some(Levels {
        hopeful: level(rtt_short, unusual(way.short)).max(level(rtt, unusual(way.long))),
        short: level(rtt_short, way.short.ratio()),
        long: level(rtt, way.long.ratio()),
        calm: [way.long, way.minute].map(|loss| level(rtt, certain(loss))),
    })
}

/// The loss that is no chance; none if that may be what every link has.
fn certain(loss: Loss) -> f64 {
    let least = loss.at_least();
    if least > USUAL { least } else { 0.0 }
}

/// The loss, unless it is within two deviations, and one, of what is usual. A link that loses now and then what all do
/// could not hold out for the longest hold-down otherwise.
fn unusual(loss: Loss) -> f64 {
    let usual = f64::from(loss.probes) * USUAL;
    let most = usual + 2.0 * usual.sqrt() + 1.0;
    if f64::from(loss.lost) > most {
        loss.ratio()
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests;
