//! `show route where …`: which paths fulfil a condition. The crate `bird` makes policies of it, one for each who may have
//! told a path.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use bgp_core::Family;
use bird::{Condition, Origin, RouteSource as Bird};
use ipnet::IpNet;
use rib::policy::{Chain, Policies, RouteContext, RouteSource, Verdict};
use speaker::view::{PathView, Source};

use crate::config;

/// Most origins whose policies are kept at a time.
const KEPT_MAX: usize = 1024;

/// A condition that is asked of many paths.
pub(super) struct Filter {
    condition: Condition,
    local_asn: u32,
    compiled: BTreeMap<Origin, Option<(Policies, Chain)>>,
}

impl Filter {
    /// Fails with what of the condition cannot be asked.
    pub(super) fn new(text: &str, local_asn: u32) -> Result<Self, String> {
        let condition = Condition::parse(text)?;
        // It is the same for all who tell routes.
        let anybody = |ipv6| Origin {
            ipv6,
            source: Bird::Bgp,
            protocol: String::new(),
            from: Some(IpAddr::from([0, 0, 0, 0])),
        };
        for ipv6 in [false, true] {
            compile(&condition, &anybody(ipv6))?;
        }
        Ok(Self {
            condition,
            local_asn,
            compiled: BTreeMap::new(),
        })
    }

    /// Whether a path that `protocol` told fulfils it.
    pub(super) fn holds(&mut self, prefix: IpNet, protocol: &str, path: &PathView) -> bool {
        let (source, bird, from) = match &path.source {
            Source::Peer(peer) => (RouteSource::Bgp, Bird::Bgp, Some(peer.address)),
            Source::Originate => (RouteSource::Originate, Bird::Static, None),
            Source::Static => (RouteSource::Static, Bird::Static, None),
            Source::Aggregate => (RouteSource::Aggregate, Bird::Static, None),
            Source::Api(_) => (RouteSource::Api, Bird::Static, None),
            Source::Connected => (RouteSource::Connected, Bird::Device, None),
            Source::Kernel => (RouteSource::Kernel, Bird::Inherit, None),
        };
        let ipv6 = matches!(prefix, IpNet::V6(_));
        let origin = Origin {
            ipv6,
            source: bird,
            protocol: protocol.to_owned(),
            from,
        };
        if self.compiled.len() >= KEPT_MAX && !self.compiled.contains_key(&origin) {
            self.compiled.clear();
        }
        let condition = &self.condition;
        let made = self
            .compiled
            .entry(origin)
            .or_insert_with_key(|origin| compile(condition, origin).ok());
        let Some((policies, chain)) = made else {
            return false;
        };
        let context = RouteContext {
            prefix,
            peer: from,
            group: None,
            source,
            family: if ipv6 {
                Family::Ipv6Unicast
            } else {
                Family::Ipv4Unicast
            },
            local_asn: self.local_asn,
            tag: path.tag,
        };
        let mut attributes = path.attributes.clone();
        policies.evaluate(chain, &context, &mut attributes) == Verdict::Accept
    }
}

fn compile(condition: &Condition, origin: &Origin) -> Result<(Policies, Chain), String> {
    let toml = condition.policies(origin)?;
    // A file must have a router; that of this one is nobody's.
    let text = format!("[router]\nasn = 1\nrouter-id = \"0.0.0.1\"\n{toml}");
    let loaded = config::parse_alone(&text, Path::new("where"))?;
    let speaker = loaded.speaker;
    let policies = Policies::compile(&speaker.sets, &speaker.policies);
    let policies = policies.map_err(|errors| {
        let errors = errors.into_iter().map(|error| error.message);
        errors.collect::<Vec<_>>().join("; ")
    })?;
    let chain = policies.chain(&[Condition::POLICY.to_owned()]);
    let chain = chain.map_err(|error| error.message)?;
    Ok((policies, chain))
}
