//! BFD's UDP sockets: one that listens for each port and family, and one that sends for each session.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use bfd::{LEN_MAX, Path};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, cmsg_space, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::plain;
use crate::gate;

/// RFC 5881 §5.
const TTL: u32 = 255;
/// DSCP CS6, as routing protocols use (RFC 4594 §3.1).
const TOS_NETWORK_CONTROL: u32 = 0xc0;
/// RFC 5881 §4: source ports are from here on.
const SOURCE_PORT_FIRST: u16 = 49152;
const SOURCE_PORTS: u16 = u16::MAX - SOURCE_PORT_FIRST;
/// Source ports that are tried before a session goes without.
const SOURCE_PORT_TRIES: u16 = 64;
/// What a control message buffer must hold: packet information of either family, and the TTL.
const CONTROL_SPACE: usize =
    cmsg_space::<libc::in6_pktinfo>() + cmsg_space::<libc::in_pktinfo>() + cmsg_space::<i32>();

/// A datagram, and where it came from.
pub(super) struct Datagram {
    octets: [u8; LEN_MAX],
    len: usize,
    pub(super) remote: IpAddr,
    pub(super) local: IpAddr,
    pub(super) interface: Option<String>,
    pub(super) ttl: u8,
}

impl Datagram {
    pub(super) fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

/// A socket that hears all neighbors.
pub(super) struct Listener {
    socket: Socket,
    control: Vec<u8>,
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
        if ipv4 {
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        socket.bind(&address.into())?;
        Ok(Self {
            socket,
            control: vec![0; CONTROL_SPACE],
        })
    }

    /// The next datagram; `None`: there is none now.
    pub(super) fn receive(&mut self) -> Option<Datagram> {
        let mut octets = [0; LEN_MAX];
        let mut slices = [IoSliceMut::new(&mut octets)];
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
        let len = message.bytes.min(LEN_MAX);
        let remote = message.address.and_then(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })?;
        // Only a neighbor that does not know us yet is told by its device: no name is looked up for all others.
        let stranger = octets.get(8..12) == Some(&[0; 4]);
        let interface = stranger.then(|| gate::interface_name(index)).flatten();
        Some(Datagram {
            octets,
            len,
            remote: plain(remote),
            local: plain(local.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
            interface,
            ttl,
        })
    }
}

/// A session's own socket.
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
        if remote.is_ipv4() {
            socket.set_ttl_v4(TTL)?;
            socket.set_tos_v4(TOS_NETWORK_CONTROL)?;
        } else {
            socket.set_only_v6(true)?;
            socket.set_unicast_hops_v6(TTL)?;
            socket.set_tclass_v6(TOS_NETWORK_CONTROL)?;
        }
        if let Some(interface) = interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        let any: IpAddr = if remote.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let local = path.local.unwrap_or(any);
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
        match self.socket.send_to(octets, &self.remote.into()) {
            // What ICMP said of an earlier packet says nothing of the path: the neighbor may be starting.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            result => result.map(drop),
        }
    }
}

fn datagrams(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::DGRAM.nonblocking();
    Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))
}

fn scoped(address: IpAddr, port: u16, scope: Option<u32>) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, port, 0, scope.unwrap_or(0)).into()
        }
        IpAddr::V4(_) | IpAddr::V6(_) => SocketAddr::new(address, port),
    }
}
