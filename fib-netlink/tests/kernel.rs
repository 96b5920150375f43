//! The planner and the kernel together, each test in a network namespace of its own.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive the real kernel, which has a clock"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

mod common;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use fib_netlink::kernel::{self, Handle, KernelConfig};
use fib_netlink::{
    Fact, Fib, FibConfig, Input, NextHop, NextHops, Notice, Output, Placement, PreferredSource,
    Resolution, RouteState, Wanted,
};
use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};
use tokio::sync::mpsc::Receiver;

use common::{hop, ip, net, via};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test in a thread with a network namespace of its own, which goes with it.
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: needs root");
        return;
    }
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        for (n, device) in [(1, "d1"), (2, "d2"), (3, "d3")] {
            ip(&format!(
                "link add {device} type veth peer name {device}-peer"
            ));
            ip(&format!("link set {device} up"));
            ip(&format!("link set {device}-peer up"));
            ip(&format!("addr add 10.0.{n}.1/24 dev {device}"));
            ip(&format!("addr add fd00:{n}::1/64 dev {device} nodad"));
        }
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// What the daemon does, in small.
struct Rig {
    fib: Fib,
    handle: Handle,
    inputs: Receiver<Input>,
    /// What the kernel told and the planner was not told yet.
    untold: VecDeque<Input>,
    notices: Vec<Notice>,
    resolutions: Vec<(NextHop, Option<Resolution>)>,
    ops: usize,
    /// Batches that are not answered.
    flying: usize,
    ended: bool,
}

impl Rig {
    fn new(config: FibConfig) -> Self {
        let (handle, inputs) = kernel::start(KernelConfig::default()).unwrap();
        let mut rig = Self {
            fib: Fib::new(config),
            handle,
            inputs,
            untold: VecDeque::new(),
            notices: Vec::new(),
            resolutions: Vec::new(),
            ops: 0,
            flying: 0,
            ended: false,
        };
        rig.until("the first dump", |rig| rig.fib.status().synchronized);
        rig
    }

    fn input(&mut self, input: Input) {
        let mut out = Vec::new();
        self.flying -= usize::from(matches!(input, Input::Completed { .. }));
        self.fib.handle(Instant::now(), input, &mut out);
        for output in out {
            match output {
                Output::Send(batch) => {
                    self.ops += batch.ops.len();
                    self.flying += 1;
                    self.handle.send(Output::Send(batch));
                }
                Output::Resync => self.handle.send(Output::Resync),
                Output::NextHop {
                    next_hop,
                    resolution,
                } => self.resolutions.push((next_hop, resolution)),
                Output::Notice(notice) => self.notices.push(notice),
                Output::Environment => {}
                Output::Ended => self.ended = true,
            }
        }
    }

    fn want(&mut self, prefix: &str, route: Option<Wanted>) {
        self.want_at(prefix, route, Placement::default());
    }

    fn want_at(&mut self, prefix: &str, route: Option<Wanted>, at: Placement) {
        self.input(Input::Wanted {
            prefix: net(prefix),
            route,
            at,
        });
    }

    /// Waits until the kernel has told what is looked for, and does not pass it on.
    fn overhear(&mut self, what: &str, sought: impl Fn(&Fact) -> bool) {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "{what}: {:?}", self.untold);
            let Some(input) = common::told(&mut self.inputs) else {
                continue;
            };
            let found = matches!(&input, Input::Kernel(facts) if facts.iter().any(&sought));
            self.untold.push_back(input);
            if found {
                return;
            }
        }
    }

    fn step(&mut self) {
        let next = || common::next(&mut self.inputs, self.fib.deadline());
        if let Some(input) = self.untold.pop_front().or_else(next) {
            self.input(input);
        }
    }

    /// What is wanted is sent, and nothing is heard meanwhile.
    fn gather(&mut self) {
        while let Some(at) = self.fib.deadline() {
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            self.input(Input::Timeout);
        }
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "{what}: {:?} {:?} {:#?}",
                self.fib.status(),
                self.notices,
                self.fib.routes(None, 5, true)
            );
            self.step();
        }
    }

    /// All that is wanted is there, and nothing else of ours.
    fn settle(&mut self) {
        self.until("all installed", |rig| {
            let status = rig.fib.status();
            status.installed == status.wanted
                && status.actual == status.wanted
                && rig.fib.deadline().is_none()
                && rig.flying == 0
        });
        self.until("no news", |rig| rig.inputs.is_empty());
    }

    /// Lets everything happen that is going to.
    fn quiet(&mut self) {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(200) {
            self.step();
        }
    }

    fn state(&self, prefix: &str) -> Option<RouteState> {
        self.fib.route(net(prefix)).map(|row| row.state)
    }
}

#[test]
fn ecmp_with_weights_is_a_nexthop_group() {
    in_namespace(|| {
        let mut rig = Rig::new(FibConfig::default());
        rig.want("192.0.2.0/24", via(&[("10.0.1.2", 1), ("10.0.2.2", 5)]));
        rig.want("198.51.100.0/24", via(&[("10.0.2.2", 5), ("10.0.1.2", 1)]));
        rig.want("203.0.113.0/24", via(&[("10.0.3.2", 1)]));
        rig.want("2001:db8::/32", via(&[("fd00:1::2", 1), ("fd00:2::2", 1)]));
        rig.want("192.0.3.0/24", Some(Wanted::Blackhole));
        rig.want("2001:db9::/32", Some(Wanted::Unreachable));
        rig.settle();
        let routes = ip("route show proto bgp") + &ip("-6 route show proto bgp");
        println!("{routes}{}", ip("nexthop show"));
        let group = |prefix: &str| {
            let line = routes
                .lines()
                .find(|line| line.contains(prefix))
                .unwrap_or_default();
            line.split_whitespace()
                .skip_while(|word| *word != "nhid")
                .nth(1)
                .unwrap_or_default()
                .to_owned()
        };
        assert_eq!(group("192.0.2.0/24"), group("198.51.100.0/24"));
        let nexthops = ip("nexthop show");
        assert!(nexthops.contains(",5 proto bgp"), "{nexthops}");
        assert!(routes.contains("blackhole 192.0.3.0/24"), "{routes}");
        assert!(routes.contains("unreachable 2001:db9::/32"), "{routes}");
        assert!(ip("route get 203.0.113.9").contains("via 10.0.3.2 dev d3"));
        assert_eq!(rig.fib.status().nexthops, 7);

        rig.want("192.0.2.0/24", None);
        rig.want("198.51.100.0/24", via(&[("10.0.3.2", 1)]));
        rig.settle();
        assert_eq!(rig.fib.status().nexthops, 4, "{}", ip("nexthop show"));
        rig.input(Input::StartupDone);
        rig.input(Input::Shutdown);
        rig.until("ended", |rig| rig.ended);
        assert_eq!(ip("route show proto bgp"), "");
        assert_eq!(ip("-6 route show proto bgp"), "");
        assert_eq!(ip("nexthop show"), "");
    });
}

