//! A monitoring station in the model's world: whatever happens, its picture is what the tables have.

use super::*;
use crate::DumpCursor;
use crate::monitor::{HeardUpdates, Monitor, Stage, Stages};

const ALL: Stages = Stages {
    pre: true,
    post: true,
};
/// Seats are numbers that no peer has.
const SEATS: u32 = 200;
const LOC_RIB: u32 = 300;

/// Its connection, and what it has made of what it was told.
#[derive(Debug)]
pub(super) struct Station {
    monitor: Monitor,
    walks: Vec<(DumpCursor, Option<u32>)>,
    pub(super) heard: BTreeMap<(u32, Stage), Listener>,
    pub(super) seats: BTreeMap<u32, Listener>,
    pub(super) loc_rib: Listener,
}

impl Station {
    /// It connects: all there is, of these peers, is to be told. With each comes whether it is told Path Identifiers.
    pub(super) fn connect(rib: &mut Rib, peers: impl Iterator<Item = (u32, Listener)>) -> Self {
        rib.seat_at_loc_rib(PeerId(LOC_RIB));
        let mut station = Self {
            monitor: rib.monitor(),
            walks: vec![(DumpCursor::default(), None)],
            heard: BTreeMap::new(),
            seats: BTreeMap::new(),
            loc_rib: Listener::default(),
        };
        for (peer, listener) in peers {
            station.up(rib, peer, &listener);
        }
        station
    }

    pub(super) fn disconnect(self, rib: &mut Rib) {
        rib.unmonitor(self.monitor);
        rib.leave_seat(PeerId(LOC_RIB));
        for peer in self.seats.keys() {
            rib.leave_seat(PeerId(SEATS + peer));
        }
    }

    /// A session came up.
    pub(super) fn up(&mut self, rib: &mut Rib, peer: u32, listener: &Listener) {
        rib.seat_beside(PeerId(SEATS + peer), PeerId(peer));
        let fresh = Listener {
            external: listener.external,
            add_path: listener.add_path,
            ..Listener::default()
        };
        self.seats.insert(peer, fresh);
        for stage in [Stage::PrePolicy, Stage::PostPolicy] {
            self.heard.insert((peer, stage), Listener::default());
        }
        let heard = rib.has_heard(PeerId(peer));
        if heard.ipv4 || heard.ipv6 {
            self.walks.push((DumpCursor::default(), Some(peer)));
        }
    }

    /// A session is about to end.
    pub(super) fn down(&mut self, rib: &mut Rib, peer: u32) {
        rib.leave_seat(PeerId(SEATS + peer));
        self.seats.remove(&peer);
        self.heard.retain(|(of, _), _| *of != peer);
        self.walks.retain(|(_, of)| *of != Some(peer));
    }

    /// Reads a little. False: it lost some, and must connect again.
    pub(super) fn read(&mut self, rib: &mut Rib) -> bool {
        if rib.monitor_has_lost(&self.monitor) {
            return false;
        }
        let mut updates = Vec::new();
        rib.monitor_next(&self.monitor, 2, ALL, &mut updates);
        if let Some((mut cursor, of)) = self.walks.pop() {
            let wanted = |peer: PeerId| of.is_none_or(|of| of == peer.0);
            if rib.monitor_walk(&mut cursor, 3, ALL, wanted, &mut updates) {
                self.walks.push((cursor, of));
            }
        }
        for HeardUpdates {
            peer,
            stage,
            updates,
        } in updates
        {
            if let Some(listener) = self.heard.get_mut(&(peer.0, stage)) {
                listener.hear(&[updates]);
            }
        }
        let mut out = Vec::new();
        rib.transmit(PeerId(LOC_RIB), 1, &mut out);
        self.loc_rib.hear(&out);
        for (peer, listener) in &mut self.seats {
            let mut out = Vec::new();
            rib.transmit(PeerId(SEATS + peer), 1, &mut out);
            listener.hear(&out);
        }
        true
    }

