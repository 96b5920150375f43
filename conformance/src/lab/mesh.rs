//! Three regions tied together by a full mesh of WireGuard tunnels, an interface a peer, over an Internet that can lose
//! packets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};

use super::{Host, KeyPair, Lab, Relay, WireGuard, lose};

/// Where a relay receives.
const RELAY_PORT: u16 = 52000;

/// A region: a gateway, Pods behind it, a tunnel to every other region.
#[derive(Debug)]
pub struct Region {
    /// Its name.
    pub name: &'static str,
    /// Three letters, for interface names.
    pub code: &'static str,
    /// Numbers its addresses: AS 65000 + it, tunnels 10.255.XY.X, Pods 10.(99 + it).0.0/16.
    pub index: u16,
}

/// Tokyo, New York, Nuremberg.
pub const REGIONS: [Region; 3] = [
    Region {
        name: "tokyo",
        code: "tyo",
        index: 1,
    },
    Region {
        name: "new-york",
        code: "nyc",
        index: 2,
    },
    Region {
        name: "nuremberg",
        code: "nue",
        index: 3,
    },
];

impl Region {
    /// Its AS number.
    #[must_use]
    pub const fn asn(&self) -> u16 {
        65000 + self.index
    }

    /// The first two octets of its Pods.
    #[must_use]
    pub fn pods(&self) -> String {
        format!("10.{}", 99 + self.index)
    }

    /// All of its Pods.
    #[must_use]
    pub fn cidr(&self) -> String {
        format!("{}.0.0/16", self.pods())
    }

    /// Its address on the Internet between the gateways.
    #[must_use]
    pub fn public(&self) -> String {
        format!("198.18.{}.2", self.index)
    }

    /// The address of the router that connects it.
    fn router(&self) -> String {
        format!("198.18.{}.1", self.index)
    }

    /// Where its tunnel to another region receives.
    const fn port(other: &Self) -> u16 {
        51820 + other.index
    }

    /// Its address in the tunnel to another region.
    #[must_use]
    pub fn tunnel(&self, other: &Self) -> String {
        let (low, high) = (self.index.min(other.index), self.index.max(other.index));
        format!("10.255.{low}{high}.{}", self.index)
    }

    /// The other regions.
    pub fn others(&self) -> impl Iterator<Item = &'static Self> {
        let index = self.index;
        REGIONS.iter().filter(move |region| region.index != index)
    }
}

impl Region {
    /// windrosed's peers in its configuration: the other regions, in the group `mesh`.
    #[must_use]
    pub fn windrosed_peers(&self) -> String {
        let peer = |other: &Self| {
            let (address, asn, name) = (other.tunnel(self), other.asn(), other.name);
            let device = self.device(other);
            format!(
                "\n[[peer]]\naddress = \"{address}\"\nasn = {asn}\ngroup = \"mesh\"\ninterface = \"{device}\"\n\
                 description = \"{name}\"\n"
            )
        };
        self.others().map(peer).collect()
    }

    /// The device of its tunnel to another region.
    #[must_use]
    pub fn device(&self, other: &Self) -> String {
        debug_assert_ne!(self.index, other.index);
        format!("wg-{}", other.code)
    }
}

/// The gateways of [`REGIONS`], their tunnels, and the Internet between them.
#[derive(Debug)]
pub struct Mesh {
    internet: Host,
    gateways: Vec<(&'static Region, Host)>,
    /// By whose it is, and to whom.
    tunnels: BTreeMap<(u16, u16), WireGuard>,
}

impl Mesh {
    /// Gateways, and what is between them.
    ///
    /// # Errors
    /// The kernel, or a program, refuses.
    pub fn new(lab: &Lab) -> Result<Self> {
        let mut mesh = Self {
            internet: lab.host("internet")?,
            gateways: Vec::new(),
            tunnels: BTreeMap::new(),
        };
        for region in &REGIONS {
            let gateway = mesh.gateway(lab, region)?;
            mesh.gateways.push((region, gateway));
        }
        mesh.connect(lab)?;
        Ok(mesh)
    }

