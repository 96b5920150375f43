//! Values as people read and write them.

use std::time::Duration;

use proto::v1::as_path_segment::Kind;
use proto::v1::{AsPathSegment, BfdState, Family, Origin, SessionState};

/// `90s`, `50ms`, `2h`: a whole number and a unit.
pub(crate) fn parse_duration(s: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{s}` is no duration: write a number and a unit, as in 90s (ms, s, m, h, d)");
    let digits = s.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = s.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

/// Bits a second, as the configuration has them: `1gbit`, `2500mbit`.
pub(crate) fn rate(bits: u64) -> String {
    let units = [
        ("gbit", 1_000_000_000),
        ("mbit", 1_000_000),
        ("kbit", 1_000),
    ];
    let mut units = units.into_iter();
    let fits = units.find(|(_, factor)| bits >= *factor && bits.is_multiple_of(*factor));
    let (unit, factor) = fits.unwrap_or(("bit", 1));
    format!("{}{unit}", bits / factor)
}

/// How long something has been: `42s`, `5m12s`, `3h05m`, `4d07h`.
pub(crate) fn age(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m{:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

pub(crate) const fn family(family: Family) -> &'static str {
    match family {
        Family::Unspecified => "unknown",
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
}

/// RFC 5880 §4.1.
pub(crate) const fn bfd_state(state: BfdState) -> &'static str {
    match state {
        BfdState::Unspecified => "unknown",
        BfdState::AdminDown => "admin-down",
        BfdState::Down => "down",
        BfdState::Init => "init",
        BfdState::Up => "up",
    }
}

/// As RFC 4271 §8.2.2 spells it.
pub(crate) const fn state(state: SessionState) -> &'static str {
    match state {
        SessionState::Unspecified => "unknown",
        SessionState::Idle => "Idle",
        SessionState::Connect => "Connect",
        SessionState::Active => "Active",
        SessionState::OpenSent => "OpenSent",
        SessionState::OpenConfirm => "OpenConfirm",
        SessionState::Established => "Established",
    }
}

pub(crate) const fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Unspecified => "unknown",
        Origin::Igp => "igp",
        Origin::Egp => "egp",
        Origin::Incomplete => "incomplete",
    }
}

/// `65001 65002 {65003,65004}`, confederation segments in `(…)` and `[…]`.
pub(crate) fn as_path(path: &[AsPathSegment]) -> String {
    let segments = path.iter().map(|segment| {
        let (before, between, after) = marks(segment.kind());
        let asns: Vec<String> = segment.asns.iter().map(u32::to_string).collect();
        format!("{before}{}{after}", asns.join(between))
    });
    segments.collect::<Vec<_>>().join(" ")
}

/// Reads what [`as_path`] writes.
pub(crate) fn parse_as_path(s: &str) -> Result<Vec<AsPathSegment>, String> {
    let mut path = Vec::new();
    let mut rest = s.trim_start();
    while let Some(first) = rest.chars().next() {
        let kind = match first {
            '{' => Kind::Set,
            '(' => Kind::ConfedSequence,
            '[' => Kind::ConfedSet,
            _ => Kind::Sequence,
        };
        let (before, _, after) = marks(kind);
        let (inside, behind) = if before.is_empty() {
            rest.split_at(rest.find(['{', '(', '[']).unwrap_or(rest.len()))
        } else {
            let inside = rest.strip_prefix(before).unwrap_or(rest);
            let closed = inside.split_once(after);
            closed.ok_or_else(|| format!("`{s}` is no AS path: `{after}` is missing"))?
        };
        let words = inside.split([' ', ',']).filter(|word| !word.is_empty());
        let asns = words.map(parse_asn).collect::<Result<_, _>>()?;
        path.push(AsPathSegment {
            kind: kind.into(),
            asns,
        });
        rest = behind.trim_start();
    }
    Ok(path)
}

fn parse_asn(word: &str) -> Result<u32, String> {
    word.parse().map_err(|_| {
        format!("`{word}` is no AS number: write a path as in `65001 65002 {{65003}}`")
    })
}

const fn marks(kind: Kind) -> (&'static str, &'static str, &'static str) {
    match kind {
        Kind::Unspecified | Kind::Sequence => ("", " ", ""),
        Kind::Set => ("{", ",", "}"),
        Kind::ConfedSequence => ("(", " ", ")"),
        Kind::ConfedSet => ("[", ",", "]"),
    }
}

#[cfg(test)]
mod tests;
