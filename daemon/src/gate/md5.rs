//! Socket options that no crate wraps: TCP MD5 (RFC 2385), the least TTL (RFC 5082), and the call for TCP-AO's.
//!
//! This file holds the daemon's only `unsafe`: `setsockopt` with a `repr(C)` value that lives on the stack
//! for the call, its size given. The kernel reads it and keeps nothing of it.
#![allow(unsafe_code)]

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use speaker::config::Secret;
use speaker::event::ListenKey;

/// TCP_MD5SIG_MAXKEYLEN of linux/tcp.h.
pub(crate) const KEY_MAX: usize = 80;
const TCP_MD5SIG: i32 = 14;
const TCP_MD5SIG_EXT: i32 = 32;
const FLAG_PREFIX: u8 = 1;
const FLAG_IFINDEX: u8 = 2;

/// `struct tcp_md5sig` of linux/tcp.h.
#[repr(C)]
struct Md5Sig {
    /// A `struct sockaddr_storage`.
    address: [u8; 128],
    flags: u8,
    prefix_len: u8,
    key_len: u16,
    interface: i32,
    key: [u8; KEY_MAX],
}

/// Sets the key for the one peer of a connecting socket.
pub(super) fn set_peer_key(fd: BorrowedFd<'_>, remote: IpAddr, key: &Secret) -> io::Result<()> {
    let value = signature(remote, &key.0)?;
    set(fd, libc::IPPROTO_TCP, TCP_MD5SIG, &value)
}

/// Sets (`present`) or deletes the key of a peer, or of a range of them, on a listening socket.
pub(super) fn set_listen_key(
    fd: BorrowedFd<'_>,
    key: &ListenKey,
    secret: &Secret,
    present: bool,
) -> io::Result<()> {
    let secret = if present { &secret.0[..] } else { &[] };
    let mut value = signature(key.remote.addr(), secret)?;
    value.flags = FLAG_PREFIX;
    value.prefix_len = key.remote.prefix_len();
    if let Some(index) = key.interface.as_deref().and_then(super::scope_of) {
        value.flags |= FLAG_IFINDEX;
        value.interface = i32::try_from(index).unwrap_or_default();
    }
    match set(fd, libc::IPPROTO_TCP, TCP_MD5SIG_EXT, &value) {
        Err(error) if !present && error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result,
    }
}

/// Has the kernel drop what comes with a smaller TTL or hop limit.
pub(super) fn set_min_ttl(fd: BorrowedFd<'_>, ipv4: bool, least: u8) -> io::Result<()> {
    let (level, option) = if ipv4 {
        (libc::IPPROTO_IP, libc::IP_MINTTL)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT)
    };
    set(fd, level, option, &i32::from(least))
}

fn signature(remote: IpAddr, secret: &[u8]) -> io::Result<Md5Sig> {
    let mut key = [0; KEY_MAX];
    let too_long = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the password is over 80 octets",
        )
    };
    key.get_mut(..secret.len())
        .ok_or_else(too_long)?
        .copy_from_slice(secret);
    Ok(Md5Sig {
        address: storage(remote),
        flags: 0,
        prefix_len: 0,
        key_len: u16::try_from(secret.len()).unwrap_or_default(),
        interface: 0,
        key,
    })
}

/// The octets of a `sockaddr_in` or `sockaddr_in6` with port 0.
pub(super) fn storage(address: IpAddr) -> [u8; 128] {
    let (family, at, octets) = match address {
        IpAddr::V4(v4) => (libc::AF_INET, 4, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, 8, v6.octets().to_vec()),
    };
    let family = u16::try_from(family).unwrap_or_default().to_ne_bytes();
    let mut whole = [0; 128];
    for (to, from) in whole.iter_mut().zip(family) {
        *to = from;
    }
    for (to, from) in whole.iter_mut().skip(at).zip(octets) {
        *to = from;
    }
    whole
}

pub(super) fn set<T>(fd: BorrowedFd<'_>, level: i32, option: i32, value: &T) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default();
    // SAFETY: `value` is a live reference to a `repr(C)` value or an integer of `size` bytes, which the
    // kernel only reads during the call; the descriptor is borrowed, so it is open.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
