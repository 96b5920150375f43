//! What must hold in every step: no packets in circles for long, no session lost for loss, no move without a reason.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use speaker::path_score::judge::{Change, Why};

use super::line::Line;
use super::plan;
use super::world::World;

/// Packets may go in circles while the news is under way that a way is gone, and no longer than this beside the time that
/// TCP needs to bring it over: a few round trips.
const CIRCLES_MAX: Duration = Duration::from_secs(1);
/// A cost may rise for what a link did so long ago at most: the longest window, and what is under way.
const REMEMBERED: Duration = Duration::from_secs(70);
/// A session may end for what was cut so long ago at most: the hold time, and what is under way.
const CUT: Duration = Duration::from_secs(100);

/// What TCP held up has consequences for so long.
const HELD_UP: Duration = Duration::from_millis(200);

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Links that were spoiled for a while.
    pub spoiled: usize,
    /// Links that were cut, those of a region among them.
    pub cuts: usize,
    /// Regions that were cut off.
    pub regions: usize,
    /// Clocks that were set.
    pub steps: usize,
    /// Sessions that ended, as one end saw it.
    pub sessions_lost: usize,
    /// Costs that changed for what was measured.
    pub moves: usize,
    /// Of these, for an alarm on a link that had been bad.
    pub alarms: usize,
    /// Routes that changed in a kernel.
    pub routes: usize,
    /// Times that packets to some region went in circles, and the longest of them.
    pub circles: usize,
    /// See there.
    pub longest: Duration,
    /// The longest while that no news was held up by loss or a cut.
    pub longest_free: Duration,
    /// The last time that a route or a cost changed.
    pub last_change: Option<Instant>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) figures: Figures,
    /// By region and by a gateway through which packets come again, since when.
    circles: BTreeMap<(usize, usize), Circle>,
}

#[derive(Clone, Copy, Debug)]
struct Circle {
    since: Instant,
    /// The last moment at which news was held up by loss or a cut.
    excused: Instant,
}

impl World {
    /// A gateway sends to a region another way.
    pub(super) fn route_changed(&mut self, n: usize, region: usize) {
        self.watch.figures.routes += 1;
        self.watch.figures.last_change = Some(self.now);
        self.end_loops_to(Some(region));
        self.look_for_circle(n, region);
    }

    /// What is sent over a link arrives again.
    pub(super) fn passable(&mut self, from: usize, to: usize) {
        let fib = self.gateways.get(from).map(|g| &g.fib);
        let by = fib.into_iter().flatten().enumerate();
        let regions = by.filter(|(_, ways)| ways.contains(&to));
        for region in regions.map(|(region, _)| region).collect::<Vec<_>>() {
            self.look_for_circle(from, region);
        }
    }

    fn look_for_circle(&mut self, n: usize, region: usize) {
        if self.circle(n, region).0 && !self.watch.circles.contains_key(&(region, n)) {
            self.note(n, &format!("gets what it sends to region {region} back"));
            let (since, excused) = (self.now, self.now);
            let circle = Circle { since, excused };
            self.watch.circles.insert((region, n), circle);
            self.watch.figures.circles += 1;
        }
    }

    /// Circles that are none any more are forgotten, unless they lasted for too long.
    pub(super) fn end_loops(&mut self) {
        self.end_loops_to(None);
    }

    fn end_loops_to(&mut self, only: Option<usize>) {
        if self.watch.circles.is_empty() {
            return;
        }
        let circles = std::mem::take(&mut self.watch.circles);
        let (now, mut worst) = (self.now, None);
        for ((region, n), mut circle) in circles {
            let lasted = now - circle.since;
            self.watch.figures.longest = self.watch.figures.longest.max(lasted);
            let (closed, held_up) = self.circle(n, region);
            if held_up {
                circle.excused = now;
            }
            let free = now - circle.excused;
            self.watch.figures.longest_free = self.watch.figures.longest_free.max(free);
            if free > CIRCLES_MAX {
                worst = Some((n, region, lasted));
            }
            if closed || only.is_some_and(|only| only != region) {
                self.watch.circles.insert((region, n), circle);
            }
        }
        if let Some((n, region, lasted)) = worst {
            let what = format!("packets to region {region} went in circles for {lasted:?}");
            self.blame(n, &what);
        }
    }

