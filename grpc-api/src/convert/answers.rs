//! What the core has, into what clients read.

use std::net::IpAddr;
use std::time::Instant;

use bgp_core::attributes::{AsPath, NextHop, Origin, Segment, SegmentKind, UnknownAttribute};
use bgp_core::{Attributes, Family};
use bgp_fsm::State;
use ipnet::IpNet;
use proto::v1;
use proto::v1::as_path_segment::Kind;
use proto::v1::source::Local;
use speaker::command::{Injected, PeerName, Refusal};
use speaker::drain::Drain;
use speaker::view::{
    DrainView, Explanation, FibDetail, FibStatus, FibView, NextHopView, OwnerView, PathView,
    PeerView, PrefixCounts, RestartStage, RestartView, RouteChange, RouteView, SessionView, Source,
    StationView, Status, TimersView, WayView,
};
use tonic::metadata::MetadataValue;

/// The metadata that names the field at fault of an INVALID_ARGUMENT.
const FIELD: &str = "windrose-field";

/// Why an order was refused, as an error of gRPC.
pub(crate) fn status(refusal: Refusal) -> tonic::Status {
    let text = refusal.to_string();
    match refusal {
        Refusal::NotFound(_) => tonic::Status::not_found(text),
        Refusal::Exists(_) => tonic::Status::already_exists(text),
        Refusal::Precondition(_) => tonic::Status::failed_precondition(text),
        Refusal::Exhausted(_) => tonic::Status::resource_exhausted(text),
        Refusal::Invalid { field, .. } => {
            let mut status = tonic::Status::invalid_argument(text);
            if let Ok(field) = MetadataValue::try_from(field) {
                status.metadata_mut().insert(FIELD, field);
            }
            status
        }
    }
}

pub(crate) fn no_peer(name: &PeerName) -> tonic::Status {
    status(Refusal::NotFound(format!("peer {}", name_text(name))))
}

pub(crate) fn no_route(prefix: IpNet) -> tonic::Status {
    status(Refusal::NotFound(format!("route {prefix}")))
}

