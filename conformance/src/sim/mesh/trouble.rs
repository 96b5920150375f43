//! What goes wrong: links that lose, in bursts or evenly, that are slow or out of order, that are cut; regions that are
//! cut off; clocks that step.

use std::time::Duration;

use super::line::{Loss, Weather};
use super::world::{Happening, World};

/// TCP finds within this that packets pass again.
const FOUND_OUT_MILLIS: usize = 1000;

/// How trouble ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Remedy {
    /// The weather of a line, if it is still that of this epoch.
    Fair { line: usize, epoch: u32 },
    /// A cut.
    Mend(usize),
}

impl World {
    /// Something happens somewhere.
    pub(super) fn trouble(&mut self) {
        let line = self.chance.below(self.lines.len());
        let both = self.chance.one_in(2);
        let share = self
            .chance
            .pick(&[0.02, 0.05, 0.1, 0.2, 0.4])
            .unwrap_or(0.2);
        let fair = Weather::fair(0.0);
        match self.chance.below(16) {
            0..5 => {
                let loss = Loss::Even(share);
                let time = self.between_seconds(20, 120);
                self.spoil(line, both, Weather { loss, ..fair }, time, "loses evenly");
            }
            5..7 => {
                let loss = Loss::Bursts {
                    pause: self.between_millis(1000, 10_000),
                    burst: self.between_millis(30, 300),
                    inside: self.chance.pick(&[0.5, 0.9]).unwrap_or(0.5),
                };
                let time = self.between_seconds(20, 120);
                self.spoil(
                    line,
                    both,
                    Weather { loss, ..fair },
                    time,
                    "loses in bursts",
                );
            }
            7 => {
                let longer = self.between_millis(50, 400);
                let time = self.between_millis(100, 3000);
                self.spoil(
                    line,
                    both,
                    Weather { longer, ..fair },
                    time,
                    "has a spike of delay",
                );
            }
            8 => {
                let longer = self.between_millis(20, 100);
                let time = self.between_seconds(30, 120);
                self.spoil(line, both, Weather { longer, ..fair }, time, "is longer");
            }
            9 => {
                let weather = Weather {
                    stray: share.min(0.2),
                    later: self.between_millis(5, 60),
                    jitter: self.between_millis(0, 5),
                    ..fair
                };
                let time = self.between_seconds(20, 90);
                self.spoil(line, both, weather, time, "has packets overtake each other");
            }
            10..12 => {
                let time = self.between_millis(300, 60_000);
                self.cut(line, both, time);
            }
            12..15 => self.cut_region(),
            _ => self.step_clock(),
        }
    }

    /// All is well again.
    pub(super) fn peace(&mut self) {
        let now = self.now;
        for line in 0..self.lines.len() {
            if let Some(l) = self.lines.get_mut(line) {
                l.turn(now, None);
            }
            while self.lines.get(line).is_some_and(super::line::Line::is_cut) {
                self.remedy(Remedy::Mend(line));
            }
        }
    }

    pub(super) fn remedy(&mut self, remedy: Remedy) {
        let now = self.now;
        match remedy {
            Remedy::Fair { line, epoch } => {
                if let Some(line) = self.lines.get_mut(line).filter(|l| l.epoch == epoch) {
                    line.turn(now, None);
                }
            }
            Remedy::Mend(line) => {
                let Some(l) = self.lines.get_mut(line).filter(|l| l.is_cut()) else {
                    return;
                };
                l.cut(now, false);
                let mended = (!l.is_cut()).then_some(l.ends);
                if let Some((from, to)) = mended {
                    self.note(from, &format!("reaches g{to} again"));
                    let later = Duration::from_millis(self.chance.below(FOUND_OUT_MILLIS) as u64);
                    self.plan_at(now + later, Happening::Passes(line));
                    self.passable(from, to);
                }
            }
        }
    }

    /// TCP goes on, unless something is cut again.
    pub(super) fn pass_again(&mut self, line: usize) {
        let ends = self.lines.get(line).map(|line| line.ends);
        if ends.is_some_and(|(a, b)| !self.is_cut(a, b)) {
            self.stop_wires(line, false);
        }
    }

    fn spoil(&mut self, line: usize, both: bool, weather: Weather, time: Duration, what: &str) {
        let now = self.now;
        for line in [Some(line), both.then_some(line ^ 1)].into_iter().flatten() {
            let Some(l) = self.lines.get_mut(line) else {
                continue;
            };
            l.turn(now, Some(weather));
            let (epoch, (from, to)) = (l.epoch, l.ends);
            self.note(from, &format!("to g{to} {what}: {weather:?} for {time:?}"));
            self.plan_at(now + time, Happening::Remedy(Remedy::Fair { line, epoch }));
        }
        self.watch.figures.spoiled += 1;
    }

    fn cut(&mut self, line: usize, both: bool, time: Duration) {
        let now = self.now;
        for line in [Some(line), both.then_some(line ^ 1)].into_iter().flatten() {
            let Some(l) = self.lines.get_mut(line) else {
                continue;
            };
            l.cut(now, true);
            let (from, to) = l.ends;
            self.note(from, &format!("does not reach g{to}, for {time:?}"));
            self.stop_wires(line, true);
            self.plan_at(now + time, Happening::Remedy(Remedy::Mend(line)));
        }
        self.watch.figures.cuts += 1;
        self.end_loops();
    }

    /// All links of a region with others.
    fn cut_region(&mut self) {
        let region = self.chance.below(self.plan.regions);
        let time = self.between_millis(1000, 60_000);
        let is_there = |n: usize| {
            let place = self.plan.places.get(n);
            place.is_some_and(|place| place.region == region)
        };
        let out = |(from, to): (usize, usize)| is_there(from) && !is_there(to);
        let lines: Vec<usize> = (0..self.lines.len())
            .filter(|line| self.lines.get(*line).is_some_and(|l| out(l.ends)))
            .collect();
        for line in lines {
            self.cut(line, true, time);
        }
        self.watch.figures.regions += 1;
    }

    fn step_clock(&mut self) {
        let n = self.chance.below(self.gateways.len());
        let by = self.between_millis(1, 3_600_000);
        let back = self.chance.one_in(2);
        self.note(n, &format!("sets its clock by {by:?}, back: {back}"));
        if let Some(gateway) = self.gateways.get_mut(n) {
            gateway.clock = match back {
                true => gateway.clock.saturating_sub(by),
                false => gateway.clock + by,
            };
        }
        self.watch.figures.steps += 1;
    }

    fn between_seconds(&mut self, least: usize, most: usize) -> Duration {
        self.between_millis(least * 1000, most * 1000)
    }

    fn between_millis(&mut self, least: usize, most: usize) -> Duration {
        Duration::from_millis((least + self.chance.below(most - least + 1)) as u64)
    }
}
