//! All links of a node: their probes within one budget, the answers to the neighbors' probes, and what each link costs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::budget;
use crate::cost::Cost;
use crate::estimate::Direction;
use crate::icmp;
use crate::judge::{self, Change, Judge, LinkId};
use crate::link::{self, Link, Method, Report};
use crate::stamp::{self, Answer, Datagram, Format, Key, Reflector};

/// As many links there may be.
pub const LINKS_MAX: usize = 4096;
/// Changes of a link's cost that are remembered.
pub const HISTORY_MAX: usize = 32;

/// What all links have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// How costs are made, and when they change.
    pub judge: judge::Config,
    /// What probes may take of the node's links together, one way, in bit/s.
    pub budget: u64,
    /// Between two probes of a link, if the budget allows: [`budget::FASTEST`] to [`budget::SLOWEST`].
    pub interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            judge: judge::Config::default(),
            budget: budget::DEFAULT_BUDGET,
            interval: budget::FASTEST,
        }
    }
}

/// What is configured of a link.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Who answers.
    pub peer: IpAddr,
    /// What the link costs beside what is measured.
    pub admin: Cost,
    /// For the authenticated mode.
    pub key: Option<Key>,
    /// The session id (RFC 8972 §3), and the identifier of echo: drawn by chance, not zero.
    pub ssid: u16,
    /// What our echo requests are known by when they come back: drawn by chance, and told nobody.
    pub echo_key: Key,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The deadline has come; `clock` is the time since 1970.
    Timeout {
        /// For the probes.
        clock: Duration,
    },
    /// A datagram came to a link's own socket, or an ICMP message to the one that it has for these.
    Answer(LinkId, Method, &'a [u8]),
    /// A datagram came to the reflector's port.
    Probe(Datagram<'a>),
    /// A link's socket did not take the probe with this sequence number.
    Unsent(LinkId, Method, u32),
    /// Others miss packets on the link, and probes of it were not answered just now either: it costs the most until it
    /// proves better.
    Missed(LinkId),
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this probe from the link's own socket.
    Transmit {
        /// The link.
        link: LinkId,
        /// As a datagram, or as an ICMP message.
        method: Method,
        /// For [`Input::Unsent`].
        sequence: u32,
        /// The datagram, or the message.
        packet: Vec<u8>,
    },
    /// Send this answer from the reflector's port.
    Reflect(Answer),
    /// A probe passed the link and its answer came back.
    Answered {
        /// The link.
        link: LinkId,
        /// It is known to lose packets.
        lossy: bool,
    },
    /// A link costs something else now, in one direction.
    Cost(Change),
    /// A link is measured by this from now on.
    Measured {
        /// The link.
        link: LinkId,
        /// How.
        method: Method,
    },
    /// What an operator wants to know.
    Notice(judge::Notice),
    /// We were not scheduled for so long; nothing of that is held against any link.
    Stalled(Duration),
}

/// A link as it stands.
#[derive(Clone, Debug)]
pub struct View {
    /// Which.
    pub link: LinkId,
    /// The neighbor.
    pub peer: IpAddr,
    /// What it is measured by; `None`: the neighbor has not answered a probe, ever.
    pub method: Option<Method>,
    /// As last measured; `None`: not yet.
    pub report: Option<Report>,
    /// What it costs from us to the neighbor, and back.
    pub costs: [Cost; 2],
    /// It loses more than it may, in either direction, or was not good for long enough since.
    pub bad: bool,
    /// Since when the cost from us to the neighbor is what it is.
    pub since: Instant,
    /// Between two probes.
    pub interval: Duration,
    /// Probes that were sent.
    pub sent: u64,
    /// Datagrams that were no answers.
    pub rejected: u64,
    /// The last changes of its cost, the newest last.
    pub history: VecDeque<(Instant, Change)>,
}

#[derive(Debug)]
struct Probed {
    link: Link,
    peer: IpAddr,
    key: Option<Key>,
    report: Option<Report>,
    deadline: Option<Instant>,
    since: Instant,
    sent: u64,
    history: VecDeque<(Instant, Change)>,
}

/// See the module.
#[derive(Debug)]
pub struct Node {
    config: Config,
    links: BTreeMap<LinkId, Probed>,
    judge: Judge,
    reflector: Reflector,
    deadlines: BTreeSet<(Instant, LinkId)>,
    said: Vec<link::Output>,
    judged: Vec<judge::Output>,
}

impl Node {
    /// One without links. Its clock may be `clock_error` off UTC; nothing that it computes depends on that.
    #[must_use]
    pub fn new(config: Config, clock_error: Duration) -> Self {
        Self {
            judge: Judge::new(config.judge),
            config,
            links: BTreeMap::new(),
            reflector: Reflector::new(Format::Ntp, clock_error),
            deadlines: BTreeSet::new(),
            said: Vec::new(),
            judged: Vec::new(),
        }
    }

    /// Probes a link from now on, and answers the neighbor's probes. One that is there keeps what is known of it, unless
    /// the neighbor or the key is another. False: there are [`LINKS_MAX`] already.
    pub fn open(
        &mut self,
        now: Instant,
        link: LinkId,
        config: &LinkConfig,
        out: &mut Vec<Output>,
    ) -> bool {
        if !self.links.contains_key(&link) && self.links.len() >= LINKS_MAX {
            return false;
        }
        let is_another = |probed: &Probed| probed.peer != config.peer || probed.key != config.key;
        if self.links.get(&link).is_some_and(is_another) {
            self.close(now, link, out);
        }
        self.reflector.allow(config.peer, config.key.clone());
        let session = stamp::Config {
            ssid: config.ssid,
            interval: self.config.interval,
            format: Format::Ntp,
            clock_error: Duration::ZERO,
            key: config.key.clone(),
            padding: 0,
            stateful: true,
        };
        let session = link::Config {
            // Who must prove itself is not believed without that.
            icmp: config.key.is_none().then(|| icmp::Config {
                ipv4: config.peer.is_ipv4(),
                identifier: config.ssid,
                key: config.echo_key.clone(),
                session: 0,
                interval: self.config.interval,
            }),
            stamp: session,
        };
        self.links.entry(link).or_insert_with(|| Probed {
            link: Link::new(now, session),
            peer: config.peer,
            key: config.key.clone(),
            report: None,
            deadline: None,
            since: now,
            sent: 0,
            history: VecDeque::new(),
        });
        self.judge(now, judge::Input::Add(link, config.admin), out);
        self.pace(now, out);
        self.with(now, link, out, |_, _| {});
        true
    }

    /// A link is not probed any more.
    pub fn close(&mut self, now: Instant, link: LinkId, out: &mut Vec<Output>) {
        let Some(probed) = self.links.remove(&link) else {
            return;
        };
        if let Some(at) = probed.deadline {
            self.deadlines.remove(&(at, link));
        }
        if !self.links.values().any(|other| other.peer == probed.peer) {
            self.reflector.forget(probed.peer);
        }
        self.judge(now, judge::Input::Remove(link), out);
        self.pace(now, out);
    }

    /// Measures and judges by this from now on.
    pub fn configure(&mut self, now: Instant, config: Config, out: &mut Vec<Output>) {
        self.judge.configure(config.judge);
        self.config = config;
        self.pace(now, out);
    }

    /// Takes in what happened at `now`, and pushes what follows from it. What came must be given before the timeout: an
    /// answer that waits in a socket is not overdue.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Timeout { clock } => self.timeout(now, clock, out),
            Input::Answer(id, method, datagram) => self.with(now, id, out, |probed, said| {
                let input = link::Input::Received(method, datagram);
                probed.link.handle(now, input, said);
            }),
            Input::Probe(datagram) => {
                let mut answers = Vec::new();
                self.reflector.handle(now, datagram, &mut answers);
                out.extend(answers.into_iter().map(Output::Reflect));
            }
            Input::Missed(id) => {
                let report = self.links.get(&id).and_then(|probed| probed.report);
                if let Some(mut report) = report {
                    report.silent = true;
                    report.forward.alarm = true;
                    report.reverse.alarm = true;
                    self.judge(now, judge::Input::Report(id, report), out);
                }
            }
            Input::Unsent(id, method, sequence) => self.with(now, id, out, |probed, said| {
                probed.sent = probed.sent.saturating_sub(1);
                let input = link::Input::Unsent(method, sequence);
                probed.link.handle(now, input, said);
            }),
        }
    }

    /// When to call with [`Input::Timeout`], if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// All links as they stand.
    pub fn views(&self) -> impl Iterator<Item = View> {
        let cost = |id, direction| self.judge.cost(id, direction).unwrap_or_default();
        self.links.iter().map(move |(id, probed)| View {
            link: *id,
            peer: probed.peer,
            method: probed.link.method(),
            report: probed.report,
            costs: Direction::BOTH.map(|direction| cost(*id, direction)),
            bad: self.judge.is_bad(*id),
            since: probed.since,
            interval: probed.link.interval(),
            sent: probed.sent,
            rejected: probed.link.rejected(),
            history: probed.history.clone(),
        })
    }

    /// Whether more than half of the links look bad at once: it may be us, so nothing changes.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.judge.frozen()
    }

    /// Datagrams at the reflector's port that got no answer.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.reflector.refused()
    }

    fn timeout(&mut self, now: Instant, clock: Duration, out: &mut Vec<Output>) {
        while let Some(&(at, id)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, id));
            self.with(now, id, out, |probed, said| {
                let input = link::Input::Timeout { clock };
                probed.link.handle(now, input, said);
            });
        }
    }

    /// Shares the budget.
    fn pace(&mut self, now: Instant, out: &mut Vec<Output>) {
        let interval = budget::interval(self.links.len(), self.config.budget);
        let interval = interval.max(self.config.interval).min(budget::SLOWEST);
        let ids: Vec<_> = self.links.keys().copied().collect();
        for id in ids {
            let known = self.links.get(&id).map(|probed| probed.link.interval());
            if known != Some(interval) {
                self.with(now, id, out, |probed, said| {
                    let input = link::Input::Interval(interval);
                    probed.link.handle(now, input, said);
                });
            }
        }
    }

    /// The one place where a link is driven: what it says goes out, or to the judge, and its deadline is noted.
    fn with(
        &mut self,
        now: Instant,
        id: LinkId,
        out: &mut Vec<Output>,
        job: impl FnOnce(&mut Probed, &mut Vec<link::Output>),
    ) {
        let Some(probed) = self.links.get_mut(&id) else {
            return;
        };
        let mut said = std::mem::take(&mut self.said);
        job(probed, &mut said);
        let (mut report, mut is_answered) = (None, false);
        for output in said.drain(..) {
            match output {
                link::Output::Transmit {
                    method,
                    sequence,
                    packet,
                } => {
                    probed.sent += 1;
                    out.push(Output::Transmit {
                        link: id,
                        method,
                        sequence,
                        packet,
                    });
                }
                link::Output::Answered => is_answered = true,
                link::Output::Measured(method) => out.push(Output::Measured { link: id, method }),
                link::Output::Report(said) => report = Some(said),
                link::Output::Stalled(late) => out.push(Output::Stalled(late)),
            }
        }
        self.said = said;
        if let Some(at) = probed.deadline {
            self.deadlines.remove(&(at, id));
        }
        probed.deadline = probed.link.deadline();
        self.deadlines.extend(probed.deadline.map(|at| (at, id)));
        if let Some(report) = report {
            probed.report = Some(report);
            self.judge(now, judge::Input::Report(id, report), out);
        }
        if is_answered {
            let (link, lossy) = (id, self.judge.is_bad(id));
            out.push(Output::Answered { link, lossy });
        }
    }

    fn judge(&mut self, now: Instant, input: judge::Input, out: &mut Vec<Output>) {
        let mut judged = std::mem::take(&mut self.judged);
        self.judge.handle(now, input, &mut judged);
        for output in judged.drain(..) {
            match output {
                judge::Output::CostChanged(change) => {
                    if let Some(probed) = self.links.get_mut(&change.link) {
                        probed.remember(now, change);
                    }
                    out.push(Output::Cost(change));
                }
                judge::Output::Notice(notice) => out.push(Output::Notice(notice)),
            }
        }
        self.judged = judged;
    }
}

impl Probed {
    fn remember(&mut self, now: Instant, change: Change) {
        if change.direction == Direction::Forward {
            self.since = now;
        }
        if change.before == change.cost {
            return;
        }
        if self.history.len() >= HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back((now, change));
    }
}

#[cfg(test)]
mod tests;
