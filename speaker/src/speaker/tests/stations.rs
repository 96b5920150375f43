//! Monitoring stations: what they are told in which order, how they are called, and what a slow one costs.

use bgp_core::bmp::{Down, Message, PeerHeader, Rib, Statistic, next_message};
use bgp_core::{Open, next_frame};
use bytes::Bytes;

use super::*;
use crate::Notice;
use crate::bmp::STUCK_MAX;
use crate::command::PeerCommand;
use crate::config::{Ribs, Station};

const RETRY: Duration = Duration::from_secs(30);
const ROUTE: &str = "203.0.113.0/24";

fn station() -> Station {
    Station {
        address: "192.0.2.200:11019".parse().unwrap(),
        local_address: None,
        system_name: "gw1".to_owned(),
        ribs: Ribs {
            pre_policy: true,
            post_policy: true,
            adj_rib_out: true,
            loc_rib: true,
        },
        statistics: Some(Duration::from_secs(60)),
        connect_retry: RETRY,
        connect_retry_max: RETRY * 4,
    }
}

/// A message in short: what it is, of which table.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Said {
    Initiation,
    Up(PeerHeader),
    Down(PeerHeader, u8),
    Update(PeerHeader),
    EndOfRib(Rib),
    Statistics(Rib, Vec<Statistic>),
    Termination(Vec<u8>),
}

fn in_short(message: &Message<'_>) -> Said {
    match message {
        Message::Initiation(_) => Said::Initiation,
        Message::Termination(tlvs) => Said::Termination(tlvs[0].value.to_vec()),
        Message::PeerUp { peer, .. } => Said::Up(*peer),
        Message::PeerDown { peer, reason } => Said::Down(
            *peer,
            match reason {
                Down::LocalNotification(_) => 1,
                Down::LocalEvent(_) => 2,
                Down::RemoteNotification(_) => 3,
                Down::Remote => 4,
                Down::DeConfigured => 5,
                Down::LocRib(_) => 6,
            },
        ),
        Message::RouteMonitoring { peer, update } => {
            let len = update.len();
            if len == 23 || len == 30 {
                Said::EndOfRib(peer.rib)
            } else {
                Said::Update(*peer)
            }
        }
        Message::Statistics { peer, statistics } => Said::Statistics(peer.rib, statistics.clone()),
        Message::RouteMirroring { .. } => panic!("{message:?}"),
    }
}

fn messages(bytes: &[u8]) -> Vec<&[u8]> {
    let mut rest = bytes;
    let mut all = Vec::new();
    while let Some(len) = next_message(rest).unwrap() {
        let (message, after) = rest.split_at(len);
        all.push(message);
        rest = after;
    }
    assert!(rest.is_empty());
    all
}

impl Net {
    /// A pair, of which 0 has a station, and 1 a route to tell.
    fn watched() -> Self {
        let (mut ours, mut theirs) = (config(0, &[1]), config(1, &[0]));
        ours.stations = vec![station()];
        theirs.originate.push(originate(ROUTE));
        let mut net = Self::new(vec![ours, theirs]);
        let (now, wall) = (net.now, Duration::from_secs(1_700_000_000));
        net.speakers[0].set_clock(now, wall);
        net
    }

    /// The station takes the call.
    fn connect(&mut self) -> ConnId {
        let calls = self.calls();
        let conn = *calls.last().unwrap();
        let local = SocketAddr::new(address(0), 50_000);
        self.with(0, |s, now, out| {
            s.handle(now, Event::Connected { conn, local }, out)
        });
        conn
    }

    /// Connections that were asked for and refused, of which only the station's are.
    fn calls(&self) -> Vec<ConnId> {
        self.station_calls.clone()
    }

    /// All that there is to say to the station now.
    fn read(&mut self, conn: ConnId) -> Vec<Said> {
        let bytes = self.read_bytes(conn);
        let read = messages(&bytes);
        let read = read.iter().map(|m| in_short(&Message::decode(m).unwrap()));
        read.collect()
    }

    fn read_bytes(&mut self, conn: ConnId) -> Vec<u8> {
        let mut all: Vec<Bytes> = Vec::new();
        loop {
            let mut ready = Vec::new();
            self.speakers[0].ready(&mut ready);
            if !ready.contains(&conn) {
                break;
            }
            self.speakers[0].transmit(conn, 4096, &mut all);
        }
        all.concat()
    }

    fn stations(&self) -> crate::view::StationView {
        self.speakers[0].stations().remove(0)
    }
}

fn ups(said: &[Said]) -> usize {
    let ups = said.iter().filter(|said| matches!(said, Said::Up(_)));
    ups.count()
}

