//! Routes of the configuration: `[[originate]]` with its conditions, and `[[static]]`.

use std::collections::BTreeMap;

use bgp_core::Attributes;
use bgp_core::attributes::{AsPath, Community, Origin};
use ipnet::IpNet;
use rib::{LocalForwarding, LocalSource, NextHopKey, PeerId};

use crate::Speaker;
use crate::config::{Originate, Static, StaticVia, When};
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

/// What of the configuration is in the RIB now.
#[derive(Debug, Default)]
pub(crate) struct Configured {
    originated: BTreeMap<IpNet, Attributes>,
    statics: BTreeMap<IpNet, Static>,
    /// What conditions look at may have changed.
    recheck: bool,
    /// The RIB's version at which conditions on routes were last looked at.
    version: u64,
}

impl Speaker {
    /// Links, addresses or foreign routes changed.
    pub(crate) const fn environment_changed(&mut self) {
        self.configured.recheck = true;
    }

    /// Puts into the RIB what the configuration says, and takes out what it says no more.
    pub(crate) fn announce_configured(&mut self) {
        self.configured.recheck = true;
        let statics: BTreeMap<IpNet, Static> = self
            .config
            .statics
            .iter()
            .map(|route| (route.prefix, route.clone()))
            .collect();
        for prefix in self.configured.statics.keys() {
            if !statics.contains_key(prefix) {
                self.rib.withdraw_local(STATIC, *prefix);
            }
        }
        for route in statics.values() {
            if self.configured.statics.get(&route.prefix) != Some(route) {
                let (attributes, forwarding) = self.of_static(route);
                self.rib
                    .announce_local(STATIC, route.prefix, &attributes, Some(forwarding));
            }
        }
        self.configured.statics = statics;
    }

    /// Announces and withdraws `[[originate]]` as its conditions come and go.
    pub(crate) fn check_conditions(&mut self) {
        let version = self.rib.version();
        let on_routes = |o: &Originate| matches!(o.when, When::RoutePresent(_));
        let routes_changed =
            version != self.configured.version && self.config.originate.iter().any(on_routes);
        if !self.configured.recheck && !routes_changed {
            return;
        }
        self.configured.recheck = false;
        let holds = self.config.originate.iter().filter(|o| self.holds(&o.when));
        let wanted: BTreeMap<IpNet, Attributes> =
            holds.map(|o| (o.prefix, o.attributes.clone())).collect();
        for prefix in self.configured.originated.keys() {
            if !wanted.contains_key(prefix) {
                self.rib.withdraw_local(ORIGINATE, *prefix);
            }
        }
        for (prefix, attributes) in &wanted {
            if self.configured.originated.get(prefix) != Some(attributes) {
                self.rib
                    .announce_local(ORIGINATE, *prefix, attributes, None);
            }
        }
        self.configured.originated = wanted;
        self.configured.version = self.rib.version();
    }

    fn holds(&self, when: &When) -> bool {
        match when {
            When::Always => true,
            When::AddressPresent(address) => self.fib.has_address(*address),
            When::RoutePresent(prefix) => {
                self.fib.has_route(*prefix)
                    || self
                        .rib
                        .best_source(*prefix)
                        .is_some_and(|source| source != ORIGINATE.peer)
            }
        }
    }

    fn of_static(&self, route: &Static) -> (Attributes, LocalForwarding) {
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
            StaticVia::NextHops(hops) => LocalForwarding::Via(
                hops.iter()
                    .map(|hop| {
                        let interface = hop
                            .interface
                            .as_deref()
                            .and_then(|name| self.fib.interface(name));
                        (
                            NextHopKey {
                                address: hop.address,
                                interface,
                            },
                            hop.weight,
                        )
                    })
                    .collect(),
            ),
        };
        (attributes, forwarding)
    }
}
