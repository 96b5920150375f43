//! The netlink socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};

/// What the kernel may keep for us: tens of thousands of facts.
const RECEIVE_BUFFER: usize = 32 * 1024 * 1024;
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
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        let _ = socket.add_membership(GROUP_NEXTHOP);
        Ok(Self {
            socket,
            port: address.port_number(),
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
