//! The planner against a small kernel that answers, forgets, refuses and changes its mind.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one thing")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use smallvec::SmallVec;

use super::*;
use crate::fact::{Fact, KernelNexthop, KernelRoute, NexthopKind, Rank, RouteKind, RouteVia};
use crate::op::{Batch, Failure, Op, Path, Target};
use crate::{LinkQuality, NextHops, RouteState, Status};

mod foreign;
mod recursive;
mod shares;
mod spare;

const OURS: u8 = 186;
const THEIRS: u8 = 4;
const LINKS: u32 = 3;
/// An address of the machine.
const SOURCE: [u8; 4] = [10, 9, 9, 9];

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn hop(address: &str) -> NextHop {
    NextHop {
        address: address.parse().unwrap(),
        interface: None,
        direct: false,
    }
}

fn via(hops: &[(&str, u8)]) -> Option<Wanted> {
    Some(Wanted::Unicast(
        hops.iter()
            .map(|(address, weight)| (hop(address), *weight))
            .collect(),
    ))
}

/// A kernel with links 1 to 3, 10.0.LINK.0/24 on each, and room for one route a prefix, table and metric.
#[derive(Debug, Default)]
struct Kernel {
    up: BTreeMap<u32, bool>,
    nexthops: BTreeMap<u32, KernelNexthop>,
    routes: BTreeMap<(IpNet, u32, u32), KernelRoute>,
    no_objects: bool,
    /// Refuses the next so many operations.
    refuse: u32,
    ops: usize,
}

impl Kernel {
    fn new() -> Self {
        Self {
            up: (1..=LINKS).map(|link| (link, true)).collect(),
            ..Self::default()
        }
    }

    fn connected(link: u32) -> KernelRoute {
        let path = Path {
            gateway: None,
            interface: link,
            onlink: false,
        };
        let kind = RouteKind::Unicast(RouteVia::Paths(SmallVec::from_elem((path, 1), 1)));
        let prefix = net(&format!("10.0.{link}.0/24"));
        KernelRoute {
            prefix,
            table: 254,
            metric: 0,
            protocol: 2,
            tos: 0,
            kind,
            prefsrc: None,
        }
    }

    fn link(&self, index: u32) -> Fact {
        Fact::Link {
            index,
            name: format!("eth{index}"),
            up: self.up[&index],
        }
    }

    fn dump(&self) -> Vec<Fact> {
        let mut facts = vec![Fact::DumpBegin];
        facts.push(Fact::Address {
            index: 1,
            address: SOURCE.into(),
            prefix: IpNet::from(IpAddr::from(SOURCE)),
        });
        for (&index, &up) in &self.up {
            facts.push(self.link(index));
            if up {
                facts.push(Fact::Route(Self::connected(index)));
            }
        }
        facts.extend(self.nexthops.values().cloned().map(Fact::Nexthop));
        let routes = self.routes.values().cloned();
        facts.extend(routes.map(|route| Fact::RouteBeside(route, Rank::Last)));
        facts.push(Fact::Abilities {
            permitted: true,
            nexthop_objects: !self.no_objects,
            compat_mode_off: false,
        });
        facts.push(Fact::DumpEnd);
        facts
    }

    /// Carries out changes of a batch from `first` on. Says which failed.
    fn carry(&mut self, batch: &Batch, first: usize, count: usize) -> Vec<Failure> {
        assert!(batch.ops.len() <= OPS_MAX);
        let ops = (0..).zip(&batch.ops).skip(first).take(count);
        let failures = ops.filter_map(|(index, op)| {
            let errno = self.operate(op, batch.protocol).err()?;
            Some(Failure { index, errno })
        });
        failures.collect()
    }

    fn operate(&mut self, op: &Op, protocol: u8) -> Result<(), i32> {
        self.ops += 1;
        if self.refuse > 0 {
            self.refuse -= 1;
            return Err(libc::ENOMEM);
        }
        match op {
            Op::PutPath { id, path, replace } => {
                if !self.up[&path.interface] {
                    return Err(libc::ENETDOWN);
                }
                self.put_nexthop(*id, NexthopKind::Path(*path), *replace, protocol)
            }
            Op::PutGroup {
                id,
                members,
                replace,
            } => {
                assert!(!members.is_empty());
                if members
                    .iter()
                    .any(|(member, _)| !self.nexthops.contains_key(member))
                {
                    return Err(libc::EINVAL);
                }
                self.put_nexthop(*id, NexthopKind::Group(members.clone()), *replace, protocol)
            }
            Op::RemoveNexthop { id } => {
                self.nexthops.get(id).ok_or(libc::ENOENT)?;
                self.drop_nexthop(*id);
                Ok(())
            }
            Op::PutRoute {
                prefix,
                table,
                metric,
                prefsrc,
                target,
                replace,
            } => self.put_route(
                (*prefix, *table, *metric),
                *prefsrc,
                target,
                *replace,
                protocol,
            ),
            Op::RemoveRoute {
                prefix,
                table,
                metric,
                ..
            } => match self.routes.get(&(*prefix, *table, *metric)) {
                Some(route) if route.protocol == protocol => {
                    self.routes.remove(&(*prefix, *table, *metric));
                    Ok(())
                }
                _ => Err(libc::ESRCH),
            },
        }
    }

    fn put_nexthop(
        &mut self,
        id: u32,
        kind: NexthopKind,
        replace: bool,
        protocol: u8,
    ) -> Result<(), i32> {
        match (self.nexthops.contains_key(&id), replace) {
            (true, false) => return Err(libc::EEXIST),
            (false, true) => return Err(libc::ENOENT),
            _ => {}
        }
        self.nexthops
            .insert(id, KernelNexthop { id, protocol, kind });
        Ok(())
    }

    fn put_route(
        &mut self,
        key: (IpNet, u32, u32),
        prefsrc: Option<IpAddr>,
        target: &Target,
        replace: bool,
        protocol: u8,
    ) -> Result<(), i32> {
        let (prefix, table, metric) = key;
        let kind = match target {
            Target::Nexthop(id) if self.nexthops.contains_key(id) => {
                RouteKind::Unicast(RouteVia::Nexthop(*id))
            }
            Target::Nexthop(_) => return Err(libc::EINVAL),
            Target::Paths(paths) if paths.iter().all(|(path, _)| self.up[&path.interface]) => {
                RouteKind::Unicast(RouteVia::Paths(paths.clone()))
            }
            Target::Paths(_) => return Err(libc::ENETDOWN),
            Target::Blackhole => RouteKind::Blackhole,
            Target::Unreachable => RouteKind::Unreachable,
            Target::Prohibit => RouteKind::Prohibit,
        };
        match (self.routes.get(&key), replace) {
            (Some(_), false) => return Err(libc::EEXIST),
            (None, true) => return Err(libc::ENOENT),
            (Some(route), true) => assert_eq!(route.protocol, OURS, "{prefix} is somebody else's"),
            (None, false) => {}
        }
        let route = KernelRoute {
            prefix,
            table,
            metric,
            protocol,
            tos: 0,
            kind,
            prefsrc,
        };
        self.routes.insert(key, route);
        Ok(())
    }

