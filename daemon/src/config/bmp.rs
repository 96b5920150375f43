//! `[[bmp]]`: monitoring stations (RFC 7854).

use std::net::SocketAddr;
use std::time::Duration;

use speaker::bmp::STATIONS_MAX;
use speaker::config::{Ribs, Station};

use super::effective::{Lines, Section, section};
use super::reader::Reader;
use super::values::{self, duration, word};

/// The port that RFC 7854 leaves to agreement and most stations take.
const PORT: u16 = 11019;
/// Time between Statistics Reports if the file does not say.
const STATISTICS: Duration = Duration::from_secs(60);
/// RFC 7854 §3.2: the waits that it suggests.
const RETRY: Duration = Duration::from_secs(30);
const RETRY_MAX: Duration = Duration::from_secs(720);
/// The longest time that any key takes.
const DAY: Duration = Duration::from_secs(86_400);
/// Most octets of sysName.
const NAME_MAX: usize = 255;

/// The words of `ribs`.
const RIBS: [(&str, Rib); 4] = [
    ("adj-rib-in-pre", Rib::PrePolicy),
    ("adj-rib-in-post", Rib::PostPolicy),
    ("adj-rib-out", Rib::Out),
    ("loc-rib", Rib::Local),
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rib {
    PrePolicy,
    PostPolicy,
    Out,
    Local,
}

pub(super) fn stations(root: &Reader<'_>) -> Vec<Station> {
    let mut all: Vec<Station> = Vec::new();
    for reader in root.tables("bmp") {
        let address = reader.require(
            "address",
            "write `address = \"192.0.2.9\"`",
            values::address,
        );
        let port = reader.read("port", values::port).unwrap_or(PORT);
        let ribs = reader.list("ribs", word(&RIBS));
        let none = ribs.as_ref().is_some_and(Vec::is_empty);
        if none && reader.items("ribs").is_some_and(<[_]>::is_empty) {
            let what = "a station that is told of no table sees nothing";
            reader.error("ribs", what, "write `[\"adj-rib-in-pre\"]`");
        }
        let retry = duration(Duration::from_secs(1)..=DAY);
        let connect_retry = reader.read("connect-retry", &retry).unwrap_or(RETRY);
        let longest = reader.read("connect-retry-max", &retry);
        if longest.is_some_and(|longest| longest < connect_retry) {
            let what = "the longest wait is shorter than the first one";
            reader.error(
                "connect-retry-max",
                what,
                "write at least what `connect-retry` says",
            );
        }
        let statistics = reader.read("statistics", duration(Duration::ZERO..=DAY));
        let statistics = statistics.unwrap_or(STATISTICS);
        let local_address = reader.read("local-address", values::address);
        let system_name = reader.read("system-name", system_name);
        reader.finish();
        let Some(address) = address else { continue };
        if local_address.is_some_and(|local| local.is_ipv4() != address.is_ipv4()) {
            let what = "one of the two addresses is IPv4, the other IPv6";
            reader.error("local-address", what, "write one of the same family");
        }
        let address = SocketAddr::new(address, port);
        if all.iter().any(|other| other.address == address) {
            let what = format!("{address} is there twice");
            reader.error("address", &what, "take one of the two out");
            continue;
        }
        all.push(Station {
            address,
            local_address,
            system_name: system_name.unwrap_or_else(host_name),
            ribs: ribs_of(&ribs.unwrap_or_else(|| vec![Rib::PrePolicy])),
            statistics: Some(statistics).filter(|every| !every.is_zero()),
            connect_retry,
            connect_retry_max: longest.unwrap_or(RETRY_MAX.max(connect_retry)),
        });
        if all.len() == STATIONS_MAX + 1 {
            let what = format!("there are more than {STATIONS_MAX} stations");
            reader
                .report
                .error(reader.at.clone(), &what, "take some out");
        }
    }
    all
}

/// The section of each station.
pub(super) fn sections(stations: &[Station]) -> impl Iterator<Item = Section> {
    stations.iter().map(|station| {
        let name = format!("bmp {}", station.address);
        section("[[bmp]]", name, |lines| show(station, lines))
    })
}

fn show(station: &Station, lines: &mut Lines) {
    lines.text("address", station.address.ip());
    lines.put("port", station.address.port());
    lines.maybe_text("local-address", station.local_address);
    lines.text("system-name", &station.system_name);
    let wanted = |rib: &Rib| match rib {
        Rib::PrePolicy => station.ribs.pre_policy,
        Rib::PostPolicy => station.ribs.post_policy,
        Rib::Out => station.ribs.adj_rib_out,
        Rib::Local => station.ribs.loc_rib,
    };
    let ribs = RIBS.iter().filter(|(_, rib)| wanted(rib));
    lines.texts("ribs", ribs.map(|(word, _)| word));
    lines.time("statistics", station.statistics.unwrap_or_default());
    lines.time("connect-retry", station.connect_retry);
    lines.time("connect-retry-max", station.connect_retry_max);
}

fn ribs_of(words: &[Rib]) -> Ribs {
    Ribs {
        pre_policy: words.contains(&Rib::PrePolicy),
        post_policy: words.contains(&Rib::PostPolicy),
        adj_rib_out: words.contains(&Rib::Out),
        loc_rib: words.contains(&Rib::Local),
    }
}

fn system_name(node: &super::tree::Node) -> values::Parsed<String> {
    let name = values::text(node)?;
    let good = !name.is_empty() && name.len() <= NAME_MAX && !name.contains(char::is_control);
    good.then_some(name).ok_or_else(|| {
        super::reader::Wrong::new(
            format!("a system's name has 1 to {NAME_MAX} octets and no control characters"),
            "write `system-name = \"gw1\"`",
        )
    })
}

/// This machine's name, as the kernel has it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "windrose" } else { name }.to_owned()
}
