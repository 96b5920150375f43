//! A peer: when to connect, which of two connections lives, how long to wait after an error (RFC 4271 §8).

use std::time::{Duration, Instant};

use bgp_core::{Code, Reset};
use bytes::Bytes;

use crate::chance::Chance;
use crate::config::Config;
use crate::connection::{Connection, Connections, Context, Step};
use crate::end::{Back, End, Stop, hard_reset};
use crate::event::{Counters, Input, Output, Side, State};
use crate::negotiate::Session;

/// The first retry after a connection that could not be made or did not come to anything; each further one waits
/// twice as long, up to ConnectRetryTime. So two speakers find each other soon after the second one starts. No
/// configured time makes us try more often.
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// After a session that lived so long, IdleHoldTime starts over.
const GOOD_SESSION: Duration = Duration::from_secs(60);

/// What goes on beside the connections: what is wanted, and the timer of that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Life {
    /// Nothing is wanted, until a start.
    Stopped,
    /// A session, but not before IdleHoldTimer expires (§8.1.1). Nobody is called until then; the peer's own calls are
    /// taken somewhat earlier, see [`Fsm::refuse_until`].
    Holding(Instant),
    /// A connection is being opened. ConnectRetryTimer says how long that may take.
    Connect(Instant),
    /// The peer may call. ConnectRetryTimer, if it runs, says when we do.
    Active(Option<Instant>),
}

/// The state machine of one peer.
#[derive(Debug)]
pub struct Fsm {
    config: Config,
    chance: Chance,
    counters: Counters,
    life: Life,
    connections: Connections,
    /// Until when the peer's connections are refused: for the first IdleHoldTime after an error. While our own wait
    /// doubles and doubles, a peer that was mended and calls us is let in; one that was not can make us no more than
    /// one error in that time.
    refuse_until: Option<Instant>,
    /// The next IdleHoldTime.
    idle_hold: Duration,
    /// Connections in a row that came to nothing.
    failures: u32,
}

