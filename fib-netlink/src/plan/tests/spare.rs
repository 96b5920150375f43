//! Next hops that are spare: what takes their place at once, and what may wait.

use super::*;

const MANY: u32 = 3000;

fn nth(n: u32) -> String {
    format!("20.{}.{}.0/24", n / 256, n % 256)
}

/// By the first, else by the second.
fn pair(used: &str, spare: &str) -> Option<Wanted> {
    via(&[(used, 1), (spare, 0)])
}

/// At the start, what an earlier life left is looked for first.
fn running() -> World {
    let mut world = World::new();
    world.input(Input::StartupDone);
    world
}

impl World {
    fn want_all(&mut self, route: &Option<Wanted>) {
        for n in 0..MANY {
            self.want(&nth(n), route.clone());
        }
    }

    fn ops(&mut self, done: impl FnOnce(&mut Self)) -> usize {
        let before = self.kernel.ops;
        done(self);
        self.rest();
        self.kernel.ops - before
    }

    /// How all of them go.
    fn all_go(&self, gateway: &str) -> bool {
        (0..MANY).all(|n| self.kernel.paths(&nth(n)) == [(gateway.to_owned(), 1)])
    }
}

const A: &str = "10.0.1.2";
const B: &str = "10.0.2.2";
const C: &str = "10.0.3.2";

/// Whatever the number of routes, a message a pair, and one for a path that has not been used yet.
#[test]
fn a_neighbor_that_is_gone_costs_a_message_a_pair() {
    let mut world = running();
    world.want_all(&pair(A, B));
    world.want("192.0.2.0/24", pair(A, C));
    world.rest();
    assert!(world.all_go(A));
    assert_eq!(world.ops(|world| world.suspect(A)), 4);
    assert!(world.all_go(B));
    assert_eq!(world.kernel.paths("192.0.2.0/24"), [(C.into(), 1)]);
    // It was a mistake.
    assert_eq!(world.ops(|world| world.input(Input::Settled)), 2);
    assert!(world.all_go(A));
    // A second time, nothing is to be made.
    assert_eq!(world.ops(|world| world.suspect(A)), 2);
    assert!(world.all_go(B));
}

/// A gateway, and no next hop: those that are reached by it go with it. A device that is not its own does not.
#[test]
fn next_hops_behind_a_gateway_go_with_it() {
    let mut world = running();
    let path = Path {
        gateway: Some(A.parse().unwrap()),
        interface: 1,
        onlink: false,
    };
    let route = KernelRoute {
        kind: RouteKind::Unicast(RouteVia::Paths(SmallVec::from_elem((path, 1), 1))),
        ..World::foreign("172.16.0.0/16")
    };
    world.input(Input::Kernel(vec![Fact::Route(route)]));
    world.want("192.0.2.0/24", pair("172.16.0.1", B));
    world.rest();
    assert_eq!(world.kernel.paths("192.0.2.0/24"), [(A.into(), 1)]);
    let suspect = |world: &mut World, index| {
        world.input(Input::Suspect {
            neighbor: A.parse().unwrap(),
            interface: Some(index),
        });
        world.rest();
    };
    suspect(&mut world, 2);
    assert_eq!(world.kernel.paths("192.0.2.0/24"), [(A.into(), 1)]);
    suspect(&mut world, 1);
    assert_eq!(world.kernel.paths("192.0.2.0/24"), [(B.into(), 1)]);
}

