//! One TCP connection, from our OPEN to its end.

use std::time::{Duration, Instant};

use bgp_core::header::{self, Frame};
use bgp_core::{Code, Kind, Notification, Open, Reset, RouteRefresh, next_frame};
use bytes::{Bytes, BytesMut};

use crate::chance::Chance;
use crate::config::Config;
use crate::end::End;
use crate::event::{Counters, Output, Side, State};
use crate::negotiate::{Opens, Session, agree};

/// RFC 4271 §8.2.2: the hold time until the peer's OPEN tells us better.
const OPEN_WAIT: Duration = Duration::from_secs(4 * 60);
/// RFC 4271 §4.4: KEEPALIVEs are not sent more often than that, jitter or not.
const KEEPALIVE_LEAST: Duration = Duration::from_secs(1);

/// The states that have a connection. Each owns what only it has.
#[derive(Debug)]
enum Phase {
    OpenSent {
        hold: Instant,
        /// Our OPEN.
        sent: Bytes,
    },
    OpenConfirm {
        session: Box<Session>,
        timers: Timers,
    },
    Established {
        session: Box<Session>,
        timers: Timers,
        since: Instant,
    },
}

#[derive(Clone, Copy, Debug)]
struct Timers {
    hold: Option<Instant>,
    keepalive: Option<Instant>,
}

/// Whether TCP takes what we write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outlet {
    Free,
    /// SendHoldTimer runs (RFC 9687 §3), if there is one.
    Blocked {
        until: Option<Instant>,
    },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    side: Side,
    phase: Phase,
    outlet: Outlet,
    /// The beginning of a message whose end has not come. Shorter than a message.
    partial: BytesMut,
}

/// The two connections that a peer may have for as long as their collision lasts (RFC 4271 §6.8).
#[derive(Debug, Default)]
pub(crate) struct Connections {
    outgoing: Option<Connection>,
    incoming: Option<Connection>,
}

/// What an engine needs besides its own state.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a Config,
    pub(crate) chance: &'a mut Chance,
    pub(crate) counters: &'a mut Counters,
    pub(crate) out: &'a mut Vec<Output>,
}

/// What a message did beyond what it put out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Nothing.
    Stays,
    /// The peer's OPEN was taken: a collision is to be resolved.
    Opened,
    /// The session is up.
    Up,
}

impl Connections {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.outgoing.iter().chain(&self.incoming)
    }

    pub(crate) const fn get(&self, side: Side) -> Option<&Connection> {
        match side {
            Side::Outgoing => self.outgoing.as_ref(),
            Side::Incoming => self.incoming.as_ref(),
        }
    }

    pub(crate) const fn place(&mut self, side: Side) -> &mut Option<Connection> {
        match side {
            Side::Outgoing => &mut self.outgoing,
            Side::Incoming => &mut self.incoming,
        }
    }

    /// The state of the one that is further.
    pub(crate) fn furthest(&self) -> Option<State> {
        self.iter().map(Connection::state).max()
    }

    /// The session, while it is up.
    pub(crate) fn session(&self) -> Option<&Session> {
        self.iter().find_map(Connection::established)
    }
}

impl Connection {
    /// TCP is up: sends our OPEN.
    pub(crate) fn open(cx: &mut Context<'_>, side: Side) -> Self {
        let open = Open {
            asn: cx.config.local_asn,
            hold_time: u16::try_from(cx.config.hold_time.as_secs()).unwrap_or(u16::MAX),
            identifier: cx.config.identifier,
            capabilities: cx.config.capabilities.clone(),
        };
        let sent = open.encode();
        cx.send(side, sent.clone());
        Self {
            side,
            phase: Phase::OpenSent {
                hold: cx.now + OPEN_WAIT,
                sent,
            },
            outlet: Outlet::Free,
            partial: BytesMut::new(),
        }
    }

    pub(crate) const fn state(&self) -> State {
        match self.phase {
            Phase::OpenSent { .. } => State::OpenSent,
            Phase::OpenConfirm { .. } => State::OpenConfirm,
            Phase::Established { .. } => State::Established,
        }
    }

