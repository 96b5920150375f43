//! How a peer is configured, beside what becomes of it: offers, timers, limits.

use proto::v1::{PrefixLimit, Timers};
use serde::Serialize;

use super::PeerRow;
use crate::output::Word;

/// In seconds, as they are configured.
#[derive(Debug, Default, Serialize)]
pub(super) struct TimersRow {
    /// Null: none.
    hold_time_s: Option<f64>,
    /// Null: a third of the agreed hold time.
    keepalive_s: Option<f64>,
    connect_retry_s: f64,
    idle_hold_s: f64,
    idle_hold_max_s: f64,
    send_hold_s: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct LimitRow {
    limit: u32,
    warn_at: u32,
    then: String,
}

pub(super) fn seconds(time: prost_types::Duration) -> f64 {
    let whole = i32::try_from(time.seconds).unwrap_or(i32::MAX);
    f64::from(whole) + f64::from(time.nanos) / 1e9
}

impl From<Timers> for TimersRow {
    fn from(timers: Timers) -> Self {
        let of = |time: Option<prost_types::Duration>| time.map(seconds);
        Self {
            hold_time_s: of(timers.hold_time).filter(|s| *s > 0.0),
            keepalive_s: of(timers.keepalive),
            connect_retry_s: of(timers.connect_retry).unwrap_or_default(),
            idle_hold_s: of(timers.idle_hold).unwrap_or_default(),
            idle_hold_max_s: of(timers.idle_hold_max).unwrap_or_default(),
            send_hold_s: of(timers.send_hold),
        }
    }
}

impl From<PrefixLimit> for LimitRow {
    fn from(limit: PrefixLimit) -> Self {
        Self {
            limit: limit.limit,
            warn_at: limit.warn_at,
            then: limit.then,
        }
    }
}

impl PeerRow {
    /// What `peer show` says of them. A daemon that tells none of it is an old one.
    pub(super) fn settings(&self) -> Vec<(&'static str, Word)> {
        if self.offered.is_empty() {
            return Vec::new();
        }
        let limit = self.limit.as_ref().map(|limit| {
            let LimitRow {
                limit,
                warn_at,
                then,
            } = limit;
            format!("{limit} prefixes, notice at {warn_at}, then {then}")
        });
        let ttl = match (self.ttl, self.min_ttl) {
            (Some(ttl), Some(least)) => Some(format!("{ttl}, at least {least} from the peer")),
            (Some(ttl), None) => Some(ttl.to_string()),
            (None, _) => None,
        };
        vec![
            ("we offer", self.offered.join(", ").into()),
            ("timers", self.timers.line().into()),
            ("limit", limit.into()),
            ("TTL", ttl.into()),
            ("authentication", self.authentication.clone().into()),
        ]
    }
}

impl TimersRow {
    fn line(&self) -> String {
        let or = |time: Option<f64>, none: &str| {
            time.map_or_else(|| none.to_owned(), |s| format!("{s}s"))
        };
        format!(
            "hold time {}, keepalive {}, connect retry {}s, idle hold {}s to {}s, send hold {}",
            or(self.hold_time_s, "none"),
            or(self.keepalive_s, "a third of it"),
            self.connect_retry_s,
            self.idle_hold_s,
            self.idle_hold_max_s,
            or(self.send_hold_s, "none"),
        )
    }
}
