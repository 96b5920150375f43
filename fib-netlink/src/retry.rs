//! What the kernel refused, and when it is asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::table::Key;
use crate::{NextHop, NextHops};

/// The second attempt follows at once: most refusals are races that the next look has settled.
/// The third comes after this time, and it doubles from there.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest time between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// What was refused.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Subject {
    Row(Key),
    Hop(NextHop),
    Set(NextHops),
    /// The removal of a nexthop object.
    Object(u32),
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Why {
    /// The kernel's error number.
    Refused(i32),
    /// A foreign route is in the way.
    Foreign,
    /// Something keeps changing it.
    Contested,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    pub(crate) why: Why,
    pub(crate) attempts: u32,
    pub(crate) next: Instant,
}

/// All of them. As many as there are rows, next hops and sets, at most.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    by_subject: BTreeMap<Subject, Retry>,
    due: BTreeSet<(Instant, Subject)>,
}

impl Retries {
    /// An attempt failed. Says how many have by now.
    pub(crate) fn failed(&mut self, now: Instant, subject: Subject, why: Why) -> u32 {
        let attempts = self
            .by_subject
            .get(&subject)
            .map_or(0, |retry| retry.attempts)
            .saturating_add(1);
        self.wait(
            subject,
            Retry {
                why,
                attempts,
                next: now + backoff(attempts),
            },
        );
        attempts
    }

    /// It is to rest until an instant.
    pub(crate) fn rest(&mut self, until: Instant, subject: Subject, why: Why) {
        self.wait(
            subject,
            Retry {
                why,
                attempts: 0,
                next: until,
            },
        );
    }

    /// It succeeded, or is wanted no more, or there is reason to try it now.
    pub(crate) fn forget(&mut self, subject: &Subject) -> bool {
        match self.by_subject.remove(subject) {
            Some(retry) => {
                self.due.remove(&(retry.next, subject.clone()));
                true
            }
            None => false,
        }
    }

    pub(crate) fn get(&self, subject: &Subject) -> Option<&Retry> {
        self.by_subject.get(subject)
    }

    /// Whether its time has not come.
    pub(crate) fn is_waiting(&self, subject: &Subject, now: Instant) -> bool {
        self.by_subject
            .get(subject)
            .is_some_and(|retry| retry.next > now)
    }

    /// The next one whose time has come; its attempts stay counted.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Subject> {
        let (next, _) = self.due.first()?;
        if *next > now {
            return None;
        }
        self.due.pop_first().map(|(_, subject)| subject)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(next, _)| *next)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_subject.is_empty()
    }

    fn wait(&mut self, subject: Subject, retry: Retry) {
        if let Some(old) = self.by_subject.insert(subject.clone(), retry) {
            self.due.remove(&(old.next, subject.clone()));
        }
        self.due.insert((retry.next, subject));
    }
}

fn backoff(attempts: u32) -> Duration {
    match attempts.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => BACKOFF
            .saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX))
            .min(BACKOFF_MAX),
    }
}
