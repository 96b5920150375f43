//! What the two threads leave for each other. Bounded by the number of paths: a later order for one takes the place of an
//! earlier one, a later report joins it.

use std::collections::BTreeMap;

use bfd::Path;
use grpc_api::{BfdSession, LinkView};
use path_score::judge::Change;
use path_score::{Direction, LinkId, Method};
use speaker::config::Probe;
use speaker::links::{LinkOrder, LinkReport};
use speaker::liveness::BfdReport;
use tokio::sync::oneshot;

use super::News;

/// Questions that wait for an answer, at most.
const QUESTIONS_MAX: usize = 16;
/// Notices about links that wait to be collected, at most; further ones are dropped.
const NOTICES_MAX: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) sessions: BTreeMap<Path, Option<bfd::Config>>,
    pub(super) links: BTreeMap<LinkId, LinkOrder>,
    pub(super) probe: Option<Probe>,
    pub(super) closed: bool,
    /// There is a thread that answers.
    pub(super) running: bool,
    reports: BTreeMap<Path, BfdReport>,
    changes: BTreeMap<(LinkId, Direction), Change>,
    methods: BTreeMap<LinkId, Method>,
    notices: Vec<LinkReport>,
    sessions_asked: Vec<oneshot::Sender<Vec<BfdSession>>>,
    links_asked: Vec<oneshot::Sender<Vec<LinkView>>>,
}

/// What waits for the thread.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) sessions: BTreeMap<Path, Option<bfd::Config>>,
    pub(super) links: BTreeMap<LinkId, LinkOrder>,
    pub(super) probe: Option<Probe>,
    pub(super) closed: bool,
    pub(super) sessions_asked: Vec<oneshot::Sender<Vec<BfdSession>>>,
    pub(super) links_asked: Vec<oneshot::Sender<Vec<LinkView>>>,
}

impl Desk {
    /// All that waits for the thread.
    pub(super) fn take(&mut self) -> Orders {
        Orders {
            sessions: std::mem::take(&mut self.sessions),
            links: std::mem::take(&mut self.links),
            probe: self.probe.take(),
            closed: self.closed,
            sessions_asked: std::mem::take(&mut self.sessions_asked),
            links_asked: std::mem::take(&mut self.links_asked),
        }
    }

    /// All that waits to be collected.
    pub(super) fn collect(&mut self) -> Vec<News> {
        let reports = std::mem::take(&mut self.reports).into_values();
        let changes = std::mem::take(&mut self.changes).into_values();
        let notices = std::mem::take(&mut self.notices).into_iter();
        let changes = changes.map(LinkReport::Cost);
        let methods = std::mem::take(&mut self.methods).into_iter();
        let methods = methods.map(|(link, method)| LinkReport::Measured(link, method));
        let links = methods.chain(changes).chain(notices);
        reports
            .map(News::Bfd)
            .chain(links.map(News::Link))
            .collect()
    }

    /// A failure is not undone by what comes after it.
    pub(super) fn report(&mut self, report: BfdReport) {
        let before = self.reports.get(&report.path);
        let failed = before.and_then(|before| before.failed).or(report.failed);
        let report = BfdReport { failed, ..report };
        self.reports.insert(report.path.clone(), report);
    }

    /// Two changes in a row are one.
    pub(super) fn change(&mut self, change: Change) {
        let key = (change.link, change.direction);
        let before = self.changes.get(&key).map_or(change.before, |c| c.before);
        self.changes.insert(key, Change { before, ..change });
    }

    /// The last one counts.
    pub(super) fn measured(&mut self, link: LinkId, method: Method) {
        self.methods.insert(link, method);
    }

    pub(super) fn notice(&mut self, notice: LinkReport) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push(notice);
        }
    }

    pub(super) fn ask_sessions(&mut self, answer: oneshot::Sender<Vec<BfdSession>>) {
        if self.running && self.sessions_asked.len() < QUESTIONS_MAX {
            self.sessions_asked.push(answer);
        }
    }

    pub(super) fn ask_links(&mut self, answer: oneshot::Sender<Vec<LinkView>>) {
        if self.running && self.links_asked.len() < QUESTIONS_MAX {
            self.links_asked.push(answer);
        }
    }
}

#[cfg(test)]
mod tests;
