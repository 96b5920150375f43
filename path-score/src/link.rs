//! One neighbor that is measured: its STAMP session, the estimate of its loss, and an alarm for each direction.

use std::time::{Duration, Instant};

use crate::alarm::Alarm;
use crate::estimate::{self, Direction, Estimate, Loss, Span};
use crate::stamp::{self, Sender};

/// A report at least so often.
const REPORT: Duration = Duration::from_millis(200);

/// What happens to a link.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The deadline has come; `clock` is the time since 1970.
    Timeout {
        /// For the probe.
        clock: Duration,
    },
    /// A datagram came from the peer's reflector, at the time of the call.
    Received(&'a [u8]),
    /// The socket did not take the probe with this sequence number.
    Unsent(u32),
    /// The budget asks for another pace.
    Interval(Duration),
}

/// What a link asks for, or says.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this probe now.
    Transmit {
        /// For [`Input::Unsent`].
        sequence: u32,
        /// The datagram.
        packet: Vec<u8>,
    },
    /// How the link is: each 200 ms, and at once when there is an alarm. For the judge.
    Report(Report),
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

/// A STAMP session and what is known from it.
#[derive(Debug)]
pub struct Link {
    sender: Sender,
    estimate: Estimate,
    forward: Watch,
    reverse: Watch,
    report_at: Instant,
    said: Vec<stamp::Output>,
    fates: Vec<estimate::Output>,
}

#[derive(Debug, Default)]
struct Watch {
    alarm: Alarm,
    raised: bool,
}

impl Link {
    /// A link whose first probe is due at `now`.
    #[must_use]
    pub fn new(now: Instant, config: stamp::Config) -> Self {
        Self {
            sender: Sender::new(now, config),
            estimate: Estimate::new(now),
            forward: Watch::default(),
            reverse: Watch::default(),
            report_at: now + REPORT,
            said: Vec::new(),
            fates: Vec::new(),
        }
    }

    /// Takes in what happened at `now`, and pushes what follows from it. Read the socket dry before the timeout: an
    /// answer that waits there is not overdue.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
        let input = match input {
            Input::Timeout { clock } => stamp::Input::Timeout { clock },
            Input::Received(datagram) => stamp::Input::Received(datagram),
            Input::Interval(interval) => stamp::Input::Interval(interval),
            Input::Unsent(sequence) => {
                self.observe(now, estimate::Input::Unsent(sequence));
                return;
            }
        };
        let mut said = std::mem::take(&mut self.said);
        self.sender.handle(now, input, &mut said);
        for output in said.drain(..) {
            match output {
                stamp::Output::Transmit { sequence, packet } => {
                    self.observe(now, estimate::Input::Sent);
                    out.push(Output::Transmit { sequence, packet });
                }
                stamp::Output::Answered(answer) => {
                    self.observe(now, estimate::Input::Answered(answer));
                }
                stamp::Output::Stalled(late) => {
                    self.observe(now, estimate::Input::Stalled);
                    out.push(Output::Stalled(late));
                }
            }
        }
        self.said = said;
        if self.estimate.deadline().is_some_and(|at| at <= now) {
            self.observe(now, estimate::Input::Timeout);
        }
        if now >= self.report_at || self.forward.raised || self.reverse.raised {
            self.report_at = now + REPORT;
            out.push(Output::Report(self.report()));
        }
    }

    /// When to call with [`Input::Timeout`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let engines = [self.sender.deadline(), self.estimate.deadline()];
        engines.into_iter().flatten().chain([self.report_at]).min()
    }

    /// The time between two probes.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.sender.interval()
    }

    /// Datagrams that were no answers of this session.
    #[must_use]
    pub const fn rejected(&self) -> u64 {
        self.sender.rejected()
    }

    fn observe(&mut self, now: Instant, input: estimate::Input) {
        let mut fates = std::mem::take(&mut self.fates);
        self.estimate.handle(now, input, &mut fates);
        for fate in fates.drain(..) {
            match fate {
                estimate::Output::Passed(way) => self.watch(way).alarm.passed(),
                estimate::Output::Forgiven(way) => self.watch(way).alarm.forgive(),
                estimate::Output::Lost(way) => {
                    let watch = self.watch(way);
                    watch.raised |= watch.alarm.lost();
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

    fn report(&mut self) -> Report {
        let estimate = &self.estimate;
        let way = |direction, watch: &mut Watch| Way {
            short: estimate.loss(direction, Span::Short),
            long: estimate.loss(direction, Span::Long),
            minute: estimate.loss(direction, Span::Minute),
            alarm: std::mem::take(&mut watch.raised),
            suspicion: watch.alarm.suspicion(),
        };
        Report {
            forward: way(Direction::Forward, &mut self.forward),
            reverse: way(Direction::Reverse, &mut self.reverse),
            rtt_short: estimate.least_rtt(Span::Short),
            rtt_long: estimate.least_rtt(Span::Long),
            jitter: estimate.jitter(),
            silent: estimate.silent(),
        }
    }
}

#[cfg(test)]
mod tests;
