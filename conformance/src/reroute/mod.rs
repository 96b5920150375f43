//! `cargo xtask lab reroute`: a link between two of three regions loses packets, and it is measured when traffic leaves it,
//! what is lost meanwhile, and when it comes back; windrosed beside BIRD, FRR and babeld.
#![allow(clippy::print_stderr, reason = "it takes long, and says how far it is")]

mod contestant;
mod report;
mod verdict;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

pub use contestant::{Contestant, Daemons, Sessions};
pub use report::{Entry, Report};
pub use verdict::{Timeline, Verdict, judge};

use crate::lab::mesh::{Mesh, REGIONS};
use crate::lab::{Echo, Host, Lab, Late, Relay};

/// What all the daemons need.
pub const PROGRAMS: [&str; 6] = ["ip", "wg", "nft", "bird", "/usr/lib/frr/bgpd", "babeld"];
/// How long routes may take to be there at first.
const SOON: Duration = Duration::from_secs(60);
/// What is there is let alone for so long, before anything happens.
const PEACE: Duration = Duration::from_secs(3);
/// How often it is looked whether the traffic is back.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How a link is bad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairment {
    /// What it is called.
    pub name: &'static str,
    /// Packets lost there, and back, in percent.
    pub loss: (u8, u8),
    /// It loses all of them in bursts and none between: of such and such mean length.
    pub bursts: Option<(Duration, Duration)>,
    /// It loses nothing, and packets are late there and back.
    pub late: Option<Lateness>,
    /// How long.
    pub bad: Duration,
    /// How long it is whole afterwards, at most.
    pub whole: Duration,
}

/// When packets are late.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lateness {
    /// All the time, in such a way. Traffic has to go another way if all of them are.
    Always(Late),
    /// All packets, by so much, for so long, as often as this.
    Spikes {
        /// They are so late,
        by: Duration,
        /// for so long,
        lasting: Duration,
        /// from the beginning of one spike to that of the next.
        every: Duration,
    },
}

impl Impairment {
    /// How late a packet is that is.
    const fn delay(&self) -> Duration {
        match self.late {
            Some(Lateness::Always(late)) => late.by,
            Some(Lateness::Spikes { by, .. }) => by,
            None => Duration::ZERO,
        }
    }

    /// Whether echoes have to go another way, and replies: what chance or a moment holds up is no reason.
    const fn forbids(&self) -> (bool, bool) {
        match self.late {
            Some(Lateness::Always(late)) => (late.percent >= 100, late.percent >= 100),
            Some(Lateness::Spikes { .. }) => (false, false),
            None => (self.loss.0 > 0, self.loss.1 > 0),
        }
    }
}

const fn late(name: &'static str, late: Lateness) -> Impairment {
    Impairment {
        late: Some(late),
        ..both(name, 0, 30)
    }
}

const fn both(name: &'static str, percent: u8, bad: u64) -> Impairment {
    Impairment {
        name,
        loss: (percent, percent),
        bursts: None,
        late: None,
        bad: Duration::from_secs(bad),
        whole: Duration::from_secs(25),
    }
}

/// All that is tried.
pub const IMPAIRMENTS: [Impairment; 10] = [
    both("100", 100, 6),
    both("40", 40, 30),
    both("20", 20, 30),
    Impairment {
        loss: (20, 0),
        ..both("20-one-way", 20, 30)
    },
    both("5", 5, 30),
    both("1", 1, 30),
    Impairment {
        bursts: Some((Duration::from_millis(80), Duration::from_millis(400))),
        ..both("bursts", 100, 30)
    },
    late(
        "spikes",
        Lateness::Spikes {
            by: Duration::from_millis(60),
            lasting: Duration::from_millis(200),
            every: Duration::from_secs(2),
        },
    ),
    late(
        "reordered",
        Lateness::Always(Late {
            by: Duration::from_millis(25),
            percent: 5,
        }),
    ),
    late(
        "late",
        Lateness::Always(Late {
            by: Duration::from_millis(30),
            percent: 100,
        }),
    ),
];

