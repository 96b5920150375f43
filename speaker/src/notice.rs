//! What is worth knowing, said once, as a value: the log line, the metric, the API's stream and the
//! simulator's trace are four readers of this one enum.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bgp_core::Family;
use bgp_core::update::AttributeFault;
use bgp_fsm::State;
use bytes::Bytes;
use ipnet::IpNet;
use rib::Drain;
use smallvec::SmallVec;

use crate::command::PeerName;
use crate::links::LinkReport;
use crate::liveness::BfdReport;
use crate::view::RestartStage;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A peer's session changed its state.
    PeerState {
        /// Who.
        peer: PeerName,
        /// From where.
        from: State,
        /// To where.
        to: State,
    },
    /// A peer's session or an attempt at one ended.
    PeerDown {
        /// Who.
        peer: PeerName,
        /// Why, in words.
        why: String,
    },
    /// A peer sent a malformed UPDATE. Where its session survived, there are faults (RFC 7606); where not,
    /// [`Notice::PeerDown`] follows and says why.
    Malformed {
        /// Who.
        peer: PeerName,
        /// What was wrong, and what was done about it.
        faults: SmallVec<[AttributeFault; 1]>,
        /// What it names, as far as that can be told; at most [`rib::MALFORMED_SHOWN`].
        prefixes: Vec<IpNet>,
        /// The UPDATE as it came, without the header.
        body: Bytes,
    },
    /// A peer has told all it knows (RFC 4724 §2).
    EndOfRib {
        /// Who.
        peer: PeerName,
        /// Of which family.
        family: Family,
    },
    /// A peer nears its limit, or is beyond it.
    MaxPrefixes {
        /// Who.
        peer: PeerName,
        /// How many there are.
        count: u32,
        /// How many there may be.
        limit: u32,
    },
    /// Somebody connected who is no peer.
    Refused {
        /// Who.
        remote: IpAddr,
        /// Why.
        why: &'static str,
    },
    /// Routes of an owner went because it was not heard for its lease.
    LeaseExpired {
        /// The owner.
        owner: String,
        /// How many routes.
        routes: usize,
    },
    /// A session was lost, and the peer's routes are held stale (RFC 4724 §4.2).
    Held {
        /// Who.
        peer: PeerName,
        /// For how long at most.
        time: Duration,
        /// Restart Time is over, and they are kept for longer (RFC 9494).
        long_lived: bool,
    },
    /// A peer's stale routes are gone, or told again.
    HeldOver {
        /// Who.
        peer: PeerName,
        /// The peer is back and has told all; else their time was over.
        told: bool,
    },
    /// A restart of our own goes on (RFC 4724 §4.1).
    Restart {
        /// To where.
        stage: RestartStage,
        /// At its end: peers that did not come.
        awaited: usize,
    },
    /// A graceful shutdown began, went on to withdraw all routes, or is over (RFC 8326).
    Drain {
        /// Which of these.
        stage: Drain,
        /// How long peers have to move away, where it began.
        grace: Option<Duration>,
    },
    /// A measured link costs something else, or there is something to know.
    Link(LinkReport),
    /// A BFD session came up, failed, or was taken down.
    Bfd(BfdReport),
    /// The kernel has more addresses and routes than are redistributed.
    RedistributeFull {
        /// How many are.
        limit: usize,
    },
    /// The kernel's side has something to say.
    Fib(fib_netlink::Notice),
    /// A monitoring station is connected.
    StationUp {
        /// Which.
        station: SocketAddr,
    },
    /// A monitoring station is not, or cannot be reached.
    StationDown {
        /// Which.
        station: SocketAddr,
        /// Why, in words.
        why: String,
    },
    /// A new configuration is in force.
    Configured {
        /// Peers that were added, changed so that their session restarts, changed in place, and removed.
        peers: [usize; 4],
    },
    /// One peer came, changed or went while all others stayed as they were.
    PeerChanged {
        /// Who.
        peer: PeerName,
        /// How.
        change: PeerChange,
        /// Who wanted it, in words.
        by: String,
    },
}

/// What was done with a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerChange {
    /// It is new.
    Added,
    /// It is configured otherwise.
    Updated,
    /// It is gone.
    Removed,
}
