//! Graceful restart (RFC 4724, RFC 8538, RFC 9494): of a peer, whose routes are kept meanwhile; and of our own, after which nothing
//! is chosen or told before the peers have told all.

use std::time::{Duration, Instant};

use bgp_core::Family;
use bgp_core::capability::LongLived;
use bgp_core::family::PerFamily;
use bgp_fsm::{End, Input, Session};
use rib::{PeerId, PeerSession};

use crate::Speaker;
use crate::config::PeerOptions;
use crate::event::Effect;
use crate::notice::Notice;
use crate::peer::Peer;
use crate::view::{HeldView, RestartStage, RestartView};

/// How long a peer that is back may take to its End-of-RIB, before its stale routes go all the same (RFC 4724 §4.2).
const STALE_MAX: Duration = Duration::from_secs(360);
/// Selection_Deferral_Timer (RFC 4724 §4.1).
const DEFERRAL_MAX: Duration = Duration::from_secs(60);
/// The same for those of whom it is not known that they will come: peers of ranges, peers without graceful restart, and
/// those that do not let us connect.
const DEFERRAL_SHORT: Duration = Duration::from_secs(10);
/// A peer that need not say End-of-RIB has told what it knows when it was silent for so long.
const QUIET: Duration = Duration::from_secs(3);
/// How long the kernel may take to tell its routes, before peers are told that there are none.
const KERNEL_MAX: Duration = Duration::from_secs(2);
/// A session that is younger may be one of two of a collision (RFC 4271 §6.8): a further call does not end it.
const COLLISION: Duration = Duration::from_secs(1);

/// What our OPENs say of our own restart (RFC 4724 §3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Restart {
    /// The R bit.
    pub(crate) restarting: bool,
    /// The F bits: the kernel went on forwarding.
    pub(crate) forwarding: PerFamily<bool>,
}

/// How far our own restart is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Deferral {
    /// It is over, or there is none.
    None,
    /// The kernel is asked for its routes, until this moment. Peers with graceful restart wait for it.
    Asking(Instant),
    /// Routes are heard, but nothing is chosen and told.
    Selecting {
        /// Since when.
        since: Instant,
        /// When it was last looked at.
        looked: Instant,
        /// When somebody may be awaited no longer.
        look: Instant,
    },
}

/// Stale routes of a peer.
#[derive(Debug)]
pub(crate) struct Held {
    /// What the session that told them agreed on.
    pub(crate) session: Box<Session>,
    /// Their families.
    families: PerFamily<bool>,
    /// When Restart Time is over.
    restart: PerFamily<Instant>,
    /// Families that are kept for long, once it is over, and when they go (RFC 9494 §4.2).
    long: PerFamily<Option<Instant>>,
    /// The peer is back, and this is when it has told all at the latest.
    back: Option<Instant>,
    /// Families of which the time was over after the peer was back.
    lapsed: PerFamily<bool>,
}

impl Held {
    /// Nothing is stale yet.
    fn new(session: Box<Session>, restart: PerFamily<Instant>) -> Self {
        Self {
            session,
            families: PerFamily::default(),
            restart,
            long: PerFamily::default(),
            back: None,
            lapsed: PerFamily::default(),
        }
    }

    /// When they go at the latest, or some of them, or are kept for longer.
    fn until(&self) -> Instant {
        let of_family = |family| {
            let long = *self.long.get(family);
            match self.back {
                Some(told) if *self.lapsed.get(family) => told,
                Some(told) => long.map_or(told, |long| long.min(told)),
                None => long.unwrap_or(*self.restart.get(family)),
            }
        };
        let kept = Family::ALL.into_iter().filter(|f| *self.families.get(*f));
        kept.map(of_family).min().unwrap_or(self.restart.ipv4)
    }

    /// All of them are kept for long.
    fn is_long(&self) -> bool {
        let is_long = |family| !*self.families.get(family) || self.long.get(family).is_some();
        Family::ALL.into_iter().all(is_long)
    }

