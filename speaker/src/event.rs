//! What a driver tells the speaker, and what the speaker has it do.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use ipnet::IpNet;

use crate::config::{Probe, Secret, TcpAo};
use crate::links::{LinkOrder, LinkReport};
use crate::liveness::{BfdOrder, BfdReport};
use crate::notice::Notice;

/// Names a TCP connection for as long as it lives. Never used again; late events of a closed one are ignored.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnId(pub u64);

/// Something that happened outside.
#[derive(Debug)]
pub enum Event {
    /// [`Speaker::deadline`](crate::Speaker::deadline) passed.
    Timeout,
    /// The connection of an [`Effect::Connect`] is up.
    Connected {
        /// Which.
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
    },
    /// It could not be made, or the gate's options could not be set.
    ConnectFailed {
        /// Which.
        conn: ConnId,
        /// Why, in the kernel's words.
        why: String,
    },
    /// TCP gave us bytes, however it liked to cut them.
    Received {
        /// Where.
        conn: ConnId,
        /// The bytes.
        data: Bytes,
    },
    /// Bytes wait to be written and TCP takes none.
    Blocked {
        /// Where.
        conn: ConnId,
    },
    /// TCP took some bytes again after [`Event::Blocked`].
    Progress {
        /// Where.
        conn: ConnId,
    },
    /// The peer closed the connection, or it broke.
    Closed {
        /// Which.
        conn: ConnId,
    },
    /// The kernel's FIB: facts, results, overruns.
    Kernel(fib_netlink::Input),
    /// A BFD session changed its state.
    Bfd(BfdReport),
    /// A measured link costs something else, or there is something to know of it.
    Link(LinkReport),
    /// The daemon is to end: sessions are closed (Cease/Administrative Shutdown) and routes withdrawn,
    /// unless they are to stay.
    Shutdown,
}

/// Something a driver must do, in the order given.
#[derive(Debug)]
pub enum Effect {
    /// Open a TCP connection.
    Connect {
        /// Its name from now on.
        conn: ConnId,
        /// To whom.
        remote: SocketAddr,
        /// From which address, if it matters.
        local: Option<IpAddr>,
        /// The socket's options.
        gate: Gate,
    },
    /// Write these bytes, after those before.
    Send {
        /// Where.
        conn: ConnId,
        /// Whole messages.
        bytes: Bytes,
    },
    /// Close the connection after what was to be sent, as far as TCP takes it at once.
    Close {
        /// Which.
        conn: ConnId,
    },
    /// The TCP MD5 and TCP-AO keys of the listening sockets are now these and no others.
    ListenKeys(Vec<ListenKey>),
    /// A BFD session is to be there, or no more.
    Bfd(BfdOrder),
    /// A link is to be measured, or no more.
    Link(LinkOrder),
    /// How links are measured and judged is this from now on.
    Probe(Probe),
    /// Give the kernel these changes, or dump its state anew.
    Kernel(fib_netlink::Output),
    /// Tell whoever wants to know.
    Notice(Notice),
    /// After [`Event::Shutdown`]: all is said and done.
    Ended,
}

/// The options of a peer's socket, for both directions (the one place: the daemon's gate).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Gate {
    /// TTL, or hop limit, of what we send; `None`: the system's.
    pub ttl: Option<u8>,
    /// Packets with a smaller TTL are dropped (RFC 5082 §3).
    pub min_ttl: Option<u8>,
    /// TCP MD5 (RFC 2385).
    pub md5: Option<Secret>,
    /// TCP-AO (RFC 5925).
    pub ao: Option<TcpAo>,
    /// The device to which the socket is bound.
    pub interface: Option<String>,
}

impl Gate {
    /// How segments are authenticated, in a word.
    pub(crate) fn authentication(&self) -> Option<&'static str> {
        let md5 = self.md5.as_ref().map(|_| "tcp-md5");
        md5.or_else(|| self.ao.as_ref().map(|_| "tcp-ao"))
    }
}

/// One key of the listening sockets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListenKey {
    /// For whom.
    pub remote: IpNet,
    /// The device of a link-local address.
    pub interface: Option<String>,
    /// The key.
    pub key: Auth,
}

/// How segments of TCP are authenticated.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Auth {
    /// TCP MD5 (RFC 2385).
    Md5(Secret),
    /// TCP-AO (RFC 5925).
    Ao(TcpAo),
}
