//! `show route` as BIRD 2 prints it, page by page.

use std::collections::BTreeSet;

use bgp_core::attributes::{NextHop, Origin};
use ipnet::IpNet;
use speaker::command::PeerName;
use speaker::view::{PathView, RoutePage, RouteQuery, RouteView, Source};

use super::Scene;
use super::condition::Filter;
use super::protocols::name;
use super::query::Routes;
use super::reply::Reply;

/// The codes of lines with routes, and with their attributes.
const ROUTE: u16 = 1007;
const ATTRIBUTES: u16 = 1008;

/// RFC 4271 leaves it open; all take this one.
const DEFAULT_LOCAL_PREF: u32 = 100;
/// The code of a condition that cannot be asked.
const CANNOT_ASK: u16 = 8008;

/// An answer that is being written.
pub(super) struct Listing<'a> {
    scene: &'a Scene,
    asked: &'a Routes,
    /// Whose export is asked about, and whether what is told it is wanted, or what is not.
    peer: Option<(PeerName, bool)>,
    filter: Option<Filter>,
    reply: Reply,
    table: &'static str,
    /// The table's name is written.
    headed: bool,
    /// Paths, and prefixes, of this table and of all.
    counted: [Count; 2],
    tables: usize,
}

#[derive(Clone, Copy, Default)]
struct Count {
    shown: usize,
    paths: usize,
    prefixes: usize,
}

impl<'a> Listing<'a> {
    /// Fails with the answer to whoever names a protocol that there is not.
    pub(super) fn new(scene: &'a Scene, asked: &'a Routes) -> Result<Self, String> {
        let peer = |wanted: &String| scene.peers.iter().find(|peer| name(peer) == *wanted);
        let ours = ["static1", "api1", "kernel1", "kernel2", "device1"];
        let unknown = || Reply::only(8003, "No such protocol");
        if let Some(wanted) = &asked.protocol
            && peer(wanted).is_none()
            && !ours.contains(&wanted.as_str())
        {
            return Err(unknown());
        }
        let wanted = asked.export.as_ref().map(|name| (name, true));
        let wanted = wanted.or(asked.untold.as_ref().map(|name| (name, false)));
        let named = |(wanted, told): (&String, bool)| {
            let peer = peer(wanted).ok_or_else(unknown)?;
            let name = PeerName::new(peer.address, peer.interface.as_deref());
            Ok::<_, String>((name, told))
        };
        let named = wanted.map(named).transpose()?;
        let filter = asked.condition.as_ref();
        let filter = filter.map(|text| Filter::new(text, scene.status.asn));
        let refused = |why: String| Reply::only(CANNOT_ASK, &why.replace(char::is_control, " "));
        let filter = filter.transpose().map_err(refused)?;
        Ok(Self {
            scene,
            asked,
            peer: named,
            filter,
            reply: Reply::default(),
            table: "",
            headed: false,
            counted: [Count::default(); 2],
            tables: 0,
        })
    }

    /// What the core is asked.
    pub(super) fn question(&self) -> RouteQuery {
        RouteQuery {
            prefix: self.asked.prefix,
            longer: self.asked.longer,
            best_only: self.asked.primary,
            ..RouteQuery::default()
        }
    }

    /// The prefix or address whose closest route is asked for.
    pub(super) const fn within(&self) -> Option<IpNet> {
        self.asked.within
    }

    /// Whose export is asked about.
    pub(super) fn peer(&self) -> Option<PeerName> {
        self.peer.as_ref().map(|(name, _)| name.clone())
    }

    /// A table begins.
    pub(super) fn table(&mut self, table: &'static str) {
        self.table = table;
        self.headed = false;
        self.counted[0] = Count::default();
        self.tables += 1;
    }

    /// A page of it, and which of its prefixes are told to the peer that is asked about.
    pub(super) fn page(&mut self, page: &RoutePage, told: &BTreeSet<IpNet>) -> String {
        for route in &page.routes {
            self.route(route, told.contains(&route.prefix));
        }
        self.reply.take()
    }

    /// It ends.
    pub(super) fn end_of_table(&mut self) -> String {
        if self.asked.count {
            let [
                Count {
                    shown,
                    paths,
                    prefixes,
                },
                _,
            ] = self.counted;
            let table = self.table;
            let text =
                format!("{shown} of {paths} routes for {prefixes} networks in table {table}");
            self.reply.line(ROUTE, &text);
        }
        self.reply.take()
    }

    /// All is said.
    pub(super) fn finish(self) -> String {
        let [
            _,
            Count {
                shown,
                paths,
                prefixes,
            },
        ] = self.counted;
        let (tables, asked) = (self.tables, self.asked);
        if asked.count && tables > 1 {
            let total = format!(
                "Total: {shown} of {paths} routes for {prefixes} networks in {tables} tables"
            );
            return self.reply.end(14, &total);
        }
        if shown == 0 && (asked.prefix.is_some() || asked.within.is_some()) {
            return Reply::only(8001, "Network not found");
        }
        self.reply.end(0, "")
    }

