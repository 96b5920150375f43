//! WireGuard's family of generic netlink.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel's attributes: what is not asked for is passed over"
)]

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_generic::GenlMessage;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAllowedIpFlags,
    WireguardAttribute, WireguardCmd, WireguardMessage, WireguardPeer, WireguardPeerAttribute,
    WireguardPeerFlags,
};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use std::os::fd::AsFd as _;

use crate::wireguard::{Change, Peer, PeerKey};

/// The kernel answers at once; if not, the answer was lost.
const ANSWER_MAX: TimeVal = TimeVal::new(2, 0);
/// A device that changed while it was read is read again, so often at most.
const READS_MAX: u32 = 5;
/// `struct nlmsghdr`.
const HEADER: usize = 16;

#[derive(Debug)]
pub(super) struct Generic {
    socket: Socket,
    family: u16,
}

/// What the kernel tells in several messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answers {
    Whole,
    /// Something was changed after the first of them: the kernel ends a list there, and says so.
    Interrupted,
}

impl Generic {
    /// # Errors
    /// `ENOENT`: the kernel has no WireGuard.
    pub(super) fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_GENERIC)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let _ = socket.set_cap_ack(true);
        setsockopt(&socket.as_fd(), sockopt::ReceiveTimeout, &ANSWER_MAX)?;
        let mut generic = Self { socket, family: 0 };
        let name = GenlCtrlAttrs::FamilyName("wireguard".to_owned());
        let message = GenlMessage::from_payload(GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![name],
        });
        generic.send(message, NLM_F_REQUEST | NLM_F_ACK)?;
        let mut family = None;
        generic.answers(|message: GenlMessage<GenlCtrl>| {
            let id = |attribute: &GenlCtrlAttrs| match attribute {
                GenlCtrlAttrs::FamilyId(id) => Some(*id),
                _ => None,
            };
            family = family.or(message.payload.nlas.iter().find_map(id));
        })?;
        generic.family = family.ok_or(io::Error::from_raw_os_error(libc::ENOENT))?;
        Ok(generic)
    }

    /// # Errors
    /// `EINTR`: it changes all the time. Half a list is no answer.
    pub(super) fn read(&mut self, device: &str) -> io::Result<Vec<Peer>> {
        for _ in 0..READS_MAX {
            let dump = NLM_F_REQUEST | NLM_F_ACK | NLM_F_DUMP;
            self.send(get(device, self.family), dump)?;
            let mut peers = Peers::default();
            let answers =
                self.answers(|message: GenlMessage<WireguardMessage>| peers.add(message.payload))?;
            if answers == Answers::Whole {
                return Ok(peers.list);
            }
        }
        Err(io::Error::from_raw_os_error(libc::EINTR))
    }

    pub(super) fn change(&mut self, change: &Change) -> io::Result<()> {
        self.send(set(change, self.family), NLM_F_REQUEST | NLM_F_ACK)?;
        self.answers(|_: GenlMessage<WireguardMessage>| {})
            .map(drop)
    }

    fn send<T: NetlinkSerializable>(&self, message: T, flags: u16) -> io::Result<()> {
        let octets = octets(message, flags);
        self.socket.send(&octets, 0).map(drop)
    }

    /// Passes on what comes, until the kernel says that this was all or what was wrong.
    fn answers<T: NetlinkDeserializable>(&self, mut take: impl FnMut(T)) -> io::Result<Answers> {
        let mut answers = Answers::Whole;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = datagram.as_slice();
            while let Some(length) = message_length(rest) {
                let message = rest.get(..length).unwrap_or(rest);
                let message = NetlinkMessage::<T>::deserialize(message)
                    .map_err(|_| io::Error::from_raw_os_error(libc::EPROTO))?;
                if message.header.flags & NLM_F_DUMP_INTR != 0 {
                    answers = Answers::Interrupted;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(inner) => take(inner),
                    NetlinkPayload::Error(error) => return answer(error.code).map(|()| answers),
                    NetlinkPayload::Done(done) => {
                        let code = std::num::NonZeroI32::new(done.code);
                        return answer(code.filter(|code| code.get() < 0)).map(|()| answers);
                    }
                    _ => {}
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

fn answer(code: Option<std::num::NonZeroI32>) -> io::Result<()> {
    code.map_or(Ok(()), |code| {
        Err(io::Error::from_raw_os_error(code.get().saturating_abs()))
    })
}

fn message_length(octets: &[u8]) -> Option<usize> {
    let length = u32::from_ne_bytes(octets.get(..4)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?;
    (HEADER..=octets.len()).contains(&length).then_some(length)
}

fn octets<T: NetlinkSerializable>(message: T, flags: u16) -> Vec<u8> {
    let mut message = NetlinkMessage::new(
        netlink_packet_core::NetlinkHeader::default(),
        NetlinkPayload::InnerMessage(message),
    );
    message.header.flags = flags;
    message.finalize();
    let mut octets = vec![0; message.buffer_len()];
    message.serialize(&mut octets);
    octets
}

fn request(
    cmd: WireguardCmd,
    attributes: Vec<WireguardAttribute>,
    family: u16,
) -> GenlMessage<WireguardMessage> {
    let mut message = GenlMessage::from_payload(WireguardMessage { cmd, attributes });
    message.set_resolved_family_id(family);
    message
}

fn get(device: &str, family: u16) -> GenlMessage<WireguardMessage> {
    let name = WireguardAttribute::IfName(device.to_owned());
    request(WireguardCmd::GetDevice, vec![name], family)
}

/// The device by its index: another one may have its name by now. The peer must be there, or nothing happens.
fn set(change: &Change, family: u16) -> GenlMessage<WireguardMessage> {
    let prefixes = change.prefixes.iter();
    let prefixes = prefixes
        .map(|prefix| allowed_ip(prefix, change.remove))
        .collect();
    let peer = WireguardPeer(vec![
        WireguardPeerAttribute::PublicKey(change.peer.0),
        WireguardPeerAttribute::Flags(WireguardPeerFlags::UpdateOnly),
        WireguardPeerAttribute::AllowedIps(prefixes),
    ]);
    let attributes = vec![
        WireguardAttribute::IfIndex(change.interface),
        WireguardAttribute::Peers(vec![peer]),
    ];
    request(WireguardCmd::SetDevice, attributes, family)
}

fn allowed_ip(prefix: &IpNet, remove: bool) -> WireguardAllowedIp {
    let family = match prefix {
        IpNet::V4(_) => WireguardAddressFamily::Ipv4,
        IpNet::V6(_) => WireguardAddressFamily::Ipv6,
    };
    let mut attributes = vec![
        WireguardAllowedIpAttr::Family(family),
        WireguardAllowedIpAttr::IpAddr(prefix.network()),
        WireguardAllowedIpAttr::Cidr(prefix.prefix_len()),
    ];
    if remove {
        let flags = WireguardAllowedIpFlags::RemoveMe;
        attributes.push(WireguardAllowedIpAttr::Flags(flags));
    }
    WireguardAllowedIp(attributes)
}

/// A device's peers. One with many AllowedIPs is told in several messages.
#[derive(Debug, Default)]
struct Peers {
    list: Vec<Peer>,
    places: BTreeMap<PeerKey, usize>,
}

impl Peers {
    fn add(&mut self, message: WireguardMessage) {
        for attribute in message.attributes {
            if let WireguardAttribute::Peers(peers) = attribute {
                peers.into_iter().for_each(|peer| self.add_peer(peer));
            }
        }
    }

    fn add_peer(&mut self, WireguardPeer(attributes): WireguardPeer) {
        let key = |attribute: &WireguardPeerAttribute| match attribute {
            WireguardPeerAttribute::PublicKey(key) => Some(PeerKey(*key)),
            _ => None,
        };
        let Some(key) = attributes.iter().find_map(key) else {
            return;
        };
        let place = *self.places.entry(key).or_insert(self.list.len());
        if place == self.list.len() {
            self.list.push(Peer::new(key));
        }
        let Some(peer) = self.list.get_mut(place) else {
            return;
        };
        for attribute in attributes {
            match attribute {
                WireguardPeerAttribute::Endpoint(endpoint) => peer.endpoint = Some(endpoint),
                WireguardPeerAttribute::RxBytes(octets) => peer.received = octets,
                WireguardPeerAttribute::TxBytes(octets) => peer.sent = octets,
                WireguardPeerAttribute::LastHandshake(at) => {
                    let seconds = u64::try_from(at.seconds)
                        .ok()
                        .filter(|seconds| *seconds > 0);
                    peer.last_handshake = seconds.map(Duration::from_secs);
                }
                WireguardPeerAttribute::AllowedIps(nets) => {
                    peer.allowed_ips.extend(nets.iter().filter_map(prefix_of));
                }
                _ => {}
            }
        }
    }
}

fn prefix_of(WireguardAllowedIp(attributes): &WireguardAllowedIp) -> Option<IpNet> {
    let address = |attribute: &WireguardAllowedIpAttr| match attribute {
        WireguardAllowedIpAttr::IpAddr(address) => Some(*address),
        _ => None,
    };
    let length = |attribute: &WireguardAllowedIpAttr| match attribute {
        WireguardAllowedIpAttr::Cidr(length) => Some(*length),
        _ => None,
    };
    let address: IpAddr = attributes.iter().find_map(address)?;
    IpNet::new(address, attributes.iter().find_map(length)?).ok()
}

#[cfg(test)]
mod tests;