    /// The gateways, as [`REGIONS`] are.
    #[must_use]
    pub fn gateways(&self) -> &[(&'static Region, Host)] {
        &self.gateways
    }

    /// How many tunnel interfaces there are, and whether the kernel runs all of them.
    #[must_use]
    pub fn tunnels(&self) -> (usize, bool) {
        let in_kernel = self.tunnels.values().all(WireGuard::in_kernel);
        (self.tunnels.len(), in_kernel)
    }

    /// A Pod with the tenth address of a /24, its default route to the first, on a router of its region.
    ///
    /// # Errors
    /// A name or an address is taken.
    pub fn pod(lab: &Lab, name: &str, router: &Host, subnet: &str) -> Result<Host> {
        let pod = lab.host(name)?;
        router.bridge("br-pod", &format!("{subnet}.1/24"))?;
        lab.link((&pod, "eth0"), (router, "pod"))?;
        router.ip("link set pod master br-pod")?;
        pod.address("eth0", &format!("{subnet}.10/24"))?;
        pod.ip(&format!("route add default via {subnet}.1"))?;
        Ok(pod)
    }

    /// Loses that share of what goes from one region to another, and of what comes back; all else is whole again.
    ///
    /// # Errors
    /// `nft` refuses.
    pub fn lose(&self, from: &Region, to: &Region, there: u8, back: u8) -> Result<()> {
        let (from, to) = (from.public(), to.public());
        lose(&self.internet, &[(&from, &to, there), (&to, &from, back)])
    }

    /// Has what goes between two regions pass through a relay, which can make it late. No other way is open to it:
    /// WireGuard sends to where packets last came from.
    ///
    /// # Errors
    /// `wg` or `nft` refuse, or there is one already.
    pub fn relay(&self, from: &Region, to: &Region, seed: u32) -> Result<Relay> {
        let at = |address: String, port| -> Result<SocketAddr> {
            Ok(SocketAddr::new(address.parse::<IpAddr>()?, port))
        };
        let side = |region: &Region, other: &Region| -> Result<_> {
            let inner = at(region.router(), RELAY_PORT)?;
            Ok((inner, at(region.public(), Region::port(other))?))
        };
        let (near, far) = (side(from, to)?, side(to, from)?);
        let relay = Relay::start(&self.internet, near, far, seed)?;
        self.lose(from, to, 100, 100)?;
        for (region, other, (inner, _)) in [(from, to, near), (to, from, far)] {
            let tunnel = self.tunnels.get(&(region.index, other.index));
            let tunnel = tunnel.context("no such tunnel")?;
            tunnel.redirect(&inner.to_string())?;
        }
        Ok(relay)
    }

    /// Lets it run on when this value is gone.
    pub(super) fn detach(self) {
        self.tunnels.into_values().for_each(WireGuard::detach);
    }

    fn gateway(&self, lab: &Lab, region: &Region) -> Result<Host> {
        let host = lab.host(region.name)?;
        let interface = format!("to-{}", region.code);
        lab.link((&host, "eth0"), (&self.internet, &interface))?;
        let router = region.router();
        self.internet.address(&interface, &format!("{router}/30"))?;
        host.address("eth0", &format!("{}/30", region.public()))?;
        host.ip(&format!("route add 198.18.0.0/16 via {router}"))?;
        host.address("lo", &format!("{}.0.1/32", region.pods()))?;
        Ok(host)
    }

    fn connect(&mut self, lab: &Lab) -> Result<()> {
        let keys: Vec<_> = REGIONS
            .iter()
            .map(|_| KeyPair::generate())
            .collect::<Result<_>>()?;
        for ((region, host), own) in self.gateways.iter().zip(&keys) {
            for (other, theirs) in REGIONS.iter().zip(&keys) {
                if other.index == region.index {
                    continue;
                }
                let tunnel = WireGuard::create(lab, host, &region.device(other))?;
                let endpoint = format!("{}:{}", other.public(), Region::port(region));
                let address = format!("{}/24", region.tunnel(other));
                let link_local = format!("fe80::{}/64", region.index);
                tunnel.connect(
                    own,
                    Region::port(other),
                    (theirs, &endpoint),
                    &[&address, &link_local],
                )?;
                let ends = (region.index, other.index);
                self.tunnels.insert(ends, tunnel);
            }
        }
        Ok(())
    }
}
