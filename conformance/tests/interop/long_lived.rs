//! Long-lived graceful restart (RFC 9494) with FRR and GoBGP, each as the one that is away and as the one that keeps.

use std::time::Duration;

use anyhow::{Result, ensure};
use conformance::lab::{Frr, GoBgp, Path, Windrosed};

use crate::star::{ROUTER, Star, frr, gobgp, peer};

const FRR: &str = "/usr/lib/frr/bgpd";
/// Restart Time of all, in seconds.
const TIME: u64 = 4;
/// Long-Lived Stale Time of all, in seconds.
const LONG: u64 = 8;
/// What windrosed, FRR and GoBGP tell.
const OURS: &str = "10.1.0.0/16";
const OF_FRR: &str = "10.2.0.0/16";
const OF_GOBGP: &str = "10.3.0.0/16";

/// windrosed in the middle, FRR at one end and GoBGP at the other.
struct Line {
    star: Star,
    windrosed: Windrosed,
    frr: Frr,
    gobgp: GoBgp,
}

impl Line {
    fn new() -> Result<Option<Self>> {
        let Some(star) = Star::new(&[FRR, "gobgpd"], 2)? else {
            return Ok(None);
        };
        let long = format!(
            "graceful-restart = {{ restart-time = \"{TIME}s\", long-lived = \"{LONG}s\" }}"
        );
        let config = [
            ROUTER.to_owned(),
            peer("192.0.1.2", 65002, &long),
            peer("192.0.2.2", 65003, &long),
            format!("[[originate]]\nprefix = \"{OURS}\"\n"),
        ];
        let windrosed = star.windrosed(&config.concat())?;
        let frr = Frr::start(&star.lab, &star.spokes[0], &frr_config())?;
        let gobgp = GoBgp::start(&star.lab, &star.spokes[1], &gobgp_config())?;
        let line = Self {
            star,
            windrosed,
            frr,
            gobgp,
        };
        line.star.soon("GoBGP", || line.tell_of_gobgp())?;
        line.is_fresh_soon()?;
        Ok(Some(line))
    }

    fn tell_of_gobgp(&self) -> Result<()> {
        self.gobgp.announce(OF_GOBGP, "nexthop 192.0.2.2")
    }

    /// Everybody has everything, and nothing of it is stale.
    fn is_fresh_soon(&self) -> Result<()> {
        self.star.soon("fresh routes everywhere", || {
            for (of, prefix) in [("192.0.1.2", OF_FRR), ("192.0.2.2", OF_GOBGP)] {
                self.windrosed.established(of)?;
                is_marked(&self.windrosed.path(prefix)?, false)?;
            }
            self.windrosed.path(OURS)?;
            for prefix in [OURS, OF_GOBGP] {
                is_marked(&self.frr.path(prefix)?, false)?;
            }
            for prefix in [OURS, OF_FRR] {
                is_marked(&self.gobgp.path(prefix)?, false)?;
            }
            Ok(())
        })
    }
}

/// With the community LLGR_STALE (RFC 9494 §3.2), or without.
fn is_marked(path: &Path, marked: bool) -> Result<()> {
    ensure!(
        path.communities.contains("llgr-stale") == marked,
        "{path:?}"
    );
    Ok(())
}

fn frr_config() -> String {
    let graceful = format!(
        " bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp graceful-restart restart-time {TIME}
 bgp long-lived-graceful-restart stale-time {LONG}
 no bgp ebgp-requires-policy"
    );
    frr(1, 65002, &[OF_FRR], "").replace(" no bgp ebgp-requires-policy", &graceful)
}

fn gobgp_config() -> String {
    let neighbor = format!(
        "  [neighbors.graceful-restart.config]
    enabled = true
    restart-time = {TIME}
    long-lived-enabled = true
  [neighbors.timers.config]\n"
    );
    let mut text = gobgp(2, 65003).replace("  [neighbors.timers.config]\n", &neighbor);
    for family in ["ipv4", "ipv6"] {
        let name = format!("      afi-safi-name = \"{family}-unicast\"\n");
        let more = format!(
            "{name}    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = true
    [neighbors.afi-safis.long-lived-graceful-restart.config]
      enabled = true
      restart-time = {LONG}\n"
        );
        text = text.replace(&name, &more);
    }
    text
}

/// RFC 9494 §4.2: FRR's, then GoBGP's routes stay, marked, after their Restart Time; whoever came back tells them afresh;
/// whoever stays away loses them when the Long-Lived Stale Time is over.
#[test]
fn routes_of_frr_and_of_gobgp_are_kept_and_told_as_stale() -> Result<()> {
    let Some(mut line) = Line::new()? else {
        return Ok(());
    };
    for comes_back in [true, false] {
        line.frr.bgpd()?.kill()?;
        line.star.soon("FRR's route to be kept for long", || {
            is_marked(&line.windrosed.path(OF_FRR)?, true)?;
            is_marked(&line.gobgp.path(OF_FRR)?, true)
        })?;
        if comes_back {
            line.frr
                .restart_bgpd(&line.star.lab, &line.star.spokes[0])?;
            line.is_fresh_soon()?;
        }
    }
    line.star.soon("its end", || {
        ensure!(line.windrosed.paths(OF_FRR)?.is_empty(), "it is there");
        ensure!(line.gobgp.paths(OF_FRR)?.is_empty(), "GoBGP has it");
        Ok(())
    })?;
    line.frr
        .restart_bgpd(&line.star.lab, &line.star.spokes[0])?;
    line.is_fresh_soon()?;

    for comes_back in [true, false] {
        line.gobgp.process().kill()?;
        line.star.soon("GoBGP's route to be kept for long", || {
            is_marked(&line.windrosed.path(OF_GOBGP)?, true)?;
            is_marked(&line.frr.path(OF_GOBGP)?, true)
        })?;
        if comes_back {
            line.gobgp = GoBgp::start(&line.star.lab, &line.star.spokes[1], &gobgp_config())?;
            line.tell_of_gobgp()?;
            line.is_fresh_soon()?;
        }
    }
    line.star.soon("its end", || {
        ensure!(line.windrosed.paths(OF_GOBGP)?.is_empty(), "it is there");
        ensure!(line.frr.paths(OF_GOBGP)?.is_empty(), "FRR has it");
        Ok(())
    })
}

/// RFC 9494 §4.2, the other way: FRR and GoBGP keep what windrosed told them, marked, and have it afresh when it is back.
#[test]
fn our_routes_are_kept_by_frr_and_by_gobgp() -> Result<()> {
    let Some(mut line) = Line::new()? else {
        return Ok(());
    };
    line.windrosed.process().kill()?;
    let both = |marked: bool| {
        is_marked(&line.frr.path(OURS)?, marked)?;
        is_marked(&line.gobgp.path(OURS)?, marked)
    };
    let most = Duration::from_secs(TIME - 2);
    let look = || both(false);
    line.star.lab.throughout("our routes", most, look)?;
    line.star
        .soon("FRR and GoBGP to keep them for long", || both(true))?;
    line.windrosed.restart(&line.star.lab)?;
    line.is_fresh_soon()?;
    line.windrosed.process().kill()?;
    line.star.soon("their end", || {
        ensure!(line.frr.paths(OURS)?.is_empty(), "FRR has it");
        ensure!(line.gobgp.paths(OURS)?.is_empty(), "GoBGP has it");
        Ok(())
    })
}
