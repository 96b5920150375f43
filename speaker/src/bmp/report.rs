//! What a station is told, in the order of RFC 7854 §5: who we are, which sessions there are, what their tables have.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Bound;
use std::time::Duration;

use bgp_core::bmp::{self, DownReason, PeerHeader, Rib as Table, Statistic};
use bgp_core::family::PerFamily;
use bgp_core::{Capability, Family, Kind, Open, update};
use bytes::{Bytes, BytesMut};
use rib::{DumpCursor, HeardUpdates, PeerId, Stage};

use super::Link;
use super::feed::{Feed, Seat, Told, Walk};
use crate::Speaker;
use crate::config::Ribs;
use crate::event::ConnId;

/// Changes of Adj-RIBs-In, or places of a walk, that are told at a time.
const BATCH: usize = 1024;

/// Types of statistics (RFC 7854 §4.8, RFC 8671 §6.2).
mod kind {
    pub(super) const ADJ_RIB_IN: u16 = 7;
    pub(super) const LOC_RIB: u16 = 8;
    pub(super) const ADJ_RIB_IN_FAMILY: u16 = 9;
    pub(super) const LOC_RIB_FAMILY: u16 = 10;
    pub(super) const ADJ_RIB_OUT_POST: u16 = 15;
    pub(super) const ADJ_RIB_OUT_POST_FAMILY: u16 = 17;
}

impl Speaker {
    /// The stations' connections on which there is something to say.
    pub(crate) fn ready_stations(&self, out: &mut Vec<ConnId>) {
        let defers = self.defers();
        let feeds = self.stations.list.iter().filter_map(super::Station::feed);
        let ready = feeds.filter(|feed| feed.has_news(&self.rib, defers));
        out.extend(ready.map(|feed| feed.conn));
    }

    /// Takes what there is to say to a station, about `max` octets of it. `None`: `conn` is no station's. True: there
    /// is more.
    pub(crate) fn transmit_station(
        &mut self,
        conn: ConnId,
        max: usize,
        out: &mut Vec<Bytes>,
    ) -> Option<bool> {
        let at = self.stations.of(conn)?;
        let (mut feed, ribs) = self.take_feed(at)?;
        let mut said = Said::default();
        self.greet(at, &mut feed, &mut said);
        if std::mem::take(&mut feed.peers_changed) {
            self.say_downs(&mut feed, &mut said);
            self.say_ups(&mut feed, ribs, &mut said);
        }
        if std::mem::take(&mut feed.counts) {
            self.say_statistics(&feed, &mut said);
        }
        self.say_heard(&mut feed, ribs, max, &mut said);
        if !self.defers() {
            self.say_told(&mut feed, max, &mut said);
        }
        let more = feed.has_news(&self.rib, self.defers());
        if let Some(station) = self.stations.list.get_mut(at) {
            station.link = Link::Up(feed);
            station.messages += said.messages;
            station.octets += said.out.len() as u64;
        }
        if !said.out.is_empty() {
            out.push(said.out.freeze());
        }
        Some(more)
    }

    /// The Peer Downs that are due, before the connection ends.
    pub(super) fn say_goodbye(&mut self, at: usize, out: &mut BytesMut) {
        let Some((mut feed, _)) = self.take_feed(at) else {
            return;
        };
        let mut said = Said::default();
        if feed.greeted {
            self.say_downs(&mut feed, &mut said);
        } else {
            self.greet(at, &mut feed, &mut said);
        }
        out.extend_from_slice(&said.out);
        if let Some(station) = self.stations.list.get_mut(at) {
            station.link = Link::Up(feed);
            station.messages += said.messages;
        }
    }

    fn take_feed(&mut self, at: usize) -> Option<(Box<Feed>, Ribs)> {
        let station = self.stations.list.get_mut(at)?;
        let ribs = station.config.ribs;
        let idle = Link::Waiting(station.since);
        match std::mem::replace(&mut station.link, idle) {
            Link::Up(feed) => Some((feed, ribs)),
            other @ (Link::Waiting(_) | Link::Connecting(_)) => {
                station.link = other;
                None
            }
        }
    }

