//! One TCP connection, from our OPEN to its end.

use std::time::{Duration, Instant};

use bgp_core::header::{self, Frame};
use bgp_core::{Code, Kind, Notification, Open, Reset, RouteRefresh, next_frame};
use bytes::{Bytes, BytesMut};

use crate::chance::Chance;
use crate::config::Config;
use crate::end::End;
use crate::fsm::{Counters, Output, Side, State};
use crate::negotiate::{Session, agree};

/// RFC 4271 §8.2.2: the hold time until the peer's OPEN tells us better.
const OPEN_WAIT: Duration = Duration::from_secs(240);

/// The states that have a connection. Each owns what only it has.
#[derive(Clone, Debug)]
enum Phase {
    OpenSent {
        hold: Instant,
    },
    OpenConfirm {
        session: Box<Session>,
        timers: Timers,
    },
    Established {
        session: Box<Session>,
        timers: Timers,
    },
}

#[derive(Clone, Copy, Debug)]
struct Timers {
    hold: Option<Instant>,
    keepalive: Option<Instant>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    side: Side,
    phase: Phase,
    /// The beginning of a message whose end has not come. Shorter than a message.
    partial: BytesMut,
    /// SendHoldTimer: runs while TCP takes nothing.
    send_hold: Option<Instant>,
}

/// What a message did beyond what it put out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Nothing.
    Stays,
    /// The peer's OPEN was taken: collisions are to be resolved (§6.8).
    Opened,
    /// The session is up.
    Up,
}

