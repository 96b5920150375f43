//! UDP sockets: one that listens for each service and family, one that sends for each BFD session, one for each link.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use bfd::Path;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, cmsg_space, recvmsg, sendmsg,
    setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use speaker::links::LinkPath;

use crate::gate;

/// RFC 5881 §5; RFC 8762 §4.2.
const TTL: u32 = 255;
/// DSCP CS6, as routing protocols use (RFC 4594 §3.1).
const TOS_NETWORK_CONTROL: u32 = 0xc0;
/// RFC 5881 §4: source ports are from here on.
const SOURCE_PORT_FIRST: u16 = 49152;
const SOURCE_PORTS: u16 = u16::MAX - SOURCE_PORT_FIRST;
/// Source ports that are tried before a session goes without.
const SOURCE_PORT_TRIES: u16 = 64;
/// Octets of the largest packet that is read: a padded probe. What is longer is cut, and then refused.
const PACKET_MAX: usize = 2048;
/// What the kernel keeps for a socket that hears many, if it may: a burst of noise is not to push packets out.
pub(super) const RECEIVE_OCTETS: usize = 1 << 20;
/// What a control message buffer must hold: packet information of either family, and the TTL.
const CONTROL_SPACE: usize =
    cmsg_space::<libc::in6_pktinfo>() + cmsg_space::<libc::in_pktinfo>() + cmsg_space::<i32>();

/// A datagram, and where it came from.
pub(super) struct Packet<'a> {
    pub(super) octets: &'a [u8],
    pub(super) from: SocketAddr,
    pub(super) local: IpAddr,
    /// The index of the device it came on.
    pub(super) interface: u32,
    pub(super) ttl: u8,
}

/// A socket that hears all neighbors.
pub(super) struct Listener {
    socket: Socket,
    control: Vec<u8>,
    octets: Box<[u8; PACKET_MAX]>,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Listener {
    pub(super) fn open(ipv4: bool, port: u16) -> io::Result<Self> {
        let address: SocketAddr = if ipv4 {
            (Ipv4Addr::UNSPECIFIED, port).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, port).into()
        };
        let socket = datagrams(address)?;
        mark(&socket, ipv4)?;
        socket.set_recv_buffer_size(RECEIVE_OCTETS)?;
        if ipv4 {
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        socket.bind(&address.into())?;
        Ok(Self {
            socket,
            control: vec![0; CONTROL_SPACE],
            octets: Box::new([0; PACKET_MAX]),
        })
    }

    /// The next datagram; `None`: there is none now.
    pub(super) fn receive(&mut self) -> Option<Packet<'_>> {
        let mut slices = [IoSliceMut::new(&mut *self.octets)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let message =
            recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut self.control), flags).ok()?;
        let (mut local, mut index, mut ttl) = (None, 0, 0);
        // Control messages that did not fit leave a TTL of zero, which no session takes.
        for control in message.cmsgs().into_iter().flatten() {
            if let ControlMessageOwned::Ipv4PacketInfo(info) = control {
                let octets = info.ipi_addr.s_addr.to_ne_bytes();
                local = Some(IpAddr::from(octets));
                index = u32::try_from(info.ipi_ifindex).unwrap_or_default();
            } else if let ControlMessageOwned::Ipv6PacketInfo(info) = control {
                local = Some(IpAddr::from(info.ipi6_addr.s6_addr));
                index = info.ipi6_ifindex;
            } else if let ControlMessageOwned::Ipv4Ttl(hops)
            | ControlMessageOwned::Ipv6HopLimit(hops) = control
            {
                ttl = u8::try_from(hops).unwrap_or_default();
            }
        }
        let len = message.bytes;
        let from = message.address.and_then(|address| {
            let v4 = address.as_sockaddr_in();
            let v4 = v4.map(|v4| SocketAddr::from((v4.ip(), v4.port())));
            v4.or_else(|| {
                address
                    .as_sockaddr_in6()
                    .map(|v6| SocketAddrV6::from(*v6).into())
            })
        })?;
        let octets = self.octets.get(..len)?;
        Some(Packet {
            octets,
            from,
            local: plain(local.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
            interface: index,
            ttl,
        })
    }

