//! One session: the state machine and the timers of RFC 5880 §6.8, in asynchronous mode.

use std::num::{NonZeroU8, NonZeroU32};
use std::time::{Duration, Instant};

use crate::authentication::{Authentication, Sequences};
use crate::chance::Chance;
use crate::packet::{Decoded, Diagnostic, Fault, Octets, Packet, State};

/// §6.8.3: while the session is not up, Desired Min TX is not less.
pub(crate) const SLOW: Duration = Duration::from_secs(1);
/// §6.8.1: bfd.RemoteMinRxInterval, until the neighbor has said what it is.
const REMOTE_MIN_RX_UNKNOWN: Duration = Duration::from_micros(1);

/// So many detection times without a packet are the most that a witness ([`Session::witness`]) excuses.
const EXCUSED_MAX: u32 = 10;
/// A witness counts for so many detection times,
const WITNESS: u32 = 2;
/// and for so many on a path that is known to lose packets.
const WITNESS_OF_LOSS: u32 = 4;

/// What is configured of a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// How often to send while the session is up, if the neighbor can receive it; whole microseconds, below 2³².
    pub transmit: Duration,
    /// How often packets may come; whole microseconds, not zero, below 2³².
    pub receive: Duration,
    /// bfd.DetectMult: so many of our packets may be missing before the neighbor calls the session down.
    pub multiplier: NonZeroU8,
    /// The Passive role (§6.1): says nothing before the neighbor has.
    pub passive: bool,
    /// While something else shows that packets pass, missing ones of ours are loss, and the session stays.
    pub spares_lossy: bool,
    /// What both ends agreed on, if anything.
    pub authentication: Option<Authentication>,
}

/// What our packets say of our timers, or what our timers go by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// bfd.DesiredMinTxInterval
    pub desired_min_tx: Duration,
    /// bfd.RequiredMinRxInterval
    pub required_min_rx: Duration,
}

/// What the neighbor's last packet said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Remote {
    /// bfd.RemoteDiscr
    pub discriminator: NonZeroU32,
    /// bfd.RemoteSessionState
    pub state: State,
    /// Why it last left Up.
    pub diagnostic: Diagnostic,
    /// bfd.RemoteMinRxInterval; zero: it wants no periodic packets.
    pub required_min_rx: Duration,
    /// How often it would like to send.
    pub desired_min_tx: Duration,
    /// Its Detect Mult.
    pub multiplier: u8,
    /// bfd.RemoteDemandMode
    pub demand: bool,
}

/// The state changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Change {
    /// From this.
    pub from: State,
    /// To this.
    pub to: State,
    /// Why.
    pub reason: Reason,
}

impl Change {
    /// It was up, and the path does not carry packets any more.
    #[must_use]
    pub fn is_failure(self) -> bool {
        self.from == State::Up && self.reason.is_failure()
    }
}

/// Why a session's state changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The neighbor's packets come, and say so.
    Heard,
    /// No packet came for a detection time: the path is broken, or the neighbor is.
    DetectionTimeExpired,
    /// The neighbor hears nothing from us any more.
    NeighborDown,
    /// Somebody took the session down at the neighbor, which says nothing about the path (RFC 5882 §3.2).
    NeighborAdminDown,
    /// Somebody did so here.
    Administrative,
}

impl Reason {
    /// The path does not carry packets: whoever relies on it must go elsewhere.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::DetectionTimeExpired | Self::NeighborDown => true,
            Self::Heard | Self::NeighborAdminDown | Self::Administrative => false,
        }
    }
}

/// What a session has to say.
#[derive(Debug)]
pub(crate) enum Said {
    Send(Octets),
    Changed(Change),
    /// Packets are missing, and nothing else was seen just now either.
    Missing,
}

