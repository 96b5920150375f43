//! A load and what it costs: all announced, all withdrawn, one changed after another.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bgp_core::Family;
use serde::{Deserialize, Serialize};

use super::crowd::Crowd;
use super::lookup::Lookup;
use super::session::{Message, Peer};
use super::table::Table;
use super::tracker::Tracker;
use super::usage::{Device, Usage, others_cpu};
use super::wire::{keys, update};
use crate::lab::Host;
use crate::sim::Chance;

/// How long to wait for something to move before looking again whether all is done.
const TURN: Duration = Duration::from_millis(5);
/// How long nothing may come before a device counts as at rest, and when it is not waited for longer.
const QUIET: Duration = Duration::from_secs(1);
const QUIET_LIMIT: Duration = Duration::from_secs(10);
/// How many routes a kernel is asked for, again and again, before it is asked to count all.
const SAMPLE: usize = 64;
/// How long the changes of a churn that are under way are waited for.
const STRAGGLERS: Duration = Duration::from_secs(5);

/// Who says what to whom.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the device listens.
    pub address: SocketAddr,
    /// What costs are read from.
    pub device: Device,
    /// The family that all sessions carry.
    pub family: Family,
    /// Who announces.
    pub senders: Vec<Peer>,
    /// Who counts.
    pub receivers: Vec<Peer>,
    /// AS numbers that the device adds to a path: one, and none between internal peers.
    pub prepended: u8,
    /// It installs routes: a load is done when its kernel has them too.
    pub kernel: Option<Host>,
    /// Its routes have so many ways: a load is done when some of them have all.
    pub ways: Option<usize>,
    /// How long a phase may take.
    pub limit: Duration,
}

/// A phase's cost.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Measured {
    /// Seconds from the first byte until the last prefix was where it belongs.
    pub wall_s: f64,
    /// The device's processor seconds until it was at rest.
    pub cpu_s: f64,
    /// Its most resident memory up to now, in MiB.
    pub peak_rss_mib: f64,
    /// Processor seconds of programs that are neither the device nor the load: what disturbed.
    pub others_cpu_s: f64,
}

/// A churn's cost: how long a change takes from its sender to the clients.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Churned {
    /// Milliseconds until the first receiver had a change: the median.
    pub p50_ms: f64,
    /// The same: what 99 of a hundred changes did not exceed.
    pub p99_ms: f64,
    /// The same over all clients.
    pub all_p50_ms: f64,
    /// The same over all clients.
    pub all_p99_ms: f64,
    /// Changes that were made.
    pub changes: usize,
    /// Changes that some client never heard of.
    pub lost: usize,
    /// What it cost.
    pub cost: Measured,
}

/// Senders and receivers with their sessions up.
#[derive(Debug)]
pub struct Load {
    plan: Plan,
    table: Table,
    crowd: Crowd,
    trackers: Vec<Tracker>,
    /// What the kernel held before there were any routes.
    kernel_before: usize,
    /// Of the kernel, where that matters.
    lookup: Option<Lookup>,
}

impl Load {
    /// Establishes the sessions from `host`, and waits until the device is at rest.
    ///
    /// # Errors
    /// A session does not come up.
    pub fn start(host: &Host, plan: Plan, table: Table) -> Result<Self> {
        let peers = [&plan.receivers[..], &plan.senders[..]].concat();
        let (address, family) = (plan.address, plan.family);
        let crowd = host.within(move || Crowd::meet(address, family, &peers))?;
        let receivers = plan.receivers.iter();
        let kernel = plan.kernel.as_ref();
        let lookup = kernel.map(|host| Lookup::open(host, table.sample(SAMPLE)));
        let mut load = Self {
            lookup: lookup.transpose()?,
            trackers: receivers
                .map(|_| Tracker::new(&table, plan.prepended))
                .collect(),
            kernel_before: plan.device.kernel_routes().unwrap_or_default(),
            plan,
            table,
            crowd,
        };
        load.rest()?;
        Ok(load)
    }

    /// All senders announce everything; over when every receiver has every prefix by a shortest path.
    ///
    /// # Errors
    /// A session is lost, or it takes longer than it may.
    pub fn announce(&mut self) -> Result<Measured> {
        let streams = self.table.streams().to_vec();
        let total = self.table.len();
        let first = self.trackers.len();
        self.phase(total, |load| {
            for (sender, stream) in streams.into_iter().enumerate() {
                load.crowd.send(first + sender, stream)?;
            }
            Ok(())
        })
    }

    /// All senders leave; over when no receiver has a prefix.
    ///
    /// # Errors
    /// A receiver's session is lost, or it takes longer than it may.
    pub fn leave(&mut self) -> Result<Measured> {
        let first = self.trackers.len();
        let senders = self.plan.senders.len();
        self.phase(0, |load| {
            (first..first + senders).for_each(|who| load.crowd.leave(who));
            Ok(())
        })
    }