#[test]
fn an_ipv4_route_goes_via_an_ipv6_next_hop() {
    in_namespace(|| {
        let mut rig = Rig::new(FibConfig::default());
        rig.want("192.0.2.0/24", via(&[("fd00:1::2", 1)]));
        let index = rig.fib.interface("d2").unwrap();
        let scoped = NextHop {
            address: "fe80::2".parse().unwrap(),
            interface: Some(index),
            direct: false,
        };
        let both = NextHops::from_slice(&[(scoped, 1), (hop("10.0.1.2"), 1)]);
        rig.want("198.51.100.0/24", Some(Wanted::Unicast(both)));
        rig.settle();
        assert!(
            ip("route get 192.0.2.1").contains("via inet6 fd00:1::2 dev d1"),
            "{}",
            ip("route get 192.0.2.1")
        );
        let nexthops = ip("nexthop show");
        assert!(nexthops.contains("via fe80::2 dev d2"), "{nexthops}");
    });
}

#[test]
fn without_nexthop_objects_routes_carry_their_next_hops() {
    in_namespace(|| {
        let config = FibConfig {
            nexthop_groups: false,
            ..FibConfig::default()
        };
        let mut rig = Rig::new(config.clone());
        rig.want("192.0.2.0/24", via(&[("10.0.1.2", 1), ("10.0.2.2", 5)]));
        rig.want("198.51.100.0/24", via(&[("fd00:1::2", 1)]));
        rig.want("2001:db8::/32", via(&[("fd00:1::2", 1), ("fd00:2::2", 3)]));
        rig.settle();
        let routes = ip("route show proto bgp");
        assert!(
            routes.contains("nexthop via 10.0.2.2 dev d2 weight 5"),
            "{routes}"
        );
        assert!(routes.contains("via inet6 fd00:1::2 dev d1"), "{routes}");
        assert_eq!(ip("nexthop show"), "");

        ip("link set d2 down");
        rig.until("the link's loss", |rig| {
            rig.fib.resolve(hop("10.0.2.2")).is_none()
        });
        rig.settle();
        assert!(ip("route get 192.0.2.1").contains("via 10.0.1.2 dev d1"));
        assert!(
            ip("-6 route get 2001:db8::1").contains("via fd00:1::2 dev d1"),
            "{}",
            ip("-6 route show")
        );
        ip("link set d2 up");
        ip("addr add fd00:2::1/64 dev d2 nodad");
        rig.until("the link's return", |rig| {
            rig.fib.resolve(hop("fd00:2::2")).is_some()
        });
        rig.settle();
        assert!(ip("route show proto bgp").contains("nexthop via 10.0.2.2 dev d2 weight 5"));
        assert!(
            ip("-6 route show proto bgp").contains("via fd00:2::2 dev d2 weight 3"),
            "{}",
            ip("-6 route show")
        );

        ip("-6 route del 2001:db8::/32 via fd00:2::2 dev d2 proto bgp metric 20");
        rig.quiet();
        rig.settle();
        assert!(
            ip("-6 route show proto bgp").contains("via fd00:2::2 dev d2 weight 3"),
            "{}",
            ip("-6 route show")
        );

        // Another life finds the routes as they are.
        let mut next = Rig::new(config);
        let before = ip("route show") + &ip("-6 route show");
        next.want("192.0.2.0/24", via(&[("10.0.1.2", 1), ("10.0.2.2", 5)]));
        next.want("198.51.100.0/24", via(&[("fd00:1::2", 1)]));
        next.want("2001:db8::/32", via(&[("fd00:1::2", 1), ("fd00:2::2", 3)]));
        next.settle();
        assert_eq!(next.ops, 0, "{before}");
    });
}

#[test]
fn what_is_deleted_by_hand_comes_back() {
    in_namespace(|| {
        let mut rig = Rig::new(FibConfig::default());
        rig.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
        rig.want("2001:db8::/32", via(&[("fd00:1::2", 1), ("fd00:2::2", 1)]));
        rig.settle();
        rig.quiet();
        let ops = rig.ops;
        rig.quiet();
        assert_eq!(rig.ops, ops, "our own writes do not come back to us");

        ip("route del 192.0.2.0/24 proto bgp");
        ip("-6 route del 2001:db8::/32 proto bgp");
        rig.quiet();
        rig.settle();
        assert!(ip("route show proto bgp").contains("192.0.2.0/24"));
        assert!(ip("-6 route show proto bgp").contains("2001:db8::/32"));
        assert_eq!(rig.ops, ops + 2);

        ip("nexthop flush");
        rig.quiet();
        rig.settle();
        assert!(ip("route show proto bgp").contains("192.0.2.0/24"));
        assert!(ip("-6 route show proto bgp").contains("2001:db8::/32"));

        ip("route replace 192.0.2.0/24 via 10.0.3.2 proto bgp metric 20");
        rig.quiet();
        rig.settle();
        assert!(ip("route get 192.0.2.1").contains("via 10.0.1.2 dev d1"));
    });
}

#[test]
fn who_fights_us_is_met_with_patience() {
    in_namespace(|| {
        let mut rig = Rig::new(FibConfig::default());
        rig.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
        rig.settle();
        for _ in 0..20 {
            let _ = Command::new("ip")
                .args(["route", "del", "192.0.2.0/24", "proto", "bgp"])
                .output();
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(20) {
                rig.step();
            }
        }
        assert!(
            rig.notices.contains(&Notice::Contested {
                prefix: net("192.0.2.0/24")
            }),
            "{:?}",
            rig.notices
        );
        assert!(rig.ops < 16, "{}", rig.ops);
        rig.settle();
    });
}

