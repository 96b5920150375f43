//! How far a station is: what it was told of each peer, and what it is to be told yet. Bounded by the peers.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bgp_core::bmp::{DownReason, PeerHeader};
use bgp_core::family::PerFamily;
use rib::{DumpCursor, Monitor, PeerId, Rib};

use super::BEHIND_MAX;
use crate::event::ConnId;

/// See the module.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) conn: ConnId,
    /// It takes nothing; at this moment, patience ends.
    stuck: Option<Instant>,
    /// The Initiation was said.
    pub(super) greeted: bool,
    /// Its place in the log of Adj-RIBs-In, if it wants them.
    pub(super) monitor: Option<Monitor>,
    pub(super) loc_rib: Option<Seat>,
    /// Peers whose Peer Up was said.
    pub(super) told: BTreeMap<PeerId, Told>,
    /// Sessions came or went.
    pub(super) peers_changed: bool,
    /// Tables that are yet to be walked.
    pub(super) walks: VecDeque<Walk>,
    statistics_at: Option<Instant>,
    /// A report is due.
    pub(super) counts: bool,
    /// Whose Adj-RIB-Out is next.
    pub(super) turn: PeerId,
}

/// A peer as the station knows it.
#[derive(Debug)]
pub(super) struct Told {
    /// With the time when the session came up.
    pub(super) header: PeerHeader,
    /// The session, counted.
    pub(super) session: u64,
    pub(super) families: PerFamily<bool>,
    /// Where its Adj-RIB-Out is heard, if it is wanted.
    pub(super) out: Option<Seat>,
    /// End-of-RIB of its Adj-RIB-In is to be said.
    pub(super) end_of_rib: bool,
    /// Peer Down is to be said, with this reason and time.
    pub(super) ended: Option<(DownReason, Duration)>,
}

/// A seat in the RIB, from which what is told to somebody is heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) id: PeerId,
    /// All that there was when it sat down has been heard.
    pub(super) caught_up: bool,
}

/// A walk over Adj-RIBs-In: those of all peers, or of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) cursor: DumpCursor,
    pub(super) of: Option<PeerId>,
}

impl Seat {
    pub(super) const fn new(id: PeerId) -> Self {
        Self {
            id,
            caught_up: false,
        }
    }
}

impl Feed {
    pub(super) fn new(conn: ConnId, monitor: Option<Monitor>, statistics: Option<Instant>) -> Self {
        let all = Walk {
            cursor: DumpCursor::default(),
            of: None,
        };
        Self {
            conn,
            stuck: None,
            greeted: false,
            walks: monitor.iter().map(|_| all).collect(),
            monitor,
            loc_rib: None,
            told: BTreeMap::new(),
            peers_changed: true,
            statistics_at: statistics,
            counts: false,
            turn: PeerId(0),
        }
    }

    pub(super) fn peers(&self) -> usize {
        self.told.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let statistics = self.statistics_at.filter(|_| !self.counts);
        self.stuck.into_iter().chain(statistics).min()
    }

    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        self.stuck.is_some_and(|at| at <= now)
    }

    /// It takes nothing until further notice, or takes something again.
    pub(super) fn block(&mut self, until: Option<Instant>) {
        self.stuck = match (self.stuck, until) {
            (Some(already), Some(_)) => Some(already),
            (_, until) => until,
        };
    }

    pub(super) fn count_if_due(&mut self, now: Instant, every: Option<Duration>) {
        if self.statistics_at.is_some_and(|at| at <= now) {
            self.statistics_at = every.map(|every| now + every);
            self.counts = true;
        }
    }

    /// Whether it is so far behind that it has to start over.
    pub(super) fn has_lost(&self, rib: &Rib) -> bool {
        let lost = |monitor: &Monitor| rib.monitor_has_lost(monitor);
        // One that takes all it is given is not behind for long.
        self.monitor.as_ref().is_some_and(lost)
            || self.stuck.is_some() && self.seats().any(|seat| rib.behind(seat.id) > BEHIND_MAX)
    }

    pub(super) fn has_news(&self, rib: &Rib, defers: bool) -> bool {
        let heard = |monitor: &Monitor| rib.monitor_has_news(monitor);
        let owes = self.peers_changed || !self.greeted || self.counts || !self.walks.is_empty();
        owes || self.monitor.as_ref().is_some_and(heard)
            || !defers && self.seats().any(|seat| rib.has_pending(seat.id))
    }

    /// A session ends. Returns the seats that are free now.
    pub(super) fn peer_down(
        &mut self,
        id: PeerId,
        reason: &DownReason,
        now: Duration,
    ) -> Option<PeerId> {
        let told = self.told.get_mut(&id)?;
        told.ended.get_or_insert((reason.clone(), now));
        self.peers_changed = true;
        self.walks.retain(|walk| walk.of != Some(id));
        told.out.take().map(|seat| seat.id)
    }

    /// What it holds in the RIB.
    pub(super) fn into_parts(self) -> (Option<Monitor>, Vec<PeerId>) {
        let seats = self.seats().map(|seat| seat.id).collect();
        (self.monitor, seats)
    }

    fn seats(&self) -> impl Iterator<Item = &Seat> {
        let peers = self.told.values().filter_map(|told| told.out.as_ref());
        peers.chain(&self.loc_rib)
    }
}
