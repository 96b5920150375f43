//! Links that are measured, as clients read them.

use std::time::{Duration, Instant};

use proto::v1;
use proto::v1::link::{Probe, State};
use speaker::check::{Finding, Subject, Verdict};
use speaker::command::{PeerName, Refusal};
use speaker::links::LinkUse;
use speaker::path_score::judge::{Change, FIRST, Why};
use speaker::path_score::{Direction, Method, Report};
use speaker::wireguard;

use super::answers::{age, name_text, status};
use crate::core::LinkView;

/// A link; with its history, or without.
pub(crate) fn link(link: &LinkView, of: &LinkUse, now: Instant, history: bool) -> v1::Link {
    let (path, view) = (&link.path, &link.view);
    let [out, back] = view.costs.map(|cost| u64::from(cost.micros()));
    let moves = view.history.iter().filter(|_| history);
    v1::Link {
        peer: path.remote.to_string(),
        interface: path.interface.clone(),
        state: state(link).into(),
        cost_age: age(now, view.since),
        cost_out_us: out,
        cost_in_us: back,
        measure: view.report.as_ref().map(measure),
        interval_us: micros(view.interval),
        probes_sent: view.sent,
        rejected: view.rejected,
        moves: moves.map(|(at, change)| moved(now, *at, change)).collect(),
        peers: of.peers.iter().map(name_text).collect(),
        tunnel: None,
        capacity: of.capacity,
        probe: match view.method {
            None => Probe::None,
            Some(Method::Stamp) => Probe::Stamp,
            Some(Method::Icmp) => Probe::Icmp,
        }
        .into(),
    }
}

/// The WireGuard peer behind a link; `now` is the time since 1970.
pub(crate) fn tunnel(peer: &wireguard::Peer, now: Duration) -> v1::Tunnel {
    let age = peer.last_handshake.map(|at| now.saturating_sub(at));
    v1::Tunnel {
        public_key: peer.key.to_string(),
        endpoint: peer.endpoint.map(|endpoint| endpoint.to_string()),
        handshake_age: age.and_then(|age| age.try_into().ok()),
        received_octets: peer.received,
        sent_octets: peer.sent,
    }
}

/// What was found of a link, or of the machine.
pub(crate) fn finding(subject: Option<&Subject>, finding: Finding) -> v1::LinkFinding {
    let verdict = match finding.verdict {
        Verdict::Good => v1::link_finding::Verdict::Good,
        Verdict::Unknown => v1::link_finding::Verdict::Unknown,
        Verdict::Warning => v1::link_finding::Verdict::Warning,
        Verdict::Bad => v1::link_finding::Verdict::Bad,
    };
    v1::LinkFinding {
        peer: subject.map(|subject| name_text(&subject.peer)),
        interface: subject.and_then(|subject| subject.path.interface.clone()),
        check: finding.check.as_str().to_owned(),
        verdict: verdict.into(),
        found: finding.found,
        remedy: finding.remedy,
    }
}

pub(crate) fn no_device(name: &PeerName) -> tonic::Status {
    let what = format!("enabled peer {} on a device of ours", name_text(name));
    status(Refusal::NotFound(what))
}

pub(crate) fn no_link(name: &PeerName) -> tonic::Status {
    let what = format!("measured link to {}", name_text(name));
    status(Refusal::NotFound(what))
}

fn state(link: &LinkView) -> State {
    let view = &link.view;
    match &view.report {
        _ if view.method.is_none() => State::Unanswered,
        None => State::Measuring,
        Some(report) if report.silent => State::Silent,
        Some(report) if report.forward.minute.probes < FIRST => State::Measuring,
        Some(_) if view.bad => State::Lossy,
        Some(_) => State::Good,
    }
}

fn measure(report: &Report) -> v1::LinkMeasure {
    let (out, back) = (&report.forward, &report.reverse);
    v1::LinkMeasure {
        rtt_us: report.rtt_long.or(report.rtt_short).map(micros),
        jitter_us: micros(report.jitter),
        loss_out_1s: out.short.ratio(),
        loss_out_10s: out.long.ratio(),
        loss_out_60s: out.minute.ratio(),
        loss_in_1s: back.short.ratio(),
        loss_in_10s: back.long.ratio(),
        loss_in_60s: back.minute.ratio(),
    }
}

fn moved(now: Instant, at: Instant, change: &Change) -> v1::LinkMove {
    v1::LinkMove {
        age: age(now, at),
        outward: change.direction == Direction::Forward,
        from_us: change.before.micros().into(),
        to_us: change.cost.micros().into(),
        why: match change.why {
            Why::Configured => "configured".to_owned(),
            Why::Measured => "measured for the first time".to_owned(),
            Why::Alarm => "it loses more than it may".to_owned(),
            Why::Silent => "no answers come".to_owned(),
            Why::Worse => "it became worse".to_owned(),
            Why::Recovered { held } => format!("it was good for {} s", held.as_secs()),
        },
        loss_1s: change.way.short.ratio(),
        loss_10s: change.way.long.ratio(),
        rtt_us: change.rtt.map(micros),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
