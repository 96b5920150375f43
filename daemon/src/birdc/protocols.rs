//! `show status`, `show protocols` and `show bfd sessions` as BIRD 2 prints them.

use std::time::{Duration, Instant, UNIX_EPOCH};

use bgp_core::Family;
use bgp_fsm::State;
use grpc_api::BfdSession;
use rib::ChangeCounts;
use speaker::view::{InterfaceView, PeerView, RestartStage, Source};

use super::Scene;
use super::reply::Reply;

/// What stands for a count that nobody keeps.
const UNKNOWN: &str = "---";
/// The code of a name that nothing has.
const NOT_FOUND: u16 = 8003;

/// A row of `show protocols`.
struct Row {
    name: String,
    kind: &'static str,
    table: &'static str,
    state: &'static str,
    since: String,
    info: String,
}

impl Row {
    fn text(&self) -> String {
        let Self {
            name,
            kind,
            table,
            state,
            since,
            info,
        } = self;
        format!("{name:<10} {kind:<10} {table:<10} {state:<6} {since:<12}  {info}")
    }
}

impl Scene {
    /// The date and the time of day at `moment`, UTC.
    fn wall(&self, moment: Instant) -> (String, String) {
        let (now, wall) = self.now;
        let wall = wall.checked_sub(now.saturating_duration_since(moment));
        let since_1970 = wall.and_then(|wall| wall.duration_since(UNIX_EPOCH).ok());
        date_and_time(since_1970.unwrap_or_default())
    }

    /// A moment: today's without the date, another day's without the time.
    pub(super) fn time(&self, moment: Instant) -> String {
        let ((date, time), (today, _)) = (self.wall(moment), self.wall(self.now.0));
        if date == today { time } else { date }
    }

    fn date_and_time(&self, moment: Instant) -> String {
        let (date, time) = self.wall(moment);
        format!("{date} {time}")
    }

    /// The protocol that a path is from: its name, and since when it is as it is.
    pub(super) fn protocol_of(&self, source: &Source) -> (String, Instant) {
        let started = self.status.started;
        match source {
            Source::Peer(peer) => {
                let found = self.peers.iter().find(|row| {
                    row.address == peer.address
                        && (peer.interface.is_none() || row.interface == peer.interface)
                });
                found.map_or_else(
                    || (symbol(&peer.to_string()), started),
                    |row| (name(row), row.since),
                )
            }
            Source::Originate | Source::Static => ("static1".to_owned(), started),
            Source::Aggregate => ("aggregator1".to_owned(), started),
            Source::Connected => ("direct1".to_owned(), started),
            Source::Kernel => ("kernel1".to_owned(), started),
            Source::Api(_) => ("api1".to_owned(), started),
        }
    }
}

/// `2026-01-31` and `12:00:00.000`, from the time since 1970.
pub(super) fn date_and_time(since_1970: Duration) -> (String, String) {
    let seconds = since_1970.as_secs();
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let millis = since_1970.subsec_millis();
    (
        format!("{year}-{month:02}-{:02}", days + 1),
        format!("{hour:02}:{minute:02}:{second:02}.{millis:03}"),
    )
}

/// The name of a peer: its `birdc-name`, or one after its address as BIRD's symbols are (`bgp_10_0_0_2`,
/// `bgp_fe80__2_eth0`).
pub(super) fn name(peer: &PeerView) -> String {
    if let Some(name) = &peer.birdc_name {
        return name.clone();
    }
    let scoped = matches!(peer.address, std::net::IpAddr::V6(v6) if v6.is_unicast_link_local());
    match &peer.interface {
        Some(interface) if scoped => symbol(&format!("{}%{interface}", peer.address)),
        Some(_) | None => symbol(&peer.address.to_string()),
    }
}

fn symbol(address: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("bgp_{}", address.chars().map(plain).collect::<String>())
}

pub(super) fn status(scene: &Scene) -> String {
    let mut reply = Reply::default();
    let status = &scene.status;
    reply.line(
        1000,
        &format!("BIRD 2 (windrose {})", env!("CARGO_PKG_VERSION")),
    );
    let started = scene.date_and_time(status.started);
    reply.line(1011, &format!("Router ID is {}", status.router_id));
    reply.line(
        1011,
        &format!(
            "Current server time is {}",
            scene.date_and_time(scene.now.0)
        ),
    );
    reply.line(1011, &format!("Last reboot on {started}"));
    // When the file was last read nobody keeps; BIRD's clients look for the line.
    reply.line(1011, &format!("Last reconfiguration on {started}"));
    let restart = &scene.status.restart;
    if restart.stage != RestartStage::None {
        let left = restart.until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(scene.now.0)
        });
        reply.line(24, "Graceful restart recovery in progress");
        let awaited = restart.awaited;
        reply.line(24, &format!("  Waiting for {awaited} channels to recover"));
        let left = left.as_secs_f64();
        reply.line(24, &format!("  Wait timer is {left:.3} s"));
    }
    reply.end(13, "Daemon is up and running")
}

