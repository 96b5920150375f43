//! The FIB's planner: from what is wanted to the batches for the kernel, which carries out each of them at once.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use anyhow::Result;
use fib_netlink::{
    Fact, Fib, FibConfig, Input, KernelRoute, NextHop, NextHops, Output, Path, Placement,
    RouteKind, RouteVia, Wanted,
};
use ipnet::{IpNet, Ipv4Net};

use super::Prepared;
use super::updates::{next_hop, prefix};

/// Routes that are planned.
const ROUTES: u32 = 10_000;
/// Routes that a speaker gives to its planner at a time.
const CHUNK: usize = 4096;
/// The one link of the machine.
const LINK: u32 = 2;
/// `RTPROT_KERNEL`, and the main table.
const KERNEL: u8 = 2;
const MAIN: u32 = 254;
/// Next hops that routes are spread over.
const NEXT_HOPS: u32 = 4;

/// What a kernel tells at first whose one link has `address` in a network of 16 bits.
pub(super) fn dump(address: Ipv4Addr) -> Vec<Fact> {
    let network = Ipv4Net::new(address, 16).unwrap_or_default().trunc();
    let prefix = IpNet::from(network);
    let path = Path {
        gateway: None,
        interface: LINK,
        onlink: false,
    };
    vec![
        Fact::DumpBegin,
        Fact::Abilities {
            permitted: true,
            nexthop_objects: true,
            compat_mode_off: false,
        },
        Fact::Link {
            index: LINK,
            name: "eth0".to_owned(),
            up: true,
        },
        Fact::Address {
            index: LINK,
            address: address.into(),
            prefix,
        },
        Fact::Route(KernelRoute {
            prefix,
            table: MAIN,
            metric: 0,
            protocol: KERNEL,
            tos: 0,
            kind: RouteKind::Unicast(RouteVia::Paths([(path, 1)].into_iter().collect())),
            prefsrc: None,
        }),
        Fact::DumpEnd,
    ]
}

/// A planner with its kernel.
pub(super) struct Planner {
    fib: Fib,
    now: Instant,
    out: Vec<Output>,
    /// Changes that the kernel was given.
    pub(super) written: usize,
}

impl Planner {
    fn new() -> Self {
        let mut planner = Self {
            fib: Fib::new(FibConfig::default()),
            now: Instant::now(),
            out: Vec::new(),
            written: 0,
        };
        planner.handle(Input::Kernel(dump(next_hop(0))));
        planner.handle(Input::StartupDone);
        planner.settle();
        planner
    }

    fn handle(&mut self, input: Input) {
        self.fib.handle(self.now, input, &mut self.out);
    }

    /// Until there is nothing more to write.
    fn settle(&mut self) {
        loop {
            for output in std::mem::take(&mut self.out) {
                if let Output::Send(batch) = output {
                    self.written += batch.ops.len();
                    self.handle(Input::Completed {
                        batch: batch.id,
                        failures: Vec::new(),
                    });
                }
            }
            if self.out.is_empty() {
                let Some(at) = self.fib.deadline() else {
                    return;
                };
                self.now = self.now.max(at);
                self.handle(Input::Timeout);
            }
        }
    }

    fn want(&mut self, wanted: Vec<Input>) {
        let mut left = wanted.into_iter();
        loop {
            for input in left.by_ref().take(CHUNK) {
                self.handle(input);
            }
            self.settle();
            if left.len() == 0 {
                return;
            }
        }
    }
}

/// All routes, `by` so many next hops further than at first.
fn wanted(by: u32, spare: bool) -> Vec<Input> {
    let routes = (0..ROUTES).filter_map(|n| Some((n, prefix(n)?.into())));
    let routes = routes.map(|(n, prefix)| {
        let hop = |further| NextHop {
            address: IpAddr::from(next_hop(1 + (n + further) % NEXT_HOPS)),
            interface: None,
            direct: true,
        };
        let spare = spare.then(|| (hop(by + 1), 0));
        let hops: NextHops = [(hop(by), 1)].into_iter().chain(spare).collect();
        Input::Wanted {
            prefix,
            route: Some(Wanted::Unicast(hops)),
            at: Placement::default(),
        }
    });
    routes.collect()
}

fn measured(mut planner: Planner, wanted: Vec<Input>) -> Result<Prepared> {
    Ok(Prepared::new(wanted.len(), move || {
        planner.want(wanted);
        planner
    }))
}

fn installed() -> Planner {
    let mut planner = Planner::new();
    planner.want(wanted(0, false));
    planner
}

pub(super) fn adding(spare: bool) -> Result<Prepared> {
    measured(Planner::new(), wanted(0, spare))
}

pub(super) fn again() -> Result<Prepared> {
    measured(installed(), wanted(0, false))
}

pub(super) fn moving() -> Result<Prepared> {
    measured(installed(), wanted(1, false))
}

pub(super) fn removing() -> Result<Prepared> {
    let gone = (0..ROUTES).filter_map(prefix).map(|prefix| Input::Wanted {
        prefix: prefix.into(),
        route: None,
        at: Placement::default(),
    });
    measured(installed(), gone.collect())
}
