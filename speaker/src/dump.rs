//! A dump of the table in MRT (RFC 6396), made in pieces while BGP goes on.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bgp_core::Prefix;
use bgp_core::mrt::{self, RibEntry, TablePeer};
use bytes::BytesMut;
use rib::{DumpCursor, DumpPath, DumpSink, PeerId};

use crate::Speaker;

/// A dump that is being made. It holds nothing of the speaker: whoever is slow, or stops, costs nothing.
#[derive(Debug)]
pub struct TableDump {
    cursor: DumpCursor,
    /// The wall clock when it began, since 1970.
    now: Duration,
    sequence: u32,
    /// Peers, each with its place in PEER_INDEX_TABLE and since when its session is up.
    peers: BTreeMap<PeerId, Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    index: u16,
    since: Option<Instant>,
    /// Since 1970.
    originated: u32,
}

impl Speaker {
    /// Begins a dump: writes PEER_INDEX_TABLE. `wall` is what the clock on the wall says at `now`, since 1970.
    pub fn dump_begin(&self, now: Instant, wall: Duration, out: &mut BytesMut) -> TableDump {
        let router = &self.config.router;
        // Routes of our own are those of the first entry.
        let mut table = vec![TablePeer {
            identifier: router.router_id,
            address: Ipv4Addr::UNSPECIFIED.into(),
            asn: router.asn,
        }];
        let mut peers = BTreeMap::new();
        for peer in self.peers.iter() {
            let Some(session) = peer.fsm.session() else {
                continue;
            };
            let Ok(index) = u16::try_from(table.len()) else {
                break;
            };
            table.push(TablePeer {
                identifier: session.identifier,
                address: peer.name.address,
                asn: session.peer_asn,
            });
            let place = Place {
                index,
                since: Some(peer.since),
                originated: seconds(wall, now, peer.since),
            };
            peers.insert(peer.id, place);
        }
        mrt::peer_index_table(wall, router.router_id, "", &table, out);
        TableDump {
            cursor: DumpCursor::default(),
            now: wall,
            sequence: 0,
            peers,
        }
    }

    /// Goes on with a dump over at most `max` prefixes, and appends their records. False: that was the end.
    /// Routes of a session that came up after the beginning are left out.
    pub fn dump_next(&self, dump: &mut TableDump, max: u32, out: &mut BytesMut) -> bool {
        let mut cursor = dump.cursor;
        let mut writer = Writer {
            speaker: self,
            dump,
            out,
        };
        let more = self.rib.dump(&mut cursor, max, &mut writer);
        dump.cursor = cursor;
        more
    }

    /// Where a path's source stands in PEER_INDEX_TABLE. `None`: it is not there.
    fn place(&self, dump: &TableDump, id: PeerId) -> Option<Place> {
        match self.peers.get(id) {
            None => Some(Place {
                index: 0,
                since: None,
                originated: 0,
            })
            .filter(|_| !dump.peers.contains_key(&id)),
            Some(peer) => {
                let place = dump.peers.get(&id)?;
                (place.since == Some(peer.since)).then_some(*place)
            }
        }
    }
}

struct Writer<'a> {
    speaker: &'a Speaker,
    dump: &'a mut TableDump,
    out: &'a mut BytesMut,
}

impl DumpSink for Writer<'_> {
    fn net<P: Prefix>(&mut self, prefix: P, paths: &[DumpPath<'_>]) {
        let started = u32::try_from(self.dump.now.as_secs()).unwrap_or(u32::MAX);
        let (mut plain, mut add_path) = (Vec::new(), Vec::new());
        for path in paths {
            let Some(place) = self.speaker.place(self.dump, path.peer) else {
                continue;
            };
            let own = place.since.is_none();
            let entry = RibEntry {
                peer: place.index,
                originated: if own { started } else { place.originated },
                path_id: path.path_id,
                block: path.block,
                next_hop: path.next_hop,
            };
            if path.path_id == 0 || own {
                plain.push(entry);
            } else {
                add_path.push(entry);
            }
        }
        for (entries, is_add_path) in [(plain, false), (add_path, true)] {
            if entries.is_empty() {
                continue;
            }
            let sequence = self.dump.sequence;
            mrt::rib(
                self.dump.now,
                sequence,
                prefix,
                is_add_path,
                &entries,
                self.out,
            );
            self.dump.sequence = sequence.wrapping_add(1);
        }
    }
}

/// What the wall clock said at `then`, in seconds.
fn seconds(wall: Duration, now: Instant, then: Instant) -> u32 {
    let ago = now.saturating_duration_since(then);
    u32::try_from(wall.saturating_sub(ago).as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