    /// What was agreed on, from OpenConfirm on.
    pub(crate) fn agreed(&self) -> Option<&Session> {
        match &self.phase {
            Phase::OpenSent { .. } => None,
            Phase::OpenConfirm { session, .. } | Phase::Established { session, .. } => {
                Some(session)
            }
        }
    }

    /// What was agreed on, once routes flow.
    pub(crate) fn established(&self) -> Option<&Session> {
        match &self.phase {
            Phase::OpenSent { .. } | Phase::OpenConfirm { .. } => None,
            Phase::Established { session, .. } => Some(session),
        }
    }

    /// Since when routes flow.
    pub(crate) const fn established_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::OpenSent { .. } | Phase::OpenConfirm { .. } => None,
            Phase::Established { since, .. } => Some(since),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let timers = match &self.phase {
            Phase::OpenSent { hold, .. } => [Some(*hold), None],
            Phase::OpenConfirm { timers, .. } | Phase::Established { timers, .. } => {
                [timers.hold, timers.keepalive]
            }
        };
        timers.into_iter().chain([self.send_hold()]).flatten().min()
    }

    /// TCP takes nothing: the peer has this time to read again.
    pub(crate) fn blocked(&mut self, now: Instant, config: &Config) {
        if self.outlet == Outlet::Free {
            self.outlet = Outlet::Blocked {
                until: config.send_hold.map(|hold| now + hold),
            };
        }
    }

    /// TCP took something.
    pub(crate) const fn progress(&mut self) {
        self.outlet = Outlet::Free;
    }

    /// Takes the next message out of what has come; `None`: its end has not. Whole messages are slices of what
    /// TCP gave, only one that lies across two chunks is copied.
    pub(crate) fn next(&mut self, chunk: &mut Bytes) -> Result<Option<(Kind, Bytes)>, Reset> {
        let max = match self.agreed() {
            Some(session) if session.extended_message => header::MAX_EXTENDED,
            Some(_) | None => header::MAX,
        };
        if self.partial.is_empty() {
            if let Some(Frame { kind, len, .. }) = next_frame(chunk, max)? {
                let message = chunk.split_to(len);
                return Ok(Some((kind, message.slice(header::LEN..))));
            }
            self.partial.extend_from_slice(&std::mem::take(chunk));
            return Ok(None);
        }
        // First what completes the header, then what completes the message, so that all behind it stays a slice.
        while !chunk.is_empty() {
            let missing = missing(&self.partial).min(chunk.len());
            self.partial.extend_from_slice(&chunk.split_to(missing));
            if let Some(Frame { kind, .. }) = next_frame(&self.partial, max)? {
                let message = std::mem::take(&mut self.partial).freeze();
                return Ok(Some((kind, message.slice(header::LEN..))));
            }
        }
        Ok(None)
    }

    /// Takes a message, in the order of the states (§8.2.2).
    pub(crate) fn message(
        &mut self,
        cx: &mut Context<'_>,
        kind: Kind,
        body: Bytes,
    ) -> Result<Step, End> {
        cx.counters.received(kind);
        if kind == Kind::Notification {
            // The header's length was checked: this one can be read.
            return Err(Notification::decode(&body).map_or_else(End::Fault, End::Told));
        }
        match &mut self.phase {
            Phase::OpenSent { sent, .. } => {
                expect(Kind::Open, kind, Code::UnexpectedInOpenSent)?;
                let session =
                    Open::decode(&body).and_then(|open| agree(cx.config, open, self.side));
                let mut session = Box::new(session.map_err(End::Fault)?);
                *session.opens = Opens {
                    sent: std::mem::take(sent),
                    received: header::message(Kind::Open, &body),
                };
                cx.send(self.side, header::keepalive());
                let timers = Timers::start(cx, &session);
                self.phase = Phase::OpenConfirm { session, timers };
                Ok(Step::Opened)
            }
            Phase::OpenConfirm { session, timers } => {
                expect(Kind::Keepalive, kind, Code::UnexpectedInOpenConfirm)?;
                timers.heard(cx.now, session);
                let (session, timers) = (session.clone(), *timers);
                self.phase = Phase::Established {
                    session,
                    timers,
                    since: cx.now,
                };
                Ok(Step::Up)
            }
            Phase::Established {
                session, timers, ..
            } => {
                match kind {
                    Kind::Update => cx.out.push(Output::Update(body)),
                    Kind::Keepalive => {}
                    Kind::RouteRefresh => {
                        let refresh = RouteRefresh::decode(&body).map_err(End::Fault)?;
                        if session.covers(&refresh) {
                            cx.out.push(Output::Refresh(refresh));
                        }
                    }
                    Kind::Open | Kind::Notification => {
                        return Err(unexpected(kind, Code::UnexpectedInEstablished));
                    }
                }
                timers.heard(cx.now, session);
                Ok(Step::Stays)
            }
        }
    }

    /// Does what is due.
    pub(crate) fn timeout(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= cx.now);
        if due(self.send_hold()) {
            return Err(End::Fault(Code::SendHoldTimerExpired.into()));
        }
        match &mut self.phase {
            Phase::OpenSent { hold, .. } if due(Some(*hold)) => {
                Err(End::Fault(Code::HoldTimerExpired.into()))
            }
            Phase::OpenSent { .. } => Ok(()),
            Phase::OpenConfirm { session, timers }
            | Phase::Established {
                session, timers, ..
            } => {
                if due(timers.hold) {
                    return Err(End::Fault(Code::HoldTimerExpired.into()));
                }
                if due(timers.keepalive) {
                    // Behind what waits already it would tell the peer nothing new.
                    if self.outlet == Outlet::Free {
                        cx.send(self.side, header::keepalive());
                    }
                    timers.said(cx, session);
                }
                Ok(())
            }
        }
    }

    const fn send_hold(&self) -> Option<Instant> {
        match self.outlet {
            Outlet::Free => None,
            Outlet::Blocked { until } => until,
        }
    }
}

