//! How peers are shown; the names of their JSON fields.

use proto::v1::{MessageCounts, PeerFamily, PolicyChain, PrefixLimit, Session, Timers};
use serde_json::json;

use super::*;
use crate::output::Format;

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn family(family: Family, received: u64) -> PeerFamily {
    PeerFamily {
        family: family.into(),
        received,
        accepted: received - 1,
        advertised: 7,
    }
}

fn tokyo() -> Peer {
    Peer {
        address: "10.255.12.2".into(),
        interface: Some("wg-nyc".into()),
        asn: 65002,
        description: Some("new york".into()),
        enabled: true,
        state: SessionState::Established.into(),
        state_age: seconds(3_725),
        families: vec![family(Family::Ipv4, 100), family(Family::Ipv6, 10)],
        last_error: Some("Hold Timer Expired".into()),
        last_error_age: seconds(4_000),
        session: Some(Session {
            identifier: "10.255.0.2".into(),
            hold_time: seconds(90),
            capabilities: vec!["route refresh".into()],
            agreed: vec!["ipv4".into(), "route refresh".into()],
            keepalive: seconds(30),
            four_octet_as: true,
            ..Session::default()
        }),
        established_count: 2,
        local_asn: 65001,
        offered: vec!["multiprotocol ipv4".into(), "route refresh".into()],
        timers: Some(Timers {
            hold_time: seconds(90),
            connect_retry: seconds(5),
            idle_hold: Some(prost_types::Duration {
                seconds: 1,
                nanos: 500_000_000,
            }),
            idle_hold_max: seconds(60),
            send_hold: seconds(480),
            keepalive: None,
        }),
        limit: Some(PrefixLimit {
            limit: 1000,
            warn_at: 800,
            then: "restart".into(),
        }),
        ttl: Some(255),
        min_ttl: Some(254),
        authentication: Some("tcp-md5".into()),
        messages: Some(MessageCounts {
            received: 5,
            sent: 6,
            updates_received: 3,
            updates_sent: 4,
        }),
        import: Some(PolicyChain {
            policies: vec!["accept".into()],
        }),
        ..Peer::default()
    }
}

fn down() -> Peer {
    Peer {
        address: "fe80::2%wg-lon".into(),
        asn: 65003,
        enabled: true,
        state: SessionState::Active.into(),
        state_age: seconds(4),
        last_error: Some("Connection refused".into()),
        ..Peer::default()
    }
}

#[test]
fn json_has_the_names_that_scripts_rely_on() {
    let row = serde_json::to_value(PeerRow::from(tokyo())).unwrap();
    let contract = json!({
        "address": "10.255.12.2", "asn": 65002, "description": "new york", "state": "Established",
        "uptime_s": 3725, "received": 110, "accepted": 108, "advertised": 14,
        "last_error": "Hold Timer Expired", "families": ["ipv4", "ipv6"], "bfd": null, "link": null,
    });
    for (name, value) in contract.as_object().unwrap() {
        assert_eq!(row.get(name), Some(value), "{name}");
    }
    let row = serde_json::to_value(PeerRow::from(down())).unwrap();
    assert_eq!(row["uptime_s"], json!(null));
    assert_eq!(row["state"], "Active");
    assert_eq!(row["families"], json!([]));
}

#[test]
fn the_list_shows_what_matters() {
    let mut out = Vec::new();
    let mut printer = Printer::new(Format::Table, false, &mut out);
    let mut list = printer.list();
    list.row(&PeerRow::from(tokyo())).unwrap();
    list.row(&PeerRow::from(down())).unwrap();
    list.finish::<PeerRow>().unwrap();
    let expected = "\
PEER               AS  STATE        SINCE  RECEIVED  ACCEPTED  ADVERTISED  DESCRIPTION  LAST ERROR
10.255.12.2     65002  Established  1h02m       110       108          14  new york
fe80::2%wg-lon  65003  Active          4s         0         0           0               Connection refused
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn one_peer_is_shown_in_full() {
    let mut out = Vec::new();
    let row = PeerRow::from(tokyo());
    let mut printer = Printer::new(Format::Table, false, &mut out);
    printer.details(&row, || row.details()).unwrap();
    let expected = "\
peer             10.255.12.2
AS               65002
our AS           65001
description      new york
interface        wg-nyc
state            Established
since            1h02m
last error       Hold Timer Expired (1h06m ago)
sessions so far  2
import           accept
export           none
ipv4             100 received, 99 accepted, 7 advertised
ipv6             10 received, 9 accepted, 7 advertised
identifier       10.255.0.2
hold time        90s
keepalive        30s
it offers        route refresh
agreed           ipv4, route refresh
we offer         multiprotocol ipv4, route refresh
timers           hold time 90s, keepalive a third of it, connect retry 5s, idle hold 1.5s to 60s, send hold 480s
limit            1000 prefixes, notice at 800, then restart
TTL              255, at least 254 from the peer
authentication   tcp-md5
received         5 messages, 3 of them UPDATEs
sent             6 messages, 4 of them UPDATEs
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn an_event_is_a_peer_with_what_happened() {
    let peer = PeerRow::from(tokyo());
    let event = serde_json::to_value(Event::Updated(&peer)).unwrap();
    assert_eq!(
        (&event["event"], &event["address"]),
        (&json!("updated"), &json!("10.255.12.2"))
    );
    let event = serde_json::to_value(Event::Removed {
        address: "10.0.0.2".into(),
    })
    .unwrap();
    assert_eq!(event, json!({"event": "removed", "address": "10.0.0.2"}));
}

#[test]
fn offers_timers_and_limits_are_in_json() {
    let row = serde_json::to_value(PeerRow::from(tokyo())).unwrap();
    let timers = json!({
        "hold_time_s": 90.0, "keepalive_s": null, "connect_retry_s": 5.0, "idle_hold_s": 1.5,
        "idle_hold_max_s": 60.0, "send_hold_s": 480.0,
    });
    assert_eq!(row["timers"], timers);
    let limit = json!({ "limit": 1000, "warn_at": 800, "then": "restart" });
    assert_eq!(row["limit"], limit);
    assert_eq!(row["session"]["agreed"], json!(["ipv4", "route refresh"]));
    assert_eq!(row["session"]["keepalive_s"], 30.0);
    assert_eq!(
        row["offered"],
        json!(["multiprotocol ipv4", "route refresh"])
    );
    assert_eq!(
        (&row["ttl"], &row["local_asn"]),
        (&json!(255), &json!(65001))
    );
}
