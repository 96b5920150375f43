//! Gateways with their engines, the links between them, and the clock they share.

mod tcp;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bgp_fsm::State;
use fib_netlink::{Op, Output};
use ipnet::IpNet;
use speaker::event::{ConnId, Effect, Event};
use speaker::{Notice, Speaker};

use super::ledger::Ledger;
use super::line::Line;
use super::liveness::{Datagram, Liveness, Said};
use super::plan::{self, Plan};
use super::trouble::Remedy;
use super::watch::Watch;
use crate::sim::kernel::Kernel;
use crate::sim::net::Chance;
use tcp::{Socket, Wire};

/// Until the speaker sees what BFD and probes left on the desk.
const DESK: Duration = Duration::from_millis(1);
/// More steps than this at one instant: something spins.
const STEPS_AT_ONE_INSTANT: usize = 100_000;

/// A machine.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) speaker: Speaker,
    pub(super) kernel: Kernel,
    pub(super) liveness: Liveness,
    /// What its clock says, less what has gone by since the start.
    pub(super) clock: Duration,
    /// The line to each neighbor.
    pub(super) lines: BTreeMap<usize, usize>,
    /// For each region, through whom its kernel sends.
    pub(super) fib: Vec<Vec<usize>>,
    pub(super) ledger: Ledger,
    sockets: BTreeMap<ConnId, Socket>,
    opening: BTreeSet<ConnId>,
    wakes: [Option<Instant>; 4],
}

/// What a gateway is woken for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wake {
    Speaker,
    Liveness,
    Desk,
    Kernel,
}

/// What is to happen.
#[derive(Debug)]
pub(super) enum Happening {
    Wake(usize, Wake),
    /// Something comes out of a wire at one of its ends.
    Arrival(usize, usize),
    Attempt {
        from: usize,
        conn: ConnId,
        remote: SocketAddr,
    },
    Datagram {
        line: usize,
        datagram: Datagram,
    },
    /// Trouble ends.
    Remedy(Remedy),
    /// TCP finds that packets pass again.
    Passes(usize),
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    number: u64,
    what: Happening,
}

impl Ord for Entry {
    /// The first one is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

/// Everything there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) chance: Chance,
    pub(super) plan: Plan,
    pub(super) gateways: Vec<Gateway>,
    /// Two for each link, there and back.
    pub(super) lines: Vec<Line>,
    pub(super) watch: Watch,
    wires: Vec<Wire>,
    /// The connections between two gateways, the smaller first.
    between: BTreeMap<(usize, usize), Vec<usize>>,
    agenda: BinaryHeap<Entry>,
    count: u64,
    /// What happened, one line each; `None`: nobody wants to know.
    pub(super) trace: Option<String>,
    pub(super) fault: Option<String>,
}

impl World {
    /// All gateways, started.
    pub(super) fn new(seed: u64, start: Instant, plan: Plan, traced: bool) -> Self {
        let mut world = Self {
            start,
            now: start,
            chance: Chance::new(seed ^ 0x5045_4552),
            gateways: Vec::new(),
            lines: Vec::new(),
            watch: Watch::default(),
            wires: Vec::new(),
            between: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            count: 0,
            trace: traced.then(String::new),
            fault: None,
            plan,
        };
        for link in &world.plan.links {
            let [a, b] = link.ends;
            for ((ends, delay), loss) in [(a, b), (b, a)]
                .into_iter()
                .zip(link.delays)
                .zip(link.losses)
            {
                world.lines.push(Line::new(ends, delay, loss));
            }
        }
        for n in 0..world.plan.places.len() {
            if let Err(error) = world.add(n) {
                world.blame(n, &error);
                return world;
            }
        }
        for (index, line) in world.lines.iter().enumerate() {
            let (from, to) = line.ends;
            if let Some(gateway) = world.gateways.get_mut(from) {
                gateway.lines.insert(to, index);
            }
        }
        for n in 0..world.gateways.len() {
            world.with(n, Speaker::start);
            world.wake_kernel(n);
        }
        world
    }

    fn add(&mut self, n: usize) -> Result<(), String> {
        let config = self.plan.config(n).ok_or("it has no place")?;
        let (addresses, on_link) = plan::on_link(n);
        let mut kernel = Kernel::on(addresses, on_link);
        kernel.greet(self.now);
        let seed = self.chance.below(1 << 30) as u64;
        self.gateways.push(Gateway {
            speaker: Speaker::new(config, self.now, seed)?,
            kernel,
            liveness: Liveness::new(seed),
            clock: plan::CLOCK,
            lines: BTreeMap::new(),
            fib: vec![Vec::new(); self.plan.regions],
            ledger: Ledger::default(),
            sockets: BTreeMap::new(),
            opening: BTreeSet::new(),
            wakes: [None; 4],
        });
        Ok(())
    }

