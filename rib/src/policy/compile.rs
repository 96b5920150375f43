//! From what the operator wrote to what is run; all mistakes at once.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use foldhash::quality::{FixedState, FoldHasher};

use super::config::{PolicyConfig, RuleConfig, SetConfig, SetsConfig, Then};
use super::engine::{Next, Policy, Reads, Rule};
use super::sets::NamedSets;
use super::{Action, MAX_DEPTH};

/// A mistake in policies or sets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyError {
    /// Where it is, in the file's names: `policy[2].rule[0].match.as-path[0]`, `sets.prefixes.NAME[3]`.
    pub path: String,
    /// What was found, what was expected and what to write instead.
    pub message: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl std::error::Error for PolicyError {}

/// Compiled policies by their names, the built-in ones among them.
pub(super) type ByName = BTreeMap<String, Arc<Policy>>;

/// Compiles everything, or says all that is wrong.
pub(super) fn compile(
    sets: &SetsConfig,
    policies: &[PolicyConfig],
) -> Result<ByName, Vec<PolicyError>> {
    let mut mistakes = Vec::new();
    let sets = NamedSets::compile(sets, &mut mistakes);
    let mut compiler = Compiler {
        policies,
        numbers: BTreeMap::new(),
        sets: &sets,
        done: built_in(),
        asking: Vec::new(),
        mistakes,
    };
    compiler.check_names();
    for number in 0..policies.len() {
        compiler.policy(number);
    }
    if compiler.mistakes.is_empty() {
        Ok(compiler.done)
    } else {
        Err(compiler.mistakes)
    }
}

/// The policies that need not be written.
pub(super) fn built_in() -> ByName {
    let actions = [("accept", Action::Accept), ("reject", Action::Reject)];
    let policies = actions.map(|(name, action)| (name.to_owned(), Policy::built_in(name, action)));
    policies
        .map(|(name, policy)| (name, Arc::new(policy)))
        .into()
}

/// Notes a mistake, if it is one.
pub(super) fn check<T>(
    mistakes: &mut Vec<PolicyError>,
    path: impl FnOnce() -> String,
    result: Result<T, String>,
) -> Option<T> {
    let note = |message| {
        let path = path();
        mistakes.push(PolicyError { path, message });
    };
    result.map_err(note).ok()
}

struct Compiler<'a> {
    policies: &'a [PolicyConfig],
    numbers: BTreeMap<&'a str, usize>,
    sets: &'a NamedSets,
    done: ByName,
    /// Policies that are being compiled, each because the one before jumps to it.
    asking: Vec<usize>,
    mistakes: Vec<PolicyError>,
}

/// What rules and their parts are compiled with.
pub(super) struct Builder<'a> {
    pub(super) sets: &'a NamedSets,
    pub(super) reads: Reads,
    /// Of all that the policy is made of.
    pub(super) digest: FoldHasher<'static>,
    mistakes: &'a mut Vec<PolicyError>,
}

impl Builder<'_> {
    pub(super) fn check<T>(
        &mut self,
        path: impl FnOnce() -> String,
        result: Result<T, String>,
    ) -> Option<T> {
        check(self.mistakes, path, result)
    }

    /// Reads the items of a list; those with mistakes are left out.
    pub(super) fn items<T>(
        &mut self,
        path: &str,
        texts: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let items = texts.iter().enumerate();
        items
            .filter_map(|(i, text)| self.check(|| format!("{path}[{i}]"), parse(text)))
            .collect()
    }
}

impl<'a> Compiler<'a> {
    fn check_names(&mut self) {
        for (number, policy) in self.policies.iter().enumerate() {
            let name = policy.name.as_str();
            let fault = if name.is_empty() {
                "a policy needs a name".to_owned()
            } else if self.done.contains_key(name) {
                format!("`{name}` is built in: give the policy another name")
            } else if let Some(first) = self.numbers.get(name) {
                format!("policy[{first}] is called `{name}` too: give one of them another name")
            } else {
                self.numbers.insert(name, number);
                continue;
            };
            let path = format!("policy[{number}].name");
            self.mistakes.push(PolicyError {
                path,
                message: fault,
            });
        }
    }