    /// Lets `span` pass.
    ///
    /// # Errors
    /// A session is lost.
    pub fn wait(&mut self, span: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < span {
            self.turn(TURN)?;
        }
        Ok(())
    }

    /// So many times a second, for so long, some sender withdraws one of its prefixes, or announces it
    /// again.
    ///
    /// # Errors
    /// A session is lost.
    pub fn churn(&mut self, per_second: u32, span: Duration) -> Result<Churned> {
        let mark = Mark::now(&self.plan.device);
        let first = self.trackers.len();
        let mut changes = Changes::new(self.table.len(), first + self.plan.senders.len());
        let mut chance = Chance::new(7);
        let mut due = mark.at;
        while mark.at.elapsed() < span {
            let now = Instant::now();
            if now >= due {
                due += Duration::from_secs(1) / per_second;
                let index = chance.below(self.table.len());
                if let Some(is_up) = changes.flip(index, first + self.table.sender(index), now) {
                    let said = self.table.change(index, is_up);
                    self.crowd.send(first + self.table.sender(index), said)?;
                }
            }
            let wait = due.saturating_duration_since(Instant::now());
            self.turn_with(wait, &mut changes)?;
        }
        let end = Instant::now();
        while changes.pending() > 0 && end.elapsed() < STRAGGLERS {
            self.turn_with(TURN, &mut changes)?;
        }
        let wall = end - mark.at;
        self.rest()?;
        Ok(Churned {
            lost: changes.pending(),
            changes: changes.made,
            cost: mark.cost(&self.plan.device, wall),
            ..changes.percentiles()
        })
    }

    /// Acts, and waits until every receiver (and the kernel) has `wanted` prefixes.
    fn phase(
        &mut self,
        wanted: usize,
        act: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<Measured> {
        let mark = Mark::now(&self.plan.device);
        act(self)?;
        while !self.is_done(wanted) {
            self.turn(TURN)?;
            if mark.at.elapsed() > self.plan.limit {
                bail!("not done in {:?}: {}", self.plan.limit, self.progress());
            }
        }
        let last = self.trackers.iter().filter_map(Tracker::last).max();
        let mut end = last.unwrap_or_else(Instant::now);
        if self.lookup.is_some() {
            while !self.kernel_has(wanted)? {
                self.turn(TURN)?;
                if mark.at.elapsed() > self.plan.limit {
                    let held = self.kernel_routes();
                    bail!("the kernel has {held} routes after {:?}", self.plan.limit);
                }
            }
            end = Instant::now();
        }
        if let (Some(device), Some(ways), true) =
            (self.plan.kernel.clone(), self.plan.ways, wanted > 0)
        {
            while !self
                .table
                .some()
                .all(|prefix| has_ways(&device, &prefix, ways))
            {
                self.turn(TURN)?;
                if mark.at.elapsed() > self.plan.limit {
                    bail!(
                        "not all routes have {ways} ways after {:?}",
                        self.plan.limit
                    );
                }
            }
            end = Instant::now();
        }
        let wall = end.saturating_duration_since(mark.at);
        self.rest()?;
        Ok(mark.cost(&self.plan.device, wall))
    }

    fn is_done(&self, wanted: usize) -> bool {
        let mut trackers = self.trackers.iter();
        if wanted == 0 {
            trackers.all(Tracker::is_empty)
        } else {
            trackers.all(Tracker::is_complete) && self.crowd.is_sent()
        }
    }

    /// Whether the kernel has so many routes. They are counted when those of the sample are as they should be.
    fn kernel_has(&self, wanted: usize) -> Result<bool> {
        let Some(lookup) = &self.lookup else {
            return Ok(true);
        };
        Ok(lookup.has(wanted > 0)? && self.kernel_routes() == wanted)
    }

    fn kernel_routes(&self) -> usize {
        let now = self.plan.device.kernel_routes().unwrap_or_default();
        now.saturating_sub(self.kernel_before)
    }

    fn progress(&self) -> String {
        let (total, counts) = (
            self.table.len(),
            self.trackers.iter().map(Tracker::present).min(),
        );
        format!("a receiver has {counts:?} prefixes of {total}")
    }

    /// Turns until nothing has come for a while.
    fn rest(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            self.turn(TURN)?;
            let last = self.trackers.iter().filter_map(Tracker::last).max();
            let quiet = last.map_or(start, |last| last.max(start)).elapsed();
            if quiet > QUIET || start.elapsed() > QUIET_LIMIT {
                return Ok(());
            }
        }
    }

    fn turn(&mut self, wait: Duration) -> Result<()> {
        let (table, trackers) = (&self.table, &mut self.trackers);
        self.crowd.turn(wait, |who, message, now| {
            if let (Some(tracker), Message::Update(body)) = (trackers.get_mut(who), message) {
                tracker.take(table, body, now);
            }
        })
    }