impl Fsm {
    /// One that waits for [`Input::Start`]. `seed` decides the jitter.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            idle_hold: config.idle_hold,
            chance: Chance::new(seed),
            counters: Counters::default(),
            life: Life::Stopped,
            connections: Connections::default(),
            refuse_until: None,
            failures: 0,
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
                if let Some(connection) = self.connections.place(side) {
                    connection.blocked(now, &self.config);
                }
            }
            Input::Progress(side) => {
                if let Some(connection) = self.connections.place(side) {
                    connection.progress();
                }
            }
            Input::Fault(reset) => {
                if let Some(side) = self.session().map(|session| session.side) {
                    self.end(now, side, End::Fault(reset), out);
                }
            }
            Input::Closed(side) => self.end(now, side, End::Lost, out),
            Input::Timeout => self.timeout(now, out),
        }
    }

    /// When to call with [`Input::Timeout`], if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let life = match self.life {
            Life::Stopped => None,
            Life::Holding(at) | Life::Connect(at) => Some(at),
            Life::Active(retry) => retry,
        };
        let connections = self.connections.iter().filter_map(Connection::deadline);
        connections.chain(life).min()
    }

    /// The state of the connection that is furthest.
    #[must_use]
    pub fn state(&self) -> State {
        let without = match self.life {
            Life::Stopped | Life::Holding(_) => State::Idle,
            Life::Connect(_) => State::Connect,
            Life::Active(_) => State::Active,
        };
        self.connections.furthest().unwrap_or(without)
    }

    /// The session, while it is up.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.connections.session()
    }

    /// What has been counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Puts another configuration in force: timers follow it when they are set next, the session is as it was agreed on.
    /// [`Input::Timeout`] has to follow, lest a peer that is passive no longer is not called.
    pub fn set_config(&mut self, config: Config) {
        let longest = config.idle_hold_max.max(config.idle_hold);
        self.idle_hold = self.idle_hold.clamp(config.idle_hold, longest);
        self.config = config;
    }

    fn start(&mut self, now: Instant, out: &mut Vec<Output>) {
        match self.life {
            // §8.2.2: in all states but Idle, the start events are ignored.
            Life::Connect(_) | Life::Active(_) => {}
            Life::Stopped | Life::Holding(_) => {
                self.idle_hold = self.config.idle_hold;
                self.refuse_until = None;
                self.failures = 0;
                self.try_now(now, out);
            }
        }
    }

    fn stop(&mut self, now: Instant, stop: &Stop, out: &mut Vec<Output>) {
        let reset = stop.reset();
        let had_any = self.connections.furthest().is_some();
        self.stop_connecting(out);
        for side in Side::BOTH {
            let agreed = self.connections.get(side).and_then(Connection::established);
            let restart = agreed.and_then(|session| session.graceful_restart.as_ref());
            let hard = stop.is_hard() && restart.is_some_and(|restart| restart.notification);
            let why = if hard {
                hard_reset(&reset)
            } else {
                reset.clone()
            };
            self.close(now, side, Some(&why), out);
        }
        self.failures = 0;
        self.life = match (self.life, stop.back()) {
            // What is stopped stays so.
            (Life::Stopped, _) | (_, Back::Started) => Life::Stopped,
            (_, Back::Soon) => {
                self.refuse_until = None;
                Life::Active(None)
            }
            (_, Back::After(time)) => {
                self.refuse_until = Some(now + time);
                Life::Holding(now + time)
            }
        };
        self.retry_later(now);
        if had_any {
            out.push(Output::Down(End::Stopped(reset)));
        }
    }

    fn connected(&mut self, now: Instant, side: Side, out: &mut Vec<Output>) {
        if self.connections.get(side).is_some() {
            return;
        }
        let welcome = match (self.life, side) {
            (Life::Stopped, _) | (Life::Holding(_) | Life::Active(_), Side::Outgoing) => false,
            (Life::Connect(_), Side::Outgoing) => true,
            (Life::Holding(_) | Life::Connect(_) | Life::Active(_), Side::Incoming) => {
                self.refuse_until.is_none_or(|until| until <= now)
            }
        };
        let established = self.session().is_some();
        let (mut cx, connections) = self.parts(now, out);
        if !welcome || established {
            // Idle refuses all connections (§8.2.2); beside an Established session a new one loses (§6.8).
            let code = if welcome {
                Code::ConnectionCollisionResolution
            } else {
                Code::ConnectionRejected
            };
            cx.notify(side, &code.into());
            cx.out.push(Output::Close(side));
            return;
        }
        *connections.place(side) = Some(Connection::open(&mut cx, side));
        match (self.life, side) {
            (Life::Connect(_), Side::Incoming) => {}
            (_, Side::Outgoing) => self.life = Life::Active(None),
            (Life::Stopped | Life::Holding(_) | Life::Active(_), Side::Incoming) => {
                // Should the peer have nothing to say on its connection, ours is tried beside it.
                let retry = self.may_connect().then(|| self.connect_retry());
                self.life = Life::Active(retry.map(|retry| now + self.chance.jitter(retry)));
            }
        }
    }

    fn connect_failed(&mut self, now: Instant) {
        if matches!(self.life, Life::Connect(_)) {
            self.life = Life::Active(None);
            self.retry_later(now);
        }
    }

    fn received(&mut self, now: Instant, side: Side, mut chunk: Bytes, out: &mut Vec<Output>) {
        loop {
            let (mut cx, connections) = self.parts(now, out);
            let Some(connection) = connections.place(side) else {
                return;
            };
            let step = match connection.next(&mut chunk) {
                Ok(None) => return,
                Ok(Some((kind, body))) => connection.message(&mut cx, kind, body),
                Err(reset) => Err(End::Fault(reset)),
            };
            match step {
                Ok(Step::Stays) => {}
                Ok(Step::Opened) => self.opened(now, side, out),
                Ok(Step::Up) => self.up(now, side, out),
                Err(end) => return self.end(now, side, end, out),
            }
        }
    }

    /// The peer's OPEN came: no further connection is needed, and of two one has to go.
    fn opened(&mut self, now: Instant, side: Side, out: &mut Vec<Output>) {
        // The peer cannot have chosen a connection that has not heard our OPEN.
        self.stop_connecting(out);
        if let Some(loser) = self.collision(side) {
            self.end(
                now,
                loser,
                End::Fault(Code::ConnectionCollisionResolution.into()),
                out,
            );
        }
    }

    /// The loser of a collision (§6.8, RFC 6286 §2.3), now that the OPEN of `side` came. The connection stays that was
    /// opened by who has the larger BGP Identifier; with equal ones, by who has the larger AS number.
    fn collision(&self, side: Side) -> Option<Side> {
        let newer = self.connections.get(side)?.agreed()?;
        match self.connections.get(side.other())?.state() {
            // Of one whose OPEN has not come, nobody knows yet whose it is.
            State::Idle | State::Connect | State::Active | State::OpenSent => None,
            State::OpenConfirm => {
                let ours = (self.config.identifier, self.config.local_asn);
                let theirs = (newer.identifier, newer.peer_asn);
                Some(if ours < theirs {
                    Side::Outgoing
                } else {
                    Side::Incoming
                })
            }
            State::Established => Some(side),
        }
    }

    fn up(&mut self, now: Instant, side: Side, out: &mut Vec<Output>) {
        // §6.8: the Established one wins.
        self.close(
            now,
            side.other(),
            Some(&Code::ConnectionCollisionResolution.into()),
            out,
        );
        self.failures = 0;
        self.counters.established += 1;
        let session = self.connections.session().cloned();
        out.extend(session.map(|session| Output::Up(Box::new(session))));
    }

    fn timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        match self.life {
            Life::Holding(at) | Life::Connect(at) | Life::Active(Some(at)) if at <= now => {
                self.try_now(now, out);
            }
            // The peer was to call, until the configuration changed.
            Life::Active(None) if self.may_connect() => self.try_now(now, out),
            Life::Stopped | Life::Holding(_) | Life::Connect(_) | Life::Active(_) => {}
        }
        for side in Side::BOTH {
            let (mut cx, connections) = self.parts(now, out);
            let timeout = connections
                .place(side)
                .as_mut()
                .map(|connection| connection.timeout(&mut cx));
            if let Some(Err(end)) = timeout {
                self.end(now, side, end, out);
            }
        }
    }

    /// Opens a connection, unless the peer is to do that or there is no use for one. One that is being opened for too
    /// long is given up for it (§8.2.2, Connect, ConnectRetryTimer_Expires).
    fn try_now(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.stop_connecting(out);
        self.life = Life::Active(None);
        if self.may_connect() {
            let retry = self.connect_retry();
            self.life = Life::Connect(now + self.chance.jitter(retry));
            self.counters.connects += 1;
            out.push(Output::Connect);
        }
    }

    /// Sets ConnectRetryTimer, if it is to run.
    fn retry_later(&mut self, now: Instant) {
        if matches!(self.life, Life::Active(_)) && self.may_connect() {
            let wait = FIRST_RETRY.saturating_mul(1 << self.failures.min(16));
            let wait = self.chance.jitter(wait.min(self.connect_retry()));
            self.failures = self.failures.saturating_add(1);
            self.life = Life::Active(Some(now + wait));
        }
    }

    /// Whether a connection of ours makes sense: there is none, and none of the peer's has brought its OPEN.
    fn may_connect(&self) -> bool {
        let unopened = self
            .connections
            .furthest()
            .is_none_or(|state| state < State::OpenConfirm);
        !self.config.passive && self.connections.get(Side::Outgoing).is_none() && unopened
    }

    fn connect_retry(&self) -> Duration {
        self.config.connect_retry.max(FIRST_RETRY)
    }

    /// Gives up the connection that is being opened, and the plan to open one.
    fn stop_connecting(&mut self, out: &mut Vec<Output>) {
        match self.life {
            Life::Stopped | Life::Holding(_) => {}
            Life::Active(_) => self.life = Life::Active(None),
            Life::Connect(_) => {
                self.life = Life::Active(None);
                out.push(Output::Close(Side::Outgoing));
            }
        }
    }

    /// The one way down: every fault, timer, NOTIFICATION and hang-up passes through here.
    fn end(&mut self, now: Instant, side: Side, end: End, out: &mut Vec<Output>) {
        if self.connections.get(side).is_none() {
            return;
        }
        match &end {
            End::Lost => self.forget(now, side),
            End::Told(_) => self.close(now, side, None, out),
            // Nothing can be said to who does not listen.
            End::Fault(reset) if reset.code == Code::SendHoldTimerExpired => {
                self.close(now, side, None, out)
            }
            End::Fault(reset) | End::Stopped(reset) => self.close(now, side, Some(reset), out),
        }
        if end.is_error() {
            self.refuse_until = Some(now + self.chance.jitter(self.config.idle_hold));
        }
        if self.connections.furthest().is_some() {
            // The other one of a collision goes on.
            return self.retry_later(now);
        }
        if end.is_error() {
            self.stop_connecting(out);
            let hold = self.idle_hold.max(FIRST_RETRY);
            self.life = Life::Holding(now + self.chance.jitter(hold));
            let longest = self.config.idle_hold_max.max(self.config.idle_hold);
            self.idle_hold = self.idle_hold.saturating_mul(2).min(longest);
        } else {
            self.retry_later(now);
        }
        out.push(Output::Down(end));
    }

    /// Says why, if there is a reason to be said, and closes.
    fn close(&mut self, now: Instant, side: Side, why: Option<&Reset>, out: &mut Vec<Output>) {
        if self.connections.get(side).is_none() {
            return;
        }
        self.forget(now, side);
        let (mut cx, _) = self.parts(now, out);
        if let Some(reset) = why {
            cx.notify(side, reset);
        }
        cx.out.push(Output::Close(side));
    }

    fn forget(&mut self, now: Instant, side: Side) {
        let connection = self.connections.place(side).take();
        let since = connection.and_then(|connection| connection.established_since());
        if since.is_some_and(|since| now >= since + GOOD_SESSION) {
            self.idle_hold = self.config.idle_hold;
        }
    }

    fn parts<'a>(
        &'a mut self,
        now: Instant,
        out: &'a mut Vec<Output>,
    ) -> (Context<'a>, &'a mut Connections) {
        let Self {
            config,
            chance,
            counters,
            connections,
            ..
        } = self;
        (
            Context {
                now,
                config,
                chance,
                counters,
                out,
            },
            connections,
        )
    }
}

#[cfg(test)]
mod tests;