#[test]
fn rfc7854_5_a_station_hears_who_we_are_then_sessions_then_tables_and_end_of_rib() {
    let mut net = Net::watched();
    net.run(10);
    net.assert_up(0, 1);
    let conn = net.connect();
    let bytes = net.read_bytes(conn);
    let read = messages(&bytes);
    let said: Vec<_> = read
        .iter()
        .map(|m| in_short(&Message::decode(m).unwrap()))
        .collect();
    assert_eq!(said[0], Said::Initiation);
    let Message::PeerUp { peer: loc_rib, .. } = Message::decode(read[1]).unwrap() else {
        panic!("{said:?}");
    };
    assert_eq!((loc_rib.rib, loc_rib.asn), (Rib::LocRib, 65001));
    let Message::PeerUp { peer, up } = Message::decode(read[2]).unwrap() else {
        panic!("{said:?}");
    };
    assert_eq!((peer.address, peer.asn), (address(1), 65002));
    assert!(peer.timestamp >= Duration::from_secs(1_700_000_000));
    let open = |message| Open::decode(next_frame(message, 4096).unwrap().unwrap().body).unwrap();
    let (sent, received) = (open(up.sent), open(up.received));
    assert_eq!((sent.asn, received.asn), (65001, 65002));
    assert_eq!(IpAddr::V4(received.identifier), address(1));
    assert_eq!(ups(&said), 2);
    let place = |wanted: &dyn Fn(&Said) -> bool| said.iter().position(wanted);
    for rib in [
        Rib::AdjRibInPre,
        Rib::AdjRibInPost,
        Rib::AdjRibOutPost,
        Rib::LocRib,
    ] {
        let end = place(&|s| *s == Said::EndOfRib(rib)).unwrap();
        let route = place(&|s| matches!(s, Said::Update(h) if h.rib == rib));
        // There is nothing to tell the peer: it is its own route.
        assert_eq!(route.is_none(), rib == Rib::AdjRibOutPost, "{rib:?}");
        assert!(route.is_none_or(|route| route < end), "{rib:?}");
    }
    assert!(net.read(conn).is_empty());
    let view = net.stations();
    assert!(view.up && view.peers == 1 && view.connected == 1);
    assert_eq!(view.messages, said.len() as u64);
    assert_eq!(view.octets, bytes.len() as u64);
}

#[test]
fn what_changes_is_told_with_its_time_and_withdrawn_with_its_end() {
    let mut net = Net::watched();
    net.run(10);
    let conn = net.connect();
    net.read(conn);
    net.run(5);
    let mut theirs = config(1, &[0]);
    theirs.originate.push(originate("198.51.100.0/24"));
    net.configure(1, theirs);
    net.run(1);
    let said = net.read(conn);
    let updates = said.iter().filter_map(|said| match said {
        Said::Update(header) => Some((header.rib, header.timestamp > Duration::ZERO)),
        _ => None,
    });
    // An announcement and a withdrawal for each table that has the peer's routes.
    let updates: Vec<_> = updates.collect();
    for rib in [Rib::AdjRibInPre, Rib::AdjRibInPost, Rib::LocRib] {
        let of = updates.iter().filter(|(of, timed)| *of == rib && *timed);
        assert_eq!(of.count(), 2, "{rib:?} of {updates:?}");
    }
}

#[test]
fn rfc7854_4_9_a_session_that_ends_is_told_with_the_reason() {
    let mut net = Net::watched();
    net.run(10);
    let conn = net.connect();
    net.read(conn);
    let order = |net: &mut Net, host, command| {
        let to = name(1 - host);
        net.with(host, |s, now, out| s.peer_command(now, &to, command, out))
            .unwrap();
        net.settle();
    };
    let reason = |said: &[Said]| match said {
        [Said::Down(header, reason), ..] => {
            assert_eq!(header.address, address(1));
            *reason
        }
        other => panic!("{other:?}"),
    };
    order(&mut net, 0, PeerCommand::Reset(None));
    assert_eq!(reason(&net.read(conn)), 1);
    net.run(30);
    assert_eq!(ups(&net.read(conn)), 1);
    order(&mut net, 1, PeerCommand::Reset(None));
    assert_eq!(reason(&net.read(conn)), 3);
    net.run(30);
    assert_eq!(ups(&net.read(conn)), 1);
    // The connection goes without a word.
    let lost = net.speakers[0].peers.iter().next().unwrap().session_conn();
    let conn_of_peer = lost.unwrap().id;
    net.with(0, |s, now, out| {
        s.handle(now, Event::Closed { conn: conn_of_peer }, out)
    });
    assert_eq!(reason(&net.read(conn)), 4);
    net.run(120);
    assert_eq!(ups(&net.read(conn)), 1);
    // While the station reads nothing, ups and downs become one.
    for _ in 0..5 {
        order(&mut net, 0, PeerCommand::Reset(None));
        net.run(30);
    }
    let said = net.read(conn);
    assert_eq!(reason(&said), 1);
    let downs = said.iter().filter(|s| matches!(s, Said::Down(..)));
    assert_eq!((downs.count(), ups(&said)), (1, 1));
    net.configure(0, {
        let mut none = config(0, &[]);
        none.stations = vec![station()];
        none
    });
    assert_eq!(reason(&net.read(conn)), 1);
    assert_eq!(net.stations().peers, 0);
}