    fn greet(&self, at: usize, feed: &mut Feed, said: &mut Said) {
        if std::mem::replace(&mut feed.greeted, true) {
            return;
        }
        let name = self.stations.list.get(at);
        let name = name.map_or("", |station| &station.config.system_name);
        let what = concat!("windrose ", env!("CARGO_PKG_VERSION"));
        said.one(|out| bmp::initiation(what, name, out));
    }

    /// Sessions that ended, or of which a station is told no more.
    fn say_downs(&mut self, feed: &mut Feed, said: &mut Said) {
        let now = self.stations.wall_now();
        let mut seats = Vec::new();
        for (id, told) in &mut feed.told {
            let peer = self.peers.get(*id);
            let lives = peer.is_some_and(|peer| {
                peer.is_established() && peer.established_count == told.session
            });
            if !lives {
                told.ended.get_or_insert((DownReason::DeConfigured, now));
                seats.extend(told.out.take().map(|seat| seat.id));
            }
        }
        feed.told.retain(|_, told| {
            let Some((reason, at)) = &told.ended else {
                return true;
            };
            let header = PeerHeader {
                timestamp: *at,
                ..told.header
            };
            said.one(|out| bmp::peer_down(&header, reason, out));
            false
        });
        self.leave_seats(seats);
    }

    /// Sessions that came up; and the Loc-RIB.
    fn say_ups(&mut self, feed: &mut Feed, ribs: Ribs, said: &mut Said) {
        if ribs.loc_rib && feed.loc_rib.is_none() {
            let seat = self.peers.take_seat();
            self.rib.seat_at_loc_rib(seat);
            feed.loc_rib = Some(Seat::new(seat));
            let open = self.open_of_loc_rib();
            let header = self.loc_rib_header(self.stations.wall(self.started));
            let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
            said.one(|out| bmp::peer_up(&header, nowhere, 0, (&open, &open), out));
        }
        for id in self.peers.ids() {
            if feed.told.contains_key(&id) {
                continue;
            }
            let Some(mut told) = self.say_up(id, said) else {
                continue;
            };
            let heard = self.rib.has_heard(id);
            if feed.monitor.is_some() {
                told.end_of_rib = true;
                // What it left from an earlier session is not news to anybody else.
                let covered = feed
                    .walks
                    .iter()
                    .any(|w| w.of.is_none() && w.cursor == DumpCursor::default());
                if (heard.ipv4 || heard.ipv6) && !covered {
                    let cursor = DumpCursor::default();
                    let of = Some(id);
                    feed.walks.push_back(Walk { cursor, of });
                }
            }
            if ribs.adj_rib_out {
                let seat = self.peers.take_seat();
                self.rib.seat_beside(seat, id);
                told.out = Some(Seat::new(seat));
            }
            feed.told.insert(id, told);
        }
    }

    fn say_up(&self, id: PeerId, said: &mut Said) -> Option<Told> {
        let peer = self.peers.get(id)?;
        let session = peer.fsm.session()?;
        let conn = peer.session_conn()?;
        let header = PeerHeader {
            rib: Table::AdjRibInPre,
            address: peer.name.address,
            asn: session.peer_asn,
            identifier: session.identifier,
            two_octet_as: false,
            timestamp: self.stations.wall(peer.since),
        };
        let unknown = match peer.name.address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let local = conn.local.unwrap_or(SocketAddr::new(unknown, 0));
        let opens = (&session.opens.sent[..], &session.opens.received[..]);
        said.one(|out| bmp::peer_up(&header, local, conn.remote_port, opens, out));
        Some(Told {
            header,
            session: peer.established_count,
            families: session.families,
            out: None,
            end_of_rib: false,
            ended: None,
        })
    }

