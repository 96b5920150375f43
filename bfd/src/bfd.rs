//! All sessions of a speaker: which one a packet belongs to, what is due, and how one ends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::packet::{Diagnostic, Fault, Octets, Packet, State};
use crate::path::{Hops, Path};
use crate::session::{Change, Config, Reason, Remote, Said, Session};

/// As many sessions there may be.
pub const SESSIONS_MAX: usize = 4096;
/// RFC 5881 §5.
const TTL: u8 = 255;

/// See the module.
#[derive(Debug)]
pub struct Bfd {
    /// By our discriminator.
    sessions: BTreeMap<NonZeroU32, Entry>,
    paths: BTreeMap<Path, NonZeroU32>,
    deadlines: BTreeSet<(Instant, NonZeroU32)>,
    drops: Drops,
    chance: Chance,
    /// Taken and given back, to spare an allocation a packet.
    said: Vec<Said>,
}

/// Where a packet came from.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The sender's address.
    pub remote: IpAddr,
    /// Ours.
    pub local: IpAddr,
    /// The device on which it came.
    pub interface: Option<&'a str>,
    /// Its TTL, or hop limit.
    pub ttl: u8,
    /// By the port it came to.
    pub hops: Hops,
}

/// Something the driver must do, in the order given.
#[derive(Debug)]
pub enum Output {
    /// Send this from the session's own port (RFC 5881 §4: 49152 to 65535, one a session), with a TTL of 255.
    Send {
        /// The session: our discriminator.
        session: NonZeroU32,
        /// The datagram.
        octets: Octets,
    },
    /// Tell whoever relies on the path.
    Changed {
        /// Which.
        path: Path,
        /// What.
        change: Change,
    },
    /// So many packets are missing that the path would have failed, if other packets had not passed it a moment before
    /// ([`Bfd::witness`]). It is not certain that it is cut: let traffic go elsewhere, and keep the session.
    Missing {
        /// Which.
        path: Path,
    },
    /// The session is no more, nor needs it its port.
    Gone {
        /// Which it was.
        session: NonZeroU32,
    },
}

/// A session as it stands.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a> {
    /// What it watches.
    pub path: &'a Path,
    /// Our discriminator.
    pub discriminator: NonZeroU32,
    /// Its state.
    pub state: State,
    /// Why it last left Up.
    pub diagnostic: Diagnostic,
    /// Since when it is in this state.
    pub since: Instant,
    /// What the neighbor said, if it is heard.
    pub remote: Option<&'a Remote>,
    /// As configured.
    pub config: &'a Config,
    /// How often we send, jitter apart; `None`: not at all.
    pub transmit_interval: Option<Duration>,
    /// How long we wait for a packet; `None`: we never heard one.
    pub detection_time: Option<Duration>,
    /// Packets sent.
    pub sent: u64,
    /// Packets taken.
    pub received: u64,
    /// How often it came up.
    pub ups: u64,
    /// How often it failed: operators at either end apart.
    pub failures: u64,
}

/// Packets that were discarded, by why.
#[derive(Clone, Debug, Default)]
pub struct Drops(BTreeMap<Fault, u64>);

impl Drops {
    /// Every reason there was, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Fault, u64)> {
        self.0.iter().map(|(fault, count)| (*fault, *count))
    }
}

#[derive(Debug)]
struct Entry {
    path: Path,
    session: Session,
    deadline: Option<Instant>,
    /// Nobody wants it any more; until then it says so.
    ends: Option<Instant>,
    since: Instant,
    sent: u64,
    received: u64,
    ups: u64,
    failures: u64,
}