impl Context<'_> {
    pub(crate) fn send(&mut self, side: Side, message: Bytes) {
        self.counters.sent += 1;
        self.out.push(Output::Send(side, message));
    }

    /// Says why a connection ends.
    pub(crate) fn notify(&mut self, side: Side, reset: &Reset) {
        self.counters.notifications_sent += 1;
        self.send(side, reset.encode());
    }
}

impl Timers {
    fn start(cx: &mut Context<'_>, session: &Session) -> Self {
        let mut timers = Self {
            hold: None,
            keepalive: None,
        };
        timers.heard(cx.now, session);
        timers.said(cx, session);
        timers
    }

    fn heard(&mut self, now: Instant, session: &Session) {
        self.hold = session.hold_time.map(|hold| now + hold);
    }

    fn said(&mut self, cx: &mut Context<'_>, session: &Session) {
        let jittered = session
            .keepalive
            .map(|every| cx.chance.jitter(every).max(KEEPALIVE_LEAST));
        self.keepalive = jittered.map(|every| cx.now + every);
    }
}

/// How many octets complete the header, or the message once the header is there.
fn missing(partial: &[u8]) -> usize {
    let total = match partial.get(16..header::LEN) {
        Some(&[high, low, _]) => usize::from(u16::from_be_bytes([high, low])),
        Some(_) | None => header::LEN,
    };
    total.saturating_sub(partial.len())
}

fn expect(wanted: Kind, kind: Kind, code: Code) -> Result<(), End> {
    if wanted == kind {
        Ok(())
    } else {
        Err(unexpected(kind, code))
    }
}

/// RFC 6608 §3: the data is the type of the message that was not expected.
fn unexpected(kind: Kind, code: Code) -> End {
    End::Fault(Reset {
        code,
        data: Bytes::copy_from_slice(&[kind.number()]),
    })
}
