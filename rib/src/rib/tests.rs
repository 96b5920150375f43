//! A naive model of the RIB, and random lives that it must agree with.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgp_core::attributes::{AsPath, Community, Origin};
use bgp_core::header::next_frame;
use bgp_core::update::{DecodeContext, EncodeContext, announce, encode_attributes, withdraw};
use bytes::BytesMut;

use super::*;
use crate::next_hop::{NextHopChange, NextHopKey, Resolved};
use crate::peer::{AsPathRules, Drain, LocalAddresses, NextHopRule, PrivateAs};
use crate::policy::Chain;

mod add_path;
mod aggregates;
mod as_paths;
mod attributes;
mod groups;
mod model;
mod queries;
mod recursive;
mod refresh;
mod served;
mod station;
mod tallies;

const OURS: u32 = 64999;
const OUR_ID: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);

/// What kind of peer a test wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sort {
    External,
    Internal,
    Client,
    /// External, and a route server's client.
    Served,
}

fn config() -> Config {
    Config {
        local_asn: OURS,
        identifier: OUR_ID,
        cluster_id: OUR_ID,
        client_to_client: true,
        multipath: Multipath::NONE,
        seed: 1,
        assume_reachable: true,
        fib: true,
    }
}

fn address(peer: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + peer)
}

fn session(peer: u32, sort: Sort) -> PeerSession {
    let asn = match sort {
        Sort::External | Sort::Served => 65000 + peer,
        Sort::Internal | Sort::Client => OURS,
    };
    let families = PerFamily {
        ipv4: true,
        ipv6: true,
    };
    PeerSession {
        asn,
        identifier: address(peer),
        address: address(peer).into(),
        group: None,
        local_asn: OURS,
        local: LocalAddresses {
            ipv4: Some(OUR_ID),
            ipv6: Some("2001:db8::1".parse().unwrap()),
            link_local: None,
        },
        interface: None,
        direct: false,
        decode: DecodeContext {
            four_octet_as: true,
            external: matches!(sort, Sort::External | Sort::Served),
            aigp: true,
            families,
            ..DecodeContext::default()
        },
        four_octet_as: true,
        max_message: 4096,
        add_path_send: PerFamily::default(),
        extended_next_hop: false,
        import: Some(Chain::accept_all()),
        export: Some(Chain::accept_all()),
        next_hop: NextHopRule::Standard,
        rr_client: sort == Sort::Client,
        rs_client: sort == Sort::Served,
        allow_local_as: 0,
        as_path: AsPathRules::default(),
        aigp: true,
        link_bandwidth: false,
        role: None,
        drain: Drain::None,
        long_lived: false,
    }
}

const CONTEXT: EncodeContext = EncodeContext {
    four_octet_as: true,
    add_path: false,
    max_message: 4096,
};

/// The bodies of the messages in `bytes`.
fn bodies(mut bytes: &[u8]) -> Vec<Bytes> {
    let mut bodies = Vec::new();
    while let Some(frame) = next_frame(bytes, 65535).unwrap() {
        bodies.push(Bytes::copy_from_slice(frame.body));
        bytes = &bytes[frame.len..];
    }
    bodies
}

fn update_of<P: Prefix>(prefix: P, attributes: Option<&Attributes>) -> Bytes {
    let mut out = BytesMut::new();
    let prefixes = std::iter::once((0, prefix));
    match attributes {
        Some(attributes) => {
            let mut block = Vec::new();
            encode_attributes(attributes, true, &mut block);
            announce(&block, attributes.next_hop, prefixes, &CONTEXT, &mut out).unwrap();
        }
        None => withdraw(prefixes, &CONTEXT, &mut out),
    }
    bodies(&out).remove(0)
}

/// An UPDATE's body: an announcement, or a withdrawal.
fn update(prefix: &str, attributes: Option<&Attributes>) -> Bytes {
    let prefix: IpNet = prefix.parse().unwrap();
    match Ipv4Prefix::from_net(prefix) {
        Some(prefix) => update_of(prefix, attributes),
        None => update_of(Ipv6Prefix::from_net(prefix).unwrap(), attributes),
    }
}

fn route(path: impl IntoIterator<Item = u32>) -> Attributes {
    let next_hop = NextHop::V4(Ipv4Addr::new(10, 1, 0, 1));
    Attributes::new(Origin::Igp, AsPath::sequence(path), next_hop)
}

/// What a peer knows: it reads what it is told.
#[derive(Clone, Debug, Default)]
struct Listener {
    external: bool,
    /// It is told Path Identifiers, and keeps the paths by them.
    add_path: bool,
    routes: BTreeMap<IpNet, Attributes>,
    paths: BTreeMap<(IpNet, u32), Attributes>,
    end_of_rib: Vec<Family>,
    marks: usize,
    withdrawals: usize,
}

impl Listener {
    fn of(sort: Sort) -> Self {
        Self {
            external: matches!(sort, Sort::External | Sort::Served),
            ..Self::default()
        }
    }

    fn hear(&mut self, bytes: &[Bytes]) {
        let context = DecodeContext {
            four_octet_as: true,
            external: self.external,
            aigp: true,
            families: PerFamily {
                ipv4: true,
                ipv6: true,
            },
            extended_next_hop: true,
            add_path: PerFamily {
                ipv4: self.add_path,
                ipv6: self.add_path,
            },
            ..DecodeContext::default()
        };
        for bytes in bytes {
            let mut bytes = &bytes[..];
            while let Some(frame) = next_frame(bytes, 65535).unwrap() {
                bytes = &bytes[frame.len..];
                if frame.kind != bgp_core::Kind::Update {
                    self.marks += 1;
                    continue;
                }
                let update = decode(frame.body, &context).unwrap();
                assert!(update.faults.is_empty() && !update.treat_as_withdraw);
                self.end_of_rib.extend(update.end_of_rib);
                for nlri in update.withdrawn {
                    for (id, prefix) in nets(nlri) {
                        self.routes.remove(&prefix);
                        self.paths.remove(&(prefix, id));
                        self.withdrawals += 1;
                    }
                }
                for (next_hop, nlri) in update.announced {
                    let mut attributes = update.attributes.clone().unwrap();
                    attributes.next_hop = next_hop;
                    for (id, prefix) in nets(nlri) {
                        self.routes.insert(prefix, attributes.clone());
                        self.paths.insert((prefix, id), attributes.clone());
                    }
                }
            }
        }
    }
}

fn nets(nlri: Nlri<'_>) -> Vec<(u32, IpNet)> {
    let v4 = nlri.iter::<Ipv4Prefix>().map(|(id, p)| (id, p.into()));
    v4.chain(nlri.iter::<Ipv6Prefix>().map(|(id, p)| (id, p.into())))
        .collect()
}

/// A RIB with one sender (peer 0) and one listener (peer 1).
fn pair(from: Sort, to: Sort) -> (Rib, Listener) {
    let mut rib = Rib::new(config());
    rib.peer_up(PeerId(0), session(0, from));
    rib.peer_up(PeerId(1), session(1, to));
    (rib, Listener::of(to))
}

fn drain(rib: &mut Rib, peer: u32, listener: &mut Listener) {
    let mut out = Vec::new();
    while rib.transmit(PeerId(peer), 100, &mut out) {}
    listener.hear(&out);
}
