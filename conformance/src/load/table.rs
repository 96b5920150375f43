//! The routes that are announced: a table like the Internet's, encoded before the clock starts.

mod attributes;

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Result, bail};
use bgp_core::attributes::{AsPath, NextHop, Origin};
use bgp_core::update::{EncodeContext, announce, encode_attributes, end_of_rib, withdraw};
use bgp_core::{Attributes, Family, Ipv4Prefix, Ipv6Prefix, Prefix};
use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;

use super::session::Peer;
use super::wire::key;
use crate::sim::Chance;

/// Sessions have four-octet AS numbers and messages of at most 4096 octets.
const CONTEXT: EncodeContext = EncodeContext {
    four_octet_as: true,
    add_path: false,
    max_message: 4096,
};
/// How many prefixes share an attribute set, each as likely: six on average, most have few.
const GROUPS: [usize; 10] = [1, 1, 1, 1, 2, 2, 3, 4, 8, 37];
/// Lengths of IPv4 prefixes, and how many of a thousand have each.
const LENGTHS_4: [(u8, usize); 10] = [
    (24, 600),
    (23, 100),
    (22, 110),
    (21, 50),
    (20, 50),
    (19, 40),
    (18, 20),
    (17, 10),
    (16, 15),
    (15, 5),
];
/// The same for IPv6.
const LENGTHS_6: [(u8, usize); 13] = [
    (48, 470),
    (47, 30),
    (46, 30),
    (45, 15),
    (44, 90),
    (42, 25),
    (40, 95),
    (38, 15),
    (36, 50),
    (34, 15),
    (33, 15),
    (32, 115),
    (29, 35),
];
/// As many are looked at where all would take too long.
const SOME: usize = 5;
/// Prefixes that may be drawn twice in a row before the space counts as full.
const TRIES: usize = 1_000;

/// Keys of prefixes, and their places.
type Indexes = HashMap<u64, u32, foldhash::fast::FixedState>;

/// What a table looks like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The family of its prefixes.
    pub family: Family,
    /// Prefixes of each sender.
    pub prefixes: usize,
    /// All senders announce the same prefixes, with paths of their own.
    pub overlap: bool,
    /// The paths are internal: no AS of the sender in them, and LOCAL_PREF.
    pub internal: bool,
    /// What the paths are like.
    pub paths: Paths,
    /// Names the table.
    pub seed: u64,
}

/// What is drawn of a path beside its origin.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Paths {
    /// One to four ASes of transit, up to seven communities.
    #[default]
    Plain,
    /// Two ASes of transit for all: paths of several senders are equally good.
    Equal,
    /// More of everything: see `attributes::internet`.
    Internet,
}

/// A table, as each sender announces it.
#[derive(Debug)]
pub struct Table {
    shape: Shape,
    prefixes: Prefixes,
    /// Where the prefixes of each attribute set begin.
    groups: Vec<usize>,
    indexes: Indexes,
    shortest: Vec<u8>,
    senders: Vec<Peer>,
    streams: Vec<Bytes>,
}

#[derive(Debug)]
enum Prefixes {
    V4(Vec<Ipv4Prefix>),
    V6(Vec<Ipv6Prefix>),
}

impl Table {
    /// Draws a table and encodes what each of `senders` says.
    ///
    /// # Errors
    /// There are not as many prefixes as asked for.
    pub fn new(shape: Shape, senders: &[Peer]) -> Result<Self> {
        let shares = if shape.overlap { 1 } else { senders.len() };
        let mut chance = Chance::new(shape.seed);
        let mut indexes = HashMap::default();
        let (prefixes, groups) = match shape.family {
            Family::Ipv4Unicast => {
                let (drawn, groups) =
                    draw(shape.prefixes, shares, &mut chance, &mut indexes, prefix_4)?;
                (Prefixes::V4(drawn), groups)
            }
            Family::Ipv6Unicast => {
                let (drawn, groups) =
                    draw(shape.prefixes, shares, &mut chance, &mut indexes, prefix_6)?;
                (Prefixes::V6(drawn), groups)
            }
        };
        let mut table = Self {
            shape,
            prefixes,
            groups,
            shortest: vec![u8::MAX; shape.prefixes * shares],
            indexes,
            senders: senders.to_vec(),
            streams: Vec::new(),
        };
        for sender in 0..senders.len() {
            let stream = table.encode(sender);
            table.streams.push(stream);
        }
        Ok(table)
    }

