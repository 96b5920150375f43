//! How a drain is shown.

use serde_json::json;

use super::*;

fn status(state: DrainState, left: Option<i64>, peers_pending: u64) -> Option<DrainStatus> {
    let seconds = |seconds| prost_types::Duration { seconds, nanos: 1 };
    Some(DrainStatus {
        state: state.into(),
        state_age: Some(seconds(3)),
        withdraws_in: left.map(seconds),
        peers_pending,
    })
}

#[test]
fn a_drain_says_when_routes_go_and_who_has_yet_to_hear() {
    let row = DrainRow::from(status(DrainState::Draining, Some(56), 2));
    assert_eq!(
        row.words(),
        "draining: routes are withdrawn in 57s, 2 peers have yet to hear it"
    );
    let row = DrainRow::from(status(DrainState::Drained, None, 0));
    assert_eq!(row.words(), "drained: no route is told to any peer");
    assert_eq!(DrainRow::from(None).words(), "");
}

#[test]
fn json_has_the_names_that_scripts_rely_on() {
    let row = DrainRow::from(status(DrainState::Draining, Some(56), 2));
    let expected =
        json!({"state": "draining", "since_s": 3, "withdraws_in_s": 57, "peers_pending": 2});
    assert_eq!(serde_json::to_value(row).unwrap(), expected);
    let row = DrainRow::from(None);
    let expected =
        json!({"state": "none", "since_s": null, "withdraws_in_s": null, "peers_pending": 0});
    assert_eq!(serde_json::to_value(row).unwrap(), expected);
}

#[test]
fn to_wait_ends_when_the_last_peer_was_told() {
    let done = |state, pending| DrainRow::from(status(state, None, pending)).is_done();
    assert!(!done(DrainState::Draining, 0).unwrap());
    assert!(!done(DrainState::Drained, 1).unwrap());
    assert!(done(DrainState::Drained, 0).unwrap());
    assert!(done(DrainState::None, 0).is_err());
}
