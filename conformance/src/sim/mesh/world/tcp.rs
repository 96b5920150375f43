//! Connections between gateways: what is lost is sent again, later; what is cut waits.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use speaker::event::{ConnId, Event};

use super::{Happening, World};
use crate::sim::mesh::plan;
use crate::sim::net::{Arrival, Pipe};

/// Bytes a host takes from its speaker for a connection at a time.
const TRANSMIT_BYTES: usize = 4096;
/// A connection attempt into nothing fails after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Who connects does so from here.
const PORT: u16 = 40_000;

#[derive(Debug)]
pub(super) struct Socket {
    wire: usize,
    end: usize,
    outbox: VecDeque<Bytes>,
}

/// What goes to end 0, and what goes to end 1.
#[derive(Debug)]
pub(super) struct Wire {
    ends: [(usize, Option<ConnId>); 2],
    to: [Pipe; 2],
    wakes: [Option<Instant>; 2],
}

impl World {
    /// Whether the way or the way back is cut.
    pub(in crate::sim::mesh) fn is_cut(&self, a: usize, b: usize) -> bool {
        let line = |a: usize, b: usize| {
            let index = self.gateways.get(a)?.lines.get(&b)?;
            Some(self.lines.get(*index)?.is_cut())
        };
        line(a, b).unwrap_or(true) || line(b, a).unwrap_or(true)
    }

    /// How long a segment takes.
    fn latency(&mut self, from: usize, to: usize) -> Duration {
        let now = self.now;
        let index = self.gateways.get(from).and_then(|g| g.lines.get(&to));
        let line = index.and_then(|index| self.lines.get_mut(*index));
        line.map_or(Duration::ZERO, |line| {
            line.carry_surely(now, &mut self.chance)
        })
    }

    pub(super) fn connect(&mut self, from: usize, conn: ConnId, remote: SocketAddr) {
        let to = plan::gateway(remote.ip()).filter(|to| !self.is_cut(from, *to));
        let wait = match to {
            Some(to) => self.latency(from, to) + self.latency(to, from),
            None => CONNECT_TIMEOUT,
        };
        if let Some(gateway) = self.gateways.get_mut(from) {
            gateway.opening.insert(conn);
        }
        let attempt = Happening::Attempt { from, conn, remote };
        self.plan_at(self.now + wait, attempt);
    }

    pub(super) fn attempt(&mut self, from: usize, conn: ConnId, remote: SocketAddr) {
        let gateway = self.gateways.get_mut(from);
        if !gateway.is_some_and(|g| g.opening.remove(&conn)) {
            return;
        }
        let to = plan::gateway(remote.ip()).filter(|to| !self.is_cut(from, *to));
        let local = SocketAddr::new(plan::address(from), PORT);
        let now = self.now;
        let mut effects = Vec::new();
        let theirs = to.and_then(|to| {
            let speaker = &mut self.gateways.get_mut(to)?.speaker;
            let accepted = speaker.accept(now, remote, local, None, &mut effects);
            accepted.map(|(theirs, _)| (to, theirs))
        });
        if let Some((to, theirs)) = theirs {
            self.open(from, conn, to, theirs);
        }
        // What it says then needs the connection.
        if let Some(to) = to {
            self.with(to, |_, _, out| out.append(&mut effects));
        }
        let event = match theirs {
            Some(_) => Event::Connected { conn, local },
            None => Event::ConnectFailed {
                conn,
                why: "connection refused".to_owned(),
            },
        };
        self.with(from, |s, now, out| s.handle(now, event, out));
    }

    fn open(&mut self, from: usize, ours: ConnId, to: usize, theirs: ConnId) {
        let wire = self.wires.len();
        let between = (from.min(to), from.max(to));
        let between = self.between.entry(between).or_default();
        // One that neither end has any more says nothing.
        let is_open = |wire: &usize| {
            let ends = self.wires.get(*wire).map(|w| w.ends);
            ends.is_some_and(|ends| ends.iter().any(|(_, conn)| conn.is_some()))
        };
        between.retain(is_open);
        between.push(wire);
        self.wires.push(Wire {
            ends: [(from, Some(ours)), (to, Some(theirs))],
            to: Default::default(),
            wakes: [None; 2],
        });
        for (n, conn, end) in [(from, ours, 0), (to, theirs, 1)] {
            let outbox = VecDeque::new();
            let socket = Socket { wire, end, outbox };
            if let Some(gateway) = self.gateways.get_mut(n) {
                gateway.sockets.insert(conn, socket);
            }
        }
    }

    /// Sees to it that what is in a wire comes out.
    fn wake_wire(&mut self, wire: usize, end: usize) {
        let Some(w) = self.wires.get_mut(wire) else {
            return;
        };
        let next = w.to.get(end).and_then(Pipe::next_arrival);
        if let (Some(next), Some(planned)) = (next, w.wakes.get_mut(end))
            && planned.is_none_or(|planned| next < planned)
        {
            let next = next.max(self.now);
            *planned = Some(next);
            self.plan_at(next, Happening::Arrival(wire, end));
        }
    }

    pub(super) fn arrive(&mut self, wire: usize, end: usize) {
        let now = self.now;
        match self.wires.get_mut(wire).and_then(|w| w.wakes.get_mut(end)) {
            Some(planned) if *planned == Some(now) => *planned = None,
            Some(_) | None => return,
        }
        loop {
            let Some(w) = self.wires.get_mut(wire) else {
                return;
            };
            let arrival = w.to.get_mut(end).and_then(|pipe| pipe.arrive(now));
            let (Some(arrival), [a, b]) = (arrival, w.ends) else {
                break;
            };
            let ((n, conn), (other, _)) = if end == 0 { (a, b) } else { (b, a) };
            let Some(conn) = conn else { continue };
            let event = match arrival {
                Arrival::Data(data) => Event::Received { conn, data },
                Arrival::End => {
                    self.forget(n, conn);
                    Event::Closed { conn }
                }
            };
            self.with(n, |s, now, out| s.handle(now, event, out));
            // The other end may write again: there is room.
            self.flush_all(other, wire);
        }
        self.wake_wire(wire, end);
    }

