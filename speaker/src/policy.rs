//! What policies would do: a route is sent through them, and nothing changes.

use bgp_core::{Attributes, Family};
use ipnet::IpNet;
use rib::PeerId;
use rib::policy::RouteContext;
pub use rib::policy::{RouteSource, Trace, TraceStep, Verdict};
use rib::query::PathRow;

use crate::Speaker;
use crate::command::{PeerName, Refusal};
use crate::view::Source;

/// Which way a route goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From a peer to us.
    Import,
    /// From us to a peer.
    Export,
    /// From the table into our kernel.
    Kernel,
}

/// A route that is given, rather than taken from the table.
#[derive(Clone, Debug)]
pub struct GivenRoute {
    /// Its attributes.
    pub attributes: Attributes,
    /// Where we would have it from.
    pub source: RouteSource,
    /// Its tag.
    pub tag: u32,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct PolicyTest {
    /// The chain.
    pub policies: Vec<String>,
    /// Where the route leads to.
    pub prefix: IpNet,
    /// Which way it goes.
    pub direction: Direction,
    /// Whose policy it would be; into the kernel, who told it.
    pub peer: Option<PeerName>,
    /// The route; `None`: that of the table. On import as the peer sent it, else the best one.
    pub route: Option<GivenRoute>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct PolicyOutcome {
    /// The decision.
    pub verdict: Verdict,
    /// Who spoke, and the tag at the end.
    pub trace: Trace,
    /// The route before.
    pub before: GivenRoute,
    /// Its attributes as policies left them.
    pub after: Attributes,
}

/// A policy of the configuration.
#[derive(Clone, Debug)]
pub struct PolicyView {
    /// Its name.
    pub name: String,
    /// `accept` or `reject`, if it has a default.
    pub default: Option<String>,
    /// How many rules it has.
    pub rules: usize,
    /// Peers whose import chain names it.
    pub import: Vec<PeerName>,
    /// Likewise of export.
    pub export: Vec<PeerName>,
    /// The policy of `[fib]` names it.
    pub fib: bool,
}

impl Speaker {
    /// All policies of the configuration, in its order.
    #[must_use]
    pub fn policies(&self) -> Vec<PolicyView> {
        let users =
            |name: &String, chain: fn(&crate::config::PeerOptions) -> &Option<Vec<String>>| {
                let peers = self.peers.by_name();
                let uses =
                    peers.filter(|peer| chain(&peer.options).iter().flatten().any(|n| n == name));
                uses.map(|peer| peer.name.clone()).collect()
            };
        let view = |policy: &rib::policy::PolicyConfig| PolicyView {
            name: policy.name.clone(),
            default: policy.default.map(|action| action.to_string()),
            rules: policy.rules.len(),
            import: users(&policy.name, |options| &options.import),
            export: users(&policy.name, |options| &options.export),
            fib: self
                .config
                .fib
                .policy
                .iter()
                .flatten()
                .any(|n| *n == policy.name),
        };
        self.config.policies.iter().map(view).collect()
    }

    /// Sends a route through policies.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] names a policy that there is not; [`Refusal::NotFound`] a peer or a route.
    pub fn test_policy(&mut self, test: PolicyTest) -> Result<PolicyOutcome, Refusal> {
        let invalid = |error: rib::policy::PolicyError| Refusal::Invalid {
            field: format!("policies{}", error.path),
            why: error.message,
        };
        let chain = self.policies.chain(&test.policies).map_err(invalid)?;
        let id = test
            .peer
            .as_ref()
            .map(|name| self.known(name))
            .transpose()?;
        let (before, teller) = match test.route {
            Some(route) => (route, None),
            None => self.route_of_the_table(test.prefix, test.direction, id)?,
        };
        // On the way into the kernel, who told a route counts as its peer.
        let id = id.or(teller.filter(|_| test.direction == Direction::Kernel));
        let peer = id.and_then(|id| self.peers.get(id));
        let router = &self.config.router;
        let context = RouteContext {
            prefix: test.prefix,
            peer: peer.map(|peer| peer.name.address),
            group: peer.and_then(|peer| peer.options.group.as_deref()),
            source: before.source,
            family: match test.prefix {
                IpNet::V4(_) => Family::Ipv4Unicast,
                IpNet::V6(_) => Family::Ipv6Unicast,
            },
            local_asn: peer.map_or(router.asn, |peer| peer.local_asn(router)),
            tag: before.tag,
        };
        let mut after = before.attributes.clone();
        let (verdict, trace) = self.policies.explain(&chain, &context, &mut after);
        Ok(PolicyOutcome {
            verdict,
            trace,
            before,
            after,
        })
    }

    fn route_of_the_table(
        &mut self,
        prefix: IpNet,
        direction: Direction,
        peer: Option<PeerId>,
    ) -> Result<(GivenRoute, Option<PeerId>), Refusal> {
        let row = match (direction, peer) {
            (Direction::Import, None) => {
                return Err(Refusal::Invalid {
                    field: "peer".to_owned(),
                    why: "who sent the route? Name the peer, or give the route's attributes"
                        .to_owned(),
                });
            }
            (Direction::Import, Some(peer)) => {
                let query = rib::RouteQuery {
                    prefix: Some(prefix),
                    received_from: Some(peer),
                    ..rib::RouteQuery::default()
                };
                self.rib.routes(&query, None, 1).rows.pop()
            }
            (Direction::Export | Direction::Kernel, _) => self.rib.route(prefix),
        };
        let fits = |path: &PathRow| path.best || direction == Direction::Import;
        let path = row.and_then(|row| row.paths.into_iter().find(fits));
        let path = path.ok_or_else(|| Refusal::NotFound(format!("route {prefix}")))?;
        let route = GivenRoute {
            source: self.route_source(path.peer),
            // Import policy begins without a tag.
            tag: match direction {
                Direction::Import => 0,
                Direction::Export | Direction::Kernel => path.tag,
            },
            attributes: path.attributes,
        };
        Ok((route, Some(path.peer)))
    }

    fn route_source(&self, id: PeerId) -> RouteSource {
        match self.source(id) {
            Source::Peer(_) => RouteSource::Bgp,
            Source::Originate => RouteSource::Originate,
            Source::Static => RouteSource::Static,
            Source::Connected => RouteSource::Connected,
            Source::Kernel => RouteSource::Kernel,
            Source::Aggregate => RouteSource::Aggregate,
            Source::Api(_) => RouteSource::Api,
        }
    }
}