/// §6.5
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Poll {
    Idle,
    /// The P bit is set until an answer comes.
    Asked,
    /// Something changed since: the next answer may be to what was said before, and is not the last one.
    AskedBefore,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    config: Config,
    discriminator: NonZeroU32,
    state: State,
    diagnostic: Diagnostic,
    /// `None`: bfd.RemoteDiscr is zero.
    remote: Option<Remote>,
    said: Timing,
    used: Timing,
    poll: Poll,
    /// When the last periodic packet went out, and at which interval they do, jitter apart.
    last_periodic: Option<Instant>,
    interval: Option<Duration>,
    next: Option<Instant>,
    /// The last packet sent, P and F bits apart.
    last: Option<Packet>,
    heard: Option<Instant>,
    expires: Option<Instant>,
    /// When packets of another kind passed last, and whether the path was known to lose some then.
    witnessed: Option<(Instant, bool)>,
    /// [`Said::Missing`] was said of this gap.
    missing: bool,
    sequences: Sequences,
    chance: Chance,
}

impl Session {
    pub(crate) fn new(
        now: Instant,
        config: Config,
        discriminator: NonZeroU32,
        mut chance: Chance,
    ) -> Self {
        let timing = Timing {
            desired_min_tx: config.transmit.max(SLOW),
            required_min_rx: config.receive,
        };
        let mut session = Self {
            config,
            discriminator,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            remote: None,
            said: timing,
            used: timing,
            poll: Poll::Idle,
            last_periodic: None,
            interval: None,
            next: None,
            last: None,
            heard: None,
            expires: None,
            witnessed: None,
            missing: false,
            sequences: Sequences::new(&mut chance),
            chance,
        };
        session.reschedule(now);
        session
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    pub(crate) const fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    pub(crate) const fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// How long the neighbor waits for a packet of ours before it calls the session down; before it was heard, as far
    /// as we know.
    pub(crate) fn remote_detection_time(&self) -> Duration {
        let least = self
            .remote
            .map_or(Duration::ZERO, |remote| remote.required_min_rx);
        self.used.desired_min_tx.max(least) * u32::from(self.config.multiplier.get())
    }

    /// §6.8.4: how long we wait, once the neighbor was heard.
    pub(crate) fn detection_time(&self) -> Option<Duration> {
        let remote = self.remote?;
        let interval = self.used.required_min_rx.max(remote.desired_min_tx);
        Some(interval * u32::from(remote.multiplier))
    }

    /// §6.8.7: how often periodic packets go out, jitter apart; `None`: they do not.
    pub(crate) fn transmit_interval(&self) -> Option<Duration> {
        let Some(remote) = self.remote else {
            let speaks = !self.config.passive;
            return speaks.then(|| self.used.desired_min_tx.max(REMOTE_MIN_RX_UNKNOWN));
        };
        let both_up = self.state == State::Up && remote.state == State::Up;
        let on_demand = remote.demand && both_up && self.poll == Poll::Idle;
        let wanted = !remote.required_min_rx.is_zero() && !on_demand;
        wanted.then(|| self.used.desired_min_tx.max(remote.required_min_rx))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next.into_iter().chain(self.expires).min()
    }

    /// Other parameters from now on (§6.8.3): a session that is up stays up.
    pub(crate) fn configure(&mut self, now: Instant, config: Config, out: &mut Vec<Said>) {
        let more_patient = config.multiplier != self.config.multiplier;
        self.config = config;
        let retimed = self.retune();
        if (retimed || more_patient) && self.remote.is_some() {
            self.send(now, false, out);
        }
        self.reschedule(now);
    }

    /// §6.8.16
    pub(crate) fn administer(&mut self, now: Instant, up: bool, out: &mut Vec<Said>) {
        match (up, self.state) {
            (true, State::AdminDown) => {
                self.enter(
                    now,
                    State::Down,
                    Diagnostic::NONE,
                    Reason::Administrative,
                    out,
                );
            }
            (false, State::Down | State::Init | State::Up) => {
                let diagnostic = Diagnostic::ADMINISTRATIVELY_DOWN;
                self.enter(
                    now,
                    State::AdminDown,
                    diagnostic,
                    Reason::Administrative,
                    out,
                );
            }
            (true, State::Down | State::Init | State::Up) | (false, State::AdminDown) => return,
        }
        self.send(now, false, out);
        self.reschedule(now);
    }

    /// Packets of another kind passed the path and came back. RFC 5880 §6.8.4 takes Detect Mult missing packets for a
    /// failure; on a path that loses some of all, that happens by chance, and is none. So the detection time is stretched
    /// for a while after each witness, longer on a path that is known to be `lossy`, up to [`EXCUSED_MAX`].
    pub(crate) fn witness(&mut self, now: Instant, lossy: bool) {
        if self.config.spares_lossy && self.state == State::Up {
            self.witnessed = Some((now, lossy));
        }
    }

    /// Packets are missing, but others were seen. The session stays; but traffic need not wait until it is certain that
    /// the path is cut: when no witness was seen for half a detection time either, that is said.
    fn is_excused(&mut self, now: Instant, out: &mut Vec<Said>) -> bool {
        let times = self.detection_time().zip(self.heard);
        let Some(((time, heard), (seen, lossy))) = times.zip(self.witnessed) else {
            return false;
        };
        let most = heard + time * EXCUSED_MAX;
        let counts = if lossy { WITNESS_OF_LOSS } else { WITNESS };
        let until = (seen + time * counts).min(most);
        if self.state != State::Up || until <= now {
            return false;
        }
        let doubtful = seen + time / 2;
        self.expires = Some(if doubtful > now {
            doubtful.min(until)
        } else {
            until
        });
        if doubtful <= now && !self.missing {
            self.missing = true;
            out.push(Said::Missing);
        }
        true
    }

    pub(crate) fn timeout(&mut self, now: Instant, out: &mut Vec<Said>) {
        if self.expires.is_some_and(|at| at <= now) && !self.is_excused(now, out) {
            // §6.8.1, bfd.RemoteDiscr: zero after a Detection Time without a packet.
            self.expires = None;
            self.remote = None;
            self.poll = Poll::Idle;
            self.used = self.said;
            if self.state >= State::Init {
                let diagnostic = Diagnostic::CONTROL_DETECTION_TIME_EXPIRED;
                self.enter(
                    now,
                    State::Down,
                    diagnostic,
                    Reason::DetectionTimeExpired,
                    out,
                );
                self.send(now, false, out);
            }
            self.reschedule(now);
        }
        if self.next.is_some_and(|at| at <= now) {
            self.send(now, false, out);
            self.last_periodic = Some(now);
            self.interval = None;
            self.reschedule(now);
        }
    }

    /// §6.8.6, from where the session is found.
    ///
    /// # Errors
    /// Why the packet is discarded.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        decoded: &Decoded<'_>,
        out: &mut Vec<Said>,
    ) -> Result<(), Fault> {
        self.authenticate(now, decoded)?;
        let packet = &decoded.packet;
        let discriminator = NonZeroU32::new(packet.my_discriminator);
        self.remote = Some(Remote {
            discriminator: discriminator.ok_or(Fault::MyDiscriminator)?,
            state: packet.state,
            diagnostic: packet.diagnostic,
            required_min_rx: packet.required_min_rx,
            desired_min_tx: packet.desired_min_tx,
            multiplier: packet.multiplier,
            demand: packet.demand,
        });
        self.heard = Some(now);
        self.missing = false;
        if packet.is_final {
            self.poll_answered();
        }
        if self.state == State::AdminDown {
            self.reschedule(now);
            return Err(Fault::AdminDown);
        }
        let changed = self.follow(now, packet.state, out);
        self.expires = self.detection_time().map(|time| now + time);
        // A packet that answers a poll tells of a change too.
        if packet.poll || changed {
            self.send(now, packet.poll, out);
        }
        self.reschedule(now);
        Ok(())
    }

