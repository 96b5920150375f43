//! WireGuard's AllowedIPs, where they follow routes: one interface with several peers sends a packet to the peer whose
//! AllowedIPs have its destination, whatever the route says, and takes from a peer only what its AllowedIPs have.
//!
//! [`AllowedIps`] is pure. It hears the batches on their way to the kernel, and what the kernel tells. Before a route is
//! made or moves, its prefix is given to the new peer, which takes it from the old one in the same instant; after a route
//! has gone, its prefix goes too. A list is never replaced, and what others put there is never touched.

mod device;
mod notice;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use smallvec::SmallVec;

use crate::{Batch, Fact, Failure};
use device::{Device, Settled};
pub use notice::Notice;
use ways::Ways;

/// Prefixes in one change, at most: about 10 KiB of netlink.
pub const CHANGE_MAX: usize = 250;
/// What was changed is read back so long after it.
pub const VERIFY: Duration = Duration::from_millis(100);
/// Devices are read so often though nothing happened: others change them too.
pub const READ_EVERY: Duration = Duration::from_secs(10);

/// A peer's public key.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerKey(pub [u8; 32]);

impl fmt::Display for PeerKey {
    /// As `wg` prints it: Base64 (RFC 4648 §4).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for chunk in self.0.chunks(3) {
            let octet = |i: usize| u32::from(chunk.get(i).copied().unwrap_or_default());
            let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
            for place in 0..4 {
                let digit = (bits >> (18 - 6 * place) & 63) as usize;
                let digit = DIGITS.get(digit).copied().unwrap_or(b'=');
                let digit = if place > chunk.len() { b'=' } else { digit };
                write!(f, "{}", char::from(digit))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A peer as a device has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Its public key.
    pub key: PeerKey,
    /// Where its packets go, if that is known.
    pub endpoint: Option<SocketAddr>,
    /// What is sent to it and taken from it.
    pub allowed_ips: Vec<IpNet>,
    /// When keys were last agreed on, since 1970; `None`: never.
    pub last_handshake: Option<Duration>,
    /// Octets received from it.
    pub received: u64,
    /// Octets sent to it.
    pub sent: u64,
}

impl Peer {
    /// One of which nothing is known but its key.
    #[must_use]
    pub const fn new(key: PeerKey) -> Self {
        Self {
            key,
            endpoint: None,
            allowed_ips: Vec::new(),
            last_handshake: None,
            received: 0,
            sent: 0,
        }
    }
}

/// The peer to which packets for an address go: that with the longest of the prefixes that have it.
#[must_use]
pub fn peer_for(peers: &[Peer], address: IpAddr) -> Option<&Peer> {
    let length = |peer: &Peer| {
        let has = peer.allowed_ips.iter().filter(|net| net.contains(&address));
        has.map(IpNet::prefix_len).max()
    };
    let having = peers.iter().filter_map(|peer| Some((length(peer)?, peer)));
    having
        .max_by_key(|(length, _)| *length)
        .map(|(_, peer)| peer)
}

/// What is to be changed at one peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The device's index.
    pub interface: u32,
    /// Its name.
    pub device: String,
    /// Which peer; it exists, and is not to be made.
    pub peer: PeerKey,
    /// At most [`CHANGE_MAX`].
    pub prefixes: Vec<IpNet>,
    /// They go, and are not given to it.
    pub remove: bool,
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The kernel told this.
    Facts(&'a [Fact]),
    /// This is about to be sent to the kernel.
    Before(&'a Batch),
    /// It was carried out.
    After {
        /// [`Batch::id`].
        batch: u64,
        /// What failed; all else succeeded.
        failures: &'a [Failure],
    },
    /// A device was read.
    Read {
        /// Its index.
        interface: u32,
        /// What it has; `None`: it is no WireGuard device. Or the errno.
        peers: Result<Option<Vec<Peer>>, i32>,
    },
    /// A change was refused.
    Refused {
        /// Which.
        change: Change,
        /// Why.
        errno: i32,
    },
    /// [`AllowedIps::deadline`] passed.
    Timeout,
}

/// What the driver must do, in order, before it goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Read a device, and answer with [`Input::Read`].
    Read {
        /// Its index.
        interface: u32,
        /// Its name.
        device: String,
    },
    /// Carry this out; answer with [`Input::Refused`] if that fails.
    Change(Change),
    /// Worth knowing.
    Notice(Notice),
}

/// How a device is, for those who look.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Status {
    /// Its name.
    pub device: String,
    /// Prefixes that we gave to its peers.
    pub ours: usize,
    /// Prefixes that a route leads over it and no peer has.
    pub missing: usize,
    /// Prefixes given to a peer, or taken back, since it is there.
    pub changes: u64,
}

/// What an earlier life gave to peers, by index and name of the device.
pub type Earlier = BTreeMap<(u32, String), BTreeSet<IpNet>>;

/// Of a prefix's next hops, those over one device.
type Gateways = SmallVec<[Option<IpAddr>; 1]>;

/// The planner.
#[derive(Debug)]
pub struct AllowedIps {
    ways: Ways,
    names: BTreeMap<u32, String>,
    devices: BTreeMap<u32, Device>,
    /// What leaves a device once a batch is answered.
    departing: BTreeMap<u64, Vec<(u32, IpNet)>>,
    earlier: Earlier,
}

impl AllowedIps {
    /// A planner that knows nothing yet. Routes with this protocol number are ours, and so are prefixes that an earlier
    /// life gave.
    #[must_use]
    pub const fn new(protocol: u8, earlier: Earlier) -> Self {
        Self {
            ways: Ways::new(protocol),
            names: BTreeMap::new(),
            devices: BTreeMap::new(),
            departing: BTreeMap::new(),
            earlier,
        }
    }

