//! Gateways with BFD and probes, on links that lose, delay, reorder and break: do packets find the best way, does
//! anything move without a reason, or come to no rest?
//!
//! This is another world than that of [`super::run`]: its links carry datagrams, and it has an agenda, so that there may
//! be a thousand gateways.

mod check;
mod ledger;
mod line;
mod liveness;
mod plan;
mod trouble;
mod watch;
mod world;

use std::time::{Duration, Instant};

use super::net::Chance;
use plan::Plan;
pub use watch::Figures;
use world::World;

/// How a run ended.
#[derive(Debug)]
pub struct MeshOutcome {
    /// The first thing that was not as it must be; `None` is a pass.
    pub fault: Option<String>,
    /// What was seen.
    pub figures: Figures,
    /// In words, of all gateways together.
    pub summary: String,
    /// All that happened, of small worlds.
    pub trace: String,
}

/// Runs the small world that `seed` names.
#[must_use]
pub fn run_mesh(seed: u64, start: Instant) -> MeshOutcome {
    let plan = Plan::small(&mut Chance::new(seed));
    run(World::new(seed, start, plan, true))
}

/// Runs one of about that many gateways: regions of two, with route reflectors.
#[must_use]
pub fn run_large(seed: u64, gateways: usize, start: Instant) -> MeshOutcome {
    let plan = Plan::large(gateways, &mut Chance::new(seed));
    run(World::new(seed, start, plan, false))
}

fn run(mut world: World) -> MeshOutcome {
    let times = world.plan.times;
    world.run(world.now + times.start);
    if world.fault.is_none() {
        world.check_at_rest();
    }
    let end = world.now + times.trouble;
    while world.now < end && world.fault.is_none() {
        let most = usize::try_from(times.pause.as_millis()).unwrap_or(0) * 2;
        let pause = Duration::from_millis(world.chance.below(most) as u64);
        world.run(world.now + pause);
        world.trouble();
        world.end_loops();
    }
    world.peace();
    let peace = world.now;
    if world.fault.is_none() {
        world.run(world.now + times.calm);
        world.end_loops();
    }
    let calm = world.now;
    let last = world.watch.figures.last_change;
    let converged = last.map(|at| at.saturating_duration_since(peace));
    if world.fault.is_none() {
        world.check_at_rest();
        world.run(calm + times.still);
        world.end_loops();
    }
    let moved = world.watch.figures.last_change;
    if world.fault.is_none() && moved.is_some_and(|at| at > calm) {
        world.blame(0, "there is no rest: costs or routes still change");
    }
    MeshOutcome {
        summary: summary(&world, converged),
        fault: world.fault,
        figures: world.watch.figures,
        trace: world.trace.unwrap_or_default(),
    }
}

fn summary(world: &World, converged: Option<Duration>) -> String {
    let ledgers = || world.gateways.iter().map(|g| &g.ledger);
    let shares = world.gateways.iter().zip(&world.plan.places);
    let shares = shares.map(|(g, place)| g.ledger.most_probes as f64 / place.budget as f64);
    let figures = &world.watch.figures;
    format!(
        "{} gateways, {} links, {} regions, {:?} of time; {} probes, {} packets of BFD's; most probes in a second {:.3} \
         of the budget, most answers {} bit/s; {} links spoiled, {} cut, {} regions cut off, {} clocks set; {} moves, {} \
         of them alarms, most a minute at one gateway {}; {} ends of sessions lost; {} routes changed; {} circles, the \
         longest {:?}, {:?} of it with no news held up; the last change {converged:?} after the last trouble",
        world.gateways.len(),
        world.lines.len() / 2,
        world.plan.regions,
        world.now - world.start,
        ledgers().map(|l| l.probes).sum::<u64>(),
        ledgers().map(|l| l.bfd).sum::<u64>(),
        shares.fold(0.0, f64::max),
        ledgers().map(|l| l.most_answers).max().unwrap_or(0),
        figures.spoiled,
        figures.cuts,
        figures.regions,
        figures.steps,
        figures.moves,
        figures.alarms,
        ledgers().map(|l| l.most_moves).max().unwrap_or(0),
        figures.sessions_lost,
        figures.routes,
        figures.circles,
        figures.longest,
        figures.longest_free,
    )
}
