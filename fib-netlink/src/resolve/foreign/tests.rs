//! Twins against a list as the kernel has it, and what has no room.

use proptest::prelude::*;

use super::*;
use crate::fact::{RouteKind, RouteVia};
use crate::op::Path;

/// A route through gateway 10.0.0.N; each is another one.
fn route(net: &str, metric: u32, n: u8) -> KernelRoute {
    let gateway: std::net::IpAddr = match net.contains(':') {
        true => format!("fd00::{n}").parse().unwrap(),
        false => [10, 0, 0, n].into(),
    };
    let path = Path {
        gateway: Some(gateway),
        interface: 1,
        onlink: false,
    };
    KernelRoute {
        prefix: net.parse().unwrap(),
        table: 254,
        metric,
        protocol: 4,
        tos: 0,
        kind: RouteKind::Unicast(RouteVia::Paths(SmallVec::from_elem((path, 1), 1))),
        prefsrc: None,
    }
}

/// The same, where `route` has another meaning.
fn twin(net: &str, metric: u32, n: u8) -> KernelRoute {
    route(net, metric, n)
}

fn many(count: usize) -> impl Iterator<Item = KernelRoute> {
    (0..count).map(|i| route(&format!("10.{}.{}.0/24", i / 256, i % 256), 0, 1))
}

/// An IPv6 route through a gateway takes in what is added to it, and gives back what is taken from it.
#[test]
fn ipv6_gateways_with_one_metric_are_one_route() {
    let mut foreign = Foreign::default();
    let first = route("2001:db8::/32", 10, 1);
    foreign.enter(first.clone(), Some(Rank::Last), false);
    let mut both = first.clone();
    let second = route("2001:db8::/32", 10, 2);
    if let (RouteKind::Unicast(RouteVia::Paths(all)), RouteKind::Unicast(RouteVia::Paths(more))) =
        (&mut both.kind, &second.kind)
    {
        all.extend(more.iter().copied());
    }
    foreign.enter(both.clone(), Some(Rank::Last), false);
    assert_eq!((foreign.to(first.prefix), foreign.kept()), (&[both][..], 1));
    assert!(foreign.leave(&first));
    assert_eq!(foreign.to(first.prefix), std::slice::from_ref(&second));
    assert!(foreign.leave(&second));
    assert!(!foreign.has(first.prefix));
}

/// Two router advertisements are two default routes, though both have gateways.
#[test]
fn default_routes_of_two_routers_are_two() {
    let mut foreign = Foreign::default();
    let advertised = |n| KernelRoute {
        protocol: 9,
        ..route("::/0", 1024, n)
    };
    foreign.enter(advertised(1), Some(Rank::Last), false);
    foreign.enter(advertised(2), Some(Rank::Last), false);
    assert_eq!(
        foreign.to(advertised(1).prefix),
        [advertised(1), advertised(2)]
    );
    assert!(foreign.leave(&advertised(1)));
    assert_eq!(foreign.to(advertised(1).prefix), [advertised(2)]);
}

#[test]
fn what_has_no_room_is_counted_and_asked_for_again() {
    let mut foreign = Foreign::default();
    let all: Vec<_> = many(FOREIGN_MAX + 5).collect();
    for route in all.clone() {
        foreign.enter(route, Some(Rank::Last), false);
    }
    assert_eq!((foreign.kept(), foreign.left_out()), (FOREIGN_MAX, 5));
    assert!(foreign.take_full());
    assert!(!foreign.take_full(), "said once");
    assert!(!foreign.take_room());
    // What matters has more room, and what is known needs none.
    foreign.enter(route("0.0.0.0/0", 0, 1), Some(Rank::Last), true);
    foreign.enter(route("10.0.0.0/24", 0, 2), None, false);
    assert_eq!((foreign.kept(), foreign.left_out()), (FOREIGN_MAX + 1, 5));
    // One that was left out goes.
    assert!(!foreign.leave(&all[FOREIGN_MAX]));
    assert_eq!(foreign.left_out(), 4);
    for route in &all[1..=FOREIGN_MAX / 8] {
        assert!(!foreign.take_room());
        assert!(foreign.leave(route));
    }
    assert!(!foreign.take_room());
    assert!(foreign.leave(&all[FOREIGN_MAX / 8 + 1]));
    assert!(foreign.take_room());
    assert!(!foreign.take_room(), "asked once");
}

