//! What goes wrong between machines.

use super::World;

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
}
