//! The model: Adj-RIBs-In as a map, everything else computed anew each time, by brute force.

use bgp_core::attributes::ExtendedCommunity;

use super::station::Station;
use super::*;
use crate::PeerCounts;
use crate::monitor::Stage;
use crate::policy::{
    Action, CommunitiesConfig, MatchConfig, PolicyConfig, RuleConfig, SetConfig, SetsConfig, Then,
};

/// A peer that came back was told a path of its former session, and not rid of it.
const SEEDS_WITH_FAULTS: [u64; 1] = [427];

const PREFIXES: u64 = 12;
const PEERS: u32 = 6;
const SORTS: [Sort; 5] = [
    Sort::External,
    Sort::External,
    Sort::Internal,
    Sort::Client,
    Sort::Served,
];

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn small(&mut self, n: u64) -> u32 {
        u32::try_from(self.below(n)).unwrap()
    }
}

/// A chain, and what the model knows of it.
#[derive(Clone, Copy, Debug)]
enum Rule {
    Missing,
    Accept,
    /// Prefixes 10.4.0.0/14 get LOCAL_PREF 300.
    Prefer,
    /// All get a MED and a community.
    Tag,
    /// Prefixes 10.4.0.0/14 are rejected.
    Drop,
}

const RULES: [Rule; 6] = [
    Rule::Missing,
    Rule::Accept,
    Rule::Accept,
    Rule::Prefer,
    Rule::Tag,
    Rule::Drop,
];
const TAG: Community = Community(7);

impl Rule {
    fn chain(self, policies: &Policies) -> Option<Chain> {
        let name = match self {
            Self::Missing => return None,
            Self::Accept => "accept",
            Self::Prefer => "prefer",
            Self::Tag => "tag",
            Self::Drop => "drop",
        };
        Some(policies.chain(&[name.to_owned()]).unwrap())
    }

    fn apply(self, prefix: IpNet, attributes: &Attributes) -> Option<Attributes> {
        let within = "10.4.0.0/14".parse::<IpNet>().unwrap().contains(&prefix);
        let mut attributes = attributes.clone();
        match self {
            Self::Missing => return None,
            Self::Drop if within => return None,
            Self::Prefer if within => attributes.local_pref = Some(300),
            Self::Tag => {
                attributes.med = Some(9);
                attributes.communities.retain(|c| *c != TAG);
                attributes.communities.push(TAG);
            }
            Self::Accept | Self::Prefer | Self::Drop => {}
        }
        Some(attributes)
    }
}

fn policies() -> Policies {
    let within = MatchConfig {
        prefixes: vec!["10.4.0.0/14 le 32".to_owned()],
        ..MatchConfig::default()
    };
    let policy = |name: &str, matches: &MatchConfig, set, then| PolicyConfig {
        name: name.to_owned(),
        default: Some(Action::Accept),
        rules: vec![RuleConfig {
            matches: matches.clone(),
            set,
            then,
        }],
    };
    let prefer = SetConfig {
        local_pref: Some("300".to_owned()),
        ..SetConfig::default()
    };
    let tag = SetConfig {
        med: Some("9".to_owned()),
        communities: CommunitiesConfig {
            add: vec![TAG.to_string()],
            ..CommunitiesConfig::default()
        },
        ..SetConfig::default()
    };
    let any = MatchConfig::default();
    let all = [
        policy("prefer", &within, prefer, Then::Next),
        policy("tag", &any, tag, Then::Next),
        policy(
            "drop",
            &within,
            SetConfig::default(),
            Then::Decide(Action::Reject),
        ),
    ];
    Policies::compile(&SetsConfig::default(), &all).unwrap()
}

#[derive(Clone, Debug)]
struct ModelPeer {
    session: PeerSession,
    sort: Sort,
    import: Rule,
    export: Rule,
    told: BTreeMap<IpNet, Attributes>,
    listener: Listener,
}

/// Whose it is, and what it costs.
type Route<'a> = (u32, &'a ModelPeer, Attributes, u64);

/// Stands beside our AS number where a session has it so.
const LOCAL: u32 = 64_998;

