//! Import and export policies: who may tell us what, whom we tell what, and how routes look then.
//!
//! A peer has a *chain* of policies. A route goes through them in order, and through the rules of each in order. A rule
//! whose conditions all hold applies its settings; then it decides, lets the next rule go on, or jumps to another
//! policy. The first decision ends everything. Where no rule of a policy decides, its default does; a policy without a
//! default leaves the route, as changed so far, to the next policy of the chain, or to the rule after the jump. At the
//! end of the chain a route is rejected. `accept` and `reject` are built in: policies without rules, only a default.
//!
//! Everything is compiled when it is loaded: what a route costs depends on the rules it goes through, never on how many
//! items a set has.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use bgp_core::{Attributes, Family};
use foldhash::quality::FixedState;
use ipnet::IpNet;

mod as_path_set;
mod community_set;
mod compile;
mod condition;
mod config;
mod engine;
mod prefix_set;
mod ranges;
mod sets;
mod setting;
mod trace;

pub use compile::PolicyError;
pub use config::{
    Action, AsPathConfig, CommunitiesConfig, MatchConfig, PolicyConfig, PrependConfig, RuleConfig,
    SetConfig, SetsConfig, Then,
};
pub use trace::{Trace, TraceStep};

use condition::{Subject, one_of};
use engine::{Policy, Reads, Witness};

/// Most policies that a route is in at once: the chain's, the one that jumped to, and so on.
pub const MAX_DEPTH: usize = 8;
/// Most times that a rule prepends an AS number.
pub const MAX_PREPEND: u8 = 32;

/// All policies of a configuration, compiled. The default has the built-in ones only.
#[derive(Debug)]
pub struct Policies(compile::ByName);

/// Policies that a route goes through, in order. Cheap to clone, and good without the [`Policies`] it came from.
///
/// Two are equal if they do the same by what they are made of, names of policies included: so a policy that changed
/// makes another chain, and peers with equal chains can share their work. They are compared by a digest of 64 bits. Their
/// order has no meaning.
#[derive(Clone)]
pub struct Chain {
    policies: Arc<[Arc<Policy>]>,
    digest: u64,
    reads: Reads,
}

/// What a policy can see of a route, beside its attributes.
#[derive(Clone, Copy, Debug)]
pub struct RouteContext<'a> {
    /// Where to.
    pub prefix: IpNet,
    /// Whose policy this is: who told us on import, who is told on export. `None` for routes that no peer told.
    pub peer: Option<IpAddr>,
    /// The peer's group.
    pub group: Option<&'a str>,
    /// Where we have the route from.
    pub source: RouteSource,
    /// The route's family.
    pub family: Family,
    /// Our own AS number towards the peer.
    pub local_asn: u32,
    /// A mark for policies; zero if there is none.
    pub tag: u32,
}

/// Where we have a route from.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RouteSource {
    /// A peer told us.
    Bgp,
    /// `[[static]]`.
    Static,
    /// An address of an interface.
    Connected,
    /// A route of the kernel that is not ours.
    Kernel,
    /// Injected over the API.
    Api,
    /// `[[originate]]`.
    Originate,
    /// `[[aggregate]]`.
    Aggregate,
}

/// Where in the kernel a route is to be; what is absent, `[fib]` says for all.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Placement {
    /// The kernel's table.
    pub table: Option<u32>,
    /// The route's metric there.
    pub metric: Option<u32>,
    /// Its preferred source, of the route's family.
    pub prefsrc: Option<IpAddr>,
}

/// What becomes of a route.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Verdict {
    /// It is taken, with its attributes as policies left them.
    Accept,
    /// It is not; its attributes mean nothing any more.
    Reject,
}

impl Policies {
    /// Compiles policies and the sets they use.
    ///
    /// # Errors
    /// All mistakes there are, each with its path.
    pub fn compile(sets: &SetsConfig, policies: &[PolicyConfig]) -> Result<Self, Vec<PolicyError>> {
        compile::compile(sets, policies).map(Self)
    }

    /// The chain of these policies. Without any, it rejects every route.
    ///
    /// # Errors
    /// The first name that no policy has; the path is its place among `names`, as `[1]`.
    pub fn chain(&self, names: &[String]) -> Result<Chain, PolicyError> {
        let find = |(i, name): (usize, &String)| {
            self.0.get(name).cloned().ok_or_else(|| PolicyError {
                path: format!("[{i}]"),
                message: compile::unknown(name, self.0.keys().map(String::as_str)),
            })
        };
        let policies: Result<Arc<[_]>, _> = names.iter().enumerate().map(find).collect();
        policies.map(Chain::of)
    }

    /// Sends a route through `chain`, changing `attributes` on its way.
    #[must_use]
    pub fn evaluate(
        &self,
        chain: &Chain,
        route: &RouteContext<'_>,
        attributes: &mut Attributes,
    ) -> Verdict {
        self.evaluate_tagged(chain, route, attributes).0
    }