/// Runs every contestant `runs` times with every impairment, `at_once` labs at a time, and hands each outcome to `done`.
pub fn measure(
    contestants: &[Contestant],
    impairments: &[Impairment],
    runs: u32,
    at_once: usize,
    report: &mut Report,
) {
    let mut queue = VecDeque::new();
    for run in 0..runs {
        for impairment in impairments {
            queue.extend(contestants.iter().map(|who| (run, *impairment, *who)));
        }
    }
    let (all, queue, report) = (queue.len(), Mutex::new(queue), Mutex::new(report));
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let next = lock(&queue).pop_front();
                    let Some((run, impairment, who)) = next else {
                        return;
                    };
                    let outcome = trial(who, &impairment, run);
                    let mut report = lock(&report);
                    eprintln!(
                        "{:>3} of {all}: {} {} {run}: {outcome:?}",
                        report.entries.len() + 1,
                        who.name(),
                        impairment.name
                    );
                    report.entries.push(Entry::new(who, &impairment, outcome));
                }
            });
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One mesh, one bad link, one outcome.
///
/// # Errors
/// The lab cannot be built, or the routes are not there at first.
pub fn trial(who: Contestant, impairment: &Impairment, seed: u32) -> Result<(Verdict, Sessions)> {
    let lab = Lab::new()?;
    let mesh = Mesh::new(&lab)?;
    let by_relay = impairment.late.is_some() || impairment.bursts.is_some();
    let relay = match by_relay {
        true => Some(mesh.relay(&REGIONS[0], &REGIONS[1], seed)?),
        false => None,
    };
    let mut pods = Vec::new();
    for (region, gateway) in mesh.gateways() {
        let (name, subnet) = (
            format!("{}-pod", region.code),
            format!("{}.1", region.pods()),
        );
        pods.push((
            format!("{subnet}.10"),
            Mesh::pod(&lab, &name, gateway, &subnet)?,
        ));
    }
    let mut daemons = who.start(&lab, &mesh)?;
    lab.eventually("direct ways, all measured and up", SOON, || {
        direct(&mesh)?;
        daemons.ready()
    })?;
    std::thread::sleep(PEACE);
    let before = daemons.sessions()?;
    let [(near_address, near), (far_address, far), ..] = pods.as_slice() else {
        anyhow::bail!("two Pods at least");
    };
    let echo = Echo::start((near, near_address), (far, far_address))?;
    std::thread::sleep(Duration::from_secs(1));

    let bad = impair((&mesh, relay.as_ref()), impairment, &echo, seed)?;
    let sessions = daemons.sessions()?;
    if relay.is_none() {
        mesh.lose(&REGIONS[0], &REGIONS[1], 0, 0)?;
    }
    let whole = echo.now();
    let start = Instant::now();
    while start.elapsed() < impairment.whole && direct(&mesh).is_err() {
        std::thread::sleep(LOOK_EVERY);
    }
    std::thread::sleep(Duration::from_secs(1));
    let (there, back) = impairment.forbids();
    let at = Timeline {
        bad,
        whole,
        there,
        back,
    };
    let verdict = judge(&echo.finish()?, at);
    ensure!(
        verdict.slowest >= impairment.delay(),
        "nothing was late: {verdict:?}"
    );
    let sessions = Sessions {
        bfd_downs: sessions.bfd_downs.saturating_sub(before.bfd_downs),
        bgp_lost: sessions.bgp_lost.saturating_sub(before.bgp_lost),
    };
    Ok((verdict, sessions))
}

/// Makes the link between the first two regions bad for as long as it is to be. Returns since when it is.
fn impair(
    (mesh, relay): (&Mesh, Option<&Relay>),
    how: &Impairment,
    echo: &Echo,
    seed: u32,
) -> Result<Duration> {
    let lose = |(there, back)| mesh.lose(&REGIONS[0], &REGIONS[1], there, back);
    let bad = echo.now();
    if let (Some(relay), Some(late)) = (relay, how.late) {
        hold_up(relay, late, how.bad);
        return Ok(bad);
    }
    if let (Some(relay), Some((burst, pause))) = (relay, how.bursts) {
        let mut chance = u64::from(seed) << 1 | 1;
        while echo.now() < bad + how.bad {
            relay.cut(true);
            std::thread::sleep(exponential(&mut chance, burst));
            relay.cut(false);
            std::thread::sleep(exponential(&mut chance, pause));
        }
        return Ok(bad);
    }
    lose(how.loss)?;
    std::thread::sleep(how.bad);
    Ok(bad)
}

/// Makes packets late for so long.
fn hold_up(relay: &Relay, late: Lateness, time: Duration) {
    match late {
        Lateness::Always(late) => {
            relay.set(late);
            std::thread::sleep(time);
        }
        Lateness::Spikes { by, lasting, every } => {
            let start = Instant::now();
            while start.elapsed() < time {
                relay.set(Late { by, percent: 100 });
                std::thread::sleep(lasting);
                relay.set(Late::NEVER);
                std::thread::sleep(every.saturating_sub(lasting));
            }
        }
    }
    relay.set(Late::NEVER);
}

/// A time that is exponentially distributed about its mean, six times that at most.
fn exponential(chance: &mut u64, mean: Duration) -> Duration {
    *chance = chance
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    let uniform = f64::from(u32::try_from(*chance >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    mean.mul_f64((-uniform.max(1e-3).ln()).min(6.0))
}

/// Succeeds when each of the first two regions reaches the other over the link between them.
fn direct(mesh: &Mesh) -> Result<()> {
    let goes = |host: &Host, to: &str, device: &str| {
        let route = host.kernel_route(to)?.context("no route")?;
        ensure!(
            route.next_hops.iter().all(|hop| hop.device == device) && !route.next_hops.is_empty(),
            "{route:?}"
        );
        Ok(())
    };
    let gateways = mesh.gateways();
    for (region, host) in gateways {
        for other in region.others() {
            goes(host, &other.cidr(), &region.device(other))?;
        }
    }
    Ok(())
}
