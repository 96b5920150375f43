//! Traffic is shared by what links carry.

use super::*;

const A: &str = "10.0.1.2";
const B: &str = "10.0.2.2";
const GBIT: u64 = 1_000_000_000;

fn link(capacity: Option<u64>, delivered: u8) -> LinkQuality {
    LinkQuality {
        capacity,
        delivered,
    }
}

/// A world in which a route goes by both with these weights, and over these links.
fn world(weights: [u8; 2], links: [Option<LinkQuality>; 2]) -> World {
    let mut world = World::new();
    world.input(Input::StartupDone);
    for (neighbor, link) in [A, B].into_iter().zip(links) {
        if let Some(link) = link {
            world.quality(neighbor, link);
        }
    }
    world.want("192.0.2.0/24", via(&[(A, weights[0]), (B, weights[1])]));
    world.rest();
    world
}

fn shares(world: &World) -> [u8; 2] {
    let paths = world.kernel.paths("192.0.2.0/24");
    let [(a, first), (b, second)] = paths.as_slice() else {
        panic!("{paths:?}")
    };
    assert_eq!([a, b], [A, B]);
    [*first, *second]
}

#[test]
fn the_wider_link_carries_more() {
    let both = |a, b| [Some(link(Some(a), 100)), Some(link(Some(b), 100))];
    let of = |links| shares(&world([1, 1], links));
    assert_eq!(of(both(GBIT, 10 * GBIT)), [1, 10]);
    assert_eq!(of(both(GBIT, GBIT)), [1, 1]);
    assert_eq!(of(both(u64::MAX, 1)), [255, 1]);
    // In proportion, as far as weights go.
    assert_eq!(of(both(1_000_000_007, 2_000_000_013)), [1, 2]);
    assert_eq!(of(both(1_000_000_007, 3_141_592_653)), [81, 255]);
}

/// A link of which nothing is known carries as much as any other, and loses nothing.
#[test]
fn capacities_count_if_all_are_known_and_losses_always() {
    let of = |links| shares(&world([1, 1], links));
    assert_eq!(of([Some(link(Some(GBIT), 100)), None]), [1, 1]);
    assert_eq!(
        of([Some(link(Some(GBIT), 100)), Some(link(None, 100))]),
        [1, 1]
    );
    assert_eq!(of([Some(link(None, 90)), None]), [9, 10]);
    assert_eq!(
        of([Some(link(Some(GBIT), 90)), Some(link(Some(2 * GBIT), 100))]),
        [9, 20]
    );
    assert_eq!(of([Some(link(None, 0)), None]), [1, 100]);
}

/// Who says how a route's paths share knows more than what the first link of each can carry.
#[test]
fn weights_of_routes_go_before_capacities() {
    let links = [Some(link(Some(GBIT), 50)), Some(link(Some(9 * GBIT), 100))];
    assert_eq!(shares(&world([4, 1], links)), [2, 1]);
}

/// Whatever the number of routes.
#[test]
fn a_link_that_changes_costs_a_message_a_group() {
    let mut world = world([1, 1], [Some(link(None, 100)), Some(link(None, 100))]);
    for n in 0..200 {
        world.want(&format!("192.0.{n}.0/24"), via(&[(A, 1), (B, 1)]));
    }
    world.rest();
    let before = world.kernel.ops;
    world.quality(A, link(None, 80));
    world.rest();
    assert_eq!(world.kernel.ops - before, 1);
    assert_eq!(shares(&world), [4, 5]);
    // The same again is no news.
    world.quality(A, link(None, 80));
    world.rest();
    assert_eq!(world.kernel.ops - before, 1);
}

/// A kernel without nexthop objects has the weights in each route.
#[test]
fn routes_that_carry_their_paths_carry_their_weights() {
    let kernel = Kernel {
        no_objects: true,
        ..Kernel::new()
    };
    let mut world = World::with(FibConfig::default(), kernel);
    world.input(Input::StartupDone);
    world.want("192.0.2.0/24", via(&[(A, 1), (B, 1)]));
    world.rest();
    world.quality(B, link(None, 50));
    world.rest();
    assert_eq!(shares(&world), [2, 1]);
}

/// What was known of a next hop goes with the last one who asked for it.
#[test]
fn nothing_is_known_of_next_hops_that_nobody_tracks() {
    let mut world = world([1, 1], [None, None]);
    world.input(Input::Track(hop(A)));
    world.quality(A, link(None, 50));
    world.rest();
    assert_eq!(shares(&world), [1, 2]);
    world.input(Input::Untrack(hop(A)));
    world.rest();
    assert_eq!(shares(&world), [1, 1]);
}
