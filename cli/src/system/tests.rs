//! How the status is shown.

use serde_json::json;

use proto::v1::{DrainState, DrainStatus};

use super::*;
use crate::output::Format;

fn answer() -> GetStatusResponse {
    GetStatusResponse {
        version: "0.1.0".into(),
        uptime: Some(prost_types::Duration {
            seconds: 90_061,
            nanos: 0,
        }),
        asn: 65001,
        router_id: "10.255.0.1".into(),
        peers: 3,
        established: 2,
        prefixes_ipv4: 1000,
        prefixes_ipv6: 50,
        paths: 2100,
        attribute_sets: 12,
        fib: Some(FibStatus {
            install: true,
            permitted: true,
            installed: 1049,
            pending: 0,
            failed: 1,
            ..FibStatus::default()
        }),
        problems: vec!["1 route is not installed".into()],
        drain: Some(DrainStatus {
            state: DrainState::Drained.into(),
            ..DrainStatus::default()
        }),
        restart: Some(RestartStatus {
            state: RestartState::Deferring.into(),
            left: Some(prost_types::Duration {
                seconds: 50,
                nanos: 0,
            }),
            awaited: 2,
        }),
        peers_held: 1,
        bmp_stations: vec![
            BmpStation {
                address: "192.0.2.9:11019".into(),
                up: true,
                peers: 2,
                messages: 2107,
                octets: 140_000,
                connected: 1,
                ..BmpStation::default()
            },
            BmpStation {
                address: "192.0.2.10:11019".into(),
                last_error: Some("cannot connect: timed out".into()),
                ..BmpStation::default()
            },
        ],
    }
}

#[test]
fn status_says_what_is_wrong() {
    let mut out = Vec::new();
    let status = StatusRow::from(answer());
    let mut printer = Printer::new(Format::Table, false, &mut out);
    printer.details(&status, || status.details()).unwrap();
    let expected = "\
version   0.1.0
uptime    1d01h
router    10.255.0.1, AS 65001
health    degraded
peers     2 of 3 established
prefixes  1000 ipv4, 50 ipv6
paths     2100, 12 attribute sets
kernel    1049 routes installed, 0 pending, 1 failed
drain     drained: no route is told to any peer
restart   deferring: routes are not chosen yet, 2 peers are awaited for 50s at most
stale     routes of 1 peers are held: see `windrose peer list`
bmp       192.0.2.9:11019 up 0s, 2 peers, 2107 messages
bmp       192.0.2.10:11019 down 0s: cannot connect: timed out
problem   1 route is not installed
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn json_has_the_names_that_scripts_rely_on() {
    let json = serde_json::to_value(StatusRow::from(answer())).unwrap();
    let expected = json!({
        "version": "0.1.0", "uptime_s": 90061, "asn": 65001, "router_id": "10.255.0.1",
        "health": "degraded", "problems": ["1 route is not installed"],
        "peers": 3, "established": 2, "prefixes": {"ipv4": 1000, "ipv6": 50},
        "paths": 2100, "attribute_sets": 12,
        "fib": {"install": true, "permitted": true, "installed": 1049, "pending": 0, "failed": 1,
                "shadow": false, "different": 0, "missing": 0, "extra": 0,
                "foreign": 0, "foreign_left_out": 0},
        "drain": {"state": "drained", "since_s": null, "withdraws_in_s": null, "peers_pending": 0},
        "restart": {"state": "deferring", "left_s": 50, "awaited": 2}, "peers_held": 1,
        "bmp": [
            {"address": "192.0.2.9:11019", "up": true, "age_s": 0, "peers": 2, "connected": 1, "overruns": 0,
                "messages": 2107, "octets": 140_000, "last_error": null},
            {"address": "192.0.2.10:11019", "up": false, "age_s": 0, "peers": 0, "connected": 0, "overruns": 0,
                "messages": 0, "octets": 0, "last_error": "cannot connect: timed out"},
        ],
    });
    assert_eq!(json, expected);
}

#[test]
fn a_kernel_that_does_not_let_us_is_named() {
    let fib = Fib {
        install: true,
        permitted: false,
        installed: 0,
        pending: 0,
        failed: 0,
        shadow: false,
        different: 0,
        missing: 0,
        extra: 0,
        foreign: 4,
        foreign_left_out: 0,
    };
    assert_eq!(
        fib.words(),
        Word::new(
            "routes are not installed: CAP_NET_ADMIN is missing",
            Tone::Bad
        )
    );
}

#[test]
fn in_shadow_mode_the_difference_is_told() {
    let fib = Fib::from(FibStatus {
        shadow: true,
        installed: 10,
        different: 2,
        extra: 1,
        ..FibStatus::default()
    });
    let expected = "shadow, nothing is installed: 10 routes as the kernel has them, 2 different, 0 missing, 1 extra";
    assert_eq!(fib.words(), expected.into());
}
