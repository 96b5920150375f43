//! `protocol static`: routes of its own.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Context;
use super::kernel::Kernel;
use crate::ast::{Entry, Protocol};
use crate::flow::{Facts, Filter, Sets, Then, Way};
use crate::lexer::Place;
use crate::parse::{Cursor, body};

/// A static route.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) prefix: IpNet,
    pub(crate) via: Via,
    pub(crate) place: Place,
    /// The protocol it belongs to.
    pub(crate) proto: String,
    /// Whether the kernel gets it.
    pub(crate) installed: bool,
    /// What its own statements and the protocol's filter make of it.
    pub(crate) sets: Sets,
}

/// Where it leads.
#[derive(Clone, Debug)]
pub(crate) enum Via {
    Blackhole,
    Unreachable,
    Prohibit,
    Hops(Vec<Hop>),
}

/// A way.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    pub(crate) address: IpAddr,
    pub(crate) interface: Option<String>,
    pub(crate) weight: i64,
}

/// Reads all static routes.
pub(crate) fn all(context: &mut Context<'_>, kernel: &mut Kernel) -> Vec<Route> {
    let conf = context.world.conf;
    let mut routes: Vec<Route> = Vec::new();
    for protocol in conf
        .protocols
        .iter()
        .filter(|p| !p.template && p.kind == "static")
    {
        for route in of(context, protocol, kernel) {
            if routes.iter().any(|other| other.prefix == route.prefix) {
                let what = format!("{} is there twice: the first one stays", route.prefix);
                context.lose(route.place, what);
            } else {
                routes.push(route);
            }
        }
    }
    routes
}

fn of(context: &mut Context<'_>, protocol: &Protocol, kernel: &mut Kernel) -> Vec<Route> {
    let (mut routes, mut import) = (Vec::new(), None);
    let entries = context.body(protocol);
    let first = |entry: &Entry| {
        Cursor::new(&entry.tokens, entry.place)
            .word()
            .map(str::to_owned)
    };
    if entries.iter().any(|(_, entry)| context.is_disabled(entry)) {
        return Vec::new();
    }
    let others = ["roa4", "roa6", "vpn4", "vpn6", "flow4", "flow6", "mpls"];
    let other = entries
        .iter()
        .find_map(|(_, entry)| first(entry).filter(|word| others.contains(&word.as_str())));
    if let Some(kind) = other {
        let what = format!(
            "`protocol static {}`: windrose has no routes of `{kind}`",
            protocol.name
        );
        context.lose(protocol.place, what);
        return Vec::new();
    }
    for (_, entry) in entries {
        let mut cursor = Cursor::new(&entry.tokens, entry.place);
        match cursor.word().unwrap_or_default() {
            "route" => match route(context, protocol, &mut cursor, &entry) {
                Ok(route) => routes.push(route),
                Err(why) => context.lose(
                    entry.place,
                    format!("`{}`: {why}", crate::lexer::quote(&entry.tokens)),
                ),
            },
            "ipv4" | "ipv6" => {
                let inside = cursor.braced().and_then(crate::parse::entries);
                for entry in inside.unwrap_or_default() {
                    if !channel(&entry, &mut import) {
                        context.lose_entry(&entry);
                    }
                }
            }
            "debug" | "check" | "igp" | "description" => {
                if entry.tokens.len() > 2 && cursor.eat("link") {
                    context.note(
                        entry.place,
                        "`check link`: windrose's routes follow their links always",
                    );
                }
            }
            _ => {
                if !channel(&entry, &mut import) {
                    context.lose_entry(&entry);
                }
            }
        }
    }
    routes
        .into_iter()
        .filter_map(|route| finished(context, route, import.as_ref(), kernel))
        .collect()
}

/// `import …` of a channel; `false` if something else stands there.
fn channel(entry: &Entry, import: &mut Option<(Filter, Place)>) -> bool {
    let mut cursor = Cursor::new(&entry.tokens, entry.place);
    match cursor.word().unwrap_or_default() {
        "import" => match super::session::filter(&mut cursor, entry.place) {
            Some(filter) => {
                *import = Some((filter, entry.place));
                true
            }
            None => false,
        },
        // Nobody tells a static protocol anything.
        "export" => true,
        "table" => matches!(cursor.word(), Some("master" | "master4" | "master6")),
        _ => false,
    }
}

