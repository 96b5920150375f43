//! A kernel's FIB, as far as windrose sees it: it answers batches, forgets routes, runs over, outlives the speaker.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use fib_netlink::{
    Batch, Fact, Failure, Input, KernelNexthop, KernelRoute, NexthopKind, Op, Output, Path,
    RouteKind, RouteVia, Target,
};
use ipnet::{IpNet, Ipv4Net};

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

/// See the module.
#[derive(Debug, Default)]
pub struct Kernel {
    routes: BTreeMap<(IpNet, u32, u32), KernelRoute>,
    nexthops: BTreeMap<u32, KernelNexthop>,
    answers: VecDeque<(Instant, Input)>,
    address: Option<Ipv4Addr>,
}

impl Kernel {
    /// A kernel whose one link has `address` in 10.255.0.0/24, and a route that is not windrose's.
    #[must_use]
    pub fn new(address: Ipv4Addr) -> Self {
        let mut kernel = Self {
            address: Some(address),
            ..Self::default()
        };
        let on_link = Path {
            gateway: None,
            interface: LINK,
            onlink: false,
        };
        for (third, protocol) in [(0, PROTOCOL_KERNEL), (77, PROTOCOL_STATIC)] {
            let network = Ipv4Addr::new(10, 255, third, 0);
            let prefix = Ipv4Net::new(network, 24).unwrap_or_default().into();
            let via = RouteVia::Paths([(on_link, 1)].into_iter().collect());
            kernel.put(KernelRoute {
                prefix,
                table: MAIN,
                metric: 0,
                protocol,
                tos: 0,
                kind: RouteKind::Unicast(via),
                prefsrc: None,
            });
        }
        kernel
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
        let at = self.answers.back().map_or(now, |(at, _)| now.max(*at));
        for key in ours {
            if chance.one_in(3)
                && let Some(route) = self.routes.remove(&key)
            {
                self.answers
                    .push_back((at, Input::Kernel(vec![Fact::RouteGone(route)])));
            }
        }
    }

    /// Windrose's routes, each with the gateways of its paths.
    #[must_use]
    pub fn routes(&self) -> BTreeMap<IpNet, BTreeSet<IpAddr>> {
        let ours = self
            .routes
            .values()
            .filter(|route| route.protocol > PROTOCOL_STATIC);
        ours.map(|route| (route.prefix, self.gateways(&route.kind)))
            .collect()
    }

    fn gateways(&self, kind: &RouteKind) -> BTreeSet<IpAddr> {
        let paths: Vec<Path> = match kind {
            RouteKind::Unicast(RouteVia::Nexthop(id)) => self.paths(*id),
            RouteKind::Unicast(RouteVia::Paths(paths)) => {
                paths.iter().map(|(path, _)| *path).collect()
            }
            RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Other => Vec::new(),
        };
        paths.iter().filter_map(|path| path.gateway).collect()
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
            Fact::Link {
                index: LINK,
                name: "eth0".to_owned(),
                up: true,
            },
        ];
        facts.extend(self.address.map(|address| Fact::Address {
            index: LINK,
            address: address.into(),
        }));
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
                metric,
                target,
                replace,
            } => {
                let kind = self.kind(target)?;
                let key = (*prefix, batch.frame.table, *metric);
                match (self.routes.get(&key), replace) {
                    (Some(_), false) => return Err(Fault::Errno(EEXIST)),
                    (Some(old), true) if old.protocol != batch.frame.protocol => {
                        return Err(Fault::Foreign);
                    }
                    (Some(_), true) | (None, _) => {}
                }
                self.put(KernelRoute {
                    prefix: *prefix,
                    table: batch.frame.table,
                    metric: *metric,
                    protocol: batch.frame.protocol,
                    tos: 0,
                    kind,
                    prefsrc: None,
                });
                Ok(())
            }
            Op::RemoveRoute { prefix, metric, .. } => {
                let key = (*prefix, batch.frame.table, *metric);
                match self.routes.get(&key) {
                    Some(route) if route.protocol == batch.frame.protocol => {
                        self.routes.remove(&key);
                        Ok(())
                    }
                    // The kernel matches on the protocol that is asked for.
                    Some(_) | None => Err(Fault::Errno(ESRCH)),
                }
            }
        }
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
        let protocol = batch.frame.protocol;
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