    fn authenticate(&mut self, now: Instant, decoded: &Decoded<'_>) -> Result<(), Fault> {
        let Some(key) = &self.config.authentication else {
            return match decoded.authenticated {
                true => Err(Fault::Authenticated),
                false => Ok(()),
            };
        };
        if !decoded.authenticated {
            return Err(Fault::Unauthenticated);
        }
        let silence = self.heard.map(|heard| now.saturating_duration_since(heard));
        let patience = self.detection_time().unwrap_or_default() * 2;
        if silence.is_none_or(|silence| silence >= patience) {
            self.sequences.forget_received();
        }
        let multiplier = decoded.packet.multiplier;
        self.sequences.verify(key, multiplier, decoded.octets)
    }

    /// §6.8.6, §6.2: the state machine. True if the state changed.
    fn follow(&mut self, now: Instant, neighbor: State, out: &mut Vec<Said>) -> bool {
        let (to, diagnostic, reason) = match (self.state, neighbor) {
            (State::Init | State::Up, State::AdminDown) => (
                State::Down,
                Diagnostic::NEIGHBOR_SIGNALED_SESSION_DOWN,
                Reason::NeighborAdminDown,
            ),
            (State::Up, State::Down) => (
                State::Down,
                Diagnostic::NEIGHBOR_SIGNALED_SESSION_DOWN,
                Reason::NeighborDown,
            ),
            (State::Down, State::Down) => (State::Init, self.diagnostic, Reason::Heard),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                (State::Up, Diagnostic::NONE, Reason::Heard)
            }
            (State::AdminDown, _)
            | (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => return false,
        };
        self.enter(now, to, diagnostic, reason, out);
        true
    }

