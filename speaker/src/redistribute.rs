//! `[redistribute]`: connected prefixes and routes that others put into the kernel become routes of ours, as long as
//! they are there and policy lets them.

use std::time::Instant;

use bgp_core::attributes::{AsPath, Origin};
use bgp_core::{Attributes, Family};
use fib_netlink::Input;
use ipnet::IpNet;
use rib::policy::{Chain, RouteContext, RouteSource, Verdict};
use rib::{LocalSource, PeerId};

use crate::Speaker;
use crate::config::Config;
use crate::event::Effect;
use crate::foreign::FOREIGN_MAX;
use crate::inject::ourselves;
use crate::notice::Notice;

/// `[redistribute] connected` among the RIB's sources.
pub(crate) const CONNECTED: LocalSource = LocalSource {
    peer: PeerId(2),
    path_id: 0,
};
/// `[redistribute] kernel` among the RIB's sources.
pub(crate) const KERNEL: LocalSource = LocalSource {
    peer: PeerId(3),
    path_id: 0,
};

/// Prefixes that are looked at at a time, so that a large table of somebody else does not keep peers waiting.
const CHUNK: usize = 4096;

impl Speaker {
    /// The kernel tells something, to the FIB and to us.
    pub(crate) fn kernel_input(&mut self, now: Instant, input: Input, out: &mut Vec<Effect>) {
        if let Input::Kernel(facts) = &input
            && self.foreign.is_wanted()
        {
            facts.iter().for_each(|fact| self.foreign.hear(fact));
        }
        self.fib_input(now, input, out);
        if self.foreign.take_full() {
            let limit = FOREIGN_MAX;
            out.push(Effect::Notice(Notice::RedistributeFull { limit }));
        }
        if self.foreign.take_room() {
            self.fib_input(now, Input::Retell, out);
        }
    }

    /// `[redistribute]` or policies changed.
    pub(crate) fn redistribute_anew(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.want_foreign() {
            self.fib_input(now, Input::Retell, out);
        }
        self.foreign.touch_all();
    }

    /// Says whether the kernel is to tell all again.
    pub(crate) fn want_foreign(&mut self) -> bool {
        let Config {
            redistribute, fib, ..
        } = &self.config;
        self.foreign.want(redistribute, fib.protocol)
    }

    /// Announces and withdraws what changed in the kernel, a chunk at a time.
    pub(crate) fn redistribute(&mut self) {
        if !self.foreign.has_changes() {
            return;
        }
        let redistribute = &self.config.redistribute;
        let connected = redistribute.connected.as_ref().map(|c| &c.policy);
        let kernel = redistribute.kernel.as_ref().map(|k| &k.policy);
        // That the policies are there was checked with the configuration.
        let chain = |name: &String| self.policies.chain(std::slice::from_ref(name)).ok();
        let (connected, kernel) = (connected.and_then(chain), kernel.and_then(chain));
        for _ in 0..CHUNK {
            let Some(prefix) = self.foreign.next_change() else {
                return;
            };
            let is_connected = self.foreign.is_connected(prefix);
            let chain = connected.as_ref().filter(|_| is_connected);
            self.follow(CONNECTED, RouteSource::Connected, prefix, chain);
            let is_routed = self.foreign.route(prefix).is_some();
            let chain = kernel.as_ref().filter(|_| is_routed);
            self.follow(KERNEL, RouteSource::Kernel, prefix, chain);
        }
    }

    /// A prefix is there (then `chain` judges it), or it is not. The kernel has the route already: ours is for peers.
    fn follow(
        &mut self,
        source: LocalSource,
        route: RouteSource,
        prefix: IpNet,
        chain: Option<&Chain>,
    ) {
        let judged = chain.and_then(|chain| {
            let context = RouteContext {
                prefix,
                peer: None,
                group: None,
                source: route,
                family: match prefix {
                    IpNet::V4(_) => Family::Ipv4Unicast,
                    IpNet::V6(_) => Family::Ipv6Unicast,
                },
                local_asn: self.config.router.asn,
                tag: 0,
            };
            let path = AsPath::default();
            let mut attributes = Attributes::new(Origin::Incomplete, path, ourselves(prefix));
            let (verdict, tag) = self
                .policies
                .evaluate_tagged(chain, &context, &mut attributes);
            (verdict == Verdict::Accept).then_some((attributes, tag))
        });
        match judged {
            Some((attributes, tag)) => {
                self.rib
                    .announce_tagged(source, prefix, (&attributes, tag), None);
            }
            None => {
                self.rib.withdraw_local(source, prefix);
            }
        }
    }
}