    /// How many different prefixes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shortest.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shortest.is_empty()
    }

    /// All that each sender says, End-of-RIB included.
    #[must_use]
    pub fn streams(&self) -> &[Bytes] {
        &self.streams
    }

    /// Some prefixes, the last one among them.
    pub(super) fn some(&self) -> impl Iterator<Item = String> {
        let places = (1..=SOME).map(|part| (self.len() * part / SOME).saturating_sub(1));
        places.filter_map(|place| match &self.prefixes {
            Prefixes::V4(all) => all.get(place).map(Ipv4Prefix::to_string),
            Prefixes::V6(all) => all.get(place).map(Ipv6Prefix::to_string),
        })
    }

    /// `count` IPv4 prefixes, the last one among them.
    pub(super) fn sample(&self, count: usize) -> Vec<Ipv4Prefix> {
        let places = (1..=count).map(|part| (self.len() * part / count).saturating_sub(1));
        match &self.prefixes {
            Prefixes::V4(all) => places.filter_map(|place| all.get(place).copied()).collect(),
            Prefixes::V6(_) => Vec::new(),
        }
    }

    /// The place of a prefix by its key.
    #[inline]
    pub(super) fn index(&self, key: u64) -> Option<usize> {
        self.indexes.get(&key).map(|&index| index as usize)
    }

    /// The length of the shortest AS_PATH that is announced for a prefix.
    #[inline]
    pub(super) fn shortest(&self, index: usize) -> u8 {
        self.shortest.get(index).copied().unwrap_or(u8::MAX)
    }

    /// Who announces a prefix, the first of those who do.
    pub(super) fn sender(&self, index: usize) -> usize {
        if self.shape.overlap {
            0
        } else {
            index / self.shape.prefixes.max(1)
        }
    }

    /// The UPDATE that announces, or withdraws, this prefix alone.
    pub(super) fn change(&self, index: usize, is_up: bool) -> Bytes {
        match &self.prefixes {
            Prefixes::V4(prefixes) => self.change_of(prefixes, index, is_up),
            Prefixes::V6(prefixes) => self.change_of(prefixes, index, is_up),
        }
    }

    fn change_of<P: Prefix>(&self, prefixes: &[P], index: usize, is_up: bool) -> Bytes {
        let mut out = BytesMut::new();
        let one = prefixes.get(index).map(|&prefix| (0, prefix)).into_iter();
        if is_up {
            let group = self.groups.partition_point(|&start| start <= index) - 1;
            self.announce(self.sender(index), group, one, &mut out);
        } else {
            withdraw(one, &CONTEXT, &mut out);
        }
        out.freeze()
    }

    fn encode(&mut self, sender: usize) -> Bytes {
        let mut out = BytesMut::new();
        let first = if self.shape.overlap {
            0
        } else {
            sender * self.shape.prefixes
        };
        let last = first + self.shape.prefixes;
        let from = self.groups.partition_point(|&start| start < first);
        let to = self.groups.partition_point(|&start| start < last);
        for group in from..to {
            let start = self.groups.get(group).copied().unwrap_or(last);
            let end = self.groups.get(group + 1).copied().unwrap_or(last);
            let length = match &self.prefixes {
                Prefixes::V4(all) => self.announce_all(sender, group, all, start..end, &mut out),
                Prefixes::V6(all) => self.announce_all(sender, group, all, start..end, &mut out),
            };
            for shortest in self.shortest.get_mut(start..end).into_iter().flatten() {
                *shortest = length.min(*shortest);
            }
        }
        out.extend_from_slice(&end_of_rib(self.shape.family));
        out.freeze()
    }

    fn announce_all<P: Prefix>(
        &self,
        sender: usize,
        group: usize,
        prefixes: &[P],
        which: std::ops::Range<usize>,
        out: &mut BytesMut,
    ) -> u8 {
        let some = prefixes.get(which).unwrap_or_default();
        self.announce(sender, group, some.iter().map(|&prefix| (0, prefix)), out)
    }

    /// Announces prefixes of a group; returns the length of the AS_PATH.
    fn announce<P: Prefix>(
        &self,
        sender: usize,
        group: usize,
        prefixes: impl Iterator<Item = (u32, P)>,
        out: &mut BytesMut,
    ) -> u8 {
        let attributes = self.attributes(sender, group);
        let mut block = Vec::new();
        encode_attributes(&attributes, true, &mut block);
        // The attributes are short: any prefix fits.
        let _ = announce(&block, attributes.next_hop, prefixes, &CONTEXT, out);
        u8::try_from(attributes.as_path.len_for_decision()).unwrap_or(u8::MAX)
    }

    /// What a sender says about a group: the origin is the group's, the way to it the sender's.
    fn attributes(&self, sender: usize, group: usize) -> Attributes {
        let name = self.shape.seed ^ (group as u64) << 20;
        let mut origins = Chance::new(name);
        let mut way = Chance::new(name ^ (1 + sender as u64));
        let peer = self.senders.get(sender).copied().unwrap_or_default();
        let own = (!self.shape.internal).then_some(peer.asn);
        let next_hop = match self.shape.family {
            Family::Ipv4Unicast => NextHop::V4(peer.address),
            Family::Ipv6Unicast => NextHop::V6(peer.address_6()),
        };
        let mut attributes = match self.shape.paths {
            Paths::Plain => attributes::plain(own, next_hop, None, &mut way, &mut origins),
            Paths::Equal => attributes::plain(own, next_hop, Some(2), &mut way, &mut origins),
            Paths::Internet => attributes::internet(own, next_hop, &mut way, &mut origins),
        };
        attributes.local_pref = self.shape.internal.then_some(100);
        attributes
    }
}

