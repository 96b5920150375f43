//! BFD's sessions, as clients read them.

use std::time::{Duration, Instant};

use proto::v1;
use speaker::bfd;
use speaker::liveness::WatchView;

use super::answers::{age, name_text};
use crate::core::BfdSession;

pub(crate) fn bfd_session(
    row: &BfdSession,
    watch: Option<&WatchView>,
    now: Instant,
) -> v1::BfdSession {
    v1::BfdSession {
        address: row.path.remote.to_string(),
        interface: row.path.interface.clone(),
        local_address: row.path.local.map(|local| local.to_string()),
        multihop: row.path.hops == bfd::Hops::Several,
        state: bfd_state(row.state).into(),
        state_age: age(now, row.since),
        diagnostic: row.diagnostic.number().into(),
        local_discriminator: row.local_discriminator.get(),
        neighbor: row.remote.map(|remote| v1::BfdNeighbor {
            discriminator: remote.discriminator.get(),
            state: bfd_state(remote.state).into(),
            diagnostic: remote.diagnostic.number().into(),
            desired_transmit_us: micros(remote.desired_min_tx),
            required_receive_us: micros(remote.required_min_rx),
            multiplier: remote.multiplier.into(),
            demand: remote.demand,
        }),
        multiplier: row.multiplier.get().into(),
        transmit_us: row.transmit_interval.map(micros),
        detection_us: row.detection_time.map(micros),
        packets_sent: row.sent,
        packets_received: row.received,
        ups: row.ups,
        failures: row.failures,
        peers: watch.map_or(Vec::new(), |watch| {
            watch.peers.iter().map(name_text).collect()
        }),
        last_failure: watch
            .and_then(|watch| watch.last_failure)
            .map(|reason| reason.as_str().to_owned()),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

pub(crate) const fn bfd_state(state: bfd::State) -> v1::BfdState {
    match state {
        bfd::State::AdminDown => v1::BfdState::AdminDown,
        bfd::State::Down => v1::BfdState::Down,
        bfd::State::Init => v1::BfdState::Init,
        bfd::State::Up => v1::BfdState::Up,
    }
}
