//! From TCP connections to sessions: who is accepted, what a state machine's output does, how one comes down.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bgp_core::refresh::Subtype;
use bgp_core::update::Remedy;
use bgp_core::{Family, RouteRefresh};
use bgp_fsm::{End, Input, Output, Session, Side, State, Stop};
use bytes::Bytes;
use rib::{PeerId, Received};

use crate::command::PeerName;
use crate::config::{MaxPrefixes, MaxPrefixesAction};
use crate::event::{ConnId, Effect, Gate};
use crate::peer::Conn;
use crate::{Notice, Speaker, bmp};

/// How long a refresh of a peer may take, from its beginning to its end.
const REFRESH_MAX: Duration = Duration::from_secs(360);

impl Speaker {
    /// Takes a connection that somebody made to us, with the options its socket must have, or refuses it.
    /// `interface` is where a link-local address came from.
    pub fn accept(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        interface: Option<&str>,
        out: &mut Vec<Effect>,
    ) -> Option<(ConnId, Gate)> {
        match self.admit(now, remote, interface, out) {
            Ok(id) => {
                let conn = self.next_conn();
                let peer = self.peers.get_mut(id)?;
                let local = Some(local);
                *peer.conn_mut(Side::Incoming) = Some(Conn {
                    id: conn,
                    local,
                    remote_port: remote.port(),
                });
                peer.accepted = true;
                let gate = peer.gate(&self.config.router);
                self.conns.insert(conn, (id, Side::Incoming));
                self.drive(now, id, Input::Connected(Side::Incoming), out);
                self.settle(now, out);
                Some((conn, gate))
            }
            Err(why) => {
                let remote = remote.ip();
                out.push(Effect::Notice(Notice::Refused { remote, why }));
                None
            }
        }
    }