/// `PREFIX via …`, `PREFIX blackhole`, and what may stand after it in `{ }`.
fn route(
    context: &mut Context<'_>,
    protocol: &Protocol,
    cursor: &mut Cursor<'_>,
    entry: &Entry,
) -> Result<Route, String> {
    let prefix = context.prefix(cursor).ok_or("the prefix is not known")?;
    let via = via(context, cursor)?;
    if let Via::Hops(hops) = &via {
        let within = hops.iter().find(|hop| {
            prefix.prefix_len() != 0 && hop.interface.is_none() && prefix.contains(&hop.address)
        });
        if let Some(hop) = within {
            return Err(format!(
                "{} lies within {prefix}: windrose needs the interface",
                hop.address
            ));
        }
    }
    let mut route = Route {
        prefix,
        via,
        place: entry.place,
        proto: protocol.name.clone(),
        installed: true,
        sets: Sets::default(),
    };
    if cursor.peek_sign() == Some("{") {
        let inside = cursor.braced().map_err(|mistake| mistake.what)?;
        let filter = Filter::Body(body(inside, entry.place));
        // Without a decision it is taken.
        let filter = match filter {
            Filter::Body(mut body) => {
                let kind = crate::ast::StmtKind::Decide(true);
                let place = entry.place;
                body.push(crate::ast::Stmt { kind, place });
                Filter::Body(body)
            }
            Filter::All | Filter::None | Filter::Named(_) | Filter::Where(_) => filter,
        };
        route.sets = judged(context, &route, &filter, entry.place)?.unwrap_or_default();
    }
    if !cursor.is_done() {
        return Err("what follows the way has no translation".to_owned());
    }
    Ok(route)
}

fn via(context: &Context<'_>, cursor: &mut Cursor<'_>) -> Result<Via, String> {
    let multipath = cursor.eat("multipath");
    let mut hops = Vec::new();
    match cursor.peek_word().unwrap_or_default() {
        "blackhole" | "drop" if !multipath => {
            cursor.next();
            return Ok(Via::Blackhole);
        }
        "unreachable" | "reject" if !multipath => {
            cursor.next();
            return Ok(Via::Unreachable);
        }
        "prohibit" if !multipath => {
            cursor.next();
            return Ok(Via::Prohibit);
        }
        "recursive" if !multipath => {
            cursor.next();
            let address = context.ip(cursor).ok_or("the address is not known")?;
            // windrose looks every next hop up.
            return Ok(Via::Hops(vec![Hop {
                address,
                interface: None,
                weight: 1,
            }]));
        }
        _ => {}
    }
    while cursor.eat("via") {
        let address = context
            .ip(cursor)
            .ok_or("windrose needs the next hop's address")?;
        let mut hop = Hop {
            address,
            interface: None,
            weight: 1,
        };
        if cursor.eat("%") || cursor.eat("dev") {
            let name = cursor.text().map(str::to_owned);
            hop.interface = name.or_else(|| cursor.word().map(str::to_owned));
        }
        loop {
            if cursor.eat("weight") {
                hop.weight = context.number(cursor).ok_or("the weight is not known")?;
            } else if cursor.eat("bfd") {
                context.switch(cursor);
                return Err("BFD of a static route".to_owned());
            } else if cursor.eat("onlink") {
                return Err("`onlink`".to_owned());
            } else {
                break;
            }
        }
        hops.push(hop);
    }
    match hops.is_empty() {
        true => Err("windrose has `blackhole`, `unreachable`, `prohibit` and next hops".to_owned()),
        false => Ok(Via::Hops(hops)),
    }
}

/// What a filter sets on one route; `None`: it does not take it.
fn judged(
    context: &mut Context<'_>,
    route: &Route,
    filter: &Filter,
    place: Place,
) -> Result<Option<Sets>, String> {
    let draft = context.translate(filter, place, &route.facts(Way::Import));
    if let Some(accept) = draft.foregone() {
        return Ok(accept.then(Sets::default));
    }
    let only = draft.policies.first().filter(|_| draft.policies.len() == 1);
    let only = only.and_then(|policy| match policy.rules.as_slice() {
        [rule] if rule.cond.is_empty() && rule.then == Then::Decide(true) => {
            Some(rule.sets.clone())
        }
        [] | [_, ..] => None,
    });
    only.map(Some)
        .ok_or_else(|| "what is set on it is not known beforehand".to_owned())
}

/// Has the filters on a route's way judge it.
fn finished(
    context: &mut Context<'_>,
    mut route: Route,
    import: Option<&(Filter, Place)>,
    kernel: &mut Kernel,
) -> Option<Route> {
    if let Some((filter, place)) = import {
        match judged(context, &route, filter, *place) {
            Ok(Some(sets)) => match route.sets.clone().followed_by(&sets) {
                Some(both) => route.sets = both,
                None => context.lose(*place, "what is added to what a route's own statements set"),
            },
            Ok(None) => {
                context.note(
                    route.place,
                    format!("{} is not taken by `import`", route.prefix),
                );
                return None;
            }
            Err(why) => context.lose(*place, why),
        }
    }
    route.installed = kernel.takes(context, &route);
    Some(route)
}

impl Route {
    /// What is known of it.
    pub(crate) fn facts(&self, way: Way) -> Facts {
        Facts {
            six: self.prefix.addr().is_ipv6(),
            way,
            net: Some(self.prefix),
            source: Some("RTS_STATIC"),
            proto: Some(self.proto.clone()),
            from: None,
        }
    }

    /// Its only next hop, if it is one that peers can be told.
    pub(crate) fn gateway(&self) -> Option<IpAddr> {
        let Via::Hops(hops) = &self.via else {
            return None;
        };
        match hops.as_slice() {
            [only] => Some(only.address).filter(|address| !is_link_local(*address)),
            [] | [_, ..] => None,
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(six) if six.is_unicast_link_local())
}