    /// As the kernel does: routes go with it, groups lose a member. Says what it tells if somebody asked for it:
    /// nothing of the routes.
    fn drop_nexthop(&mut self, id: u32) -> Vec<Fact> {
        let mut told = vec![Fact::NexthopGone { id }];
        self.nexthops.remove(&id);
        self.routes
            .retain(|_, route| route.kind != RouteKind::Unicast(RouteVia::Nexthop(id)));
        let mut empty = Vec::new();
        for (group, nexthop) in &mut self.nexthops {
            if let NexthopKind::Group(members) = &mut nexthop.kind {
                let before = members.len();
                members.retain(|(member, _)| *member != id);
                if members.is_empty() {
                    empty.push(*group);
                } else if members.len() < before {
                    told.push(Fact::Nexthop(nexthop.clone()));
                }
            }
        }
        for group in empty {
            told.extend(self.drop_nexthop(group));
        }
        told
    }

    /// Without a word about what goes with the link.
    fn set_link(&mut self, index: u32, up: bool) -> Vec<Fact> {
        self.up.insert(index, up);
        if up {
            return vec![self.link(index), Fact::Route(Self::connected(index))];
        }
        let on_it =
            |kind: &NexthopKind| matches!(kind, NexthopKind::Path(path) if path.interface == index);
        let gone: Vec<u32> = self
            .nexthops
            .values()
            .filter(|n| on_it(&n.kind))
            .map(|n| n.id)
            .collect();
        for id in gone {
            self.drop_nexthop(id);
        }
        self.routes.retain(|_, route| match &route.kind {
            RouteKind::Unicast(RouteVia::Paths(paths)) => {
                !paths.iter().all(|(path, _)| path.interface == index)
            }
            _ => true,
        });
        vec![self.link(index), Fact::RouteGone(Self::connected(index))]
    }

    /// Which paths a route of ours has.
    fn paths(&self, prefix: &str) -> Vec<(String, u8)> {
        let route = self.routes.get(&(net(prefix), 254, 20));
        route
            .filter(|route| route.protocol == OURS)
            .map(|route| self.paths_of(route))
            .unwrap_or_default()
    }

    fn paths_of(&self, route: &KernelRoute) -> Vec<(String, u8)> {
        let text = |path: &Path| path.gateway.unwrap().to_string();
        let mut paths: Vec<_> = match &route.kind {
            RouteKind::Unicast(RouteVia::Paths(paths)) => paths
                .iter()
                .map(|(path, weight)| (text(path), *weight))
                .collect(),
            RouteKind::Unicast(RouteVia::Nexthop(id)) => match &self.nexthops[id].kind {
                NexthopKind::Path(path) => vec![(text(path), 1)],
                NexthopKind::Group(members) => members
                    .iter()
                    .map(|(id, weight)| match &self.nexthops[id].kind {
                        NexthopKind::Path(path) => (text(path), *weight),
                        other => panic!("{other:?}"),
                    })
                    .collect(),
                NexthopKind::Other => panic!(),
            },
            RouteKind::Blackhole => vec![("blackhole".into(), 1)],
            RouteKind::Unreachable => vec![("unreachable".into(), 1)],
            RouteKind::Prohibit => vec![("prohibit".into(), 1)],
            RouteKind::Other => panic!(),
        };
        paths.sort();
        paths
    }

    fn nexthop_to(&self, gateway: &str) -> u32 {
        let gateway = Some(gateway.parse().unwrap());
        let to = |n: &&KernelNexthop| matches!(&n.kind, NexthopKind::Path(path) if path.gateway == gateway);
        self.nexthops.values().find(to).unwrap().id
    }

    fn ours(&self) -> usize {
        self.routes
            .values()
            .filter(|route| route.protocol == OURS)
            .count()
    }
}

/// A planner, its kernel, and time.
struct World {
    fib: Fib,
    kernel: Kernel,
    now: Instant,
    /// Batches the kernel has not carried out.
    sent: VecDeque<Batch>,
    /// Of the first of them it has carried out so many changes, and refused these.
    carried: (usize, Vec<Failure>),
    resync: bool,
    out: Vec<Output>,
    /// When each batch was sent, and what was in it.
    trace: Vec<(Instant, Vec<Op>)>,
}

#[allow(
    clippy::disallowed_methods,
    reason = "only the origin of a virtual time"
)]
fn origin() -> Instant {
    Instant::now()
}

impl World {
    fn with(config: FibConfig, kernel: Kernel) -> Self {
        let mut world = Self {
            fib: Fib::new(config),
            kernel,
            now: origin(),
            sent: VecDeque::new(),
            carried: (0, Vec::new()),
            resync: false,
            out: Vec::new(),
            trace: Vec::new(),
        };
        world.input(Input::Kernel(world.kernel.dump()));
        world
    }

    fn new() -> Self {
        Self::with(FibConfig::default(), Kernel::new())
    }

    fn input(&mut self, input: Input) {
        let mut out = Vec::new();
        self.fib.handle(self.now, input, &mut out);
        for output in out {
            match output {
                Output::Send(batch) => {
                    self.trace.push((self.now, batch.ops.clone()));
                    self.sent.push_back(batch);
                }
                Output::Resync => self.resync = true,
                other => self.out.push(other),
            }
        }
        assert!(self.sent.len() <= BATCHES_MAX);
        assert!(!self.resync || self.sent.is_empty());
    }

    fn want(&mut self, prefix: &str, route: Option<Wanted>) {
        self.want_at(prefix, route, Placement::default());
    }

    fn want_at(&mut self, prefix: &str, route: Option<Wanted>, at: Placement) {
        self.input(Input::Wanted {
            prefix: net(prefix),
            route,
            at,
        });
    }