    /// Takes in what happened at `now`, and pushes what follows from it.
    pub fn handle(&mut self, now: Instant, input: &Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Facts(facts) => facts.iter().for_each(|fact| self.observe(now, fact, out)),
            Input::Before(batch) => {
                let concerned = self.ways.sent(batch);
                let departing = self.aim(now, concerned, out);
                if !departing.is_empty() {
                    self.departing.insert(batch.id, departing);
                }
            }
            Input::After { batch, failures } => {
                let concerned = self.ways.answered(*batch, failures);
                let mut departing = self.departing.remove(batch).unwrap_or_default();
                departing.extend(self.aim(now, concerned, out));
                self.depart(now, departing, out);
            }
            Input::Read { interface, peers } => self.read(now, *interface, peers, out),
            Input::Refused { change, errno } => {
                if let Some(device) = self.devices.get_mut(&change.interface) {
                    device.refused(now, change, *errno, out);
                }
            }
            Input::Timeout => {
                for (interface, device) in &mut self.devices {
                    device.look(now, *interface, out);
                }
            }
        }
    }

    /// When to call with [`Input::Timeout`], if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.devices
            .values()
            .filter_map(|device| device.look_at)
            .min()
    }

    /// How each WireGuard device is.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        self.devices.values().filter_map(Device::status).collect()
    }

    fn observe(&mut self, now: Instant, fact: &Fact, out: &mut Vec<Output>) {
        let concerned = match fact {
            Fact::Link { index, name, .. } => {
                let before = self.names.insert(*index, name.clone());
                if before.as_ref() == Some(name) || self.ways.is_dumping() {
                    return;
                }
                self.devices.remove(index);
                self.ways.prefixes_over(*index)
            }
            Fact::LinkGone { index } => {
                self.names.remove(index);
                if let Some(device) = self.devices.remove(index) {
                    device.gone(out);
                }
                return;
            }
            Fact::DumpBegin
            | Fact::DumpEnd
            | Fact::Nexthop(_)
            | Fact::NexthopGone { .. }
            | Fact::Route(_)
            | Fact::RouteBeside(..)
            | Fact::RouteGone(_) => self.ways.told(fact),
            Fact::Abilities { .. } | Fact::Address { .. } | Fact::AddressGone { .. } => return,
        };
        let departing = self.aim(now, concerned, out);
        self.depart(now, departing, out);
    }

    /// Works out where these prefixes belong, and gives them to the peers there. Says where they belonged before.
    fn aim(
        &mut self,
        now: Instant,
        concerned: BTreeSet<IpNet>,
        out: &mut Vec<Output>,
    ) -> Vec<(u32, IpNet)> {
        let mut departing = Vec::new();
        let mut settled = BTreeMap::<u32, Settled>::new();
        for prefix in concerned {
            let mut wanted = BTreeMap::<u32, Gateways>::new();
            for path in self.ways.paths(prefix) {
                let gateways = wanted.entry(path.interface).or_default();
                if let Err(place) = gateways.binary_search(&path.gateway) {
                    gateways.insert(place, path.gateway);
                }
            }
            for (interface, device) in &mut self.devices {
                if !wanted.contains_key(interface) && device.unwant(prefix) {
                    departing.push((*interface, prefix));
                }
            }
            for (interface, gateways) in wanted {
                let Some(name) = self.names.get(&interface) else {
                    continue;
                };
                let earlier = &mut self.earlier;
                let device = self.devices.entry(interface);
                let device = device.or_insert_with(|| {
                    let earlier = earlier.remove(&(interface, name.clone()));
                    Device::new(now, name, earlier.unwrap_or_default())
                });
                device.want(prefix, gateways);
                device.settle(prefix, settled.entry(interface).or_default(), out);
            }
        }
        self.finish(now, settled, out);
        departing
    }

    /// Takes prefixes from a device, unless they are wanted there again.
    fn depart(&mut self, now: Instant, departing: Vec<(u32, IpNet)>, out: &mut Vec<Output>) {
        let mut settled = BTreeMap::<u32, Settled>::new();
        for (interface, prefix) in departing {
            if let Some(device) = self.devices.get_mut(&interface) {
                device.settle(prefix, settled.entry(interface).or_default(), out);
            }
        }
        self.finish(now, settled, out);
    }

    fn finish(&mut self, now: Instant, settled: BTreeMap<u32, Settled>, out: &mut Vec<Output>) {
        for (interface, settled) in settled {
            if let Some(device) = self.devices.get_mut(&interface) {
                device.finish(now, interface, settled, out);
                device.look(now, interface, out);
            }
        }
    }

    fn read(
        &mut self,
        now: Instant,
        interface: u32,
        peers: &Result<Option<Vec<Peer>>, i32>,
        out: &mut Vec<Output>,
    ) {
        let Some(device) = self.devices.get_mut(&interface) else {
            return;
        };
        let was = device.is_wireguard();
        device.read(now, peers, out);
        if !was && device.is_wireguard() {
            // While it was not known to be one, what is wanted there was not kept.
            let concerned = self.ways.prefixes_over(interface);
            let departing = self.aim(now, concerned, out);
            return self.depart(now, departing, out);
        }
        let mut settled = Settled::default();
        device.settle_all(&mut settled, out);
        device.finish(now, interface, settled, out);
    }
}

#[cfg(test)]
mod tests;