    /// What is new of Adj-RIBs-In, then what was there before.
    fn say_heard(&mut self, feed: &mut Feed, ribs: Ribs, max: usize, said: &mut Said) {
        let Some(monitor) = &feed.monitor else {
            return;
        };
        let stages = ribs.stages();
        let now = self.stations.wall_now();
        let mut updates = Vec::new();
        let mut more = true;
        while more && said.out.len() < max {
            more = self.rib.monitor_next(monitor, BATCH, stages, &mut updates);
            for heard in updates.drain(..) {
                say_updates(&feed.told, &heard, now, said);
            }
        }
        while said.out.len() < max
            && let Some(walk) = feed.walks.front_mut()
        {
            let told = &feed.told;
            let wanted = |id| walk.of.map_or(told.contains_key(&id), |of| of == id);
            let mut cursor = walk.cursor;
            let places = u32::try_from(BATCH).unwrap_or(u32::MAX);
            let more = self
                .rib
                .monitor_walk(&mut cursor, places, stages, wanted, &mut updates);
            walk.cursor = cursor;
            for heard in updates.drain(..) {
                // When it was heard, nobody noted.
                say_updates(told, &heard, Duration::ZERO, said);
            }
            if !more {
                feed.walks.pop_front();
            }
        }
        if feed.walks.is_empty() {
            say_ends(&mut feed.told, ribs, said);
        }
    }

    /// The Loc-RIB, and what peers are told, each in turn.
    fn say_told(&mut self, feed: &mut Feed, max: usize, said: &mut Said) {
        let now = self.stations.wall_now();
        let header = self.loc_rib_header(now);
        if let Some(seat) = &mut feed.loc_rib {
            self.say_seat(seat, header, max, said);
        }
        let first = feed.turn;
        let after = (Bound::Excluded(first), Bound::Unbounded);
        let ids: Vec<_> = feed.told.range(after).map(|(id, _)| *id).collect();
        let before = feed.told.range(..=first).map(|(id, _)| *id);
        for id in ids.into_iter().chain(before.collect::<Vec<_>>()) {
            if said.out.len() >= max {
                break;
            }
            let two_octet_as = self.rib.tells_two_octet_as(id);
            let Some(told) = feed.told.get_mut(&id) else {
                continue;
            };
            let header = PeerHeader {
                rib: Table::AdjRibOutPost,
                two_octet_as,
                timestamp: now,
                ..told.header
            };
            if let Some(seat) = &mut told.out {
                self.say_seat(seat, header, max, said);
                feed.turn = id;
            }
        }
    }

    fn say_seat(&mut self, seat: &mut Seat, mut header: PeerHeader, max: usize, said: &mut Said) {
        if !seat.caught_up {
            header.timestamp = Duration::ZERO;
        }
        let room = max.saturating_sub(said.out.len());
        let mut messages = Vec::new();
        self.rib.transmit(seat.id, room, &mut messages);
        for bytes in messages {
            said.updates(&header, &bytes);
        }
        seat.caught_up |= !self.rib.has_pending(seat.id);
    }

    fn loc_rib_header(&self, timestamp: Duration) -> PeerHeader {
        PeerHeader {
            rib: Table::LocRib,
            address: Ipv4Addr::UNSPECIFIED.into(),
            asn: self.config.router.asn,
            identifier: self.config.router.router_id,
            two_octet_as: false,
            timestamp,
        }
    }

    /// RFC 9069 §4.3: made up, to say how the UPDATEs are to be read.
    fn open_of_loc_rib(&self) -> Bytes {
        let router = &self.config.router;
        let mut capabilities: Vec<_> = Family::ALL
            .into_iter()
            .map(|family| Capability::Multiprotocol(family.into()))
            .collect();
        capabilities.push(Capability::ExtendedMessage);
        capabilities.push(Capability::FourOctetAs(router.asn));
        let open = Open {
            asn: router.asn,
            hold_time: 0,
            identifier: router.router_id,
            capabilities,
        };
        open.encode()
    }

