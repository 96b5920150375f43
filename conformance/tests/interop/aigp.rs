//! The accumulated IGP metric (RFC 7311) with BIRD at both sides. Debian 12's FRR does not have it.

use anyhow::{Context as _, Result, ensure};
use conformance::lab::Bird;

use crate::star::{ROUTER, Star, bird, bird_with, peer};

/// Told by two, nearer by the one with the longer AS_PATH.
const BOTH: &str = "10.9.0.0/16";
/// Of windrosed's own.
const OURS: &str = "10.8.0.0/16";
/// Metrics of the kernel's routes to the two next hops, and what they tell.
const METRICS: [u64; 2] = [50, 20];
const TOLD: [u64; 2] = [500, 900];

/// AIGP as BIRD shows it, of the route that it uses.
fn aigp_at(bird: &Bird, prefix: &str) -> Result<Option<u64>> {
    let said = bird.ask(&format!("show route {prefix} primary all"))?;
    ensure!(said.contains("BGP.as_path"), "{prefix} is not there");
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("BGP.aigp: "));
    line.map(|value| value.trim().parse().context("a number"))
        .transpose()
}

/// RFC 7311 §3.4 and §4: what BIRD tells is compared with our way to the next hop added, before AS_PATH; it is told on with
/// that sum where AIGP is enabled, and nowhere else.
#[test]
fn aigp_of_bird_is_compared_and_told_on_with_our_part() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 4)? else {
        return Ok(());
    };
    let far = |n: usize, how: &str, metric: u64| {
        let route = format!("192.0.10{n}.0/24 via 192.0.{n}.2 metric {metric}");
        star.hub.ip(&format!("route {how} {route}"))
    };
    for (n, metric) in (1..).zip(METRICS) {
        star.spokes[n - 1].address("lo", &format!("192.0.10{n}.1/32"))?;
        far(n, "add", metric)?;
    }
    let own = "aigp = true\nnext-hop = \"self\"";
    let peers = [
        peer("192.0.101.1", 65001, own),
        peer("192.0.102.1", 65001, own),
        peer("192.0.3.2", 65004, own),
        peer("192.0.4.2", 65005, ""),
    ];
    let own = format!("[[originate]]\nprefix = \"{OURS}\"\n");
    let windrosed = star.windrosed(&format!("{ROUTER}{}{own}", peers.concat()))?;
    let tells = |n: u16, more: &str| {
        let text = bird_with(n, 65001, "", &[BOTH], &format!("{more} accept;"));
        let text = text.replace("ipv4 { import", "ipv4 { aigp originate; import");
        let (near, far) = (format!("local 192.0.{n}.2"), format!("local 192.0.10{n}.1"));
        let text = text.replace(&near, &far);
        let metric = format!(
            "blackhole {{ igp_metric = {}; }};",
            TOLD[usize::from(n) - 1]
        );
        let text = text.replace("blackhole;", &metric);
        Bird::start(&star.lab, &star.spokes[usize::from(n) - 1], &text)
    };
    let longer = "bgp_path.prepend(65009); bgp_path.prepend(65009);";
    let _first = tells(1, longer)?;
    let mut second = tells(2, "")?;
    let text = bird(3, 65004, "", &[]).replace("ipv4 { import", "ipv4 { aigp on; import");
    let with = Bird::start(&star.lab, &star.spokes[2], &text)?;
    let plain = bird(4, 65005, "", &[]).replace("ipv4 { import", "ipv4 { aigp on; import");
    let plain = Bird::start(&star.lab, &star.spokes[3], &plain)?;
    star.soon("the lesser sum, told on", || {
        let path = windrosed.path(BOTH)?;
        ensure!(path.next_hop == "192.0.101.1", "{path:?}");
        let row = windrosed.rows(&format!("route list {BOTH}"))?;
        let told = row.first().context("no row")?["paths"][0]["aigp"].as_u64();
        ensure!(told == Some(TOLD[0]), "windrosed has {told:?}");
        let expected = Some(TOLD[0] + METRICS[0]);
        let found = aigp_at(&with, BOTH)?;
        ensure!(found == expected, "told with {found:?}");
        let found = aigp_at(&plain, BOTH)?;
        ensure!(found.is_none(), "told without leave: {found:?}");
        // RFC 7311 §3.4.1: what begins in our own AS gets it from us.
        let found = aigp_at(&with, OURS)?;
        ensure!(found == Some(0), "originated: {found:?}");
        Ok(())
    })?;

    // The nearer one becomes the farther one: what is told on follows.
    far(1, "add", 5000)?;
    far(1, "del", METRICS[0])?;
    star.soon("the other one, told on", || {
        let path = windrosed.path(BOTH)?;
        ensure!(path.next_hop == "192.0.102.1", "{path:?}");
        let found = aigp_at(&with, BOTH)?;
        ensure!(found == Some(TOLD[1] + METRICS[1]), "told with {found:?}");
        Ok(())
    })?;
    second.process().stop()?;
    star.soon("the farther one, told on", || {
        let found = aigp_at(&with, BOTH)?;
        ensure!(found == Some(TOLD[0] + 5000), "told with {found:?}");
        Ok(())
    })
}
