//! How next hops are reached, for whoever asks, and through which routes of ours (RFC 4271 §9.1.2.1).

use std::time::Instant;

use ipnet::IpNet;

use super::contest::Verdict;
use super::{Fib, GATHER, Knowledge};
use crate::nexthops::Qualities;
use crate::resolve::OurRoute;
use crate::{NextHop, Notice, Output, Resolution};

impl Fib {
    /// How a next hop is reached now, tracked or not.
    #[must_use]
    pub fn resolve(&self, next_hop: NextHop) -> Option<Resolution> {
        self.resolver.answer(next_hop)
    }

    /// Whether routes of ours changed by which next hops may be reached, and that has not been looked at.
    #[must_use]
    pub const fn is_resolving(&self) -> bool {
        self.resolve_at.is_some()
    }

    pub(super) fn track(&mut self, next_hop: NextHop, out: &mut Vec<Output>) {
        *self.tracked.entry(next_hop).or_default() += 1;
        let is_new = !self.resolver.is_used(next_hop);
        let mut resolution = self.resolver.using(next_hop);
        if is_new {
            // Nobody was told what it was without ours.
            self.cover_fresh();
            resolution = self.resolver.again(next_hop);
        }
        out.push(Output::NextHop {
            next_hop,
            resolution,
        });
    }

    pub(super) fn untrack(&mut self, now: Instant, next_hop: NextHop) {
        if let Some(count) = self.tracked.get_mut(&next_hop) {
            *count -= 1;
            if *count == 0 {
                self.tracked.remove(&next_hop);
                self.links(now, next_hop, Qualities::new());
            }
            self.resolver.used_no_more(next_hop);
        }
    }

    /// What is known of the links to a next hop.
    pub(super) fn links(&mut self, now: Instant, next_hop: NextHop, links: Qualities) {
        self.nexthops.qualities(next_hop, links, &self.resolver);
        self.look_by(now);
    }

    /// What is wanted for a prefix changed: it may lead to next hops.
    #[inline]
    pub(super) fn lead(&mut self, now: Instant, prefix: IpNet) {
        if self.resolver.concerns(prefix) {
            let ours = self.leading(prefix);
            self.resolver.set_ours(prefix, ours);
        }
        self.cover_fresh();
        if self.resolver.is_in_doubt() && self.resolve_at.is_none() {
            self.resolve_at = Some(now + GATHER);
        }
    }

    /// Gathered changes of our own routes.
    pub(super) fn resolve_due(&mut self, now: Instant, out: &mut Vec<Output>) {
        let released = self.resolver.release_held(now);
        let due = self.resolve_at.is_some_and(|at| at <= now);
        if !due && !released {
            return;
        }
        if matches!(self.knowledge, Knowledge::Dumping { .. }) {
            // At its end, all are looked at.
            self.resolve_at = None;
        } else {
            self.reach_next_hops(now, out);
        }
    }

    pub(super) fn reach_next_hops(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.resolve_at = None;
        for changed in self.resolver.refresh() {
            let next_hop = changed.next_hop;
            self.nexthops
                .reached(next_hop, changed.answer.as_ref(), &self.resolver);
            if changed.by_ours {
                self.flipped(now, next_hop, out);
            }
            if self.tracked.contains_key(&next_hop) {
                out.push(Output::NextHop {
                    next_hop,
                    resolution: changed.answer,
                });
            }
            self.look_by(now);
        }
    }

    /// Routes of ours lead to a next hop, or do no more. That may change what is best, and so lead back to what was.
    fn flipped(&mut self, now: Instant, next_hop: NextHop, out: &mut Vec<Output>) {
        if let Verdict::Rest { until, first } = self.flips.changed(now, next_hop) {
            self.resolver.hold(next_hop, until);
            self.resolve_at = Some(now + GATHER);
            if first {
                out.push(Output::Notice(Notice::Unsteady { next_hop }));
            }
        }
    }

    /// Next hops that came into use: what of ours covers them counts from now on.
    fn cover_fresh(&mut self) {
        while let Some(next_hop) = self.resolver.next_fresh() {
            let address = next_hop.address;
            for length in 1..=IpNet::from(address).prefix_len() {
                let net = IpNet::new(address, length).map(|net| net.trunc());
                if let Ok(net) = net {
                    let ours = self.leading(net);
                    self.resolver.set_ours(net, ours);
                }
            }
        }
    }

    /// What is wanted for a prefix, if it leads anywhere from a table that is ours or in which next hops are looked up.
    fn leading(&self, prefix: IpNet) -> Option<OurRoute> {
        let mut rows = self.table.rows_of(prefix);
        rows.find_map(|(key, row)| {
            let hops = self.nexthops.members(row.wanted.index()?)?.iter();
            let hops = hops.filter(|(_, weight)| *weight > 0).copied().collect();
            let place = self.table.place_of(key.place)?;
            let counts = place.table == self.config.table
                || self.config.resolve_tables.contains(&place.table);
            let metric = place.metric;
            counts.then_some(OurRoute { hops, metric })
        })
    }
}