/// The path with its AS numbers for private use and the peer's own as the peer's rules have them.
fn rewritten(path: &AsPath, listener: &PeerSession) -> AsPath {
    let rules = listener.as_path;
    let mut asns = Vec::new();
    for asn in path.asns() {
        let private = (64512..65535).contains(&asn);
        if asn == listener.asn {
            asns.push(if rules.override_peer { OURS } else { asn });
        } else if !private || rules.private == PrivateAs::Keep {
            asns.push(asn);
        } else if rules.private == PrivateAs::Replace {
            asns.push(OURS);
        }
    }
    AsPath::sequence(asns)
}

struct World {
    seed: u64,
    rib: Rib,
    random: Random,
    policies: Arc<Policies>,
    peers: BTreeMap<u32, ModelPeer>,
    costs: BTreeMap<IpAddr, Resolved>,
    multipath: Multipath,
    fib: BTreeMap<IpNet, Forwarding>,
    station: Option<Station>,
}

fn prefix(n: u64) -> IpNet {
    match n % 4 {
        3 => format!("2001:db8:{n:x}::/48").parse().unwrap(),
        _ => format!("10.{n}.0.0/16").parse().unwrap(),
    }
}

fn hop(n: u64, prefix: IpNet) -> NextHop {
    match prefix {
        IpNet::V4(_) => NextHop::V4(Ipv4Addr::new(172, 16, 0, u8::try_from(n).unwrap())),
        IpNet::V6(_) => NextHop::V6(format!("2001:db8:ffff::{n}").parse().unwrap()),
    }
}

