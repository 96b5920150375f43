//! One device: who its peers are, which of their AllowedIPs are ours, and which should be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::{
    CHANGE_MAX, Change, Gateways, Notice, Output, Peer, PeerKey, READ_EVERY, Status, VERIFY,
};

/// After what went wrong, it is looked at again so soon, and then half as often each time.
const RETRY_MIN: Duration = VERIFY;
/// A change that was not taken is worth a notice at this attempt.
const ATTEMPTS_QUIET: u32 = 2;
/// What was taken away and stayed so often cannot be taken away.
const STAYED_MAX: u32 = 3;

#[derive(Debug)]
pub(super) struct Device {
    name: String,
    kind: Kind,
    /// What routes lead over it.
    wants: BTreeMap<IpNet, Gateways>,
    /// What is wanted and cannot be, with the reason.
    missing: BTreeMap<IpNet, Reason>,
    reasons: BTreeMap<Reason, usize>,
    /// What an earlier life gave to its peers.
    earlier: BTreeSet<IpNet>,
    can_remove: bool,
    /// It could not be read when last asked.
    silent: bool,
    /// When it is to be read.
    pub(super) look_at: Option<Instant>,
    /// How often in a row something was not as it should be.
    attempts: u32,
    /// How often in a row something was given and not taken.
    untaken: u32,
    /// How often in a row something was taken away and stayed.
    stayed: u32,
    /// It was found changed by others when it was last read.
    contested: bool,
    changes: u64,
}

#[derive(Debug)]
enum Kind {
    Unknown,
    /// No WireGuard, or not yet.
    Other,
    WireGuard(Lists),
}

/// Each prefix is in one of these, but for `trying`.
#[derive(Debug, Default)]
struct Lists {
    peers: Vec<PeerKey>,
    ours: BTreeMap<IpNet, PeerKey>,
    foreign: BTreeMap<IpNet, PeerKey>,
    /// Taken away, and not read back yet.
    removing: BTreeMap<IpNet, PeerKey>,
    /// Of ours, those that were not read back yet.
    trying: BTreeMap<IpNet, PeerKey>,
}

/// Why a prefix is not where it should be.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Reason {
    NoPeer(Option<IpAddr>),
    Foreign,
    SeveralPeers,
}

/// What follows from looking at prefixes, until it is sent.
#[derive(Debug, Default)]
pub(super) struct Settled {
    give: BTreeMap<PeerKey, Vec<IpNet>>,
    take: BTreeMap<PeerKey, Vec<IpNet>>,
    /// A peer was not there.
    missed: bool,
}

impl Device {
    pub(super) fn new(now: Instant, name: &str, earlier: BTreeSet<IpNet>) -> Self {
        Self {
            name: name.to_owned(),
            kind: Kind::Unknown,
            wants: BTreeMap::new(),
            missing: BTreeMap::new(),
            reasons: BTreeMap::new(),
            earlier,
            can_remove: true,
            silent: false,
            look_at: Some(now),
            attempts: 0,
            untaken: 0,
            stayed: 0,
            contested: false,
            changes: 0,
        }
    }

    pub(super) const fn is_wireguard(&self) -> bool {
        matches!(self.kind, Kind::WireGuard(_))
    }

    pub(super) fn status(&self) -> Option<Status> {
        let Kind::WireGuard(lists) = &self.kind else {
            return None;
        };
        Some(Status {
            device: self.name.clone(),
            ours: lists.ours.len(),
            missing: self.missing.len(),
            changes: self.changes,
        })
    }

    /// A route leads to the prefix over it.
    pub(super) fn want(&mut self, prefix: IpNet, gateways: Gateways) {
        if !matches!(self.kind, Kind::Other) {
            self.wants.insert(prefix, gateways);
        }
    }

    /// None does any more. Says whether one did.
    pub(super) fn unwant(&mut self, prefix: IpNet) -> bool {
        self.is_there(prefix);
        self.wants.remove(&prefix).is_some()
    }

