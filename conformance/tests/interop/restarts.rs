//! Graceful restart (RFC 4724) with real daemons, packets flowing: ours is killed, and theirs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Bird, Frr, Stream, Windrosed};

use crate::star::{ROUTER, Star, bird, frr, peer};

const FRR: &str = "/usr/lib/frr/bgpd";
/// Behind BIRD, and behind FRR: prefixes that they tell, and an address in each.
const BEHIND_BIRD: [(&str, &str); 2] = [
    ("10.1.0.0/16", "10.1.0.1"),
    ("2001:db8:100::/48", "2001:db8:100::1"),
];
const BEHIND_FRR: [(&str, &str); 2] = [
    ("10.2.0.0/16", "10.2.0.1"),
    ("2001:db8:200::/48", "2001:db8:200::1"),
];
/// How long a daemon that was killed is away.
const AWAY: Duration = Duration::from_secs(2);
/// Restart Time of those that do not come back.
const SHORT: u64 = 6;

/// BIRD, windrosed and FRR in a line: who is behind the one sends to who is behind the other, both ways.
struct Line {
    star: Star,
    windrosed: Windrosed,
    bird: Bird,
    frr: Frr,
    to_frr: Vec<Stream>,
    to_bird: Vec<Stream>,
}

impl Line {
    /// Restart Times are those of BIRD and FRR.
    fn new(time: u64) -> Result<Option<Self>> {
        let Some(star) = Star::new(&["bird", FRR], 2)? else {
            return Ok(None);
        };
        for (spoke, behind) in star.spokes.iter().zip([BEHIND_BIRD, BEHIND_FRR]) {
            for (_, address) in behind {
                let length = if address.contains(':') { 128 } else { 32 };
                spoke.address("lo", &format!("{address}/{length}"))?;
            }
        }
        let graceful = "graceful-restart = { restart-time = \"60s\" }";
        let peers = [
            peer("192.0.1.2", 65002, graceful),
            peer("192.0.2.2", 65003, graceful),
        ];
        let windrosed = star.windrosed(&format!("{ROUTER}{}", peers.concat()))?;
        let bird = Bird::start(&star.lab, &star.spokes[0], &bird_config(time))?;
        let frr = Frr::start(&star.lab, &star.spokes[1], &frr_config(time))?;
        let mut line = Self {
            star,
            windrosed,
            bird,
            frr,
            to_frr: Vec::new(),
            to_bird: Vec::new(),
        };
        line.star.soon("fresh routes everywhere", || {
            line.is_fresh()?;
            line.is_installed()
        })?;
        let (left, right) = (&line.star.spokes[0], &line.star.spokes[1]);
        for ((_, one), (_, other)) in BEHIND_BIRD.into_iter().zip(BEHIND_FRR) {
            let (one, other) = ((left, one), (right, other));
            line.to_frr.push(Stream::start(one, other)?);
            line.to_bird.push(Stream::start(other, one)?);
        }
        Ok(Some(line))
    }

    /// Both ends have each other's routes, in BGP.
    fn is_told(&self) -> Result<()> {
        for (prefix, _) in BEHIND_FRR {
            self.bird.path(prefix)?;
        }
        for (prefix, _) in BEHIND_BIRD {
            self.frr.path(prefix)?;
        }
        Ok(())
    }

    /// The kernels of `spokes`, and ours, have what they need.
    fn is_installed_at(&self, spokes: &[usize]) -> Result<()> {
        let all = BEHIND_BIRD.into_iter().chain(BEHIND_FRR);
        let hub = all.map(|(prefix, _)| (&self.star.hub, prefix));
        let of_spoke = |spoke: &usize| {
            let others = [BEHIND_FRR, BEHIND_BIRD][*spoke];
            others.map(|(prefix, _)| (&self.star.spokes[*spoke], prefix))
        };
        for (host, prefix) in hub.chain(spokes.iter().flat_map(of_spoke)) {
            let route = host.kernel_route(prefix)?;
            route.with_context(|| format!("{} has no {prefix}", host.namespace()))?;
        }
        Ok(())
    }

    fn is_installed(&self) -> Result<()> {
        self.is_installed_at(&[0, 1])
    }

    /// Both sessions are up, all routes of windrosed are there and told, and none is stale.
    fn is_fresh(&self) -> Result<()> {
        // As long as ours is restarting, what they have is what they kept of it.
        let status = self.windrosed.rows("status")?;
        let status = status.first().context("no status")?;
        ensure!(status["restart"].is_null(), "{}", status["restart"]);
        self.windrosed.established("192.0.1.2")?;
        self.windrosed.established("192.0.2.2")?;
        for (prefix, _) in BEHIND_BIRD.into_iter().chain(BEHIND_FRR) {
            ensure!(!is_stale(&self.windrosed, prefix)?, "{prefix} is stale");
        }
        self.is_told()
    }

