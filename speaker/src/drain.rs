//! Graceful shutdown of the whole router (RFC 8326 §4.2): peers are told first that routes are about to go, and only
//! when they have had time to move away that they are gone. Sessions stay, and what peers tell is used on: packets that
//! come meanwhile, or come all the same, are forwarded.

use std::time::{Duration, Instant};

pub use rib::Drain;

use crate::Speaker;
use crate::command::Refusal;
use crate::event::Effect;
use crate::notice::Notice;
use crate::view::DrainView;

/// The longest time that peers may have to move away.
pub const GRACE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Where we are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Draining {
    /// We stay.
    #[default]
    No,
    /// Since the first moment all routes are told as ones that are about to go; at the second one they go.
    Announcing(Instant, Instant),
    /// Nothing is told since then.
    Withdrawn(Instant),
}

impl Draining {
    /// What peers are to be told.
    pub(crate) const fn stage(self) -> Drain {
        match self {
            Self::No => Drain::None,
            Self::Announcing(..) => Drain::Announcing,
            Self::Withdrawn(_) => Drain::Withdrawn,
        }
    }

    /// When the next step is due.
    pub(crate) const fn deadline(self) -> Option<Instant> {
        match self {
            Self::Announcing(_, until) => Some(until),
            Self::No | Self::Withdrawn(_) => None,
        }
    }
}

impl Speaker {
    /// Begins to leave: peers have `grace` to move away before routes are withdrawn. An order that is given again
    /// counts that time from now; once routes are withdrawn, it changes nothing.
    ///
    /// # Errors
    /// [`Refusal::Invalid`]: `grace` is beyond [`GRACE_MAX`]; [`Refusal::Precondition`]: the daemon is ending.
    pub fn drain(
        &mut self,
        now: Instant,
        grace: Duration,
        out: &mut Vec<Effect>,
    ) -> Result<DrainView, Refusal> {
        self.refuse_at_end()?;
        if grace > GRACE_MAX {
            return Err(Refusal::Invalid {
                field: "grace".to_owned(),
                why: format!("at most {} hours", GRACE_MAX.as_secs() / 3600),
            });
        }
        let until = now + grace;
        match self.draining {
            Draining::Withdrawn(_) => {}
            Draining::Announcing(since, _) => self.draining = Draining::Announcing(since, until),
            Draining::No => self.enter(Draining::Announcing(now, until), Some(grace), out),
        }
        self.check_drain(now, out);
        self.settle(now, out);
        Ok(self.drain_view())
    }

    /// Stays after all: peers are told all routes again, as they are. False: it was not about to leave.
    ///
    /// # Errors
    /// [`Refusal::Precondition`]: the daemon is ending.
    pub fn undrain(
        &mut self,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> Result<(bool, DrainView), Refusal> {
        self.refuse_at_end()?;
        let was = self.draining != Draining::No;
        if was {
            self.enter(Draining::No, None, out);
        }
        self.settle(now, out);
        Ok((was, self.drain_view()))
    }

    /// Routes go once peers have had their time.
    pub(crate) fn check_drain(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.draining.deadline().is_some_and(|until| until <= now) {
            self.enter(Draining::Withdrawn(now), None, out);
        }
    }

    /// How far it is.
    pub(crate) fn drain_view(&self) -> DrainView {
        let (since, withdraws) = match self.draining {
            Draining::No => (None, None),
            Draining::Announcing(since, until) => (Some(since), Some(until)),
            Draining::Withdrawn(since) => (Some(since), None),
        };
        let established = self.peers.iter().filter(|peer| peer.is_established());
        let untold = established.filter(|peer| self.rib.has_pending(peer.id));
        DrainView {
            stage: self.draining.stage(),
            since,
            withdraws,
            peers_pending: untold.count(),
        }
    }

    fn enter(&mut self, draining: Draining, grace: Option<Duration>, out: &mut Vec<Effect>) {
        self.draining = draining;
        for id in self.peers.ids() {
            self.update_rib_session(id);
        }
        out.push(Effect::Notice(Notice::Drain {
            stage: draining.stage(),
            grace,
        }));
    }
}
