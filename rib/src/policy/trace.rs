//! What policies did with a route, for people.

use std::fmt;

use super::Placement;
use super::config::Action;
use super::engine::{Next, Policy, Rule, Witness};

/// The rules and defaults that spoke, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Trace {
    /// One for each.
    pub steps: Vec<TraceStep>,
    /// The route's tag at the end.
    pub tag: u32,
    /// Where in the kernel it is to be.
    pub placement: Placement,
}

/// One rule or default that spoke.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TraceStep {
    /// The policy; `None`: the end of the chain, where no policy had decided.
    pub policy: Option<String>,
    /// The rule, counted from zero as in the paths of mistakes; `None`: the policy's default.
    pub rule: Option<usize>,
    /// What it set, a setting each.
    pub set: Vec<String>,
    /// What came of it: `accept`, `reject`, `next`, or `policy NAME` where it jumped.
    pub then: String,
}

/// One line: `from-nodes rule[0]: local-pref 200, med +5; accept`.
impl fmt::Display for TraceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.policy, self.rule) {
            (None, _) => f.write_str("end of the chain: ")?,
            (Some(policy), None) => write!(f, "{policy} default: ")?,
            (Some(policy), Some(rule)) => write!(f, "{policy} rule[{rule}]: ")?,
        }
        if !self.set.is_empty() {
            write!(f, "{}; ", self.set.join(", "))?;
        }
        f.write_str(&self.then)
    }
}

impl Witness for Trace {
    fn spoke(&mut self, policy: &Policy, number: usize, rule: &Rule) {
        self.steps.push(TraceStep {
            policy: Some(policy.name.clone()),
            rule: Some(number),
            set: rule
                .settings
                .iter()
                .map(|setting| setting.text.clone())
                .collect(),
            then: match &rule.next {
                Next::Decide(action) => action.to_string(),
                Next::Rule => "next".to_owned(),
                Next::Policy(target) => format!("policy {}", target.name),
            },
        });
    }

    fn fell_back(&mut self, policy: &Policy, default: Action) {
        self.steps.push(TraceStep {
            policy: Some(policy.name.clone()),
            rule: None,
            set: Vec::new(),
            then: default.to_string(),
        });
    }

    fn exhausted(&mut self) {
        self.steps.push(TraceStep {
            policy: None,
            rule: None,
            set: Vec::new(),
            then: Action::Reject.to_string(),
        });
    }
}