    /// Works out what is to be done about a prefix.
    pub(super) fn settle(&mut self, prefix: IpNet, settled: &mut Settled, out: &mut Vec<Output>) {
        let Kind::WireGuard(lists) = &mut self.kind else {
            return;
        };
        let Some(gateways) = self.wants.get(&prefix) else {
            if self.can_remove
                && let Some(peer) = lists.ours.remove(&prefix)
            {
                lists.trying.remove(&prefix);
                lists.removing.insert(prefix, peer);
                settled.take.entry(peer).or_default().push(prefix);
            }
            return;
        };
        let mut peers: Vec<PeerKey> = gateways
            .iter()
            .filter_map(|gateway| lists.peer_behind(*gateway))
            .collect();
        peers.sort_unstable();
        peers.dedup();
        let holder = lists.holder(prefix);
        let chosen = holder.filter(|holder| peers.contains(holder));
        let Some(peer) = chosen.or_else(|| peers.first().copied()) else {
            settled.missed = true;
            let gateway = gateways.first().copied().flatten();
            return self.is_missing(prefix, Reason::NoPeer(gateway), out);
        };
        let several = peers.len() > 1;
        if holder == Some(peer) || (holder.is_none() && lists.is_alone_with(prefix)) {
            return self.is_held(prefix, several, out);
        }
        if lists.foreign.contains_key(&prefix) {
            return self.is_missing(prefix, Reason::Foreign, out);
        }
        lists.removing.remove(&prefix);
        lists.ours.insert(prefix, peer);
        lists.trying.insert(prefix, peer);
        settled.give.entry(peer).or_default().push(prefix);
        self.is_held(prefix, several, out);
    }

    /// Likewise, about all.
    pub(super) fn settle_all(&mut self, settled: &mut Settled, out: &mut Vec<Output>) {
        let Kind::WireGuard(lists) = &self.kind else {
            return;
        };
        let mut all: Vec<IpNet> = self
            .wants
            .keys()
            .chain(lists.ours.keys())
            .copied()
            .collect();
        all.sort_unstable();
        all.dedup();
        for prefix in all {
            self.settle(prefix, settled, out);
        }
    }

    /// Sends it.
    pub(super) fn finish(
        &mut self,
        now: Instant,
        interface: u32,
        settled: Settled,
        out: &mut Vec<Output>,
    ) {
        let Settled { give, take, missed } = settled;
        if give.is_empty() && take.is_empty() && !missed {
            return;
        }
        for (lists, remove) in [(give, false), (take, true)] {
            for (peer, prefixes) in lists {
                self.changes += prefixes.len() as u64;
                for prefixes in prefixes.chunks(CHANGE_MAX) {
                    out.push(Output::Change(Change {
                        interface,
                        device: self.name.clone(),
                        peer,
                        prefixes: prefixes.to_vec(),
                        remove,
                    }));
                }
            }
        }
        self.look_by(now + self.pause());
    }