    /// The same, with the route's tag as policies left it.
    #[must_use]
    pub fn evaluate_tagged(
        &self,
        chain: &Chain,
        route: &RouteContext<'_>,
        attributes: &mut Attributes,
    ) -> (Verdict, u32) {
        let (verdict, tag, _) = chain.run(route, attributes, &mut ());
        (verdict, tag)
    }

    /// Sends a route through `chain` on its way to the kernel. Says where it is to be there; `None`: nowhere.
    #[must_use]
    pub fn place(
        &self,
        chain: &Chain,
        route: &RouteContext<'_>,
        attributes: &mut Attributes,
    ) -> Option<Placement> {
        let (verdict, _, placement) = chain.run(route, attributes, &mut ());
        (verdict == Verdict::Accept).then_some(placement)
    }

    /// The same, and tells which rules spoke and what they set.
    pub fn explain(
        &self,
        chain: &Chain,
        route: &RouteContext<'_>,
        attributes: &mut Attributes,
    ) -> (Verdict, Trace) {
        let mut trace = Trace::default();
        let (verdict, tag, placement) = chain.run(route, attributes, &mut trace);
        (trace.tag, trace.placement) = (tag, placement);
        (verdict, trace)
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self(compile::built_in())
    }
}

impl Chain {
    /// The chain of the built-in `accept` alone.
    #[must_use]
    pub fn accept_all() -> Self {
        Self::of([Arc::new(Policy::built_in("accept", Action::Accept))].into())
    }

    /// Whether every route is accepted as it is.
    #[must_use]
    pub fn is_accept_all(&self) -> bool {
        self.foregone() == Some(Verdict::Accept)
    }

    /// Whether no route is accepted, whatever it is.
    #[must_use]
    pub fn is_reject_all(&self) -> bool {
        self.foregone() == Some(Verdict::Reject)
    }

    /// Whether the prefix can change the outcome. If not, routes of one family and source with equal attributes fare
    /// alike.
    #[must_use]
    pub const fn looks_at_prefix(&self) -> bool {
        self.reads.prefix
    }

    /// Whether the peer or its group can change the outcome. If not, peers with this chain can share it.
    #[must_use]
    pub const fn looks_at_peer(&self) -> bool {
        self.reads.peer
    }

    /// Whether the route's source or tag can change the outcome.
    #[must_use]
    pub const fn looks_at_source(&self) -> bool {
        self.reads.source
    }

    fn of(policies: Arc<[Arc<Policy>]>) -> Self {
        let digests: Vec<_> = policies.iter().map(|policy| policy.digest).collect();
        let reads = policies
            .iter()
            .fold(Reads::default(), |reads, policy| reads | policy.reads);
        Self {
            policies,
            digest: FixedState::default().hash_one(digests),
            reads,
        }
    }

    /// What happens to every route, if no rule has a say.
    fn foregone(&self) -> Option<Verdict> {
        for policy in self.policies.iter() {
            match (policy.rules.is_empty(), policy.default) {
                (false, _) => return None,
                (true, None) => {}
                (true, Some(default)) => return Some(default.into()),
            }
        }
        Some(Verdict::Reject)
    }

    fn run(
        &self,
        route: &RouteContext<'_>,
        attributes: &mut Attributes,
        witness: &mut impl Witness,
    ) -> (Verdict, u32, Placement) {
        let mut subject = Subject {
            route,
            attributes,
            tag: route.tag,
            placement: Placement::default(),
            text: None,
        };
        let mut policies = self.policies.iter();
        let decision = policies.find_map(|policy| policy.run(&mut subject, witness));
        let verdict = decision.map_or_else(
            || {
                witness.exhausted();
                Verdict::Reject
            },
            Verdict::from,
        );
        (verdict, subject.tag, subject.placement)
    }
}

impl PartialEq for Chain {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Chain {}

impl Hash for Chain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl Ord for Chain {
    fn cmp(&self, other: &Self) -> Ordering {
        self.digest.cmp(&other.digest)
    }
}

impl PartialOrd for Chain {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The names, as in the file.
impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.policies.iter().map(|policy| &policy.name))
            .finish()
    }
}

impl From<Action> for Verdict {
    fn from(action: Action) -> Self {
        match action {
            Action::Accept => Self::Accept,
            Action::Reject => Self::Reject,
        }
    }
}

impl RouteSource {
    const ALL: [Self; 7] = [
        Self::Bgp,
        Self::Static,
        Self::Connected,
        Self::Kernel,
        Self::Api,
        Self::Originate,
        Self::Aggregate,
    ];
}

impl fmt::Display for RouteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bgp => "bgp",
            Self::Static => "static",
            Self::Connected => "connected",
            Self::Kernel => "kernel",
            Self::Api => "api",
            Self::Originate => "originate",
            Self::Aggregate => "aggregate",
        })
    }
}

impl FromStr for RouteSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        one_of("route source", Self::ALL, text)
    }
}

#[cfg(test)]
mod tests;