    /// The families of which the peer, which is back, kept the state meanwhile (RFC 4724 §4.2, RFC 9494 §4.2).
    fn kept_by(&self, session: &Session) -> PerFamily<bool> {
        let graceful = kept(session, true);
        let long = |family| long_lived(session, family).is_some_and(|row| row.forwarding);
        let back = |family| match self.long.get(family) {
            Some(_) => *session.families.get(family) && long(family),
            None => *graceful.get(family),
        };
        PerFamily {
            ipv4: self.families.ipv4 && back(Family::Ipv4Unicast),
            ipv6: self.families.ipv6 && back(Family::Ipv6Unicast),
        }
    }

    /// The session is lost: what the peer told of a family stays, as stale, or does not. `before` is what was stale already,
    /// because the peer, which was back, had not told all. False: that goes (RFC 4724 §4.2). RFC 9494 §4.2 excepts from this
    /// what may be kept for long; but its times, and so those of the whole family, are what they were.
    fn begin(&mut self, now: Instant, family: Family, ours: bool, before: Option<&Self>) -> bool {
        let graceful = *kept(&self.session, false).get(family);
        let long = long_time(&self.session, family).filter(|_| ours);
        let before = before.filter(|before| *before.families.get(family));
        // RFC 9494 §4.2: what remains after its time was over goes at once.
        let lapsed = before.is_some_and(|before| *before.lapsed.get(family));
        let stays = (graceful || long.is_some()) && !lapsed;
        let timer = before.and_then(|before| *before.long.get(family));
        // RFC 9494 §4.2: Restart Time of a family that the capability of graceful restart does not list is zero.
        let at_once = long.filter(|_| !graceful).map(|time| now + time);
        *self.families.get_mut(family) = stays;
        *self.long.get_mut(family) = timer.or(at_once).filter(|_| stays);
        let Some(before) = before else { return true };
        let goes_on = stays && (long.is_some() || timer.is_some());
        if goes_on {
            let restart = self.restart.get_mut(family);
            *restart = (*restart).min(*before.restart.get(family));
        }
        goes_on
    }
}

impl Peer {
    /// Whether a further call says that the peer has restarted: RFC 4724 §5 has it end the session without a word.
    pub(crate) fn calls_anew(&self, now: Instant) -> bool {
        let graceful = |session: &Session| session.graceful_restart.is_some();
        self.fsm.session().is_some_and(graceful) && now >= self.since + COLLISION
    }

    /// Its stale routes, for who asks.
    pub(crate) fn held_view(&self) -> Option<HeldView> {
        self.held.as_ref().map(|held| HeldView {
            until: held.until(),
            long_lived: held.is_long(),
            back: self.fsm.session().is_some(),
        })
    }

    /// Until when our restart, which began to wait at `since`, waits for it at most (RFC 4724 §4.1). The RFC excludes those
    /// that restart too or have no graceful restart. But what they are about to tell is better told on than withdrawn.
    fn awaited_until(&self, since: Instant) -> Instant {
        if !self.enabled {
            return since;
        }
        let longest = since + DEFERRAL_MAX;
        match self.fsm.session() {
            Some(session) => {
                let theirs = session.graceful_restart.as_ref();
                let silent = theirs.is_none_or(|theirs| theirs.restarting);
                let quiet = if silent { QUIET } else { DEFERRAL_MAX };
                self.settles(quiet).map_or(longest, |at| at.min(longest))
            }
            None if is_graceful(&self.options) && !self.unreachable => longest,
            None => since + DEFERRAL_SHORT,
        }
    }
}

/// The families of which the peer keeps forwarding; with `back`, as the OPEN says with which it came back (RFC 4724 §4.2).
fn kept(session: &Session, back: bool) -> PerFamily<bool> {
    let mut kept = PerFamily::default();
    for (afi, forwarding) in session.graceful_restart.iter().flat_map(|r| &r.families) {
        if let Some(family) = Family::from_numbers(afi.afi, afi.safi) {
            *kept.get_mut(family) = *session.families.get(family) && (*forwarding || !back);
        }
    }
    kept
}

/// What the peer said of a family's long-lived stale routes; without graceful restart it counts for nothing (RFC 9494 §4.5).
fn long_lived(session: &Session, family: Family) -> Option<LongLived> {
    session.graceful_restart.as_ref()?;
    let of_family = |row: &&LongLived| row.family == family.into();
    session.long_lived.iter().find(of_family).copied()
}