/// What BGP says afterwards of each route changes nothing in how it goes, so nothing is sent until all is said. In the end
/// all is as if it had been wanted from the beginning.
#[test]
fn what_follows_from_a_loss_is_written_when_all_is_said() {
    let mut world = running();
    world.want_all(&pair(A, B));
    world.rest();
    world.suspect(A);
    world.rest();
    let told = |world: &mut World| world.want_all(&via(&[(B, 1)]));
    // The object of the lost path, of which nobody has any use.
    assert_eq!(world.ops(told), 1);
    let status = world.fib.status();
    assert_eq!(status.installed, MANY as usize);
    // Another change is not held up.
    world.want("192.0.2.0/24", via(&[(C, 1)]));
    world.rest();
    assert_eq!(world.kernel.paths("192.0.2.0/24"), [(C.into(), 1)]);
    world.want("192.0.2.0/24", None);
    world.rest();
    world.input(Input::Settled);
    while world.kernel_step() {
        assert!(world.all_go(B));
    }
    world.rest();
    assert!(world.all_go(B));
    assert_eq!(world.kernel.nexthops.len(), 1);
    // A new life finds it as it would make it.
    let kernel = std::mem::take(&mut world.kernel);
    let mut second = World::with(FibConfig::default(), kernel);
    let again = |world: &mut World| {
        world.want_all(&via(&[(B, 1)]));
        world.input(Input::StartupDone);
    };
    assert_eq!(second.ops(again), 0);
}

/// Groups are found again, and with them what was used when we ended.
#[test]
fn a_new_life_takes_pairs_over() {
    let mut world = running();
    world.want_all(&pair(A, B));
    world.want("192.0.2.0/24", pair(A, C));
    world.rest();
    let kernel = std::mem::take(&mut world.kernel);
    let mut second = World::with(FibConfig::default(), kernel);
    let again = |world: &mut World| {
        world.want_all(&pair(A, B));
        world.want("192.0.2.0/24", pair(A, C));
        world.input(Input::StartupDone);
    };
    assert_eq!(second.ops(again), 0);
    assert_eq!(second.ops(|world| world.suspect(A)), 4);
    assert!(second.all_go(B));
}

/// Some go on by the lost one, for BGP has it from somebody else. Those that lean on its group do not come back with them.
#[test]
fn what_leans_does_not_come_back_with_others() {
    let mut world = running();
    world.want_all(&pair(A, B));
    world.rest();
    world.suspect(A);
    world.rest();
    for n in 1..MANY {
        world.want(&nth(n), via(&[(B, 1)]));
    }
    world.rest();
    world.input(Input::Settled);
    loop {
        for n in [1, 2, MANY / 2, MANY - 1] {
            assert_eq!(world.kernel.paths(&nth(n)), [(B.into(), 1)]);
        }
        if !world.kernel_step() {
            break;
        }
    }
    world.rest();
    assert_eq!(world.kernel.paths(&nth(0)), [(A.into(), 1)]);
    assert!((1..MANY).all(|n| world.kernel.paths(&nth(n)) == [(B.into(), 1)]));
}

/// A spare next hop that comes, goes or changes makes nobody wait, and costs no packet its way.
#[test]
fn a_change_of_what_is_spare_lets_others_go_first() {
    let mut world = running();
    world.want_all(&via(&[(A, 1)]));
    world.rest();
    world.want_all(&pair(A, B));
    world.pass(GATHER);
    world.want("192.0.2.0/24", via(&[(C, 1)]));
    world.pass(GATHER);
    let mut steps = 0;
    while world.kernel.paths("192.0.2.0/24").is_empty() {
        assert!(world.kernel_step() && world.all_go(A));
        steps += 1;
    }
    assert!(steps <= 2, "{steps}");
    world.rest();
    // And all are protected in the end.
    assert_eq!(world.ops(|world| world.suspect(A)), 2);
    assert!(world.all_go(B));
}

/// The spare one is lost: nothing happens. Then the other: there is no way.
#[test]
fn both_may_be_lost() {
    let mut world = running();
    world.want("192.0.2.0/24", pair(A, B));
    world.rest();
    world.link(2, false);
    world.rest();
    assert_eq!(world.kernel.paths("192.0.2.0/24"), [(A.into(), 1)]);
    world.suspect(A);
    world.rest();
    assert_eq!(
        world.kernel.paths("192.0.2.0/24"),
        [(A.into(), 1)],
        "no other way"
    );
    world.link(1, false);
    world.rest();
    assert_eq!(world.kernel.ours(), 0);
    world.link(2, true);
    world.rest();
    assert_eq!(world.kernel.paths("192.0.2.0/24"), [(B.into(), 1)]);
}
