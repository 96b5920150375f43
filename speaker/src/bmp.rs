//! Monitoring stations (BMP, RFC 7854): we connect, say what the tables have, and what changes.
//!
//! A station is served as peers are: asked for by `ready`, and given what there is by `transmit`, when its socket takes
//! something. Nothing is queued for it, so a slow one costs no memory; one that falls too far behind has lost its place,
//! is hung up on, and called again.

mod feed;
mod report;

use std::time::{Duration, Instant};

use bgp_core::bmp::{self, DownReason, Termination};
use bgp_core::{Code, Kind};
use bgp_fsm::End;
use bytes::{Bytes, BytesMut};
use rib::PeerId;

use crate::config::{self, Config};
use crate::event::{ConnId, Effect, Event, Gate};
use crate::view::StationView;
use crate::{Notice, Speaker};
use feed::Feed;

/// Most stations.
pub const STATIONS_MAX: usize = 8;
/// Changes of the Loc-RIB that a station may be behind. So much longer than it does the journal keep them for it.
pub const BEHIND_MAX: u32 = 1 << 20;
/// A station that takes nothing for so long is hung up on.
pub const STUCK_MAX: Duration = Duration::from_secs(60);
/// After a connection that lived so long, the wait before the next starts over.
const GOOD_CONNECTION: Duration = Duration::from_secs(60);
/// RFC 4271 §8.1.5 as RFC 9687 §3 has it: the event that ends a session without a NOTIFICATION.
const SEND_HOLD_TIMER_EXPIRES: u16 = 29;

/// All of them, and the clock on the wall.
#[derive(Debug, Default)]
pub(crate) struct Stations {
    list: Vec<Station>,
    /// What the clock said at that moment, since 1970.
    clock: Option<(Instant, Duration)>,
    /// When something happened last.
    seen: Option<Instant>,
}

/// A station, and how far the connection to it is.
#[derive(Debug)]
struct Station {
    config: config::Station,
    link: Link,
    /// The next wait, which doubles.
    wait: Duration,
    since: Instant,
    connected: u64,
    overruns: u64,
    messages: u64,
    octets: u64,
    last_error: Option<String>,
}

#[derive(Debug)]
enum Link {
    /// Until it is called.
    Waiting(Instant),
    /// It is being called.
    Connecting(ConnId),
    /// It listens.
    Up(Box<Feed>),
}

impl Station {
    fn new(config: config::Station, now: Instant) -> Self {
        Self {
            link: Link::Waiting(now),
            wait: config.connect_retry,
            since: now,
            connected: 0,
            overruns: 0,
            messages: 0,
            octets: 0,
            last_error: None,
            config,
        }
    }

    fn conn(&self) -> Option<ConnId> {
        match &self.link {
            Link::Waiting(_) => None,
            Link::Connecting(conn) => Some(*conn),
            Link::Up(feed) => Some(feed.conn),
        }
    }

    fn feed(&self) -> Option<&Feed> {
        match &self.link {
            Link::Up(feed) => Some(feed),
            Link::Waiting(_) | Link::Connecting(_) => None,
        }
    }

    fn feed_mut(&mut self) -> Option<&mut Feed> {
        match &mut self.link {
            Link::Up(feed) => Some(feed),
            Link::Waiting(_) | Link::Connecting(_) => None,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.link {
            Link::Waiting(at) => Some(*at),
            Link::Connecting(_) => None,
            Link::Up(feed) => feed.deadline(),
        }
    }
}

impl Stations {
    fn of(&self, conn: ConnId) -> Option<usize> {
        let mut list = self.list.iter();
        list.position(|station| station.conn() == Some(conn))
    }

    fn feeds(&mut self) -> impl Iterator<Item = &mut Feed> {
        self.list.iter_mut().filter_map(Station::feed_mut)
    }

    /// A peer's session came up.
    pub(crate) fn peers_changed(&mut self) {
        self.feeds().for_each(|feed| feed.peers_changed = true);
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.list.iter().filter_map(Station::deadline).min()
    }

    /// What the clock on the wall says at `at`; zero: nobody has told.
    pub(crate) fn wall(&self, at: Instant) -> Duration {
        self.clock.map_or(Duration::ZERO, |(then, wall)| {
            let later = at.saturating_duration_since(then);
            (wall + later).saturating_sub(then.saturating_duration_since(at))
        })
    }

    /// The same of the moment when something happened last.
    fn wall_now(&self) -> Duration {
        self.seen.map_or(Duration::ZERO, |seen| self.wall(seen))
    }
}

impl Speaker {
    /// Says what the clock on the wall shows at `now`, since 1970, for the timestamps that stations are told. To be said
    /// again now and then, as such clocks are set.
    pub fn set_clock(&mut self, now: Instant, wall: Duration) {
        self.stations.clock = Some((now, wall));
    }