    /// The kernel carries out some changes of the first batch. The answer comes when all are carried out.
    fn kernel_part(&mut self, count: usize) {
        if let Some(batch) = self.sent.front() {
            let (first, failures) = &mut self.carried;
            let count = count.min(batch.ops.len() - *first);
            failures.extend(self.kernel.carry(batch, *first, count));
            *first += count;
        }
    }

    /// The kernel carries out the rest of one batch, or dumps.
    fn kernel_step(&mut self) -> bool {
        self.kernel_part(OPS_MAX);
        if let Some(batch) = self.sent.pop_front() {
            let (_, failures) = std::mem::take(&mut self.carried);
            self.input(Input::Completed {
                batch: batch.id,
                failures,
            });
            true
        } else if std::mem::take(&mut self.resync) {
            self.input(Input::Kernel(self.kernel.dump()));
            true
        } else {
            false
        }
    }

    /// Until nothing moves for longer than any back-off.
    fn rest(&mut self) {
        for _ in 0..10_000 {
            while self.kernel_step() {}
            match self.fib.deadline() {
                Some(at) => self.now = self.now.max(at),
                None => return,
            }
            self.input(Input::Timeout);
        }
        panic!("no rest: {:?}", self.fib.status());
    }

    /// For a while, whatever still waits.
    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while self.kernel_step() {}
            match self.fib.deadline() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => break,
            }
            self.input(Input::Timeout);
        }
        self.now = end;
    }

    /// Time passes, and the kernel does nothing.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.fib.deadline().is_some_and(|at| at <= self.now) {
            self.input(Input::Timeout);
        }
    }

    fn notices(&self) -> Vec<&Notice> {
        self.out
            .iter()
            .filter_map(|o| {
                if let Output::Notice(notice) = o {
                    Some(notice)
                } else {
                    None
                }
            })
            .collect()
    }

    /// By hand.
    fn flush_nexthop(&mut self, id: u32) {
        let told = self.kernel.drop_nexthop(id);
        self.input(Input::Kernel(told));
    }

    fn suspect(&mut self, neighbor: &str) {
        self.input(Input::Suspect {
            neighbor: neighbor.parse().unwrap(),
            interface: None,
        });
    }

    /// Of a neighbor on one of the links.
    fn quality(&mut self, neighbor: &str, quality: LinkQuality) {
        let next_hop = hop(neighbor);
        let IpAddr::V4(address) = next_hop.address else {
            panic!("{neighbor}")
        };
        let path = Path {
            gateway: Some(next_hop.address),
            interface: u32::from(address.octets()[2]),
            onlink: false,
        };
        let links = SmallVec::from_elem((path, quality), 1);
        self.input(Input::Links { next_hop, links });
    }

    fn link(&mut self, index: u32, up: bool) {
        let facts = self.kernel.set_link(index, up);
        self.input(Input::Kernel(facts));
    }

    fn foreign(prefix: &str) -> KernelRoute {
        KernelRoute {
            prefix: net(prefix),
            metric: 20,
            protocol: THEIRS,
            ..Kernel::connected(3)
        }
    }

    /// Not while a batch is under way: a replacement that is on its way would hit the wrong one, and the
    /// kernel cannot be asked to replace ours alone.
    fn add_foreign(&mut self, prefix: &str) {
        while self.kernel_step() {}
        let route = Self::foreign(prefix);
        self.kernel
            .routes
            .insert((route.prefix, 254, 20), route.clone());
        self.input(Input::Kernel(vec![Fact::Route(route)]));
    }

    fn remove_foreign(&mut self, prefix: &str) {
        let route = self.kernel.routes.remove(&(net(prefix), 254, 20)).unwrap();
        self.input(Input::Kernel(vec![Fact::RouteGone(route)]));
    }
}

#[test]
fn nothing_is_written_before_the_first_dump_is_complete() {
    let mut fib = Fib::new(FibConfig::default());
    let (now, mut out) = (origin(), Vec::new());
    for n in 0..u32::try_from(BATCHES_MAX * OPS_MAX).unwrap() {
        let prefix = IpNet::new(std::net::Ipv4Addr::from(n << 8).into(), 24).unwrap();
        fib.handle(
            now,
            Input::Wanted {
                prefix,
                route: Some(Wanted::Blackhole),
                at: Placement::default(),
            },
            &mut out,
        );
    }
    fib.handle(now + Duration::from_secs(9), Input::Timeout, &mut out);
    assert_eq!(out, []);
    fib.handle(now, Input::Kernel(Kernel::new().dump()), &mut out);
    assert_eq!(
        out.iter().filter(|o| matches!(o, Output::Send(_))).count(),
        BATCHES_MAX
    );
}

#[test]
fn routes_go_in_and_out_with_their_objects() {
    let mut world = World::new();
    world.want("192.0.2.0/24", via(&[("10.0.1.2", 1), ("10.0.2.2", 3)]));
    world.want("192.0.3.0/24", via(&[("10.0.2.2", 3), ("10.0.1.2", 1)]));
    world.want("192.0.4.0/24", via(&[("10.0.1.2", 1)]));
    world.want("192.0.5.0/24", Some(Wanted::Blackhole));
    world.rest();
    assert_eq!(world.kernel.ops, 7, "two paths, a group, four routes");
    assert_eq!(
        world.kernel.paths("192.0.3.0/24"),
        [("10.0.1.2".into(), 1), ("10.0.2.2".into(), 3)]
    );
    assert_eq!(
        world.kernel.paths("192.0.5.0/24"),
        [("blackhole".into(), 1)]
    );
    assert_eq!(
        world
            .fib
            .route(net("192.0.2.0/24"))
            .unwrap()
            .actual
            .unwrap(),
        "via 10.0.1.2 dev eth1, via 10.0.2.2 dev eth2 weight 3"
    );
    for prefix in [
        "192.0.2.0/24",
        "192.0.3.0/24",
        "192.0.4.0/24",
        "192.0.5.0/24",
    ] {
        world.want(prefix, None);
    }
    world.rest();
    assert_eq!(
        (world.kernel.routes.len(), world.kernel.nexthops.len()),
        (0, 0)
    );
    assert_eq!(
        world.fib.status(),
        Status {
            changes: 14,
            install: true,
            permitted: true,
            nexthop_objects: true,
            synchronized: true,
            // Those that are connected.
            foreign: 3,
            ..Status::default()
        }
    );
}

