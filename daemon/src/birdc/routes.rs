//! `show route` as BIRD 2 prints it, page by page.

use bgp_core::attributes::Origin;
use speaker::command::PeerName;
use speaker::view::{PathView, RoutePage, RouteQuery, RouteView, Source};

use super::Scene;
use super::protocols::name;
use super::query::Routes;
use super::reply::Reply;

/// The codes of lines with routes, and with their attributes.
const ROUTE: u16 = 1007;
const ATTRIBUTES: u16 = 1008;

/// An answer that is being written.
pub(super) struct Listing<'a> {
    scene: &'a Scene,
    asked: &'a Routes,
    told: Option<PeerName>,
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
        let told = asked
            .export
            .as_ref()
            .map(|wanted| peer(wanted).ok_or_else(unknown));
        let told = told.transpose()?;
        Ok(Self {
            scene,
            asked,
            told: told.map(|peer| PeerName::new(peer.address, peer.interface.as_deref())),
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
            best_only: self.asked.primary,
            advertised_to: self.told.clone(),
            ..RouteQuery::default()
        }
    }

    /// A table begins.
    pub(super) fn table(&mut self, table: &'static str) {
        self.table = table;
        self.headed = false;
        self.counted[0] = Count::default();
        self.tables += 1;
    }

    /// A page of it.
    pub(super) fn page(&mut self, page: &RoutePage) -> String {
        page.routes.iter().for_each(|route| self.route(route));
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
        if asked.count {
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

    fn route(&mut self, route: &RouteView) {
        let mut first = true;
        for count in &mut self.counted {
            count.prefixes += 1;
            count.paths += route.paths.len();
        }
        for path in &route.paths {
            let (protocol, since) = self.scene.protocol_of(&path.source);
            if self
                .asked
                .protocol
                .as_ref()
                .is_some_and(|wanted| *wanted != protocol)
            {
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
            self.head(&format!("{prefix:<20}"), &protocol, &since, path);
            if self.asked.all {
                attributes(&mut self.reply, path);
            }
        }
    }

    fn head(&mut self, prefix: &str, protocol: &str, since: &str, path: &PathView) {
        let a = &path.attributes;
        let (from, preference, via) = match &path.source {
            Source::Peer(peer) => (format!(" from {}", peer.address), "100", true),
            Source::Originate
            | Source::Static
            | Source::Connected
            | Source::Kernel
            | Source::Aggregate
            | Source::Api(_) => (String::new(), "200", !a.next_hop.addr().is_unspecified()),
        };
        let kind = match (via, path.valid) {
            (_, false) => "unreachable",
            (true, true) => "unicast",
            (false, true) => "blackhole",
        };
        let best = if path.best { " *" } else { "" };
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
        let text = format!(
            "{prefix} {kind} [{protocol} {since}{from}]{best} ({preference}) [{asn}{origin}]"
        );
        self.reply.line(ROUTE, &text);
        if via && path.valid {
            let next_hop = format!("\tvia {}", a.next_hop.addr());
            self.reply.line(ROUTE, &next_hop);
        }
    }
}

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
    let origin = match a.origin {
        Origin::Igp => "IGP",
        Origin::Egp => "EGP",
        Origin::Incomplete => "Incomplete",
    };
    line("BGP.origin", origin.to_owned());
    line("BGP.as_path", a.as_path.to_string());
    line("BGP.next_hop", a.next_hop.addr().to_string());
    if let Some(med) = a.med {
        line("BGP.med", med.to_string());
    }
    if let Some(local_pref) = a.local_pref {
        line("BGP.local_pref", local_pref.to_string());
    }
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