#[test]
fn a_link_that_goes_down_moves_its_routes() {
    in_namespace(|| {
        let mut rig = Rig::new(FibConfig::default());
        for tracked in ["10.0.2.2", "fd00:2::2"] {
            rig.input(Input::Track(hop(tracked)));
        }
        for n in 0..50 {
            rig.want(
                &format!("192.0.{n}.0/24"),
                via(&[("10.0.1.2", 1), ("10.0.2.2", 1)]),
            );
            rig.want(
                &format!("2001:db8:{n}::/48"),
                via(&[("fd00:1::2", 1), ("fd00:2::2", 1)]),
            );
            rig.want(&format!("198.51.{n}.0/24"), via(&[("10.0.2.2", 1)]));
            rig.want(&format!("2001:db9:{n}::/48"), via(&[("fd00:2::2", 1)]));
        }
        rig.settle();
        let ops = rig.ops;
        ip("link set d2 down");
        rig.until("the next hops' loss", |rig| {
            rig.resolutions.iter().filter(|(_, r)| r.is_none()).count() == 2
        });
        rig.quiet();
        assert_eq!(rig.fib.status().installed, 100);
        assert!(
            rig.ops - ops < 20,
            "a group moves all its routes: {}",
            rig.ops - ops
        );
        assert!(ip("route get 192.0.7.1").contains("via 10.0.1.2 dev d1"));
        assert!(ip("-6 route get 2001:db8:7::1").contains("via fd00:1::2 dev d1"));
        assert!(!ip("route show").contains("198.51.7.0/24"));

        ip("link set d2 up");
        ip("addr add fd00:2::1/64 dev d2 nodad");
        rig.until("the next hops' return", |rig| {
            rig.fib.resolve(hop("fd00:2::2")).is_some()
        });
        rig.settle();
        assert!(ip("route get 198.51.7.1").contains("via 10.0.2.2 dev d2"));
        assert!(ip("-6 route get 2001:db9:7::1").contains("via fd00:2::2 dev d2"));
        assert_eq!(
            ip("nexthop show").matches("group").count(),
            2,
            "{}",
            ip("nexthop show")
        );

        // Only the carrier goes: the kernel drops nexthops all the same.
        ip("link set d2-peer down");
        rig.until("the carrier's loss", |rig| {
            rig.fib.resolve(hop("10.0.2.2")).is_none()
        });
        rig.quiet();
        assert_eq!(rig.fib.status().installed, 100);
        ip("link set d2-peer up");
        rig.until("the carrier's return", |rig| {
            rig.fib.resolve(hop("fd00:2::2")).is_some()
        });
        rig.settle();
        assert!(ip("route get 198.51.7.1").contains("via 10.0.2.2 dev d2"));

        ip("link del d2");
        rig.until("the link's end", |rig| {
            rig.fib.resolve(hop("10.0.2.2")).is_none()
        });
        rig.quiet();
        assert_eq!(rig.fib.status().installed, 100);
    });
}

/// The planner hears of the flap only when the next hop's object was made after it, and cannot know that. It
/// removes the object and makes it anew, and the kernel takes it out of the group that was sent meanwhile.
#[test]
fn a_group_is_whole_after_a_link_flapped_unheard() {
    in_namespace(|| {
        let mut rig = Rig::new(FibConfig::default());
        rig.input(Input::Track(hop("10.0.2.2")));
        rig.quiet();
        let link = |alive: bool| move |fact: &Fact| matches!(fact, Fact::Link { name, up, .. } if name == "d2" && *up == alive);
        ip("link set d2 down");
        rig.overhear("down", link(false));
        ip("link set d2 up");
        rig.overhear("up", link(true));
        rig.want("192.0.2.0/24", via(&[("10.0.2.2", 1)]));
        rig.gather();
        rig.until("the flap", |rig| {
            matches!(rig.resolutions.as_slice(), [_, (_, None), (_, Some(_))])
        });
        rig.want("192.0.3.0/24", via(&[("10.0.1.2", 1), ("10.0.2.2", 1)]));
        rig.gather();
        assert_eq!(rig.flying, 2, "the object, and the group with it");
        rig.settle();
        let route = ip("route show 192.0.3.0/24");
        let group = ip("nexthop show");
        let group = group.lines().find(|line| line.contains("group"));
        assert!(
            group.is_some_and(|line| line.contains('/')),
            "{group:?} {route}"
        );
    });
}

#[test]
fn a_next_hop_reached_another_way_moves_all_routes_in_one_message() {
    in_namespace(|| {
        ip("route add 172.16.0.0/16 via 10.0.1.2 metric 100");
        let mut rig = Rig::new(FibConfig::default());
        for n in 0..100 {
            rig.want(&format!("192.0.{n}.0/24"), via(&[("172.16.0.1", 1)]));
        }
        rig.settle();
        let ops = rig.ops;
        ip("route add 172.16.0.0/24 via 10.0.2.2");
        rig.until("the other way", |rig| rig.ops > ops);
        rig.settle();
        assert_eq!(rig.ops, ops + 1);
        assert!(ip("route get 192.0.7.1").contains("via 10.0.2.2 dev d2"));
        assert_eq!(
            rig.fib.resolve(hop("172.16.0.1")).map(|r| r.ways[0].metric),
            Some(0)
        );
        ip("route del 172.16.0.0/24");
        rig.until("back again", |rig| rig.ops > ops + 1);
        assert_eq!(
            rig.fib.resolve(hop("172.16.0.1")).map(|r| r.ways[0].metric),
            Some(100)
        );
    });
}

