//! Whether a kernel has routes, asked for one at a time. To have it count them all, it walks through all of them, which
//! takes it longer than to take in some thousand: who counts again and again takes a processor from the device.

use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, ensure};
use bgp_core::{Ipv4Prefix, Prefix as _};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::lab::Host;

/// Types of messages (linux/rtnetlink.h).
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
/// NLM_F_REQUEST.
const REQUEST: u16 = 1;
/// RTM_F_FIB_MATCH: the route itself is wanted, not what is made of it for a packet.
const FIB_MATCH: u32 = 0x2000;
const RTA_DST: u16 = 1;
const INET: u8 = 2;
/// Octets of `nlmsghdr`, and with `rtmsg` and an address's attribute.
const HEADER: usize = 16;
const REQUEST_LEN: u32 = 16 + 12 + 8;
const ADDRESS_LEN: u16 = 8;
/// An answer is there at once, or never.
const ANSWER_S: i64 = 5;

/// Asks a kernel for some routes.
#[derive(Debug)]
pub(super) struct Lookup {
    socket: OwnedFd,
    prefixes: Vec<Ipv4Prefix>,
}

impl Lookup {
    /// In the namespace of `host`, for these prefixes.
    ///
    /// # Errors
    /// There is no socket.
    pub(super) fn open(host: &Host, prefixes: Vec<Ipv4Prefix>) -> Result<Self> {
        let socket = host.within(|| {
            let protocol = SockProtocol::NetlinkRoute;
            let flags = SockFlag::SOCK_CLOEXEC;
            let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
            setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(ANSWER_S, 0))?;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
            Ok(socket)
        })?;
        Ok(Self { socket, prefixes })
    }

    /// Whether it has all of them, or `wanted` is false and it has none.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) fn has(&self, wanted: bool) -> Result<bool> {
        for prefix in &self.prefixes {
            if self.has_one(*prefix)? != wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One that is more specific counts as well: the prefix's first address is looked up.
    fn has_one(&self, prefix: Ipv4Prefix) -> Result<bool> {
        send(self.socket.as_raw_fd(), &request(prefix), MsgFlags::empty())?;
        let mut answer = [0; 4096];
        let length = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty());
        let answer = answer.get(..length?).unwrap_or_default();
        let kind = answer.get(4..6).context("a short answer")?;
        let length = answer.get(HEADER + 1).copied().unwrap_or_default();
        ensure!(answer.len() > HEADER, "a short answer");
        Ok(kind == NEW_ROUTE.to_ne_bytes() && length >= prefix.len())
    }
}

fn request(prefix: Ipv4Prefix) -> Vec<u8> {
    let mut octets = Vec::new();
    octets.extend(REQUEST_LEN.to_ne_bytes());
    octets.extend(GET_ROUTE.to_ne_bytes());
    octets.extend(REQUEST.to_ne_bytes());
    // Its number, and whose it is.
    octets.extend([0; 8]);
    // All of the address.
    octets.extend([INET, 32, 0, 0, 0, 0, 0, 0]);
    octets.extend(FIB_MATCH.to_ne_bytes());
    octets.extend(ADDRESS_LEN.to_ne_bytes());
    octets.extend(RTA_DST.to_ne_bytes());
    octets.extend(prefix.octets());
    octets
}
