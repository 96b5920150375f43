//! Policies as the manual words them, read from the text for each route: slow, and plain enough to be believed.

use std::collections::BTreeMap;

use bgp_core::Attributes;
use bgp_core::attributes::{AsPath, Community, ExtendedCommunity, LargeCommunity, Origin};

use super::super::*;

pub(super) struct Reference<'a> {
    pub(super) sets: &'a SetsConfig,
    pub(super) policies: &'a [PolicyConfig],
}

impl Reference<'_> {
    pub(super) fn evaluate(
        &self,
        chain: &[String],
        route: &RouteContext<'_>,
        attributes: &mut Attributes,
    ) -> Verdict {
        let mut tag = route.tag;
        for name in chain {
            if let Some(action) = self.policy(name, route, attributes, &mut tag) {
                return action.into();
            }
        }
        Verdict::Reject
    }

    fn policy(
        &self,
        name: &str,
        route: &RouteContext<'_>,
        attributes: &mut Attributes,
        tag: &mut u32,
    ) -> Option<Action> {
        match name {
            "accept" => return Some(Action::Accept),
            "reject" => return Some(Action::Reject),
            _ => {}
        }
        let policy = self
            .policies
            .iter()
            .find(|policy| policy.name == name)
            .unwrap();
        for rule in &policy.rules {
            if !self.fits(&rule.matches, route, attributes, *tag) {
                continue;
            }
            self.set(&rule.set, route, attributes, tag);
            let decided = match &rule.then {
                Then::Decide(action) => Some(*action),
                Then::Next => None,
                Then::Policy(name) => self.policy(name, route, attributes, tag),
            };
            if decided.is_some() {
                return decided;
            }
        }
        policy.default
    }

    fn fits(&self, m: &MatchConfig, route: &RouteContext<'_>, a: &Attributes, tag: u32) -> bool {
        let s = self.sets;
        let number = |texts: &[String], value: Option<u64>| {
            either(texts, |text| {
                value.is_some_and(|value| in_range(text, value))
            })
        };
        let asn = |texts: &[String], asn: Option<u32>| number(texts, asn.map(u64::from));
        either(&expand(&m.prefixes, &s.prefixes), |text| {
            in_pattern(text, route.prefix)
        }) && number(&m.length, Some(route.prefix.prefix_len().into()))
            && either(&expand(&m.as_path, &s.as_paths), |text| {
                in_path(text, &a.as_path)
            })
            && either(&m.as_path_contains, |text| {
                a.as_path.asns().any(|asn| in_range(text, asn.into()))
            })
            && asn(&m.origin_as, a.as_path.asns().last())
            && asn(&m.neighbor_as, a.as_path.asns().next())
            && number(&m.as_path_length, Some(a.as_path.asns().count() as u64))
            && either(&expand(&m.communities, &s.communities), |text| {
                a.communities.iter().any(|c| wild(text, &plain(*c)))
            })
            && either(
                &expand(&m.large_communities, &s.large_communities),
                |text| {
                    a.large_communities
                        .iter()
                        .any(|c| wild(text, &c.to_string()))
                },
            )
            && either(&expand(&m.ext_communities, &s.ext_communities), |text| {
                a.ext_communities.iter().any(|c| wild(text, &c.to_string()))
            })
            && either(&m.next_hop, |text| in_net(text, a.next_hop.addr()))
            && either(&m.peer, |text| {
                route.peer.is_some_and(|peer| in_net(text, peer))
            })
            && either(&m.group, |text| route.group == Some(text))
            && either(&m.family, |text| route.family.to_string() == text)
            && either(&m.source, |text| route.source.to_string() == text)
            && number(&m.med, Some(a.med.unwrap_or(0).into()))
            && number(&m.local_pref, Some(a.local_pref.unwrap_or(100).into()))
            && either(&m.origin, |text| a.origin.to_string() == text)
            && number(&m.aigp, a.aigp)
            && number(&m.tag, Some(tag.into()))
            && m.not
                .as_ref()
                .is_none_or(|not| !self.fits(not, route, a, tag))
    }

    fn set(&self, set: &SetConfig, route: &RouteContext<'_>, a: &mut Attributes, tag: &mut u32) {
        let change = |text: &Option<String>, old: Option<u64>, absent: Option<u64>, max: u64| {
            let Some(text) = text else { return old };
            let old = old.or(absent);
            match text.split_at(1) {
                ("r", _) => None,
                ("+", more) => old.map(|old| old.saturating_add(more.parse().unwrap()).min(max)),
                ("-", less) => old.map(|old| old.saturating_sub(less.parse().unwrap())),
                _ => Some(text.parse().unwrap()),
            }
        };
        let max = u64::from(u32::MAX);
        if set.local_pref.is_some() {
            a.local_pref = change(&set.local_pref, a.local_pref.map(u64::from), Some(100), max)
                .map(|n| n.try_into().unwrap());
        }
        if set.med.is_some() {
            a.med =
                change(&set.med, a.med.map(u64::from), Some(0), max).map(|n| n.try_into().unwrap());
        }
        a.aigp = change(&set.aigp, a.aigp, None, u64::MAX);
        let s = self.sets;
        let mut communities: Vec<Community> = a.communities.to_vec();
        edit(&set.communities, &s.communities, &mut communities, |c| {
            plain(*c)
        });
        a.communities = communities.into_iter().collect();
        let mut large: Vec<LargeCommunity> = a.large_communities.to_vec();
        edit(
            &set.large_communities,
            &s.large_communities,
            &mut large,
            ToString::to_string,
        );
        a.large_communities = large.into_iter().collect();
        let mut extended: Vec<ExtendedCommunity> = a.ext_communities.to_vec();
        edit(
            &set.ext_communities,
            &s.ext_communities,
            &mut extended,
            ToString::to_string,
        );
        a.ext_communities = extended.into_iter().collect();
        let asns = a.as_path.asns().filter_map(|asn| {
            let among = |texts: &[String]| texts.iter().any(|text| in_range(text, asn.into()));
            let other = set.as_path.with.unwrap_or(route.local_asn);
            let kept = !among(&set.as_path.remove);
            kept.then_some(if among(&set.as_path.replace) {
                other
            } else {
                asn
            })
        });
        a.as_path = AsPath::sequence(asns.collect::<Vec<_>>());
        if let Some(prepend) = &set.prepend {
            let asn = prepend.asn.unwrap_or(route.local_asn);
            let front = std::iter::repeat_n(asn, prepend.count.unwrap_or(1).into());
            a.as_path = AsPath::sequence(front.chain(a.as_path.asns().collect::<Vec<_>>()));
        }
        if let Some(origin) = &set.origin {
            let all = [Origin::Igp, Origin::Egp, Origin::Incomplete];
            a.origin = all
                .into_iter()
                .find(|one| one.to_string() == *origin)
                .unwrap();
        }
        if let Some(new) = set.tag {
            *tag = new;
        }
    }
}