    /// The stations, as configured.
    #[must_use]
    pub fn stations(&self) -> Vec<StationView> {
        let view = |station: &Station| StationView {
            address: station.config.address,
            up: station.feed().is_some(),
            since: station.since,
            peers: station.feed().map_or(0, Feed::peers),
            connected: station.connected,
            overruns: station.overruns,
            messages: station.messages,
            octets: station.octets,
            last_error: station.last_error.clone(),
        };
        self.stations.list.iter().map(view).collect()
    }

    /// Makes the stations those of the configuration. Who is as before goes on undisturbed, unless we are somebody else
    /// (RFC 9069 §6.1.2 has what is told differently begin anew).
    pub(crate) fn configure_stations(
        &mut self,
        now: Instant,
        old: Option<&Config>,
        out: &mut Vec<Effect>,
    ) {
        let router = |config: &Config| (config.router.asn, config.router.router_id);
        let another = old.is_some_and(|old| router(old) != router(&self.config));
        let wanted = self.config.stations.clone();
        for station in (0..self.stations.list.len()).rev() {
            let stays = |s: &Station| !another && wanted.contains(&s.config);
            if !self.stations.list.get(station).is_some_and(stays) {
                self.hang_up(now, station, Some(Termination::PermanentlyClosed), out);
                self.stations.list.remove(station);
            }
        }
        for config in wanted {
            if !self.stations.list.iter().any(|s| s.config == config) {
                self.stations.list.push(Station::new(config, now));
            }
        }
        self.call_stations(now, out);
    }

    /// Takes what happened on a station's connection; gives back what did not.
    pub(crate) fn station_event(
        &mut self,
        now: Instant,
        event: Event,
        out: &mut Vec<Effect>,
    ) -> Option<Event> {
        let conn = match &event {
            Event::Connected { conn, .. }
            | Event::ConnectFailed { conn, .. }
            | Event::Received { conn, .. }
            | Event::Blocked { conn }
            | Event::Progress { conn }
            | Event::Closed { conn } => *conn,
            Event::Timeout
            | Event::Kernel(_)
            | Event::Bfd(_)
            | Event::Link(_)
            | Event::Shutdown => {
                return Some(event);
            }
        };
        let Some(at) = self.stations.of(conn) else {
            return Some(event);
        };
        match event {
            Event::Connected { .. } => self.station_connected(now, at, conn, out),
            Event::ConnectFailed { why, .. } => {
                let why = format!("cannot connect: {why}");
                self.station_lost(now, at, why, out);
            }
            Event::Closed { .. } => {
                self.station_lost(now, at, "the station closed it".to_owned(), out);
            }
            Event::Blocked { .. } => self.station_blocked(at, Some(now + STUCK_MAX)),
            Event::Progress { .. } => self.station_blocked(at, None),
            // RFC 7854 §3.3: a station says nothing; what it says is not read.
            Event::Received { .. } => {}
            Event::Timeout
            | Event::Kernel(_)
            | Event::Bfd(_)
            | Event::Link(_)
            | Event::Shutdown => {
                return Some(event);
            }
        }
        None
    }

    /// Does what is due.
    pub(crate) fn stations_timeout(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.call_stations(now, out);
        for at in 0..self.stations.list.len() {
            let station = self.stations.list.get_mut(at);
            let Some(feed) = station.and_then(Station::feed_mut) else {
                continue;
            };
            if feed.is_stuck(now) {
                self.give_up(now, at, "it reads nothing", out);
            } else if let Some(station) = self.stations.list.get_mut(at) {
                let every = station.config.statistics;
                if let Some(feed) = station.feed_mut() {
                    feed.count_if_due(now, every);
                }
            }
        }
    }

    /// Hangs up on whoever is too far behind.
    pub(crate) fn check_stations(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.stations.list.is_empty() {
            return;
        }
        self.stations.seen = Some(now);
        for at in 0..self.stations.list.len() {
            let feed = self.stations.list.get(at).and_then(Station::feed);
            if feed.is_some_and(|feed| feed.has_lost(&self.rib)) {
                self.give_up(now, at, "it is too far behind", out);
            }
        }
    }

    /// A peer's session ends: stations hear why.
    pub(crate) fn station_peer_down(&mut self, id: PeerId, end: &End) {
        let sent = self.peers.get_mut(id).and_then(|peer| peer.notified.take());
        if self.stations.list.is_empty() {
            return;
        }
        let local = |reset: &bgp_core::Reset| {
            let sent = sent.clone().unwrap_or_else(|| reset.encode());
            DownReason::LocalNotification(sent)
        };
        let reason = match end {
            End::Lost => DownReason::Remote,
            End::Told(told) => DownReason::RemoteNotification(told.encode()),
            End::Fault(reset) if reset.code == Code::SendHoldTimerExpired => {
                DownReason::LocalEvent(SEND_HOLD_TIMER_EXPIRES)
            }
            End::Fault(reset) | End::Stopped(reset) => local(reset),
        };
        let now = self.stations.wall_now();
        let mut seats = Vec::new();
        for feed in self.stations.feeds() {
            seats.extend(feed.peer_down(id, &reason, now));
        }
        self.leave_seats(seats);
    }