/// Its Long-Lived Stale Time, if that is not zero.
fn long_time(session: &Session, family: Family) -> Option<Duration> {
    let row = long_lived(session, family).filter(|row| row.stale_time > 0);
    row.map(|row| Duration::from_secs(row.stale_time.into()))
}

const fn any(families: PerFamily<bool>) -> bool {
    families.ipv4 || families.ipv6
}

const fn is_graceful(options: &PeerOptions) -> bool {
    options.graceful_restart.is_some()
}

/// Whether we told the peer that we keep its routes for long.
fn keeps_long(options: &PeerOptions) -> bool {
    let graceful = options.graceful_restart;
    graceful.is_some_and(|graceful| graceful.long_lived.is_some())
}

/// As a helper.
impl Speaker {
    /// A session came up: the RIB hears of it.
    pub(crate) fn rib_up(&mut self, now: Instant, id: PeerId, session: &Session, rib: PeerSession) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let Some(held) = peer.held.take() else {
            return self.rib.peer_up(id, rib);
        };
        let families = held.kept_by(session);
        peer.held = any(families).then(|| Held {
            session: Box::new(session.clone()),
            families,
            back: Some(now + STALE_MAX),
            ..held
        });
        self.rib.peer_back(id, rib, families);
    }

    /// A session, or an attempt at one, ended: routes go, or become stale.
    pub(crate) fn rib_down(&mut self, now: Instant, id: PeerId, end: &End, out: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        // After an attempt, what waits goes on to wait.
        let Some(session) = peer.agreed.take() else {
            return;
        };
        let before = peer.held.take();
        let restart = session.graceful_restart.as_ref();
        let restart = restart.filter(|r| peer.enabled && end.keeps_routes(r.notification));
        let Some(time) = restart.map(|r| Duration::from_secs(r.restart_time.into())) else {
            return self.rib.peer_down(id);
        };
        let ours = keeps_long(&peer.options);
        let mut held = Held::new(session, both(now + time));
        let mut gone = PerFamily::default();
        for family in Family::ALL {
            *gone.get_mut(family) = !held.begin(now, family, ours, before.as_ref());
        }
        let families = held.families;
        if !any(families) {
            return self.rib.peer_down(id);
        }
        let long = held.long;
        out.push(Effect::Notice(Notice::Held {
            peer: peer.name.clone(),
            time: held.until().saturating_duration_since(now),
            long_lived: held.is_long(),
        }));
        peer.held = Some(held);
        self.sweep(id, gone);
        self.rib.peer_lost(id, families);
        for family in Family::ALL {
            if long.get(family).is_some() {
                self.rib.keep_long(id, family);
            }
        }
    }

    /// End-of-RIB: what the peer has not told again goes.
    pub(crate) fn heard_all(&mut self, id: PeerId, family: Family, out: &mut Vec<Effect>) {
        let held = self.peers.get_mut(id).and_then(|peer| peer.held.as_mut());
        let Some(held) = held else { return };
        let was_held = std::mem::take(held.families.get_mut(family));
        *held.long.get_mut(family) = None;
        let over = !any(held.families);
        if was_held {
            self.rib.refresh_ended(id, family);
        }
        if let Some(peer) = self.peers.get_mut(id).filter(|_| over) {
            peer.held = None;
            let (peer, told) = (peer.name.clone(), true);
            out.push(Effect::Notice(Notice::HeldOver { peer, told }));
        }
    }

    /// Stale routes go whose time is over.
    pub(crate) fn expire_held(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for id in self.peers.ids() {
            let due = |peer: &&Peer| peer.held.as_ref().is_some_and(|held| held.until() <= now);
            let Some(peer) = self.peers.get(id).filter(due) else {
                continue;
            };
            let (name, told) = (peer.name.clone(), false);
            let goes_on = match peer.held.as_ref().is_some_and(|held| held.back.is_some()) {
                true => self.lapse(now, id),
                false => self.keep_long(now, id, out),
            };
            if !goes_on {
                out.push(Effect::Notice(Notice::HeldOver { peer: name, told }));
                self.drop_held(id);
                self.drop_dynamic(id);
            }
        }
    }

    /// Long-Lived Stale Time of a family was over while its peer, which is back, tells its routes again: those that it has
    /// not told yet go (RFC 9494 §4.2). False: it had its time, and all go.
    fn lapse(&mut self, now: Instant, id: PeerId) -> bool {
        let Some(held) = self.peers.get_mut(id).and_then(|peer| peer.held.as_mut()) else {
            return false;
        };
        let mut gone = PerFamily::default();
        for family in Family::ALL {
            let is_over = held.long.get(family).is_some_and(|until| until <= now);
            *gone.get_mut(family) = is_over && *held.families.get(family);
            *held.lapsed.get_mut(family) |= is_over;
        }
        let goes_on = held.back.is_some_and(|told| told > now);
        self.sweep(id, gone);
        goes_on
    }

    /// Restart Time is over, or Long-Lived Stale Time of some family is: what may stay does (RFC 9494 §4.2). False: nothing.
    fn keep_long(&mut self, now: Instant, id: PeerId, out: &mut Vec<Effect>) -> bool {
        let Some(peer) = self.peers.get_mut(id) else {
            return false;
        };
        let ours = keeps_long(&peer.options);
        let Some(held) = peer.held.as_mut().filter(|_| ours) else {
            return false;
        };
        let (mut begin, mut gone) = (PerFamily::default(), PerFamily::default());
        for family in Family::ALL {
            let long = held.long.get_mut(family);
            if long.is_none() && *held.restart.get(family) <= now {
                *long = Some(now + long_time(&held.session, family).unwrap_or_default());
                *begin.get_mut(family) = *held.families.get(family);
            }
            if long.is_some_and(|until| until <= now) {
                *gone.get_mut(family) = std::mem::take(held.families.get_mut(family));
                *begin.get_mut(family) = false;
            }
        }
        if !any(held.families) {
            // All that is gone goes as one.
            held.families = gone;
            return false;
        }
        let time = held.until().saturating_duration_since(now);
        let peer = peer.name.clone();
        self.sweep(id, gone);
        if any(begin) {
            let long_lived = true;
            out.push(Effect::Notice(Notice::Held {
                peer,
                time,
                long_lived,
            }));
        }
        for family in Family::ALL {
            if *begin.get(family) {
                self.rib.keep_long(id, family);
            }
        }
        true
    }

    /// A peer's stale routes go.
    pub(crate) fn drop_held(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let up = peer.fsm.session().is_some();
        match peer.held.take() {
            Some(held) if up => self.sweep(id, held.families),
            Some(_) => self.rib.peer_down(id),
            None => {}
        }
    }

    fn sweep(&mut self, id: PeerId, families: PerFamily<bool>) {
        for family in Family::ALL {
            if *families.get(family) {
                self.rib.refresh_ended(id, family);
            }
        }
    }
}

