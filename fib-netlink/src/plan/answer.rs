//! What became of a batch: what the kernel refused is looked at anew, or waits for its next attempt.

use std::time::Instant;

use ipnet::IpNet;

use super::{Fib, Flight, NOTHING, Pending, UNKNOWN};
use crate::op::Failure;
use crate::retry::{Subject, Why};
use crate::table::{Flight as RowFlight, Key};
use crate::{Notice, Output};

impl Fib {
    pub(super) fn completed(
        &mut self,
        now: Instant,
        batch: u64,
        failures: &[Failure],
        out: &mut Vec<Output>,
    ) {
        let Some(position) = self.flights.iter().position(|flight| flight.id == batch) else {
            return;
        };
        let Some(Flight { pending, .. }) = self.flights.remove(position) else {
            return;
        };
        self.totals.refused += failures.len() as u64;
        let mut failures = failures.iter().peekable();
        let mut report = Report::default();
        for (index, pending) in (0_u32..).zip(pending) {
            match failures.next_if(|failure| failure.index == index) {
                Some(failure) => self.refused(now, pending, failure.errno, &mut report, out),
                None => {
                    report.unswept &= !matches!(pending, Pending::Sweep);
                    self.succeeded(&pending);
                }
            }
        }
        if let Some((prefix, errno)) = report.first {
            out.push(Output::Notice(Notice::InstallFailed {
                prefix,
                errno,
                more: report.more,
            }));
        }
        self.look_by(now);
    }

    fn succeeded(&mut self, pending: &Pending) {
        let subject = match pending {
            Pending::Put { key, .. } | Pending::Replace { key } | Pending::Remove { key } => {
                self.landed(*key);
                Some(Subject::Row(*key))
            }
            Pending::Object { index, .. } => {
                self.nexthops.answered(*index);
                self.nexthops.relieved(*index)
            }
            Pending::ObjectGone { index, id } => {
                self.nexthops.answered(*index);
                Some(Subject::Object(*id))
            }
            Pending::Sweep => None,
        };
        if !self.retries.is_empty()
            && let Some(subject) = subject
        {
            self.retries.forget(&subject);
        }
    }

    /// The row's change was answered.
    fn landed(&mut self, key: Key) {
        self.table.update(key, |row| {
            std::mem::take(&mut row.flight) == RowFlight::SentLookAgain
        });
        self.settled(key);
    }

    fn refused(
        &mut self,
        now: Instant,
        pending: Pending,
        errno: i32,
        report: &mut Report,
        out: &mut Vec<Output>,
    ) {
        if errno == libc::EPERM {
            self.not_permitted(out);
            return;
        }
        match pending {
            Pending::Put { key, .. } | Pending::Replace { key } | Pending::Remove { key } => {
                self.landed(key);
                self.route_refused(now, key, &pending, errno, report, out);
            }
            Pending::Object { index, replace } => {
                self.object_refused(now, index, replace, errno, report)
            }
            Pending::ObjectGone { index, .. } if errno == libc::ENOENT => {
                self.nexthops.answered(index)
            }
            Pending::ObjectGone { index, id } => {
                self.nexthops.still_there(index);
                self.retries
                    .failed(now, Subject::Object(id), Why::Refused(errno));
            }
            Pending::Sweep => report.unswept = errno != libc::ESRCH,
        }
    }

    fn route_refused(
        &mut self,
        now: Instant,
        key: Key,
        pending: &Pending,
        errno: i32,
        report: &mut Report,
        out: &mut Vec<Output>,
    ) {
        match (pending, errno) {
            // There is one that we do not know of. It may be ours.
            (Pending::Put { swept: false, .. }, libc::EEXIST) if !self.may_be_strangers(key) => {
                self.set_actual(key, UNKNOWN, true)
            }
            // It is not.
            (Pending::Put { swept, .. }, libc::EEXIST) if !(*swept && report.unswept) => {
                self.set_actual(key, NOTHING, false);
                if self.retries.failed(now, Subject::Row(key), Why::Foreign) == 1 {
                    let prefix = key.prefix;
                    out.push(Output::Notice(Notice::ForeignInTheWay { prefix }));
                }
            }
            (Pending::Replace { .. }, libc::ENOENT) | (Pending::Remove { .. }, libc::ESRCH) => {
                self.set_actual(key, NOTHING, true);
            }
            // What was to be replaced or removed is still there, what was to be made is not.
            _ => {
                self.set_actual(key, UNKNOWN, false);
                let attempts = self
                    .retries
                    .failed(now, Subject::Row(key), Why::Refused(errno));
                self.doubt(attempts);
                if attempts == ATTEMPTS_QUIET {
                    report.failed(key.prefix, errno);
                }
            }
        }
    }

    /// What is refused again and again may refer to an object that is not there any more, and nobody
    /// told us. The kernel is asked for all it has, ever more rarely.
    fn doubt(&mut self, attempts: u32) {
        if attempts >= ATTEMPTS_QUIET && attempts.is_power_of_two() {
            self.distrust();
        }
    }

    fn object_refused(
        &mut self,
        now: Instant,
        index: usize,
        replace: bool,
        errno: i32,
        report: &mut Report,
    ) {
        let Some(subject) = self.nexthops.refused(index, replace, errno, &self.resolver) else {
            return;
        };
        let attempts = self
            .retries
            .failed(now, subject.clone(), Why::Refused(errno));
        self.doubt(attempts);
        if let (ATTEMPTS_QUIET, Subject::Hop(next_hop)) = (attempts, subject) {
            report.failed(IpNet::from(next_hop.address), errno);
        }
    }
}

/// The first refusal is mostly a race that the second attempt, at once, wins: only that one is worth a notice.
const ATTEMPTS_QUIET: u32 = 2;

#[derive(Debug, Default)]
struct Report {
    /// The last sweep was refused: what it should have removed may still be there.
    unswept: bool,
    first: Option<(IpNet, i32)>,
    more: usize,
}

impl Report {
    fn failed(&mut self, prefix: IpNet, errno: i32) {
        match self.first {
            None => self.first = Some((prefix, errno)),
            Some(_) => self.more += 1,
        }
    }
}
