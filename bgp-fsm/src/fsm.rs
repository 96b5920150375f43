//! A peer: when to connect, which of two connections lives, how long to wait after an error (RFC 4271 §8).

use std::time::{Duration, Instant};

use bgp_core::header::Kind;
use bgp_core::{Code, Reset, RouteRefresh};
use bytes::Bytes;

use crate::chance::Chance;
use crate::config::Config;
use crate::connection::{Connection, Step};
use crate::end::{End, Stop};
use crate::negotiate::Session;

/// The first retry after a connection that was refused; each further one waits twice as long, up to
/// ConnectRetryTime. So two speakers find each other soon after the second one starts.
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// A session that lived so long was no error's doing: IdleHoldTime starts over.
const GOOD_SESSION: Duration = Duration::from_secs(60);

/// Who opened a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Side {
    /// We did.
    Outgoing,
    /// The peer did.
    Incoming,
}

/// RFC 4271 §8.2.2.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum State {
    /// Down, or waiting after an error.
    Idle,
    /// TCP is being opened.
    Connect,
    /// Waiting for the peer, or for the next try.
    Active,
    /// Our OPEN is out.
    OpenSent,
    /// The peer's OPEN was taken.
    OpenConfirm,
    /// Routes flow.
    Established,
}

/// What happened (RFC 4271 §8.1).
#[derive(Clone, Debug)]
pub enum Input {
    /// ManualStart, or what the operator calls enable.
    Start,
    /// ManualStop, and other orders to end.
    Stop(Stop),
    /// TCP is up: the one that was asked for, or one that the peer made.
    Connected(Side),
    /// The one that was asked for could not be made.
    ConnectFailed,
    /// TCP gave us bytes, however it liked to cut them.
    Received(Side, Bytes),
    /// Bytes wait to be written, and TCP takes none.
    Blocked(Side),
    /// TCP took some again.
    Progress(Side),
    /// The decoder found in an UPDATE what ends the session.
    Fault(Reset),
    /// TCP went away.
    Closed(Side),
    /// The deadline passed.
    Timeout,
}

/// What the driver must do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a TCP connection; answer with [`Input::Connected`] or [`Input::ConnectFailed`].
    Connect,
    /// Write these bytes.
    Send(Side, Bytes),
    /// Close the connection, or give up opening it. Nothing more comes of it, and nothing of it is heard any more.
    Close(Side),
    /// Routes may flow.
    Up(Box<Session>),
    /// An UPDATE's body.
    Update(Bytes),
    /// A ROUTE-REFRESH.
    Refresh(RouteRefresh),
    /// The session, or the attempt at one, ended.
    Down(End),
}

/// Messages of the session's own, and those received.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// All messages received.
    pub received: u64,
    /// Of those, UPDATEs.
    pub updates_received: u64,
    /// Messages that the state machine sent: all but UPDATEs.
    pub sent: u64,
}

impl Counters {
    pub(crate) const fn count(&mut self, kind: Kind) {
        self.received += 1;
        if matches!(kind, Kind::Update) {
            self.updates_received += 1;
        }
    }
}

/// What is going on beside the connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Life {
    /// Until it is started.
    Stopped,
    /// After an error: nobody is let in, nobody is called (IdleHoldTimer, §8.1.1).
    Holding { until: Instant },
    /// A session is wanted. `retry` is when to connect; `None` while that is under way, or the peer's to do.
    Trying {
        connecting: bool,
        retry: Option<Instant>,
    },
}

/// The state machine of one peer.
#[derive(Debug)]
pub struct Fsm {
    config: Config,
    chance: Chance,
    life: Life,
    outgoing: Option<Connection>,
    incoming: Option<Connection>,
    /// The next IdleHoldTime.
    idle_hold: Duration,
    /// Connects that failed in a row.
    failures: u32,
    up_since: Option<Instant>,
    counters: Counters,
}