    pub(super) fn send(&mut self, n: usize, conn: ConnId, bytes: Bytes) {
        let gateway = self.gateways.get_mut(n);
        if let Some(socket) = gateway.and_then(|g| g.sockets.get_mut(&conn)) {
            socket.outbox.push_back(bytes);
        }
        self.flush(n, conn);
    }

    fn flush_all(&mut self, n: usize, wire: usize) {
        let sockets = self.gateways.get(n).map(|g| &g.sockets);
        let mut sockets = sockets.into_iter().flatten();
        let stuck = sockets.find(|(_, s)| s.wire == wire && !s.outbox.is_empty());
        if let Some(conn) = stuck.map(|(conn, _)| *conn) {
            self.flush(n, conn);
            self.transmit(n);
        }
    }

    /// Writes what there is room for, and tells the speaker if it is stuck, or goes on.
    fn flush(&mut self, n: usize, conn: ConnId) {
        let now = self.now;
        let Some((wire, end)) = self.socket(n, conn).map(|s| (s.wire, s.end)) else {
            return;
        };
        let far = self.wires.get(wire).and_then(|w| w.ends.get(1 - end));
        let Some((to, _)) = far.copied() else { return };
        let latency = self.latency(n, to);
        let Some(gateway) = self.gateways.get_mut(n) else {
            return;
        };
        let (Some(socket), Some(pipe)) = (
            gateway.sockets.get_mut(&conn),
            self.wires.get_mut(wire).and_then(|w| w.to.get_mut(1 - end)),
        ) else {
            return;
        };
        let mut wrote = false;
        while pipe.room() > 0
            && let Some(mut bytes) = socket.outbox.pop_front()
        {
            let head = bytes.split_to(bytes.len().min(pipe.room()));
            if !bytes.is_empty() {
                socket.outbox.push_front(bytes);
            }
            pipe.send_whole(now, latency, head);
            wrote = true;
        }
        let stuck = !socket.outbox.is_empty();
        self.wake_wire(wire, 1 - end);
        let event = if stuck {
            Some(Event::Blocked { conn })
        } else {
            wrote.then_some(Event::Progress { conn })
        };
        let Some(event) = event else { return };
        let mut effects = Vec::new();
        if let Some(gateway) = self.gateways.get_mut(n) {
            gateway.speaker.handle(now, event, &mut effects);
        }
        for effect in effects {
            self.act(n, effect);
        }
    }

    /// Takes from the speaker what it has to say, as far as there is room.
    pub(super) fn transmit(&mut self, n: usize) {
        loop {
            let mut ready = Vec::new();
            let Some(gateway) = self.gateways.get(n) else {
                return;
            };
            gateway.speaker.ready(&mut ready);
            let mut more = false;
            for conn in ready {
                let Some(gateway) = self.gateways.get_mut(n) else {
                    return;
                };
                let Some(socket) = gateway.sockets.get_mut(&conn) else {
                    continue;
                };
                if !socket.outbox.is_empty() {
                    continue;
                }
                let mut messages = Vec::new();
                more |= gateway
                    .speaker
                    .transmit(conn, TRANSMIT_BYTES, &mut messages);
                socket.outbox.extend(messages);
                self.flush(n, conn);
            }
            if !more {
                return;
            }
        }
    }

    fn socket(&self, n: usize, conn: ConnId) -> Option<&Socket> {
        self.gateways.get(n)?.sockets.get(&conn)
    }

    fn forget(&mut self, n: usize, conn: ConnId) -> Option<Socket> {
        let socket = self.gateways.get_mut(n)?.sockets.remove(&conn)?;
        let wire = self.wires.get_mut(socket.wire)?;
        wire.ends.get_mut(socket.end)?.1 = None;
        Some(socket)
    }

    pub(super) fn close(&mut self, n: usize, conn: ConnId) {
        let now = self.now;
        // One that was only being opened is given up.
        if let Some(gateway) = self.gateways.get_mut(n) {
            gateway.opening.remove(&conn);
        }
        let Some(Socket { wire, end, .. }) = self.forget(n, conn) else {
            return;
        };
        let far = self.wires.get(wire).and_then(|w| w.ends.get(1 - end));
        let Some((to, _)) = far.copied() else { return };
        let latency = self.latency(n, to);
        let pipe = self.wires.get_mut(wire).and_then(|w| w.to.get_mut(1 - end));
        if let Some(pipe) = pipe {
            pipe.finish(now, latency);
        }
        self.wake_wire(wire, 1 - end);
    }

    /// Nothing passes between two gateways any more, or packets do again; nobody is told.
    pub(in crate::sim::mesh) fn stop_wires(&mut self, line: usize, stop: bool) {
        let Some((a, b)) = self.lines.get(line).map(|line| line.ends) else {
            return;
        };
        let between = self.between.get(&(a.min(b), a.max(b)));
        for wire in between.cloned().unwrap_or_default() {
            let Some(w) = self.wires.get_mut(wire) else {
                continue;
            };
            for pipe in &mut w.to {
                pipe.cut = stop;
            }
            self.wake_wire(wire, 0);
            self.wake_wire(wire, 1);
        }
    }
}