impl Bfd {
    /// None yet. `seed` decides discriminators, sequence numbers and jitter.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            sessions: BTreeMap::new(),
            paths: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            drops: Drops::default(),
            chance: Chance::new(seed),
            said: Vec::new(),
        }
    }

    /// There shall be a session with this configuration. One that is there keeps its state.
    /// False: there are [`SESSIONS_MAX`] already.
    pub fn open(
        &mut self,
        now: Instant,
        path: &Path,
        config: Config,
        out: &mut Vec<Output>,
    ) -> bool {
        if let Some(&id) = self.paths.get(path) {
            self.with(now, id, out, |entry, said| {
                entry.ends = None;
                entry.session.administer(now, true, said);
                entry.session.configure(now, config, said);
            });
            return true;
        }
        if self.sessions.len() >= SESSIONS_MAX {
            return false;
        }
        let mut id = self.chance.discriminator();
        while self.sessions.contains_key(&id) {
            id = self.chance.discriminator();
        }
        let chance = Chance::new(u64::from(self.chance.number()) << 32 | u64::from(id.get()));
        let entry = Entry {
            path: path.clone(),
            session: Session::new(now, config, id, chance),
            deadline: None,
            ends: None,
            since: now,
            sent: 0,
            received: 0,
            ups: 0,
            failures: 0,
        };
        self.sessions.insert(id, entry);
        self.paths.insert(path.clone(), id);
        self.with(now, id, out, |_, _| {});
        true
    }

    /// Nobody relies on this path any more: the neighbor is told that this is no failure, for as long as it would
    /// take it to see one (RFC 5880 §6.8.16).
    pub fn close(&mut self, now: Instant, path: &Path, out: &mut Vec<Output>) {
        if let Some(&id) = self.paths.get(path) {
            self.with(now, id, out, |entry, said| {
                let told = entry.session.remote_detection_time();
                let heard = entry.session.remote().is_some();
                entry.session.administer(now, false, said);
                entry.ends = Some(now + if heard { told } else { Duration::ZERO });
            });
        }
    }

    /// All sessions end so.
    pub fn close_all(&mut self, now: Instant, out: &mut Vec<Output>) {
        let paths: Vec<_> = self.paths.keys().cloned().collect();
        for path in paths {
            self.close(now, &path, out);
        }
    }

    /// A datagram came to one of the two ports.
    pub fn receive(
        &mut self,
        now: Instant,
        arrival: &Arrival<'_>,
        octets: &[u8],
        out: &mut Vec<Output>,
    ) {
        if let Err(fault) = self.take(now, arrival, octets, out) {
            *self.drops.0.entry(fault).or_default() += 1;
        }
    }

    fn take(
        &mut self,
        now: Instant,
        arrival: &Arrival<'_>,
        octets: &[u8],
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        let decoded = Packet::decode(octets)?;
        if arrival.hops == Hops::Single && arrival.ttl != TTL {
            return Err(Fault::Ttl);
        }
        let id = match NonZeroU32::new(decoded.packet.your_discriminator) {
            // RFC 5880 §6.3: the discriminator alone decides; but not across the two ports.
            Some(ours) => Some(ours),
            None => self.find(arrival),
        };
        let known = id.filter(|id| {
            let entry = self.sessions.get(id);
            entry.is_some_and(|entry| entry.path.hops == arrival.hops)
        });
        let id = known.ok_or(Fault::NoSession)?;
        let mut result = Err(Fault::NoSession);
        self.with(now, id, out, |entry, said| {
            result = entry.session.receive(now, &decoded, said);
            entry.received += u64::from(result.is_ok());
        });
        result
    }

    /// The session of somebody who does not know our discriminator yet (RFC 5881 §3, RFC 5883 §3).
    fn find(&self, arrival: &Arrival<'_>) -> Option<NonZeroU32> {
        let first = Path {
            remote: arrival.remote,
            local: None,
            interface: None,
            hops: Hops::Single,
        };
        let theirs = self
            .paths
            .range(first..)
            .take_while(|(path, _)| path.remote == arrival.remote);
        let fits = |path: &Path| {
            let local = path.local.is_none_or(|local| local == arrival.local);
            let interface = path.interface.as_deref();
            let on = interface.is_none_or(|name| arrival.interface == Some(name));
            path.hops == arrival.hops && local && on
        };
        // The most particular one is the last.
        theirs
            .filter(|(path, _)| fits(path))
            .map(|(_, id)| *id)
            .last()
    }

    /// Something other than BFD passed the path to `remote` and came back: sessions that miss packets are spared as long
    /// as this goes on ([`Config::spares_lossy`]). `lossy`: the path is known to lose packets. With an interface, only
    /// sessions on it, or on none in particular, are meant.
    pub fn witness(&mut self, now: Instant, remote: IpAddr, interface: Option<&str>, lossy: bool) {
        let first = Path {
            remote,
            local: None,
            interface: None,
            hops: Hops::Single,
        };
        let theirs = self.paths.range(first..);
        for (path, id) in theirs.take_while(|(path, _)| path.remote == remote) {
            let ours = path.interface.as_deref();
            let is_there = ours.is_none() || interface.is_none() || ours == interface;
            if let (true, Some(entry)) = (is_there, self.sessions.get_mut(id)) {
                entry.session.witness(now, lossy);
            }
        }
    }

    /// When to call [`Bfd::timeout`], if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Does what is due. What came meanwhile must have been given to [`Bfd::receive`] before.
    pub fn timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some(&(at, id)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, id));
            self.with(now, id, out, |entry, said| {
                if entry.ends.is_none_or(|ends| ends > now) {
                    entry.session.timeout(now, said);
                }
            });
        }
    }

    /// The path that a session watches.
    #[must_use]
    pub fn path(&self, session: NonZeroU32) -> Option<&Path> {
        Some(&self.sessions.get(&session)?.path)
    }

    /// All sessions, by path; those that are ending apart.
    pub fn sessions(&self) -> impl Iterator<Item = Status<'_>> {
        let all = self.paths.values().filter_map(|id| {
            let entry = self.sessions.get(id)?;
            entry.ends.is_none().then_some((*id, entry))
        });
        all.map(|(discriminator, entry)| Status {
            path: &entry.path,
            discriminator,
            state: entry.session.state(),
            diagnostic: entry.session.diagnostic(),
            since: entry.since,
            remote: entry.session.remote(),
            config: entry.session.config(),
            transmit_interval: entry.session.transmit_interval(),
            detection_time: entry.session.detection_time(),
            sent: entry.sent,
            received: entry.received,
            ups: entry.ups,
            failures: entry.failures,
        })
    }

    /// What was discarded.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        &self.drops
    }

    /// The one place where a session is driven: its outputs go out, its deadline is noted, and it goes if it is over.
    fn with(
        &mut self,
        now: Instant,
        id: NonZeroU32,
        out: &mut Vec<Output>,
        job: impl FnOnce(&mut Entry, &mut Vec<Said>),
    ) {
        let Some(entry) = self.sessions.get_mut(&id) else {
            return;
        };
        let mut said = std::mem::take(&mut self.said);
        job(entry, &mut said);
        for said in said.drain(..) {
            out.push(entry.say(now, id, &said));
        }
        self.said = said;
        if let Some(at) = entry.deadline {
            self.deadlines.remove(&(at, id));
        }
        if entry.ends.is_some_and(|ends| ends <= now) {
            self.paths.remove(&entry.path);
            self.sessions.remove(&id);
            out.push(Output::Gone { session: id });
            return;
        }
        let due = entry.session.deadline();
        entry.deadline = due.into_iter().chain(entry.ends).min();
        self.deadlines.extend(entry.deadline.map(|at| (at, id)));
    }
}

impl Entry {
    fn say(&mut self, now: Instant, session: NonZeroU32, said: &Said) -> Output {
        match *said {
            Said::Missing => Output::Missing {
                path: self.path.clone(),
            },
            Said::Send(octets) => {
                self.sent += 1;
                Output::Send { session, octets }
            }
            Said::Changed(change) => {
                self.since = now;
                self.ups += u64::from(change.to == State::Up);
                self.failures += u64::from(change.is_failure());
                let path = self.path.clone();
                Output::Changed { path, change }
            }
        }
    }
}

impl Reason {
    /// In words, for a log line and for an operator.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Heard => "heard the neighbor",
            Self::DetectionTimeExpired => "heard nothing for a detection time",
            Self::NeighborDown => "the neighbor hears nothing from us",
            Self::NeighborAdminDown => "administratively down at the neighbor",
            Self::Administrative => "administratively down",
        }
    }
}

#[cfg(test)]
mod tests;
