//! Routes of the configuration: `[[originate]]` with its conditions, and `[[static]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bgp_core::Attributes;
use bgp_core::attributes::{Aggregator, AsPath, Community, Origin};
use fib_netlink::Input;
use ipnet::IpNet;
use rib::{LocalForwarding, LocalSource, NextHopKey, PeerId};

use crate::Speaker;
use crate::config::{self, Originate, Static, StaticNextHop, StaticVia, When};
use crate::event::Effect;
use crate::fib::next_hop;
use crate::inject::ourselves;

/// `[[originate]]` among the RIB's sources.
pub(crate) const ORIGINATE: LocalSource = LocalSource {
    peer: PeerId(0),
    path_id: 0,
};
/// `[[static]]` among the RIB's sources.
pub(crate) const STATIC: LocalSource = LocalSource {
    peer: PeerId(1),
    path_id: 0,
};

/// `[[aggregate]]` among the RIB's sources.
pub(crate) const AGGREGATE: LocalSource = LocalSource {
    peer: PeerId(4),
    path_id: 0,
};

/// Prefixes that aggregates follow at a time, so that a full table does not keep peers waiting, and how often that is done
/// before others have their turn: an aggregate may be beneath others.
const CHUNK: usize = 1024;
const ROUNDS: usize = 4;

/// What of the configuration is in the RIB now.
#[derive(Debug, Default)]
pub(crate) struct Configured {
    originated: BTreeMap<IpNet, (Attributes, u32)>,
    statics: BTreeMap<IpNet, (Attributes, u32, LocalForwarding)>,
    /// The next hops of static routes: the planner says when one is reached another way.
    tracked: BTreeSet<NextHopKey>,
    /// Links, addresses, foreign routes or the configuration changed.
    look: bool,
}

impl Configured {
    /// Whether something changed that has not been looked at.
    pub(crate) const fn is_behind(&self) -> bool {
        self.look
    }
}

impl Speaker {
    /// Links, addresses or foreign routes changed, or what we want of them.
    pub(crate) const fn environment_changed(&mut self) {
        self.configured.look = true;
    }

    /// Does what follows from a changed environment: for sessions, and for the routes of the configuration, which
    /// come and go with it.
    pub(crate) fn look_around(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let look = std::mem::take(&mut self.configured.look);
        if look {
            self.relocate_sessions(out);
            self.track_statics(now, out);
            self.announce_statics();
        }
        let differs = |o: &Originate| {
            let is_there = self.configured.originated.contains_key(&o.prefix);
            matches!(o.when, When::RoutePresent(_)) && self.holds(&o.when) != is_there
        };
        if look || self.config.originate.iter().any(differs) {
            self.announce_originated();
        }
    }

    /// A next hop is reached another way, or not any more, or again. A route of ours may have led to it, so that nothing
    /// else says so.
    pub(crate) fn reached_anew(&mut self, key: NextHopKey) {
        self.configured.look |= self.configured.tracked.contains(&key);
    }

    /// Hears of the next hops of static routes.
    fn track_statics(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let hops = self
            .config
            .statics
            .iter()
            .flat_map(|route| match &route.via {
                StaticVia::NextHops(hops) => hops.as_slice(),
                StaticVia::Blackhole | StaticVia::Unreachable | StaticVia::Prohibit => &[],
            });
        let wanted: BTreeSet<NextHopKey> = hops.filter_map(|hop| self.key_of(hop)).collect();
        let before = std::mem::take(&mut self.configured.tracked);
        for key in wanted.difference(&before) {
            self.fib_input(now, Input::Track(next_hop(*key)), out);
        }
        for key in before.difference(&wanted) {
            self.fib_input(now, Input::Untrack(next_hop(*key)), out);
        }
        self.configured.tracked = wanted;
    }

    /// Static routes, with the interfaces that there are now.
    fn announce_statics(&mut self) {
        let statics = self.config.statics.iter().filter(|s| self.leads_on(s));
        let wanted: BTreeMap<_, _> = statics
            .map(|route| (route.prefix, self.of_static(route)))
            .collect();
        for prefix in self.configured.statics.keys() {
            if !wanted.contains_key(prefix) {
                self.rib.withdraw_local(STATIC, *prefix);
            }
        }
        for (prefix, route) in &wanted {
            if self.configured.statics.get(prefix) != Some(route) {
                let (attributes, tag, forwarding) = route;
                self.rib.announce_tagged(
                    STATIC,
                    *prefix,
                    (attributes, *tag),
                    Some(forwarding.clone()),
                );
            }
        }
        self.configured.statics = wanted;
    }

