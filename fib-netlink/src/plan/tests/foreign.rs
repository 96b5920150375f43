//! Routes of others: more than there is room for, and several in one place.

use super::*;
use crate::resolve::FOREIGN_MAX;

/// Through the second link.
fn theirs(prefix: &str) -> KernelRoute {
    let path = Path {
        gateway: Some("10.0.2.2".parse().unwrap()),
        interface: 2,
        onlink: false,
    };
    KernelRoute {
        kind: RouteKind::Unicast(RouteVia::Paths(SmallVec::from_elem((path, 1), 1))),
        ..World::foreign(prefix)
    }
}

fn left_out(world: &World) -> usize {
    let said = |n: &&&Notice| matches!(n, Notice::ForeignLeftOut { limit: FOREIGN_MAX });
    world.notices().iter().filter(said).count()
}

/// What the kernel has beyond the limit leads to no next hop; when there is room, it is asked for again.
#[test]
fn routes_of_others_beyond_the_limit_are_taken_up_when_there_is_room() {
    let mut kernel = Kernel::new();
    let at = |route: &KernelRoute| (route.prefix, route.table, route.metric);
    let many: Vec<_> = (0..FOREIGN_MAX)
        .map(|n| theirs(&format!("11.0.{n}.0/24")))
        .collect();
    let last = theirs("172.16.0.0/16");
    for route in many.iter().chain([&last]) {
        kernel.routes.insert(at(route), route.clone());
    }
    let mut world = World::with(FibConfig::default(), kernel);
    assert_eq!(left_out(&world), 1);
    let status = world.fib.status();
    // Three of them are connected, and in the dump's beginning.
    assert_eq!((status.foreign, status.foreign_left_out), (FOREIGN_MAX, 4));
    world.want("192.0.2.0/24", via(&[("172.16.0.1", 1)]));
    world.rest();
    assert_eq!(world.kernel.ours(), 0);

    let remove = |world: &mut World, route: &KernelRoute| {
        world.kernel.routes.remove(&at(route));
        world.input(Input::Kernel(vec![Fact::RouteGone(route.clone())]));
    };
    for route in many.iter().take(FOREIGN_MAX / 8) {
        remove(&mut world, route);
        assert!(world.kernel_step() == (route == &many[FOREIGN_MAX / 8 - 1]));
    }
    world.rest();
    assert_eq!(world.kernel.paths("192.0.2.0/24"), [("10.0.2.2".into(), 1)]);
    let status = world.fib.status();
    assert_eq!((status.foreign_left_out, status.resyncs), (0, 1));
    assert_eq!(left_out(&world), 1);
}

/// Next hops in use are found at the limit too.
#[test]
fn what_leads_to_a_next_hop_in_use_has_room_beyond_the_limit() {
    let mut world = World::new();
    world.want("192.0.2.0/24", via(&[("172.16.0.1", 1)]));
    let many = (0..FOREIGN_MAX).map(|n| Fact::Route(theirs(&format!("11.0.{n}.0/24"))));
    world.input(Input::Kernel(many.collect()));
    assert_eq!(left_out(&world), 1);
    world.input(Input::Kernel(vec![Fact::Route(theirs("172.16.0.0/16"))]));
    world.rest();
    assert_eq!(world.kernel.paths("192.0.2.0/24"), [("10.0.2.2".into(), 1)]);
}

/// The kernel replaces the first route of a place: ours behind another's is not changed in place.
#[test]
fn ours_behind_a_foreign_one_is_not_replaced() {
    let mut world = World::new();
    world.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
    world.rest();
    let ours = world.kernel.routes[&(net("192.0.2.0/24"), 254, 20)].clone();
    let mut facts = world.kernel.dump();
    facts.retain(|fact| !matches!(fact, Fact::RouteBeside(route, _) if *route == ours));
    let there = [World::foreign("192.0.2.0/24"), ours];
    let there = there.map(|route| Fact::RouteBeside(route, Rank::Last));
    let end = facts.len() - 2;
    facts.splice(end..end, there);
    world.input(Input::Retell);
    assert!(std::mem::take(&mut world.resync));
    world.input(Input::Kernel(facts));
    world.want("192.0.2.0/24", via(&[("10.0.1.2", 1), ("10.0.2.2", 1)]));
    world.pass(GATHER);
    let (_, ops) = world.trace.last().unwrap();
    let of_routes: Vec<_> = ops
        .iter()
        .filter_map(|op| match op {
            Op::RemoveRoute { .. } => Some("remove"),
            Op::PutRoute { replace: true, .. } => Some("replace"),
            Op::PutRoute { .. } => Some("make"),
            _ => None,
        })
        .collect();
    assert_eq!(of_routes, ["remove", "make"]);
}

/// In shadow mode, what others have is not known to be missing while something had no room.
#[test]
fn nothing_is_called_missing_while_something_had_no_room() {
    let config = FibConfig {
        install: false,
        shadow: true,
        ..FibConfig::default()
    };
    let mut world = World::with(config, Kernel::new());
    world.want("192.0.2.0/24", via(&[("10.0.1.2", 1)]));
    let state = |world: &World| world.fib.route(net("192.0.2.0/24")).unwrap().state;
    assert_eq!(state(&world), RouteState::Missing);
    let many = (0..FOREIGN_MAX).map(|n| Fact::Route(theirs(&format!("11.0.{n}.0/24"))));
    world.input(Input::Kernel(many.collect()));
    assert_eq!(state(&world), RouteState::Pending);
}
