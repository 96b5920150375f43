//! What became of a batch: what the kernel refused is looked at anew, or waits for its next attempt.

use std::time::Instant;

use ipnet::IpNet;

use super::{Fib, Flight, Pending};
use crate::op::Failure;
use crate::retry::{Subject, Why};
use crate::table::Slot;
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
                None => self.succeeded(&pending),
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
        if self.retries.is_empty() {
            return;
        }
        match pending {
            Pending::Put { prefix, .. }
            | Pending::Replace { prefix }
            | Pending::Remove { prefix } => {
                self.retries.forget(&Subject::Row(*prefix));
            }
            Pending::Object { index, .. } => {
                if let Some(subject) = self.nexthops.subject(*index) {
                    self.retries.forget(&subject);
                }
            }
            Pending::Sweep => {}
        }
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
            Pending::Put {
                prefix,
                swept: false,
            } if errno == libc::EEXIST => self.set_actual(prefix, Slot::UNKNOWN, true),
            Pending::Put {
                prefix,
                swept: true,
            } if errno == libc::EEXIST => {
                self.set_actual(prefix, Slot::NOTHING, false);
                if self.retries.failed(now, Subject::Row(prefix), Why::Foreign) == 1 {
                    out.push(Output::Notice(Notice::ForeignInTheWay { prefix }));
                }
            }
            Pending::Replace { prefix } if errno == libc::ENOENT => {
                self.set_actual(prefix, Slot::NOTHING, true)
            }
            Pending::Remove { prefix } if errno == libc::ESRCH => {
                self.set_actual(prefix, Slot::NOTHING, true)
            }
            Pending::Put { prefix, .. }
            | Pending::Replace { prefix }
            | Pending::Remove { prefix } => {
                self.set_actual(prefix, Slot::UNKNOWN, false);
                if self
                    .retries
                    .failed(now, Subject::Row(prefix), Why::Refused(errno))
                    == ATTEMPTS_QUIET
                {
                    report.failed(prefix, errno);
                }
            }
            Pending::Object { index, before } => {
                let Some(subject) = self.nexthops.refused(index, before, &self.resolver) else {
                    return;
                };
                let attempts = self
                    .retries
                    .failed(now, subject.clone(), Why::Refused(errno));
                if let (ATTEMPTS_QUIET, Subject::Hop(next_hop)) = (attempts, subject) {
                    report.failed(IpNet::from(next_hop.address), errno);
                }
            }
            Pending::Sweep => {}
        }
    }
}

/// The first refusal is mostly a race that the second attempt, at once, wins: only that one is worth a notice.
const ATTEMPTS_QUIET: u32 = 2;

#[derive(Debug, Default)]
struct Report {
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
