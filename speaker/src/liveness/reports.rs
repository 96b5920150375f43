//! What BFD and probes report waits here until the speaker can take it. A later report on a path or a link joins an earlier
//! one, so that the number of those bounds what waits; notices have a bound of their own.

use std::collections::BTreeMap;

use bfd::Path;
use path_score::judge::Change;
use path_score::{Direction, LinkId, Method};

use crate::Event;
use crate::links::LinkReport;
use crate::liveness::BfdReport;

/// Notices about links that wait, at most; further ones are dropped.
pub const NOTICES_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub struct Reports {
    sessions: BTreeMap<Path, BfdReport>,
    changes: BTreeMap<(LinkId, Direction), Change>,
    methods: BTreeMap<LinkId, Method>,
    notices: Vec<LinkReport>,
}

impl Reports {
    /// A session changed. A failure is not undone by what comes after it.
    pub fn session(&mut self, path: Path, change: bfd::Change) {
        let failed = change.is_failure();
        let before = self.sessions.get(&path).and_then(|before| before.failed);
        let report = BfdReport {
            path: path.clone(),
            state: change.to,
            failed: before.or(failed.then_some(change.reason)),
        };
        self.sessions.insert(path, report);
    }

    /// A link costs something else. Two changes in a row are one.
    pub fn cost(&mut self, change: Change) {
        let key = (change.link, change.direction);
        let before = self.changes.get(&key).map_or(change.before, |c| c.before);
        self.changes.insert(key, Change { before, ..change });
    }

    /// What a link is measured by. The last one counts.
    pub fn measured(&mut self, link: LinkId, method: Method) {
        self.methods.insert(link, method);
    }

    /// Something that an operator may want to know.
    pub fn notice(&mut self, notice: LinkReport) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push(notice);
        }
    }

    /// All that waits.
    pub fn take(&mut self) -> Vec<Event> {
        let Self {
            sessions,
            changes,
            methods,
            notices,
        } = std::mem::take(self);
        let changes = changes.into_values().map(LinkReport::Cost);
        let methods = methods.into_iter();
        let methods = methods.map(|(link, method)| LinkReport::Measured(link, method));
        let links = methods.chain(changes).chain(notices);
        let sessions = sessions.into_values().map(Event::Bfd);
        sessions.chain(links.map(Event::Link)).collect()
    }
}

#[cfg(test)]
mod tests;
