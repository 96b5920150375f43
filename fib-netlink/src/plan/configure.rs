//! A configuration that takes the place of another, and what the defaults of one stand for.

use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;

use super::{Fib, FibConfig, Phase};
use crate::source::SourceId;
use crate::table::Slot;
use crate::{Notice, Output, Placement, PreferredSource};

impl Fib {
    pub(super) fn configure(&mut self, now: Instant, config: FibConfig, out: &mut Vec<Output>) {
        let protocol = self.config.protocol;
        let (installed, shadowed) = (self.config.install, self.config.shadow);
        self.config = FibConfig { protocol, ..config };
        self.resolver.all_tables = self.config.shadow;
        self.use_objects();
        self.want_default_sources();
        if self.is_synchronized() {
            self.say_missing_sources(out);
        }
        match (installed, self.config.install) {
            (true, false) => self.retire(),
            (false, true) => self.begin(),
            (true, true) | (false, false) => {}
        }
        if shadowed != self.config.shadow {
            // Whose routes are whose is seen with other eyes.
            self.distrust();
        }
        if installed != self.config.install {
            // Who tracks them may judge their loss otherwise now.
            for next_hop in self.tracked.keys().copied() {
                let resolution = self.resolve(next_hop);
                out.push(Output::NextHop {
                    next_hop,
                    resolution,
                });
            }
        }
        self.look_by(now);
    }

    /// Nothing is wanted any more, and what is there goes, unless routes are to stay.
    fn retire(&mut self) {
        self.retiring = !self.config.keep_on_exit && self.permitted;
        self.forget_wanted();
        self.nexthops.started();
    }

    /// What is there is taken for that of an earlier life, until all that is wanted was told.
    fn begin(&mut self) {
        self.retiring = false;
        if self.phase == Phase::Running {
            self.phase = Phase::Starting;
            self.nexthops.may_remove = false;
        }
        self.table.scan(|_, row| {
            row.set_adopted(row.wanted == Slot::NOTHING && row.actual != Slot::NOTHING);
            true
        });
    }

    pub(super) fn use_objects(&mut self) {
        let used = self.config.nexthop_groups && self.nexthop_objects;
        if used != self.nexthops.objects_used {
            self.nexthops.objects_used = used;
            self.nexthops.reconsider_all(&self.resolver);
        }
    }

    /// The default ones count as wanted, whether a route has them or not.
    pub(super) fn want_default_sources(&mut self) {
        let PreferredSource { ipv4, ipv6 } = self.config.prefsrc;
        let addresses = [ipv4.map(IpAddr::V4), ipv6.map(IpAddr::V6)];
        for address in addresses.into_iter().flatten() {
            self.want_source(address);
        }
    }

    /// The preferred source of a route.
    pub(super) fn source(
        &mut self,
        prefix: IpNet,
        at: Placement,
        out: &mut Vec<Output>,
    ) -> SourceId {
        let same_family = |address: &IpAddr| address.is_ipv4() == prefix.addr().is_ipv4();
        let default = || match prefix {
            IpNet::V4(_) => self.config.prefsrc.ipv4.map(IpAddr::V4),
            IpNet::V6(_) => self.config.prefsrc.ipv6.map(IpAddr::V6),
        };
        let Some(address) = at.prefsrc.filter(same_family).or_else(default) else {
            return SourceId::NONE;
        };
        let (id, is_new) = self.want_source(address);
        let missing = self.sources.at_hand(id) == SourceId::NONE;
        if is_new && missing && self.is_synchronized() {
            out.push(Output::Notice(Notice::PreferredSourceMissing { address }));
        }
        id
    }

    fn want_source(&mut self, address: IpAddr) -> (SourceId, bool) {
        let here = |address| self.resolver.has_address(address);
        if let Some(wanted) = self.sources.want(address, || here(address)) {
            return wanted;
        }
        // What earlier configurations named has filled the table.
        let mut used = Vec::new();
        for (_, row) in self.table.iter() {
            for id in [row.wanted_source, row.actual_source] {
                if !used.contains(&id) {
                    used.push(id);
                }
            }
        }
        self.sources.keep(|id| used.contains(&id));
        let wanted = self
            .sources
            .want(address, || self.resolver.has_address(address));
        wanted.unwrap_or_default()
    }

    pub(super) fn say_missing_sources(&self, out: &mut Vec<Output>) {
        for address in self.sources.missing() {
            out.push(Output::Notice(Notice::PreferredSourceMissing { address }));
        }
    }
}