impl Connection {
    /// TCP is up: sends our OPEN.
    pub(crate) fn open(now: Instant, side: Side, config: &Config, out: &mut Vec<Output>) -> Self {
        let open = Open {
            asn: config.local_asn,
            hold_time: u16::try_from(config.hold_time.as_secs()).unwrap_or(u16::MAX),
            identifier: config.identifier,
            capabilities: config.capabilities.clone(),
        };
        out.push(Output::Send(side, open.encode()));
        Self {
            side,
            phase: Phase::OpenSent {
                hold: now + OPEN_WAIT,
            },
            partial: BytesMut::new(),
            send_hold: None,
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

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let timers = match &self.phase {
            Phase::OpenSent { hold } => Some(*hold),
            Phase::OpenConfirm { timers, .. } | Phase::Established { timers, .. } => {
                [timers.hold, timers.keepalive].into_iter().flatten().min()
            }
        };
        [timers, self.send_hold].into_iter().flatten().min()
    }

    /// TCP takes nothing: the peer has so long to read again (RFC 9687 §3).
    pub(crate) fn blocked(&mut self, now: Instant, config: &Config) {
        let established = self.state() == State::Established;
        if self.send_hold.is_none() && established {
            self.send_hold = config.send_hold.map(|hold| now + hold);
        }
    }

    /// TCP took something.
    pub(crate) const fn progress(&mut self) {
        self.send_hold = None;
    }

    /// Takes the next message out of what has come; `None`: its end has not. Whole messages are slices of what
    /// TCP gave, only one that lies across two chunks is copied.
    pub(crate) fn next(&mut self, chunk: &mut Bytes) -> Result<Option<(Kind, Bytes)>, Reset> {
        let max = match self.agreed() {
            Some(session) if session.extended_message => header::MAX_EXTENDED,
            Some(_) | None => header::MAX,
        };
        if self.partial.is_empty() {
            return match next_frame(chunk, max)? {
                Some(Frame { kind, len, .. }) => {
                    let message = chunk.split_to(len);
                    Ok(Some((kind, message.slice(header::LEN..))))
                }
                None => {
                    self.partial.extend_from_slice(chunk);
                    chunk.clear();
                    Ok(None)
                }
            };
        }
        // No more than completes this one message, so that what follows stays a slice.
        let missing = missing(&self.partial).min(chunk.len());
        self.partial.extend_from_slice(&chunk.split_to(missing));
        match next_frame(&self.partial, max)? {
            Some(Frame { kind, .. }) => {
                let message = std::mem::take(&mut self.partial).freeze();
                Ok(Some((kind, message.slice(header::LEN..))))
            }
            None if chunk.is_empty() => Ok(None),
            // The header is whole now and says how much more there is.
            None => self.next(chunk),
        }
    }

    /// Takes a message, in the order of the states (§8.2.2).
    pub(crate) fn message(
        &mut self,
        now: Instant,
        (kind, body): (Kind, Bytes),
        (config, chance): (&Config, &mut Chance),
        counters: &mut Counters,
        out: &mut Vec<Output>,
    ) -> Result<Step, End> {
        counters.count(kind);
        if kind == Kind::Notification {
            return Err(match Notification::decode(&body) {
                Ok(told) => End::Told(told),
                // §6.4: nobody is told of a fault in a NOTIFICATION.
                Err(_) => End::Lost,
            });
        }
        let mut step = Step::Stays;
        match &mut self.phase {
            Phase::OpenSent { .. } => {
                if kind != Kind::Open {
                    return Err(fault(Code::UnexpectedInOpenSent, kind));
                }
                let open = Open::decode(&body).map_err(End::Fault)?;
                let session = agree(config, open, self.side).map_err(End::Fault)?;
                out.push(Output::Send(self.side, header::keepalive()));
                counters.sent += 1;
                let timers = Timers::start(now, &session, chance);
                self.phase = Phase::OpenConfirm {
                    session: Box::new(session),
                    timers,
                };
                step = Step::Opened;
            }
            Phase::OpenConfirm { session, timers } => {
                if kind != Kind::Keepalive {
                    return Err(fault(Code::UnexpectedInOpenConfirm, kind));
                }
                timers.heard(now, session);
                self.phase = Phase::Established {
                    session: session.clone(),
                    timers: *timers,
                };
                step = Step::Up;
            }
            Phase::Established { session, timers } => {
                timers.heard(now, session);
                match kind {
                    Kind::Update => out.push(Output::Update(body)),
                    Kind::Keepalive => {}
                    Kind::RouteRefresh => {
                        let refresh = RouteRefresh::decode(&body).map_err(End::Fault)?;
                        out.push(Output::Refresh(refresh));
                    }
                    Kind::Open | Kind::Notification => {
                        return Err(fault(Code::UnexpectedInEstablished, kind));
                    }
                }
            }
        }
        Ok(step)
    }

    /// Does what is due.
    pub(crate) fn timeout(
        &mut self,
        now: Instant,
        chance: &mut Chance,
        counters: &mut Counters,
        out: &mut Vec<Output>,
    ) -> Result<(), End> {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.send_hold) {
            return Err(End::Fault(Code::SendHoldTimerExpired.into()));
        }
        match &mut self.phase {
            Phase::OpenSent { hold } if *hold <= now => {
                Err(End::Fault(Code::HoldTimerExpired.into()))
            }
            Phase::OpenSent { .. } => Ok(()),
            Phase::OpenConfirm { session, timers } | Phase::Established { session, timers } => {
                if due(timers.hold) {
                    return Err(End::Fault(Code::HoldTimerExpired.into()));
                }
                if due(timers.keepalive) {
                    // Behind what waits already it would tell the peer nothing new.
                    if self.send_hold.is_none() {
                        out.push(Output::Send(self.side, header::keepalive()));
                        counters.sent += 1;
                    }
                    timers.said(now, session, chance);
                }
                Ok(())
            }
        }
    }
}

impl Timers {
    fn start(now: Instant, session: &Session, chance: &mut Chance) -> Self {
        let mut timers = Self {
            hold: None,
            keepalive: None,
        };
        timers.heard(now, session);
        timers.said(now, session, chance);
        timers
    }

    fn heard(&mut self, now: Instant, session: &Session) {
        self.hold = session.hold_time.map(|hold| now + hold);
    }

    fn said(&mut self, now: Instant, session: &Session, chance: &mut Chance) {
        self.keepalive = session.keepalive.map(|every| now + chance.jitter(every));
    }
}

/// How many octets complete the header, or the message once the header is there.
fn missing(partial: &[u8]) -> usize {
    let total = match partial.get(16..18) {
        Some([high, low]) if partial.len() >= header::LEN => {
            usize::from(u16::from_be_bytes([*high, *low]))
        }
        Some(_) | None => header::LEN,
    };
    total.saturating_sub(partial.len())
}

/// RFC 6608 §3: the data is the type of the message that was not expected.
fn fault(code: Code, kind: Kind) -> End {
    End::Fault(Reset {
        code,
        data: Bytes::copy_from_slice(&[kind.number()]),
    })
}
