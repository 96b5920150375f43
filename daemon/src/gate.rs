//! The gate: the one place that turns a stream into a session's and sets its socket options, both directions.

mod ao;
mod holder;
mod md5;

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use speaker::event::{Auth, Gate, ListenKey};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

pub(crate) use ao::ao_refusal;
pub(crate) use holder::who_listens;

/// How long a connect may take before it counts as failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that wait to be accepted: a full mesh that starts at once.
const BACKLOG: i32 = 1024;
/// DSCP CS6, as routing protocols use (RFC 4594 §3.1).
const TOS_NETWORK_CONTROL: u32 = 0xc0;
/// The listener's TTL: a peer with GTSM drops a SYN-ACK with less (RFC 5082 §3).
const LISTENER_TTL: u32 = 255;

/// Connects to `remote` with the gate's options set before the first packet.
pub(crate) async fn connect(
    remote: SocketAddr,
    local: Option<IpAddr>,
    gate: &Gate,
) -> io::Result<TcpStream> {
    let socket = match remote {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    let options = SockRef::from(&socket);
    set_options(&options, remote, gate)?;
    if let Some(key) = &gate.md5 {
        md5::set_peer_key(socket.as_fd(), remote.ip(), key)?;
    }
    if let Some(key) = &gate.ao {
        ao::set_peer_key(socket.as_fd(), remote.ip(), key)?;
    }
    if let Some(interface) = &gate.interface {
        options.bind_device(Some(interface.as_bytes()))?;
    }
    let scope = gate.interface.as_deref().and_then(scope_of);
    if let Some(local) = local {
        socket.bind(with_scope(SocketAddr::new(local, 0), scope))?;
    }
    let connecting = socket.connect(with_scope(remote, scope));
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sets the options of a connection that was accepted. Its key came with the listener.
pub(crate) fn admit(stream: &TcpStream, gate: &Gate) -> io::Result<()> {
    stream.set_nodelay(true)?;
    set_options(&SockRef::from(stream), stream.peer_addr()?, gate)
}

/// Listens on `address`. The error says who holds the port, if it is taken and can be told.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    match address {
        SocketAddr::V4(_) => socket.set_ttl_v4(LISTENER_TTL)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_unicast_hops_v6(LISTENER_TTL)?;
        }
    }
    let bound = socket
        .bind(&address.into())
        .and_then(|()| socket.listen(BACKLOG));
    bound.map_err(|error| {
        let why = if error.kind() == io::ErrorKind::AddrInUse {
            let holder = who_listens(address).unwrap_or_else(|| "another program".to_owned());
            format!("{address} is taken by {holder}")
        } else {
            format!("cannot listen on {address}: {error}")
        };
        io::Error::new(error.kind(), why)
    })?;
    TcpListener::from_std(socket.into())
}

/// Makes `new` the keys of `listener`, given that `old` are there.
pub(crate) fn set_listen_keys(
    listener: &TcpListener,
    old: &[ListenKey],
    new: &[ListenKey],
) -> io::Result<()> {
    let ours = listener.local_addr()?;
    let of_family = |key: &&ListenKey| key.remote.addr().is_ipv4() == ours.is_ipv4();
    for gone in old
        .iter()
        .filter(of_family)
        .filter(|key| !new.contains(key))
    {
        set_listen_key(listener, gone, false)?;
    }
    for key in new
        .iter()
        .filter(of_family)
        .filter(|key| !old.contains(key))
    {
        set_listen_key(listener, key, true)?;
    }
    Ok(())
}

fn set_listen_key(listener: &TcpListener, key: &ListenKey, present: bool) -> io::Result<()> {
    match &key.key {
        Auth::Md5(secret) => md5::set_listen_key(listener.as_fd(), key, secret, present),
        Auth::Ao(ao) => ao::set_listen_key(listener.as_fd(), key.remote, ao, present),
    }
}

fn set_options(socket: &SockRef<'_>, remote: SocketAddr, gate: &Gate) -> io::Result<()> {
    // A peer whose host is gone without a word is the hold timer's matter; this clears half-open sockets.
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)))?;
    match remote {
        SocketAddr::V4(_) => {
            socket.set_tos_v4(TOS_NETWORK_CONTROL)?;
            if let Some(ttl) = gate.ttl {
                socket.set_ttl_v4(ttl.into())?;
            }
        }
        SocketAddr::V6(_) => {
            socket.set_tclass_v6(TOS_NETWORK_CONTROL)?;
            if let Some(ttl) = gate.ttl {
                socket.set_unicast_hops_v6(ttl.into())?;
            }
        }
    }
    match gate.min_ttl {
        Some(least) => md5::set_min_ttl(socket.as_fd(), remote.is_ipv4(), least),
        None => Ok(()),
    }
}

fn with_scope(address: SocketAddr, scope: Option<u32>) -> SocketAddr {
    match (address, scope) {
        (SocketAddr::V6(v6), Some(scope)) if v6.ip().is_unicast_link_local() => {
            SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope).into()
        }
        (address, _) => address,
    }
}

/// The index of an interface of this network namespace.
pub(crate) fn scope_of(interface: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(interface).ok()
}

/// The interface on which a link-local address is, by the scope that the kernel gave it.
pub(crate) fn interface_of(remote: SocketAddr) -> Option<String> {
    let SocketAddr::V6(v6) = remote else {
        return None;
    };
    if !v6.ip().is_unicast_link_local() {
        return None;
    }
    interface_name(v6.scope_id())
}

/// The name of an interface of this network namespace.
pub(crate) fn interface_name(index: u32) -> Option<String> {
    let interfaces = nix::net::if_::if_nameindex().ok()?;
    let found = interfaces
        .iter()
        .find(|interface| interface.index() == index)?;
    found.name().to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests;