#[test]
fn a_killed_daemon_finds_its_routes_again() {
    in_namespace(|| {
        let mut first = Rig::new(FibConfig::default());
        let wants = |rig: &mut Rig| {
            rig.want("192.0.2.0/24", via(&[("10.0.1.2", 1), ("10.0.2.2", 2)]));
            rig.want("198.51.100.0/24", via(&[("10.0.3.2", 1)]));
            rig.want("2001:db8::/32", via(&[("fd00:1::2", 1), ("fd00:2::2", 1)]));
            rig.want("192.0.3.0/24", Some(Wanted::Blackhole));
        };
        wants(&mut first);
        first.want("203.0.113.0/24", via(&[("10.0.3.3", 1), ("10.0.2.3", 1)]));
        first.want("2001:db9::/32", via(&[("fd00:3::3", 1)]));
        first.settle();
        drop(first);
        let before = ip("route show") + &ip("-6 route show") + &ip("nexthop show");

        // The kernel gave these to us while we were away.
        ip("route add 192.0.9.0/24 via 10.0.1.2 proto bgp metric 77");
        let mut second = Rig::new(FibConfig::default());
        assert_eq!(second.notices, [Notice::Adopted { routes: 7 }]);
        wants(&mut second);
        second.quiet();
        assert_eq!(
            second.ops, 0,
            "what is there as it is wanted is not written"
        );
        assert_eq!(second.fib.status().stale, 3);
        assert_eq!(second.state("203.0.113.0/24"), Some(RouteState::Stale));
        let meanwhile = ip("route show") + &ip("-6 route show") + &ip("nexthop show");
        assert!(
            before.lines().all(|line| meanwhile.contains(line)),
            "{before}\n{meanwhile}"
        );

        second.input(Input::StartupDone);
        second.settle();
        assert_eq!(
            second.notices.last(),
            Some(&Notice::StaleRemoved { routes: 3 })
        );
        second.quiet();
        assert_eq!(ip("route show proto bgp").lines().count(), 3);
        assert_eq!(ip("-6 route show proto bgp").matches("2001:db").count(), 1);
        assert_eq!(
            ip("nexthop show").lines().count(),
            7,
            "{}",
            ip("nexthop show")
        );
    });
}

#[test]
fn foreign_routes_are_not_touched() {
    in_namespace(|| {
        let foreign = [
            "192.0.2.0/24 via 10.0.3.2 proto static metric 20",
            "192.0.3.0/24 via 10.0.3.2 proto static metric 5",
        ];
        for route in foreign {
            ip(&format!("route add {route}"));
        }
        ip("-6 route add 2001:db8::/32 via fd00:3::2 proto static metric 20");
        let before = ip("route show proto static") + &ip("-6 route show proto static");
        let mut rig = Rig::new(FibConfig::default());
        for prefix in ["192.0.2.0/24", "192.0.3.0/24"] {
            rig.want(prefix, via(&[("10.0.1.2", 1)]));
        }
        rig.want("2001:db8::/32", via(&[("fd00:1::2", 1)]));
        rig.until("refusals", |rig| rig.fib.status().failed == 2);
        assert_eq!(
            ip("route show proto static") + &ip("-6 route show proto static"),
            before
        );
        assert!(matches!(
            rig.state("192.0.2.0/24"),
            Some(RouteState::Foreign { .. })
        ));
        assert!(matches!(
            rig.state("192.0.3.0/24"),
            Some(RouteState::Installed)
        ));
        assert!(rig.notices.contains(&Notice::ForeignInTheWay {
            prefix: net("192.0.2.0/24")
        }));

        // Once it is out of the way, ours takes its place at once.
        ip("route del 192.0.2.0/24 proto static");
        ip("-6 route del 2001:db8::/32 proto static");
        rig.settle();

        // Somebody takes ours' place: it is theirs.
        ip("route replace 192.0.2.0/24 via 10.0.3.2 proto static metric 20");
        rig.until("refusal", |rig| {
            matches!(rig.state("192.0.2.0/24"), Some(RouteState::Foreign { .. }))
        });
        rig.quiet();
        assert!(ip("route show proto static").contains("192.0.2.0/24 via 10.0.3.2"));
        rig.want("192.0.2.0/24", None);
        rig.quiet();
        assert!(ip("route show proto static").contains("192.0.2.0/24 via 10.0.3.2"));
    });
}

/// As zebra installs FRR's BGP routes: with the number of BGP, and nexthop objects of its own.
#[test]
fn routes_of_another_program_with_our_number_are_left_alone() {
    in_namespace(|| {
        std::fs::write("/proc/sys/net/ipv4/nexthop_compat_mode", "0").unwrap();
        ip("nexthop add id 7 via 10.0.3.2 dev d3 proto zebra");
        ip("nexthop add id 8 via fd00:3::2 dev d3 proto zebra");
        let theirs = ["192.0.2.0/24", "192.0.3.0/24"];
        for prefix in theirs {
            ip(&format!("route add {prefix} nhid 7 proto bgp metric 20"));
        }
        ip("-6 route add 2001:db8::/32 nhid 8 proto bgp metric 20");
        let shown = || ip("route show proto bgp") + &ip("-6 route show proto bgp");
        let before = shown();
        let mut rig = Rig::new(FibConfig::default());
        let said = Notice::StrangersHaveOurNumber { protocol: 186 };
        assert!(rig.notices.contains(&said), "{:?}", rig.notices);
        assert!(
            !rig.notices
                .iter()
                .any(|n| matches!(n, Notice::Adopted { .. }))
        );
        assert_eq!(rig.fib.status().strangers, 3);
        rig.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
        rig.want("2001:db8::/32", via(&[("fd00:1::2", 1)]));
        rig.input(Input::StartupDone);
        rig.until("refusals", |rig| rig.fib.status().failed == 2);
        rig.quiet();
        assert_eq!(shown(), before);
        let there = at(None, Some(30), None);
        rig.want_at("192.0.3.0/24", via(&[("10.0.1.2", 1)]), there);
        rig.until("room beside it", |rig| rig.fib.status().installed == 1);
        assert!(shown().contains("192.0.3.0/24 nhid 7"), "{}", shown());

        // Once it is out of the way, ours takes its place at once. Then somebody takes ours' place.
        ip("route del 192.0.2.0/24 proto bgp metric 20");
        rig.until("its place", |rig| rig.fib.status().installed == 2);
        ip("route replace 192.0.2.0/24 nhid 7 proto bgp metric 20");
        rig.until("refusal", |rig| {
            matches!(rig.state("192.0.2.0/24"), Some(RouteState::Foreign { .. }))
        });
        rig.want("192.0.2.0/24", None);
        rig.quiet();
        assert!(shown().contains("192.0.2.0/24 nhid 7"), "{}", shown());

        // With their nexthop objects go their routes.
        rig.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
        rig.until("refusal", |rig| rig.fib.status().failed == 2);
        ip("nexthop del id 7");
        ip("nexthop del id 8");
        rig.settle();
        rig.input(Input::Shutdown);
        rig.until("ended", |rig| rig.ended);
        assert_eq!(shown(), "");
    });
}

