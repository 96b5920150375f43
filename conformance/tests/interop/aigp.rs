//! The accumulated IGP metric (RFC 7311), windrosed in the middle with BIRD or FRR at all sides, and FRR in the middle with
//! windrosed at all sides. Debian 12's FRR does not have it: it is that of Debian 13, 10.3, which does otherwise than the
//! RFC in three things.
//!
//! - §3.1: `neighbor X aigp` lets AIGP out to another AS, but not in: it takes AIGP only where `neighbor X oad` is there as
//!   well.
//! - §3.4: peers share an update group whether they have `aigp` or not, and one without it is then told what the group's
//!   first is. Something else that differs, as a route map of its own, parts them.
//! - §4.1: of two routes of which one has no AIGP, it does not prefer the one that has: AS_PATH and the rest decide.

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Bird, Frr, FrrRelease, Windrosed};
use serde_json::Value;

use crate::star::{ROUTER, Star, bird, bird_with, frr, peer};

/// Told by two, nearer by the one with the longer AS_PATH.
const BOTH: &str = "10.9.0.0/16";
/// Of the one in the middle.
const OURS: &str = "10.8.0.0/16";
/// Metrics of the kernel's routes to the two next hops, and what they tell.
const METRICS: [u64; 2] = [50, 20];
const TOLD: [u64; 2] = [500, 900];

/// Which other implementation it is.
#[derive(Clone, Copy)]
enum Kind {
    Bird,
    Frr,
}

/// One of it.
enum Other {
    Bird(Bird),
    Frr(Frr),
}

impl Kind {
    /// What it needs.
    fn program(self) -> String {
        match self {
            Self::Bird => "bird".to_owned(),
            Self::Frr => FrrRelease::newer().bgpd(),
        }
    }

    /// On link `n`, internal: tells `BOTH` with what is `TOLD`, from an address that is farther away than the link.
    fn teller(self, star: &Star, n: u16, longer: bool) -> Result<Other> {
        let at = usize::from(n) - 1;
        let (metric, address) = (TOLD[at], format!("192.0.10{n}.1"));
        match self {
            Self::Bird => {
                let longer = "bgp_path.prepend(65009); ".repeat(if longer { 2 } else { 0 });
                let text = bird_with(n, 65001, "", &[BOTH], &format!("{longer}accept;"))
                    .replace("ipv4 { import", "ipv4 { aigp originate; import")
                    .replace(&format!("local 192.0.{n}.2"), &format!("local {address}"))
                    .replace(
                        "blackhole;",
                        &format!("blackhole {{ igp_metric = {metric}; }};"),
                    );
                Bird::start(&star.lab, &star.spokes[at], &text).map(Other::Bird)
            }
            Self::Frr => {
                let longer = if longer {
                    "\n set as-path prepend 65009 65009"
                } else {
                    ""
                };
                let text = frr(
                    n,
                    65001,
                    &[BOTH],
                    &format!(" set aigp-metric {metric}{longer}"),
                );
                start_frr(star, n, &text, &[&format!("update-source {address}")])
            }
        }
    }

    /// On link `n`: another AS, with AIGP.
    fn listener(self, star: &Star, n: u16, asn: u32) -> Result<Other> {
        match self {
            Self::Bird => {
                let text = bird(n, asn, "", &[]);
                let text = text.replace("ipv4 { import", "ipv4 { aigp on; import");
                let host = &star.spokes[usize::from(n) - 1];
                Bird::start(&star.lab, host, &text).map(Other::Bird)
            }
            Self::Frr => start_frr(star, n, &frr(n, asn, &[], ""), &["aigp", "oad"]),
        }
    }
}

/// The newer FRR on link `n`, with more statements about its neighbor.
fn start_frr(star: &Star, n: u16, text: &str, more: &[&str]) -> Result<Other> {
    let neighbor = format!(" neighbor 192.0.{n}.1 ");
    let lines = more.iter().map(|line| format!("{neighbor}{line}\n"));
    let timers = format!("{neighbor}timers");
    let text = text.replace(&timers, &format!("{}{timers}", lines.collect::<String>()));
    let host = &star.spokes[usize::from(n) - 1];
    Frr::start_release(FrrRelease::newer(), &star.lab, host, &text).map(Other::Frr)
}

impl Other {
    /// AIGP of the route that it uses.
    fn aigp(&self, prefix: &str) -> Result<Option<u64>> {
        match self {
            Self::Bird(bird) => {
                let said = bird.ask(&format!("show route {prefix} primary all"))?;
                ensure!(said.contains("BGP.as_path"), "{prefix} is not there");
                let line = said
                    .lines()
                    .find_map(|line| line.trim().strip_prefix("BGP.aigp: "));
                line.map(|value| value.trim().parse().context("a number"))
                    .transpose()
            }
            Self::Frr(frr) => aigp_at_frr(frr, prefix),
        }
    }