/// What a peer says that is no part of a load: so many prefixes of 10.128.0.0/9, where no table has any.
pub(super) fn strange(peer: Peer, place: usize, count: usize) -> Bytes {
    let first = u32::from(Ipv4Addr::new(10, 128, 0, 0)) + u32::try_from(place << 18).unwrap_or(0);
    let prefixes = (0..u32::try_from(count).unwrap_or(0))
        .filter_map(|n| Ipv4Prefix::new(Ipv4Addr::from(first + (n << 8)), 24));
    let path = AsPath::sequence([peer.asn]);
    let attributes = Attributes::new(Origin::Igp, path, NextHop::V4(peer.address));
    let mut block = Vec::new();
    encode_attributes(&attributes, true, &mut block);
    let mut out = BytesMut::new();
    // The attributes are short: any prefix fits.
    let prefixes = prefixes.map(|prefix| (0, prefix));
    let _ = announce(&block, attributes.next_hop, prefixes, &CONTEXT, &mut out);
    out.freeze()
}

/// Draws `count` prefixes for each of `shares`, group by group, the prefixes of a group side by side.
fn draw<P: Prefix>(
    count: usize,
    shares: usize,
    chance: &mut Chance,
    indexes: &mut Indexes,
    one: fn(&mut Chance, Option<P>) -> Option<P>,
) -> Result<(Vec<P>, Vec<usize>)> {
    let (mut prefixes, mut groups) = (Vec::with_capacity(count * shares), Vec::new());
    for share in 1..=shares {
        while prefixes.len() < count * share {
            groups.push(prefixes.len());
            let size = chance.pick(&GROUPS).unwrap_or(1);
            let end = (prefixes.len() + size).min(count * share);
            let (mut last, mut tries) = (None, 0);
            while prefixes.len() < end {
                tries += 1;
                if tries > TRIES {
                    bail!("only {} different prefixes", prefixes.len());
                }
                last = one(chance, last);
                let Some(prefix) = last else { continue };
                let index = u32::try_from(prefixes.len())?;
                let entry = indexes.entry(key(prefix.octets(), prefix.len()));
                if let hashbrown::hash_map::Entry::Vacant(vacant) = entry {
                    vacant.insert(index);
                    prefixes.push(prefix);
                }
            }
        }
    }
    Ok((prefixes, groups))
}

/// The next prefix behind `last`, or one anywhere in unicast space. Never one of 10.0.0.0/8, where the
/// peers are, or of loopback.
fn prefix_4(chance: &mut Chance, last: Option<Ipv4Prefix>) -> Option<Ipv4Prefix> {
    let length = length(&LENGTHS_4, chance);
    let address = match last {
        Some(last) => {
            u32::from(last.addr()).wrapping_add(1 << (32 - last.len().min(length))) & mask(length)
        }
        None => u32::try_from(chance.below(1 << 31)).unwrap_or(0) << 1,
    };
    let [first, ..] = address.to_be_bytes();
    let is_unicast = matches!(first, 1..=9 | 11..=126 | 128..=223);
    is_unicast.then(|| Ipv4Prefix::new(Ipv4Addr::from(address), length))?
}

/// The same in 2000::/3.
fn prefix_6(chance: &mut Chance, last: Option<Ipv6Prefix>) -> Option<Ipv6Prefix> {
    let length = length(&LENGTHS_6, chance);
    let address = match last {
        Some(last) => {
            u128::from(last.addr()).wrapping_add(1 << (128 - u32::from(last.len().min(length))))
        }
        None => {
            (1 << 125)
                | (chance.below(1 << 28) as u128) << 97
                | (chance.below(1 << 16) as u128) << 80
        }
    };
    let is_unicast = address >> 125 == 1 && address >> 96 != 0x2001_0db8;
    is_unicast.then(|| Ipv6Prefix::new(Ipv6Addr::from(address), length))?
}

fn mask(length: u8) -> u32 {
    u32::MAX << (32 - u32::from(length))
}

fn length<const N: usize>(mix: &[(u8, usize); N], chance: &mut Chance) -> u8 {
    let mut left = chance.below(1_000);
    for &(length, share) in mix {
        match left.checked_sub(share) {
            Some(rest) => left = rest,
            None => return length,
        }
    }
    0
}

#[cfg(test)]
mod tests;