    /// We end: stations hear of the last Peer Downs, and that nothing follows.
    pub(crate) fn end_stations(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for at in 0..self.stations.list.len() {
            self.hang_up(now, at, Some(Termination::AdministrativelyClosed), out);
        }
        self.stations.list.clear();
    }

    fn call_stations(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for at in 0..self.stations.list.len() {
            let station = self.stations.list.get(at);
            if !station.is_some_and(|s| matches!(s.link, Link::Waiting(at) if at <= now)) {
                continue;
            }
            let conn = self.next_conn();
            let Some(station) = self.stations.list.get_mut(at) else {
                continue;
            };
            station.link = Link::Connecting(conn);
            out.push(Effect::Connect {
                conn,
                remote: station.config.address,
                local: station.config.local_address,
                gate: Gate::default(),
            });
        }
    }

    fn station_connected(&mut self, now: Instant, at: usize, conn: ConnId, out: &mut Vec<Effect>) {
        let Some(station) = self.stations.list.get_mut(at) else {
            return;
        };
        let follows = station.config.ribs.stages();
        let monitor = (follows != rib::Stages::default()).then(|| self.rib.monitor());
        let first = station.config.statistics.map(|every| now + every);
        station.link = Link::Up(Box::new(Feed::new(conn, monitor, first)));
        station.since = now;
        station.connected += 1;
        let station = station.config.address;
        out.push(Effect::Notice(Notice::StationUp { station }));
    }

    fn station_blocked(&mut self, at: usize, until: Option<Instant>) {
        let station = self.stations.list.get_mut(at);
        if let Some(feed) = station.and_then(Station::feed_mut) {
            feed.block(until);
        }
    }

    /// It has lost its place, or reads nothing at all.
    fn give_up(&mut self, now: Instant, at: usize, why: &str, out: &mut Vec<Effect>) {
        if let Some(station) = self.stations.list.get_mut(at) {
            station.overruns += 1;
        }
        self.hang_up(now, at, Some(Termination::OutOfResources), out);
        self.station_lost(now, at, why.to_owned(), out);
    }

    /// Says the last words, and closes.
    fn hang_up(
        &mut self,
        now: Instant,
        at: usize,
        last: Option<Termination>,
        out: &mut Vec<Effect>,
    ) {
        let Some(conn) = self.stations.list.get(at).and_then(Station::conn) else {
            return;
        };
        self.stations.seen = Some(now);
        let is_up = self.stations.list.get(at).and_then(Station::feed).is_some();
        if let (Some(last), true) = (last, is_up) {
            let mut bytes = BytesMut::new();
            self.say_goodbye(at, &mut bytes);
            bmp::termination(last, &mut bytes);
            let bytes = bytes.freeze();
            out.push(Effect::Send { conn, bytes });
        }
        out.push(Effect::Close { conn });
        self.drop_feed(now, at);
    }

    /// The connection is gone, or could not be made.
    fn station_lost(&mut self, now: Instant, at: usize, why: String, out: &mut Vec<Effect>) {
        let Some(station) = self.stations.list.get_mut(at) else {
            return;
        };
        let (was_up, address) = (station.feed().is_some(), station.config.address);
        let again = station.last_error.as_ref() == Some(&why);
        if was_up && now >= station.since + GOOD_CONNECTION {
            station.wait = station.config.connect_retry;
        }
        station.last_error = Some(why.clone());
        self.drop_feed(now, at);
        let Some(station) = self.stations.list.get_mut(at) else {
            return;
        };
        station.link = Link::Waiting(now + station.wait);
        let longest = station.config.connect_retry_max;
        station.wait = station.wait.saturating_mul(2).min(longest);
        // That nobody is there is said once.
        if was_up || !again {
            let station = address;
            out.push(Effect::Notice(Notice::StationDown { station, why }));
        }
    }

    /// Gives back all that a feed holds.
    fn drop_feed(&mut self, now: Instant, at: usize) {
        let Some(station) = self.stations.list.get_mut(at) else {
            return;
        };
        let link = std::mem::replace(&mut station.link, Link::Waiting(now));
        let Link::Up(feed) = link else { return };
        station.since = now;
        let (monitor, seats) = feed.into_parts();
        if let Some(monitor) = monitor {
            self.rib.unmonitor(monitor);
        }
        self.leave_seats(seats);
    }

    fn leave_seats(&mut self, seats: Vec<PeerId>) {
        for seat in seats {
            self.rib.leave_seat(seat);
            self.peers.free_seat(seat);
        }
    }
}

/// Notes a NOTIFICATION that goes to a peer: stations are told it as it was.
pub(crate) fn notification(message: &Bytes) -> Option<Bytes> {
    let is = message.get(18) == Some(&Kind::Notification.number());
    is.then(|| message.clone())
}