    /// Whether packets to a region come back to `n`; and whether news was held up just now from where they go. What is cut
    /// lets none pass.
    fn circle(&self, n: usize, region: usize) -> (bool, bool) {
        let (mut closed, mut held_up) = (false, false);
        let mut seen = Vec::new();
        let mut next = vec![n];
        while let Some(at) = next.pop() {
            let ways = self.gateways.get(at).and_then(|g| g.fib.get(region));
            for &to in ways.into_iter().flatten() {
                let back = self.line(to, at);
                held_up |= back.is_none_or(|line| line.holds_up(self.now, HELD_UP));
                if self.line(at, to).is_none_or(Line::is_cut) {
                    continue;
                }
                closed |= to == n;
                if to != n && !seen.contains(&to) {
                    seen.push(to);
                    next.push(to);
                }
            }
        }
        (closed, held_up)
    }

    fn line(&self, from: usize, to: usize) -> Option<&Line> {
        let index = self.gateways.get(from)?.lines.get(&to)?;
        self.lines.get(*index)
    }

    /// A link costs something else: has it deserved that?
    pub(super) fn judge_cost(&mut self, n: usize, remote: IpAddr, change: &Change) {
        let Some(to) = plan::gateway(remote) else {
            return;
        };
        if self.trace.is_some() {
            let (before, cost, why) = (change.before, change.cost, change.why);
            let what = format!(
                "{:?} to g{to}: {before} to {cost}, {why:?}",
                change.direction
            );
            self.note(n, &what);
        }
        if change.before == change.cost || change.why == Why::Configured {
            return;
        }
        let now = self.now;
        self.watch.figures.last_change = Some(now);
        let bound = usize::try_from(self.plan.judge.moves_a_minute).unwrap_or(0);
        let Some(gateway) = self.gateways.get_mut(n) else {
            return;
        };
        let way = (to, change.direction);
        let warranted = match change.why {
            Why::Configured | Why::Measured => return,
            Why::Alarm | Why::Silent | Why::Worse => {
                gateway.ledger.raised.insert(way);
                self.was_bad(n, to, REMEMBERED)
            }
            Why::Recovered { .. } => gateway.ledger.raised.contains(&way),
        };
        if !warranted {
            let what = format!("the link to g{to} moves for nothing: {change:?}");
            self.blame(n, &what);
        }
        let Some(gateway) = self.gateways.get_mut(n) else {
            return;
        };
        if gateway.ledger.moved(now) > bound {
            self.blame(n, "more costs changed in a minute than may");
        }
        self.watch.figures.moves += 1;
        self.watch.figures.alarms += usize::from(matches!(change.why, Why::Alarm | Why::Silent));
    }

    fn was_bad(&self, a: usize, b: usize, span: Duration) -> bool {
        let bad = |line: Option<&Line>| line.is_some_and(|l| l.was_bad(self.now, span));
        bad(self.line(a, b)) || bad(self.line(b, a))
    }

    /// A session ended: only what was cut ends one.
    pub(super) fn judge_failure(&mut self, n: usize, remote: IpAddr, what: &str) {
        let Some(to) = plan::gateway(remote) else {
            return;
        };
        self.watch.figures.sessions_lost += 1;
        let cut = |line: Option<&Line>| line.is_some_and(|l| l.was_cut(self.now, CUT));
        if !cut(self.line(n, to)) && !cut(self.line(to, n)) {
            self.blame(n, &format!("{what} with g{to}, and nothing was cut"));
        }
    }
}
