//! The monitoring station of the world: it takes all calls, reads when it is let, and keeps a picture of whoever calls.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use speaker::event::{ConnId, Event};

use super::{Socket, Wire, World};
use crate::sim::net::Arrival;
use crate::station::Picture;

/// Where the monitoring station is.
pub(in crate::sim) const STATION: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 255, 9, 9)), 11019);
/// In place of a host, at the station's end of a wire.
pub(super) const AT_STATION: usize = usize::MAX;
/// To the station and back.
pub(super) const TO_STATION: Duration = Duration::from_millis(5);

/// The station's end of a connection.
#[derive(Debug)]
pub(super) struct Watch {
    wire: usize,
    host: usize,
    picture: Picture,
}

impl World {
    /// The station stops reading, or goes on.
    pub fn stall_station(&mut self, stalled: bool) {
        for watch in &self.watches {
            if let Some(wire) = self.wires.get_mut(watch.wire) {
                wire.to[1].stalled = stalled;
            }
        }
    }

    /// The station closes its connections.
    pub fn hang_up_station(&mut self) {
        let now = self.now;
        for watch in std::mem::take(&mut self.watches) {
            if let Some(wire) = self.wires.get_mut(watch.wire) {
                wire.to[0].reset(now, TO_STATION);
            }
        }
    }

    /// What the station knows of a machine, if it is connected.
    #[must_use]
    pub fn picture(&self, host: usize) -> Option<&Picture> {
        let watch = self.watches.iter().find(|watch| watch.host == host);
        watch.map(|watch| &watch.picture)
    }

    pub(super) fn attempt_station(&mut self, from: usize, conn: ConnId) {
        let wire = self.wires.len();
        self.wires.push(Wire {
            ends: [(from, Some(conn)), (AT_STATION, None)],
            to: Default::default(),
        });
        if let Some(h) = self.hosts.get_mut(from) {
            let outbox = VecDeque::new();
            let end = 0;
            h.sockets.insert(conn, Socket { wire, end, outbox });
        }
        self.watches.push(Watch {
            wire,
            host: from,
            picture: Picture::default(),
        });
        let local = SocketAddr::new(STATION.ip(), 40_000);
        self.with(from, |s, now, out| {
            s.handle(now, Event::Connected { conn, local }, out)
        });
    }

    pub(super) fn arrive_at_station(&mut self, wire: usize, arrival: Arrival) {
        let Some(at) = self.watches.iter().position(|watch| watch.wire == wire) else {
            return;
        };
        match arrival {
            Arrival::Data(data) => {
                let Some(watch) = self.watches.get_mut(at) else {
                    return;
                };
                let (host, heard) = (watch.host, watch.picture.hear(&data));
                if let Err(fault) = heard {
                    self.blame(host, &format!("tells its station nonsense: {fault}"));
                }
                self.flush_all(host);
            }
            Arrival::End => drop(self.watches.swap_remove(at)),
        }
    }
}