    pub(super) fn is_done(&self, rib: &Rib) -> bool {
        let mut seats = self.seats.keys().map(|peer| SEATS + peer);
        self.walks.is_empty()
            && !rib.monitor_has_news(&self.monitor)
            && !rib.has_pending(PeerId(LOC_RIB))
            && !seats.any(|seat| rib.has_pending(PeerId(seat)))
    }
}

#[test]
fn nothing_is_logged_while_nobody_follows_and_no_more_than_the_bound_while_somebody_is_slow() {
    let (mut rib, _) = pair(Sort::External, Sort::External);
    let announce = |rib: &mut Rib, n: u32| {
        let prefix = format!("10.{}.0.0/16", n % 200);
        let body = update(&prefix, Some(&route([65000, 65100 + n])));
        rib.receive(PeerId(0), &body).unwrap();
    };
    announce(&mut rib, 0);
    assert!(rib.ipv4.heard.is_none());
    let (slow, quick) = (rib.monitor(), rib.monitor());
    assert!(!rib.monitor_has_news(&slow));
    let mut updates = Vec::new();
    for n in 1..=u32::try_from(crate::HEARD_MAX).unwrap() {
        announce(&mut rib, n);
        rib.monitor_next(&quick, 1, ALL, &mut updates);
    }
    assert!(rib.monitor_has_news(&slow) && !rib.monitor_has_lost(&slow));
    announce(&mut rib, 100);
    assert!(rib.monitor_has_lost(&slow) && !rib.monitor_has_lost(&quick));
    rib.unmonitor(slow);
    rib.monitor_next(&quick, 1, ALL, &mut updates);
    assert!(!rib.monitor_has_news(&quick));
    rib.unmonitor(quick);
    assert!(rib.ipv4.heard.is_none() && rib.ipv6.heard.is_none());
}

#[test]
fn a_station_that_is_behind_shows_it() {
    let (mut rib, _) = pair(Sort::External, Sort::External);
    let seat = PeerId(SEATS);
    rib.seat_at_loc_rib(seat);
    rib.transmit(seat, usize::MAX, &mut Vec::new());
    assert_eq!(rib.behind(seat), 0);
    for n in 0..5 {
        let body = update(&format!("10.{n}.0.0/16"), Some(&route([65000])));
        rib.receive(PeerId(0), &body).unwrap();
    }
    assert_eq!(rib.behind(seat), 5);
    rib.transmit(seat, usize::MAX, &mut Vec::new());
    assert_eq!(rib.behind(seat), 0);
    assert!(!rib.has_pending(seat));
}

#[test]
fn the_loc_rib_has_what_no_peer_is_told_and_what_is_too_large_for_most() {
    let (mut rib, mut peer) = pair(Sort::External, Sort::External);
    let mut large = session(2, Sort::External);
    large.max_message = 65535;
    rib.peer_up(PeerId(2), large);
    rib.seat_at_loc_rib(PeerId(LOC_RIB));
    let mut secret = route([65000]);
    secret.communities.push(Community::NO_ADVERTISE);
    rib.receive(PeerId(0), &update("10.1.0.0/16", Some(&secret)))
        .unwrap();
    let many = route([65000]);
    let many = Attributes {
        communities: (0..2000).map(Community).collect(),
        ..many
    };
    let mut block = Vec::new();
    encode_attributes(&many, true, &mut block);
    let mut out = BytesMut::new();
    let context = EncodeContext {
        max_message: 65535,
        ..CONTEXT
    };
    let prefix = Ipv4Prefix::from_net("10.2.0.0/16".parse().unwrap()).unwrap();
    announce(
        &block,
        many.next_hop,
        std::iter::once((0, prefix)),
        &context,
        &mut out,
    )
    .unwrap();
    rib.receive(PeerId(2), &bodies(&out)[0]).unwrap();
    let mut station = Listener::default();
    drain(&mut rib, LOC_RIB, &mut station);
    drain(&mut rib, 1, &mut peer);
    assert!(peer.routes.is_empty());
    assert_eq!(station.routes.len(), 2);
    assert_eq!(station.routes[&"10.1.0.0/16".parse().unwrap()], secret);
    assert_eq!(station.routes[&"10.2.0.0/16".parse().unwrap()], many);
    assert_eq!(station.end_of_rib, Family::ALL);
}