/// As the one that restarts.
impl Speaker {
    /// We start: whether that is a restart is for the kernel to say, if routes of ours would be there.
    pub(crate) fn begin_restart(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let named = self.config.peers.iter().any(|p| is_graceful(&p.options));
        let ranges = self.config.ranges.iter().any(|r| is_graceful(&r.options));
        self.restart.restarting = named || ranges;
        if !self.restart.restarting {
            self.restart.forwarding = ALL;
        } else if self.config.fib.writes() {
            self.deferral = Deferral::Asking(now + KERNEL_MAX);
        } else {
            // Off the way of the packets, our restart stops none.
            self.restart.forwarding = ALL;
            self.defer(now, out);
        }
    }

    /// Whether peers with graceful restart have to wait for the kernel.
    pub(crate) const fn asks_kernel(&self) -> bool {
        matches!(self.deferral, Deferral::Asking(_))
    }

    /// Whether nothing is chosen and told yet.
    pub(crate) const fn defers(&self) -> bool {
        matches!(self.deferral, Deferral::Selecting { .. })
    }

    /// Whether the restart is under way.
    pub(crate) const fn is_restarting(&self) -> bool {
        !matches!(self.deferral, Deferral::None)
    }

    /// When something of a restart is due, ours or a peer's.
    pub(crate) fn restart_deadline(&self) -> Option<Instant> {
        let ours = match self.deferral {
            Deferral::None => None,
            Deferral::Asking(until) => Some(until),
            Deferral::Selecting { look, .. } => Some(look),
        };
        let held = self.peers.iter().filter_map(|peer| peer.held.as_ref());
        held.map(Held::until).chain(ours).min()
    }