/// Where a next hop is sought, `None`: it is not found.
fn gateway(rig: &Rig, address: &str) -> Option<String> {
    let ways = rig.fib.resolve(hop(address))?.ways;
    let gateway = ways.first()?.path.gateway?;
    Some(gateway.to_string())
}

/// `ip route append`: several with one prefix and metric. The kernel takes the first, and so do we, however they come and
/// go, and whether a dump told of them or not.
#[test]
fn of_foreign_routes_with_one_metric_the_kernels_is_taken() {
    in_namespace(|| {
        ip("route add 172.16.0.0/16 via 10.0.1.2 metric 10");
        ip("route append 172.16.0.0/16 via 10.0.2.2 metric 10");
        let mut rig = Rig::new(FibConfig::default());
        rig.input(Input::Track(hop("172.16.0.1")));
        rig.input(Input::Track(hop("2001:db8::1")));
        let expect = |rig: &mut Rig, gateways: &[&str]| {
            let chosen = gateways.first().map(|gateway| (*gateway).to_owned());
            rig.until(&format!("{gateways:?}"), |rig| {
                gateway(rig, "172.16.0.1") == chosen
            });
            rig.quiet();
            assert_eq!(gateway(rig, "172.16.0.1"), chosen);
            // What the kernel says.
            let listed = ip("route show 172.16.0.0/16");
            let listed: Vec<_> = listed
                .lines()
                .filter_map(|l| l.split_whitespace().nth(2))
                .collect();
            assert_eq!(listed, gateways);
            // And what it says to those who ask for all.
            rig.input(Input::Retell);
            rig.until("a dump", |rig| rig.fib.status().synchronized);
            assert_eq!(gateway(rig, "172.16.0.1"), chosen);
        };
        expect(&mut rig, &["10.0.1.2", "10.0.2.2"]);
        ip("route prepend 172.16.0.0/16 via 10.0.3.2 metric 10");
        expect(&mut rig, &["10.0.3.2", "10.0.1.2", "10.0.2.2"]);
        ip("route del 172.16.0.0/16 via 10.0.1.2 metric 10");
        expect(&mut rig, &["10.0.3.2", "10.0.2.2"]);
        ip("route replace 172.16.0.0/16 via 10.0.1.3 metric 10");
        expect(&mut rig, &["10.0.1.3", "10.0.2.2"]);
        ip("route append 172.16.0.0/16 via 10.0.3.3 metric 10");
        expect(&mut rig, &["10.0.1.3", "10.0.2.2", "10.0.3.3"]);
        ip("route del 172.16.0.0/16 via 10.0.1.3 metric 10");
        expect(&mut rig, &["10.0.2.2", "10.0.3.3"]);
        ip("route del 172.16.0.0/16 via 10.0.2.2 metric 10");
        expect(&mut rig, &["10.0.3.3"]);
        ip("route del 172.16.0.0/16 via 10.0.3.3 metric 10");
        rig.until("nothing", |rig| gateway(rig, "172.16.0.1").is_none());
        assert_eq!(rig.fib.status().foreign_left_out, 0);
    });
}

/// Of IPv6, nexthop objects and devices are routes beside others; gateways become one route.
#[test]
fn of_foreign_ipv6_routes_with_one_metric_the_kernels_is_taken() {
    in_namespace(|| {
        ip("nexthop add id 7 via fd00:1::2 dev d1");
        ip("nexthop add id 8 via fd00:2::2 dev d2");
        ip("-6 route add 2001:db8::/32 nhid 7 metric 10");
        let mut rig = Rig::new(FibConfig::default());
        rig.input(Input::Track(hop("2001:db8::1")));
        let expect = |rig: &mut Rig, chosen: Option<&str>| {
            let chosen = chosen.map(str::to_owned);
            rig.until(&format!("{chosen:?}"), |rig| {
                gateway(rig, "2001:db8::1") == chosen
            });
            rig.quiet();
            assert_eq!(gateway(rig, "2001:db8::1"), chosen);
            rig.input(Input::Retell);
            rig.until("a dump", |rig| rig.fib.status().synchronized);
            assert_eq!(gateway(rig, "2001:db8::1"), chosen);
        };
        let kernel = |gateway: &str| {
            let found = ip("-6 route get 2001:db8::1");
            assert!(found.contains(&format!("via {gateway} ")), "{found}");
        };
        expect(&mut rig, Some("fd00:1::2"));
        ip("-6 route append 2001:db8::/32 nhid 8 metric 10");
        kernel("fd00:1::2");
        expect(&mut rig, Some("fd00:1::2"));
        ip("-6 route del 2001:db8::/32 nhid 7 metric 10");
        kernel("fd00:2::2");
        expect(&mut rig, Some("fd00:2::2"));
        ip("-6 route append 2001:db8::/32 via fd00:3::2 metric 10");
        ip("-6 route append 2001:db8::/32 via fd00:3::3 metric 10");
        kernel("fd00:2::2");
        expect(&mut rig, Some("fd00:2::2"));
        ip("-6 route del 2001:db8::/32 nhid 8 metric 10");
        expect(&mut rig, Some("fd00:3::2"));
        ip("-6 route del 2001:db8::/32 via fd00:3::2 metric 10");
        kernel("fd00:3::3");
        expect(&mut rig, Some("fd00:3::3"));
        ip("-6 route del 2001:db8::/32 via fd00:3::3 metric 10");
        rig.until("nothing", |rig| gateway(rig, "2001:db8::1").is_none());
    });
}