    fn enter(
        &mut self,
        now: Instant,
        to: State,
        diagnostic: Diagnostic,
        reason: Reason,
        out: &mut Vec<Said>,
    ) {
        let from = std::mem::replace(&mut self.state, to);
        self.diagnostic = diagnostic;
        self.retune();
        self.reschedule(now);
        out.push(Said::Changed(Change { from, to, reason }));
    }

    /// §6.8.3: what the packets say follows the configuration and the state; a poll tells the neighbor. True if
    /// anything changed.
    fn retune(&mut self) -> bool {
        let up = self.state == State::Up;
        let transmit = self.config.transmit;
        let said = Timing {
            desired_min_tx: if up { transmit } else { transmit.max(SLOW) },
            required_min_rx: self.config.receive,
        };
        if said == self.said {
            return false;
        }
        self.said = said;
        let Timing {
            desired_min_tx,
            required_min_rx,
        } = &mut self.used;
        // While it is up, what makes us slower, or less patient, waits until the neighbor knows.
        if !up || said.desired_min_tx <= *desired_min_tx {
            *desired_min_tx = said.desired_min_tx;
        }
        if !up || said.required_min_rx >= *required_min_rx {
            *required_min_rx = said.required_min_rx;
        }
        // Without a neighbor there is nobody to answer.
        if self.remote.is_some() {
            self.poll = match self.poll {
                Poll::Idle => Poll::Asked,
                Poll::Asked | Poll::AskedBefore => Poll::AskedBefore,
            };
        }
        true
    }

    fn poll_answered(&mut self) {
        self.poll = match self.poll {
            Poll::Idle => Poll::Idle,
            Poll::Asked => {
                self.used = self.said;
                Poll::Idle
            }
            Poll::AskedBefore => Poll::Asked,
        };
    }

    /// §6.8.7: an interval that changed holds from the last periodic packet on; one that this makes due is sent as
    /// soon as the driver comes round.
    fn reschedule(&mut self, now: Instant) {
        let interval = self.transmit_interval();
        if interval == self.interval && (interval.is_none() || self.next.is_some()) {
            return;
        }
        self.interval = interval;
        self.next = interval.map(|interval| {
            let multiplier = self.config.multiplier.get();
            let wait = self.chance.jitter(interval, multiplier);
            self.last_periodic
                .map_or(now, |last| (last + wait).max(now))
        });
    }

    fn send(&mut self, now: Instant, answers: bool, out: &mut Vec<Said>) {
        if self.remote.is_none() && self.config.passive {
            return;
        }
        let quiet = Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: false,
            is_final: false,
            control_plane_independent: false,
            demand: false,
            multiplier: self.config.multiplier.get(),
            my_discriminator: self.discriminator.get(),
            your_discriminator: self.remote.map_or(0, |remote| remote.discriminator.get()),
            desired_min_tx: self.said.desired_min_tx,
            required_min_rx: self.said.required_min_rx,
            required_min_echo_rx: Duration::ZERO,
        };
        let packet = Packet {
            // §6.5: never both.
            poll: self.poll != Poll::Idle && !answers,
            is_final: answers,
            ..quiet
        };
        let news = self.last.replace(quiet) != Some(quiet);
        self.last_periodic.get_or_insert(now);
        out.push(Said::Send(match &self.config.authentication {
            None => Octets::new(&packet.encode(false)),
            Some(key) => self.sequences.seal(key, &packet.encode(true), news),
        }));
    }
}

#[cfg(test)]
mod tests;
