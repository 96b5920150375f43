//! A socket for ICMP echo: one that the kernel gives to everybody whose group may ping, or a raw one.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use path_score::icmp;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use speaker::links::LinkPath;

use super::socket::{RECEIVE_OCTETS, any, mark, scoped};
use crate::gate;

/// Octets of the largest reply that is read, header and all. What is longer is cut, and then refused.
const REPLY_MAX: usize = 256;
/// Of an echo reply (RFC 792; RFC 4443 §4.2).
const TYPE_V4: u32 = 0;
const TYPE_V6: u32 = 129;

/// A link's own. Replies to others do not wake us: the kernel gives this one those with its identifier alone.
pub(super) struct EchoSocket {
    socket: Socket,
    remote: SocketAddr,
    /// What is read begins with an IPv4 header.
    has_header: bool,
    octets: Box<[u8; REPLY_MAX]>,
}

impl AsFd for EchoSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl EchoSocket {
    /// Needs no privilege where `net.ipv4.ping_group_range` has our group, else `CAP_NET_RAW`. `identifier` is that of the
    /// requests; the kernel has another one for them where no privilege is needed.
    ///
    /// # Errors
    /// `PermissionDenied`: neither is there.
    pub(super) fn open(path: &LinkPath, identifier: u16) -> io::Result<Self> {
        match Self::of_kind(path, Type::DGRAM, None) {
            Err(error) if is_refused(&error) => Self::of_kind(path, Type::RAW, Some(identifier)),
            opened => opened,
        }
    }

    /// With an identifier, only replies with that one are heard.
    fn of_kind(path: &LinkPath, kind: Type, identifier: Option<u16>) -> io::Result<Self> {
        let interface = path.interface.as_deref();
        let scope = interface.and_then(gate::scope_of);
        let remote = scoped(path.remote, 0, scope);
        let ipv4 = remote.is_ipv4();
        let protocol = if ipv4 {
            Protocol::ICMPV4
        } else {
            Protocol::ICMPV6
        };
        let domain = Domain::for_address(remote);
        let socket = Socket::new(domain, kind.nonblocking(), Some(protocol))?;
        if let Some(identifier) = identifier {
            socket.attach_filter(&replies(ipv4, identifier))?;
        }
        mark(&socket, ipv4)?;
        socket.set_recv_buffer_size(RECEIVE_OCTETS)?;
        if let Some(interface) = interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        let local = path.local.unwrap_or(any(remote));
        socket.bind(&scoped(local, 0, scope).into())?;
        // It is not connected: what ICMP says of an earlier request would come as an error of the next one.
        Ok(Self {
            socket,
            remote,
            has_header: ipv4 && kind == Type::RAW,
            octets: Box::new([0; REPLY_MAX]),
        })
    }

    pub(super) fn send(&self, request: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to(request, &self.remote.into());
        sent.map(drop)
    }

    /// The next message; what is none is empty. `None`: there is none now.
    pub(super) fn receive(&mut self) -> Option<&[u8]> {
        let len = (&self.socket).read(&mut *self.octets).ok()?;
        let packet = self.octets.get(..len)?;
        match self.has_header {
            true => Some(icmp::in_ipv4(packet).unwrap_or_default()),
            false => Some(packet),
        }
    }
}

/// Our group may not ping, or the kernel has no such sockets.
fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
        || error.raw_os_error() == Some(libc::EPROTONOSUPPORT)
}

/// Lets echo replies with that identifier pass: in IPv4, behind a header that the kernel has looked at.
fn replies(ipv4: bool, identifier: u16) -> Vec<SockFilter> {
    /// BPF: X = 4 · (octet 0 & 15); A = octet X + k; A = two octets at X + k; whether A is k; let through k octets.
    const HEADER: u16 = 0xb1;
    const OCTET: u16 = 0x50;
    const PAIR: u16 = 0x48;
    const IS: u16 = 0x15;
    const PASS: u16 = 0x06;
    let kind = if ipv4 { TYPE_V4 } else { TYPE_V6 };
    let plain = |code, k| SockFilter::new(code, 0, 0, k);
    let unless = |k, over| SockFilter::new(IS, 0, over, k);
    // Without a header, X is 0, as it is at first.
    let header = ipv4.then(|| plain(HEADER, 0));
    let rest = [
        plain(OCTET, 0),
        unless(kind, 3),
        plain(PAIR, 4),
        unless(u32::from(identifier), 1),
        plain(PASS, u32::MAX),
        plain(PASS, 0),
    ];
    header.into_iter().chain(rest).collect()
}

#[cfg(test)]
mod tests;
