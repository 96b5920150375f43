//! `protocol bgp`: who it speaks to, and its channels.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::bfd::Wish;
use super::{Context, options};
use crate::ast::{Entry, Protocol};
use crate::flow::Filter;
use crate::lexer::Place;
use crate::parse::{Cursor, body, entries, expression};

/// What BIRD waits for if the file does not say (windrose: 90 s).
const HOLD_TIME: &str = "\"240s\"";

/// A session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) template: Option<String>,
    pub(crate) place: Place,
    pub(crate) neighbor: Neighbor,
    /// The peer's AS number, if it is said.
    pub(crate) asn: Option<u32>,
    /// `neighbor … internal`, `external`.
    pub(crate) internal: Option<bool>,
    pub(crate) local_as: Option<u32>,
    /// Keys of windrose, and their values as TOML.
    pub(crate) keys: BTreeMap<&'static str, String>,
    /// IPv4's, IPv6's.
    pub(crate) channels: BTreeMap<bool, Channel>,
    /// `rr cluster id`.
    pub(crate) cluster_id: Option<(IpAddr, Place)>,
    /// `local … port`.
    pub(crate) listen: Option<(i64, Place)>,
    /// The peer is said to be on a link of ours.
    pub(crate) direct: bool,
    pub(crate) bfd: Wish,
}

/// Who is spoken to.
#[derive(Clone, Debug)]
pub(crate) enum Neighbor {
    Address(IpAddr),
    Range(IpNet),
}

/// What goes over a session of one family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Channel {
    pub(crate) import: Option<Use>,
    pub(crate) export: Option<Use>,
    /// Keys of windrose, which has them for both families at once.
    pub(crate) keys: BTreeMap<&'static str, (String, Place)>,
    /// How many prefixes, and what happens then; whether filters come before.
    pub(crate) limit: Option<Limit>,
}

/// A filter, where it is, and in whose statements.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) filter: Filter,
    pub(crate) place: Place,
    pub(crate) owner: String,
}

/// `import limit`, `receive limit`.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    pub(crate) count: i64,
    pub(crate) then: &'static str,
    pub(crate) place: Place,
}

/// What is read of a session, before it is known whole.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) neighbor: Option<Neighbor>,
    pub(crate) asn: Option<u32>,
    pub(crate) internal: Option<bool>,
    pub(crate) local_as: Option<u32>,
    pub(crate) keys: BTreeMap<&'static str, String>,
    pub(crate) channels: BTreeMap<bool, Channel>,
    /// Of BIRD 1, which has no channels.
    pub(crate) bare: Channel,
    pub(crate) cluster_id: Option<(IpAddr, Place)>,
    pub(crate) listen: Option<(i64, Place)>,
    pub(crate) direct: bool,
    pub(crate) bfd: Wish,
}

/// Reads a session; what is not understood is noted.
pub(crate) fn read(context: &mut Context<'_>, protocol: &Protocol) -> Option<Session> {
    let mut reading = Reading::default();
    for (owner, entry) in context.body(protocol) {
        let mut cursor = Cursor::new(&entry.tokens, entry.place);
        if !statement(context, &mut reading, &owner, &entry, &mut cursor) {
            context.lose_entry(&entry);
        }
    }
    let Some(neighbor) = reading.neighbor else {
        let what = format!("`protocol bgp {}` has no neighbor", protocol.name);
        context.lose(protocol.place, what);
        return None;
    };
    if reading.channels.is_empty() {
        let six = match &neighbor {
            Neighbor::Address(address) => address.is_ipv6(),
            Neighbor::Range(net) => net.addr().is_ipv6(),
        };
        reading.channels.insert(six, reading.bare);
    }
    // One that a range accepted has a name of its own, in BIRD and here.
    if matches!(neighbor, Neighbor::Address(_)) {
        reading
            .keys
            .insert("birdc-name", crate::toml::text(&protocol.name));
    }
    let mut session = Session {
        name: protocol.name.clone(),
        template: protocol.from.clone(),
        place: protocol.place,
        neighbor,
        asn: reading.asn,
        internal: reading.internal,
        local_as: reading.local_as,
        keys: reading.keys,
        channels: reading.channels,
        cluster_id: reading.cluster_id,
        listen: reading.listen,
        direct: reading.direct,
        bfd: reading.bfd,
    };
    let hold_time = session.keys.entry("hold-time");
    hold_time.or_insert_with(|| HOLD_TIME.to_owned());
    options::settle(context, &mut session);
    Some(session)
}

/// One statement; `false` if it has no translation.
fn statement(
    context: &mut Context<'_>,
    reading: &mut Reading,
    owner: &str,
    entry: &Entry,
    cursor: &mut Cursor<'_>,
) -> bool {
    let six = match cursor.peek_word() {
        Some("ipv4") => false,
        Some("ipv6") => true,
        Some(_) | None => {
            let mut bare = std::mem::take(&mut reading.bare);
            let known = options::of_session(context, reading, entry, cursor)
                || channel_statement(context, &mut bare, owner, entry);
            reading.bare = bare;
            return known;
        }
    };
    cursor.next();
    let mut channel = reading.channels.remove(&six).unwrap_or_default();
    let known = cursor.is_done() || cursor.peek_sign() == Some("{");
    let inside = match cursor.peek_sign() {
        Some("{") => cursor.braced().and_then(entries).unwrap_or_default(),
        Some(_) | None => Vec::new(),
    };
    for entry in inside {
        if !channel_statement(context, &mut channel, owner, &entry) {
            context.lose_entry(&entry);
        }
    }
    if known {
        reading.channels.insert(six, channel);
    }
    known
}

fn channel_statement(
    context: &mut Context<'_>,
    channel: &mut Channel,
    owner: &str,
    entry: &Entry,
) -> bool {
    let mut cursor = Cursor::new(&entry.tokens, entry.place);
    let way = cursor.peek_word().unwrap_or_default().to_owned();
    if way != "import" && way != "export" {
        return options::of_channel(context, channel, entry, &mut cursor);
    }
    let mut after = cursor.clone();
    after.next();
    match after.peek_word() {
        Some("limit" | "keep" | "table" | "block") => {
            options::of_channel(context, channel, entry, &mut cursor)
        }
        Some(_) | None => match filter(&mut after, entry.place) {
            Some(filter) => {
                let slot = if way == "import" {
                    &mut channel.import
                } else {
                    &mut channel.export
                };
                *slot = Some(Use {
                    filter,
                    place: entry.place,
                    owner: owner.to_owned(),
                });
                true
            }
            None => false,
        },
    }
}

/// `all`, `none`, `filter …`, `where …`.
pub(crate) fn filter(cursor: &mut Cursor<'_>, place: Place) -> Option<Filter> {
    match cursor.word()? {
        "all" => Some(Filter::All),
        "none" => Some(Filter::None),
        "filter" => match cursor.peek_word() {
            Some(name) => Some(Filter::Named(name.to_owned())),
            None => Some(Filter::Body(body(cursor.braced().ok()?, place))),
        },
        "where" => expression(cursor).ok().map(Filter::Where),
        _ => None,
    }
}

impl Session {
    /// Whether the peer is in our AS, if that is known. `asn` is the router's.
    pub(crate) fn is_internal(&self, asn: Option<u32>) -> Option<bool> {
        let own = self.local_as.or(asn);
        self.internal.or_else(|| Some(own? == self.asn?))
    }
}
