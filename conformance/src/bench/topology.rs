//! Who stands around the device: what an adapter needs to know to write a configuration.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use bgp_core::Family;

use crate::lab::{Host, Lab};
use crate::load::{Bad, Peer};

/// The device.
pub(super) const DEVICE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The same in IPv6, on the link with the next hops of IPv6 routes.
pub(super) const DEVICE_6: &str = "2001:db8:99:1::1";
/// Its AS.
pub(super) const DEVICE_AS: u32 = 65_000;
/// The first addresses and ASes of those around it.
const SENDERS: (Ipv4Addr, u32) = (Ipv4Addr::new(10, 99, 1, 1), 61_000);
const RECEIVERS: (Ipv4Addr, u32) = (Ipv4Addr::new(10, 99, 100, 1), 62_000);
const IDLERS: (Ipv4Addr, u32) = (Ipv4Addr::new(10, 99, 200, 1), 63_000);
const STRANGERS: (Ipv4Addr, u32) = (Ipv4Addr::new(10, 99, 220, 1), 64_000);
/// Addresses used of each /24.
const IN_A_24: u32 = 250;
/// Hold Times in seconds, of those that load and of those that idle.
const HOLD_TIME: u16 = 90;
const IDLE_HOLD_TIME: u16 = 9;

/// A peer of the device.
#[derive(Clone, Copy, Debug)]
pub struct Neighbor {
    /// Our end.
    pub peer: Peer,
    /// The device announces its table to it.
    pub is_told: bool,
    /// It has a BFD session with the device.
    pub has_bfd: bool,
    /// The device probes the link to it, if it can do that.
    pub is_probed: bool,
}

/// A device with its peers.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Who announces.
    pub senders: Vec<Neighbor>,
    /// Who counts.
    pub receivers: Vec<Neighbor>,
    /// Who keeps a session and says nothing.
    pub idlers: Vec<Neighbor>,
    /// Who is up to no good.
    pub strangers: Vec<Neighbor>,
    /// Equal paths that share traffic.
    pub multipath: usize,
    /// All are clients of the device, a route reflector.
    pub reflects: bool,
    /// The device installs routes.
    pub kernel: bool,
    /// The family of all sessions.
    pub family: Family,
}

impl Topology {
    /// So many of each kind, no session internal, none that idles told anything.
    #[must_use]
    pub fn new(senders: usize, receivers: usize, idlers: usize) -> Self {
        Self {
            senders: neighbors(SENDERS, senders, HOLD_TIME, false),
            receivers: neighbors(RECEIVERS, receivers, HOLD_TIME, true),
            idlers: neighbors(IDLERS, idlers, IDLE_HOLD_TIME, false),
            strangers: Vec::new(),
            multipath: 1,
            reflects: false,
            kernel: false,
            family: Family::Ipv4Unicast,
        }
    }

    /// Makes the device a route reflector, with all as its clients.
    #[must_use]
    pub fn reflecting(mut self) -> Self {
        self.reflects = true;
        let all = self.senders.iter_mut().chain(&mut self.receivers);
        for neighbor in all.chain(&mut self.idlers) {
            neighbor.peer.asn = DEVICE_AS;
        }
        self
    }

    /// All of them.
    pub fn neighbors(&self) -> impl Iterator<Item = &Neighbor> {
        let active = self.senders.iter().chain(&self.receivers);
        active.chain(&self.idlers).chain(&self.strangers)
    }

    /// There are some who are up to no good as well.
    #[must_use]
    pub fn beside(mut self, bad: Bad) -> Self {
        let is_told = bad != Bad::Unfinished;
        self.strangers = neighbors(STRANGERS, bad.peers(), HOLD_TIME, is_told);
        self
    }

    /// Whether anybody has BFD.
    #[must_use]
    pub fn has_bfd(&self) -> bool {
        self.neighbors().any(|neighbor| neighbor.has_bfd)
    }

    /// Those who idle have BFD, and the links to so many of them are probed.
    #[must_use]
    pub fn watched(mut self, probed: usize) -> Self {
        for (place, neighbor) in self.idlers.iter_mut().enumerate() {
            (neighbor.has_bfd, neighbor.is_probed) = (true, place < probed);
        }
        self
    }

    /// Where the device listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((DEVICE, 179))
    }

    /// Builds it: the device's host, and that of all others, on one link.
    ///
    /// # Errors
    /// Namespaces cannot be made.
    pub fn build(&self, lab: &Lab) -> Result<(Host, Host)> {
        let (device, others) = (lab.host("device")?, lab.host("load")?);
        lab.link((&device, "device0"), (&others, "load0"))?;
        device.address("device0", &format!("{DEVICE}/16"))?;
        device.address("device0", &format!("{DEVICE_6}/64"))?;
        let lines: String = self
            .neighbors()
            .map(|neighbor| format!("addr add {}/16 dev load0\n", neighbor.peer.address))
            .collect();
        batch(&others, "addresses", &lines)?;
        let lines = others.ip("-o link show load0")?;
        let mut words = lines.split_whitespace();
        words.find(|word| *word == "link/ether");
        let ether = words.next().context("load0 has no address")?;
        // The kernel keeps no more than a thousand neighbors that it finds by itself.
        let lines: String = self
            .neighbors()
            .map(|neighbor| {
                let address = neighbor.peer.address;
                format!("neigh replace {address} lladdr {ether} dev device0 nud permanent\n")
            })
            .collect();
        batch(&device, "neighbors", &lines)?;
        Ok((device, others))
    }
}

/// Has `ip` do many things at once.
fn batch(host: &Host, name: &str, lines: &str) -> Result<()> {
    let path = host.dir().join(name);
    std::fs::write(&path, lines)?;
    host.ip(&format!("-batch {}", path.display())).map(drop)
}

fn neighbors(
    (base, asn): (Ipv4Addr, u32),
    count: usize,
    hold_time: u16,
    is_told: bool,
) -> Vec<Neighbor> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let neighbor = |i| Neighbor {
        peer: Peer {
            address: Ipv4Addr::from(u32::from(base) + i / IN_A_24 * 256 + i % IN_A_24),
            asn: asn + i,
            hold_time,
        },
        is_told,
        has_bfd: false,
        is_probed: false,
    };
    (0..count).map(neighbor).collect()
}