#[test]
fn rfc7854_4_8_statistics_come_at_their_interval_with_what_the_tables_hold() {
    let mut net = Net::watched();
    net.run(10);
    let conn = net.connect();
    net.read(conn);
    net.run(59);
    assert!(net.read(conn).is_empty());
    net.run(2);
    let said = net.read(conn);
    let of = |wanted| {
        said.iter().find_map(|said| match said {
            Said::Statistics(rib, all) if *rib == wanted => Some(all.clone()),
            _ => None,
        })
    };
    let peer = of(Rib::AdjRibInPre).unwrap();
    assert!(peer.contains(&Statistic::Gauge(7, 1)), "{peer:?}");
    assert!(peer.contains(&Statistic::Gauge(15, 0)), "{peer:?}");
    let loc_rib = of(Rib::LocRib).unwrap();
    assert!(loc_rib.contains(&Statistic::Gauge(8, 1)), "{loc_rib:?}");
}

#[test]
fn rfc7854_3_2_a_station_that_is_not_there_is_called_again_ever_more_seldom() {
    let mut net = Net::watched();
    net.run(1);
    let mut waits = Vec::new();
    for _ in 0..5 {
        let conn = *net.calls().last().unwrap();
        let why = "connection refused".to_owned();
        net.with(0, |s, now, out| {
            s.handle(now, Event::ConnectFailed { conn, why }, out)
        });
        let (before, began) = (net.calls().len(), net.now);
        while net.calls().len() == before {
            net.run(1);
        }
        waits.push((net.now - began).as_secs());
    }
    assert_eq!(waits, [30, 60, 120, 120, 120]);
    let told = net
        .done
        .iter()
        .filter(|(_, effect)| matches!(effect, Effect::Notice(Notice::StationDown { .. })));
    assert_eq!(told.count(), 1);
    let view = net.stations();
    assert!(!view.up && view.connected == 0);
    assert_eq!(
        view.last_error.as_deref(),
        Some("cannot connect: connection refused")
    );
}

#[test]
fn a_station_that_reads_nothing_is_hung_up_on_and_called_again_and_nothing_of_it_is_left() {
    let mut net = Net::watched();
    net.run(10);
    let conn = net.connect();
    net.read(conn);
    let seats = |net: &Net| net.speakers[0].rib.counts().groups;
    let with_station = seats(&net);
    net.with(0, |s, now, out| s.handle(now, Event::Blocked { conn }, out));
    net.run(STUCK_MAX.as_secs() - 1);
    assert!(net.stations().up);
    net.run(2);
    let view = net.stations();
    assert!(!view.up && view.overruns == 1, "{view:?}");
    assert!(seats(&net) < with_station);
    assert!(
        net.station_said
            .ends_with(&[3, 0, 0, 0, 12, 5, 0, 1, 0, 2, 0, 2])
    );
    net.run(RETRY.as_secs() + 1);
    let conn = net.connect();
    assert_eq!(ups(&net.read(conn)), 2);
}

#[test]
fn rfc7854_4_5_when_we_end_the_station_hears_the_last_peer_downs_and_why() {
    let mut net = Net::watched();
    net.run(10);
    let conn = net.connect();
    net.read(conn);
    net.station_said.clear();
    net.with(0, |s, now, out| s.handle(now, Event::Shutdown, out));
    let said: Vec<_> = messages(&net.station_said)
        .iter()
        .map(|m| in_short(&Message::decode(m).unwrap()))
        .collect();
    assert!(
        matches!(said[..], [Said::Down(_, 1), Said::Termination(_)]),
        "{said:?}"
    );
    assert_eq!(said[1], Said::Termination(vec![0, 0]));
}

#[test]
fn a_station_that_stays_as_it_was_is_not_disturbed_by_a_new_configuration() {
    let mut net = Net::watched();
    net.run(10);
    let conn = net.connect();
    net.read(conn);
    let mut same = config(0, &[1]);
    same.stations = vec![station()];
    same.originate.push(originate("198.51.100.0/24"));
    net.configure(0, same.clone());
    assert!(net.stations().up);
    assert!(!net.read(conn).is_empty());
    net.station_said.clear();
    same.stations[0].ribs.adj_rib_out = false;
    net.configure(0, same.clone());
    assert!(!net.stations().up);
    assert_eq!(
        in_short(&Message::decode(&net.station_said).unwrap()),
        Said::Termination(vec![0, 4])
    );
    let conn = net.connect();
    let said = net.read(conn);
    assert!(!said.contains(&Said::EndOfRib(Rib::AdjRibOutPost)));
    same.stations.clear();
    net.configure(0, same);
    assert!(net.speakers[0].stations().is_empty());
    let free = net.speakers[0].peers.take_seat();
    assert_eq!(free.0, net.speakers[0].peers.ids()[0].0 + 1);
}
