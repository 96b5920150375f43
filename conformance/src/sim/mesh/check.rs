//! What must hold once all has been well for long: every gateway reaches every region the cheapest way there is, and what
//! links cost is what they are.

use std::collections::BTreeMap;
use std::time::Duration;

use super::plan;
use super::world::World;

/// What a link costs at least, in microseconds.
const LEAST: u64 = 1000;
/// A cost is off by what jitter and rounding make, beside the margin by which it must change.
const ROUNDING: u64 = 1500;

impl World {
    /// The first thing that is not so is the fault.
    pub(super) fn check_at_rest(&mut self) {
        let costs = self.costs();
        let result = self
            .check_sessions()
            .and_then(|()| self.check_costs(&costs))
            .and_then(|()| self.check_ways(&costs))
            .and_then(|()| self.check_budgets());
        if let Err((n, what)) = result {
            self.blame(n, &what);
        }
    }

    /// What each direction of each link costs, as the gateway before it has it.
    fn costs(&self) -> BTreeMap<(usize, usize), u64> {
        let mut costs = BTreeMap::new();
        for (n, gateway) in self.gateways.iter().enumerate() {
            for view in gateway.liveness.node.views() {
                let [there, _] = view.costs;
                if let Some(to) = plan::gateway(view.peer) {
                    costs.insert((n, to), there.micros().into());
                }
            }
        }
        costs
    }

    fn check_sessions(&self) -> Result<(), (usize, String)> {
        for (n, gateway) in self.gateways.iter().enumerate() {
            let status = gateway.speaker.status();
            if status.established != gateway.lines.len() {
                let (up, all) = (status.established, gateway.lines.len());
                return Err((n, format!("{up} of {all} sessions are up")));
            }
        }
        Ok(())
    }

    /// Within the margin of what they are.
    fn check_costs(&self, costs: &BTreeMap<(usize, usize), u64>) -> Result<(), (usize, String)> {
        let judge = &self.plan.judge;
        for (index, line) in self.lines.iter().enumerate() {
            let back = self
                .lines
                .get(index ^ 1)
                .map_or(Duration::ZERO, |l| l.delay());
            let trip = u64::try_from((line.delay() + back).as_micros()).unwrap_or(u64::MAX);
            let ideal = (trip / 2).max(LEAST);
            let (from, to) = line.ends;
            let cost = costs.get(&line.ends).copied().unwrap_or(0);
            let most = ideal.max(cost) as f64 * judge.margin;
            let least: u64 = judge.margin_least.micros().into();
            if ideal.abs_diff(cost) as f64 > most.max(least as f64) + ROUNDING as f64 {
                let what = format!("the link to g{to} costs {cost}, and should {ideal}");
                return Err((from, what));
            }
        }
        Ok(())
    }

    /// Bellman's equation: each way is as cheap as the cheapest that any neighbor offers. With costs above zero it has one
    /// solution.
    fn check_ways(&self, costs: &BTreeMap<(usize, usize), u64>) -> Result<(), (usize, String)> {
        for region in 0..self.plan.regions {
            let sums = self.sums(region, costs);
            for (n, gateway) in self.gateways.iter().enumerate() {
                let Some(sum) = sums.get(n).copied().flatten() else {
                    return Err((n, format!("region {region} is not reached")));
                };
                if self.is_in(n, region) {
                    continue;
                }
                let by = |to: usize| {
                    let rest = sums.get(to).copied().flatten()?;
                    Some(costs.get(&(n, to))? + rest)
                };
                let offers = gateway
                    .lines
                    .keys()
                    .filter(|to| self.offers(**to, n, region));
                let cheapest = offers.filter_map(|to| Some((by(*to)?, *to))).min();
                if let Some((least, to)) = cheapest.filter(|(least, _)| *least < sum) {
                    let ways = gateway.fib.get(region);
                    let what =
                        format!("region {region} costs {sum} by {ways:?}, and {least} by g{to}");
                    return Err((n, what));
                }
                let ways = gateway.fib.get(region).into_iter().flatten();
                let slack = sum + sum / 10 + 1;
                if let Some(dear) = ways.filter_map(|to| by(*to)).find(|by| *by > slack) {
                    let what =
                        format!("region {region} costs {dear} by one way, and {sum} by another");
                    return Err((n, what));
                }
            }
        }
        Ok(())
    }

    fn is_in(&self, n: usize, region: usize) -> bool {
        self.plan.places.get(n).is_some_and(|p| p.region == region)
    }

    /// What it costs to get to a region from each gateway, the way that packets go.
    fn sums(&self, region: usize, costs: &BTreeMap<(usize, usize), u64>) -> Vec<Option<u64>> {
        let count = self.gateways.len();
        let mut sums: Vec<Option<u64>> = (0..count)
            .map(|n| self.is_in(n, region).then_some(0))
            .collect();
        // Each round settles whoever sends to settled ones only.
        loop {
            let mut more = false;
            for (n, gateway) in self.gateways.iter().enumerate() {
                if sums.get(n).copied().flatten().is_some() {
                    continue;
                }
                let ways = gateway.fib.get(region).into_iter().flatten();
                let by = |to: &usize| {
                    let rest = sums.get(*to).copied().flatten()?;
                    Some(costs.get(&(n, *to))? + rest)
                };
                let all: Option<Vec<u64>> = ways.map(by).collect();
                let least = all.and_then(|all| all.into_iter().min());
                if let (Some(_), Some(slot)) = (least, sums.get_mut(n)) {
                    (*slot, more) = (least, true);
                }
            }
            if !more {
                return sums;
            }
        }
    }

    /// Whether a gateway certainly tells another one how it reaches a region (RFC 4456 §6).
    fn offers(&self, from: usize, to: usize, region: usize) -> bool {
        if self.is_in(from, region) || !self.plan.reflected {
            return true;
        }
        if !self.plan.is_hub(from) {
            return false;
        }
        let ways = self.gateways.get(from).and_then(|g| g.fib.get(region));
        let mut ways = ways.into_iter().flatten();
        self.plan.reflects_to(from, to) || ways.all(|way| !self.plan.is_hub(*way))
    }

    /// A second counts a probe more of each link than an interval does, at most; and a link that turns to the other kind of
    /// probes sends one more, which several may do in the same second.
    fn check_budgets(&self) -> Result<(), (usize, String)> {
        const PROBE_BITS: u64 = 140 * 8;
        const SWITCHES: u64 = 100;
        let elapsed = (self.now - self.start).as_secs_f64();
        for (n, gateway) in self.gateways.iter().enumerate() {
            let budget = self.plan.places.get(n).map_or(0, |place| place.budget);
            let more = gateway.lines.len() as u64 * PROBE_BITS;
            let ledger = &gateway.ledger;
            let most = ledger.most_probes;
            let all = (budget + budget / SWITCHES) as f64 * elapsed + more as f64;
            if most > budget + 2 * more || ledger.all_probes as f64 > all {
                let sum = ledger.all_probes;
                let what = format!(
                    "sent {most} bits of probes in a second and {sum} in {elapsed} s, with {budget} bit/s"
                );
                return Err((n, what));
            }
        }
        Ok(())
    }
}
