//! The netlink socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::NLM_F_MULTIPART;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{SockFilter, SockRef};

use super::encode::{RTM_DELNEXTHOP, RTM_NEWNEXTHOP};

/// What the kernel may keep for us: tens of thousands of facts.
const RECEIVE_BUFFER: usize = 32 * 1024 * 1024;
/// A batch must fit, also one of routes that name dozens of ways themselves.
pub(super) const SEND_BUFFER: usize = 4 * 1024 * 1024;
/// The longest datagram: the kernel makes them of at most 32 KiB.
const DATAGRAM_MAX: usize = 64 * 1024;
/// `RTNLGRP_LINK`, `_IPV4_IFADDR`, `_IPV4_ROUTE`, `_IPV6_IFADDR`, `_IPV6_ROUTE`.
const GROUPS: [u32; 5] = [1, 5, 7, 9, 11];
/// `RTNLGRP_NEXTHOP`; kernels before 5.3 have none.
const GROUP_NEXTHOP: u32 = 32;

#[derive(Debug)]
pub(super) struct Netlink {
    socket: Socket,
    /// Our port: messages to others have another one.
    pub(super) port: u32,
    buffer: Vec<u8>,
}

/// What reading gave.
#[derive(Debug)]
pub(super) enum Received<'a> {
    /// A datagram of one or more messages.
    Messages(&'a [u8]),
    /// Nothing at the moment.
    Nothing,
    /// The kernel had to drop messages.
    Overrun,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        let address = socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Without these, error messages are longer, and bursts are lost sooner.
        let _ = socket.set_cap_ack(true);
        if setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            let _ = setsockopt(&socket.as_fd(), sockopt::RcvBuf, &RECEIVE_BUFFER);
        }
        if setsockopt(&socket.as_fd(), sockopt::SndBufForce, &SEND_BUFFER).is_err() {
            let _ = setsockopt(&socket.as_fd(), sockopt::SndBuf, &SEND_BUFFER);
        }
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        let _ = socket.add_membership(GROUP_NEXTHOP);
        let port = address.port_number();
        // Without it, they are read and passed over.
        let _ = SockRef::from(&socket).attach_filter(&without_echoes(port));
        Ok(Self {
            socket,
            port,
            buffer: Vec::with_capacity(DATAGRAM_MAX),
        })
    }

    pub(super) fn send(&self, messages: &[u8]) -> io::Result<()> {
        self.socket.send(messages, 0).map(drop)
    }

    pub(super) fn receive(&mut self) -> io::Result<Received<'_>> {
        self.buffer.clear();
        match self
            .socket
            .recv(&mut self.buffer, libc::MSG_DONTWAIT | libc::MSG_TRUNC)
        {
            Ok(length) if length > self.buffer.len() => Ok(Received::Overrun),
            Ok(_) => Ok(Received::Messages(&self.buffer)),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => Ok(Received::Nothing),
                Some(libc::ENOBUFS) => Ok(Received::Overrun),
                _ => Err(error),
            },
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What the kernel tells of changes that this port made is not kept for it: the answer is all that it needs, and to read
/// the rest takes longer than to change a route. Dumps for the port, which have several parts, come as they are.
fn without_echoes(port: u32) -> [SockFilter; 11] {
    // A struct `nlmsghdr` (linux/netlink.h).
    const TYPE: u32 = 4;
    const FLAGS: u32 = 6;
    const PORT: u32 = 12;
    const KEEP: u32 = u32::MAX;
    const DROP: u32 = 0;
    let code = |parts: u32| u16::try_from(parts).unwrap_or_default();
    let load = |size, at| SockFilter::new(code(libc::BPF_LD | size | libc::BPF_ABS), 0, 0, at);
    let jump = |how, value, then, otherwise| {
        SockFilter::new(
            code(libc::BPF_JMP | how | libc::BPF_K),
            then,
            otherwise,
            value,
        )
    };
    let end = |verdict| SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, verdict);
    // Filters read big-endian, headers are the machine's.
    let short = |value: u16| u32::from(value.to_be());
    let is_kind = |kind, then, otherwise| jump(libc::BPF_JEQ, short(kind), then, otherwise);
    [
        load(libc::BPF_W, PORT),
        jump(libc::BPF_JEQ, port.to_be(), 0, 7),
        load(libc::BPF_H, FLAGS),
        jump(libc::BPF_JSET, short(NLM_F_MULTIPART), 5, 0),
        load(libc::BPF_H, TYPE),
        is_kind(libc::RTM_NEWROUTE, 4, 0),
        is_kind(libc::RTM_DELROUTE, 3, 0),
        is_kind(RTM_NEWNEXTHOP, 2, 0),
        is_kind(RTM_DELNEXTHOP, 1, 0),
        end(KEEP),
        end(DROP),
    ]
}