fn ip(next_hop: NextHop) -> IpAddr {
    match next_hop {
        NextHop::V4(address) => address.into(),
        NextHop::V6(address) | NextHop::V6WithLinkLocal(address, _) => address.into(),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let width = [1, 1, 2, 4][usize::try_from(random.below(4)).unwrap()];
        let multipath = Multipath {
            width,
            tolerance: [0, 30][usize::try_from(random.below(2)).unwrap()],
        };
        let config = Config {
            multipath,
            assume_reachable: random.below(4) > 0,
            ..config()
        };
        let policies = Arc::new(policies());
        let mut rib = Rib::new(config);
        rib.tell_spares(true);
        rib.set_policies(Arc::clone(&policies));
        Self {
            seed,
            rib,
            random,
            policies,
            peers: BTreeMap::new(),
            costs: BTreeMap::new(),
            multipath,
            fib: BTreeMap::new(),
            station: None,
        }
    }

    fn step(&mut self) {
        let peer = self.random.small(PEERS.into());
        let n = self.random.below(PREFIXES);
        match self.random.below(44) {
            0 => self.up(peer),
            1 => {
                self.station_hears_end(peer);
                self.rib.peer_down(PeerId(peer));
                self.peers.remove(&peer);
            }
            40 if n < 3 => self.station(),
            40..=43 => self.station_reads(),
            2 => self.change_policy(peer),
            3 => self.next_hop(),
            4 => {
                let family = Family::ALL[usize::try_from(n % 2).unwrap()];
                self.rib
                    .refresh_requested(PeerId(peer), family, n.is_multiple_of(3));
            }
            5..=16 => self.announce(peer, n),
            17..=22 => self.withdraw(peer, n),
            23 => self.local(n),
            24 => drop(self.hear_fib(1)),
            // Peers read at paces of their own: the last ones seldom.
            pace => {
                if pace % 8 >= u64::from(peer) {
                    self.transmit(peer, 1);
                }
            }
        }
    }

    fn up(&mut self, peer: u32) {
        let sort = SORTS[usize::try_from(self.random.below(5)).unwrap()];
        let mut session = session(peer, sort);
        if self.random.below(3) == 0 {
            session.identifier = address(100 + peer);
        }
        // Others are told up to so many paths.
        if let Some(limit) =
            [None, None, Some(1), Some(2), Some(3)][usize::try_from(self.random.below(5)).unwrap()]
        {
            session.add_path_send = PerFamily {
                ipv4: Some(limit),
                ipv6: Some(limit),
            };
        }
        let any = |random: &mut Random| random.below(4) == 0;
        session.as_path = AsPathRules {
            inbound: any(&mut self.random).then_some(LOCAL),
            outbound: any(&mut self.random).then_some(LOCAL),
            private: [PrivateAs::Keep, PrivateAs::Remove, PrivateAs::Replace]
                [usize::try_from(self.random.below(3)).unwrap()],
            override_peer: any(&mut self.random),
        };
        session.link_bandwidth = any(&mut self.random);
        if session.is_internal() {
            session.as_path.inbound = None;
        }
        self.station_hears_end(peer);
        self.rib.peer_up(PeerId(peer), session.clone());
        let model = ModelPeer {
            sort,
            import: Rule::Accept,
            export: Rule::Accept,
            told: BTreeMap::new(),
            listener: Listener {
                add_path: session.add_path_send.ipv4.is_some(),
                ..Listener::of(sort)
            },
            session,
        };
        if let Some(station) = &mut self.station {
            station.up(&mut self.rib, peer, &model.listener);
        }
        self.peers.insert(peer, model);
    }

    /// The station goes, or comes.
    fn station(&mut self) {
        if let Some(station) = self.station.take() {
            return station.disconnect(&mut self.rib);
        }
        let peers = self.peers.iter().filter(|(id, _)| **id != 100);
        let peers = peers.map(|(id, peer)| (*id, peer.listener.clone()));
        self.station = Some(Station::connect(&mut self.rib, peers));
    }

    fn station_hears_end(&mut self, peer: u32) {
        if let Some(station) = &mut self.station {
            station.down(&mut self.rib, peer);
        }
    }

    fn station_reads(&mut self) {
        let station = self.station.as_mut();
        if station.is_some_and(|station| !station.read(&mut self.rib)) {
            self.station();
            self.station();
        }
    }

    /// The station's picture is what there is.
    fn check_station(&mut self) {
        let done = |world: &Self| {
            let station = world.station.as_ref();
            station.is_none_or(|station| station.is_done(&world.rib))
        };
        while !done(self) {
            self.station_reads();
        }
        let Some(station) = &self.station else {
            return;
        };
        for (id, peer) in self.peers.iter().filter(|(id, _)| **id != 100) {
            let seed = self.seed;
            let heard = |stage| &station.heard[&(*id, stage)].routes;
            assert_eq!(heard(Stage::PrePolicy), &peer.told, "{id}, seed {seed}");
            let passed = peer.told.iter().filter_map(|(prefix, attributes)| {
                let looped = attributes.as_path.contains(OURS);
                let passed = peer.import.apply(*prefix, attributes);
                Some((*prefix, passed.filter(|_| !looped)?))
            });
            let passed: BTreeMap<IpNet, Attributes> = passed.collect();
            assert_eq!(heard(Stage::PostPolicy), &passed, "{id}, seed {seed}");
            let seat = &station.seats[id];
            if seat.add_path {
                assert_eq!(seat.paths, peer.listener.paths, "{id}, seed {seed}");
            } else {
                assert_eq!(seat.routes, peer.listener.routes, "{id}, seed {seed}");
            }
        }
        for n in 0..PREFIXES {
            let prefix = prefix(n);
            let chosen = self.chosen(prefix);
            let best = chosen.first().map(|(_, _, attributes, _)| {
                let mut attributes = attributes.clone();
                if attributes.next_hop == OURSELVES {
                    attributes.next_hop = match prefix {
                        IpNet::V4(_) => NextHop::V4(OUR_ID),
                        IpNet::V6(_) => NextHop::V6(OUR_ID.to_ipv6_mapped()),
                    };
                }
                attributes
            });
            let told = station.loc_rib.routes.get(&prefix);
            assert_eq!(told, best.as_ref(), "{prefix}, seed {}", self.seed);
        }
    }

    fn change_policy(&mut self, peer: u32) {
        let which = self.random.below(4);
        let limit = u8::try_from(1 + self.random.below(3)).unwrap();
        let rule = RULES[usize::try_from(self.random.below(6)).unwrap()];
        let Some(model) = self.peers.get_mut(&peer) else {
            return;
        };
        match which {
            0 => model.import = rule,
            1 => model.export = rule,
            2 => {
                let send = &mut model.session.add_path_send;
                (send.ipv4, send.ipv6) = (send.ipv4.map(|_| limit), send.ipv6.map(|_| limit));
            }
            _ if model.session.asn != OURS => {}
            _ => model.session.rr_client = !model.session.rr_client,
        }
        model.session.import = model.import.chain(&self.policies);
        model.session.export = model.export.chain(&self.policies);
        let session = model.session.clone();
        self.rib.update_peer(PeerId(peer), session);
    }

    fn next_hop(&mut self) {
        let prefix_of = prefix;
        let (n, prefix) = (self.random.below(3), prefix(self.random.below(4)));
        let address = ip(hop(n, prefix));
        let cost =
            [None, Some(0), Some(5), Some(10)][usize::try_from(self.random.below(4)).unwrap()];
        // Routes of ours lead to it, and it would cost something else without.
        let mut without = Vec::new();
        if cost.is_some() && self.random.below(2) == 0 {
            for n in 0..PREFIXES {
                if self.random.below(2) == 0 {
                    let costs = [None, Some(0), Some(7)];
                    let cost = costs[usize::try_from(self.random.below(3)).unwrap()];
                    without.push((prefix_of(n), cost));
                }
            }
        }
        let rates = [None, None, Some(8_000), Some(80_000)];
        let resolved = Resolved {
            cost,
            without,
            rate: rates[usize::try_from(self.random.below(4)).unwrap()],
        };
        self.costs.insert(address, resolved.clone());
        let key = NextHopKey {
            address,
            interface: None,
            direct: false,
        };
        self.rib.set_next_hop(key, resolved);
    }

    fn announce(&mut self, peer: u32, n: u64) {
        let prefix = prefix(n);
        let attributes = self.attributes(prefix, peer);
        let Some(model) = self.peers.get_mut(&peer) else {
            return;
        };
        let body = update(&prefix.to_string(), Some(&attributes));
        self.rib.receive(PeerId(peer), &body).unwrap();
        let mut attributes = attributes;
        if model.session.asn != OURS {
            attributes.local_pref = None;
        }
        if let Some(asn) = model.session.as_path.inbound {
            attributes.as_path.prepend(asn, 1);
        }
        model.told.insert(prefix, attributes);
        self.tell_costs();
    }

    fn attributes(&mut self, prefix: IpNet, peer: u32) -> Attributes {
        let random = &mut self.random;
        let mut path =
            vec![65000 + random.small(2) + peer / 3; usize::try_from(1 + random.below(2)).unwrap()];
        if random.below(12) == 0 {
            path.push(OURS);
        }
        let mut attributes = route(path);
        attributes.next_hop = hop(random.below(3), prefix);
        attributes.med = [None, Some(0), Some(5)][usize::try_from(random.below(3)).unwrap()];
        attributes.local_pref =
            Some([100, 100, 100, 200][usize::try_from(random.below(4)).unwrap()]);
        attributes.aigp = [None, None, Some(7)][usize::try_from(random.below(3)).unwrap()];
        if random.below(8) == 0 {
            attributes.communities.push(Community::NO_EXPORT);
        }
        attributes
    }

    /// The resolver tells again what it knows of next hops that were untracked meanwhile.
    fn tell_costs(&mut self) {
        for change in self.rib.drain_next_hop_changes() {
            if let NextHopChange::Track(key) = change
                && let Some(cost) = self.costs.get(&key.address)
            {
                self.rib.set_next_hop(key, cost.clone());
            }
        }
    }

    fn withdraw(&mut self, peer: u32, n: u64) {
        let Some(model) = self.peers.get_mut(&peer) else {
            return;
        };
        let prefix = prefix(n);
        let body = update(&prefix.to_string(), None);
        self.rib.receive(PeerId(peer), &body).unwrap();
        model.told.remove(&prefix);
    }

    fn local(&mut self, n: u64) {
        let prefix = prefix(n);
        let source = LocalSource {
            peer: PeerId(100),
            path_id: 0,
        };
        let local = self.peers.entry(100).or_insert_with(|| ModelPeer {
            session: PeerSession {
                identifier: OUR_ID,
                address: Ipv4Addr::UNSPECIFIED.into(),
                ..session(100, Sort::Internal)
            },
            sort: Sort::Internal,
            import: Rule::Accept,
            export: Rule::Missing,
            told: BTreeMap::new(),
            listener: Listener::default(),
        });
        if local.told.remove(&prefix).is_some() {
            assert!(self.rib.withdraw_local(source, prefix));
            return;
        }
        let mut attributes = route([]);
        attributes.next_hop = OURSELVES;
        attributes.med = Some(3);
        self.rib.announce_local(source, prefix, &attributes, None);
        local.told.insert(prefix, attributes);
    }

    fn transmit(&mut self, peer: u32, max: usize) {
        let mut out = Vec::new();
        self.rib.transmit(PeerId(peer), max, &mut out);
        if let Some(model) = self.peers.get_mut(&peer) {
            model.listener.hear(&out);
        }
    }

    fn hear_fib(&mut self, max: usize) -> bool {
        let fib = &mut self.fib;
        self.rib.fib_next(max, &mut |prefix, forwarding| {
            match forwarding {
                Some((forwarding, _)) => fib.insert(prefix, forwarding),
                None => fib.remove(&prefix),
            };
        })
    }

    fn cost(&self, next_hop: NextHop, prefix: IpNet) -> Option<u64> {
        if ip(next_hop).is_unspecified() {
            return Some(0);
        }
        let unknown = self.rib.core.config.assume_reachable.then_some(0);
        self.costs.get(&ip(next_hop)).map_or(unknown, |resolved| {
            let itself = resolved.without.iter().find(|(net, _)| *net == prefix);
            itself.map_or(resolved.cost, |(_, cost)| *cost)
        })
    }

    /// The routes to `prefix` that may be chosen, with their interior costs.
    fn eligible(&self, prefix: IpNet) -> Vec<Route<'_>> {
        let mut eligible = Vec::new();
        for (id, peer) in &self.peers {
            let Some(attributes) = peer.told.get(&prefix) else {
                continue;
            };
            let Some(cost) = self.cost(attributes.next_hop, prefix) else {
                continue;
            };
            if !attributes.as_path.contains(OURS)
                && let Some(attributes) = peer.import.apply(prefix, attributes)
            {
                eligible.push((*id, peer, attributes, cost));
            }
        }
        eligible
    }

    /// All that share the traffic, the best one first. By removing whoever is beaten by anybody, step by step.
    fn chosen(&self, prefix: IpNet) -> Vec<Route<'_>> {
        self.chosen_of(self.eligible(prefix))
    }

    /// All, in the order of the decision: the best one, the best of the others, and so on.
    fn ranked(&self, prefix: IpNet) -> Vec<Route<'_>> {
        let mut left = self.eligible(prefix);
        let mut ranked: Vec<Route<'_>> = Vec::new();
        while !left.is_empty() {
            let best = self.chosen_of(left.clone()).swap_remove(0);
            left.retain(|route| route.0 != best.0);
            ranked.push(best);
        }
        ranked
    }

    fn chosen_of<'a>(&self, mut left: Vec<Route<'a>>) -> Vec<Route<'a>> {
        let everybody = left.clone();
        let class = |r: &Route<'_>| match (r.0, r.1.sort) {
            (100, _) => 0,
            (_, Sort::External | Sort::Served) => 1,
            (_, Sort::Internal | Sort::Client) => 2,
        };
        let before_med = |r: &Route<'_>| {
            (
                u32::MAX - r.2.local_pref.unwrap_or(100),
                class(r) != 0,
                r.2.aigp.map_or(u64::MAX, |aigp| aigp + r.3),
                r.2.as_path.len_for_decision(),
            )
        };
        let all = left.clone();
        left.retain(|r| all.iter().all(|o| before_med(r) <= before_med(o)));
        let all = left.clone();
        let med = |r: &Route<'_>| r.2.med.unwrap_or(0);
        left.retain(|r| {
            let rivals = all
                .iter()
                .filter(|o| o.2.as_path.neighbor_as() == r.2.as_path.neighbor_as());
            rivals.into_iter().all(|o| med(r) <= med(o))
        });
        let all = left.clone();
        left.retain(|r| all.iter().all(|o| (class(r), r.3) <= (class(o), o.3)));
        left.sort_by_key(|r| (r.1.session.identifier, r.1.session.address, r.0));
        if self.multipath.width == 1 {
            left.truncate(1);
            return left;
        }
        if let Some(best) = left.first().cloned() {
            self.add_near(everybody, &best, &mut left);
        }
        left.truncate(usize::from(self.multipath.width));
        left
    }

    /// Those that cost a little more share the traffic too.
    fn add_near<'a>(&self, everybody: Vec<Route<'a>>, best: &Route<'a>, left: &mut Vec<Route<'a>>) {
        let med = |r: &Route<'_>| r.2.med.unwrap_or(0);
        let class = |r: &Route<'_>| {
            (
                r.0 == 100,
                matches!(r.1.sort, Sort::External | Sort::Served),
            )
        };
        let equals: Vec<u32> = left.iter().map(|r| r.0).collect();
        let like = |r: &Route<'_>| {
            let pref = r.2.local_pref.unwrap_or(100);
            (
                pref,
                class(r),
                r.2.as_path.len_for_decision(),
                r.2.origin,
                r.2.cluster_list.len(),
            )
        };
        let total = |r: &Route<'_>| r.2.aigp.map_or(r.3, |aigp| aigp + r.3);
        let limit = total(best) * u64::from(100 + self.multipath.tolerance);
        let near = everybody.into_iter().filter(|r| {
            !equals.contains(&r.0)
                && self.multipath.tolerance > 0
                && like(r) == like(best)
                && r.2.aigp.is_some() == best.2.aigp.is_some()
                && total(r) * 100 <= limit
        });
        left.extend(near);
        let all = left.clone();
        left.retain(|r| {
            let same = |o: &&Route<'_>| o.2.as_path.neighbor_as() == r.2.as_path.neighbor_as();
            equals.contains(&r.0) || all.iter().filter(same).all(|o| med(r) <= med(o))
        });
        left.sort_by_key(|r| {
            let key = (r.1.session.identifier, r.1.session.address, r.0);
            (r.0 != best.0, total(r), key)
        });
    }

    /// What `to` must know of `prefix`.
    fn expected(&self, to: u32, prefix: IpNet) -> Option<Attributes> {
        if self.peers[&to].sort == Sort::Served {
            // As if it had a Loc-RIB of its own.
            let ranked = self.ranked(prefix).into_iter();
            let mut others = ranked.filter(|route| route.0 != to);
            return others.find_map(|route| self.exported(to, prefix, &route));
        }
        let chosen = self.chosen(prefix);
        let best = chosen.first().filter(|best| best.0 != to)?;
        self.exported(to, prefix, best)
    }

    /// The paths that `to` must know, if it is told several; its own are not told to it, but are among the best.
    fn expected_paths(&self, to: u32, prefix: IpNet) -> Vec<Attributes> {
        let limit = self.peers[&to].session.add_path_send.ipv4.unwrap();
        let ranked = self.ranked(prefix);
        let told = ranked
            .iter()
            .filter_map(|route| Some((route.0, self.exported(to, prefix, route)?)));
        let told = told.take(limit.into()).filter(|(id, _)| *id != to);
        told.map(|(_, attributes)| attributes).collect()
    }

    fn exported(
        &self,
        to: u32,
        prefix: IpNet,
        (id, from, attributes, cost): &Route<'_>,
    ) -> Option<Attributes> {
        let (listener, rule) = (&self.peers[&to].session, self.peers[&to].export);
        let local = *id == 100;
        let mut told = attributes.clone();
        let served = listener.rs_client;
        if !listener.is_internal() && !local && !served {
            told.med = None;
        }
        // RFC 7311 §3.4.1.
        if listener.aigp && told.as_path.is_empty() {
            told.aigp.get_or_insert(0);
        }
        if !listener.is_internal() {
            told.as_path = rewritten(&told.as_path, listener);
        }
        let mut told = rule.apply(prefix, &told)?;
        let from_internal = from.session.is_internal() && !local;
        let hidden = attributes.communities.contains(&Community::NO_EXPORT);
        if listener.is_internal() {
            if from_internal && !from.session.rr_client && !listener.rr_client {
                return None;
            }
            told.local_pref = Some(told.local_pref.unwrap_or(100));
            if from_internal {
                told.originator_id = Some(from.session.identifier);
                told.cluster_list = [OUR_ID].into_iter().collect();
            }
        } else {
            if hidden && !(served && !from_internal && !local) {
                return None;
            }
            told.local_pref = None;
            if !served {
                if let Some(asn) = listener.as_path.outbound {
                    told.as_path.prepend(asn, 1);
                }
                told.as_path.prepend(OURS, 1);
            }
        }
        if !listener.is_internal() && !served || local {
            told.next_hop = match prefix {
                IpNet::V4(_) => NextHop::V4(OUR_ID),
                IpNet::V6(_) => NextHop::V6("2001:db8::1".parse().unwrap()),
            };
            told.aigp = told.aigp.map(|aigp| aigp + cost);
            let resolved = self.costs.get(&ip(attributes.next_hop)).filter(|_| !local);
            let rate = resolved.and_then(|resolved| resolved.rate);
            if let Some(rate) = rate.filter(|_| listener.link_bandwidth) {
                let asn = u16::try_from(OURS).unwrap();
                let bandwidth = ExtendedCommunity::link_bandwidth(asn, (rate / 8) as f32);
                told.ext_communities.push(bandwidth);
            }
        }
        Some(told)
    }

    fn expected_fib(&self, prefix: IpNet) -> Option<Forwarding> {
        let chosen = self.chosen(prefix);
        if chosen.first()?.0 == 100 {
            return None;
        }
        let key = |route: &Route<'_>| NextHopKey {
            address: ip(route.2.next_hop),
            interface: None,
            direct: false,
        };
        let mut hops: SmallVec<[(NextHopKey, u8); 2]> =
            chosen.iter().map(|route| (key(route), 1)).collect();
        hops.sort_unstable();
        hops.dedup();
        // What would be chosen if the next hop were lost; of our own, there is none.
        if let [(only, _)] = hops.as_slice() {
            let mut others = self.eligible(prefix);
            others.retain(|route| route.0 != 100 && key(route) != *only);
            hops.extend(self.chosen_of(others).first().map(|spare| (key(spare), 0)));
            hops.sort_unstable();
        }
        Some(Forwarding::Via(hops))
    }

    /// At rest, everybody knows what the model says, and nothing else is kept.
    fn check(&mut self) {
        let ids: Vec<u32> = self.peers.keys().copied().filter(|id| *id != 100).collect();
        for id in &ids {
            while self.rib.has_pending(PeerId(*id)) {
                self.transmit(*id, 1);
            }
        }
        while self.hear_fib(2) {}
        for n in 0..PREFIXES {
            let prefix = prefix(n);
            for id in &ids {
                let listener = &self.peers[id].listener;
                if listener.add_path {
                    let known = listener.paths.range((prefix, 0)..=(prefix, u32::MAX));
                    let mut known: Vec<_> = known.map(|(_, a)| format!("{a:?}")).collect();
                    let expected = self.expected_paths(*id, prefix);
                    let mut expected: Vec<_> = expected.iter().map(|a| format!("{a:?}")).collect();
                    known.sort();
                    expected.sort();
                    assert_eq!(known, expected, "{prefix} at {id}, seed {}", self.seed);
                    continue;
                }
                let known = listener.routes.get(&prefix);
                assert_eq!(
                    known,
                    self.expected(*id, prefix).as_ref(),
                    "{prefix} at {id}, seed {}",
                    self.seed
                );
            }
            assert_eq!(
                self.fib.get(&prefix),
                self.expected_fib(prefix).as_ref(),
                "{prefix} in the FIB, seed {}",
                self.seed
            );
        }
        for id in &ids {
            let model = &self.peers[id];
            let counts = self.rib.peer_counts(PeerId(*id));
            let told = |c: PeerCounts| c.advertised;
            let advertised = told(counts.ipv4) + told(counts.ipv6);
            let known = match model.listener.add_path {
                true => model.listener.paths.len(),
                false => model.listener.routes.len(),
            };
            assert_eq!(advertised as usize, known);
            let received = counts.ipv4.received + counts.ipv6.received;
            assert_eq!(received as usize, model.told.len());
            let is_best = |n: &u64| {
                let row = self.rib.route(prefix(*n));
                let mut paths = row.into_iter().flat_map(|row| row.paths);
                paths.any(|path| path.best && path.peer == PeerId(*id))
            };
            let preferred = counts.ipv4.preferred + counts.ipv6.preferred;
            assert_eq!(preferred as usize, (0..PREFIXES).filter(is_best).count());
        }
        self.check_station();
    }
}