/// How a peer is named: the interface belongs to a link-local address alone.
pub(crate) fn name(peer: &PeerView) -> PeerName {
    let scoped = matches!(peer.address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    PeerName {
        address: peer.address,
        interface: peer.interface.clone().filter(|_| scoped),
    }
}

pub(crate) fn name_text(name: &PeerName) -> String {
    name.to_string()
}

/// `kept`: whether it is kept over a restart, if it was added over the API.
pub(crate) fn peer(view: PeerView, now: Instant, kept: Option<bool>) -> v1::Peer {
    let counts = |family| {
        let PrefixCounts {
            received,
            accepted,
            advertised,
            preferred: _,
            changes: _,
        } = *view.prefixes.get(family);
        v1::PeerFamily {
            family: family_of(family).into(),
            received,
            accepted,
            advertised,
        }
    };
    let (attributes_discarded, treated_as_withdrawn) = view.malformed;
    let chain = |names: Option<Vec<String>>| names.map(|policies| v1::PolicyChain { policies });
    v1::Peer {
        address: name_text(&name(&view)),
        families: view.families.iter().copied().map(counts).collect(),
        interface: view.interface,
        asn: view.asn,
        description: view.description,
        group: view.group,
        dynamic: view.dynamic,
        enabled: view.enabled,
        state: session_state(view.state).into(),
        state_age: age(now, view.since),
        held: view.held.map(|held| v1::HeldRoutes {
            left: age(held.until, now),
            back: held.back,
            long_lived: held.long_lived,
        }),
        awaited: view.awaited,
        last_error: view.last_error,
        last_error_age: view.last_error_at.and_then(|at| age(now, at)),
        session: view.session.map(session),
        established_count: view.established_count,
        messages: Some(v1::MessageCounts {
            received: view.messages.received,
            sent: view.messages.sent,
            updates_received: view.messages.updates_received,
            updates_sent: view.messages.updates_sent,
        }),
        attributes_discarded,
        treated_as_withdrawn,
        import: chain(view.import),
        export: chain(view.export),
        local_asn: view.local_asn,
        offered: view.offered,
        timers: Some(timers(view.timers)),
        limit: view.limit.map(|limit| v1::PrefixLimit {
            limit: limit.limit,
            warn_at: limit.warn_at,
            then: limit.then.to_owned(),
        }),
        ttl: view.ttl.map(u32::from),
        min_ttl: view.min_ttl.map(u32::from),
        authentication: view.authentication.map(str::to_owned),
        added: kept.is_some(),
        kept: kept.unwrap_or_default(),
        probed: view.probed,
        bfd: view.bfd.map(|state| super::bfd_state(state).into()),
    }
}

pub(crate) fn route(view: RouteView) -> v1::Route {
    v1::Route {
        prefix: view.prefix.to_string(),
        paths: view.paths.into_iter().map(path).collect(),
    }
}

pub(crate) fn route_change(change: RouteChange) -> v1::RouteChange {
    v1::RouteChange {
        prefix: change.prefix.to_string(),
        route: change.route.map(route),
    }
}

pub(crate) fn explanation(view: Explanation) -> v1::ExplainRouteResponse {
    let traces = view.policy.into_iter();
    v1::ExplainRouteResponse {
        route: Some(route(view.route)),
        policy: traces.map(|lines| v1::PolicyTrace { lines }).collect(),
        kernel: view.kernel,
        advertised_to: view.advertised_to.iter().map(name_text).collect(),
        next_hops: view.next_hops.into_iter().map(fib_next_hop).collect(),
    }
}

pub(crate) fn injected(done: Injected) -> v1::InjectResponse {
    v1::InjectResponse {
        announced: count(done.announced),
        withdrawn: count(done.withdrawn),
    }
}

pub(crate) fn owner(view: OwnerView) -> v1::Owner {
    v1::Owner {
        name: view.owner,
        routes: count(view.routes),
        lease_left: view.lease_left.and_then(|left| left.try_into().ok()),
    }
}

pub(crate) fn fib_route(view: FibView) -> v1::FibRoute {
    use v1::fib_route::State;
    let state = match view.state {
        "installed" => State::Installed,
        "pending" => State::Pending,
        "failed" => State::Failed,
        "foreign" => State::Foreign,
        "stale" => State::Stale,
        "different" => State::Different,
        "missing" => State::Missing,
        "extra" => State::Extra,
        _ => State::Unspecified,
    };
    v1::FibRoute {
        prefix: view.prefix.to_string(),
        wanted: view.wanted,
        actual: view.actual,
        state: state.into(),
        error: view.error,
        table: view.table,
        metric: view.metric,
        prefsrc: view.prefsrc.map(|address| address.to_string()),
    }
}

pub(crate) fn fib_detail(detail: FibDetail) -> v1::ShowFibResponse {
    v1::ShowFibResponse {
        routes: detail.rows.into_iter().map(fib_route).collect(),
        policy: detail.policy,
        rejected: detail.rejected,
        next_hops: detail.next_hops.into_iter().map(fib_next_hop).collect(),
    }
}

fn fib_next_hop(hop: NextHopView) -> v1::FibNextHop {
    let text = |address: IpAddr| address.to_string();
    let way = |way: WayView| v1::FibWay {
        gateway: way.gateway.map(text),
        interface: way.interface,
        weight: way.weight.into(),
    };
    v1::FibNextHop {
        address: text(hop.address),
        gateway: hop.gateway.map(text),
        interface: hop.interface,
        cost: hop.cost,
        through: hop.through.iter().map(ToString::to_string).collect(),
        ways: hop.ways.into_iter().map(way).collect(),
    }
}

pub(crate) fn system_status(view: Status, now: Instant) -> v1::GetStatusResponse {
    v1::GetStatusResponse {
        version: env!("CARGO_PKG_VERSION").into(),
        uptime: age(now, view.started),
        asn: view.asn,
        router_id: view.router_id.to_string(),
        peers: count(view.peers),
        established: count(view.established),
        prefixes_ipv4: count(view.prefixes.ipv4),
        prefixes_ipv6: count(view.prefixes.ipv6),
        paths: count(view.paths),
        attribute_sets: count(view.attribute_sets),
        fib: Some(fib_status(&view.fib)),
        problems: view.problems,
        bmp_stations: view.stations.into_iter().map(|s| station(s, now)).collect(),
        drain: Some(drain(view.drain, now)),
        restart: restart(view.restart, now),
        peers_held: count(view.peers_held),
    }
}

fn restart(view: RestartView, now: Instant) -> Option<v1::RestartStatus> {
    let state = match view.stage {
        RestartStage::None => return None,
        RestartStage::Asking => v1::RestartState::Asking,
        RestartStage::Deferring => v1::RestartState::Deferring,
    };
    Some(v1::RestartStatus {
        state: state.into(),
        left: view.until.and_then(|until| age(until, now)),
        awaited: count(view.awaited),
    })
}

pub(crate) fn drain(view: DrainView, now: Instant) -> v1::DrainStatus {
    let state = match view.stage {
        Drain::None => v1::DrainState::None,
        Drain::Announcing => v1::DrainState::Draining,
        Drain::Withdrawn => v1::DrainState::Drained,
    };
    v1::DrainStatus {
        state: state.into(),
        state_age: view.since.and_then(|since| age(now, since)),
        withdraws_in: view.withdraws.and_then(|at| age(at, now)),
        peers_pending: count(view.peers_pending),
    }
}

fn station(view: StationView, now: Instant) -> v1::BmpStation {
    v1::BmpStation {
        address: view.address.to_string(),
        up: view.up,
        age: age(now, view.since),
        peers: count(view.peers),
        connected: view.connected,
        overruns: view.overruns,
        messages: view.messages,
        octets: view.octets,
        last_error: view.last_error,
    }
}

fn fib_status(view: &FibStatus) -> v1::FibStatus {
    v1::FibStatus {
        install: view.install,
        permitted: view.permitted,
        installed: count(view.installed),
        pending: count(view.pending),
        failed: count(view.failed),
        shadow: view.shadow,
        different: count(view.different),
        missing: count(view.missing),
        extra: count(view.extra),
        foreign: count(view.foreign),
        foreign_left_out: count(view.foreign_left_out),
    }
}

fn session(view: SessionView) -> v1::Session {
    v1::Session {
        identifier: view.identifier.to_string(),
        local_address: view.local_address.map(|address| address.to_string()),
        hold_time: view.hold_time.and_then(|time| time.try_into().ok()),
        capabilities: view.capabilities,
        four_octet_as: view.four_octet_as,
        agreed: view.agreed,
        keepalive: view.keepalive.and_then(|time| time.try_into().ok()),
    }
}

fn timers(view: TimersView) -> v1::Timers {
    let (idle_hold, idle_hold_max) = view.idle_hold;
    v1::Timers {
        hold_time: view.hold_time.try_into().ok(),
        keepalive: view.keepalive.and_then(|time| time.try_into().ok()),
        connect_retry: view.connect_retry.try_into().ok(),
        idle_hold: idle_hold.try_into().ok(),
        idle_hold_max: idle_hold_max.try_into().ok(),
        send_hold: view.send_hold.and_then(|time| time.try_into().ok()),
    }
}

fn path(view: PathView) -> v1::Path {
    v1::Path {
        source: Some(v1::Source {
            source: Some(source(view.source)),
        }),
        attributes: Some(attributes(view.attributes)),
        path_id: view.path_id,
        valid: view.valid,
        stale: view.stale,
        best: view.best,
        multipath: view.multipath,
        cost: view.cost,
        reason: view.reason,
        tag: view.tag,
    }
}

fn source(source: Source) -> v1::source::Source {
    match source {
        Source::Peer(peer) => v1::source::Source::Peer(name_text(&peer)),
        Source::Originate => v1::source::Source::Local(Local::Originate.into()),
        Source::Static => v1::source::Source::Local(Local::Static.into()),
        Source::Connected => v1::source::Source::Local(Local::Connected.into()),
        Source::Kernel => v1::source::Source::Local(Local::Kernel.into()),
        Source::Aggregate => v1::source::Source::Local(Local::Aggregate.into()),
        Source::Api(owner) => v1::source::Source::Owner(owner),
    }
}

pub(super) fn attributes(a: Attributes) -> v1::Attributes {
    let (next_hop, link_local) = next_hop(a.next_hop);
    v1::Attributes {
        origin: origin(a.origin).into(),
        as_path: as_path(&a.as_path),
        next_hop,
        link_local_next_hop: link_local,
        med: a.med,
        local_pref: a.local_pref,
        aigp: a.aigp,
        communities: texts(&a.communities),
        large_communities: texts(&a.large_communities),
        ext_communities: texts(&a.ext_communities),
        ipv6_ext_communities: texts(&a.ipv6_ext_communities),
        atomic_aggregate: a.atomic_aggregate,
        aggregator: a.aggregator.map(|aggregator| v1::Aggregator {
            asn: aggregator.asn,
            identifier: aggregator.identifier.to_string(),
        }),
        originator_id: a.originator_id.map(|id| id.to_string()),
        cluster_list: texts(&a.cluster_list),
        only_to_customer: a.only_to_customer,
        unknown: a.unknown.into_iter().map(unknown).collect(),
    }
}

/// Ourselves is an unspecified address here, and no address there.
fn next_hop(next_hop: NextHop) -> (Option<String>, Option<String>) {
    let (address, link_local) = match next_hop {
        NextHop::V4(v4) => (IpAddr::V4(v4), None),
        NextHop::V6(v6) => (IpAddr::V6(v6), None),
        NextHop::V6WithLinkLocal(v6, local) => (IpAddr::V6(v6), Some(local.to_string())),
    };
    let given = !address.is_unspecified();
    (given.then(|| address.to_string()), link_local)
}

fn as_path(path: &AsPath) -> Vec<v1::AsPathSegment> {
    let segments = path.segments().map(|segment| v1::AsPathSegment {
        kind: kind(segment.kind).into(),
        asns: Segment::asns(segment).collect(),
    });
    segments.collect()
}

const fn kind(kind: SegmentKind) -> Kind {
    match kind {
        SegmentKind::Sequence => Kind::Sequence,
        SegmentKind::Set => Kind::Set,
        SegmentKind::ConfedSequence => Kind::ConfedSequence,
        SegmentKind::ConfedSet => Kind::ConfedSet,
    }
}

fn unknown(attribute: UnknownAttribute) -> v1::UnknownAttribute {
    v1::UnknownAttribute {
        flags: attribute.flags.into(),
        r#type: attribute.kind.into(),
        value: attribute.value.into_vec(),
    }
}

const fn origin(origin: Origin) -> v1::Origin {
    match origin {
        Origin::Igp => v1::Origin::Igp,
        Origin::Egp => v1::Origin::Egp,
        Origin::Incomplete => v1::Origin::Incomplete,
    }
}

const fn family_of(family: Family) -> v1::Family {
    match family {
        Family::Ipv4Unicast => v1::Family::Ipv4,
        Family::Ipv6Unicast => v1::Family::Ipv6,
    }
}

const fn session_state(state: State) -> v1::SessionState {
    match state {
        State::Idle => v1::SessionState::Idle,
        State::Connect => v1::SessionState::Connect,
        State::Active => v1::SessionState::Active,
        State::OpenSent => v1::SessionState::OpenSent,
        State::OpenConfirm => v1::SessionState::OpenConfirm,
        State::Established => v1::SessionState::Established,
    }
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(T::to_string).collect()
}

pub(crate) fn age(now: Instant, then: Instant) -> Option<prost_types::Duration> {
    now.saturating_duration_since(then).try_into().ok()
}

fn count(count: usize) -> u64 {
    count.try_into().unwrap_or(u64::MAX)
}
