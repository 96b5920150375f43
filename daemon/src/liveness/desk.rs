//! What the two threads leave for each other. Bounded by the number of paths: a later order for one takes the place of an
//! earlier one, a later report joins it.

use std::collections::BTreeMap;

use bfd::Path;
use grpc_api::{BfdSession, LinkView};
use path_score::LinkId;
use speaker::config::Probe;
use speaker::links::LinkOrder;
use speaker::liveness::Reports;
use tokio::sync::oneshot;

/// Questions that wait for an answer, at most.
const QUESTIONS_MAX: usize = 16;

/// See the module.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) sessions: BTreeMap<Path, Option<bfd::Config>>,
    pub(super) links: BTreeMap<LinkId, LinkOrder>,
    pub(super) probe: Option<Probe>,
    pub(super) closed: bool,
    /// There is a thread that answers.
    pub(super) running: bool,
    /// What waits to be collected.
    pub(super) reports: Reports,
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
