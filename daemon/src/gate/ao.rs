//! TCP-AO (RFC 5925) as Linux has it since 6.7, where it was built with CONFIG_TCP_AO.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};

use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};
use speaker::config::{AoAlgorithm, Secret, TcpAo};

use super::md5::{KEY_MAX, set, storage};

const TCP_AO_ADD_KEY: i32 = 38;
const TCP_AO_DEL_KEY: i32 = 39;
/// RFC 5926 §3.1.1, §3.1.2: 96 bits.
const MAC_LEN: u8 = 12;

/// `struct tcp_ao_add` of linux/tcp.h.
#[repr(C, align(8))]
struct Add {
    /// A `struct sockaddr_storage`.
    address: [u8; 128],
    algorithm: [u8; 64],
    interface: i32,
    /// `set_current`, `set_rnext`: the first key of a connection is both anyway.
    flags: u32,
    reserved: u16,
    prefix_len: u8,
    send_id: u8,
    receive_id: u8,
    mac_len: u8,
    key_flags: u8,
    key_len: u8,
    key: [u8; KEY_MAX],
}

/// `struct tcp_ao_del`.
#[repr(C, align(8))]
struct Delete {
    address: [u8; 128],
    interface: i32,
    flags: u32,
    reserved: u16,
    prefix_len: u8,
    send_id: u8,
    receive_id: u8,
    current: u8,
    next: u8,
    key_flags: u8,
}

/// Why this kernel takes no key, if it takes none.
pub(crate) fn ao_refusal() -> Option<io::Error> {
    let probe = TcpAo {
        key: Secret(b"probe".to_vec()),
        send_id: 1,
        receive_id: 1,
        algorithm: AoAlgorithm::HmacSha1,
    };
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP));
    let set = |socket: Socket| set_peer_key(socket.as_fd(), Ipv4Addr::LOCALHOST.into(), &probe);
    socket.and_then(set).err()
}

/// Sets the key for the one peer of a connecting socket.
pub(super) fn set_peer_key(fd: BorrowedFd<'_>, remote: IpAddr, key: &TcpAo) -> io::Result<()> {
    set(
        fd,
        libc::IPPROTO_TCP,
        TCP_AO_ADD_KEY,
        &add(remote.into(), key)?,
    )
}

/// Sets (`present`) or deletes the key of a peer, or of a range of them, on a listening socket. What comes from there
/// without it is dropped (RFC 5925 §7.5).
pub(super) fn set_listen_key(
    fd: BorrowedFd<'_>,
    remote: IpNet,
    key: &TcpAo,
    present: bool,
) -> io::Result<()> {
    if present {
        return set(fd, libc::IPPROTO_TCP, TCP_AO_ADD_KEY, &add(remote, key)?);
    }
    match set(fd, libc::IPPROTO_TCP, TCP_AO_DEL_KEY, &delete(remote, key)) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result,
    }
}

fn add(remote: IpNet, of: &TcpAo) -> io::Result<Add> {
    let (mut key, secret) = ([0; KEY_MAX], &of.key.0);
    let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "the key is over 80 octets");
    key.get_mut(..secret.len())
        .ok_or_else(too_long)?
        .copy_from_slice(secret);
    let mut algorithm = [0; 64];
    for (to, from) in algorithm.iter_mut().zip(name(of.algorithm).bytes()) {
        *to = from;
    }
    Ok(Add {
        address: storage(remote.addr()),
        algorithm,
        interface: 0,
        flags: 0,
        reserved: 0,
        prefix_len: remote.prefix_len(),
        send_id: of.send_id,
        receive_id: of.receive_id,
        mac_len: MAC_LEN,
        key_flags: 0,
        key_len: u8::try_from(secret.len()).unwrap_or_default(),
        key,
    })
}

fn delete(remote: IpNet, of: &TcpAo) -> Delete {
    Delete {
        address: storage(remote.addr()),
        interface: 0,
        flags: 0,
        reserved: 0,
        prefix_len: remote.prefix_len(),
        send_id: of.send_id,
        receive_id: of.receive_id,
        current: 0,
        next: 0,
        key_flags: 0,
    }
}

/// As the kernel's crypto API calls it.
const fn name(algorithm: AoAlgorithm) -> &'static str {
    match algorithm {
        AoAlgorithm::HmacSha1 => "hmac(sha1)",
        AoAlgorithm::Aes128Cmac => "cmac(aes128)",
    }
}

#[cfg(test)]
mod tests;
