//! What goes wrong between machines, and what is done to them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Dead, World};
use crate::sim::model::{neighbor, received};

impl World {
    /// Nothing passes between two machines any more, and nobody is told.
    pub fn cut(&mut self, a: usize, b: usize) {
        self.note(a, &format!("is cut off from {b}"));
        self.cuts.push((a.min(b), a.max(b)));
        for wire in &mut self.wires {
            let [(x, _), (y, _)] = wire.ends;
            if (x.min(y), x.max(y)) == (a.min(b), a.max(b)) {
                wire.to.iter_mut().for_each(|pipe| pipe.cut = true);
            }
        }
    }

    /// All cuts are mended, all readers read.
    pub fn mend(&mut self) {
        self.cuts.clear();
        for wire in &mut self.wires {
            for pipe in &mut wire.to {
                (pipe.stalled, pipe.cut) = (false, false);
            }
        }
    }

    /// Stops, or lets go on, the reading of some connection of `host`.
    pub fn stall(&mut self, host: usize, stalled: bool) {
        self.note(
            host,
            if stalled {
                "stops reading"
            } else {
                "reads again"
            },
        );
        for wire in &mut self.wires {
            for (end, pipe) in wire.to.iter_mut().enumerate() {
                if wire.ends.get(end).is_some_and(|(owner, _)| *owner == host) {
                    pipe.stalled = stalled;
                }
            }
        }
    }

    /// Breaks all connections between two machines, as a reset does.
    pub fn reset(&mut self, a: usize, b: usize) {
        self.note(a, &format!("loses its connections with {b}"));
        let latency = self.latency();
        let now = self.now;
        for wire in &mut self.wires {
            let [(x, _), (y, _)] = wire.ends;
            if (x, y) == (a, b) || (x, y) == (b, a) {
                wire.to.iter_mut().for_each(|pipe| pipe.reset(now, latency));
            }
        }
    }

    /// A machine is to leave: it has that time to say so.
    pub fn drain(&mut self, host: usize, grace: Duration) {
        self.note(host, &format!("drains, in {grace:?}"));
        let until = self.now + grace;
        let drains = self.with(host, |s, now, out| s.drain(now, grace, out).is_ok());
        let Some(h) = self.hosts.get_mut(host) else {
            return;
        };
        match drains {
            // Once it says nothing any more, that stays so.
            Some(true) if h.drained.is_none_or(|before| before > self.now) => {
                h.drained = Some(until)
            }
            Some(true) | None => {}
            Some(false) => self.blame(host, "does not drain"),
        }
    }

    /// It stays after all.
    pub fn undrain(&mut self, host: usize) {
        self.note(host, "stays");
        let stays = self.with(host, |s, now, out| s.undrain(now, out).is_ok());
        if let Some(h) = self.hosts.get_mut(host) {
            h.drained = None;
        }
        if stays == Some(false) {
            self.blame(host, "does not stay");
        }
    }

    /// A machine crashes, and does not come back until it is booted.
    pub fn kill(&mut self, host: usize) {
        let mut told = BTreeMap::new();
        for other in 0..self.hosts.len() {
            if let Some(us) = neighbor(self, other, host) {
                told.insert(other, received(self, other, &us.name()));
            }
        }
        let at = self.now;
        self.crash(host);
        if let Some(h) = self.hosts.get_mut(host) {
            h.dead = Some(Dead { at, told });
        }
    }
}