/// There is room, but nobody knows of anything that had none.
#[test]
fn nothing_is_asked_for_when_all_that_was_left_out_went_by_itself() {
    let mut foreign = Foreign::default();
    let all: Vec<_> = many(FOREIGN_MAX + 1).collect();
    for route in all.clone() {
        foreign.enter(route, Some(Rank::Last), false);
    }
    assert!(foreign.take_full());
    for route in all.iter().rev() {
        foreign.leave(route);
    }
    assert_eq!((foreign.kept(), foreign.left_out()), (0, 0));
    assert!(!foreign.take_room());
    for route in all {
        foreign.enter(route, Some(Rank::Last), false);
    }
    assert!(foreign.take_full(), "said again");
}

#[test]
fn of_too_many_twins_those_behind_are_asked_for_when_one_goes() {
    let mut foreign = Foreign::default();
    let twin = |n| route("192.0.2.0/24", 10, n);
    for n in 1..=6 {
        foreign.enter(twin(n), Some(Rank::Last), false);
    }
    assert_eq!(
        foreign.to(twin(1).prefix),
        [twin(1), twin(2), twin(3), twin(4)]
    );
    assert!(!foreign.take_room());
    // The first one counts, whatever the room.
    foreign.enter(twin(7), Some(Rank::First), false);
    assert_eq!(
        foreign.to(twin(1).prefix),
        [twin(7), twin(1), twin(2), twin(3)]
    );
    assert_eq!(foreign.kept(), 4);
    assert!(foreign.leave(&twin(7)));
    assert!(foreign.take_room());
    assert!(!foreign.take_room());
}

/// What the kernel does to the routes of one prefix: it makes one at either end, replaces the first, or removes one; by
/// metric and number.
#[derive(Clone, Copy, Debug)]
enum Change {
    Make(u32, u8, Rank),
    Replace(u32, u8),
    Remove(u32, u8),
}

fn change() -> impl Strategy<Value = Change> {
    (0..2_u32, 1..6_u8, 0..4_u8).prop_map(|(metric, n, what)| match what {
        0 => Change::Make(metric, n, Rank::First),
        1 => Change::Make(metric, n, Rank::Last),
        2 => Change::Replace(metric, n),
        _ => Change::Remove(metric, n),
    })
}

proptest! {
    /// `fib_table_insert` and `fib_table_delete`, in a list a metric.
    #[test]
    fn the_first_of_twins_is_the_kernels(changes in proptest::collection::vec(change(), 0..40)) {
        let mut kernel: [Vec<u8>; 2] = Default::default();
        let mut foreign = Foreign::default();
        let prefix = "192.0.2.0/24";
        for change in changes {
            let (Change::Make(metric, n, _) | Change::Replace(metric, n) | Change::Remove(metric, n)) = change;
            let list = &mut kernel[metric as usize];
            let at = list.iter().position(|other| *other == n);
            let route = twin(prefix, metric, n);
            match (change, at) {
                (Change::Make(_, _, rank), None) if list.len() < TWINS_MAX => {
                    list.insert(if rank == Rank::First { 0 } else { list.len() }, n);
                    foreign.enter(route, Some(rank), false);
                }
                (Change::Replace(..), None) if !list.is_empty() => {
                    list[0] = n;
                    foreign.enter(route, None, false);
                }
                (Change::Remove(..), Some(at)) => {
                    list.remove(at);
                    prop_assert!(foreign.leave(&route));
                }
                // The kernel refuses.
                _ => {}
            }
            let net = prefix.parse().unwrap();
            for (metric, list) in (0..).zip(&kernel) {
                let kept = foreign.to(net).iter().filter(|r| r.metric == metric);
                let expected = list.iter().map(|n| twin(prefix, metric, *n));
                prop_assert!(kept.cloned().eq(expected), "{:?} {list:?}", foreign.to(net));
            }
            let total: usize = kernel.iter().map(Vec::len).sum();
            prop_assert_eq!((foreign.kept(), foreign.has(net)), (total, total > 0));
        }
    }
}
