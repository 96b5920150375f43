//! What a host must have chosen, from what it has of its own and what it heard.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use bgp_core::Attributes;
use bgp_core::attributes::{Aggregator, AsPath, Community, Origin};
use ipnet::IpNet;
use speaker::config::{Aggregate, Config, When};
use speaker::view::{PathView, Source};

use super::{Linked, Neighbor, Table, imported, paths};
use crate::sim::policy;
use crate::sim::world::World;

/// A path that may be chosen.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) attributes: Attributes,
    /// `None`: our own.
    pub(super) peer: Option<IpAddr>,
    /// Its Path Identifier; zero: none.
    path_id: u32,
    /// Tells it from the others to the same prefix.
    serial: usize,
    pub(super) external: bool,
    /// It came from a client of ours.
    pub(super) client: bool,
    /// It stands for what is beneath it.
    pub(super) aggregate: bool,
    pub(super) identifier: Ipv4Addr,
}

impl Candidate {
    fn own(attributes: Attributes, aggregate: bool) -> Self {
        Self {
            attributes,
            peer: None,
            path_id: 0,
            serial: 0,
            external: false,
            client: false,
            aggregate,
            identifier: Ipv4Addr::UNSPECIFIED,
        }
    }

    pub(super) fn carries(&self, community: Community) -> bool {
        self.attributes.communities.contains(&community)
    }

    /// Which path it is.
    pub(super) const fn key(&self) -> (Option<IpAddr>, u32) {
        (self.peer, self.path_id)
    }
}

/// What becomes of the paths to a prefix.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// The best path, then those that share the traffic with it.
    pub(super) set: Vec<Candidate>,
    /// All paths: the best, the best of the others, and so on.
    pub(super) ranked: Vec<Candidate>,
}

pub(super) type Choices = BTreeMap<IpNet, Choice>;

/// A host's own routes; those of the configuration must be what it says.
fn own(world: &mut World, host: usize, config: &Config) -> Result<Vec<(IpNet, PathView)>, String> {
    let mut own = paths(world, host, false);
    own.retain(|(_, path)| !matches!(path.source, Source::Peer(_)));
    let of = |source: Source| {
        let found = own.iter().filter(|(_, path)| path.source == source);
        found.map(|(prefix, _)| *prefix).collect::<BTreeSet<_>>()
    };
    let kernel = &world.hosts.get(host).ok_or("no host")?.kernel;
    let holds = |when: &When| match when {
        When::Always | When::RoutePresent(_) => true,
        When::AddressPresent(address) => kernel.has_address(*address),
    };
    let originate = config.originate.iter().filter(|o| holds(&o.when));
    let passes = |prefix: &IpNet, name: &String| {
        let chain = vec![name.clone(), "accept".to_owned()];
        let mut attributes = Attributes::new(
            Origin::Incomplete,
            AsPath::default(),
            speaker::inject::ourselves(*prefix),
        );
        let asn = config.router.asn;
        policy::apply(
            &config.policies,
            Some(&chain),
            *prefix,
            &mut attributes,
            asn,
        )
    };
    let (mut connected, mut routes) = (kernel.connected(), kernel.foreign());
    let redistribute = &config.redistribute;
    match &redistribute.connected {
        Some(asked) => connected.retain(|prefix| passes(prefix, &asked.policy)),
        None => connected.clear(),
    }
    match &redistribute.kernel {
        Some(asked) => routes.retain(|prefix| passes(prefix, &asked.policy)),
        None => routes.clear(),
    }
    for (source, expected) in [
        (Source::Originate, originate.map(|o| o.prefix).collect()),
        (
            Source::Static,
            config.statics.iter().map(|s| s.prefix).collect(),
        ),
        (Source::Connected, connected),
        (Source::Kernel, routes),
    ] {
        let found = of(source.clone());
        if found != expected {
            return Err(format!(
                "{source:?}: {found:?} are there, and should be {expected:?}"
            ));
        }
    }
    Ok(own)
}