impl Fsm {
    /// One that waits for [`Input::Start`]. `seed` decides the jitter.
    #[must_use]
    pub const fn new(config: Config, seed: u64) -> Self {
        Self {
            idle_hold: config.idle_hold,
            chance: Chance::new(seed),
            life: Life::Stopped,
            outgoing: None,
            incoming: None,
            failures: 0,
            up_since: None,
            counters: Counters {
                received: 0,
                updates_received: 0,
                sent: 0,
            },
            config,
        }
    }

    /// Takes in what happened at `now`, and pushes what follows from it.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Start => self.start(now, out),
            Input::Stop(stop) => self.stop(now, &stop, out),
            Input::Connected(side) => self.connected(now, side, out),
            Input::ConnectFailed => self.connect_failed(now),
            Input::Received(side, bytes) => self.received(now, side, bytes, out),
            Input::Blocked(side) => {
                let Self {
                    outgoing,
                    incoming,
                    config,
                    ..
                } = self;
                let place = if side == Side::Outgoing {
                    outgoing
                } else {
                    incoming
                };
                if let Some(connection) = place {
                    connection.blocked(now, config);
                }
            }
            Input::Progress(side) => {
                if let Some(connection) = self.connection_mut(side) {
                    connection.progress();
                }
            }
            Input::Fault(reset) => {
                if let Some(side) = self.session().map(|session| session.side) {
                    self.end(now, side, End::Fault(reset), out);
                }
            }
            Input::Closed(side) => {
                if self.connection(side).is_some() {
                    self.end(now, side, End::Lost, out);
                }
            }
            Input::Timeout => self.timeout(now, out),
        }
    }

    /// When to call with [`Input::Timeout`], if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let life = match self.life {
            Life::Stopped => None,
            Life::Holding { until } => Some(until),
            Life::Trying { retry, .. } => retry,
        };
        let connections = self.connections().filter_map(Connection::deadline).min();
        [life, connections].into_iter().flatten().min()
    }

    /// The state of the connection that is furthest.
    #[must_use]
    pub fn state(&self) -> State {
        let without = match self.life {
            Life::Stopped | Life::Holding { .. } => State::Idle,
            Life::Trying {
                connecting: true, ..
            } => State::Connect,
            Life::Trying {
                connecting: false, ..
            } => State::Active,
        };
        self.connections()
            .map(Connection::state)
            .fold(without, State::max)
    }

    /// The session, while it is up.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        let established = |c: &&Connection| c.state() == State::Established;
        self.connections()
            .find(established)
            .and_then(Connection::agreed)
    }

    /// Since start.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes another configuration. Timers follow it as they are set next; what was agreed on stays until the
    /// next session.
    pub fn set_config(&mut self, config: Config) {
        self.idle_hold = self
            .idle_hold
            .clamp(config.idle_hold, config.idle_hold_max.max(config.idle_hold));
        self.config = config;
    }

    fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.outgoing.iter().chain(&self.incoming)
    }

    const fn connection(&self, side: Side) -> Option<&Connection> {
        match side {
            Side::Outgoing => self.outgoing.as_ref(),
            Side::Incoming => self.incoming.as_ref(),
        }
    }

    const fn connection_mut(&mut self, side: Side) -> Option<&mut Connection> {
        match side {
            Side::Outgoing => self.outgoing.as_mut(),
            Side::Incoming => self.incoming.as_mut(),
        }
    }

    fn start(&mut self, now: Instant, out: &mut Vec<Output>) {
        match self.life {
            // §8.2.2: in other states the start events are ignored.
            Life::Trying { .. } => {}
            Life::Stopped | Life::Holding { .. } => {
                self.idle_hold = self.config.idle_hold;
                self.failures = 0;
                self.life = Life::Trying {
                    connecting: false,
                    retry: None,
                };
                self.try_now(now, out);
            }
        }
    }

    /// Connects, unless the peer is to do it or there is a connection already.
    fn try_now(&mut self, _now: Instant, out: &mut Vec<Output>) {
        let has_connection = self.connections().next().is_some();
        let Life::Trying { connecting, retry } = &mut self.life else {
            return;
        };
        *retry = None;
        if !self.config.passive && !*connecting && !has_connection {
            *connecting = true;
            out.push(Output::Connect);
        }
    }

    fn stop(&mut self, now: Instant, stop: &Stop, out: &mut Vec<Output>) {
        let reset = stop.reset();
        if matches!(
            self.life,
            Life::Trying {
                connecting: true,
                ..
            }
        ) {
            out.push(Output::Close(Side::Outgoing));
        }
        let had_any = self.connections().next().is_some();
        for side in [Side::Outgoing, Side::Incoming] {
            self.put_down(side, Some(&reset), out);
        }
        self.up_since = None;
        self.life = match (stop.back_after(), self.life) {
            // What is stopped stays so.
            (_, Life::Stopped) | (None, _) => Life::Stopped,
            (Some(after), _) => Life::Holding { until: now + after },
        };
        if had_any {
            out.push(Output::Down(End::Stopped(reset)));
        }
    }

    fn connected(&mut self, now: Instant, side: Side, out: &mut Vec<Output>) {
        let Life::Trying { connecting, retry } = &mut self.life else {
            // Idle refuses all connections (§8.2.2).
            out.push(Output::Close(side));
            return;
        };
        if side == Side::Outgoing {
            *connecting = false;
        }
        *retry = None;
        self.failures = 0;
        if self.connection(side).is_some() {
            return;
        }
        // §6.8: beside an Established session a new connection loses.
        if self.session().is_some() {
            out.push(Output::Close(side));
            return;
        }
        let connection = Connection::open(now, side, &self.config, out);
        self.counters.sent += 1;
        match side {
            Side::Outgoing => self.outgoing = Some(connection),
            Side::Incoming => self.incoming = Some(connection),
        }
    }

    fn connect_failed(&mut self, now: Instant) {
        if let Life::Trying { connecting, .. } = &mut self.life {
            *connecting = false;
            self.retry_later(now);
        }
    }

    /// Sets ConnectRetryTimer, unless a connection is there.
    fn retry_later(&mut self, now: Instant) {
        if self.config.passive || self.connections().next().is_some() {
            return;
        }
        let longest = self.config.connect_retry;
        let wait = FIRST_RETRY
            .saturating_mul(1 << self.failures.min(16))
            .min(longest);
        self.failures = self.failures.saturating_add(1);
        let wait = self.chance.jitter(wait);
        if let Life::Trying {
            connecting: false,
            retry,
        } = &mut self.life
        {
            *retry = Some(now + wait);
        }
    }

    fn received(&mut self, now: Instant, side: Side, mut chunk: Bytes, out: &mut Vec<Output>) {
        loop {
            let Self {
                outgoing,
                incoming,
                config,
                chance,
                counters,
                ..
            } = self;
            let place = if side == Side::Outgoing {
                outgoing
            } else {
                incoming
            };
            let Some(connection) = place else { return };
            let step = match connection.next(&mut chunk) {
                Ok(None) => return,
                Ok(Some(message)) => {
                    connection.message(now, message, (config, chance), counters, out)
                }
                Err(reset) => Err(End::Fault(reset)),
            };
            match step {
                Ok(Step::Stays) => {}
                Ok(Step::Opened) => self.resolve_collision(now, side, out),
                Ok(Step::Up) => self.up(now, side, out),
                Err(end) => return self.end(now, side, end, out),
            }
        }
    }

    /// §6.8, RFC 6286 §2.3: of two connections, the one stays that was opened by the side with the larger
    /// BGP Identifier; with equal ones, by that with the larger AS number. An Established one stays in any case.
    fn resolve_collision(&mut self, now: Instant, side: Side, out: &mut Vec<Output>) {
        let other = match side {
            Side::Outgoing => Side::Incoming,
            Side::Incoming => Side::Outgoing,
        };
        let other_state = self.connection(other).map(Connection::state);
        let loser = match other_state {
            // Of one whose OPEN has not come, nobody knows yet that it is the same peer.
            None | Some(State::Idle | State::Connect | State::Active | State::OpenSent) => return,
            Some(State::Established) => side,
            Some(State::OpenConfirm) => {
                let Some(session) = self.connection(side).and_then(Connection::agreed) else {
                    return;
                };
                let ours = (self.config.identifier, self.config.local_asn);
                if ours < (session.identifier, session.peer_asn) {
                    Side::Outgoing
                } else {
                    Side::Incoming
                }
            }
        };
        self.end(
            now,
            loser,
            End::Fault(Code::ConnectionCollisionResolution.into()),
            out,
        );
    }

    fn up(&mut self, now: Instant, side: Side, out: &mut Vec<Output>) {
        let other = match side {
            Side::Outgoing => Side::Incoming,
            Side::Incoming => Side::Outgoing,
        };
        // The other one never got as far; §6.8 lets the Established one win.
        self.put_down(
            other,
            Some(&Code::ConnectionCollisionResolution.into()),
            out,
        );
        if let Life::Trying { retry, .. } = &mut self.life {
            *retry = None;
        }
        self.failures = 0;
        self.up_since = Some(now);
        if let Some(session) = self.connection(side).and_then(Connection::agreed) {
            out.push(Output::Up(Box::new(session.clone())));
        }
    }

    fn timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        match self.life {
            Life::Holding { until } if until <= now => {
                self.life = Life::Trying {
                    connecting: false,
                    retry: None,
                };
                self.try_now(now, out);
            }
            Life::Trying {
                retry: Some(at), ..
            } if at <= now => self.try_now(now, out),
            Life::Stopped | Life::Holding { .. } | Life::Trying { .. } => {}
        }
        for side in [Side::Outgoing, Side::Incoming] {
            let Self {
                outgoing,
                incoming,
                chance,
                counters,
                ..
            } = self;
            let place = if side == Side::Outgoing {
                outgoing
            } else {
                incoming
            };
            let Some(connection) = place else { continue };
            if let Err(end) = connection.timeout(now, chance, counters, out) {
                self.end(now, side, end, out);
            }
        }
    }

    /// The one way down: every fault, timer, NOTIFICATION and hang-up passes through here.
    fn end(&mut self, now: Instant, side: Side, end: End, out: &mut Vec<Output>) {
        let was_established = self
            .connection(side)
            .is_some_and(|c| c.state() == State::Established);
        match &end {
            End::Fault(reset) | End::Stopped(reset) => self.put_down(side, Some(reset), out),
            End::Told(_) | End::Lost => self.put_down(side, None, out),
        }
        if self.connections().next().is_some() {
            // The other connection of a collision goes on.
            return;
        }
        if was_established && self.up_since.is_some_and(|up| now >= up + GOOD_SESSION) {
            self.idle_hold = self.config.idle_hold;
        }
        self.up_since = None;
        if end.is_error()
            && matches!(
                self.life,
                Life::Trying {
                    connecting: false,
                    ..
                }
            )
        {
            self.life = Life::Holding {
                until: now + self.chance.jitter(self.idle_hold),
            };
            self.idle_hold = (self.idle_hold * 2)
                .min(self.config.idle_hold_max)
                .max(self.config.idle_hold);
        } else {
            self.retry_later(now);
        }
        out.push(Output::Down(end));
    }

    /// Says why, if there is a reason to be said, and closes.
    fn put_down(&mut self, side: Side, why: Option<&Reset>, out: &mut Vec<Output>) {
        let place = match side {
            Side::Outgoing => &mut self.outgoing,
            Side::Incoming => &mut self.incoming,
        };
        if place.take().is_none() {
            return;
        }
        if let Some(reset) = why {
            out.push(Output::Send(side, reset.encode()));
            self.counters.sent += 1;
        }
        out.push(Output::Close(side));
    }
}