#[test]
fn a_burst_that_cancels_itself_costs_nothing() {
    let mut world = World::new();
    for _ in 0..100 {
        world.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
        world.want("192.0.2.0/24", None);
    }
    world.rest();
    assert_eq!(world.kernel.ops, 0);
}

#[test]
fn changes_while_batches_are_under_way_only_mark_the_prefix() {
    let mut world = World::new();
    for n in 0..5000_u32 {
        world.want(
            &format!("20.{}.{}.0/24", n / 256, n % 256),
            via(&[("10.0.1.2", 1)]),
        );
    }
    assert_eq!(world.sent.len(), BATCHES_MAX);
    for _ in 0..10 {
        for n in 0..5000_u32 {
            world.want(
                &format!("20.{}.{}.0/24", n / 256, n % 256),
                via(&[("10.0.2.2", 1)]),
            );
        }
    }
    assert_eq!(world.sent.len(), BATCHES_MAX);
    world.rest();
    assert_eq!(world.kernel.ours(), 5000);
    let under_way = BATCHES_MAX * OPS_MAX;
    assert!(
        world.kernel.ops <= 5000 + under_way + 3,
        "{}",
        world.kernel.ops
    );
}

#[test]
fn a_lost_link_costs_a_message_and_not_one_for_each_route() {
    let mut world = World::new();
    for n in 0..1000_u32 {
        world.want(
            &format!("20.{}.{}.0/24", n / 256, n % 256),
            via(&[("10.0.1.2", 1), ("10.0.2.2", 1)]),
        );
    }
    world.rest();
    let ops = world.kernel.ops;
    world.link(2, false);
    world.rest();
    assert_eq!(world.kernel.paths("20.0.7.0/24"), [("10.0.1.2".into(), 1)]);
    assert!(world.kernel.ops - ops <= 2, "{}", world.kernel.ops - ops);
    world.link(1, false);
    world.rest();
    assert_eq!(world.kernel.ours(), 0);
    world.link(2, true);
    world.rest();
    assert_eq!(world.kernel.paths("20.0.7.0/24"), [("10.0.2.2".into(), 1)]);
}

/// What is on its way to the kernel when the link flaps is removed and made anew: nobody knows whether it went with
/// the link. That removal takes it out of every group that was sent meanwhile.
#[test]
fn an_object_that_is_made_anew_is_put_back_into_its_groups() {
    let mut world = World::new();
    world.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
    world.pass(GATHER);
    world.link(1, false);
    world.link(1, true);
    world.want("192.0.3.0/24", via(&[("10.0.1.2", 1), ("10.0.2.2", 1)]));
    world.pass(GATHER);
    assert_eq!(world.sent.len(), 2, "the object, and the group with it");
    world.rest();
    assert_eq!(world.kernel.paths("192.0.2.0/24"), [("10.0.1.2".into(), 1)]);
    assert_eq!(
        world.kernel.paths("192.0.3.0/24"),
        [("10.0.1.2".into(), 1), ("10.0.2.2".into(), 1)]
    );
    assert_eq!(
        world.fib.status().refused,
        1,
        "the removal of the route that went with the object"
    );
}

#[test]
fn what_the_kernel_did_not_remove_it_still_has() {
    let mut world = World::new();
    world.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
    world.pass(GATHER);
    world.link(1, false);
    world.link(1, true);
    world.kernel_step();
    world.kernel.refuse = 2;
    world.rest();
    assert_eq!(world.kernel.paths("192.0.2.0/24"), [("10.0.1.2".into(), 1)]);
    assert_eq!(world.kernel.nexthops.len(), 1);
    world.want("192.0.2.0/24", None);
    world.rest();
    assert_eq!(world.kernel.nexthops.len(), 0);
}

#[test]
fn what_a_dump_tells_is_there_whatever_was_lost_before() {
    let mut world = World::new();
    world.input(Input::StartupDone);
    world.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
    world.want("192.0.3.0/24", via(&[("10.0.1.2", 1)]));
    world.pass(GATHER);
    world.input(Input::Overrun);
    world.link(1, false);
    world.link(1, true);
    world.want("192.0.2.0/24", None);
    world.rest();
    assert_eq!(world.kernel.paths("192.0.2.0/24"), []);
    assert_eq!(world.kernel.paths("192.0.3.0/24"), [("10.0.1.2".into(), 1)]);
}

/// A driver that begins to care for facts gets all of them, and nothing that is installed changes.
#[test]
fn all_facts_are_told_again_when_that_is_asked_for() {
    let mut world = World::new();
    world.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
    world.rest();
    let before = world.notices().len();
    world.input(Input::Retell);
    assert!(world.resync && world.sent.is_empty());
    world.rest();
    assert!(world.fib.is_synchronized());
    assert_eq!(world.notices().len(), before);
    assert_eq!(world.kernel.paths("192.0.2.0/24"), [("10.0.1.2".into(), 1)]);
}

#[test]
fn a_group_somebody_changed_while_ours_was_on_its_way_is_put_right() {
    let mut world = World::new();
    world.want(
        "192.0.2.0/24",
        via(&[("10.0.1.2", 1), ("10.0.2.2", 1), ("10.0.3.2", 1)]),
    );
    world.rest();
    world.input(Input::Kernel(vec![
        Fact::RouteGone(Kernel::connected(2)),
        Fact::RouteGone(Kernel::connected(3)),
    ]));
    assert_eq!(world.sent.len(), 1, "the first alone");
    let second = world.kernel.nexthop_to("10.0.2.2");
    world.flush_nexthop(second);
    world.input(Input::Kernel(vec![Fact::Route(Kernel::connected(3))]));
    world.rest();
    assert_eq!(
        world.kernel.paths("192.0.2.0/24"),
        [("10.0.1.2".into(), 1), ("10.0.3.2".into(), 1)]
    );
}

#[test]
fn a_group_whose_change_was_refused_is_not_taken_for_what_it_was() {
    let mut world = World::new();
    world.want(
        "192.0.2.0/24",
        via(&[("10.0.1.2", 1), ("10.0.2.2", 1), ("10.0.3.2", 1)]),
    );
    world.rest();
    let [first, second] = ["10.0.1.2", "10.0.2.2"].map(|gateway| world.kernel.nexthop_to(gateway));
    world.flush_nexthop(second);
    world.link(2, false);
    assert_eq!(world.sent.len(), 1, "the second and its group: refused");
    world.flush_nexthop(first);
    world.rest();
    assert_eq!(
        world.kernel.paths("192.0.2.0/24"),
        [("10.0.1.2".into(), 1), ("10.0.3.2".into(), 1)]
    );
}

