//! The speaker's state as metrics. They are made anew at each scrape: a peer that is gone leaves nothing behind.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use bgp_core::Family;
use bgp_fsm::State;
use fib_netlink::wireguard::Status as Device;
use grpc_api::LinkView;
use path_score::Method;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Labelled;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use rib::Drain;
use speaker::liveness::WatchView;
use speaker::view::{FibStatus, PeerView, RestartStage, StationView, Status};

use super::Counts;

/// Names and values of labels.
type Labels = Vec<(&'static str, String)>;
type Gauges = Labelled<Labels, Gauge<i64, AtomicI64>>;
type Counters = Labelled<Labels, Counter<u64, AtomicU64>>;
/// From 0 to 1.
type Shares = Labelled<Labels, Gauge<f64, AtomicU64>>;

/// Registers how things stand.
pub(super) fn register(registry: &mut Registry, status: &Status, peers: &[PeerView]) {
    let build: Labels = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    registry.register("build", "The program", Info::new(build));
    let router: Labels = vec![
        ("asn", status.asn.to_string()),
        ("router_id", status.router_id.to_string()),
    ];
    registry.register("router", "The router", Info::new(router));
    gauge(
        registry,
        "peers",
        "Peers, configured or from ranges",
        status.peers,
    );
    gauge(
        registry,
        "peers_established",
        "Peers whose session is established",
        status.established,
    );
    gauge(
        registry,
        "rib_paths",
        "Paths in all Adj-RIBs-In",
        status.paths,
    );
    gauge(
        registry,
        "rib_attribute_sets",
        "Distinct sets of path attributes",
        status.attribute_sets,
    );
    gauge(
        registry,
        "problems",
        "Things that are not as they should be",
        status.problems.len(),
    );
    register_changes(registry, status);
    let prefixes = Gauges::default();
    for family in Family::ALL {
        set(
            &prefixes,
            &vec![("family", family.to_string())],
            *status.prefixes.get(family),
        );
    }
    registry.register("rib_prefixes", "Prefixes in the Loc-RIB", prefixes);
    register_fib(registry, &status.fib);
    register_stations(registry, &status.stations);
    register_sessions(registry, peers);
    register_traffic(registry, peers);
}

/// Registers drains and restarts.
fn register_changes(registry: &mut Registry, status: &Status) {
    gauge(
        registry,
        "drain",
        "Graceful shutdown: 0 none, 1 routes are told as about to go, 2 they are withdrawn",
        match status.drain.stage {
            Drain::None => 0,
            Drain::Announcing => 1,
            Drain::Withdrawn => 2,
        },
    );
    gauge(
        registry,
        "restarting",
        "Whether selection is deferred after a restart",
        usize::from(status.restart.stage != RestartStage::None),
    );
    gauge(
        registry,
        "peers_held",
        "Peers of which routes are held stale",
        status.peers_held,
    );
}

/// Registers the kernel's side.
fn register_fib(registry: &mut Registry, fib: &FibStatus) {
    gauge(
        registry,
        "fib_install",
        "Whether routes are to be installed",
        usize::from(fib.install),
    );
    gauge(
        registry,
        "fib_permitted",
        "Whether the kernel lets us change routes",
        usize::from(fib.permitted),
    );
    gauge(
        registry,
        "fib_shadow",
        "Whether routes are not installed but compared with what other programs installed",
        usize::from(fib.shadow),
    );
    let routes = Gauges::default();
    for (state, count) in [
        ("installed", fib.installed),
        ("pending", fib.pending),
        ("failed", fib.failed),
        ("different", fib.different),
        ("missing", fib.missing),
        ("extra", fib.extra),
    ] {
        set(&routes, &vec![("state", state.to_owned())], count);
    }
    registry.register("fib_routes", "Routes for the kernel, by state", routes);
    let foreign = Gauges::default();
    for (state, count) in [("kept", fib.foreign), ("left-out", fib.foreign_left_out)] {
        set(&foreign, &vec![("state", state.to_owned())], count);
    }
    registry.register(
        "fib_foreign_routes",
        "Routes of other programs, by whether they are kept in mind",
        foreign,
    );
}

/// Registers WireGuard's devices whose AllowedIPs follow routes.
pub(super) fn register_wireguard(registry: &mut Registry, devices: &[Device]) {
    let (prefixes, changes) = (Gauges::default(), Counters::default());
    for device in devices {
        for (state, count) in [("given", device.ours), ("missing", device.missing)] {
            let labels = vec![
                ("device", device.device.clone()),
                ("state", state.to_owned()),
            ];
            set(&prefixes, &labels, count);
        }
        let labels = vec![("device", device.device.clone())];
        changes.get_or_create(&labels).inc_by(device.changes);
    }
    let help = "Prefixes that routes lead over the device: given to a peer by us, or with no peer that should have them";
    registry.register("wireguard_prefixes", help, prefixes);
    let help = "AllowedIPs given to a peer or taken from one by us, since the device is there";
    registry.register("wireguard_changes", help, changes);
}

/// Registers the monitoring stations.
fn register_stations(registry: &mut Registry, stations: &[StationView]) {
    let (up, connected) = (Gauges::default(), Counters::default());
    let (overruns, messages, octets) = (
        Counters::default(),
        Counters::default(),
        Counters::default(),
    );
    for station in stations {
        let labels = vec![("station", station.address.to_string())];
        set(&up, &labels, usize::from(station.up));
        for (counters, count) in [
            (&connected, station.connected),
            (&overruns, station.overruns),
            (&messages, station.messages),
            (&octets, station.octets),
        ] {
            counters.get_or_create(&labels).inc_by(count);
        }
    }
    registry.register("bmp_station_up", "Whether the station is connected", up);
    let help = "Connections to the station that came up since start";
    registry.register("bmp_station_connections", help, connected);
    let help = "Connections given up because the station was too slow";
    registry.register("bmp_station_overruns", help, overruns);
    registry.register("bmp_messages", "BMP messages told", messages);
    registry.register("bmp_octets", "Octets of BMP told", octets);
}

/// Registers the state of each peer.
fn register_sessions(registry: &mut Registry, peers: &[PeerView]) {
    let now = Instant::now();
    let (states, up, since) = (Gauges::default(), Gauges::default(), Gauges::default());
    let (established, prefixes) = (Counters::default(), Gauges::default());
    for peer in peers {
        let labels = of(peer);
        set(&states, &labels, state_number(peer.state));
        set(&up, &labels, usize::from(peer.state == State::Established));
        let seconds = now.saturating_duration_since(peer.since).as_secs();
        set(
            &since,
            &labels,
            usize::try_from(seconds).unwrap_or(usize::MAX),
        );
        established
            .get_or_create(&labels)
            .inc_by(peer.established_count);
        for family in Family::ALL {
            let counts = peer.prefixes.get(family);
            for (kind, count) in [
                ("received", counts.received),
                ("accepted", counts.accepted),
                ("advertised", counts.advertised),
            ] {
                let more = [("family", family.to_string()), ("kind", kind.to_owned())];
                let labels = labels.iter().cloned().chain(more).collect();
                set(
                    &prefixes,
                    &labels,
                    usize::try_from(count).unwrap_or(usize::MAX),
                );
            }
        }
    }
    let help = "State of the session: 1 Idle, 2 Connect, 3 Active, 4 OpenSent, 5 OpenConfirm, 6 Established";
    registry.register("peer_state", help, states);
    registry.register("peer_up", "Whether the session is established", up);
    registry.register("peer_state_age_seconds", "Time in the present state", since);
    registry.register(
        "peer_established",
        "Sessions that came up since start",
        established,
    );
    registry.register("peer_prefixes", "Prefixes of the peer", prefixes);
}

/// Registers the paths that BFD watches.
pub(super) fn register_bfd(registry: &mut Registry, watches: &[WatchView]) {
    let (up, failures) = (Gauges::default(), Counters::default());
    for watch in watches {
        let interface = watch.path.interface.clone().unwrap_or_default();
        let labels = vec![
            ("neighbor", watch.path.remote.to_string()),
            ("interface", interface),
        ];
        set(&up, &labels, usize::from(watch.state == bfd::State::Up));
        failures.get_or_create(&labels).inc_by(watch.failures);
    }
    registry.register("bfd_up", "Whether BFD sees the path to a neighbor up", up);
    let help = "Times that a path was up and failed";
    registry.register("bfd_failures", help, failures);
}

/// Registers the links that are measured.
pub(super) fn register_links(registry: &mut Registry, links: &[LinkView]) {
    let (by, cost, loss) = (Gauges::default(), Gauges::default(), Shares::default());
    let (sent, rejected) = (Counters::default(), Counters::default());
    for link in links {
        let (path, view) = (&link.path, &link.view);
        let labels = vec![
            ("neighbor", path.remote.to_string()),
            ("interface", path.interface.clone().unwrap_or_default()),
        ];
        let with = |name, value: &str| [&labels[..], &[(name, value.to_owned())]].concat();
        for (name, method) in [
            ("none", None),
            ("stamp", Some(Method::Stamp)),
            ("icmp", Some(Method::Icmp)),
        ] {
            set(
                &by,
                &with("probe", name),
                usize::from(view.method == method),
            );
        }
        let lost = view.report.map(|report| [report.forward, report.reverse]);
        for (at, name) in ["out", "in"].into_iter().enumerate() {
            let labels = with("direction", name);
            let micros = view.costs.get(at).map_or(0, |cost| cost.micros());
            cost.get_or_create(&labels).set(micros.into());
            if let Some(way) = lost.as_ref().and_then(|lost| lost.get(at)) {
                loss.get_or_create(&labels).set(way.long.ratio());
            }
        }
        sent.get_or_create(&labels).inc_by(view.sent);
        rejected.get_or_create(&labels).inc_by(view.rejected);
    }
    registry.register("link_probe", "What the link is measured by", by);
    let help = "What the link costs, in microseconds";
    registry.register("link_cost_microseconds", help, cost);
    let help = "The share of probes lost over ten seconds";
    registry.register("link_loss", help, loss);
    registry.register("link_probes", "Probes sent", sent);
    let help = "What came for answers to probes and was none";
    registry.register("link_rejected", help, rejected);
}

/// Registers the messages of each peer.
fn register_traffic(registry: &mut Registry, peers: &[PeerView]) {
    let (messages, updates, malformed) = (
        Counters::default(),
        Counters::default(),
        Counters::default(),
    );
    let add = |counters: &Counters, peer: &PeerView, label: (&'static str, &str), count: u64| {
        let mut labels = of(peer);
        labels.push((label.0, label.1.to_owned()));
        counters.get_or_create(&labels).inc_by(count);
    };
    for peer in peers {
        let counts = &peer.messages;
        add(&messages, peer, ("direction", "received"), counts.received);
        add(&messages, peer, ("direction", "sent"), counts.sent);
        add(
            &updates,
            peer,
            ("direction", "received"),
            counts.updates_received,
        );
        add(&updates, peer, ("direction", "sent"), counts.updates_sent);
        add(
            &malformed,
            peer,
            ("remedy", "attribute-discard"),
            peer.malformed.0,
        );
        add(
            &malformed,
            peer,
            ("remedy", "treat-as-withdraw"),
            peer.malformed.1,
        );
    }
    registry.register("messages", "BGP messages", messages);
    registry.register("updates", "UPDATE messages", updates);
    registry.register(
        "malformed",
        "Malformed attributes that a session survived (RFC 7606)",
        malformed,
    );
}

/// Registers what was counted by notices.
pub(super) fn register_counts(registry: &mut Registry, counts: &Counts) {
    let all = [
        (
            "sessions_ended",
            "Sessions and attempts at them that ended",
            &counts.sessions_ended,
        ),
        (
            "connections_refused",
            "Connections from who is no peer",
            &counts.connections_refused,
        ),
        (
            "prefix_limit_notices",
            "Times that a peer was near or beyond its limit",
            &counts.limits_exceeded,
        ),
        (
            "leases_expired",
            "Owners of injected routes that were not heard for their lease",
            &counts.leases_expired,
        ),
        (
            "fib_failures",
            "Routes that the kernel refused",
            &counts.fib_failures,
        ),
        (
            "fib_overruns",
            "Times that the kernel's state was read anew",
            &counts.fib_overruns,
        ),
        (
            "reconfigurations",
            "Configurations put in force since start",
            &counts.reconfigurations,
        ),
        (
            "peers_added",
            "Peers added one by one, over the API",
            &counts.peers_added,
        ),
        (
            "peers_updated",
            "Peers changed one by one, over the API",
            &counts.peers_updated,
        ),
        (
            "peers_removed",
            "Peers removed one by one, over the API",
            &counts.peers_removed,
        ),
        (
            "notices_missed",
            "Events that these counters missed",
            &counts.missed,
        ),
    ];
    for (name, help, count) in all {
        let counter = Counter::<u64>::default();
        counter.inc_by(count.load(Relaxed));
        registry.register(name, help, counter);
    }
}

/// The numbers of bgp4-MIB's bgpPeerState (RFC 4273).
const fn state_number(state: State) -> usize {
    match state {
        State::Idle => 1,
        State::Connect => 2,
        State::Active => 3,
        State::OpenSent => 4,
        State::OpenConfirm => 5,
        State::Established => 6,
    }
}

fn of(peer: &PeerView) -> Labels {
    let peer_label = match (&peer.interface, peer.address) {
        (Some(interface), std::net::IpAddr::V6(v6)) if v6.is_unicast_link_local() => {
            format!("{v6}%{interface}")
        }
        (Some(_) | None, address) => address.to_string(),
    };
    vec![("peer", peer_label)]
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: usize) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

fn set(gauges: &Gauges, labels: &Labels, value: usize) {
    gauges
        .get_or_create(labels)
        .set(i64::try_from(value).unwrap_or(i64::MAX));
}
