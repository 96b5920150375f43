//! One neighbor that is measured: by STAMP, or by ICMP echo if it has none; the estimate of its loss, and an alarm for each
//! direction.
//!
//! A neighbor that has not answered STAMP for three seconds, and never before, has none: echo takes over, and STAMP only
//! asks from then on, once a second. Three answers, and STAMP takes over again, for good.
//!
//! Where STAMP was answered before, silence is loss, whatever echo would say: STAMP goes on to measure. Only after a minute
//! of it echo asks beside it, and takes over when it is answered while none of all the probes of STAMP is: the neighbor is
//! there, and has lost its reflector. A link that was cut and is whole again is not taken for that: its first answers are
//! those of STAMP, which has its full pace.

use std::time::{Duration, Instant};

use crate::alarm::{Alarm, Raised};
use crate::budget::{self, FASTEST, SLOWEST};
use crate::estimate::{self, Direction, Estimate, Loss, Span};
use crate::icmp::{self, Pinger};
use crate::stamp::{self, Sender};

/// A report at least so often.
const REPORT: Duration = Duration::from_millis(200);
/// Who was asked for so long and never answered has no STAMP.
const UNANSWERED: Duration = Duration::from_secs(3);
/// Who answered before, and was silent for so long, may have lost its reflector.
const DOUBT: Duration = Duration::from_secs(60);
/// Echo takes over when so many were answered, one a second at most, and no probe of STAMP was.
const ECHO_PROVES: u64 = 5;
/// STAMP takes over when so many were answered: one packet of a stranger's does not do.
const STAMP_PROVES: u64 = 3;

/// How a link is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// STAMP (RFC 8762): each direction by itself.
    Stamp,
    /// ICMP echo: the round trip. All of its loss is held against either direction.
    Icmp,
}

/// How a link is probed.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its STAMP session; its interval is that of all probes.
    pub stamp: stamp::Config,
    /// Its echo sessions, numbered from the one that is there; `None`: STAMP or nothing.
    pub icmp: Option<icmp::Config>,
}

/// What happens to a link.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The deadline has come; `clock` is the time since 1970.
    Timeout {
        /// For the probe.
        clock: Duration,
    },
    /// A datagram came from the peer's reflector, or an ICMP message, at the time of the call.
    Received(Method, &'a [u8]),
    /// The socket did not take the probe with this sequence number.
    Unsent(Method, u32),
    /// The budget asks for another pace.
    Interval(Duration),
}

/// What a link asks for, or says.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this probe now.
    Transmit {
        /// As a datagram to the reflector's port, or as an ICMP message.
        method: Method,
        /// For [`Input::Unsent`].
        sequence: u32,
        /// The datagram, or the message.
        packet: Vec<u8>,
    },
    /// A probe was answered, for the first time.
    Answered,
    /// How the link is: each 200 ms, and at once when there is an alarm. For the judge.
    Report(Report),
    /// It is measured by this from now on.
    Measured(Method),
    /// We were not scheduled for so long; nothing of that is held against the link.
    Stalled(Duration),
}

/// How a link is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// From us to the peer.
    pub forward: Way,
    /// From the peer to us.
    pub reverse: Way,
    /// The least round trip of the last second.
    pub rtt_short: Option<Duration>,
    /// The least round trip of the last ten seconds.
    pub rtt_long: Option<Duration>,
    /// The mean deviation of the round trip.
    pub jitter: Duration,
    /// No answers come any more.
    pub silent: bool,
}

/// One direction of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Way {
    /// Over the last second.
    pub short: Loss,
    /// Over ten seconds.
    pub long: Loss,
    /// Over a minute.
    pub minute: Loss,
    /// There was an alarm since the last report.
    pub alarm: bool,
    /// How near the next alarm is, 0 to 1.
    pub suspicion: f64,
}

impl Report {
    /// One of the two directions.
    #[must_use]
    pub const fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Reverse => &self.reverse,
        }
    }
}