    /// Compiles a policy and those it jumps to, unless that is done.
    fn policy(&mut self, number: usize) -> Option<Arc<Policy>> {
        let config = self.policies.get(number)?;
        let is_named = self.numbers.get(config.name.as_str()) == Some(&number);
        if let Some(done) = self.done.get(&config.name).filter(|_| is_named) {
            return Some(Arc::clone(done));
        }
        self.asking.push(number);
        let mut digest = FixedState::default().build_hasher();
        config.hash(&mut digest);
        let (mut reads, mut depth, mut rules) = (Reads::default(), 1, Vec::new());
        for (i, rule) in config.rules.iter().enumerate() {
            let path = format!("policy[{number}].rule[{i}]");
            let next = self.next(&format!("{path}.then"), rule);
            if let Some(Next::Policy(target)) = &next {
                target.digest.hash(&mut digest);
                depth = depth.max(target.depth + 1);
                reads = reads | target.reads;
            }
            let mut builder = Builder {
                sets: self.sets,
                reads,
                digest,
                mistakes: &mut self.mistakes,
            };
            let conditions = builder.conditions(&format!("{path}.match"), &rule.matches);
            let settings = builder.settings(&format!("{path}.set"), &rule.set);
            Builder { reads, digest, .. } = builder;
            rules.extend(next.map(|next| Rule {
                conditions,
                settings,
                next,
            }));
        }
        self.asking.pop();
        if depth > MAX_DEPTH {
            self.too_deep(format!("policy[{number}]"));
        }
        let policy = Arc::new(Policy {
            name: config.name.clone(),
            digest: digest.finish(),
            depth,
            reads,
            rules: rules.into(),
            default: config.default,
        });
        if is_named {
            self.done.insert(config.name.clone(), Arc::clone(&policy));
        }
        Some(policy)
    }

    fn next(&mut self, path: &str, rule: &RuleConfig) -> Option<Next> {
        let name = match &rule.then {
            Then::Decide(action) => return Some(Next::Decide(*action)),
            Then::Next => {
                if rule.set == SetConfig::default() {
                    let path = path.trim_end_matches(".then").to_owned();
                    let message = "the rule does nothing: write what to `set`, or `then = \"accept\"` or `\"reject\"`";
                    self.mistakes.push(PolicyError {
                        path,
                        message: message.to_owned(),
                    });
                }
                return Some(Next::Rule);
            }
            Then::Policy(name) => name,
        };
        if let Some(done) = self.done.get(name) {
            return Some(Next::Policy(Arc::clone(done)));
        }
        let Some(number) = self.numbers.get(name.as_str()).copied() else {
            let (path, message) = (path.to_owned(), unknown(name, self.numbers.keys().copied()));
            self.mistakes.push(PolicyError { path, message });
            return None;
        };
        if self.asking.contains(&number) {
            let message = format!(
                "`{name}` leads back here, so a route would go round for ever: jump elsewhere, or decide"
            );
            self.mistakes.push(PolicyError {
                path: path.to_owned(),
                message,
            });
            return None;
        }
        if self.asking.len() >= MAX_DEPTH {
            self.too_deep(path.to_owned());
            return None;
        }
        self.policy(number).map(Next::Policy)
    }

    fn too_deep(&mut self, path: String) {
        let message = format!(
            "more than {MAX_DEPTH} policies jump one to the next: put the rules of some into others"
        );
        self.mistakes.push(PolicyError { path, message });
    }
}

/// What is said of a name that no policy has.
pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.chain(["accept", "reject"]).collect();
    format!(
        "no policy is called `{name}`: write one of {}, or define it with `[[policy]]`",
        known.join(", ")
    )
}