#[test]
fn whatever_happens_everybody_ends_up_knowing_what_the_model_says() {
    let seeds = 0..std::env::var("SEEDS").map_or(400, |s| s.parse().unwrap());
    for seed in seeds.chain(SEEDS_WITH_FAULTS) {
        let mut world = World::new(seed);
        for peer in 0..PEERS {
            world.up(peer);
        }
        for round in 0..4 {
            for _ in 0..60 + round * 60 {
                world.step();
            }
            world.check();
        }
        if let Some(station) = world.station.take() {
            station.disconnect(&mut world.rib);
        }
        for peer in 0..PEERS {
            world.rib.peer_down(PeerId(peer));
            world.peers.remove(&peer);
        }
        world.hear_fib(1000);
        for prefix in world
            .peers
            .remove(&100)
            .map(|local| local.told)
            .unwrap_or_default()
            .keys()
        {
            world.rib.withdraw_local(
                LocalSource {
                    peer: PeerId(100),
                    path_id: 0,
                },
                *prefix,
            );
        }
        world.hear_fib(1000);
        let counts = world.rib.counts();
        assert_eq!(
            (counts.paths, counts.attribute_sets, counts.groups),
            (0, 0, 0),
            "seed {seed}"
        );
        assert_eq!(counts.routes, PerFamily { ipv4: 0, ipv6: 0 });
    }
}