    /// Asks for it to be read, if it is time.
    pub(super) fn look(&mut self, now: Instant, interface: u32, out: &mut Vec<Output>) {
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            out.push(Output::Read {
                interface,
                device: self.name.clone(),
            });
        }
    }

    /// It was read, or could not be.
    pub(super) fn read(
        &mut self,
        now: Instant,
        peers: &Result<Option<Vec<Peer>>, i32>,
        out: &mut Vec<Output>,
    ) {
        let good = match peers {
            Ok(Some(peers)) => {
                let device = self.name.clone();
                if std::mem::take(&mut self.silent) {
                    out.push(Output::Notice(Notice::Readable { device }));
                }
                self.compare(peers, out) && self.missing.is_empty()
            }
            Ok(None) if self.is_wireguard() => self.is_silent(libc::ENODEV, out),
            Ok(None) => {
                self.kind = Kind::Other;
                self.wants.clear();
                false
            }
            Err(errno) => self.is_silent(*errno, out),
        };
        self.attempts = if good {
            0
        } else {
            self.attempts.saturating_add(1)
        };
        let pause = if good { READ_EVERY } else { self.pause() };
        self.look_at = Some(now + pause);
    }

    /// A change was refused: what it was about is as it was, as far as we know.
    pub(super) fn refused(
        &mut self,
        now: Instant,
        change: &Change,
        errno: i32,
        out: &mut Vec<Output>,
    ) {
        let Kind::WireGuard(lists) = &mut self.kind else {
            return;
        };
        let device = self.name.clone();
        if change.remove {
            for prefix in &change.prefixes {
                if let Some(peer) = lists.removing.remove(prefix) {
                    lists.ours.insert(*prefix, peer);
                }
            }
            if matches!(errno, libc::EINVAL | libc::EOPNOTSUPP) && self.can_remove {
                self.can_remove = false;
                out.push(Output::Notice(Notice::CannotRemove { device }));
            }
        } else if self.untaken == 0
            && let Some(prefix) = change.prefixes.first().copied()
        {
            let errno = Some(errno);
            out.push(Output::Notice(Notice::NotTaken {
                device,
                prefix,
                errno,
            }));
        }
        self.look_by(now + self.pause());
    }

    /// It is there no more.
    pub(super) fn gone(self, out: &mut Vec<Output>) {
        if let Kind::WireGuard(lists) = self.kind {
            out.push(Output::Notice(Notice::Gone {
                device: self.name,
                prefixes: lists.ours.len(),
            }));
        }
    }

    /// Takes what the device has for true. Says whether all is as we left it.
    fn compare(&mut self, peers: &[Peer], out: &mut Vec<Output>) -> bool {
        let earlier = std::mem::take(&mut self.earlier);
        let before = match std::mem::replace(&mut self.kind, Kind::Unknown) {
            Kind::WireGuard(lists) => lists,
            Kind::Unknown | Kind::Other => Lists::default(),
        };
        let mut now = Lists {
            peers: peers.iter().map(|peer| peer.key).collect(),
            ..Lists::default()
        };
        let (mut adopted, mut stayed, mut contested) = (0, false, 0);
        let held = |peer: &Peer| {
            let key = peer.key;
            let all: Vec<_> = peer
                .allowed_ips
                .iter()
                .map(|net| (net.trunc(), key))
                .collect();
            all
        };
        for (prefix, peer) in peers.iter().flat_map(held) {
            let claimed = earlier.contains(&prefix);
            adopted += usize::from(claimed);
            stayed |= before.removing.contains_key(&prefix);
            let was = before.ours.get(&prefix);
            contested += usize::from(
                was.is_some_and(|was| *was != peer && !before.trying.contains_key(&prefix)),
            );
            let ours = claimed || was.is_some() || before.removing.contains_key(&prefix);
            let list = if ours {
                &mut now.ours
            } else {
                &mut now.foreign
            };
            list.insert(prefix, peer);
        }
        let not_taken = before
            .trying
            .iter()
            .find(|(prefix, peer)| now.ours.get(prefix) != Some(peer));
        let not_taken = not_taken.map(|(prefix, _)| *prefix);
        let lost =
            |prefix: &&IpNet| !now.ours.contains_key(prefix) && !before.trying.contains_key(prefix);
        contested += before.ours.keys().filter(lost).count();
        self.kind = Kind::WireGuard(now);
        self.tell(adopted, stayed, contested, not_taken, out);
        !stayed && contested == 0 && not_taken.is_none()
    }

    fn tell(
        &mut self,
        adopted: usize,
        stayed: bool,
        contested: usize,
        not_taken: Option<IpNet>,
        out: &mut Vec<Output>,
    ) {
        let device = self.name.clone();
        let mut say = |notice| out.push(Output::Notice(notice));
        if adopted > 0 {
            say(Notice::Adopted {
                device: device.clone(),
                prefixes: adopted,
            });
        }
        if contested > 0 && !self.contested {
            say(Notice::Contested {
                device: device.clone(),
                prefixes: contested,
            });
        }
        self.stayed = if stayed { self.stayed + 1 } else { 0 };
        if self.stayed == STAYED_MAX && std::mem::take(&mut self.can_remove) {
            say(Notice::CannotRemove {
                device: device.clone(),
            });
        }
        self.contested = contested > 0;
        self.untaken = not_taken.map_or(0, |_| self.untaken.saturating_add(1));
        if let Some(prefix) = not_taken.filter(|_| self.untaken == ATTEMPTS_QUIET) {
            say(Notice::NotTaken {
                device,
                prefix,
                errno: None,
            });
        }
    }

    fn is_silent(&mut self, errno: i32, out: &mut Vec<Output>) -> bool {
        if !std::mem::replace(&mut self.silent, true) {
            out.push(Output::Notice(Notice::Unreadable {
                device: self.name.clone(),
                errno,
            }));
        }
        false
    }

    /// A prefix cannot be where it should. That is said once for each reason.
    fn is_missing(&mut self, prefix: IpNet, reason: Reason, out: &mut Vec<Output>) {
        if self.missing.get(&prefix) == Some(&reason) {
            return;
        }
        self.is_there(prefix);
        self.missing.insert(prefix, reason);
        let count = self.reasons.entry(reason).or_default();
        *count += 1;
        if *count > 1 {
            return;
        }
        let device = self.name.clone();
        out.push(Output::Notice(match reason {
            Reason::NoPeer(gateway) => Notice::NoPeer { device, gateway },
            Reason::Foreign => Notice::Foreign { device, prefix },
            Reason::SeveralPeers => Notice::SeveralPeers { device, prefix },
        }));
    }

    /// A prefix is with a peer; of several, with one.
    fn is_held(&mut self, prefix: IpNet, several: bool, out: &mut Vec<Output>) {
        if several {
            self.is_missing(prefix, Reason::SeveralPeers, out);
        } else {
            self.is_there(prefix);
        }
    }

    fn is_there(&mut self, prefix: IpNet) {
        if let Some(reason) = self.missing.remove(&prefix)
            && let Some(count) = self.reasons.get_mut(&reason)
        {
            *count -= 1;
            if *count == 0 {
                self.reasons.remove(&reason);
            }
        }
    }

    fn look_by(&mut self, at: Instant) {
        self.look_at = Some(self.look_at.map_or(at, |before| before.min(at)));
    }

    fn pause(&self) -> Duration {
        let doubled = RETRY_MIN.saturating_mul(1 << self.attempts.min(10));
        doubled.min(READ_EVERY)
    }
}

impl Lists {
    fn holder(&self, prefix: IpNet) -> Option<PeerKey> {
        let held = self.ours.get(&prefix).or_else(|| self.foreign.get(&prefix));
        held.copied()
    }

    /// The peer that is behind a next hop, by the AllowedIPs that are not ours: ours may lead anywhere.
    fn peer_behind(&self, gateway: Option<IpAddr>) -> Option<PeerKey> {
        match (gateway, self.peers.as_slice()) {
            (_, [only]) => Some(*only),
            (Some(gateway), _) => self.longest(IpNet::from(gateway)),
            (None, _) => None,
        }
    }

    /// The only peer of the device has the prefix already, as it has all.
    fn is_alone_with(&self, prefix: IpNet) -> bool {
        self.peers.len() == 1 && self.longest(prefix).is_some()
    }

    fn longest(&self, prefix: IpNet) -> Option<PeerKey> {
        let covering = (0..=prefix.prefix_len()).rev();
        let mut nets = covering.filter_map(|length| IpNet::new(prefix.addr(), length).ok());
        nets.find_map(|net| self.foreign.get(&net.trunc()).copied())
    }
}
