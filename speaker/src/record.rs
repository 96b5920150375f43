//! A record of what peers send, in MRT (RFC 6396 §4.4): each UPDATE as it came, and sessions that come up and go.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Weak};
use std::time::Instant;

use bgp_core::mrt::{self, Encoding, Ends, SessionState};
use bgp_core::{Family, Kind, header, update};
use bytes::{Bytes, BytesMut};
use rib::PeerId;

use crate::Speaker;
use crate::command::Refusal;

/// Most records that are made at a time.
pub const RECORDERS_MAX: usize = 8;
/// Octets that wait for whoever reads a record; one that lets more wait has missed something, and is told so.
pub const RECORD_MAX: usize = 16 << 20;

/// Records are handed out in pieces of about so many octets.
const PIECE_OCTETS: usize = 256 << 10;

/// A record that is being made. It ends when this is dropped.
#[derive(Debug)]
pub struct Recorder(Arc<()>);

/// The reader was too slow: [`RECORD_MAX`] octets waited for it. The record ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooSlow;

/// All records that are being made.
#[derive(Debug, Default)]
pub(crate) struct Tapes(Vec<Tape>);

#[derive(Debug)]
struct Tape {
    held: Weak<()>,
    /// Whole pieces, the oldest first, and the one that grows.
    waiting: VecDeque<Bytes>,
    last: BytesMut,
    octets: usize,
    too_slow: bool,
}

impl Tapes {
    fn put(&mut self, record: impl Fn(&mut BytesMut)) {
        self.0.retain(|tape| tape.held.strong_count() > 0);
        for tape in self.0.iter_mut().filter(|tape| !tape.too_slow) {
            let before = tape.last.len();
            record(&mut tape.last);
            tape.octets += tape.last.len() - before;
            if tape.octets > RECORD_MAX {
                tape.too_slow = true;
                tape.waiting = VecDeque::new();
                tape.last = BytesMut::new();
            } else if tape.last.len() >= PIECE_OCTETS {
                let piece = std::mem::take(&mut tape.last);
                tape.waiting.push_back(piece.freeze());
            }
        }
    }
}

impl Tape {
    fn next(&mut self) -> Bytes {
        let piece = self.waiting.pop_front();
        let piece = piece.unwrap_or_else(|| std::mem::take(&mut self.last).freeze());
        self.octets -= piece.len();
        piece
    }
}

impl Speaker {
    /// Begins a record.
    ///
    /// # Errors
    /// [`Refusal::Exhausted`]: [`RECORDERS_MAX`] are being made already.
    pub fn record(&mut self) -> Result<Recorder, Refusal> {
        let tapes = &mut self.tapes.0;
        tapes.retain(|tape| tape.held.strong_count() > 0);
        if tapes.len() >= RECORDERS_MAX {
            let why = format!("at most {RECORDERS_MAX} records can be made at a time");
            return Err(Refusal::Exhausted(why));
        }
        let held = Arc::new(());
        tapes.push(Tape {
            held: Arc::downgrade(&held),
            waiting: VecDeque::new(),
            last: BytesMut::new(),
            octets: 0,
            too_slow: false,
        });
        Ok(Recorder(held))
    }

    /// The next piece of what came: whole MRT records. Nothing: that is all, so far.
    ///
    /// # Errors
    /// Something is missing from here on.
    pub fn recorded(&mut self, recorder: &Recorder) -> Result<Bytes, TooSlow> {
        let of = |tape: &&mut Tape| std::ptr::eq(tape.held.as_ptr(), Arc::as_ptr(&recorder.0));
        match self.tapes.0.iter_mut().find(of) {
            Some(tape) if !tape.too_slow => Ok(tape.next()),
            Some(_) | None => Err(TooSlow),
        }
    }

    /// A peer sent an UPDATE.
    pub(crate) fn record_update(&mut self, now: Instant, id: PeerId, body: &[u8]) {
        if self.tapes.0.is_empty() {
            return;
        }
        let peer = self.peers.get(id);
        let Some((session, ends)) = peer.and_then(|p| p.fsm.session()).zip(self.ends(id)) else {
            return;
        };
        let told = update::families(body);
        let has_ids = |family| *told.get(family) && *session.add_path_receive.get(family);
        let encoding = Encoding {
            four_octet_as: session.four_octet_as,
            add_path: Family::ALL.into_iter().any(has_ids),
        };
        let wall = self.stations.wall(now);
        let message = header::message(Kind::Update, body);
        self.tapes
            .put(|out| mrt::message(wall, &ends, encoding, &message, out));
    }

    /// A session came up, or ended.
    pub(crate) fn record_state(&mut self, now: Instant, id: PeerId, is_up: bool) {
        if self.tapes.0.is_empty() {
            return;
        }
        let Some(ends) = self.ends(id) else { return };
        let (old, new) = match is_up {
            true => (SessionState::Idle, SessionState::Established),
            false => (SessionState::Established, SessionState::Idle),
        };
        let wall = self.stations.wall(now);
        self.tapes
            .put(|out| mrt::state_change(wall, &ends, old, new, out));
    }

    /// The ends of a peer's session. Our address is that of the connection, while there is one.
    fn ends(&self, id: PeerId) -> Option<Ends> {
        let peer = self.peers.get(id)?;
        let agreed = peer.fsm.session().or(peer.agreed.as_deref())?;
        let unknown = match peer.name.address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let local = peer.session_conn().and_then(|conn| conn.local);
        let local = local.map(|local| local.ip());
        Some(Ends {
            peer_asn: agreed.peer_asn,
            local_asn: peer.local_asn(&self.config.router),
            peer: peer.name.address,
            local: local.or(peer.options.local_address).unwrap_or(unknown),
        })
    }
}
