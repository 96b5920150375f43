//! Which way the kernel sends what is for the routes of a failover, as its notifications tell: routes, nexthop
//! objects, and groups of these.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use hashbrown::HashMap;

/// Types of messages (linux/rtnetlink.h).
const NEW_ROUTE: u16 = 24;
const DEL_ROUTE: u16 = 25;
const NEW_NEXTHOP: u16 = 104;
const DEL_NEXTHOP: u16 = 105;
/// Octets of `nlmsghdr`, `rtmsg`, `nhmsg` and `rtnexthop`, and of a member of a group.
const HEADER: usize = 16;
const ROUTE: usize = 12;
const NEXTHOP: usize = 8;
const WAY: usize = 8;
const MEMBER: usize = 8;
/// Attributes of routes,
const RTA_DST: u16 = 1;
const RTA_GATEWAY: u16 = 5;
const RTA_MULTIPATH: u16 = 9;
const RTA_NH_ID: u16 = 30;
/// and of nexthop objects.
const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_GATEWAY: u16 = 6;
/// What a type has besides (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
const TYPE: u16 = 0x3fff;
/// Routes whose first octet is less are not of the failover, nor those whose first octet is not below the second.
const FIRST_OCTETS: std::ops::Range<u8> = 20..30;

/// Through which of two gateways something goes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Ways {
    left: bool,
    right: bool,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Gateways(Ways),
    Object(u32),
}

#[derive(Debug, Default)]
struct Object {
    ways: Ways,
    members: Vec<u32>,
}

/// The routes as they were told. See the module.
#[derive(Debug)]
pub(super) struct Forwarding {
    left: Ipv4Addr,
    right: Ipv4Addr,
    routes: HashMap<u32, Target, foldhash::fast::FixedState>,
    /// How many go by a gateway that they name themselves.
    direct: (usize, usize),
    objects: BTreeMap<u32, Object>,
    /// How many point to an object.
    users: BTreeMap<u32, usize>,
}

impl Forwarding {
    /// No routes yet, and two gateways that matter.
    pub(super) fn new(left: Ipv4Addr, right: Ipv4Addr) -> Self {
        Self {
            left,
            right,
            routes: HashMap::default(),
            direct: (0, 0),
            objects: BTreeMap::new(),
            users: BTreeMap::new(),
        }
    }

    /// How many routes go by the left gateway, and how many by the right one.
    pub(super) fn split(&self) -> (usize, usize) {
        let (mut left, mut right) = self.direct;
        for (id, users) in &self.users {
            let ways = self.ways(*id);
            left += if ways.left { *users } else { 0 };
            right += if ways.right { *users } else { 0 };
        }
        (left, right)
    }

    /// Takes what one read from the kernel's socket gave.
    pub(super) fn take(&mut self, mut octets: &[u8]) {
        while let Some((kind, body, rest)) = message(octets) {
            match kind {
                NEW_ROUTE | DEL_ROUTE => self.route(kind == NEW_ROUTE, body),
                NEW_NEXTHOP | DEL_NEXTHOP => self.nexthop(kind == NEW_NEXTHOP, body),
                _ => {}
            }
            octets = rest;
        }
    }

    fn route(&mut self, is_there: bool, body: &[u8]) {
        let (mut prefix, mut ways, mut object) = (None, Ways::default(), None);
        for (kind, value) in attributes(body.get(ROUTE..).unwrap_or_default()) {
            match kind {
                RTA_DST => prefix = address(value),
                RTA_GATEWAY => self.mark(value, &mut ways),
                RTA_MULTIPATH => self.several(value, &mut ways),
                RTA_NH_ID => object = number(value),
                _ => {}
            }
        }
        let prefix = prefix.filter(|prefix| FIRST_OCTETS.contains(&prefix.octets()[0]));
        let Some(prefix) = prefix.map(u32::from) else {
            return;
        };
        let target = object.map_or(Target::Gateways(ways), Target::Object);
        let former = if is_there {
            self.routes.insert(prefix, target)
        } else {
            self.routes.remove(&prefix)
        };
        if let Some(former) = former {
            self.count(former, |count| *count = count.saturating_sub(1));
        }
        if is_there {
            self.count(target, |count| *count += 1);
        }
    }

    fn count(&mut self, target: Target, change: fn(&mut usize)) {
        match target {
            Target::Gateways(ways) => {
                if ways.left {
                    change(&mut self.direct.0);
                }
                if ways.right {
                    change(&mut self.direct.1);
                }
            }
            Target::Object(id) => change(self.users.entry(id).or_default()),
        }
    }

    fn nexthop(&mut self, is_there: bool, body: &[u8]) {
        let (mut id, mut object) = (None, Object::default());
        for (kind, value) in attributes(body.get(NEXTHOP..).unwrap_or_default()) {
            match kind {
                NHA_ID => id = number(value),
                NHA_GROUP => {
                    let members = value.chunks_exact(MEMBER);
                    object.members = members.filter_map(number).collect();
                }
                NHA_GATEWAY => self.mark(value, &mut object.ways),
                _ => {}
            }
        }
        match id {
            Some(id) if is_there => drop(self.objects.insert(id, object)),
            Some(id) => drop(self.objects.remove(&id)),
            None => {}
        }
    }

    fn ways(&self, id: u32) -> Ways {
        let Some(object) = self.objects.get(&id) else {
            return Ways::default();
        };
        let members = object.members.iter().filter_map(|id| self.objects.get(id));
        members.fold(object.ways, |ways, member| Ways {
            left: ways.left || member.ways.left,
            right: ways.right || member.ways.right,
        })
    }

    fn mark(&self, gateway: &[u8], ways: &mut Ways) {
        let gateway = address(gateway);
        ways.left |= gateway == Some(self.left);
        ways.right |= gateway == Some(self.right);
    }

    fn several(&self, mut octets: &[u8], ways: &mut Ways) {
        while let Some((length, _)) = short(octets) {
            let length = usize::from(length).max(WAY);
            let nested = octets.get(WAY..length).unwrap_or_default();
            for (kind, value) in attributes(nested) {
                if kind == RTA_GATEWAY {
                    self.mark(value, ways);
                }
            }
            octets = octets.get(aligned(length)..).unwrap_or_default();
        }
    }
}

/// The next message: its type, its body, and what follows.
fn message(octets: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(number(octets)?).ok()?.max(HEADER);
    let (kind, _) = short(octets.get(4..)?)?;
    let body = octets.get(HEADER..length)?;
    Some((
        kind,
        body,
        octets.get(aligned(length)..).unwrap_or_default(),
    ))
}

/// Types and values.
fn attributes(mut octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (length, rest) = short(octets)?;
        let (kind, _) = short(rest)?;
        let length = usize::from(length).max(4);
        let value = octets.get(4..length)?;
        octets = octets.get(aligned(length)..).unwrap_or_default();
        Some((kind & TYPE, value))
    })
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn short(octets: &[u8]) -> Option<(u16, &[u8])> {
    let (two, rest) = octets.split_first_chunk()?;
    Some((u16::from_ne_bytes(*two), rest))
}

fn number(octets: &[u8]) -> Option<u32> {
    octets.first_chunk().map(|four| u32::from_ne_bytes(*four))
}

fn address(octets: &[u8]) -> Option<Ipv4Addr> {
    let four: &[u8; 4] = octets.first_chunk()?;
    Some(Ipv4Addr::from(*four))
}

#[cfg(test)]
mod tests;