#[test]
fn tracked_next_hops_are_told_of() {
    let mut world = World::new();
    world.input(Input::Track(hop("10.0.1.2")));
    world.input(Input::Track(hop("10.0.1.2")));
    world.input(Input::Track(hop("192.0.2.1")));
    world.link(1, false);
    world.input(Input::Untrack(hop("10.0.1.2")));
    world.link(1, true);
    world.input(Input::Untrack(hop("10.0.1.2")));
    world.link(1, false);
    let told = world.out.iter().filter_map(|o| match o {
        Output::NextHop {
            next_hop,
            resolution,
        } => Some((next_hop.address.to_string(), resolution.is_some())),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    let expected = [
        ("10.0.1.2", true),
        ("10.0.1.2", true),
        ("192.0.2.1", false),
        ("10.0.1.2", false),
        ("10.0.1.2", true),
    ];
    assert_eq!(
        told,
        expected.map(|(address, reached)| (address.to_owned(), reached))
    );
}

#[test]
fn what_an_earlier_life_left_is_taken_over_and_the_rest_goes_when_bgp_has_converged() {
    let mut first = World::new();
    first.want("192.0.2.0/24", via(&[("10.0.1.2", 1), ("10.0.2.2", 3)]));
    first.want("192.0.3.0/24", via(&[("10.0.1.2", 1)]));
    first.want("192.0.4.0/24", via(&[("10.0.3.2", 1)]));
    first.rest();
    let mut kernel = first.kernel;
    kernel.ops = 0;
    let mut second = World::with(FibConfig::default(), kernel);
    second.want("192.0.2.0/24", via(&[("10.0.2.2", 3), ("10.0.1.2", 1)]));
    second.want("192.0.3.0/24", via(&[("10.0.1.2", 1)]));
    second.rest();
    assert_eq!(second.kernel.ops, 0);
    assert_eq!(
        second.fib.route(net("192.0.4.0/24")).unwrap().state,
        RouteState::Stale
    );
    second.input(Input::StartupDone);
    second.rest();
    assert_eq!(
        second.notices(),
        [
            &Notice::Adopted { routes: 3 },
            &Notice::StaleRemoved { routes: 1 }
        ]
    );
    assert_eq!(
        (
            second.kernel.ours(),
            second.kernel.nexthops.len(),
            second.kernel.ops
        ),
        (2, 3, 2)
    );
}

#[test]
fn a_foreign_route_is_left_alone_and_ours_takes_its_place_when_it_goes() {
    let mut world = World::new();
    world.add_foreign("192.0.2.0/24");
    world.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
    world.run_for(Duration::from_secs(200));
    assert_eq!(
        world.kernel.routes[&(net("192.0.2.0/24"), 254, 20)].protocol,
        THEIRS
    );
    assert!(matches!(
        world.fib.route(net("192.0.2.0/24")).unwrap().state,
        RouteState::Foreign { .. }
    ));
    assert_eq!(
        world.notices(),
        [&Notice::ForeignInTheWay {
            prefix: net("192.0.2.0/24")
        }]
    );
    assert!(world.kernel.ops < 40, "{}", world.kernel.ops);
    world.remove_foreign("192.0.2.0/24");
    world.rest();
    assert_eq!(world.kernel.ours(), 1);
    world.add_foreign("192.0.2.0/24");
    world.run_for(Duration::from_secs(9));
    assert_eq!(
        world.kernel.routes[&(net("192.0.2.0/24"), 254, 20)].protocol,
        THEIRS
    );
}

#[test]
fn refusals_are_retried_ever_more_slowly_and_said_once() {
    let mut world = World::new();
    world.kernel.refuse = u32::MAX;
    world.want("192.0.2.0/24", Some(Wanted::Blackhole));
    world.run_for(Duration::from_secs(3600));
    assert!(
        (60..200).contains(&world.kernel.ops),
        "{}",
        world.kernel.ops
    );
    assert_eq!(
        world.notices(),
        [&Notice::InstallFailed {
            prefix: net("192.0.2.0/24"),
            errno: libc::ENOMEM,
            more: 0
        }]
    );
    world.kernel.refuse = 0;
    world.rest();
    assert_eq!(world.fib.status().installed, 1);
}

#[test]
fn a_refused_object_does_not_take_down_what_works() {
    let mut world = World::new();
    world.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
    world.want("192.0.3.0/24", via(&[("10.0.1.2", 1), ("10.0.2.2", 1)]));
    world.rest();
    world.kernel.refuse = 3;
    world.want("192.0.4.0/24", via(&[("10.0.1.2", 1), ("10.0.3.2", 1)]));
    world.rest();
    for prefix in ["192.0.2.0/24", "192.0.3.0/24", "192.0.4.0/24"] {
        assert!(!world.kernel.paths(prefix).is_empty(), "{prefix}");
    }
    assert_eq!(world.kernel.paths("192.0.4.0/24").len(), 2);
}

#[test]
fn without_permission_it_says_so_once_and_is_silent() {
    let mut world = World::new();
    world.want("192.0.2.0/24", Some(Wanted::Blackhole));
    world.now += GATHER;
    world.input(Input::Timeout);
    let batch = world.sent.pop_front().unwrap();
    world.input(Input::Completed {
        batch: batch.id,
        failures: vec![Failure {
            index: 0,
            errno: libc::EPERM,
        }],
    });
    world.want("192.0.3.0/24", Some(Wanted::Blackhole));
    world.run_for(Duration::from_secs(100));
    assert_eq!(world.notices(), [&Notice::NotPermitted]);
    assert!(!world.fib.status().permitted && world.sent.is_empty());
}

#[test]
fn a_shutdown_removes_all_unless_routes_are_to_stay() {
    for keep_on_exit in [false, true] {
        let mut world = World::with(
            FibConfig {
                keep_on_exit,
                ..FibConfig::default()
            },
            Kernel::new(),
        );
        for n in 0..2000_u32 {
            world.want(
                &format!("20.{}.{}.0/24", n / 256, n % 256),
                via(&[("10.0.1.2", 1)]),
            );
        }
        world.rest();
        world.input(Input::Shutdown);
        assert_eq!(world.out.contains(&Output::Ended), keep_on_exit);
        world.rest();
        assert_eq!(world.out.iter().filter(|o| **o == Output::Ended).count(), 1);
        assert_eq!(world.kernel.ours(), if keep_on_exit { 2000 } else { 0 });
        assert_eq!(world.kernel.nexthops.len(), usize::from(keep_on_exit));
    }
}

#[test]
fn pages_are_in_order_and_complete() {
    let mut world = World::new();
    for n in (0..50).rev() {
        world.want(&format!("20.0.{n}.0/24"), Some(Wanted::Blackhole));
        world.want(&format!("2001:db8:{n:x}::/48"), via(&[("192.0.2.1", 1)]));
    }
    world.rest();
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let page = world.fib.routes(after, 7, false);
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        after = Some(last.prefix);
        all.extend(page.into_iter().map(|row| row.prefix));
    }
    assert_eq!(all.len(), 100);
    assert!(all.is_sorted());
    assert_eq!(
        world.fib.routes(None, 1000, true).len(),
        50,
        "an unreachable next hop is a difference"
    );
}

const TABLE_100: Placement = Placement {
    table: Some(100),
    metric: None,
    prefsrc: None,
};

impl World {
    /// Lets the kernel do what it is asked to, as long as a prefix is always somewhere.
    fn rest_with(&mut self, prefixes: u32) {
        for _ in 0..10_000 {
            while self.kernel_step() {
                let there: BTreeSet<IpNet> = self.kernel.routes.keys().map(|k| k.0).collect();
                assert_eq!(there.len(), prefixes as usize, "a moment without a route");
            }
            match self.fib.deadline() {
                Some(at) => self.now = self.now.max(at),
                None => return,
            }
            self.input(Input::Timeout);
        }
        panic!("no rest");
    }
}

fn numbered(n: u32) -> String {
    format!("20.{}.{}.0/24", n / 256, n % 256)
}

#[test]
fn a_route_that_moves_to_another_table_is_there_before_it_leaves() {
    let mut world = World::new();
    for n in 0..1000 {
        world.want(&numbered(n), via(&[("10.0.1.2", 1)]));
    }
    world.rest();
    for n in 0..1000 {
        world.want_at(&numbered(n), via(&[("10.0.2.2", 1)]), TABLE_100);
    }
    world.rest_with(1000);
    assert!(
        world
            .kernel
            .routes
            .keys()
            .all(|(_, table, _)| *table == 100)
    );
    assert_eq!(world.fib.status().installed, 1000);
    // It changes its mind on the way.
    for n in 0..1000 {
        world.want(&numbered(n), via(&[("10.0.2.2", 1)]));
    }
    world.kernel_step();
    for n in 0..1000 {
        let at = Placement {
            metric: Some(5),
            ..TABLE_100
        };
        world.want_at(&numbered(n), via(&[("10.0.2.2", 1)]), at);
    }
    world.rest_with(1000);
    let places: BTreeSet<_> = world.kernel.routes.keys().map(|k| (k.1, k.2)).collect();
    assert_eq!(places, BTreeSet::from([(100, 5)]));
    assert_eq!(world.kernel.routes.len(), 1000);
}

#[test]
fn a_route_that_cannot_move_leaves_all_the_same() {
    let mut world = World::new();
    world.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
    world.rest();
    let route = KernelRoute {
        table: 100,
        ..World::foreign("192.0.2.0/24")
    };
    let key = (route.prefix, 100, 20);
    world.kernel.routes.insert(key, route.clone());
    world.input(Input::Kernel(vec![Fact::Route(route)]));
    world.want_at("192.0.2.0/24", via(&[("10.0.1.2", 1)]), TABLE_100);
    world.run_for(Duration::from_secs(9));
    assert_eq!((world.kernel.ours(), world.kernel.routes.len()), (0, 1));
    assert!(matches!(
        world.fib.route(net("192.0.2.0/24")).unwrap().state,
        RouteState::Foreign { .. }
    ));
}

#[test]
fn what_an_earlier_life_left_in_another_table_goes_once_its_successor_is_there() {
    let mut first = World::new();
    for n in 0..10 {
        first.want_at(&numbered(n), via(&[("10.0.1.2", 1)]), TABLE_100);
    }
    first.rest();
    let mut second = World::with(FibConfig::default(), first.kernel);
    for n in 0..8 {
        second.want(&numbered(n), via(&[("10.0.1.2", 1)]));
    }
    second.rest_with(10);
    assert_eq!(second.kernel.ours(), 18, "BGP has not converged");
    second.input(Input::StartupDone);
    second.rest();
    assert!(
        second
            .kernel
            .routes
            .keys()
            .all(|(_, table, _)| *table == 254)
    );
    assert_eq!(second.kernel.ours(), 8);
}

#[test]
fn the_preferred_source_changes_in_place() {
    let mut world = World::new();
    world.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
    world.rest();
    world.want_at("192.0.2.0/24", via(&[("10.0.1.2", 1)]), placement(3));
    world.rest_with(1);
    let key = (net("192.0.2.0/24"), 254, 20);
    assert_eq!(world.kernel.routes[&key].prefsrc, Some(SOURCE.into()));
    assert_eq!(world.kernel.ops, 3, "a path, a route, and its replacement");
    world.want_at("192.0.2.0/24", via(&[("10.0.1.2", 1)]), placement(4));
    world.rest_with(1);
    assert_eq!(world.kernel.routes[&key].prefsrc, None);
    let address = [10, 8, 8, 8].into();
    assert_eq!(
        world.notices(),
        [&Notice::PreferredSourceMissing { address }]
    );
}

#[test]
fn installing_ends_and_begins_while_running() {
    for keep_on_exit in [false, true] {
        let config = FibConfig {
            keep_on_exit,
            ..FibConfig::default()
        };
        let mut world = World::with(config.clone(), Kernel::new());
        world.input(Input::StartupDone);
        for n in 0..1000 {
            world.want(&numbered(n), via(&[("10.0.1.2", 1)]));
        }
        world.rest();
        let off = FibConfig {
            install: false,
            ..config.clone()
        };
        world.input(Input::Configure(off));
        world.rest();
        let left = if keep_on_exit { 1000 } else { 0 };
        assert_eq!(world.kernel.ours(), left);
        world.want("30.0.1.0/24", via(&[("10.0.2.2", 1)]));
        world.rest();
        assert_eq!(world.kernel.ours(), left, "nothing is installed");
        world.want("30.0.1.0/24", None);
        let ops = world.kernel.ops;
        world.input(Input::Configure(config.clone()));
        for n in 0..900 {
            world.want(&numbered(n), via(&[("10.0.1.2", 1)]));
            world.kernel_step();
            assert!(world.kernel.ours() >= left, "not before all is told");
        }
        world.rest();
        world.input(Input::StartupDone);
        world.rest();
        assert_eq!((world.kernel.ours(), world.kernel.nexthops.len()), (900, 1));
        if keep_on_exit {
            assert_eq!(world.kernel.ops - ops, 100, "only what is not wanted goes");
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    /// With the number of a placement.
    Want(u8, Vec<(u8, u8)>, u8),
    Withdraw(u8),
    Constant(u8, u8),
    Link(u32, bool),
    DeleteByHand(u8),
    Foreign(u8),
    ForeignGone(u8),
    FlushNexthop(u8),
    Refuse(u32),
    Overrun,
    KernelStep,
    KernelPart(usize),
    Pass(u64),
    StartupDone,
    Suspect(u8),
    Settled,
    Quality(u8, LinkQuality),
}

fn event() -> impl Strategy<Value = Event> {
    let prefix = 0..12_u8;
    prop_oneof![
        6 => (prefix.clone(), proptest::collection::vec((1..=6_u8, 0..4_u8), 1..4), 0..12_u8)
            .prop_map(|(p, hops, at)| Event::Want(p, hops, at)),
        2 => prefix.clone().prop_map(Event::Withdraw),
        1 => (prefix.clone(), 0..12_u8).prop_map(|(p, at)| Event::Constant(p, at)),
        2 => (1..=LINKS, any::<bool>()).prop_map(|(link, up)| Event::Link(link, up)),
        1 => prefix.clone().prop_map(Event::DeleteByHand),
        1 => prefix.clone().prop_map(Event::Foreign),
        1 => prefix.prop_map(Event::ForeignGone),
        1 => any::<u8>().prop_map(Event::FlushNexthop),
        1 => (1..5_u32).prop_map(Event::Refuse),
        1 => Just(Event::Overrun),
        6 => Just(Event::KernelStep),
        3 => (0..3000_u64).prop_map(Event::Pass),
        1 => Just(Event::StartupDone),
        1 => (1..=6_u8).prop_map(Event::Suspect),
        1 => Just(Event::Settled),
        1 => (1..=6_u8, proptest::option::of(1..=4_u64), 0..=4_u8).prop_map(|(n, capacity, lost)| {
            let delivered = 100 - 25 * lost;
            Event::Quality(n, LinkQuality { capacity, delivered })
        }),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec(event(), 1..120)
}

/// Batches are carried out in parts, with events between.
fn events_amid_batches() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![26 => event(), 4 => (1..4_usize).prop_map(Event::KernelPart)];
    proptest::collection::vec(event, 1..120)
}

/// What is wanted of each of twelve prefixes, and what follows from it.
#[derive(Default)]
struct Model {
    wanted: BTreeMap<u8, (Vec<(u8, u8)>, Placement)>,
    qualities: BTreeMap<u8, LinkQuality>,
}

impl Model {
    /// How next hops share, by number and the weight of the route.
    fn share(&self, hops: &BTreeMap<u8, u8>) -> BTreeMap<String, u8> {
        let quality = |n: &u8| self.qualities.get(n).copied();
        let capacity = |n: &u8| quality(n).and_then(|quality| quality.capacity);
        let first = hops.values().next();
        let by_capacity = hops.values().all(|weight| Some(weight) == first)
            && hops.keys().all(|n| capacity(n).is_some());
        let carries = |n: &u8| {
            let delivered = quality(n).map_or(100, |quality| quality.delivered.max(1));
            let capacity = capacity(n).filter(|_| by_capacity).unwrap_or(1);
            u64::from(delivered) * capacity
        };
        let most = hops.keys().map(carries).max().unwrap_or(1);
        if hops.keys().all(|n| carries(n) == most) {
            return hops
                .iter()
                .map(|(n, weight)| (gateway(*n), *weight))
                .collect();
        }
        let of = |(n, weight): (&u8, &u8)| (*n, u64::from(*weight) * carries(n));
        let shares: Vec<(u8, u64)> = hops.iter().map(of).collect();
        let divides = |d: &u64| shares.iter().all(|(_, share)| share % d == 0);
        let common = (1..=most * 255).rfind(divides).unwrap();
        let most = shares
            .iter()
            .map(|(_, share)| share / common)
            .max()
            .unwrap();
        let scale = |share: u64| match most {
            0..=255 => share / common,
            _ => (share / common * 255 / most).max(1),
        };
        let shares = shares.into_iter();
        shares
            .map(|(n, share)| (gateway(n), u8::try_from(scale(share)).unwrap()))
            .collect()
    }
}

/// Half of all routes are in the usual place.
fn placement(n: u8) -> Placement {
    let (table, metric, prefsrc) = match n {
        0 => (Some(100), None, None),
        1 => (None, Some(30), None),
        2 => (Some(100), Some(30), Some(SOURCE.into())),
        3 => (None, None, Some(SOURCE.into())),
        4 => (Some(254), Some(20), Some([10, 8, 8, 8].into())),
        _ => (None, None, None),
    };
    Placement {
        table,
        metric,
        prefsrc,
    }
}

fn prefix(n: u8) -> String {
    format!("192.0.{n}.0/24")
}

/// Six next hops, two on each link.
fn gateway(n: u8) -> String {
    format!("10.0.{}.{}", n % 3 + 1, n + 1)
}

impl World {
    fn event(&mut self, event: Event, model: &mut Model) {
        match event {
            Event::Want(p, hops, at) => {
                let members: NextHops = hops
                    .iter()
                    .map(|(h, weight)| (hop(&gateway(*h)), *weight))
                    .collect();
                let at = placement(at);
                self.want_at(&prefix(p), Some(Wanted::Unicast(members)), at);
                model.wanted.insert(p, (hops, at));
            }
            Event::Withdraw(p) => {
                self.want(&prefix(p), None);
                model.wanted.remove(&p);
            }
            Event::Constant(p, at) => {
                let at = placement(at);
                self.want_at(&prefix(p), Some(Wanted::Unreachable), at);
                model.wanted.insert(p, (Vec::new(), at));
            }
            Event::Link(index, up) => {
                if self.kernel.up[&index] != up {
                    self.link(index, up);
                }
            }
            Event::DeleteByHand(p) => {
                let key = (net(&prefix(p)), 254, 20);
                if self
                    .kernel
                    .routes
                    .get(&key)
                    .is_some_and(|route| route.protocol == OURS)
                {
                    let route = self.kernel.routes.remove(&key).unwrap();
                    self.input(Input::Kernel(vec![Fact::RouteGone(route)]));
                }
            }
            Event::Foreign(p) => self.add_foreign(&prefix(p)),
            Event::ForeignGone(p) => {
                if self
                    .kernel
                    .routes
                    .get(&(net(&prefix(p)), 254, 20))
                    .is_some_and(|route| route.protocol == THEIRS)
                {
                    self.remove_foreign(&prefix(p));
                }
            }
            Event::FlushNexthop(n) => {
                let ids: Vec<u32> = self.kernel.nexthops.keys().copied().collect();
                if let Some(id) = ids.get(usize::from(n) % ids.len().max(1)) {
                    self.flush_nexthop(*id);
                }
            }
            Event::Refuse(count) => self.kernel.refuse = count,
            Event::Overrun => self.input(Input::Overrun),
            Event::KernelStep => drop(self.kernel_step()),
            Event::KernelPart(count) => self.kernel_part(count),
            Event::Pass(ms) => self.pass(Duration::from_millis(ms)),
            Event::StartupDone => self.input(Input::StartupDone),
            Event::Suspect(n) => self.suspect(&gateway(n)),
            Event::Settled => self.input(Input::Settled),
            Event::Quality(n, quality) => {
                self.quality(&gateway(n), quality);
                model.qualities.insert(n, quality);
            }
        }
    }

    /// At rest the kernel has what is wanted, as far as it can, and nothing else of ours.
    fn check(&self, model: &Model) {
        for n in 0..12 {
            let prefix = net(&prefix(n));
            let mut expected: BTreeMap<String, u8> = BTreeMap::new();
            let mut source = None;
            let at = model.wanted.get(&n).map(|(_, at)| *at).unwrap_or_default();
            match model.wanted.get(&n) {
                Some((hops, _)) if hops.is_empty() => {
                    expected.insert("unreachable".into(), 1);
                }
                Some((hops, _)) => {
                    source = at.prefsrc.filter(|source| *source == IpAddr::from(SOURCE));
                    let mut usable: BTreeMap<u8, u8> = BTreeMap::new();
                    for (h, weight) in hops
                        .iter()
                        .filter(|(h, _)| self.kernel.up[&u32::from(h % 3 + 1)])
                    {
                        *usable.entry(*h).or_default() += weight;
                    }
                    // The spare ones count when there is no other.
                    if usable.values().any(|weight| *weight > 0) {
                        usable.retain(|_, weight| *weight > 0);
                    } else {
                        usable.values_mut().for_each(|weight| *weight = 1);
                    }
                    expected = model.share(&usable);
                    let distinct: BTreeSet<u8> = hops.iter().map(|(h, _)| *h).collect();
                    if distinct.len() == 1 && !self.kernel.no_objects {
                        expected.values_mut().for_each(|weight| *weight = 1);
                    }
                }
                None => {}
            }
            let key = (prefix, at.table.unwrap_or(254), at.metric.unwrap_or(20));
            let theirs = |route: &&KernelRoute| route.protocol == THEIRS;
            if self.kernel.routes.get(&key).filter(theirs).is_some() {
                expected.clear();
            }
            let ours = self.kernel.routes.iter();
            let ours: Vec<_> = ours
                .filter(|((p, ..), route)| *p == prefix && route.protocol == OURS)
                .map(|(key, route)| (*key, route.prefsrc, self.kernel.paths_of(route)))
                .collect();
            let expected: Vec<_> = expected.into_iter().collect();
            let expected = (!expected.is_empty()).then_some((key, source, expected));
            assert_eq!(
                ours,
                expected.into_iter().collect::<Vec<_>>(),
                "{:?} {:?}",
                self.fib.route(prefix),
                self.fib.nexthops,
            );
        }
        let status = self.fib.status();
        assert_eq!(status.actual, self.kernel.ours());
        let used = self.kernel.nexthops.len();
        assert_eq!(
            status.nexthops, used,
            "{:#?} {:#?}",
            self.kernel.nexthops, self.fib
        );
    }
}

fn live_through(events: &[Event], no_objects: bool, lives: u32) {
    let mut kernel = Kernel {
        no_objects,
        ..Kernel::new()
    };
    for _ in 0..lives {
        let mut world = World::with(FibConfig::default(), kernel);
        let mut model = Model::default();
        for event in events.iter().cloned() {
            world.event(event, &mut model);
        }
        world.input(Input::StartupDone);
        world.input(Input::Settled);
        world.kernel.refuse = 0;
        world.run_for(Duration::from_secs(600));
        world.check(&model);
        for n in 0..12 {
            world.want(&prefix(n), None);
        }
        let before = world.kernel.routes.len() - world.kernel.ours();
        world.run_for(Duration::from_secs(600));
        assert_eq!(
            (world.kernel.ours(), world.kernel.routes.len()),
            (0, before)
        );
        assert_eq!(world.kernel.nexthops.len(), 0, "{:#?}", world.fib);
        for event in events.iter().cloned() {
            world.event(event, &mut model);
        }
        kernel = world.kernel;
        kernel.refuse = 0;
    }
}

/// More, if `PROPTEST_CASES` asks for more.
fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(ProptestConfig::default().cases.max(400))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn at_rest_the_kernel_has_what_is_wanted(events in events()) {
        live_through(&events, false, 2);
    }

    #[test]
    fn whatever_happens_amid_a_batch(events in events_amid_batches()) {
        live_through(&events, false, 2);
    }

    #[test]
    fn without_objects_too(events in events()) {
        live_through(&events, true, 2);
    }

    /// Complete deadlines: woken only when asked for, or each millisecond, it does the same.
    #[test]
    fn deadlines_are_complete(events in events()) {
        let trace = |eager: bool| {
            let mut world = World::new();
            let (mut model, start) = (Model::default(), world.now);
            for event in events.clone() {
                let Event::Pass(ms) = event else {
                    world.event(event, &mut model);
                    continue;
                };
                let end = world.now + Duration::from_millis(ms);
                while world.now < end {
                    while world.kernel_step() {}
                    let next = world.fib.deadline().unwrap_or(end).clamp(world.now, end);
                    world.now = if eager { next.min(world.now + Duration::from_millis(1)) } else { next };
                    world.input(Input::Timeout);
                }
            }
            world.trace.into_iter().map(|(at, ops)| (at - start, ops)).collect::<Vec<_>>()
        };
        prop_assert_eq!(trace(false), trace(true));
    }
}