/// A list without items is no condition.
fn either(texts: &[String], holds: impl Fn(&str) -> bool) -> bool {
    texts.is_empty() || texts.iter().any(|text| holds(text))
}

fn expand(texts: &[String], sets: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let expanded = texts.iter().flat_map(|text| match text.strip_prefix('@') {
        Some(name) => sets[name].clone(),
        None => vec![text.clone()],
    });
    let mut expanded: Vec<_> = expanded.collect();
    if expanded.is_empty() && !texts.is_empty() {
        // An empty set holds nothing, and is a condition all the same.
        expanded.push("255.255.255.255/32".to_owned());
    }
    expanded
}

fn in_range(text: &str, value: u64) -> bool {
    let words: Vec<&str> = text.split(' ').collect();
    let n = |word: &str| word.parse::<u64>().unwrap();
    match words[..] {
        ["ge", low] => n(low) <= value,
        ["le", high] => value <= n(high),
        ["ge", low, "le", high] => n(low) <= value && value <= n(high),
        _ => match text.split_once('-') {
            Some((low, high)) => n(low) <= value && value <= n(high),
            None => n(text) == value,
        },
    }
}

/// Only the spellings that `random` writes: `NET`, `NET{a,b}`, `NET+`.
fn in_pattern(text: &str, net: IpNet) -> bool {
    let (pattern, range) = text.split_at(text.find(['{', '+']).unwrap_or(text.len()));
    let pattern: IpNet = pattern.parse().unwrap();
    let inner = range.trim_matches(['{', '}']);
    let (low, high) = match (range, inner.split_once(',')) {
        ("", _) => (pattern.prefix_len(), pattern.prefix_len()),
        (_, Some((low, high))) => (low.parse().unwrap(), high.parse().unwrap()),
        _ => (pattern.prefix_len(), pattern.max_prefix_len()),
    };
    pattern.contains(&net) && low <= net.prefix_len() && net.prefix_len() <= high
}

fn in_net(text: &str, address: IpAddr) -> bool {
    match text.parse::<IpNet>() {
        Ok(net) => net.contains(&address),
        Err(_) => text.parse() == Ok(address),
    }
}

/// Only the expressions that `random` writes: `_N_`, `^N_`, `_N$`, `^$`, over paths of one sequence.
fn in_path(text: &str, path: &AsPath) -> bool {
    let asns: Vec<String> = path.asns().map(|asn| asn.to_string()).collect();
    let number = text.trim_matches(['_', '^', '$']).to_owned();
    match (text.chars().next(), text.chars().last()) {
        (Some('^'), Some('$')) => asns.is_empty(),
        (Some('^'), _) => asns.first() == Some(&number),
        (_, Some('$')) => asns.last() == Some(&number),
        _ => asns.contains(&number),
    }
}

fn plain(community: Community) -> String {
    format!("{}:{}", community.0 >> 16, community.0 & 0xffff)
}

/// Part by part; a two-octet and a four-octet AS number print differently, an asterisk fits both.
fn wild(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<_>, Vec<_>) =
        (pattern.split(':').collect(), text.split(':').collect());
    let mut parts = pattern.iter().zip(&text);
    pattern.len() == text.len() && parts.all(|(pattern, text)| *pattern == "*" || pattern == text)
}

fn edit<K: FromStr<Err = String> + PartialEq>(
    config: &CommunitiesConfig,
    sets: &BTreeMap<String, Vec<String>>,
    list: &mut Vec<K>,
    print: impl Fn(&K) -> String,
) {
    if config.replace.is_some() {
        list.clear();
    }
    let remove = expand(&config.remove, sets);
    list.retain(|one| !remove.iter().any(|pattern| wild(pattern, &print(one))));
    for text in config.replace.iter().flatten().chain(&config.add) {
        let new = text.parse().unwrap();
        if !list.contains(&new) {
            list.push(new);
        }
    }
}