/// The probes of a link and what is known from them.
#[derive(Debug)]
pub struct Link {
    config: Config,
    /// Between two probes of whatever kind.
    interval: Duration,
    stage: Stage,
    stamp: Sender,
    estimate: Estimate,
    echo: Option<Echo>,
    /// That was said.
    method: Option<Method>,
    forward: Watch,
    reverse: Watch,
    report_at: Instant,
    rejected: u64,
    said: Vec<stamp::Output>,
    fates: Vec<estimate::Output>,
}

/// The one that measures, and what would change that.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// STAMP alone; until it was answered, since when it has been asked without a gap of our own.
    Stamp { asked: Option<Instant> },
    /// STAMP, while echo asks: its answers count from this one on.
    Doubt { from: u64 },
    /// Echo, while STAMP asks: its answers count from this one on.
    Icmp { from: u64 },
}

#[derive(Debug)]
struct Echo {
    pinger: Pinger,
    estimate: Estimate,
}

#[derive(Debug, Default)]
struct Watch {
    alarm: Alarm,
    raised: bool,
}

impl Link {
    /// A link whose first probe is due at `now`.
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        Self {
            interval: config.stamp.interval.clamp(FASTEST, SLOWEST),
            stage: Stage::Stamp { asked: None },
            stamp: Sender::new(now, config.stamp.clone()),
            estimate: Estimate::new(now),
            echo: None,
            method: None,
            forward: Watch::default(),
            reverse: Watch::default(),
            report_at: now + REPORT,
            rejected: 0,
            said: Vec::new(),
            fates: Vec::new(),
            config,
        }
    }

    /// Takes in what happened at `now`, and pushes what follows from it. Read the sockets dry before the timeout: an
    /// answer that waits there is not overdue.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Timeout { clock } => {
                let input = stamp::Input::Timeout { clock };
                self.drive(now, Method::Stamp, input, out);
                self.drive(now, Method::Icmp, input, out);
            }
            Input::Received(method, datagram) => {
                self.drive(now, method, stamp::Input::Received(datagram), out);
            }
            Input::Interval(interval) => {
                self.interval = interval.clamp(FASTEST, SLOWEST);
                self.pace(now, out);
            }
            Input::Unsent(method, sequence) => {
                self.observe(now, method, estimate::Input::Unsent(sequence));
                self.not_asked();
                return;
            }
        }
        for method in [Method::Stamp, Method::Icmp] {
            let estimate = self.estimate(method);
            let due = estimate.and_then(Estimate::deadline);
            if due.is_some_and(|at| at <= now) {
                self.observe(now, method, estimate::Input::Timeout);
            }
        }
        self.turn(now, out);
        if now >= self.report_at || self.forward.raised || self.reverse.raised {
            self.report_at = now + REPORT;
            out.extend(self.report().map(Output::Report));
        }
    }

    /// When to call with [`Input::Timeout`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let echo = self.echo.as_ref();
        let engines = [
            self.stamp.deadline(),
            self.estimate.deadline(),
            echo.map(|echo| echo.pinger.deadline()),
            echo.and_then(|echo| echo.estimate.deadline()),
        ];
        let turn = match self.stage {
            Stage::Stamp { asked } if self.estimate.answers() == 0 => {
                asked.map(|asked| asked + UNANSWERED)
            }
            Stage::Stamp { .. } => self.estimate.silent_since().map(|since| since + DOUBT),
            Stage::Doubt { .. } | Stage::Icmp { .. } => None,
        };
        let turn = turn.filter(|_| self.config.icmp.is_some());
        let engines = engines.into_iter().chain([turn]).flatten();
        engines.chain([self.report_at]).min()
    }

    /// The time between two probes, of whatever kind.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// What it is measured by; `None`: nothing was ever answered.
    #[must_use]
    pub const fn method(&self) -> Option<Method> {
        self.method
    }

    /// Datagrams and messages that were no answers to probes of ours.
    #[must_use]
    pub const fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Gives one kind of probes what happened to it, and does what follows.
    fn drive(
        &mut self,
        now: Instant,
        method: Method,
        input: stamp::Input<'_>,
        out: &mut Vec<Output>,
    ) {
        let mut said = std::mem::take(&mut self.said);
        match (method, &mut self.echo) {
            (Method::Stamp, _) => self.stamp.handle(now, input, &mut said),
            (Method::Icmp, Some(echo)) => echo.pinger.handle(now, input, &mut said),
            (Method::Icmp, None) => {}
        }
        let refused = matches!(input, stamp::Input::Received(_)) && said.is_empty();
        self.rejected = self.rejected.saturating_add(u64::from(refused));
        for output in said.drain(..) {
            match output {
                stamp::Output::Transmit { sequence, packet } => {
                    self.observe(now, method, estimate::Input::Sent);
                    if let (Method::Stamp, Stage::Stamp { asked }) = (method, &mut self.stage) {
                        asked.get_or_insert(now);
                    }
                    out.push(Output::Transmit {
                        method,
                        sequence,
                        packet,
                    });
                }
                stamp::Output::Answered(answer) => {
                    let before = self.answers(method);
                    self.observe(now, method, estimate::Input::Answered(answer));
                    if self.answers(method) > before {
                        out.push(Output::Answered);
                    }
                }
                stamp::Output::Stalled(late) => {
                    self.observe(now, method, estimate::Input::Stalled);
                    self.not_asked();
                    out.push(Output::Stalled(late));
                }
            }
        }
        self.said = said;
    }

    /// A gap of our own: what was not answered may not have been asked.
    fn not_asked(&mut self) {
        let replies = self.answers(Method::Icmp);
        match &mut self.stage {
            Stage::Stamp { asked } => *asked = None,
            Stage::Doubt { from } => *from = replies,
            Stage::Icmp { .. } => {}
        }
    }

    /// Lets the other kind of probes measure when it is time for that.
    fn turn(&mut self, now: Instant, out: &mut Vec<Output>) {
        let may_echo = self.config.icmp.is_some();
        let for_long = |since: Option<Instant>, most| {
            let is_long = |since| now.saturating_duration_since(since) >= most;
            may_echo && since.is_some_and(is_long)
        };
        let (answers, replies) = (self.answers(Method::Stamp), self.answers(Method::Icmp));
        let silent = self.estimate.silent_since();
        let next = match self.stage {
            Stage::Stamp { asked } if answers == 0 => {
                for_long(asked, UNANSWERED).then_some(Stage::Icmp { from: 0 })
            }
            Stage::Stamp { .. } => for_long(silent, DOUBT).then_some(Stage::Doubt { from: 0 }),
            Stage::Doubt { .. } if silent.is_none() => Some(Stage::Stamp { asked: None }),
            Stage::Doubt { from } => {
                (replies >= from + ECHO_PROVES).then_some(Stage::Icmp { from: answers })
            }
            Stage::Icmp { from } => {
                (answers >= from + STAMP_PROVES).then_some(Stage::Stamp { asked: None })
            }
        };
        if let Some(next) = next {
            let before = self.measuring();
            self.stage = next;
            if before != self.measuring() {
                self.forward = Watch::default();
                self.reverse = Watch::default();
            }
            self.open_or_close(now);
            self.pace(now, out);
        }
        let method = self.measuring();
        if self.answers(method) > 0 && self.method != Some(method) {
            self.method = Some(method);
            out.push(Output::Measured(method));
        }
    }

    /// Echo is there while it is needed.
    fn open_or_close(&mut self, now: Instant) {
        match self.stage {
            Stage::Stamp { .. } => self.echo = None,
            Stage::Doubt { .. } | Stage::Icmp { .. } => {
                let config = self.config.icmp.as_mut();
                let config = config.filter(|_| self.echo.is_none());
                if let Some(config) = config {
                    config.session = config.session.wrapping_add(1);
                    self.echo = Some(Echo {
                        pinger: Pinger::new(now, config.clone()),
                        estimate: Estimate::new(now),
                    });
                }
            }
        }
    }

    /// Both kinds together are no more than one an interval.
    fn pace(&mut self, now: Instant, out: &mut Vec<Output>) {
        let [main, aside] = budget::shared(self.interval);
        let [stamp, echo] = match self.stage {
            Stage::Stamp { .. } => [self.interval, aside],
            Stage::Doubt { .. } => [main, aside],
            Stage::Icmp { .. } => [aside, main],
        };
        self.drive(now, Method::Stamp, stamp::Input::Interval(stamp), out);
        self.drive(now, Method::Icmp, stamp::Input::Interval(echo), out);
    }

    const fn measuring(&self) -> Method {
        match self.stage {
            Stage::Stamp { .. } | Stage::Doubt { .. } => Method::Stamp,
            Stage::Icmp { .. } => Method::Icmp,
        }
    }

    fn estimate(&self, method: Method) -> Option<&Estimate> {
        match method {
            Method::Stamp => Some(&self.estimate),
            Method::Icmp => self.echo.as_ref().map(|echo| &echo.estimate),
        }
    }

    fn answers(&self, method: Method) -> u64 {
        self.estimate(method).map_or(0, Estimate::answers)
    }

    fn observe(&mut self, now: Instant, method: Method, input: estimate::Input) {
        let mut fates = std::mem::take(&mut self.fates);
        match (method, &mut self.echo) {
            (Method::Stamp, _) => self.estimate.handle(now, input, &mut fates),
            (Method::Icmp, Some(echo)) => echo.estimate.handle(now, input, &mut fates),
            (Method::Icmp, None) => {}
        }
        // Those that only ask say nothing of how the link is.
        if method != self.measuring() {
            fates.clear();
        }
        for fate in fates.drain(..) {
            match fate {
                estimate::Output::Passed(way) => self.watch(way).alarm.passed(),
                estimate::Output::Forgiven(way) => self.watch(way).alarm.forgive(),
                estimate::Output::Lost(way) => {
                    let watch = self.watch(way);
                    let alarm = watch.alarm.lost();
                    watch.raised |= alarm.is_some();
                    if alarm == Some(Raised::Anew) {
                        let other = self.watch(way.other());
                        other.raised |= other.alarm.warn().is_some();
                    }
                }
                estimate::Output::Silent => {
                    self.forward.raised = true;
                    self.reverse.raised = true;
                }
                estimate::Output::Back => {
                    self.forward.alarm = Alarm::default();
                    self.reverse.alarm = Alarm::default();
                }
            }
        }
        self.fates = fates;
    }

    const fn watch(&mut self, way: Direction) -> &mut Watch {
        match way {
            Direction::Forward => &mut self.forward,
            Direction::Reverse => &mut self.reverse,
        }
    }

    /// `None`: nothing was ever answered, which is no loss.
    fn report(&mut self) -> Option<Report> {
        self.method?;
        let estimate = match (self.measuring(), &self.echo) {
            (Method::Icmp, Some(echo)) => &echo.estimate,
            (Method::Stamp | Method::Icmp, _) => &self.estimate,
        };
        let way = |direction, watch: &mut Watch| Way {
            short: estimate.loss(direction, Span::Short),
            long: estimate.loss(direction, Span::Long),
            minute: estimate.loss(direction, Span::Minute),
            alarm: std::mem::take(&mut watch.raised),
            suspicion: watch.alarm.suspicion(),
        };
        Some(Report {
            forward: way(Direction::Forward, &mut self.forward),
            reverse: way(Direction::Reverse, &mut self.reverse),
            rtt_short: estimate.least_rtt(Span::Short),
            rtt_long: estimate.least_rtt(Span::Long),
            jitter: estimate.jitter(),
            silent: estimate.silent(),
        })
    }
}

#[cfg(test)]
mod tests;
