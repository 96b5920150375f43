//! What happens to a peer, and what follows from it (RFC 4271 §8.1).
//!
//! | §8.1 event | here |
//! |---|---|
//! | 1 ManualStart, 3 AutomaticStart; 4 and 5, the same with PassiveTcpEstablishment | [`Input::Start`] |
//! | 2 ManualStop, 8 AutomaticStop | [`Input::Stop`] |
//! | 6, 7 AutomaticStart with DampPeerOscillations, 13 IdleHoldTimer_Expires | [`Input::Timeout`] |
//! | 9 ConnectRetryTimer_Expires, 10 HoldTimer_Expires, 11 KeepaliveTimer_Expires | [`Input::Timeout`] |
//! | 12 DelayOpenTimer_Expires, 20 BGPOpen with DelayOpenTimer running | none: optional, OPENs are not delayed |
//! | 14 TcpConnection_Valid, 15 Tcp_CR_Invalid | none: the driver accepts from configured peers alone |
//! | 16 Tcp_CR_Acked, 17 TcpConnectionConfirmed | [`Input::Connected`] |
//! | 18 TcpConnectionFails | [`Input::ConnectFailed`], [`Input::Closed`] |
//! | 19 BGPOpen, 21 BGPHeaderErr, 22 BGPOpenMsgErr, 24 NotifMsgVerErr, 25 NotifMsg, 26 KeepAliveMsg, 27 UpdateMsg | [`Input::Received`] |
//! | 23 OpenCollisionDump | none: found within, when an OPEN comes |
//! | 28 UpdateMsgErr | [`Input::Fault`] |
//! | 29 SendHoldTimer_Expires (RFC 9687 §3) | [`Input::Timeout`], after [`Input::Blocked`] |

use bgp_core::{Kind, Reset, RouteRefresh};
use bytes::Bytes;

use crate::end::{End, Stop};
use crate::negotiate::Session;

/// Who opened a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Side {
    /// We did.
    Outgoing,
    /// The peer did.
    Incoming,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Outgoing, Self::Incoming];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Outgoing => Self::Incoming,
            Self::Incoming => Self::Outgoing,
        }
    }
}

/// The states of RFC 4271 §8.2.2, each further than those before it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum State {
    /// Down, or waiting after an error.
    Idle,
    /// TCP is being opened.
    Connect,
    /// Waiting for the peer, or for the next try.
    Active,
    /// Our OPEN is out.
    OpenSent,
    /// The peer's OPEN was taken.
    OpenConfirm,
    /// Routes flow.
    Established,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A session is wanted from now on.
    Start,
    /// It is not, or only after a new beginning.
    Stop(Stop),
    /// TCP is up: the connection that was asked for, or one that the peer made. While there is one of a side, the
    /// driver refuses a second one of that side itself.
    Connected(Side),
    /// The connection that was asked for could not be made.
    ConnectFailed,
    /// TCP gave us bytes, however it liked to cut them.
    Received(Side, Bytes),
    /// Bytes wait to be written, and TCP takes none.
    Blocked(Side),
    /// TCP took some again. If more wait, [`Input::Blocked`] follows.
    Progress(Side),
    /// The decoder found in an UPDATE what ends the session.
    Fault(Reset),
    /// TCP went away.
    Closed(Side),
    /// The deadline passed.
    Timeout,
}

/// What the driver must do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a TCP connection; answer with [`Input::Connected`] or [`Input::ConnectFailed`].
    Connect,
    /// Write these bytes.
    Send(Side, Bytes),
    /// Close the connection, or give up opening it, after what was sent before if TCP takes it soon. Nothing more
    /// is said on it, and nothing is heard from it. A connection of which [`Input::Closed`] came is not closed again.
    Close(Side),
    /// Routes may flow.
    Up(Box<Session>),
    /// An UPDATE's body.
    Update(Bytes),
    /// A ROUTE-REFRESH, of a family and of a kind that was agreed on.
    Refresh(RouteRefresh),
    /// The session, or the attempt at one, ended: no connection is left. Comes after all else of it.
    Down(End),
}

/// What has been counted since the beginning.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// All messages received.
    pub received: u64,
    /// Of those, UPDATEs.
    pub updates_received: u64,
    /// Of those, NOTIFICATIONs.
    pub notifications_received: u64,
    /// Messages that the state machine sent: all but UPDATEs.
    pub sent: u64,
    /// Of those, NOTIFICATIONs.
    pub notifications_sent: u64,
    /// Connections that were tried.
    pub connects: u64,
    /// Sessions that came up.
    pub established: u64,
}

impl Counters {
    pub(crate) const fn received(&mut self, kind: Kind) {
        self.received += 1;
        match kind {
            Kind::Update => self.updates_received += 1,
            Kind::Notification => self.notifications_received += 1,
            Kind::Open | Kind::Keepalive | Kind::RouteRefresh => {}
        }
    }
}