/// One protocol holds all sessions, as in BIRD.
pub(super) fn bfd_sessions(scene: &Scene, sessions: &[BfdSession]) -> String {
    let mut reply = Reply::default();
    reply.line(1020, "bfd1:");
    let [address, interface, state, since, interval, timeout] = [
        "IP address",
        "Interface",
        "State",
        "Since",
        "Interval",
        "Timeout",
    ];
    reply.line(
        1020,
        &format!(
            "{address:<25} {interface:<10} {state:<10} {since:<12}  {interval:>8} {timeout:>8}"
        ),
    );
    for session in sessions {
        let state = match session.state {
            bfd::State::AdminDown => "AdminDown",
            bfd::State::Down => "Down",
            bfd::State::Init => "Init",
            bfd::State::Up => "Up",
        };
        let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
        reply.line(
            1020,
            &format!(
                "{:<25} {:<10} {state:<10} {:<12}  {:>8.3} {:>8.3}",
                session.path.remote,
                session.path.interface.as_deref().unwrap_or("---"),
                scene.time(session.since),
                seconds(session.transmit_interval),
                seconds(session.detection_time),
            ),
        );
    }
    reply.end(0, "")
}

/// Links and their addresses.
pub(super) fn interfaces(all: &[InterfaceView], summary: bool) -> String {
    let mut reply = Reply::default();
    let row = |name: &str, state: &str, four: &str, six: &str| {
        format!("{name:<10} {state:<6} {four:<18} {six}")
    };
    if summary {
        let head = row("Interface", "State", "IPv4 address", "IPv6 address");
        reply.line(2005, &head);
    }
    for interface in all {
        let (name, state) = (
            one_line(&interface.name),
            if interface.up { "up" } else { "down" },
        );
        if summary {
            let first = |six: bool| {
                let mut own = interface.addresses.iter();
                let found = own.find(|address| address.is_ipv6() == six);
                found.map(ToString::to_string).unwrap_or_default()
            };
            reply.line(1005, &row(&name, state, &first(false), &first(true)));
            continue;
        }
        reply.line(1001, &format!("{name} {state} (index={})", interface.index));
        for address in &interface.addresses {
            reply.line(1003, &format!("\t{address}"));
        }
    }
    reply.end(0, "")
}

pub(super) fn protocols(scene: &Scene, all: bool, wanted: Option<&str>) -> String {
    let mut reply = Reply::default();
    let mut found = wanted.is_none();
    let header = Row {
        name: "Name".to_owned(),
        kind: "Proto",
        table: "Table",
        state: "State",
        since: "Since".to_owned(),
        info: "Info".to_owned(),
    };
    reply.line(2002, &header.text());
    for row in of_ourselves(scene) {
        if fits(wanted, &row.name) {
            found = true;
            reply.line(1002, &row.text());
            if all {
                reply.line(1006, "");
            }
        }
    }
    for peer in &scene.peers {
        let row = row(scene, peer);
        if fits(wanted, &row.name) {
            found = true;
            reply.line(1002, &row.text());
            if all {
                details(&mut reply, scene, peer);
            }
        }
    }
    match wanted {
        Some(name) if !found => {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            Reply::only(NOT_FOUND, &format!("{shown}: no such protocol"))
        }
        Some(_) | None => reply.end(0, ""),
    }
}

/// A name, or a pattern with `*` at its end.
fn fits(wanted: Option<&str>, name: &str) -> bool {
    wanted.is_none_or(|wanted| match wanted.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == wanted,
    })
}

/// What is no peer, under the names that BIRD would give.
fn of_ourselves(scene: &Scene) -> Vec<Row> {
    let row = |name: &str, kind, table, up| Row {
        name: name.to_owned(),
        kind,
        table,
        state: if up { "up" } else { "down" },
        since: scene.time(scene.status.started),
        info: String::new(),
    };
    let fib = scene.status.fib.install && scene.status.fib.permitted;
    vec![
        row("device1", "Device", UNKNOWN, true),
        row("kernel1", "Kernel", "master4", fib),
        row("kernel2", "Kernel", "master6", fib),
        row("static1", "Static", UNKNOWN, true),
    ]
}

