//! `[bfd]`: profiles of sessions, and the one that a peer names.

use std::collections::BTreeMap;
use std::num::NonZeroU8;
use std::time::Duration;

use bfd::{Authentication, Kind};
use speaker::config::{Bfd, Secret};

use super::options::Names;
use super::reader::{Reader, Wrong, names};
use super::secrets::password;
use super::tree::Value;
use super::values::{Parsed, duration, flag, number, word};

/// The profile of `bfd = true`, which may be written to change it.
pub(super) const DEFAULT: &str = "default";
const INTERVAL: Duration = Duration::from_millis(300);
/// Packets closer than this are more than a host can promise.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
const INTERVAL_MAX: Duration = Duration::from_secs(60);
const MULTIPLIER: NonZeroU8 = NonZeroU8::MIN.saturating_add(2);

pub(super) const KINDS: &[(&str, Kind)] = &[
    ("simple", Kind::Simple),
    ("keyed-md5", Kind::KeyedMd5),
    ("meticulous-keyed-md5", Kind::MeticulousKeyedMd5),
    ("keyed-sha1", Kind::KeyedSha1),
    ("meticulous-keyed-sha1", Kind::MeticulousKeyedSha1),
];

/// By name; the default one is always there.
pub(super) type Profiles = BTreeMap<String, Bfd>;

/// `[bfd.profile.NAME]`.
pub(super) fn profiles(root: &Reader<'_>) -> Profiles {
    let mut all = Profiles::from([(DEFAULT.to_owned(), default(DEFAULT))]);
    let Some(section) = root.table("bfd") else {
        return all;
    };
    if let Some(named) = section.table("profile") {
        for (name, (_, node)) in named.table {
            let instead = "write its keys under `[bfd.profile.NAME]`";
            if let Some(reader) = named.table_of(node, instead) {
                all.insert(name.clone(), profile(name, &reader));
            }
        }
    }
    section.finish();
    all
}

fn default(name: &str) -> Bfd {
    Bfd {
        profile: name.to_owned(),
        session: bfd::Config {
            transmit: INTERVAL,
            receive: INTERVAL,
            multiplier: MULTIPLIER,
            passive: false,
            spares_lossy: true,
            authentication: None,
        },
        strict: false,
    }
}

fn profile(name: &str, reader: &Reader<'_>) -> Bfd {
    let mut profile = default(name);
    let session = &mut profile.session;
    let interval = |key, default| {
        let range = duration(INTERVAL_MIN..=INTERVAL_MAX);
        reader.read(key, range).unwrap_or(default)
    };
    session.transmit = interval("transmit", session.transmit);
    session.receive = interval("receive", session.receive);
    let multiplier = reader.read("multiplier", number::<u8>(1..=255));
    session.multiplier = multiplier
        .and_then(NonZeroU8::new)
        .unwrap_or(session.multiplier);
    session.passive = reader.read("passive", flag).unwrap_or(false);
    session.spares_lossy = reader.read("spare-lossy", flag).unwrap_or(true);
    session.authentication = reader
        .table("authentication")
        .and_then(|table| authentication(&table));
    profile.strict = reader.read("strict", flag).unwrap_or(false);
    reader.finish();
    profile
}

fn authentication(reader: &Reader<'_>) -> Option<Authentication> {
    let instead = "write `type = \"meticulous-keyed-sha1\"`";
    let kind = reader.require("type", instead, word(KINDS));
    let key_id = reader.require("key-id", "write `key-id = 1`", number::<u8>(0..=255));
    let given = ["password", "password-file"];
    if !given.iter().any(|key| reader.table.contains_key(*key)) {
        let instead = "write `password`, or `password-file`";
        reader.report.missing(&reader.at, "password", instead);
    }
    let secret = password(reader);
    reader.finish();
    let (kind, Secret(secret)) = (kind?, secret?);
    let made = Authentication::new(kind, key_id?, &secret);
    made.map_err(|wrong| {
        let key = given
            .into_iter()
            .find(|key| reader.table.contains_key(*key));
        let what = format!(
            "the password has {} octets, this type takes 1 to {}",
            secret.len(),
            wrong.max
        );
        let instead = "agree with the neighbor on another one";
        reader.error(key.unwrap_or("password"), &what, instead);
    })
    .ok()
}

/// A peer's `bfd`: whether, or by which profile.
pub(super) fn of_peer(reader: &Reader<'_>, names: &Names) -> Option<Bfd> {
    let node = reader.node("bfd")?;
    let name = match &node.value {
        Value::Text(name) => name.as_str(),
        Value::Number(_) | Value::Flag(_) | Value::List(_) | Value::Table(_) | Value::Other(_) => {
            return reader.take(node, flag)?.then(|| {
                let profile = names.profiles.get(DEFAULT);
                profile.cloned().unwrap_or_else(|| default(DEFAULT))
            });
        }
    };
    reader.take(node, |_| named(name, &names.profiles))
}

fn named(name: &str, profiles: &Profiles) -> Parsed<Bfd> {
    profiles.get(name).cloned().ok_or_else(|| {
        let known = names(profiles.keys().map(String::as_str));
        let instead = format!("add `[bfd.profile.{name}]`, or name one of {known}");
        Wrong::new(format!("there is no BFD profile `{name}`"), instead)
    })
}

/// What a range cannot have.
pub(super) fn check_range(reader: &Reader<'_>, bfd: Option<&Bfd>) {
    if bfd.is_some_and(|bfd| bfd.strict) {
        let what =
            "nobody of a range is known before it connects, so `strict` keeps all of them out";
        reader.error("bfd", what, "name a profile without `strict`");
    }
}

/// The word for a kind.
pub(super) fn word_of(kind: Kind) -> &'static str {
    let found = KINDS.iter().find(|(_, known)| *known == kind);
    found.map_or("", |(word, _)| word)
}
