//! A kernel's FIB, as far as windrose sees it: it answers batches, forgets routes, runs over, outlives the speaker.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use fib_netlink::{
    Batch, Fact, Failure, Input, KernelNexthop, KernelRoute, NexthopKind, Op, Output, Path,
    RouteKind, RouteVia, Target,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::net::Chance;

/// The one link of a machine.
const LINK: u32 = 2;
/// `RTPROT_KERNEL`.
const PROTOCOL_KERNEL: u8 = 2;
/// `RTPROT_STATIC`.
const PROTOCOL_STATIC: u8 = 4;
const MAIN: u32 = 254;
/// `errno` values of Linux.
const ENOENT: i32 = 2;
const EEXIST: i32 = 17;
const EINVAL: i32 = 22;
const ESRCH: i32 = 3;
const ENETDOWN: i32 = 100;

/// See the module.
#[derive(Debug, Default)]
pub struct Kernel {
    routes: BTreeMap<(IpNet, u32, u32), KernelRoute>,
    nexthops: BTreeMap<u32, KernelNexthop>,
    answers: VecDeque<(Instant, Input)>,
    addresses: BTreeSet<IpAddr>,
    on_link: [IpNet; 2],
    down: bool,
}

impl Kernel {
    /// A kernel whose one link has these addresses in 10.255.0.0/24 and fd00::/64, and a route that is not windrose's.
    #[must_use]
    pub fn new(addresses: [IpAddr; 2]) -> Self {
        let v4 = Ipv4Net::new(Ipv4Addr::new(10, 255, 0, 0), 24).unwrap_or_default();
        let v6 = Ipv6Net::new(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0), 64).unwrap_or_default();
        Self::on(addresses, [v4.into(), v6.into()])
    }

    /// The same with a link on which these are.
    #[must_use]
    pub fn on(addresses: [IpAddr; 2], on_link: [IpNet; 2]) -> Self {
        let mut kernel = Self {
            addresses: addresses.into(),
            on_link,
            ..Self::default()
        };
        for route in kernel.on_link_routes() {
            kernel.put(route);
        }
        let elsewhere = Ipv4Net::new(Ipv4Addr::new(10, 255, 77, 0), 24).unwrap_or_default();
        kernel.put(foreign(elsewhere.into(), 0, PROTOCOL_STATIC));
        kernel
    }

    /// The link goes down or comes up, and takes with it what leads over it.
    pub fn set_link(&mut self, now: Instant, up: bool) {
        if self.down != up {
            return;
        }
        self.down = !up;
        let mut facts = vec![self.link()];
        if up {
            for route in self.on_link_routes() {
                self.put(route.clone());
                facts.push(Fact::Route(route));
            }
        } else {
            for route in self.on_link_routes() {
                self.routes
                    .remove(&(route.prefix, route.table, route.metric));
                facts.push(Fact::RouteGone(route));
            }
            let is_path = |n: &&KernelNexthop| matches!(n.kind, NexthopKind::Path(_));
            let lost: Vec<u32> = self
                .nexthops
                .values()
                .filter(is_path)
                .map(|n| n.id)
                .collect();
            for id in lost {
                if self.remove_nexthop(id).is_ok() {
                    facts.push(Fact::NexthopGone { id });
                }
            }
            let over_link = |route: &KernelRoute| {
                matches!(route.kind, RouteKind::Unicast(RouteVia::Paths(_)))
                    && route.protocol > PROTOCOL_STATIC
            };
            self.routes.retain(|_, route| !over_link(route));
        }
        self.tell(now, facts);
    }

    /// An address comes to the link, or leaves it, as VRRP does it.
    pub fn set_address(&mut self, now: Instant, address: IpAddr, there: bool) {
        let (index, prefix) = (LINK, address.into());
        let fact = if there {
            self.addresses.insert(address);
            Fact::Address {
                index,
                address,
                prefix,
            }
        } else {
            self.addresses.remove(&address);
            Fact::AddressGone {
                index,
                address,
                prefix,
            }
        };
        self.tell(now, vec![fact]);
    }

    /// Whether the link has an address.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    /// Somebody puts a route where windrose's would be, unless there is one, or takes it away again.
    pub fn set_foreign(&mut self, now: Instant, prefix: IpNet, metric: u32, there: bool) {
        let route = foreign(prefix, metric, PROTOCOL_STATIC);
        let key = (prefix, MAIN, metric);
        match self.routes.get(&key) {
            None if there => {
                self.put(route.clone());
                self.tell(now, vec![Fact::Route(route)]);
            }
            Some(old) if !there && *old == route => {
                self.routes.remove(&key);
                self.tell(now, vec![Fact::RouteGone(route)]);
            }
            Some(_) | None => {}
        }
    }

    /// All that is in windrose's way is taken away.
    pub fn remove_foreign(&mut self, now: Instant, metric: u32) {
        let is_foreign = |r: &&KernelRoute| r.metric == metric && r.protocol == PROTOCOL_STATIC;
        let prefixes: Vec<_> = self
            .routes
            .values()
            .filter(is_foreign)
            .map(|r| r.prefix)
            .collect();
        for prefix in prefixes {
            self.set_foreign(now, prefix, metric, false);
        }
    }

    /// The prefixes of routes that somebody else put in.
    #[must_use]
    pub fn foreign(&self) -> BTreeSet<IpNet> {
        let routes = self.routes.values();
        let foreign = routes.filter(|route| route.protocol == PROTOCOL_STATIC);
        foreign.map(|route| route.prefix).collect()
    }

    /// The prefixes of the link's addresses.
    #[must_use]
    pub fn connected(&self) -> BTreeSet<IpNet> {
        self.addresses.iter().map(|a| IpNet::from(*a)).collect()
    }

    /// What the kernel has to say is lost.
    pub fn overrun(&mut self, now: Instant) {
        let at = self.after_all(now);
        self.answers.push_back((at, Input::Overrun));
    }

    fn tell(&mut self, now: Instant, facts: Vec<Fact>) {
        let at = self.after_all(now);
        self.answers.push_back((at, Input::Kernel(facts)));
    }

    fn after_all(&self, now: Instant) -> Instant {
        self.answers.back().map_or(now, |(last, _)| now.max(*last))
    }

    fn link(&self) -> Fact {
        Fact::Link {
            index: LINK,
            name: "eth0".to_owned(),
            up: !self.down,
        }
    }

    /// A speaker starts: as the daemon's netlink thread does, the kernel tells all it has.
    pub fn greet(&mut self, now: Instant) {
        self.answers.push_back((now, Input::Kernel(self.dump())));
    }

    /// When it answers next.
    #[must_use]
    pub fn next_moment(&self) -> Option<Instant> {
        self.answers.front().map(|(at, _)| *at)
    }

    /// What it says by `now`.
    pub fn answer(&mut self, now: Instant) -> Option<Input> {
        self.answers
            .pop_front_if(|(at, _)| *at <= now)
            .map(|(_, input)| input)
    }

    /// Does what it is asked to, and answers in a moment. Says what must never be asked.
    pub fn take(&mut self, now: Instant, output: Output, chance: &mut Chance) -> Option<String> {
        let at = now + Duration::from_micros(50 + chance.below(5000) as u64);
        let at = self.answers.back().map_or(at, |(last, _)| at.max(*last));
        match output {
            Output::Send(batch) => {
                let (failures, complaint) = self.carry_out(&batch);
                // Once in a while what failed is lost with the buffer; the netlink thread says so.
                let lost = chance.one_in(50);
                if lost {
                    self.answers.push_back((at, Input::Overrun));
                }
                let failures = if lost { Vec::new() } else { failures };
                self.answers.push_back((
                    at,
                    Input::Completed {
                        batch: batch.id,
                        failures,
                    },
                ));
                complaint
            }
            Output::Resync => {
                self.answers.push_back((at, Input::Kernel(self.dump())));
                None
            }
            Output::NextHop { .. } | Output::Environment | Output::Notice(_) | Output::Ended => {
                Some("the kernel was given what is not for it".to_owned())
            }
        }
    }

    /// The speaker is gone: nobody waits for answers.
    pub fn forget_speaker(&mut self) {
        self.answers.clear();
    }

    /// Somebody deletes some of windrose's routes by hand.
    pub fn lose_routes(&mut self, now: Instant, chance: &mut Chance) {
        let ours: Vec<_> = self
            .routes
            .iter()
            .filter(|(_, r)| r.protocol > PROTOCOL_STATIC)
            .map(|(k, _)| *k)
            .collect();
        for key in ours {
            if chance.one_in(3)
                && let Some(route) = self.routes.remove(&key)
            {
                self.tell(now, vec![Fact::RouteGone(route)]);
            }
        }
    }

    /// Windrose's routes, each with the gateways of its paths, or what else happens.
    #[must_use]
    pub fn routes(&self) -> BTreeMap<IpNet, BTreeSet<String>> {
        let ours = self
            .routes
            .values()
            .filter(|route| route.protocol > PROTOCOL_STATIC);
        ours.map(|route| (route.prefix, self.ways(&route.kind)))
            .collect()
    }

    /// The tables and metrics of windrose's routes.
    #[must_use]
    pub fn places(&self) -> BTreeSet<(IpNet, u32, u32)> {
        let routes = self.routes.values();
        let ours = routes.filter(|route| route.protocol > PROTOCOL_STATIC);
        ours.map(|route| (route.prefix, route.table, route.metric))
            .collect()
    }

    fn ways(&self, kind: &RouteKind) -> BTreeSet<String> {
        let paths: Vec<Path> = match kind {
            RouteKind::Unicast(RouteVia::Nexthop(id)) => self.paths(*id),
            RouteKind::Unicast(RouteVia::Paths(paths)) => {
                paths.iter().map(|(path, _)| *path).collect()
            }
            RouteKind::Blackhole => return BTreeSet::from(["blackhole".to_owned()]),
            RouteKind::Unreachable => return BTreeSet::from(["unreachable".to_owned()]),
            RouteKind::Prohibit => return BTreeSet::from(["prohibit".to_owned()]),
            RouteKind::Other => Vec::new(),
        };
        let gateways = paths.iter().filter_map(|path| path.gateway);
        gateways.map(|gateway| gateway.to_string()).collect()
    }

    fn paths(&self, id: u32) -> Vec<Path> {
        match self.nexthops.get(&id).map(|nexthop| &nexthop.kind) {
            Some(NexthopKind::Path(path)) => vec![*path],
            Some(NexthopKind::Group(members)) => {
                members.iter().flat_map(|(id, _)| self.paths(*id)).collect()
            }
            Some(NexthopKind::Other) | None => Vec::new(),
        }
    }

    /// The gateways of windrose's route to `prefix`, if there is one.
    #[must_use]
    pub fn gateways(&self, prefix: IpNet) -> Vec<IpAddr> {
        let here = (prefix, 0, 0)..=(prefix, u32::MAX, u32::MAX);
        let mut here = self.routes.range(here).map(|(_, route)| route);
        let paths = match here.find(|r| r.protocol > PROTOCOL_STATIC).map(|r| &r.kind) {
            Some(RouteKind::Unicast(RouteVia::Nexthop(id))) => self.paths(*id),
            Some(RouteKind::Unicast(RouteVia::Paths(paths))) => {
                paths.iter().map(|(path, _)| *path).collect()
            }
            Some(_) | None => Vec::new(),
        };
        paths.iter().filter_map(|path| path.gateway).collect()
    }

    /// The routes that come and go with the link.
    fn on_link_routes(&self) -> [KernelRoute; 2] {
        let [v4, v6] = self.on_link;
        [
            foreign(v4, 0, PROTOCOL_KERNEL),
            foreign(v6, 256, PROTOCOL_KERNEL),
        ]
    }

    fn put(&mut self, route: KernelRoute) {
        self.routes
            .insert((route.prefix, route.table, route.metric), route);
    }

    fn dump(&self) -> Vec<Fact> {
        let mut facts = vec![
            Fact::DumpBegin,
            Fact::Abilities {
                permitted: true,
                nexthop_objects: true,
                compat_mode_off: false,
            },
            self.link(),
        ];
        let address = |address: &IpAddr| Fact::Address {
            index: LINK,
            address: *address,
            prefix: (*address).into(),
        };
        facts.extend(self.addresses.iter().map(address));
        facts.extend(self.nexthops.values().cloned().map(Fact::Nexthop));
        facts.extend(self.routes.values().cloned().map(Fact::Route));
        facts.push(Fact::DumpEnd);
        facts
    }

    fn carry_out(&mut self, batch: &Batch) -> (Vec<Failure>, Option<String>) {
        let mut failures = Vec::new();
        let mut complaint = None;
        for (index, op) in batch.ops.iter().enumerate() {
            match self.apply(batch, op) {
                Ok(()) => {}
                Err(Fault::Errno(errno)) => {
                    let index = u32::try_from(index).unwrap_or(u32::MAX);
                    failures.push(Failure { index, errno });
                }
                Err(Fault::Foreign) => {
                    complaint = Some(format!("a route of somebody else is changed: {op:?}"))
                }
            }
        }
        (failures, complaint)
    }

    fn apply(&mut self, batch: &Batch, op: &Op) -> Result<(), Fault> {
        match op {
            Op::PutPath { id, path, replace } => {
                if path.interface != LINK {
                    return Err(Fault::Errno(EINVAL));
                }
                if self.down {
                    return Err(Fault::Errno(ENETDOWN));
                }
                self.put_nexthop(batch, *id, NexthopKind::Path(*path), *replace)
            }
            Op::PutGroup {
                id,
                members,
                replace,
            } => {
                if members.is_empty()
                    || members
                        .iter()
                        .any(|(id, _)| !self.nexthops.contains_key(id))
                {
                    return Err(Fault::Errno(EINVAL));
                }
                self.put_nexthop(batch, *id, NexthopKind::Group(members.clone()), *replace)
            }
            Op::RemoveNexthop { id } => self.remove_nexthop(*id),
            Op::PutRoute {
                prefix,
                table,
                metric,
                prefsrc,
                target,
                replace,
            } => {
                let route = KernelRoute {
                    prefix: *prefix,
                    table: *table,
                    metric: *metric,
                    protocol: batch.protocol,
                    tos: 0,
                    kind: self.kind(target)?,
                    prefsrc: *prefsrc,
                };
                self.put_route(route, *replace)
            }
            Op::RemoveRoute {
                prefix,
                table,
                metric,
                ..
            } => {
                let key = (*prefix, *table, *metric);
                match self.routes.get(&key) {
                    Some(route) if route.protocol == batch.protocol => {
                        self.routes.remove(&key);
                        Ok(())
                    }
                    // The kernel matches on the protocol that is asked for.
                    Some(_) | None => Err(Fault::Errno(ESRCH)),
                }
            }
        }
    }

    fn put_route(&mut self, route: KernelRoute, replace: bool) -> Result<(), Fault> {
        let key = (route.prefix, route.table, route.metric);
        match (self.routes.get(&key), replace) {
            (Some(_), false) => return Err(Fault::Errno(EEXIST)),
            (Some(old), true) if old.protocol != route.protocol => return Err(Fault::Foreign),
            (Some(_), true) | (None, _) => {}
        }
        self.put(route);
        Ok(())
    }

    fn kind(&self, target: &Target) -> Result<RouteKind, Fault> {
        Ok(match target {
            Target::Nexthop(id) if !self.nexthops.contains_key(id) => {
                return Err(Fault::Errno(EINVAL));
            }
            Target::Nexthop(id) => RouteKind::Unicast(RouteVia::Nexthop(*id)),
            Target::Paths(paths) => RouteKind::Unicast(RouteVia::Paths(paths.clone())),
            Target::Blackhole => RouteKind::Blackhole,
            Target::Unreachable => RouteKind::Unreachable,
            Target::Prohibit => RouteKind::Prohibit,
        })
    }

    fn put_nexthop(
        &mut self,
        batch: &Batch,
        id: u32,
        kind: NexthopKind,
        replace: bool,
    ) -> Result<(), Fault> {
        if self.nexthops.contains_key(&id) && !replace {
            return Err(Fault::Errno(EEXIST));
        }
        let protocol = batch.protocol;
        self.nexthops
            .insert(id, KernelNexthop { id, protocol, kind });
        Ok(())
    }

    /// What used it goes with it, and nobody is told.
    fn remove_nexthop(&mut self, id: u32) -> Result<(), Fault> {
        self.nexthops.remove(&id).ok_or(Fault::Errno(ENOENT))?;
        self.routes
            .retain(|_, route| route.kind != RouteKind::Unicast(RouteVia::Nexthop(id)));
        let groups: Vec<u32> = self.nexthops.keys().copied().collect();
        for group in groups {
            let Some(nexthop) = self.nexthops.get_mut(&group) else {
                continue;
            };
            if let NexthopKind::Group(members) = &mut nexthop.kind {
                members.retain(|(member, _)| *member != id);
                if members.is_empty() {
                    self.remove_nexthop(group)?;
                }
            }
        }
        Ok(())
    }
}

enum Fault {
    Errno(i32),
    Foreign,
}

fn foreign(prefix: IpNet, metric: u32, protocol: u8) -> KernelRoute {
    let on_link = Path {
        gateway: None,
        interface: LINK,
        onlink: false,
    };
    KernelRoute {
        prefix,
        table: MAIN,
        metric,
        protocol,
        tos: 0,
        kind: RouteKind::Unicast(RouteVia::Paths([(on_link, 1)].into_iter().collect())),
        prefsrc: None,
    }
}