    /// How far the restart is.
    pub(crate) fn restart_view(&self) -> RestartView {
        let (stage, until) = match self.deferral {
            Deferral::None => (RestartStage::None, None),
            Deferral::Asking(until) => (RestartStage::Asking, Some(until)),
            Deferral::Selecting { look, .. } => (RestartStage::Deferring, Some(look)),
        };
        RestartView {
            stage,
            until,
            awaited: self.peers.iter().filter(|peer| self.awaits(peer)).count(),
        }
    }

    /// Whether the restart waits for a peer.
    pub(crate) fn awaits(&self, peer: &Peer) -> bool {
        match self.deferral {
            Deferral::None | Deferral::Asking(_) => false,
            Deferral::Selecting { since, looked, .. } => peer.awaited_until(since) > looked,
        }
    }

    /// The restart goes on, if something it waits for has come.
    pub(crate) fn check_restart(&mut self, now: Instant, out: &mut Vec<Effect>) {
        match self.deferral {
            Deferral::Asking(until) if self.fib.is_synchronized() || now >= until => {
                self.restart.forwarding = self.fib.has_routes();
                self.deferral = Deferral::None;
                if any(self.restart.forwarding) {
                    self.defer(now, out);
                }
                self.tell_restart();
                for id in self.peers.ids() {
                    let starts = |peer: &Peer| peer.enabled && is_graceful(&peer.options);
                    if self.peers.get(id).is_some_and(starts) {
                        self.drive(now, id, Input::Start, out);
                    }
                }
            }
            Deferral::Selecting { since, .. } => {
                let look = self.awaited_until(since);
                if look > now {
                    let looked = now;
                    self.deferral = Deferral::Selecting {
                        since,
                        looked,
                        look,
                    };
                } else {
                    let peers = self.peers.iter().filter(|peer| peer.enabled);
                    let silent = peers.filter(|peer| peer.fsm.session().is_none());
                    let (stage, awaited) = (RestartStage::None, silent.count());
                    self.deferral = Deferral::None;
                    self.extend_startup(now);
                    out.push(Effect::Notice(Notice::Restart { stage, awaited }));
                }
            }
            Deferral::None | Deferral::Asking(_) => {}
        }
    }

    /// The restart is over: OPENs say so.
    pub(crate) fn end_restart(&mut self) {
        self.restart = Restart {
            restarting: false,
            forwarding: ALL,
        };
        self.tell_restart();
    }

    fn defer(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let stage = RestartStage::Deferring;
        out.push(Effect::Notice(Notice::Restart { stage, awaited: 0 }));
        self.deferral = Deferral::Selecting {
            since: now,
            looked: now,
            look: now + DEFERRAL_MAX,
        };
        self.extend_startup(now + DEFERRAL_MAX);
    }

    /// When there will be nobody any more to wait for. Who of a range will come, nobody knows.
    fn awaited_until(&self, since: Instant) -> Instant {
        let peers = self.peers.iter().map(|peer| peer.awaited_until(since));
        let mut ranges = self.config.ranges.iter();
        let range = ranges.any(|range| range.options.enabled);
        peers
            .chain(range.then_some(since + DEFERRAL_SHORT))
            .max()
            .unwrap_or(since)
    }

    pub(crate) fn tell_restart(&mut self) {
        for id in self.peers.ids() {
            if let Some(peer) = self.peers.get_mut(id) {
                let config = peer.fsm_config(&self.config.router, self.restart);
                peer.fsm.set_config(config);
            }
        }
    }
}

const fn both<T: Copy>(each: T) -> PerFamily<T> {
    PerFamily {
        ipv4: each,
        ipv6: each,
    }
}

/// Both families.
const ALL: PerFamily<bool> = PerFamily {
    ipv4: true,
    ipv6: true,
};
