//! Compiled policies, and how a route goes through them.

use std::ops::BitOr;
use std::sync::Arc;

use super::condition::{Condition, Subject};
use super::config::Action;
use super::setting::Setting;

/// A compiled policy.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    /// Of its text and of all it refers to: equal for policies that do the same.
    pub(super) digest: u64,
    /// How many policies a route goes through at once: one, and those jumped to.
    pub(super) depth: usize,
    pub(super) reads: Reads,
    pub(super) rules: Box<[Rule]>,
    pub(super) default: Option<Action>,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) conditions: Box<[Condition]>,
    pub(super) settings: Box<[Setting]>,
    pub(super) next: Next,
}

/// What happens after a rule that fits.
#[derive(Debug)]
pub(super) enum Next {
    Decide(Action),
    Rule,
    Policy(Arc<Policy>),
}

/// What of a route, beside its attributes and family, can change the outcome.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reads {
    pub(super) prefix: bool,
    pub(super) peer: bool,
    pub(super) source: bool,
}

impl BitOr for Reads {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            prefix: self.prefix | other.prefix,
            peer: self.peer | other.peer,
            source: self.source | other.source,
        }
    }
}

/// Who watches a route on its way.
pub(super) trait Witness {
    /// A rule is asked.
    fn asked(&mut self) {}
    /// A rule fits; its settings and what comes next are still to happen.
    fn spoke(&mut self, _policy: &Policy, _number: usize, _rule: &Rule) {}
    /// No rule decided, the policy's default does.
    fn fell_back(&mut self, _policy: &Policy, _default: Action) {}
    /// No policy decided.
    fn exhausted(&mut self) {}
}

/// Nobody.
impl Witness for () {}

impl Policy {
    pub(super) fn built_in(name: &str, action: Action) -> Self {
        Self {
            name: name.to_owned(),
            digest: match action {
                Action::Accept => 1,
                Action::Reject => 0,
            },
            depth: 1,
            reads: Reads::default(),
            rules: Box::default(),
            default: Some(action),
        }
    }

    /// Sends a route through; `None` if the policy does not decide.
    pub(super) fn run(
        &self,
        subject: &mut Subject<'_>,
        witness: &mut impl Witness,
    ) -> Option<Action> {
        for (number, rule) in self.rules.iter().enumerate() {
            witness.asked();
            if !rule
                .conditions
                .iter()
                .all(|condition| condition.holds(subject))
            {
                continue;
            }
            witness.spoke(self, number, rule);
            rule.settings
                .iter()
                .for_each(|setting| setting.apply(subject));
            let decision = match &rule.next {
                Next::Decide(action) => Some(*action),
                Next::Rule => None,
                Next::Policy(policy) => policy.run(subject, witness),
            };
            if decision.is_some() {
                return decision;
            }
        }
        if let Some(default) = self.default {
            witness.fell_back(self, default);
        }
        self.default
    }
}
