//! Which way each route of ours goes, as the messages to and from the kernel say: routes point to nexthop objects or have
//! paths of their own. Bounded by the routes that the kernel has.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use smallvec::SmallVec;

use crate::Fact;
use crate::fact::{KernelRoute, NexthopKind, RouteKind, RouteVia};
use crate::op::{Batch, Failure, Op, Path, Target};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Key {
    prefix: IpNet,
    table: u32,
    metric: u32,
}

#[derive(Debug)]
enum Way {
    Nowhere,
    Nexthop(u32),
    Paths(Box<[Path]>),
}

#[derive(Debug)]
struct Row {
    way: Way,
    /// The later one of two routes to one prefix counts.
    number: u64,
    /// The dump under way has told it.
    seen: bool,
}

#[derive(Debug)]
enum Object {
    Path(Path),
    Group(SmallVec<[u32; 4]>),
}

/// What becomes of a route if its operation fails, or if it does not.
#[derive(Debug)]
enum Pending {
    Make(Key),
    Remove(Key),
}

#[derive(Debug)]
pub(super) struct Ways {
    protocol: u8,
    rows: BTreeMap<Key, Row>,
    objects: BTreeMap<u32, Object>,
    flights: BTreeMap<u64, Vec<(u32, Pending)>>,
    number: u64,
    dumping: bool,
}

impl Ways {
    pub(super) const fn new(protocol: u8) -> Self {
        Self {
            protocol,
            rows: BTreeMap::new(),
            objects: BTreeMap::new(),
            flights: BTreeMap::new(),
            number: 0,
            dumping: false,
        }
    }

    pub(super) const fn is_dumping(&self) -> bool {
        self.dumping
    }

    /// Takes in what is about to be sent. Says which prefixes may go another way by it; those that go nowhere any more
    /// are not among them until [`Ways::answered`].
    pub(super) fn sent(&mut self, batch: &Batch) -> BTreeSet<IpNet> {
        let mut concerned = BTreeSet::new();
        let mut pending = Vec::new();
        for (index, op) in (0_u32..).zip(&batch.ops) {
            match op {
                Op::PutPath { id, path, .. } => {
                    self.put_object(*id, Object::Path(*path), &mut concerned);
                }
                Op::PutGroup { id, members, .. } => {
                    let members = members.iter().map(|(id, _)| *id).collect();
                    self.put_object(*id, Object::Group(members), &mut concerned);
                }
                // No route points to it.
                Op::RemoveNexthop { id } => drop(self.objects.remove(id)),
                Op::PutRoute {
                    prefix,
                    table,
                    metric,
                    target,
                    replace,
                    ..
                } => {
                    let key = Key {
                        prefix: *prefix,
                        table: *table,
                        metric: *metric,
                    };
                    pending
                        .retain(|(_, other)| !matches!(other, Pending::Remove(it) if *it == key));
                    if !replace {
                        pending.push((index, Pending::Make(key)));
                    }
                    self.put(key, way_of(target));
                    concerned.insert(*prefix);
                }
                Op::RemoveRoute {
                    prefix,
                    table,
                    metric,
                    tos: 0,
                } => {
                    let key = Key {
                        prefix: *prefix,
                        table: *table,
                        metric: *metric,
                    };
                    pending.push((index, Pending::Remove(key)));
                }
                Op::RemoveRoute { .. } => {}
            }
        }
        if !pending.is_empty() {
            self.flights.insert(batch.id, pending);
        }
        concerned
    }

    /// A batch was answered.
    pub(super) fn answered(&mut self, batch: u64, failures: &[Failure]) -> BTreeSet<IpNet> {
        let mut concerned = BTreeSet::new();
        for (index, pending) in self.flights.remove(&batch).unwrap_or_default() {
            let errno = failures.iter().find(|failure| failure.index == index);
            let gone = match (pending, errno.map(|failure| failure.errno)) {
                (Pending::Make(key), Some(_)) => key,
                (Pending::Remove(key), None | Some(libc::ESRCH)) => key,
                (Pending::Make(_), None) | (Pending::Remove(_), Some(_)) => continue,
            };
            self.rows.remove(&gone);
            concerned.insert(gone.prefix);
        }
        concerned
    }

    /// The kernel told something. While it dumps, nothing is concerned, and all is at its end.
    pub(super) fn told(&mut self, fact: &Fact) -> BTreeSet<IpNet> {
        let mut concerned = BTreeSet::new();
        match fact {
            Fact::DumpBegin => {
                self.dumping = true;
                self.objects.clear();
                self.rows.values_mut().for_each(|row| row.seen = false);
            }
            Fact::DumpEnd => {
                self.dumping = false;
                concerned.extend(self.rows.keys().map(|key| key.prefix));
                self.rows.retain(|_, row| row.seen);
            }
            Fact::Nexthop(nexthop) if nexthop.protocol == self.protocol => match &nexthop.kind {
                NexthopKind::Path(path) => {
                    self.put_object(nexthop.id, Object::Path(*path), &mut concerned);
                }
                NexthopKind::Group(members) => {
                    let members = members.iter().map(|(id, _)| *id).collect();
                    self.put_object(nexthop.id, Object::Group(members), &mut concerned);
                }
                NexthopKind::Other => {}
            },
            Fact::NexthopGone { id } => {
                if self.objects.remove(id).is_some() {
                    self.pointing_to(*id, &mut concerned);
                    // Its routes went with it.
                    let goes = |row: &mut Row| matches!(row.way, Way::Nexthop(it) if it == *id);
                    self.rows.retain(|_, row| !goes(row));
                }
            }
            Fact::Route(route) | Fact::RouteBeside(route, _) => {
                if let Some((key, way)) = self.ours(route) {
                    self.put(key, way);
                    concerned.insert(key.prefix);
                }
            }
            Fact::RouteGone(route) => {
                let key = key_of(route);
                let ours = route.protocol == self.protocol && route.tos == 0;
                if ours && self.rows.remove(&key).is_some() {
                    concerned.insert(key.prefix);
                }
            }
            Fact::Nexthop(_)
            | Fact::Abilities { .. }
            | Fact::Link { .. }
            | Fact::LinkGone { .. }
            | Fact::Address { .. }
            | Fact::AddressGone { .. } => {}
        }
        if self.dumping {
            concerned.clear();
        }
        concerned
    }