/// A route that somebody puts before or behind ours, with our metric: ours gives way, and theirs is never replaced.
#[test]
fn a_foreign_route_beside_ours_is_left_alone() {
    in_namespace(|| {
        let mut rig = Rig::new(FibConfig::default());
        for (n, how) in [(1, "prepend"), (2, "append")] {
            let prefix = format!("192.0.{n}.0/24");
            rig.want(&prefix, via(&[("10.0.1.2", 1)]));
            rig.settle();
            ip(&format!(
                "route {how} {prefix} via 10.0.3.2 proto static metric 20"
            ));
            rig.until("refusal", |rig| {
                matches!(rig.state(&prefix), Some(RouteState::Foreign { .. }))
            });
            rig.want(&prefix, via(&[("10.0.2.2", 1)]));
            rig.quiet();
            let there = ip(&format!("route show {prefix}"));
            assert_eq!(there.lines().count(), 1, "{there}");
            assert!(there.contains("via 10.0.3.2"), "{there}");
            ip(&format!("route del {prefix} proto static"));
            rig.settle();
        }
        // One of an earlier life, behind another's: what is told of in a dump.
        ip("route add 192.0.9.0/24 via 10.0.3.2 proto static metric 20");
        ip("route append 192.0.9.0/24 via 10.0.1.2 proto bgp metric 20");
        rig.input(Input::Retell);
        rig.want("192.0.9.0/24", via(&[("10.0.2.2", 1)]));
        rig.until("refusal", |rig| {
            matches!(rig.state("192.0.9.0/24"), Some(RouteState::Foreign { .. }))
        });
        let there = ip("route show 192.0.9.0/24");
        assert_eq!(there.lines().count(), 1, "{there}");
        assert!(there.contains("via 10.0.3.2"), "{there}");
    });
}

#[test]
fn a_device_without_gateways_reaches_what_is_routed_to_it() {
    in_namespace(|| {
        ip("link add tunnel type veth peer name tunnel-peer");
        ip("link set tunnel-peer up");
        ip("link set tunnel arp off up");
        ip("addr add 10.255.0.1/32 dev tunnel");
        ip("route add 10.255.0.2/32 dev tunnel");
        let mut rig = Rig::new(FibConfig::default());
        rig.want("192.0.2.0/24", via(&[("10.255.0.2", 1)]));
        let tunnel = rig.fib.interface("tunnel").unwrap();
        let forced = NextHop {
            address: "10.254.0.2".parse().unwrap(),
            interface: Some(tunnel),
            direct: false,
        };
        rig.want(
            "198.51.100.0/24",
            Some(Wanted::Unicast(NextHops::from_slice(&[(forced, 1)]))),
        );
        rig.settle();
        assert!(ip("route get 192.0.2.1").contains("dev tunnel"));
        assert!(ip("route get 198.51.100.1").contains("via 10.254.0.2 dev tunnel"));
        assert_eq!(
            rig.fib.resolve(hop("10.255.0.1")),
            None,
            "our own address is no next hop"
        );
    });
}

#[test]
fn the_preferred_source_is_used_while_it_is_there() {
    in_namespace(|| {
        let prefsrc = PreferredSource {
            ipv4: Some("10.100.0.1".parse().unwrap()),
            ipv6: Some("fd00:100::1".parse().unwrap()),
        };
        let mut rig = Rig::new(FibConfig {
            prefsrc,
            ..FibConfig::default()
        });
        let missing = |notices: &[Notice]| {
            notices
                .iter()
                .filter(|n| matches!(n, Notice::PreferredSourceMissing { .. }))
                .count()
        };
        assert_eq!(missing(&rig.notices), 2);
        rig.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
        rig.want("2001:db8::/32", via(&[("fd00:1::2", 1)]));
        rig.settle();
        ip("addr add 10.100.0.1/32 dev lo");
        ip("addr add fd00:100::1/128 dev lo");
        rig.quiet();
        rig.settle();
        assert!(
            ip("route show proto bgp").contains("src 10.100.0.1"),
            "{}",
            ip("route show proto bgp")
        );
        assert!(
            ip("-6 route show proto bgp").contains("src fd00:100::1"),
            "{}",
            ip("-6 route show proto bgp")
        );
        ip("addr del 10.100.0.1/32 dev lo");
        rig.quiet();
        rig.settle();
        let routes = ip("route show proto bgp");
        assert!(
            routes.contains("192.0.2.0/24") && !routes.contains("src"),
            "{routes}"
        );
    });
}

#[test]
fn a_refused_route_is_shown_and_tried_again() {
    in_namespace(|| {
        let mut rig = Rig::new(FibConfig::default());
        // The kernel refuses an IPv6 route via an IPv4 next hop.
        rig.want("2001:db8::/32", via(&[("10.0.1.2", 1)]));
        rig.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
        rig.until("refusal", |rig| {
            matches!(
                rig.state("2001:db8::/32"),
                Some(RouteState::Failed { attempts: 2.., .. })
            )
        });
        assert!(
            matches!(
                rig.notices.last(),
                Some(Notice::InstallFailed { more: 0, .. })
            ),
            "{:?}",
            rig.notices
        );
        assert_eq!(rig.state("192.0.2.0/24"), Some(RouteState::Installed));
        rig.until("another attempt", |rig| {
            matches!(
                rig.state("2001:db8::/32"),
                Some(RouteState::Failed { attempts: 3.., .. })
            )
        });
        rig.want("2001:db8::/32", via(&[("fd00:1::2", 1)]));
        rig.settle();
    });
}

#[test]
fn without_the_capability_it_runs_and_installs_nothing() {
    in_namespace(|| {
        caps::drop(
            None,
            caps::CapSet::Effective,
            caps::Capability::CAP_NET_ADMIN,
        )
        .unwrap();
        let mut rig = Rig::new(FibConfig::default());
        rig.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
        rig.input(Input::StartupDone);
        rig.quiet();
        assert_eq!(rig.notices, [Notice::NotPermitted]);
        assert!(!rig.fib.status().permitted);
        assert_eq!((rig.ops, rig.fib.status().pending), (0, 1));
        assert!(
            rig.fib.resolve(hop("10.0.1.2")).is_some(),
            "it still knows the ways"
        );
        rig.input(Input::Shutdown);
        assert!(rig.ended);
    });
}