    /// Sends from this port and `local`. What cannot be sent is lost, and counted so by the sender of the probe.
    pub(super) fn answer(&self, local: IpAddr, to: SocketAddr, octets: &[u8]) {
        let slices = [IoSlice::new(octets)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let to = SockaddrStorage::from(to);
        let sent = match local {
            IpAddr::V4(local) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from_ne_bytes(local.octets()),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmsg(fd, &slices, &control, flags, Some(&to))
            }
            IpAddr::V6(local) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: local.octets(),
                    },
                    ipi6_ifindex: 0,
                };
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmsg(fd, &slices, &control, flags, Some(&to))
            }
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a probe could not be answered");
        }
    }
}

/// A BFD session's own socket.
pub(super) struct Sender {
    socket: Socket,
    remote: SocketAddr,
}

impl Sender {
    /// `salt` spreads the source ports.
    pub(super) fn open(path: &Path, salt: u32) -> io::Result<Self> {
        let interface = path.interface.as_deref();
        let scope = interface.and_then(gate::scope_of);
        let remote = scoped(path.remote, path.hops.port(), scope);
        let socket = datagrams(remote)?;
        mark(&socket, remote.is_ipv4())?;
        if let Some(interface) = interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        let local = path.local.unwrap_or(any(remote));
        let first = u16::try_from(salt % u32::from(SOURCE_PORTS)).unwrap_or_default();
        for next in 0..SOURCE_PORT_TRIES {
            let port = SOURCE_PORT_FIRST + (first + next) % SOURCE_PORTS;
            match socket.bind(&scoped(local, port, scope).into()) {
                Ok(()) => return Ok(Self { socket, remote }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    pub(super) fn send(&self, octets: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to(octets, &self.remote.into());
        forgive_refusal(sent)
    }
}

/// A link's own socket: probes leave from it, and only the neighbor's answers come to it.
pub(crate) struct ProbeSocket {
    socket: Socket,
    octets: Box<[u8; PACKET_MAX]>,
}

impl AsFd for ProbeSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl ProbeSocket {
    pub(crate) fn open(path: &LinkPath, port: u16) -> io::Result<Self> {
        let interface = path.interface.as_deref();
        let scope = interface.and_then(gate::scope_of);
        let remote = scoped(path.remote, port, scope);
        let socket = datagrams(remote)?;
        mark(&socket, remote.is_ipv4())?;
        if let Some(interface) = interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        let local = path.local.unwrap_or(any(remote));
        socket.bind(&scoped(local, 0, scope).into())?;
        socket.connect(&remote.into())?;
        let octets = Box::new([0; PACKET_MAX]);
        Ok(Self { socket, octets })
    }

    pub(crate) fn send(&self, octets: &[u8]) -> io::Result<()> {
        forgive_refusal(self.socket.send(octets))
    }

    /// The next answer; `None`: there is none now.
    pub(crate) fn receive(&mut self) -> Option<&[u8]> {
        let len = (&self.socket).read(&mut *self.octets).ok()?;
        self.octets.get(..len)
    }
}

/// What ICMP said of an earlier packet says nothing of the path: the neighbor may be starting.
fn forgive_refusal(sent: io::Result<usize>) -> io::Result<()> {
    match sent {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        result => result.map(drop),
    }
}

fn datagrams(address: SocketAddr) -> io::Result<Socket> {
    let (domain, kind) = (Domain::for_address(address), Type::DGRAM.nonblocking());
    let socket = Socket::new(domain, kind, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// What all packets of ours have.
pub(super) fn mark(socket: &Socket, ipv4: bool) -> io::Result<()> {
    if ipv4 {
        socket.set_ttl_v4(TTL)?;
        socket.set_tos_v4(TOS_NETWORK_CONTROL)
    } else {
        socket.set_unicast_hops_v6(TTL)?;
        socket.set_tclass_v6(TOS_NETWORK_CONTROL)
    }
}

pub(super) fn any(like: SocketAddr) -> IpAddr {
    if like.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    }
}

/// The address without the IPv4 inside IPv6.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

pub(super) fn scoped(address: IpAddr, port: u16, scope: Option<u32>) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, port, 0, scope.unwrap_or(0)).into()
        }
        IpAddr::V4(_) | IpAddr::V6(_) => SocketAddr::new(address, port),
    }
}

#[cfg(test)]
mod tests;