/// Whatever octets a peer sends, nothing panics, and when it is gone nothing of it is left.
#[test]
fn noise_never_panics_and_leaves_nothing_behind() {
    let mut world = World::new(7);
    world.up(0);
    world.up(1);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let n = world.random.below(PREFIXES);
        let attributes = world.attributes(prefix(n), 0);
        let mut body = update(&prefix(n).to_string(), Some(&attributes)).to_vec();
        for _ in 0..world.random.below(4) {
            let at = usize::try_from(world.random.below(body.len() as u64)).unwrap();
            body[at] = u8::try_from(world.random.below(256)).unwrap();
        }
        body.truncate(body.len() - usize::try_from(world.random.below(20) / 19).unwrap());
        match world.rib.receive(PeerId(0), &body) {
            Ok(_) => taken += 1,
            Err(_) => refused += 1,
        }
        if n == 0 {
            world.transmit(1, 1000);
            world.hear_fib(1000);
        }
    }
    assert!(taken > 1000 && refused > 1000, "{taken} {refused}");
    world.rib.peer_down(PeerId(0));
    world.rib.peer_down(PeerId(1));
    while world.hear_fib(1000) {}
    let counts = world.rib.counts();
    assert_eq!(
        (counts.paths, counts.attribute_sets, counts.next_hops),
        (0, 0, 0)
    );
}