    /// Waits until all is fresh. All the while, `others` must hold.
    fn await_fresh(&self, others: impl Fn(&Self) -> Result<()>) -> Result<()> {
        let mut lost = None;
        self.star.soon("fresh routes", || {
            lost = lost.take().or(others(self).err());
            self.is_fresh()
        })?;
        lost.map_or(Ok(()), |why| Err(why.context("meanwhile")))
    }

    /// All packets came.
    fn lost_none(self) -> Result<()> {
        lost_none(self.to_bird.into_iter().chain(self.to_frr))
    }
}

fn lost_none(streams: impl IntoIterator<Item = Stream>) -> Result<()> {
    let all = streams.into_iter().map(Stream::lost_none);
    let faults: Vec<_> = all.filter_map(|all| Some(all.err()?.to_string())).collect();
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

/// Whether windrosed holds the route to a prefix as stale.
fn is_stale(windrosed: &Windrosed, prefix: &str) -> Result<bool> {
    let rows = windrosed.rows(&format!("route list {prefix}"))?;
    let path = rows.first().and_then(|row| row["paths"].get(0));
    let path = path.with_context(|| format!("{prefix} is gone"))?;
    path["stale"].as_bool().context("not told")
}

fn bird_config(time: u64) -> String {
    let options = format!("graceful restart on; graceful restart time {time};");
    let routes = BEHIND_BIRD.map(|(prefix, _)| prefix);
    let kernel = |family| {
        format!(
            "protocol kernel {{ persist; graceful restart yes; {family} {{ export where source = RTS_BGP; }}; }}\n"
        )
    };
    let session = bird(1, 65002, &options, &routes);
    format!("{session}{}{}", kernel("ipv4"), kernel("ipv6"))
}

fn frr_config(time: u64) -> String {
    let routes = BEHIND_FRR.map(|(prefix, _)| prefix);
    let graceful = format!(
        " bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp graceful-restart restart-time {time}
 no bgp ebgp-requires-policy"
    );
    frr(2, 65003, &routes, "").replace(" no bgp ebgp-requires-policy", &graceful)
}

/// RFC 4724 §4.1, and BIRD and FRR as helpers: nothing is withdrawn, no packet is lost.
#[test]
fn our_crash_loses_no_packet() -> Result<()> {
    let Some(mut line) = Line::new(60)? else {
        return Ok(());
    };
    let whole = |line: &Line| {
        line.is_told()?;
        line.is_installed()
    };
    for _ in 0..2 {
        line.windrosed.process().kill()?;
        let look = || whole(&line);
        line.star.lab.throughout("all routes", AWAY, look)?;
        line.windrosed.restart(&line.star.lab)?;
        line.await_fresh(whole)?;
    }
    line.lost_none()
}

/// RFC 4724 §4.2: BIRD, then FRR, is killed and comes back; what it had told stays, stale, in our table and in the kernel.
#[test]
fn a_peer_s_crash_loses_no_packet() -> Result<()> {
    let Some(mut line) = Line::new(60)? else {
        return Ok(());
    };
    let is_stale = |line: &Line, prefix: &str| {
        line.star.soon("stale routes", || {
            ensure!(is_stale(&line.windrosed, prefix)?, "{prefix} is fresh");
            Ok(())
        })
    };
    let [(prefix, _), _] = BEHIND_BIRD;
    let others = |line: &Line| {
        line.frr.path(prefix)?;
        line.is_installed()
    };
    line.bird.process().kill()?;
    is_stale(&line, prefix)?;
    let look = || others(&line);
    line.star.lab.throughout("BIRD's routes", AWAY, look)?;
    line.bird.recover(&line.star.lab, &line.star.spokes[0])?;
    line.await_fresh(others)?;

    // As bgpd comes back, zebra takes routes out of its own kernel for some 50 ms: what leaves there is not for us to save.
    lost_none(line.to_bird.drain(..))?;
    let [(prefix, _), _] = BEHIND_FRR;
    let others = |line: &Line| {
        line.bird.path(prefix)?;
        line.is_installed_at(&[0])
    };
    line.frr.bgpd()?.kill()?;
    is_stale(&line, prefix)?;
    let look = || others(&line);
    line.star.lab.throughout("FRR's routes", AWAY, look)?;
    line.frr
        .restart_bgpd(&line.star.lab, &line.star.spokes[1])?;
    line.await_fresh(others)?;
    line.lost_none()
}

/// RFC 4724 §4.2: who is not back within the Restart Time leaves nothing, neither here nor with those we told.
#[test]
fn a_peer_that_stays_away_loses_its_routes_after_its_restart_time() -> Result<()> {
    let Some(mut line) = Line::new(SHORT)? else {
        return Ok(());
    };
    line.bird.process().kill()?;
    line.frr.bgpd()?.kill()?;
    let ours = || {
        for (prefix, _) in BEHIND_BIRD.into_iter().chain(BEHIND_FRR) {
            let route = line.star.hub.kernel_route(prefix)?;
            route.with_context(|| format!("{prefix} is gone"))?;
        }
        Ok(())
    };
    let most = Duration::from_secs(SHORT - 2);
    line.star.lab.throughout("stale routes", most, ours)?;
    line.star.soon("their end", || {
        for (prefix, _) in BEHIND_BIRD.into_iter().chain(BEHIND_FRR) {
            let route = line.star.hub.kernel_route(prefix)?;
            ensure!(route.is_none(), "{prefix} is still in the kernel");
            let paths = line.windrosed.paths(prefix)?;
            ensure!(paths.is_empty(), "{paths:?}");
        }
        Ok(())
    })
}

/// Restart Time and Long-Lived Stale Time of all in the next lab, in seconds.
const TIME: u64 = 3;
/// See [`TIME`].
const LONG: u64 = 8;

/// RFC 9494 §4.2: after the Restart Time BIRD's routes stay, marked; whoever knows what that means is told, FRR is not.
/// BIRD does the same with ours.
#[test]
fn long_lived_stale_routes_are_for_those_who_know_them() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 3)? else {
        return Ok(());
    };
    let graceful =
        format!("graceful-restart = {{ restart-time = \"{TIME}s\", long-lived = \"{LONG}s\" }}");
    let peers = [
        peer("192.0.1.2", 65002, &graceful),
        peer("192.0.2.2", 65003, &graceful),
        peer("192.0.3.2", 65004, &graceful),
    ];
    let mut windrosed = star.windrosed(&format!("{ROUTER}{}", peers.concat()))?;
    let options = format!(
        "graceful restart on; graceful restart time {TIME};
  long lived graceful restart on; long lived stale time {LONG};"
    );
    let prefix = "10.1.0.0/16";
    let config = bird(1, 65002, &options, &[prefix]);
    let mut restarting = Bird::start(&star.lab, &star.spokes[0], &config)?;
    let config = bird(2, 65003, &options, &[]);
    let knowing = Bird::start(&star.lab, &star.spokes[1], &config)?;
    // FRR has the capability, unless graceful restart is off altogether.
    let off = " neighbor 192.0.3.1 graceful-restart-disable\n neighbor 192.0.3.1 timers";
    let config = frr(3, 65004, &[], "").replace(" neighbor 192.0.3.1 timers", off);
    let plain = Frr::start(&star.lab, &star.spokes[2], &config)?;
    let fresh = || {
        for path in [
            windrosed.path(prefix)?,
            knowing.path(prefix)?,
            plain.path(prefix)?,
        ] {
            ensure!(!path.communities.contains("llgr-stale"), "{path:?}");
        }
        ensure!(!is_stale(&windrosed, prefix)?, "{prefix} is stale");
        Ok(())
    };
    let marked = || {
        for path in [windrosed.path(prefix)?, knowing.path(prefix)?] {
            ensure!(path.communities.contains("llgr-stale"), "{path:?}");
        }
        ensure!(plain.paths(prefix)?.is_empty(), "FRR still has it");
        let kernel = star.hub.kernel_route(prefix)?;
        ensure!(kernel.is_some(), "{prefix} is not in the kernel");
        Ok(())
    };
    star.soon("the route everywhere", fresh)?;
    restarting.process().kill()?;
    star.soon("it to be kept for long", marked)?;
    restarting.recover(&star.lab, &star.spokes[0])?;
    star.soon("it to be fresh again", fresh)?;

    restarting.process().kill()?;
    star.soon("it to be kept for long", marked)?;
    let most = Duration::from_secs(LONG - 3);
    star.lab.throughout("the stale route", most, marked)?;
    star.soon("its end", || {
        ensure!(windrosed.paths(prefix)?.is_empty(), "it is there");
        ensure!(knowing.paths(prefix)?.is_empty(), "BIRD has it");
        let kernel = star.hub.kernel_route(prefix)?;
        ensure!(kernel.is_none(), "{kernel:?}");
        Ok(())
    })?;

    // We are away for longer than our Restart Time: BIRD keeps what we told it.
    restarting.recover(&star.lab, &star.spokes[0])?;
    star.soon("it to be fresh again", || {
        windrosed.path(prefix)?;
        knowing.path(prefix).map(drop)
    })?;
    windrosed.process().kill()?;
    star.soon("BIRD to keep it for long", || {
        let path = knowing.path(prefix)?;
        ensure!(path.communities.contains("llgr-stale"), "{path:?}");
        Ok(())
    })?;
    windrosed.restart(&star.lab)?;
    let mut lost = None;
    star.soon("it to be fresh again", || {
        lost = lost.take().or(knowing.path(prefix).err());
        let path = knowing.path(prefix)?;
        ensure!(!path.communities.contains("llgr-stale"), "{path:?}");
        Ok(())
    })?;
    lost.map_or(Ok(()), |why| Err(why.context("meanwhile")))
}
