//! Shadow mode: nothing is written, and what would be is compared with what the kernel has of others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Fib;
use crate::fact::{KernelRoute, RouteKind};
use crate::op::Path;
use crate::table::{Key, Row, Slot};
use crate::{FibRow, RouteState};

/// `RTPROT_KERNEL`: what is connected is nobody's work.
const PROTOCOL_KERNEL: u8 = 2;

/// Ways and their shares of the traffic.
type Ways = BTreeMap<(Option<IpAddr>, u32), u32>;

impl Fib {
    /// Nothing is written, and all routes of the kernel are those of others. While our own still go, they are ours.
    pub(super) const fn shadows(&self) -> bool {
        self.config.shadow && !self.retiring
    }

    /// How what is wanted compares with what others put there.
    pub(super) fn shadow_state(&self, key: Key, row: Row) -> RouteState {
        let expected = self.shadow_ways(row);
        match (self.rival(key), expected) {
            (None, None) => RouteState::Pending,
            // It may be among those that had no room.
            (None, Some(_)) if self.resolver.foreign_counts().1 > 0 => RouteState::Pending,
            (None, Some(_)) => RouteState::Missing,
            (Some(_), None) => RouteState::Different,
            (Some(rival), Some(expected)) => {
                if self.is_same(row, rival, &expected) {
                    RouteState::Installed
                } else {
                    RouteState::Different
                }
            }
        }
    }

    /// What others put there, in words.
    pub(super) fn shadow_actual(&self, key: Key) -> Option<String> {
        self.rival(key).map(|route| self.route_text(route))
    }

    /// Routes of routing daemons to prefixes that are not wanted, in tables where something is wanted.
    pub(super) fn extras(&self) -> impl Iterator<Item = &KernelRoute> {
        let routes = self
            .resolver
            .routes()
            .filter(|route| is_routing_daemon(route.protocol) && self.concerns(route.table));
        routes.filter(|route| {
            let wanted = self.table.rows_of(route.prefix).filter(|(key, row)| {
                let place = self.table.place_of(key.place);
                row.wanted != Slot::NOTHING && place.is_some_and(|place| place.table == route.table)
            });
            wanted.count() == 0
        })
    }

    /// The rows of routes that are not wanted.
    pub(super) fn extra_rows(&self, prefix: IpNet) -> Vec<FibRow> {
        let routes = self.extras().filter(|route| route.prefix == prefix);
        let row = |route: &KernelRoute| FibRow {
            prefix,
            table: route.table,
            metric: route.metric,
            prefsrc: route.prefsrc,
            wanted: None,
            actual: Some(self.route_text(route)),
            state: RouteState::Extra,
        };
        routes.map(row).collect()
    }

    fn concerns(&self, table: u32) -> bool {
        table == self.config.table || self.table.has_table(table)
    }

    /// Of the routes of others to a prefix, the one that the kernel takes in the table where ours would be.
    fn rival(&self, key: Key) -> Option<&KernelRoute> {
        let table = self.table.place_of(key.place)?.table;
        let routes = self.resolver.routes_to(key.prefix);
        let there = routes
            .iter()
            .filter(|route| route.table == table && route.protocol != PROTOCOL_KERNEL);
        there.min_by_key(|route| route.metric)
    }

    /// The ways of what is wanted, as far as its next hops can be reached; of a constant, none. `None`: nothing would
    /// be installed.
    fn shadow_ways(&self, row: Row) -> Option<Ways> {
        let Some(set) = row.wanted.index() else {
            return (row.wanted != Slot::NOTHING).then(Ways::new);
        };
        let ways = shares(self.nexthops.paths_of(set).into_iter());
        (!ways.is_empty()).then_some(ways)
    }

    fn is_same(&self, row: Row, rival: &KernelRoute, expected: &Ways) -> bool {
        match &rival.kind {
            RouteKind::Blackhole => row.wanted == Slot::BLACKHOLE,
            RouteKind::Unreachable => row.wanted == Slot::UNREACHABLE,
            RouteKind::Prohibit => row.wanted == Slot::PROHIBIT,
            RouteKind::Other => false,
            RouteKind::Unicast(_) => {
                let source = self
                    .sources
                    .address(self.sources.at_hand(row.wanted_source));
                let ways = shares(self.resolver.ways(rival).into_iter());
                row.wanted.index().is_some() && ways == *expected && rival.prefsrc == source
            }
        }
    }

    fn route_text(&self, route: &KernelRoute) -> String {
        let mut text = String::new();
        match &route.kind {
            RouteKind::Blackhole => text.push_str("blackhole"),
            RouteKind::Unreachable => text.push_str("unreachable"),
            RouteKind::Prohibit => text.push_str("prohibit"),
            RouteKind::Other => text.push_str("other"),
            RouteKind::Unicast(_) => {
                let ways = self.resolver.ways(route);
                text = self.ways_text(&ways);
            }
        }
        let _ = write!(text, " proto {} metric {}", route.protocol, route.metric);
        if let Some(source) = route.prefsrc {
            let _ = write!(text, " src {source}");
        }
        text
    }
}

/// Equal shares are equal numbers: whoever writes twos for ones means the same.
fn shares(paths: impl Iterator<Item = (Path, u8)>) -> Ways {
    let mut ways = Ways::new();
    for (path, weight) in paths {
        *ways.entry((path.gateway, path.interface)).or_default() += u32::from(weight);
    }
    let common = ways.values().copied().fold(0, gcd);
    ways.values_mut().for_each(|share| *share /= common.max(1));
    ways
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Numbers of `/etc/iproute2/rt_protos` behind which are programs that would have installed what we do: GateD, MRT,
/// Zebra, BIRD and their like, Babel, Open/R, and the protocols that FRR names. Not those of DHCP, of router
/// advertisements, and of keepalived.
const fn is_routing_daemon(protocol: u8) -> bool {
    matches!(protocol, 8 | 10..=15 | 17 | 42 | 99 | 186..=192)
}