fn row(scene: &Scene, peer: &PeerView) -> Row {
    let state = match (peer.enabled, peer.state) {
        (false, _) => "down",
        (true, State::Established) => "up",
        (
            true,
            State::Idle | State::Connect | State::Active | State::OpenSent | State::OpenConfirm,
        ) => "start",
    };
    let info = match (&peer.last_error, peer.state) {
        (Some(why), state) if state != State::Established => {
            format!("{:<14}{}", word(state), one_line(why))
        }
        (_, state) => format!("{:<14}", word(state)),
    };
    Row {
        name: name(peer),
        kind: "BGP",
        table: UNKNOWN,
        state,
        since: scene.time(peer.since),
        info,
    }
}

const fn word(state: State) -> &'static str {
    match state {
        State::Idle => "Idle",
        State::Connect => "Connect",
        State::Active => "Active",
        State::OpenSent => "OpenSent",
        State::OpenConfirm => "OpenConfirm",
        State::Established => "Established",
    }
}

fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn details(reply: &mut Reply, scene: &Scene, peer: &PeerView) {
    let mut line = |text: String| reply.line(1006, &text);
    if let Some(description) = &peer.description {
        line(format!("  Description:    {}", one_line(description)));
    }
    line(format!("  BGP state:          {}", word(peer.state)));
    line(format!("    Neighbor address: {}", peer.address));
    line(format!("    Neighbor AS:      {}", peer.asn));
    line(format!("    Local AS:         {}", scene.status.asn));
    if let Some(session) = &peer.session {
        line(format!("    Neighbor ID:      {}", session.identifier));
        let kind = if peer.asn == scene.status.asn {
            "internal"
        } else {
            "external"
        };
        let wide = if session.four_octet_as { " AS4" } else { "" };
        line(format!("    Session:          {kind}{wide}"));
        if let Some(local) = session.local_address {
            line(format!("    Source address:   {local}"));
        }
    }
    if let Some(error) = &peer.last_error {
        line(format!("    Last error:       {}", one_line(error)));
    }
    for family in &peer.families {
        channel(&mut line, peer, *family);
    }
    line(String::new());
}

fn channel(line: &mut impl FnMut(String), peer: &PeerView, family: Family) {
    let (channel, table) = match family {
        Family::Ipv4Unicast => ("ipv4", "master4"),
        Family::Ipv6Unicast => ("ipv6", "master6"),
    };
    let up = peer.state == State::Established;
    line(format!("  Channel {channel}"));
    line(format!(
        "    State:          {}",
        if up { "UP" } else { "DOWN" }
    ));
    line(format!("    Table:          {table}"));
    line("    Preference:     100".to_owned());
    line(format!(
        "    Input filter:   {}",
        filter(peer.import.as_deref())
    ));
    line(format!(
        "    Output filter:  {}",
        filter(peer.export.as_deref())
    ));
    if !up {
        return;
    }
    let counts = peer.prefixes.get(family);
    let filtered = match counts.received.saturating_sub(counts.accepted) {
        0 => String::new(),
        filtered => format!("{filtered} filtered, "),
    };
    line(format!(
        "    Routes:         {} imported, {filtered}{} exported, {} preferred",
        counts.accepted, counts.advertised, counts.preferred
    ));
    let heads = ["received", "rejected", "filtered", "ignored", "accepted"];
    let heads: String = heads.iter().map(|head| format!("{head:>11}")).collect();
    line(format!("    Route change stats: {heads}"));
    for (name, columns) in changes(&counts.changes) {
        let columns = columns.map(|count| match count {
            Some(count) => format!("{count:>11}"),
            None => format!("{UNKNOWN:>11}"),
        });
        line(format!("      {name:<18}{}", columns.concat()));
    }
}

/// The rows of route changes: received, rejected, filtered, ignored, accepted. What is worked out once for many peers
/// has no numbers of one of them.
fn changes(counts: &ChangeCounts) -> [(&'static str, [Option<u64>; 5]); 4] {
    let known = counts.withdraws.saturating_sub(counts.withdraws_ignored);
    [
        (
            "Import updates:",
            [
                Some(counts.updates),
                Some(counts.rejected),
                Some(counts.filtered),
                Some(counts.ignored),
                Some(counts.accepted()),
            ],
        ),
        (
            "Import withdraws:",
            [
                Some(counts.withdraws),
                Some(0),
                None,
                Some(counts.withdraws_ignored),
                Some(known),
            ],
        ),
        (
            "Export updates:",
            [None, None, None, None, Some(counts.told)],
        ),
        (
            "Export withdraws:",
            [None, None, None, None, Some(counts.withdrawn)],
        ),
    ]
}

fn filter(policies: Option<&[String]>) -> String {
    match policies {
        None => "(none)".to_owned(),
        Some([one]) if one == "accept" => "ACCEPT".to_owned(),
        Some([one]) if one == "reject" => "REJECT".to_owned(),
        Some(names) => names.join(" "),
    }
}