    fn stop(&mut self) -> Result<()> {
        match self {
            Self::Bird(bird) => bird.process().stop(),
            Self::Frr(frr) => frr.bgpd()?.stop(),
        }
    }
}

fn aigp_at_frr(frr: &Frr, prefix: &str) -> Result<Option<u64>> {
    let said = frr.json(&format!("show bgp ipv4 unicast {prefix} json"))?;
    let paths = said["paths"].as_array().context("no paths")?;
    let mut paths = paths.iter();
    let best = paths.find(|path| path.pointer("/bestpath/overall") == Some(&Value::Bool(true)));
    Ok(best.context("no best path")?["aigpMetric"].as_u64())
}

fn aigp_at_windrosed(windrosed: &Windrosed, prefix: &str) -> Result<Option<u64>> {
    let row = windrosed.rows(&format!("route list {prefix}"))?;
    let row = row.first().with_context(|| format!("no {prefix}"))?;
    let mut paths = row["paths"].as_array().context("no paths")?.iter();
    let best = paths.find(|path| path["best"] == true);
    Ok(best.context("no best path")?["aigp"].as_u64())
}

/// The middle's way to the next hop of the teller on link `n`.
fn way(star: &Star, n: usize, how: &str, metric: u64) -> Result<()> {
    let route = format!("192.0.10{n}.0/24 via 192.0.{n}.2 metric {metric}");
    star.hub.ip(&format!("route {how} {route}")).map(drop)
}

/// A star whose first two spokes are farther away than their links.
fn star_with_ways(program: &str) -> Result<Option<Star>> {
    let Some(star) = Star::new(&[program], 4)? else {
        return Ok(None);
    };
    for (n, metric) in (1..).zip(METRICS) {
        star.spokes[n - 1].address("lo", &format!("192.0.10{n}.1/32"))?;
        // FRR wants one of each family where a session is that has both.
        star.spokes[n - 1].address("lo", &format!("2001:db8:10{n}::1/128"))?;
        way(&star, n, "add", metric)?;
    }
    Ok(Some(star))
}

/// RFC 7311 §3.4 and §4: what others tell is compared with our way to the next hop added, before AS_PATH; it is told on
/// with that sum where AIGP is enabled, and nowhere else.
fn is_compared_and_told_on_with_our_part(kind: Kind) -> Result<()> {
    let Some(star) = star_with_ways(&kind.program())? else {
        return Ok(());
    };
    let own = "aigp = true\nnext-hop = \"self\"";
    let peers = [
        peer("192.0.101.1", 65001, own),
        peer("192.0.102.1", 65001, own),
        peer("192.0.3.2", 65004, own),
        peer("192.0.4.2", 65005, ""),
    ];
    let own = format!("[[originate]]\nprefix = \"{OURS}\"\n");
    let windrosed = star.windrosed(&format!("{ROUTER}{}{own}", peers.concat()))?;
    let _first = kind.teller(&star, 1, true)?;
    let mut second = kind.teller(&star, 2, false)?;
    let with = kind.listener(&star, 3, 65004)?;
    let plain = kind.listener(&star, 4, 65005)?;
    star.soon("the lesser sum, told on", || {
        let path = windrosed.path(BOTH)?;
        ensure!(path.next_hop == "192.0.101.1", "{path:?}");
        let told = aigp_at_windrosed(&windrosed, BOTH)?;
        ensure!(told == Some(TOLD[0]), "windrosed has {told:?}");
        let expected = Some(TOLD[0] + METRICS[0]);
        let found = with.aigp(BOTH)?;
        ensure!(found == expected, "told with {found:?}");
        let found = plain.aigp(BOTH)?;
        ensure!(found.is_none(), "told without leave: {found:?}");
        // RFC 7311 §3.4.1: what begins in our own AS gets it from us.
        let found = with.aigp(OURS)?;
        ensure!(found == Some(0), "originated: {found:?}");
        Ok(())
    })?;

    // The nearer one becomes the farther one: what is told on follows.
    way(&star, 1, "add", 5000)?;
    way(&star, 1, "del", METRICS[0])?;
    star.soon("the other one, told on", || {
        let path = windrosed.path(BOTH)?;
        ensure!(path.next_hop == "192.0.102.1", "{path:?}");
        let found = with.aigp(BOTH)?;
        ensure!(found == Some(TOLD[1] + METRICS[1]), "told with {found:?}");
        Ok(())
    })?;
    second.stop()?;
    star.soon("the farther one, told on", || {
        let found = with.aigp(BOTH)?;
        ensure!(found == Some(TOLD[0] + 5000), "told with {found:?}");
        Ok(())
    })
}