    fn say_statistics(&self, feed: &Feed, said: &mut Said) {
        let now = self.stations.wall_now();
        let both = |counts: PerFamily<u64>| counts.ipv4 + counts.ipv6;
        let gauges = |kind, counts: PerFamily<u64>| {
            let gauge =
                |family: Family| Statistic::FamilyGauge(kind, family.into(), *counts.get(family));
            Family::ALL.map(gauge)
        };
        for (id, told) in &feed.told {
            let counts = self.rib.peer_counts(*id);
            let of = |count: fn(&rib::PeerCounts) -> u32| PerFamily {
                ipv4: u64::from(count(&counts.ipv4)),
                ipv6: u64::from(count(&counts.ipv6)),
            };
            let (heard, said_to) = (of(|c| c.received), of(|c| c.advertised));
            let mut all = vec![Statistic::Gauge(kind::ADJ_RIB_IN, both(heard))];
            all.extend(gauges(kind::ADJ_RIB_IN_FAMILY, heard));
            all.push(Statistic::Gauge(kind::ADJ_RIB_OUT_POST, both(said_to)));
            all.extend(gauges(kind::ADJ_RIB_OUT_POST_FAMILY, said_to));
            let header = PeerHeader {
                timestamp: now,
                ..told.header
            };
            said.one(|out| bmp::statistics(&header, &all, out));
        }
        if feed.loc_rib.is_some() {
            let routes = self.rib.counts().routes;
            let routes = PerFamily {
                ipv4: routes.ipv4 as u64,
                ipv6: routes.ipv6 as u64,
            };
            let mut all = vec![Statistic::Gauge(kind::LOC_RIB, both(routes))];
            all.extend(gauges(kind::LOC_RIB_FAMILY, routes));
            said.one(|out| bmp::statistics(&self.loc_rib_header(now), &all, out));
        }
    }
}

/// What is being said, and how many messages that is.
#[derive(Debug, Default)]
struct Said {
    out: BytesMut,
    messages: u64,
}

impl Said {
    fn one(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.out);
        self.messages += 1;
    }

    /// Each UPDATE of several, in a message of its own.
    fn updates(&mut self, header: &PeerHeader, mut bytes: &[u8]) {
        while let Some([high, low, kind]) = bytes.get(16..19) {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            let Some((message, rest)) = bytes.split_at_checked(len.max(1)) else {
                return;
            };
            if *kind == Kind::Update.number() {
                self.one(|out| bmp::route_monitoring(header, message, out));
            }
            bytes = rest;
        }
    }
}

/// Of peers of which the station knows.
fn say_updates(
    told: &std::collections::BTreeMap<PeerId, Told>,
    heard: &HeardUpdates,
    timestamp: Duration,
    said: &mut Said,
) {
    if let Some(told) = told.get(&heard.peer) {
        let header = PeerHeader {
            rib: table(heard.stage),
            timestamp,
            ..told.header
        };
        said.updates(&header, &heard.updates);
    }
}

/// RFC 7854 §5: after all that there was, End-of-RIB of each table.
fn say_ends(told: &mut std::collections::BTreeMap<PeerId, Told>, ribs: Ribs, said: &mut Said) {
    for told in told.values_mut() {
        if !std::mem::take(&mut told.end_of_rib) {
            continue;
        }
        for (stage, wanted) in [
            (Stage::PrePolicy, ribs.pre_policy),
            (Stage::PostPolicy, ribs.post_policy),
        ] {
            let header = PeerHeader {
                rib: table(stage),
                timestamp: Duration::ZERO,
                ..told.header
            };
            for family in Family::ALL {
                if wanted && *told.families.get(family) {
                    said.updates(&header, &update::end_of_rib(family));
                }
            }
        }
    }
}

const fn table(stage: Stage) -> Table {
    match stage {
        Stage::PrePolicy => Table::AdjRibInPre,
        Stage::PostPolicy => Table::AdjRibInPost,
    }
}