    /// All ways of the route to a prefix that was made last.
    pub(super) fn paths(&self, prefix: IpNet) -> SmallVec<[Path; 2]> {
        let rows = self.rows_of(prefix);
        let Some((_, row)) = rows.max_by_key(|(_, row)| row.number) else {
            return SmallVec::new();
        };
        self.paths_of(row)
    }

    /// The prefixes of all routes over a device.
    pub(super) fn prefixes_over(&self, interface: u32) -> BTreeSet<IpNet> {
        let rows = self.rows.iter();
        let over = rows.filter(|(_, row)| self.is_over(row, interface));
        over.map(|(key, _)| key.prefix).collect()
    }

    fn is_over(&self, row: &Row, interface: u32) -> bool {
        let paths = self.paths_of(row);
        paths.iter().any(|path| path.interface == interface)
    }

    fn rows_of(&self, prefix: IpNet) -> impl Iterator<Item = (&Key, &Row)> {
        let key = |end: u32| Key {
            prefix,
            table: end,
            metric: end,
        };
        self.rows.range(key(0)..=key(u32::MAX))
    }

    fn paths_of(&self, row: &Row) -> SmallVec<[Path; 2]> {
        let path = |id: &u32| match self.objects.get(id) {
            Some(Object::Path(path)) => Some(*path),
            Some(Object::Group(_)) | None => None,
        };
        match &row.way {
            Way::Nowhere => SmallVec::new(),
            Way::Paths(paths) => paths.iter().copied().collect(),
            Way::Nexthop(id) => match self.objects.get(id) {
                Some(Object::Path(path)) => SmallVec::from_iter([*path]),
                Some(Object::Group(members)) => members.iter().filter_map(path).collect(),
                None => SmallVec::new(),
            },
        }
    }

    fn put(&mut self, key: Key, way: Way) {
        self.number += 1;
        let number = self.number;
        let row = self.rows.entry(key).or_insert(Row {
            way: Way::Nowhere,
            number,
            seen: true,
        });
        (row.way, row.number, row.seen) = (way, number, true);
    }

    fn put_object(&mut self, id: u32, object: Object, concerned: &mut BTreeSet<IpNet>) {
        self.objects.insert(id, object);
        if !self.dumping {
            self.pointing_to(id, concerned);
        }
    }

    fn pointing_to(&self, id: u32, concerned: &mut BTreeSet<IpNet>) {
        let of_group = |(group, object): (&u32, &Object)| match object {
            Object::Group(members) if members.contains(&id) => Some(*group),
            Object::Group(_) | Object::Path(_) => None,
        };
        let mut ids: BTreeSet<u32> = self.objects.iter().filter_map(of_group).collect();
        ids.insert(id);
        let points = |row: &Row| matches!(row.way, Way::Nexthop(id) if ids.contains(&id));
        let rows = self.rows.iter().filter(|(_, row)| points(row));
        concerned.extend(rows.map(|(key, _)| key.prefix));
    }

    /// A route of ours, and not of a stranger with our number: theirs point to objects that are not ours.
    fn ours(&self, route: &KernelRoute) -> Option<(Key, Way)> {
        if route.protocol != self.protocol || route.tos != 0 {
            return None;
        }
        let way = match &route.kind {
            RouteKind::Unicast(RouteVia::Nexthop(id)) => {
                self.objects.contains_key(id).then_some(Way::Nexthop(*id))?
            }
            RouteKind::Unicast(RouteVia::Paths(paths)) => {
                Way::Paths(paths.iter().map(|(path, _)| *path).collect())
            }
            RouteKind::Blackhole
            | RouteKind::Unreachable
            | RouteKind::Prohibit
            | RouteKind::Other => Way::Nowhere,
        };
        Some((key_of(route), way))
    }
}

const fn key_of(route: &KernelRoute) -> Key {
    Key {
        prefix: route.prefix,
        table: route.table,
        metric: route.metric,
    }
}

fn way_of(target: &Target) -> Way {
    match target {
        Target::Nexthop(id) => Way::Nexthop(*id),
        Target::Paths(paths) => Way::Paths(paths.iter().map(|(path, _)| *path).collect()),
        Target::Blackhole | Target::Unreachable | Target::Prohibit => Way::Nowhere,
    }
}
