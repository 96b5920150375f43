//! Between the RIB and the kernel: next hops are resolved, best paths become wanted routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use fib_netlink::{FibConfig, Input, NextHop, Output, Placement, PreferredSource, Wanted};
use rib::{Forwarding, NextHopChange, NextHopKey};

use crate::config::{Config, Fib};
use crate::event::Effect;
use crate::links::key_of;
use crate::{Notice, Speaker};

/// Routes that go to the planner at a time, so that a full table does not keep peers waiting.
const CHUNK: usize = 4096;

impl Speaker {
    /// Tells the FIB what happened, and does what it answers.
    pub(crate) fn fib_input(&mut self, now: Instant, input: Input, out: &mut Vec<Effect>) {
        self.fib_inputs(now, [input], out);
    }

    pub(crate) fn fib_inputs(
        &mut self,
        now: Instant,
        inputs: impl IntoIterator<Item = Input>,
        out: &mut Vec<Effect>,
    ) {
        let mut outputs = std::mem::take(&mut self.fib_outputs);
        let (mut next_hops, mut links) = (Vec::new(), Vec::new());
        for input in inputs {
            self.fib.handle(now, input, &mut outputs);
        }
        for output in outputs.drain(..) {
            match output {
                Output::Send(_) | Output::Resync => out.push(Effect::Kernel(output)),
                Output::NextHop {
                    next_hop,
                    resolution,
                } => {
                    let key = key_of(next_hop);
                    self.reached_anew(key);
                    let mut resolved = self.way_cost(key, resolution, &mut links);
                    if !self.config.fib.install {
                        // Who installs nothing, as a reflector, need not know the way to what it tells.
                        resolved.cost = resolved.cost.or(Some(0));
                    }
                    next_hops.push((key, resolved));
                }
                Output::Environment => self.environment_changed(),
                Output::Notice(notice) => out.push(Effect::Notice(Notice::Fib(notice))),
                Output::Ended => self.fib_ended = true,
            }
        }
        // All at once: the tables are looked through once, however many next hops a link takes with it.
        self.rib.set_next_hops(next_hops);
        self.fib_outputs = outputs;
        if !links.is_empty() {
            self.fib_inputs(now, links, out);
        }
    }

    /// Has the next hops of new routes resolved, and forgets those of none.
    pub(crate) fn track_next_hops(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let changes = self.rib.drain_next_hop_changes().into_iter();
        let inputs = changes.map(|change| match change {
            NextHopChange::Track(key) => Input::Track(next_hop(key)),
            NextHopChange::Untrack(key) => {
                self.forget_way(key);
                Input::Untrack(next_hop(key))
            }
        });
        let inputs: Vec<_> = inputs.collect();
        self.fib_inputs(now, inputs, out);
    }

    /// Passes on what changed in the Loc-RIB, a chunk at a time.
    pub(crate) fn feed_fib(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if !self.config.fib.install || self.is_restarting() {
            return;
        }
        let mut changes = std::mem::take(&mut self.fib_changes);
        self.fib_behind = self.rib.fib_next(CHUNK, &mut |prefix, placed| {
            let (route, at) = placed
                .map(|(forwarding, at)| (wanted(forwarding), placement(at)))
                .unzip();
            let at = at.unwrap_or_default();
            changes.push(Input::Wanted { prefix, route, at });
        });
        self.fib_inputs(now, changes.drain(..), out);
        self.fib_changes = changes;
        // What it answered may have changed the Loc-RIB.
        self.fib_behind |= self.rib.fib_has_news();
    }

    /// Before `[fib]` changes: the planner hears all there is to say by the rules so far, so that what is told anew by
    /// the new ones lacks nothing that is to go.
    pub(crate) fn feed_fib_all(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.feed_fib(now, out);
        while self.fib_behind && !self.is_restarting() {
            self.feed_fib(now, out);
        }
    }

    /// `[fib]` changed: all routes are told anew, and those that move are there before they leave.
    pub(crate) fn reconfigure_fib(&mut self, now: Instant, old: &Fib, out: &mut Vec<Effect>) {
        self.fib_input(now, Input::Configure(fib_config(&self.config)), out);
        let installs = self.config.fib.install;
        self.rib.tell_spares(has_spares(&self.config));
        if installs {
            self.rib.fib_resync();
        } else {
            self.rib.fib_stop();
        }
        self.fib_behind = installs;
        self.fib_begins = self.config.fib.writes() && (self.fib_begins || !old.writes());
    }

    /// Our IPv4 and IPv6 addresses for next hops on a session whose local address is `local`: itself, and
    /// for the other family what the same interface has.
    pub(crate) fn local_addresses(&self, local: Option<IpAddr>) -> rib::peer::LocalAddresses {
        let Some(local) = local else {
            return Default::default();
        };
        let beside = self.fib.addresses_beside(local);
        let v4 = |address: &IpAddr| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        };
        let v6 = |address: &IpAddr| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(*v6),
        };
        let all = || std::iter::once(&local).chain(&beside);
        let ipv4: Option<Ipv4Addr> = all().find_map(v4);
        let global: Option<Ipv6Addr> = all().filter_map(v6).find(|v6| !v6.is_unicast_link_local());
        let link_local = all().filter_map(v6).find(Ipv6Addr::is_unicast_link_local);
        rib::peer::LocalAddresses {
            ipv4,
            ipv6: global.or(link_local),
            link_local: global.and(link_local),
        }
    }
}

/// Whether routes have spare next hops: where they point to nexthop objects, one message puts these in place of others.
pub(crate) const fn has_spares(config: &Config) -> bool {
    config.fib.writes() && config.fib.nexthop_groups
}

pub(crate) const fn next_hop(key: NextHopKey) -> NextHop {
    NextHop {
        address: key.address,
        interface: key.interface,
        direct: key.direct,
    }
}

fn wanted(forwarding: Forwarding) -> Wanted {
    match forwarding {
        Forwarding::Via(hops) => Wanted::Unicast(
            hops.into_iter()
                .map(|(key, weight)| (next_hop(key), weight))
                .collect(),
        ),
        Forwarding::Blackhole => Wanted::Blackhole,
        Forwarding::Unreachable => Wanted::Unreachable,
        Forwarding::Prohibit => Wanted::Prohibit,
    }
}

const fn placement(at: rib::policy::Placement) -> Placement {
    Placement {
        table: at.table,
        metric: at.metric,
        prefsrc: at.prefsrc,
    }
}

/// What the planner needs of the configuration.
pub(crate) fn fib_config(config: &Config) -> FibConfig {
    let fib = &config.fib;
    FibConfig {
        install: fib.writes(),
        shadow: fib.install && fib.shadow,
        table: fib.table,
        metric: fib.metric,
        protocol: fib.protocol,
        prefsrc: PreferredSource {
            ipv4: fib.prefsrc_v4,
            ipv6: fib.prefsrc_v6,
        },
        nexthop_groups: fib.nexthop_groups,
        keep_on_exit: fib.keep_on_exit,
        ..FibConfig::default()
    }
}
