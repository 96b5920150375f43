//! What a policy of the simulator does, read plainly from its text.

use bgp_core::Attributes;
use bgp_core::attributes::Community;
use ipnet::IpNet;
use rib::policy::{Action, PolicyConfig, RuleConfig, Then};
use speaker::config::Fib;

/// Shapes `attributes` as `chain` says; false: the route is dropped.
pub(super) fn apply(
    policies: &[PolicyConfig],
    chain: Option<&Vec<String>>,
    prefix: IpNet,
    attributes: &mut Attributes,
    local_asn: u32,
) -> bool {
    for name in chain.into_iter().flatten() {
        if name == "accept" {
            return true;
        }
        let rules = policies.iter().filter(|policy| policy.name == *name);
        let rules = rules.flat_map(|policy| &policy.rules);
        for rule in rules.filter(|rule| fits(rule, prefix)) {
            shape(rule, attributes, local_asn);
            if rule.then == Then::Decide(Action::Reject) {
                return false;
            }
        }
    }
    false
}

/// The table and metric of a route in the kernel; `None`: it is kept out.
pub(super) fn place(policies: &[PolicyConfig], fib: &Fib, prefix: IpNet) -> Option<(u32, u32)> {
    let (mut table, mut metric) = (fib.table, fib.metric);
    let Some(chain) = &fib.policy else {
        return Some((table, metric));
    };
    let named = policies
        .iter()
        .filter(|policy| chain.contains(&policy.name));
    for rule in named.flat_map(|policy| &policy.rules) {
        if fits(rule, prefix) {
            table = rule.set.table.unwrap_or(table);
            metric = rule.set.metric.unwrap_or(metric);
            if rule.then == Then::Decide(Action::Reject) {
                return None;
            }
        }
    }
    Some((table, metric))
}

fn fits(rule: &RuleConfig, prefix: IpNet) -> bool {
    rule.matches.prefixes.contains(&prefix.to_string())
}

fn shape(rule: &RuleConfig, attributes: &mut Attributes, local_asn: u32) {
    let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
    attributes.med = number(&rule.set.med).or(attributes.med);
    attributes.local_pref = number(&rule.set.local_pref).or(attributes.local_pref);
    for text in &rule.set.communities.add {
        let halves = text.split_once(':');
        let halves =
            halves.and_then(|(a, b)| Some((a.parse::<u32>().ok()?, b.parse::<u32>().ok()?)));
        let added = halves.map(|(a, b)| Community(a << 16 | b));
        let added = added.filter(|added| !attributes.communities.contains(added));
        attributes.communities.extend(added);
    }
    if let Some(prepend) = &rule.set.prepend {
        attributes
            .as_path
            .prepend(local_asn, usize::from(prepend.count.unwrap_or(1)));
    }
}
