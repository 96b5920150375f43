//! CUSUMs over the fates of probes in one direction: does the link lose more than it may?
//!
//! Page's tests of p = [`GOOD`] against larger ones: each probe adds its log-likelihood ratio, a sum never falls below zero, and
//! where one reaches its threshold, there is an alarm and all start over. So a loss that goes on alarms again and again. One
//! test is the faster to find much loss, one to find little.

/// The loss that is nobody's business.
const GOOD: f64 = 0.005;
/// Losses that a test is the fastest to find, and its threshold: together, they alarm falsely about once in ten years at 50
/// probes/s and a loss of [`GOOD`].
const TESTS: [(f64, f64); 2] = [(0.05, 20.3), (0.1, 20.6)];
/// So many losses of one run count: more of them say no more about the rate of loss, for losses come in bursts.
const RUN: u32 = 3;
/// When the other direction of the link alarms, half as much is enough for so many probes: what loses one way mostly loses
/// both.
const WARY: u32 = 250;
/// After so many probes without an alarm, one is news: about a minute of the fastest pace.
const CALM: u32 = 3000;

/// The alarm of one direction.
#[derive(Clone, Debug)]
pub struct Alarm {
    tests: [Cusum; TESTS.len()],
    run: u32,
    /// See [`WARY`]; so many are left.
    wary: u32,
    /// Probes since the last alarm.
    calm: u32,
}

/// An alarm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Raised {
    /// There was none for long.
    Anew,
    /// Loss that is known goes on.
    Again,
}

#[derive(Clone, Debug)]
struct Cusum {
    sum: f64,
    lost: f64,
    passed: f64,
    threshold: f64,
}

impl Cusum {
    fn new((bad, threshold): (f64, f64)) -> Self {
        Self {
            sum: 0.0,
            lost: (bad / GOOD).ln(),
            passed: ((1.0 - bad) / (1.0 - GOOD)).ln(),
            threshold,
        }
    }

    fn add(&mut self, ratio: f64) {
        self.sum = (self.sum + ratio).max(0.0);
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            tests: TESTS.map(Cusum::new),
            run: 0,
            wary: 0,
            calm: CALM,
        }
    }
}

impl Alarm {
    /// A probe passed.
    pub fn passed(&mut self) {
        self.run = 0;
        self.count();
        for test in &mut self.tests {
            test.add(test.passed);
        }
    }

    /// A probe was lost: that may be one too many.
    pub fn lost(&mut self) -> Option<Raised> {
        self.run = self.run.saturating_add(1);
        self.count();
        if self.run > RUN {
            return None;
        }
        for test in &mut self.tests {
            test.add(test.lost);
        }
        self.raise()
    }

    /// The other direction of the link alarmed anew: what was seen of this one may be enough now.
    pub fn warn(&mut self) -> Option<Raised> {
        self.wary = WARY;
        self.raise()
    }

    const fn count(&mut self) {
        self.wary = self.wary.saturating_sub(1);
        self.calm = self.calm.saturating_add(1);
    }

    fn raise(&mut self) -> Option<Raised> {
        let share = if self.wary > 0 { 0.5 } else { 1.0 };
        let reached = |test: &Cusum| test.sum >= test.threshold * share;
        if !self.tests.iter().any(reached) {
            return None;
        }
        self.tests.iter_mut().for_each(|test| test.sum = 0.0);
        self.wary = 0;
        let calm = std::mem::replace(&mut self.calm, 0);
        Some(if calm < CALM {
            Raised::Again
        } else {
            Raised::Anew
        })
    }

    /// A probe that had been counted as lost was only late.
    pub fn forgive(&mut self) {
        for test in &mut self.tests {
            test.add(test.passed - test.lost);
        }
    }

    /// How near the alarm is: from 0, not at all, to 1.
    #[must_use]
    pub fn suspicion(&self) -> f64 {
        let near = self.tests.iter().map(|test| test.sum / test.threshold);
        near.fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests;