    fn route(&mut self, route: &RouteView, told: bool) {
        let mut first = true;
        // What import does not take is no route, unless it is asked for.
        let filtered = self.asked.filtered;
        let is_route = |path: &&PathView| path.accepted != filtered;
        let count = route.paths.iter().filter(is_route).count();
        for counted in &mut self.counted {
            counted.prefixes += usize::from(count > 0);
            counted.paths += count;
        }
        for path in route.paths.iter().filter(is_route) {
            if !self.is_exported(path, told) {
                continue;
            }
            let (protocol, since) = self.scene.protocol_of(&path.source);
            if self
                .asked
                .protocol
                .as_ref()
                .is_some_and(|wanted| *wanted != protocol)
            {
                continue;
            }
            let filter = &mut self.filter;
            let holds = |filter: &mut Filter| filter.holds(route.prefix, &protocol, path);
            if !filter.as_mut().is_none_or(holds) {
                continue;
            }
            self.counted.iter_mut().for_each(|count| count.shown += 1);
            if self.asked.count {
                continue;
            }
            if !std::mem::replace(&mut self.headed, true) {
                let table = format!("Table {}:", self.table);
                self.reply.line(ROUTE, &table);
            }
            let prefix = if std::mem::take(&mut first) {
                route.prefix.to_string()
            } else {
                String::new()
            };
            let since = self.scene.time(since);
            let prefix = format!("{prefix:<20}");
            self.head(&prefix, &protocol, &since, path, is_first(route, path));
            if self.asked.all {
                attributes(&mut self.reply, path);
            }
        }
    }

    /// Whether the peer that is asked about is told it, or is not though it could be.
    fn is_exported(&self, path: &PathView, told: bool) -> bool {
        let Some((peer, wanted)) = &self.peer else {
            return true;
        };
        let own = matches!(&path.source, Source::Peer(source) if source == peer);
        path.best && !own && told == *wanted
    }

    fn head(&mut self, prefix: &str, protocol: &str, since: &str, path: &PathView, first: bool) {
        let a = &path.attributes;
        let (from, preference, via) = match &path.source {
            // BIRD says it where the next hop does not.
            Source::Peer(peer) if peer.address == a.next_hop.addr() => (String::new(), "100", true),
            Source::Peer(peer) => (format!(" from {}", peer.address), "100", true),
            Source::Originate
            | Source::Static
            | Source::Connected
            | Source::Kernel
            | Source::Aggregate
            | Source::Api(_) => (String::new(), "200", !a.next_hop.addr().is_unspecified()),
        };
        let kind = match (via, path.valid || !path.accepted) {
            (_, false) => "unreachable",
            (true, true) => "unicast",
            (false, true) => "blackhole",
        };
        let best = if first { " *" } else { "" };
        let is_bgp = matches!(path.source, Source::Peer(_));
        let asn = a
            .as_path
            .origin_as()
            .map(|asn| format!("AS{asn}"))
            .unwrap_or_default();
        let origin = match a.origin {
            Origin::Igp => 'i',
            Origin::Egp => 'e',
            Origin::Incomplete => '?',
        };
        let origin = if is_bgp {
            format!(" [{asn}{origin}]")
        } else {
            String::new()
        };
        let text =
            format!("{prefix} {kind} [{protocol} {since}{from}]{best} ({preference}){origin}");
        self.reply.line(ROUTE, &text);
        if via && (path.valid || !path.accepted) {
            let next_hop = format!("\tvia {}", a.next_hop.addr());
            self.reply.line(ROUTE, &next_hop);
        }
    }
}

/// Whether it is what BIRD puts first: the best one, or of those that import does not take the first.
fn is_first(route: &RouteView, path: &PathView) -> bool {
    let refused = || route.paths.iter().all(|path| !path.accepted);
    let first = route.paths.first();
    path.best || refused() && first.is_some_and(|first| std::ptr::eq(first, path))
}

/// The attributes of a path; our own routes have none of BGP.
fn attributes(reply: &mut Reply, path: &PathView) {
    let a = &path.attributes;
    let kind = match path.source {
        Source::Peer(_) => "BGP univ",
        Source::Connected => "device univ",
        Source::Kernel => "inherit univ",
        Source::Originate | Source::Static | Source::Aggregate | Source::Api(_) => "static univ",
    };
    let mut line = |key: &str, value: String| reply.line(ATTRIBUTES, &format!("\t{key}: {value}"));
    line("Type", kind.to_owned());
    if !matches!(path.source, Source::Peer(_)) {
        return;
    }
    let origin = match a.origin {
        Origin::Igp => "IGP",
        Origin::Egp => "EGP",
        Origin::Incomplete => "Incomplete",
    };
    line("BGP.origin", origin.to_owned());
    line("BGP.as_path", a.as_path.to_string());
    let link_local = match a.next_hop {
        NextHop::V6WithLinkLocal(_, link_local) => format!(" {link_local}"),
        NextHop::V4(_) | NextHop::V6(_) => String::new(),
    };
    line("BGP.next_hop", format!("{}{link_local}", a.next_hop.addr()));
    if let Some(med) = a.med {
        line("BGP.med", med.to_string());
    }
    // BIRD gives what peers of other ASes tell the default at once.
    let local_pref = a.local_pref.unwrap_or(DEFAULT_LOCAL_PREF);
    line("BGP.local_pref", local_pref.to_string());
    let join = |items: Vec<String>| items.join(" ");
    if !a.communities.is_empty() {
        let pairs = a
            .communities
            .iter()
            .map(|c| format!("({},{})", c.0 >> 16, c.0 & 0xffff));
        line("BGP.community", join(pairs.collect()));
    }
    if !a.ext_communities.is_empty() {
        let groups = a.ext_communities.iter();
        let groups = groups.map(|c| format!("({})", c.to_string().replace(':', ", ")));
        line("BGP.ext_community", join(groups.collect()));
    }
    if !a.large_communities.is_empty() {
        let groups = a.large_communities.iter();
        let groups = groups.map(|c| format!("({}, {}, {})", c.global, c.local1, c.local2));
        line("BGP.large_community", join(groups.collect()));
    }
}
