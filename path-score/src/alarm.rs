//! A CUSUM over the fates of probes in one direction: does the link lose more than it may?
//!
//! Page's test of p = [`GOOD`] against p = [`BAD`]: each probe adds its log-likelihood ratio, the sum never falls below
//! zero, and at [`THRESHOLD`] it alarms and starts over. So a loss that goes on alarms again and again.

/// The loss that is nobody's business.
const GOOD: f64 = 0.005;
/// The loss that the test is the fastest to find.
const BAD: f64 = 0.1;
/// About one false alarm in ten years at 50 probes/s and a loss of [`GOOD`].
const THRESHOLD: f64 = 20.1;
/// So many losses of one run count: more of them say no more about the rate of loss, for losses come in bursts.
const RUN: u32 = 3;

/// The alarm of one direction.
#[derive(Clone, Debug)]
pub struct Alarm {
    sum: f64,
    run: u32,
    lost: f64,
    passed: f64,
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            sum: 0.0,
            run: 0,
            lost: (BAD / GOOD).ln(),
            passed: ((1.0 - BAD) / (1.0 - GOOD)).ln(),
        }
    }
}

impl Alarm {
    /// A probe passed.
    pub fn passed(&mut self) {
        self.run = 0;
        self.sum = (self.sum + self.passed).max(0.0);
    }

    /// A probe was lost. True is the alarm.
    pub fn lost(&mut self) -> bool {
        self.run = self.run.saturating_add(1);
        if self.run > RUN {
            return false;
        }
        self.sum += self.lost;
        let alarm = self.sum >= THRESHOLD;
        if alarm {
            self.sum = 0.0;
        }
        alarm
    }

    /// A probe that had been counted as lost was only late.
    pub fn forgive(&mut self) {
        self.sum = (self.sum - self.lost + self.passed).max(0.0);
    }

    /// How near the alarm is: from 0, not at all, to 1.
    #[must_use]
    pub fn suspicion(&self) -> f64 {
        self.sum / THRESHOLD
    }
}

#[cfg(test)]
mod tests;