pub(super) fn choose_all(
    world: &mut World,
    host: usize,
    config: &Config,
    neighbors: &[Linked],
) -> Result<Choices, String> {
    let mut candidates: BTreeMap<IpNet, Vec<Candidate>> = BTreeMap::new();
    let mut aggregates = BTreeMap::new();
    for (prefix, path) in own(world, host, config)? {
        if path.source == Source::Aggregate {
            aggregates.insert(prefix, path.attributes);
        } else {
            let own = Candidate::own(path.attributes, false);
            candidates.entry(prefix).or_default().push(own);
        }
    }
    for linked in neighbors {
        let neighbor = &linked.neighbor;
        let told = linked.held.clone();
        let mut table = match told {
            Some((table, _)) => imported_of(config, neighbor, table),
            None => imported(world, host, config, neighbor),
        };
        if linked.held.as_ref().is_some_and(|(_, long)| *long) {
            for attributes in table.values_mut() {
                mark(attributes, Community::LLGR_STALE);
            }
        }
        for ((prefix, path_id), attributes) in table {
            let candidate = heard(config, neighbor, path_id, attributes);
            candidates.entry(prefix).or_default().push(candidate);
        }
    }
    check_aggregates(config, &mut candidates, &aggregates)?;
    Ok(candidates
        .into_iter()
        .filter_map(|(prefix, all)| Some((prefix, choice(&all)?)))
        .collect())
}

fn heard(config: &Config, neighbor: &Neighbor, path_id: u32, attributes: Attributes) -> Candidate {
    let peer = &neighbor.peer;
    let internal = peer.asn == config.router.asn;
    Candidate {
        identifier: attributes.originator_id.unwrap_or(neighbor.identifier),
        attributes,
        peer: Some(peer.address),
        path_id,
        serial: 0,
        external: !internal,
        client: peer.options.rr_client && internal,
        aggregate: false,
    }
}

/// What of a table of a neighbor's import lets pass, as it leaves it.
pub(super) fn imported_of(config: &Config, neighbor: &Neighbor, mut table: Table) -> Table {
    let router = &config.router;
    let import = neighbor.peer.options.import.as_ref();
    let external = neighbor.peer.asn != router.asn;
    table.retain(|(prefix, _), attributes| {
        let looped = attributes.as_path.contains(router.asn)
            || attributes.originator_id == Some(router.router_id)
            || attributes.cluster_list.contains(&router.cluster_id);
        let passes =
            !looped && policy::apply(&config.policies, import, *prefix, attributes, router.asn);
        // RFC 8326 §4.1: anything is preferred to what another AS is about to shut down.
        if external
            && attributes
                .communities
                .contains(&Community::GRACEFUL_SHUTDOWN)
        {
            attributes.local_pref = Some(0);
        }
        passes
    });
    table
}

/// An aggregate is there exactly while the best path of a prefix beneath it is one that others may know of, and says what
/// all of those have in common (RFC 4271 §9.2.2.2, RFC 9774). Those that must be there come to the candidates.
fn check_aggregates(
    config: &Config,
    candidates: &mut BTreeMap<IpNet, Vec<Candidate>>,
    actual: &BTreeMap<IpNet, Attributes>,
) -> Result<(), String> {
    let mut longest_first: Vec<&Aggregate> = config.aggregates.iter().collect();
    longest_first.sort_by_key(|aggregate| Reverse(aggregate.prefix.prefix_len()));
    let mut expected = BTreeMap::new();
    for aggregate in longest_first {
        let beneath = candidates
            .iter()
            .filter(|(prefix, _)| is_beneath(prefix, aggregate));
        let best = beneath.filter_map(|(_, all)| choice(all)?.set.into_iter().next());
        let parts: Vec<_> = best
            .filter(|best| !best.aggregate && !best.carries(Community::NO_ADVERTISE))
            .collect();
        if let Some(mut attributes) = sum(aggregate, &parts) {
            // RFC 4271 §5.1.7.
            attributes.aggregator = Some(Aggregator {
                asn: config.router.asn,
                identifier: config.router.router_id,
            });
            expected.insert(aggregate.prefix, attributes.clone());
            let own = Candidate::own(attributes, true);
            candidates.entry(aggregate.prefix).or_default().push(own);
        }
    }
    if *actual != expected {
        return Err(format!(
            "aggregates are {actual:?}, and should be {expected:?}"
        ));
    }
    Ok(())
}