    /// Lets time go by until `end`, or until something is not as it must be.
    pub(super) fn run(&mut self, end: Instant) {
        let mut at_once = 0;
        while let Some(entry) = self.next_until(end) {
            at_once = if entry.at > self.now { 0 } else { at_once + 1 };
            self.now = self.now.max(entry.at);
            if at_once > STEPS_AT_ONE_INSTANT {
                self.blame(0, "time stands still: somebody's deadline never moves");
            }
            self.happen(entry.what);
            if self.fault.is_some() {
                return;
            }
        }
        self.now = end;
    }

    fn next_until(&mut self, end: Instant) -> Option<Entry> {
        self.agenda.peek().filter(|entry| entry.at <= end)?;
        self.agenda.pop()
    }

    pub(super) fn plan_at(&mut self, at: Instant, what: Happening) {
        self.count += 1;
        self.agenda.push(Entry {
            at: at.max(self.now),
            number: self.count,
            what,
        });
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Wake(n, wake) => self.woken(n, wake),
            Happening::Arrival(wire, end) => self.arrive(wire, end),
            Happening::Attempt { from, conn, remote } => self.attempt(from, conn, remote),
            Happening::Datagram { line, datagram } => self.deliver(line, &datagram),
            Happening::Remedy(remedy) => self.remedy(remedy),
            Happening::Passes(line) => self.pass_again(line),
        }
    }

    fn wake(&mut self, n: usize, wake: Wake, at: Option<Instant>) {
        let (Some(at), Some(gateway)) = (at, self.gateways.get_mut(n)) else {
            return;
        };
        let Some(planned) = gateway.wakes.get_mut(wake as usize) else {
            return;
        };
        if planned.is_none_or(|planned| at < planned) {
            let at = at.max(self.now);
            *planned = Some(at);
            self.plan_at(at, Happening::Wake(n, wake));
        }
    }

    fn wake_kernel(&mut self, n: usize) {
        let at = self.gateways.get(n).and_then(|g| g.kernel.next_moment());
        self.wake(n, Wake::Kernel, at);
    }

    fn woken(&mut self, n: usize, wake: Wake) {
        let now = self.now;
        let Some(gateway) = self.gateways.get_mut(n) else {
            return;
        };
        match gateway.wakes.get_mut(wake as usize) {
            Some(planned) if *planned == Some(now) => *planned = None,
            // Another one came before it.
            Some(_) | None => return,
        }
        match wake {
            Wake::Speaker => {
                let due = gateway.speaker.deadline().is_some_and(|at| at <= now);
                self.with(n, |s, now, out| {
                    if due {
                        s.handle(now, Event::Timeout, out);
                    }
                });
            }
            Wake::Liveness => self.live(n, |l, now, clock, out| l.timeout(now, clock, out)),
            Wake::Desk => {
                for event in gateway.liveness.collect() {
                    self.with(n, |s, now, out| s.handle(now, event, out));
                }
            }
            Wake::Kernel => {
                while let Some(input) = self.gateways.get_mut(n).and_then(|g| g.kernel.answer(now))
                {
                    self.with(n, |s, now, out| s.handle(now, Event::Kernel(input), out));
                }
                self.wake_kernel(n);
            }
        }
    }

    /// Runs `job` with a gateway's speaker and does what it asks for.
    pub(super) fn with(
        &mut self,
        n: usize,
        job: impl FnOnce(&mut Speaker, Instant, &mut Vec<Effect>),
    ) {
        let Some(gateway) = self.gateways.get_mut(n) else {
            return;
        };
        let mut effects = Vec::new();
        job(&mut gateway.speaker, self.now, &mut effects);
        for effect in effects {
            self.act(n, effect);
        }
        self.transmit(n);
        let deadline = self.gateways.get(n).and_then(|g| g.speaker.deadline());
        self.wake(n, Wake::Speaker, deadline);
    }

    /// The same with its BFD and probes.
    fn live(
        &mut self,
        n: usize,
        job: impl FnOnce(&mut Liveness, Instant, Duration, &mut Vec<Said>),
    ) {
        let now = self.now;
        let Some(gateway) = self.gateways.get_mut(n) else {
            return;
        };
        let clock = gateway.clock + (now - self.start);
        let mut said = Vec::new();
        job(&mut gateway.liveness, now, clock, &mut said);
        let deadline = gateway.liveness.deadline();
        self.wake(n, Wake::Liveness, deadline);
        for said in said {
            self.say(n, said);
        }
    }

    fn say(&mut self, n: usize, said: Said) {
        let now = self.now;
        match said {
            Said::Send(to, datagram) => {
                let Some(gateway) = self.gateways.get_mut(n) else {
                    return;
                };
                gateway.ledger.sent(now - self.start, &datagram);
                let line = plan::gateway(to).and_then(|to| gateway.lines.get(&to));
                let Some(&index) = line else { return };
                let line = self.lines.get_mut(index);
                if let Some(taken) = line.and_then(|line| line.carry(now, &mut self.chance)) {
                    let line = index;
                    self.plan_at(now + taken, Happening::Datagram { line, datagram });
                }
            }
            Said::News => self.wake(n, Wake::Desk, Some(now + DESK)),
            Said::Cost(remote, change) => self.judge_cost(n, remote, &change),
            Said::Failed(remote) => self.judge_failure(n, remote, "BFD fails"),
            Said::Wrong(what) => self.blame(n, what),
        }
    }

    fn deliver(&mut self, line: usize, datagram: &Datagram) {
        let Some((from, to)) = self.lines.get(line).map(|line| line.ends) else {
            return;
        };
        let ways = (plan::address(from), plan::address(to));
        self.live(to, |l, now, clock, out| {
            l.receive(now, clock, ways, datagram, out)
        });
    }

    fn act(&mut self, n: usize, effect: Effect) {
        match effect {
            Effect::Connect { conn, remote, .. } => self.connect(n, conn, remote),
            Effect::Send { conn, bytes } => self.send(n, conn, bytes),
            Effect::Close { conn } => self.close(n, conn),
            Effect::ListenKeys(_) | Effect::Ended => {}
            Effect::Bfd(order) => self.live(n, |l, now, _, out| l.order_session(now, order, out)),
            Effect::Link(order) => self.live(n, |l, now, _, out| l.order_link(now, order, out)),
            Effect::Probe(probe) => self.live(n, |l, now, _, out| l.configure(now, &probe, out)),
            Effect::Kernel(output) => self.give_kernel(n, output),
            Effect::Notice(notice) => self.hear(n, &notice),
        }
    }

    fn give_kernel(&mut self, n: usize, output: Output) {
        let Some(gateway) = self.gateways.get_mut(n) else {
            return;
        };
        let touched = touched(&output);
        if let Some(complaint) = gateway.kernel.take(self.now, output, &mut self.chance) {
            return self.blame(n, &complaint);
        }
        match touched {
            Touched::These(prefixes) => prefixes
                .into_iter()
                .filter_map(plan::region)
                .for_each(|region| self.look_up(n, region)),
            Touched::All => (0..self.plan.regions).for_each(|region| self.look_up(n, region)),
        }
        self.wake_kernel(n);
    }

    /// Looks into a kernel for where packets to a region go from there, and whether in circles.
    fn look_up(&mut self, n: usize, region: usize) {
        let Some(gateway) = self.gateways.get_mut(n) else {
            return;
        };
        let ways = gateway.kernel.gateways(plan::prefix(region));
        let mut ways: Vec<usize> = ways.into_iter().filter_map(plan::gateway).collect();
        ways.sort_unstable();
        let Some(before) = gateway
            .fib
            .get_mut(region)
            .filter(|before| **before != ways)
        else {
            return;
        };
        if self.trace.is_some() {
            let what = format!("sends to region {region} by {ways:?}, not {before:?}");
            *before = ways;
            self.note(n, &what);
        } else {
            *before = ways;
        }
        self.route_changed(n, region);
    }

    fn hear(&mut self, n: usize, notice: &Notice) {
        if self.trace.is_some() {
            self.note(n, &format!("{notice:?}"));
        }
        if let Notice::Malformed { .. } = notice {
            self.blame(n, &format!("{notice:?}"));
        }
        if let Notice::PeerState { peer, from, .. } = notice
            && *from == State::Established
        {
            self.judge_failure(n, peer.address, "its session ends");
        }
    }

    /// What the first fault is.
    pub(super) fn blame(&mut self, n: usize, what: &str) {
        self.note(n, what);
        let at = self.now - self.start;
        self.fault
            .get_or_insert_with(|| format!("{at:?} g{n}: {what}"));
    }

    pub(super) fn note(&mut self, n: usize, what: &str) {
        let at = self.now - self.start;
        if let Some(trace) = &mut self.trace {
            let _ = writeln!(trace, "{at:?} g{n} {what}");
        }
    }
}

/// The prefixes that may be sent elsewhere after a batch.
enum Touched {
    These(Vec<IpNet>),
    All,
}

fn touched(output: &Output) -> Touched {
    let Output::Send(batch) = output else {
        return Touched::These(Vec::new());
    };
    let mut prefixes = Vec::new();
    for op in &batch.ops {
        match op {
            Op::PutRoute { prefix, .. } | Op::RemoveRoute { prefix, .. } => prefixes.push(*prefix),
            // Of a new one nothing depends yet.
            Op::PutPath { replace: false, .. } | Op::PutGroup { replace: false, .. } => {}
            Op::PutPath { .. } | Op::PutGroup { .. } | Op::RemoveNexthop { .. } => {
                return Touched::All;
            }
        }
    }
    Touched::These(prefixes)
}