#[test]
fn a_hundred_thousand_routes_go_in_and_out() {
    in_namespace(|| {
        const ROUTES: u32 = 100_000;
        let mut rig = Rig::new(FibConfig::default());
        rig.input(Input::StartupDone);
        let prefix =
            |n: u32| IpNet::new(IpAddr::from((0x2000_0000 + (n << 8)).to_be_bytes()), 24).unwrap();
        let targets = [
            via(&[("10.0.1.2", 1), ("10.0.2.2", 1)]),
            via(&[("10.0.3.2", 1)]),
            None,
        ];
        for (what, target) in ["in", "moved", "out"].into_iter().zip(targets) {
            let start = Instant::now();
            for n in 0..ROUTES {
                rig.input(Input::Wanted {
                    prefix: prefix(n),
                    route: target.clone(),
                    at: Placement::default(),
                });
            }
            rig.until("all", |rig| {
                rig.fib.deadline().is_none() && rig.flying == 0 && rig.inputs.is_empty()
            });
            println!("{ROUTES} routes {what}: {} ms", start.elapsed().as_millis());
            let status = rig.fib.status();
            assert_eq!(
                (status.installed, status.actual),
                (status.wanted, status.wanted)
            );
        }
        assert_eq!(ip("route show proto bgp"), "");
        assert_eq!(ip("nexthop show"), "");
    });
}

/// A neighbor that is gone: all its routes go another way with one message, IPv4 and IPv6, and come back with one.
#[test]
fn what_is_spare_takes_over_a_hundred_thousand_routes_at_once() {
    in_namespace(|| {
        const ROUTES: u32 = 100_000;
        let prefix = |n: u32| format!("{}.{}.{}.0/24", 20 + n / 65_536, n / 256 % 256, n % 256);
        let spare = |used: &str, spare: &str| via(&[(used, 1), (spare, 0)]);
        let mut rig = Rig::new(FibConfig::default());
        rig.input(Input::StartupDone);
        // Both neighbors are in use.
        rig.want("192.0.2.0/24", via(&[("10.0.2.2", 1)]));
        rig.want("2001:db8:2::/48", via(&[("fd00:2::2", 1)]));
        for n in 0..ROUTES {
            rig.want(&prefix(n), spare("10.0.1.2", "10.0.2.2"));
        }
        rig.want("2001:db8::/48", spare("fd00:1::2", "fd00:2::2"));
        rig.settle();
        let goes = |gateway: &str| {
            for n in [0, 1, ROUTES / 2, ROUTES - 1] {
                let address = prefix(n).replace(".0/24", ".1");
                let found = ip(&format!("route get {address}"));
                assert!(found.contains(&format!("via {gateway} ")), "{found}");
            }
        };
        goes("10.0.1.2");
        let suspect = |rig: &mut Rig, neighbor: &str| {
            let (before, start) = (rig.ops, Instant::now());
            rig.input(Input::Suspect {
                neighbor: neighbor.parse().unwrap(),
                interface: None,
            });
            rig.until("the answer", |rig| rig.flying == 0);
            println!(
                "{neighbor} is gone: {} changes in {:?}",
                rig.ops - before,
                start.elapsed()
            );
            assert_eq!(rig.ops - before, 1);
        };
        suspect(&mut rig, "10.0.1.2");
        goes("10.0.2.2");
        suspect(&mut rig, "fd00:1::2");
        let found = ip("-6 route get 2001:db8::1");
        assert!(found.contains("via fd00:2::2 "), "{found}");
        rig.input(Input::Settled);
        rig.until("the way back", |rig| rig.flying == 0);
        goes("10.0.1.2");
        // It is gone indeed: that each route says so changes nothing until all do.
        suspect(&mut rig, "10.0.1.2");
        let before = rig.ops;
        for n in 0..ROUTES {
            rig.want(&prefix(n), via(&[("10.0.2.2", 1)]));
        }
        rig.quiet();
        assert!(rig.ops <= before + 1, "{}", rig.ops - before);
        goes("10.0.2.2");
        rig.input(Input::Settled);
        rig.settle();
        rig.until("all is written", |rig| rig.ops >= before + ROUTES as usize);
        rig.settle();
        goes("10.0.2.2");
        // IPv4's only object, and those of IPv6: two paths and a group.
        assert_eq!(
            ip("nexthop show").lines().count(),
            4,
            "{}",
            ip("nexthop show")
        );
    });
}

fn at(table: Option<u32>, metric: Option<u32>, prefsrc: Option<&str>) -> Placement {
    Placement {
        table,
        metric,
        prefsrc: prefsrc.map(|address| address.parse().unwrap()),
    }
}

#[test]
fn each_route_has_its_table_its_metric_and_its_source() {
    in_namespace(|| {
        ip("addr add 10.100.0.1/32 dev lo");
        let mut rig = Rig::new(FibConfig::default());
        rig.input(Input::StartupDone);
        let (v4, v6) = (via(&[("10.0.1.2", 1)]), via(&[("fd00:1::2", 1)]));
        rig.want("192.0.2.0/24", v4.clone());
        rig.want_at("192.0.3.0/24", v4.clone(), at(Some(1000), Some(7), None));
        rig.want_at(
            "192.0.4.0/24",
            v4.clone(),
            at(None, None, Some("10.100.0.1")),
        );
        rig.want_at("2001:db8::/32", v6.clone(), at(Some(1000), Some(0), None));
        rig.want_at(
            "192.0.5.0/24",
            Some(Wanted::Prohibit),
            at(Some(1000), None, None),
        );
        rig.settle();
        let shown = |table: &str| {
            let all =
                ip("route show table all proto bgp") + &ip("-6 route show table all proto bgp");
            let of_table = |line: &&str| match table {
                "main" => !line.contains(" table "),
                table => line.contains(&format!(" table {table} ")),
            };
            let mut lines: Vec<_> = all.lines().filter(of_table).collect();
            lines.sort_unstable();
            lines.dedup(); // `ip` shows an IPv6 route by a nexthop object twice
            lines.join("\n")
        };
        let (main, other) = (shown("main"), shown("1000"));
        assert!(main.contains("192.0.2.0/24 nhid"), "{main}");
        assert!(main.contains("src 10.100.0.1 metric 20"), "{main}");
        assert!(other.contains("metric 7"), "{other}");
        assert!(other.contains("metric 1024"), "{other}");
        assert!(other.contains("prohibit 192.0.5.0/24"), "{other}");

        // All of them move, and a watcher never misses one.
        let prefixes = ["192.0.2.0/24", "192.0.3.0/24", "192.0.4.0/24"];
        for prefix in prefixes {
            rig.want_at(prefix, v4.clone(), at(Some(1001), None, None));
        }
        rig.want("2001:db8::/32", v6);
        rig.want("192.0.5.0/24", None);
        rig.settle();
        assert_eq!(shown("main").lines().count(), 1, "{}", shown("main"));
        assert_eq!(shown("1001").lines().count(), 3, "{}", shown("1001"));
        assert_eq!(shown("1000"), "");
    });
}