    /// The peer that has room for a connection from `remote`; or why there is none.
    fn admit(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        interface: Option<&str>,
        out: &mut Vec<Effect>,
    ) -> Result<PeerId, &'static str> {
        if self.refuse_at_end().is_err() {
            return Err("we are shutting down");
        }
        let name = PeerName::new(remote.ip(), interface);
        self.forget_half_open(now, &name, out);
        let id = match self.peers.id_of(&name) {
            Some(id) => id,
            None => self.peer_from_range(now, &name, out)?,
        };
        match self.peers.get(id) {
            Some(peer) if peer.options.graceful_restart.is_some() && self.asks_kernel() => {
                Err("we have just started")
            }
            Some(peer) if !peer.enabled => Err("it is disabled"),
            Some(peer) if self.waits_for_path(peer) => Err("BFD is not up"),
            Some(peer) if peer.conn(Side::Incoming).is_some() => Err("it has a connection already"),
            Some(_) => Ok(id),
            None => Err("it is no peer of ours"),
        }
    }

    /// A peer that connects again has forgotten the connection that it had. Only a session outlives that: beside it
    /// the new one loses (RFC 4271 §6.8); unless the peer restarts gracefully: then the call says that it did.
    fn forget_half_open(&mut self, now: Instant, name: &PeerName, out: &mut Vec<Effect>) {
        let peer = self.peers.id_of(name).and_then(|id| self.peers.get(id));
        let Some(peer) = peer else { return };
        if let Some(Conn { id: conn, .. }) = peer.session_conn().filter(|_| peer.calls_anew(now)) {
            out.push(Effect::Close { conn });
            return self.closed(now, conn, None, out);
        }
        let peer = Some(peer).filter(|peer| peer.fsm.session().is_none());
        if let Some(Conn { id: conn, .. }) = peer.and_then(|peer| peer.conn(Side::Incoming)) {
            out.push(Effect::Close { conn });
            self.closed(now, conn, None, out);
        }
    }

    /// A connection of ours is up.
    pub(crate) fn connected(
        &mut self,
        now: Instant,
        conn: ConnId,
        local: SocketAddr,
        out: &mut Vec<Effect>,
    ) {
        let Some(&(id, side)) = self.conns.get(&conn) else {
            // It was given up while it was being opened.
            out.push(Effect::Close { conn });
            return;
        };
        if let Some(conn) = self
            .peers
            .get_mut(id)
            .and_then(|peer| peer.conn_mut(side).as_mut())
        {
            conn.local = Some(local);
        }
        self.drive(now, id, Input::Connected(side), out);
    }

    /// Feeds the state machine of whoever owns `conn`; a connection we no longer know is ignored.
    pub(crate) fn drive_conn(
        &mut self,
        now: Instant,
        conn: ConnId,
        input: impl FnOnce(Side) -> Input,
        out: &mut Vec<Effect>,
    ) {
        if let Some(&(id, side)) = self.conns.get(&conn) {
            self.drive(now, id, input(side), out);
        }
    }

    /// The connection is gone.
    pub(crate) fn closed(
        &mut self,
        now: Instant,
        conn: ConnId,
        failed: Option<&str>,
        out: &mut Vec<Effect>,
    ) {
        let Some((id, side)) = self.conns.remove(&conn) else {
            return;
        };
        if let Some(peer) = self.peers.get_mut(id) {
            *peer.conn_mut(side) = None;
            if let Some(why) = failed {
                peer.attempt_failed(why, now);
            }
        }
        let input = if failed.is_some() {
            Input::ConnectFailed
        } else {
            Input::Closed(side)
        };
        self.drive(now, id, input, out);
    }

    /// Feeds a peer's state machine and does all that follows.
    pub(crate) fn drive(&mut self, now: Instant, id: PeerId, input: Input, out: &mut Vec<Effect>) {
        let mut next = Some(input);
        let mut outputs = std::mem::take(&mut self.outputs);
        while let Some(input) = next.take() {
            let Some(peer) = self.peers.get_mut(id) else {
                break;
            };
            let before = peer.fsm.state();
            peer.fsm.handle(now, input, &mut outputs);
            let after = peer.fsm.state();
            if before != after {
                peer.since = now;
                peer.unreachable &= after != State::OpenSent;
                let peer = peer.name.clone();
                out.push(Effect::Notice(Notice::PeerState {
                    peer,
                    from: before,
                    to: after,
                }));
            }
            for output in outputs.drain(..) {
                // After a fault in an UPDATE those behind it in the same chunk must not count.
                let routes = matches!(output, Output::Update(_) | Output::Refresh(_));
                if next.is_some() && routes {
                    continue;
                }
                if let Some(fault) = self.output(now, id, output, out) {
                    next = Some(fault);
                }
            }
        }
        self.outputs = outputs;
        self.drop_dynamic(id);
    }

    /// Does what a state machine says. `Some` is what it must be told in turn.
    fn output(
        &mut self,
        now: Instant,
        id: PeerId,
        output: Output,
        out: &mut Vec<Effect>,
    ) -> Option<Input> {
        match output {
            Output::Connect => return self.connect(now, id, out),
            Output::Send(side, bytes) => {
                let peer = self.peers.get_mut(id)?;
                let conn = peer.conn(side)?.id;
                peer.notified = bmp::notification(&bytes).or(peer.notified.take());
                out.push(Effect::Send { conn, bytes });
            }
            Output::Close(side) => {
                let conn = self.peers.get_mut(id)?.conn_mut(side).take()?.id;
                self.conns.remove(&conn);
                out.push(Effect::Close { conn });
            }
            Output::Up(session) => self.up(now, id, *session),
            Output::Update(body) => return self.update(now, id, &body, out),
            Output::Refresh(refresh) => self.refresh(now, id, refresh),
            Output::Down(end) => self.down(now, id, &end, out),
        }
        None
    }

    fn connect(&mut self, now: Instant, id: PeerId, out: &mut Vec<Effect>) -> Option<Input> {
        let waits = self
            .peers
            .get(id)
            .is_some_and(|peer| self.waits_for_path(peer));
        let conn = self.next_conn();
        let peer = self.peers.get_mut(id)?;
        if waits {
            peer.attempt_failed("BFD is not up", now);
            return Some(Input::ConnectFailed);
        }
        *peer.conn_mut(Side::Outgoing) = Some(Conn {
            id: conn,
            local: None,
            remote_port: peer.options.port,
        });
        out.push(Effect::Connect {
            conn,
            remote: peer.remote(),
            local: peer.options.local_address,
            gate: peer.gate(&self.config.router),
        });
        self.conns.insert(conn, (id, Side::Outgoing));
        None
    }

    fn up(&mut self, now: Instant, id: PeerId, session: Session) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.established_count += 1;
        peer.heard_all = Default::default();
        peer.refreshing = Default::default();
        peer.last_update = now;
        peer.warned = false;
        peer.notified = None;
        self.stations.peers_changed();
        self.locate(id);
        if let Some(rib_session) = self.rib_session(id, &session) {
            self.rib_up(now, id, &session, rib_session);
        }
        if let Some(peer) = self.peers.get_mut(id) {
            peer.agreed = Some(Box::new(session));
        }
        self.record_state(now, id, true);
    }

    fn update(
        &mut self,
        now: Instant,
        id: PeerId,
        body: &Bytes,
        out: &mut Vec<Effect>,
    ) -> Option<Input> {
        self.record_update(now, id, body);
        let (received, reset) = match self.rib.receive(id, body) {
            Ok(received) => (received, None),
            Err(reset) => (Received::default(), Some(reset)),
        };
        let peer = self.peers.get_mut(id)?;
        peer.last_update = now;
        for fault in &received.faults {
            let count = match fault.remedy {
                Remedy::AttributeDiscard => &mut peer.malformed.0,
                Remedy::TreatAsWithdraw | Remedy::SessionReset => &mut peer.malformed.1,
            };
            *count += 1;
        }
        if reset.is_some() || !received.faults.is_empty() {
            out.push(Effect::Notice(Notice::Malformed {
                peer: peer.name.clone(),
                faults: received.faults,
                prefixes: received.malformed,
                body: body.clone(),
            }));
        }
        if let Some(reset) = reset {
            return Some(Input::Fault(reset));
        }
        if let Some(family) = received.end_of_rib {
            *peer.heard_all.get_mut(family) = true;
            let peer = peer.name.clone();
            out.push(Effect::Notice(Notice::EndOfRib { peer, family }));
            self.heard_all(id, family, out);
        }
        self.check_limit(id, received.prefixes, out)
    }

    /// `max-prefixes`: counts what the peer has in its Adj-RIB-In.
    fn check_limit(&mut self, id: PeerId, count: u32, out: &mut Vec<Effect>) -> Option<Input> {
        let peer = self.peers.get_mut(id)?;
        let MaxPrefixes {
            limit,
            warn_at,
            then,
        } = peer.options.max_prefixes?;
        let warn = u64::from(limit) * u64::from(warn_at) / 100;
        if u64::from(count) > warn && !peer.warned {
            peer.warned = true;
            let peer = peer.name.clone();
            out.push(Effect::Notice(Notice::MaxPrefixes { peer, count, limit }));
        }
        if count <= limit {
            return None;
        }
        let restart = match then {
            MaxPrefixesAction::Warn => return None,
            MaxPrefixesAction::Stop => None,
            MaxPrefixesAction::Restart(after) => Some(after),
        };
        peer.enabled = restart.is_some();
        self.watches.mark_stale();
        let family = Family::ALL
            .into_iter()
            .find(|family| *peer.options.families.get(*family))?;
        Some(Input::Stop(Stop::MaximumPrefixes {
            family,
            limit,
            restart,
        }))
    }

    fn refresh(&mut self, now: Instant, id: PeerId, refresh: RouteRefresh) {
        let family = Family::from_numbers(refresh.family.afi, refresh.family.safi);
        let peer = self.peers.get_mut(id);
        let (Some(family), Some(peer)) = (family, peer) else {
            return;
        };
        let Some(session) = peer.fsm.session() else {
            return;
        };
        match refresh.subtype {
            Subtype::Request => {
                let enhanced = session.enhanced_refresh;
                self.rib.refresh_requested(id, family, enhanced);
            }
            // RFC 7313 §4: with graceful restart, not before End-of-RIB, which ends what is stale already.
            Subtype::Begin
                if session.graceful_restart.is_some() && !*peer.heard_all.get(family) => {}
            Subtype::Begin => {
                *peer.refreshing.get_mut(family) = Some(now + REFRESH_MAX);
                self.rib.refresh_begun(id, family);
            }
            // §4: one without a beginning may be ignored.
            Subtype::End => {
                if peer.refreshing.get_mut(family).take().is_some() {
                    self.rib.refresh_ended(id, family);
                }
            }
            // RFC 7313 §5: a message of unknown subtype is ignored.
            Subtype::Unknown(_) => {}
        }
    }

    /// A refresh that does not come to its end ends what is stale all the same (RFC 7313 §4).
    pub(crate) fn expire_refreshes(&mut self, now: Instant) {
        for id in self.peers.ids() {
            for family in Family::ALL {
                let Some(peer) = self.peers.get_mut(id) else {
                    continue;
                };
                let until = peer.refreshing.get_mut(family);
                if until.is_some_and(|until| until <= now) {
                    *until = None;
                    self.rib.refresh_ended(id, family);
                }
            }
        }
    }

    /// When such a one is due.
    pub(crate) fn refresh_deadline(&self) -> Option<Instant> {
        let all = self.peers.iter().map(|peer| peer.refreshing);
        all.flat_map(|of| [of.ipv4, of.ipv6]).flatten().min()
    }

    fn down(&mut self, now: Instant, id: PeerId, end: &End, out: &mut Vec<Effect>) {
        self.station_peer_down(id, end);
        self.record_state(now, id, false);
        self.rib_down(now, id, end, out);
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.refreshing = Default::default();
        peer.is_told(end);
        let config = peer.fsm_config(&self.config.router, self.restart);
        peer.fsm.set_config(config);
        let why = end.to_string();
        peer.last_error = Some((why.clone(), now));
        let peer = peer.name.clone();
        out.push(Effect::Notice(Notice::PeerDown { peer, why }));
    }

    pub(crate) fn next_conn(&mut self) -> ConnId {
        self.last_conn += 1;
        ConnId(self.last_conn)
    }
}