    /// `[[originate]]`, as far as its conditions hold.
    fn announce_originated(&mut self) {
        let holds = self.config.originate.iter().filter(|o| self.holds(&o.when));
        let wanted: BTreeMap<IpNet, (Attributes, u32)> = holds
            .map(|o| (o.prefix, (o.attributes.clone(), o.tag)))
            .collect();
        for prefix in self.configured.originated.keys() {
            if !wanted.contains_key(prefix) {
                self.rib.withdraw_local(ORIGINATE, *prefix);
            }
        }
        for (prefix, route) in &wanted {
            if self.configured.originated.get(prefix) != Some(route) {
                let (attributes, tag) = route;
                self.rib
                    .announce_tagged(ORIGINATE, *prefix, (attributes, *tag), None);
            }
        }
        self.configured.originated = wanted;
    }

    /// Puts the configuration's aggregates in force.
    pub(crate) fn set_aggregates(&mut self) {
        let router = &self.config.router;
        let aggregator = Aggregator {
            asn: router.asn,
            identifier: router.router_id,
        };
        let aggregate = |config: &config::Aggregate| rib::Aggregate {
            prefix: config.prefix,
            summary_only: config.summary_only,
            attributes: Attributes {
                aggregator: Some(aggregator),
                ..config.attributes.clone()
            },
            tag: config.tag,
            forwarding: config.discard.then_some(LocalForwarding::Blackhole),
        };
        let aggregates: Vec<_> = self.config.aggregates.iter().map(aggregate).collect();
        self.rib.set_aggregates(AGGREGATE, &aggregates);
    }

    /// Aggregates come and go with what is beneath them.
    pub(crate) fn follow_aggregates(&mut self) {
        self.aggregates_behind = (0..ROUNDS).all(|_| self.rib.aggregate(AGGREGATE, CHUNK));
    }

    fn holds(&self, when: &When) -> bool {
        match when {
            When::Always => true,
            When::AddressPresent(address) => self.fib.has_address(*address),
            // What is originated holds up no condition: not its own, nor those of others in a circle; nor does an
            // aggregate, beneath which it may be.
            When::RoutePresent(prefix) => {
                let ours = [ORIGINATE.peer, AGGREGATE.peer];
                self.fib.has_route(*prefix) || self.rib.is_known_beside(&ours, *prefix)
            }
        }
    }

    fn of_static(&self, route: &Static) -> (Attributes, u32, LocalForwarding) {
        let mut attributes = Attributes::new(
            Origin::Incomplete,
            AsPath::default(),
            ourselves(route.prefix),
        );
        if !route.originate {
            // It stays with us (RFC 1997).
            attributes.communities.push(Community::NO_ADVERTISE);
        }
        let forwarding = match &route.via {
            StaticVia::Blackhole => LocalForwarding::Blackhole,
            StaticVia::Unreachable => LocalForwarding::Unreachable,
            StaticVia::Prohibit => LocalForwarding::Prohibit,
            StaticVia::NextHops(hops) => {
                let hops = hops
                    .iter()
                    .filter_map(|hop| Some((self.key_of(hop)?, hop.weight)));
                LocalForwarding::Via(hops.collect())
            }
        };
        (attributes, route.tag, forwarding)
    }

    /// A route to a next hop that cannot be reached would draw packets that have nowhere to go.
    fn leads_on(&self, route: &Static) -> bool {
        let reachable = |hop| {
            let way = self.fib.resolve(next_hop(self.key_of(hop)?))?;
            way.for_prefix(route.prefix).is_some().then_some(())
        };
        let reachable = |hop| reachable(hop).is_some();
        match &route.via {
            StaticVia::NextHops(hops) => !self.config.fib.install || hops.iter().any(reachable),
            StaticVia::Blackhole | StaticVia::Unreachable | StaticVia::Prohibit => true,
        }
    }

    /// `None`: its interface is not there now.
    fn key_of(&self, hop: &StaticNextHop) -> Option<NextHopKey> {
        let interface = match &hop.interface {
            Some(name) => Some(self.fib.interface(name)?),
            None => None,
        };
        Some(NextHopKey {
            address: hop.address,
            interface,
            direct: false,
        })
    }
}