    fn turn_with(&mut self, wait: Duration, changes: &mut Changes) -> Result<()> {
        let (table, trackers) = (&self.table, &mut self.trackers);
        self.crowd.turn(wait, |who, message, now| {
            let Message::Update(body) = message else {
                return;
            };
            if let Some(tracker) = trackers.get_mut(who) {
                tracker.take(table, body, now);
            }
            changes.take(table, who, body, now);
        })
    }
}

/// Whether the kernel has a route with so many next hops.
fn has_ways(device: &Host, prefix: &str, ways: usize) -> bool {
    let said = device.ip(&format!("route show {prefix}"));
    let said = said.unwrap_or_default();
    // Where the kernel tells the id of a group alone (net.ipv4.nexthop_compat_mode=0), the group tells the rest.
    let group = after(&said, "nhid").map(|id| device.ip(&format!("nexthop show id {id}")));
    let members = group.map(|said| members(&said.unwrap_or_default()));
    said.matches("nexthop via").count() == ways || members == Some(ways)
}

/// How many members a group has, as `ip nexthop show` prints it.
fn members(said: &str) -> usize {
    after(said, "group").map_or(0, |group| group.split('/').count())
}

/// The word after another one.
fn after<'a>(said: &'a str, word: &str) -> Option<&'a str> {
    let mut words = said.split_whitespace().skip_while(|found| *found != word);
    words.nth(1)
}

/// Changes under way.
struct Changes {
    clients: usize,
    /// By prefix: whether it is announced, and for the change under way when it was made and how many
    /// have not heard of it.
    prefixes: Vec<(bool, Option<Instant>, usize)>,
    made: usize,
    /// Milliseconds: of the first receiver, and of all clients.
    first: Vec<f64>,
    all: Vec<f64>,
}

impl Changes {
    fn new(prefixes: usize, clients: usize) -> Self {
        Self {
            clients,
            prefixes: vec![(true, None, 0); prefixes],
            made: 0,
            first: Vec::new(),
            all: Vec::new(),
        }
    }

    /// Changes a prefix unless it is under way; returns whether it is announced now.
    fn flip(&mut self, index: usize, sender: usize, now: Instant) -> Option<bool> {
        let (is_up, since, waiting) = self.prefixes.get_mut(index)?;
        if *waiting > 0 {
            return None;
        }
        (*is_up, *since) = (!*is_up, Some(now));
        // Everyone but the sender itself.
        *waiting = self.clients - usize::from(sender < self.clients);
        self.made += 1;
        Some(*is_up)
    }

    fn take(&mut self, table: &Table, who: usize, body: &[u8], now: Instant) {
        let Some(update) = update(body) else { return };
        for (octets, up) in [(update.withdrawn, false), (update.announced, true)] {
            for octets in octets {
                keys(octets, |key| self.heard(table.index(key), who, up, now));
            }
        }
    }

    fn heard(&mut self, index: Option<usize>, who: usize, up: bool, now: Instant) {
        let place = index.and_then(|index| self.prefixes.get_mut(index));
        let Some((is_up, Some(since), waiting)) = place else {
            return;
        };
        if *is_up != up || *waiting == 0 {
            return;
        }
        *waiting -= 1;
        let took = (now - *since).as_secs_f64() * 1e3;
        self.all.push(took);
        if who == 0 {
            self.first.push(took);
        }
    }

    fn pending(&self) -> usize {
        self.prefixes
            .iter()
            .filter(|(_, _, waiting)| *waiting > 0)
            .count()
    }

    fn percentiles(mut self) -> Churned {
        self.first.sort_by(f64::total_cmp);
        self.all.sort_by(f64::total_cmp);
        let at = |sorted: &[f64], percent: usize| {
            sorted
                .get(sorted.len() * percent / 100)
                .copied()
                .unwrap_or_default()
        };
        Churned {
            p50_ms: at(&self.first, 50),
            p99_ms: at(&self.first, 99),
            all_p50_ms: at(&self.all, 50),
            all_p99_ms: at(&self.all, 99),
            ..Churned::default()
        }
    }
}

/// What costs are counted from.
struct Mark {
    at: Instant,
    usage: Usage,
    others_cpu_s: f64,
}

impl Mark {
    fn now(device: &Device) -> Self {
        let usage = device.usage();
        Self {
            others_cpu_s: others_cpu(usage),
            usage,
            at: Instant::now(),
        }
    }

    fn cost(&self, device: &Device, wall: Duration) -> Measured {
        let usage = device.usage();
        Measured {
            wall_s: wall.as_secs_f64(),
            cpu_s: usage.cpu_s - self.usage.cpu_s,
            peak_rss_mib: usage.peak_rss_mib,
            others_cpu_s: (others_cpu(usage) - self.others_cpu_s).max(0.0),
        }
    }
}

#[cfg(test)]
mod tests;