#[test]
fn a_killed_daemon_finds_its_routes_in_whatever_table_it_had_put_them() {
    in_namespace(|| {
        let config = FibConfig {
            table: 1000,
            metric: 50,
            ..FibConfig::default()
        };
        let v4 = via(&[("10.0.1.2", 1), ("10.0.2.2", 1)]);
        let mut first = Rig::new(config);
        first.want("192.0.2.0/24", v4.clone());
        first.want("192.0.3.0/24", v4.clone());
        first.settle();
        drop(first);
        ip("route add 192.0.3.0/24 via 10.0.3.2 proto static metric 50 table 1001");
        let mut second = Rig::new(FibConfig::default());
        assert_eq!(second.notices, [Notice::Adopted { routes: 2 }]);
        second.want("192.0.2.0/24", v4);
        second.quiet();
        assert_eq!(
            ip("route show table 1000 proto bgp")
                .matches("192.0")
                .count(),
            2
        );
        second.input(Input::StartupDone);
        second.settle();
        let tables = ip("route show table all");
        assert!(!tables.contains("table 1000"), "{tables}");
        assert!(
            tables.contains("192.0.3.0/24 via 10.0.3.2 dev d3 table 1001"),
            "{tables}"
        );
        assert_eq!(ip("route show proto bgp").matches("192.0").count(), 1);
    });
}

fn shadow() -> FibConfig {
    FibConfig {
        install: false,
        shadow: true,
        ..FibConfig::default()
    }
}

/// As BIRD installs routes: with a number and a metric of its own, and without nexthop objects.
const OF_BIRD: [&str; 6] = [
    "192.0.2.0/24 proto bird metric 32 via 10.0.1.2",
    "192.0.3.0/24 proto bird metric 32 nexthop via 10.0.1.2 weight 2 nexthop via 10.0.2.2 weight 2",
    "blackhole 192.0.4.0/24 proto bird metric 32",
    "192.0.5.0/24 proto bird metric 32 via 10.0.3.2",
    "192.0.6.0/24 proto bird metric 32 via 10.0.3.2",
    "192.0.8.0/24 proto bird table 1000 via 10.0.1.2",
];

fn want_in_the_shadow(rig: &mut Rig) {
    rig.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
    rig.want("192.0.3.0/24", via(&[("10.0.1.2", 1), ("10.0.2.2", 1)]));
    rig.want("192.0.4.0/24", Some(Wanted::Blackhole));
    rig.want("192.0.5.0/24", via(&[("10.0.2.2", 1)]));
    rig.want_at(
        "192.0.8.0/24",
        via(&[("10.0.1.2", 1)]),
        at(Some(1000), None, None),
    );
}

#[test]
fn in_shadow_mode_nothing_is_written_and_what_differs_is_told() {
    in_namespace(|| {
        for route in OF_BIRD {
            ip(&format!("route add {route}"));
        }
        // Not a routing daemon's.
        ip("route add 198.51.100.0/24 via 10.0.3.2 proto static");
        let before = ip("route show table all");
        let mut rig = Rig::new(shadow());
        want_in_the_shadow(&mut rig);
        rig.want("192.0.7.0/24", via(&[("10.0.1.2", 1)]));
        rig.input(Input::StartupDone);
        rig.quiet();
        let states = |rig: &Rig| -> Vec<(String, &str)> {
            let rows = rig.fib.routes(None, 100, true).into_iter();
            rows.map(|row| (row.prefix.to_string(), row.state.name()))
                .collect()
        };
        let expected = [
            ("192.0.5.0/24", "different"),
            ("192.0.6.0/24", "extra"),
            ("192.0.7.0/24", "missing"),
        ];
        assert_eq!(
            states(&rig),
            expected.map(|(prefix, state)| (prefix.to_owned(), state))
        );
        let status = rig.fib.status();
        assert_eq!(
            [
                status.installed,
                status.different,
                status.missing,
                status.extra
            ],
            [4, 1, 1, 1],
            "{status:?}"
        );
        assert_eq!((rig.ops, ip("route show table all")), (0, before));

        // It becomes equal; then the other program changes its mind about the source.
        ip("route replace 192.0.5.0/24 proto bird metric 32 via 10.0.2.2");
        ip("route del 192.0.6.0/24 proto bird");
        rig.want("192.0.7.0/24", None);
        rig.until("no difference", |rig| states(rig).is_empty());
        ip("route replace 192.0.5.0/24 proto bird metric 32 via 10.0.2.2 src 10.0.1.1");
        rig.until("a difference", |rig| {
            states(rig) == [("192.0.5.0/24".to_owned(), "different")]
        });
        ip("route replace 192.0.5.0/24 proto bird metric 32 via 10.0.2.2");
        rig.until("no difference", |rig| states(rig).is_empty());
        assert_eq!(rig.ops, 0);
    });
}

/// The day of the move: from the shadow into the kernel, and back.
#[test]
fn out_of_the_shadow_routes_are_installed_beside_those_of_others_and_into_it_they_go() {
    in_namespace(|| {
        for route in OF_BIRD {
            ip(&format!("route add {route}"));
        }
        let ours = || ip("route show table all proto bgp").lines().count();
        let theirs = ip("route show table all proto bird");
        let mut rig = Rig::new(shadow());
        want_in_the_shadow(&mut rig);
        rig.input(Input::StartupDone);
        rig.quiet();
        for _ in 0..2 {
            rig.input(Input::Configure(FibConfig::default()));
            want_in_the_shadow(&mut rig);
            rig.input(Input::StartupDone);
            rig.settle();
            assert_eq!(ours(), 5, "{}", ip("route show table all"));
            assert_eq!(ip("route show table all proto bird"), theirs);
            rig.input(Input::Configure(shadow()));
            want_in_the_shadow(&mut rig);
            rig.until("ours to go", |_| ours() == 0);
            rig.until("the comparison", |rig| {
                let status = rig.fib.status();
                status.synchronized && (status.installed, status.different) == (4, 1)
            });
        }
        assert_eq!(ip("route show table all proto bird"), theirs);
        assert_eq!(ip("nexthop show"), "");
    });
}