pub(super) fn is_beneath(prefix: &IpNet, aggregate: &Aggregate) -> bool {
    aggregate.prefix.contains(prefix) && aggregate.prefix != *prefix
}

fn sum(aggregate: &Aggregate, parts: &[Candidate]) -> Option<Attributes> {
    let path = |part: &Candidate| part.attributes.as_path.asns().collect::<Vec<_>>();
    let mut common = path(parts.first()?);
    let mut longest = 0;
    for part in parts {
        let path = path(part);
        let same = common.iter().zip(&path).take_while(|(a, b)| a == b).count();
        common.truncate(same);
        longest = longest.max(path.len());
    }
    let atomic = longest > common.len() || parts.iter().any(|p| p.attributes.atomic_aggregate);
    let mut attributes = aggregate.attributes.clone();
    attributes.as_path = AsPath::sequence(common);
    attributes.origin = parts.iter().map(|p| p.attributes.origin).max()?;
    attributes.atomic_aggregate = atomic;
    Some(attributes)
}

fn choice(all: &[Candidate]) -> Option<Choice> {
    let numbered = all.iter().cloned().enumerate();
    let mut left: Vec<_> = numbered
        .map(|(serial, candidate)| Candidate {
            serial,
            ..candidate
        })
        .collect();
    let (best, equal) = choose(&left)?;
    let key = best.key();
    let others = equal.into_iter().filter(|c| c.key() != key);
    let set = std::iter::once(best).chain(others).collect();
    let mut ranked = Vec::new();
    while let Some((best, _)) = choose(&left) {
        left.retain(|c| c.serial != best.serial);
        ranked.push(best);
    }
    Some(Choice { set, ranked })
}

/// The best path, and all that share the traffic with it. RFC 4271 §9.1.2.2, as plainly as can be.
fn choose(all: &[Candidate]) -> Option<(Candidate, Vec<Candidate>)> {
    let mut left = all.to_vec();
    // RFC 9494 §4.3.
    keep_least(&mut left, |c| c.carries(Community::LLGR_STALE));
    keep_least(&mut left, |c| {
        Reverse(c.attributes.local_pref.unwrap_or(100))
    });
    keep_least(&mut left, |c| c.peer.is_some());
    keep_least(&mut left, |c| c.attributes.as_path.len_for_decision());
    keep_least(&mut left, |c| c.attributes.origin);
    let rivals = left.clone();
    left.retain(|c| {
        let neighbor = |c: &Candidate| c.peer.and(c.attributes.as_path.neighbor_as());
        let med = |c: &Candidate| c.attributes.med.unwrap_or(0);
        !rivals
            .iter()
            .any(|r| neighbor(r) == neighbor(c) && med(r) < med(c))
    });
    keep_least(&mut left, |c| !c.external);
    let equal = left.clone();
    keep_least(&mut left, |c| c.identifier);
    keep_least(&mut left, |c| c.attributes.cluster_list.len());
    keep_least(&mut left, |c| c.peer);
    keep_least(&mut left, |c| c.path_id);
    Some((left.into_iter().next()?, equal))
}

fn keep_least<K: Ord>(left: &mut Vec<Candidate>, key: impl Fn(&Candidate) -> K) {
    let least = left.iter().map(&key).min();
    left.retain(|candidate| Some(key(candidate)) == least);
}

pub(super) fn mark(attributes: &mut Attributes, community: Community) {
    if !attributes.communities.contains(&community) {
        attributes.communities.push(community);
    }
}