#[test]
fn aigp_of_bird_is_compared_and_told_on_with_our_part() -> Result<()> {
    is_compared_and_told_on_with_our_part(Kind::Bird)
}

#[test]
fn aigp_of_frr_is_compared_and_told_on_with_our_part() -> Result<()> {
    is_compared_and_told_on_with_our_part(Kind::Frr)
}

/// FRR of AS 65001 in the middle. A session of two ASes has AIGP where it is told so, any other has it. The peer without it
/// is in no update group with the one that has it.
const FRR_IN_THE_MIDDLE: &str = "
route-map ALONE permit 10
exit
router bgp 65001
 bgp router-id 192.0.1.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp bestpath aigp
 neighbor 192.0.1.2 remote-as 65001
 neighbor 192.0.2.2 remote-as 65001
 neighbor 192.0.3.2 remote-as 65004
 neighbor 192.0.3.2 aigp
 neighbor 192.0.4.2 remote-as 65005
 address-family ipv4 unicast
  neighbor 192.0.4.2 route-map ALONE out
 exit-address-family
exit
";

/// windrosed on link `n`, told what `more` says.
fn spoke(star: &Star, n: u16, asn: u32, more: &str) -> Result<Windrosed> {
    let config = format!("[router]\nasn = {asn}\nrouter-id = \"192.0.{n}.2\"\n{more}");
    Windrosed::start(&star.lab, &star.spokes[usize::from(n) - 1], &config)
}

/// RFC 7311 §3.4 and §4, the other way: FRR takes ours, prefers the lesser sum, and tells it on to us.
#[test]
fn our_aigp_is_compared_and_told_on_by_frr() -> Result<()> {
    let Some(star) = star_with_ways(&FrrRelease::newer().bgpd())? else {
        return Ok(());
    };
    let release = FrrRelease::newer();
    let frr = Frr::start_release(release, &star.lab, &star.hub, FRR_IN_THE_MIDDLE)?;
    let teller = |n: u16, more: &str| {
        let aigp = TOLD[usize::from(n) - 1];
        let own = peer(&format!("192.0.{n}.1"), 65001, "aigp = true")
            .replace("export = [\"accept\"]", "export = [\"out\"]");
        let set = format!("aigp = {aigp}, next-hop = \"192.0.10{n}.1\"{more}");
        let policy = format!(
            "[[policy]]\nname = \"out\"\n[[policy.rule]]\nset = {{ {set} }}\nthen = \"accept\"\n"
        );
        let route = format!("[[originate]]\nprefix = \"{BOTH}\"\n");
        spoke(&star, n, 65001, &format!("{own}{policy}{route}"))
    };
    let _first = teller(1, ", prepend = { asn = 65009, count = 2 }")?;
    let _second = teller(2, "")?;
    let with = spoke(&star, 3, 65004, &peer("192.0.3.1", 65001, "aigp = true"))?;
    let plain = spoke(&star, 4, 65005, &peer("192.0.4.1", 65001, "aigp = true"))?;
    star.soon("the lesser sum, told on", || {
        let path = frr.path(BOTH)?;
        ensure!(path.next_hop == "192.0.101.1", "{path:?}");
        let told = aigp_at_frr(&frr, BOTH)?;
        ensure!(told == Some(TOLD[0]), "FRR has {told:?}");
        let found = aigp_at_windrosed(&with, BOTH)?;
        ensure!(found == Some(TOLD[0] + METRICS[0]), "told with {found:?}");
        let found = aigp_at_windrosed(&plain, BOTH)?;
        ensure!(found.is_none(), "told without leave: {found:?}");
        Ok(())
    })?;

    // What is told on follows a way that becomes longer, and one that becomes too long.
    way(&star, 1, "add", 70)?;
    way(&star, 1, "del", METRICS[0])?;
    star.soon("the greater sum, told on", || {
        let found = aigp_at_windrosed(&with, BOTH)?;
        ensure!(found == Some(TOLD[0] + 70), "told with {found:?}");
        Ok(())
    })?;
    way(&star, 1, "add", 5000)?;
    way(&star, 1, "del", 70)?;
    star.soon("the other one, told on", || {
        let path = frr.path(BOTH)?;
        ensure!(path.next_hop == "192.0.102.1", "{path:?}");
        let found = aigp_at_windrosed(&with, BOTH)?;
        ensure!(found == Some(TOLD[1] + METRICS[1]), "told with {found:?}");
        Ok(())
    })
}
