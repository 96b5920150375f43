//! `[[aggregate]]`: FRR tells, BIRD hears the sum.

use anyhow::{Result, ensure};
use conformance::lab::{Bird, Frr, KernelRoute};

use crate::star::{ROUTER, Star, bird, frr, peer};

const AGGREGATE: &str = r#"
[[aggregate]]
prefix = "10.96.0.0/12"
communities = ["65001:7"]
[[aggregate]]
prefix = "2001:db8:9600::/40"
"#;

fn config(more: &str) -> String {
    let (frr, bird) = (peer("192.0.1.2", 65002, ""), peer("192.0.2.2", 65003, ""));
    format!("{ROUTER}{frr}{bird}{more}")
}

fn lacks(bird: &Bird, prefix: &str) -> Result<()> {
    ensure!(bird.paths(prefix)?.is_empty(), "BIRD has {prefix}");
    Ok(())
}

fn drops(star: &Star, prefix: &str) -> Result<Option<KernelRoute>> {
    let route = star.hub.kernel_route(prefix)?;
    Ok(route.filter(|route| route.next_hops.is_empty()))
}

#[test]
fn an_aggregate_comes_and_goes_with_what_frr_tells() -> Result<()> {
    let Some(star) = Star::new(&["bird", "/usr/lib/frr/bgpd"], 2)? else {
        return Ok(());
    };
    let windrosed = star.windrosed(&config(AGGREGATE))?;
    let bird = Bird::start(&star.lab, &star.spokes[1], &bird(2, 65003, "", &[]))?;
    star.soon("the session with BIRD", || bird.established("w"))?;
    lacks(&bird, "10.96.0.0/12")?;
    let beneath = ["10.97.0.0/16", "10.98.1.0/24", "2001:db8:9601::/48"];
    let frr = Frr::start(
        &star.lab,
        &star.spokes[0],
        &frr(1, 65002, &beneath, " set as-path prepend 65099"),
    )?;
    // Both paths are 65002 65099: nothing is left out.
    let path = star.soon("the aggregate", || bird.path("10.96.0.0/12"))?;
    ensure!(path.as_path == [65001, 65002, 65099], "{path:?}");
    ensure!(!path.atomic_aggregate, "{path:?}");
    ensure!(
        path.aggregator
            .as_ref()
            .is_some_and(|a| a.contains("65001")),
        "{path:?}"
    );
    ensure!(path.communities.contains("65001:7"), "{path:?}");
    ensure!(path.next_hop == "192.0.2.1", "{path:?}");
    for prefix in ["2001:db8:9600::/40", "10.97.0.0/16", "10.98.1.0/24"] {
        star.soon(prefix, || bird.path(prefix))?;
    }
    star.soon("our kernel to drop the rest", || {
        ensure!(drops(&star, "10.96.0.0/12")?.is_some());
        Ok(())
    })?;
    // A route of our own beneath it begins with no AS at all.
    let own = "[[originate]]\nprefix = \"10.99.0.0/16\"\n";
    windrosed.reload(&config(&format!("{AGGREGATE}{own}")))?;
    star.soon("the shorter path", || {
        let path = bird.path("10.96.0.0/12")?;
        ensure!(path.as_path == [65001] && path.atomic_aggregate, "{path:?}");
        Ok(())
    })?;
    // Only the summary, and all again.
    let summary = AGGREGATE.replace("/12\"\n", "/12\"\nsummary-only = true\n");
    windrosed.reload(&config(&summary))?;
    for prefix in ["10.97.0.0/16", "10.98.1.0/24", "10.99.0.0/16"] {
        star.soon("the more specific ones to go", || lacks(&bird, prefix))?;
    }
    star.soon("the summary", || bird.path("10.96.0.0/12"))?;
    bird.path("2001:db8:9601::/48")?;
    windrosed.reload(&config(AGGREGATE))?;
    for prefix in ["10.97.0.0/16", "10.98.1.0/24"] {
        star.soon("the more specific ones", || bird.path(prefix))?;
    }
    // With the last route beneath it, it goes.
    drop(frr);
    for prefix in ["10.96.0.0/12", "2001:db8:9600::/40"] {
        star.soon("the end of the aggregate", || lacks(&bird, prefix))?;
    }
    star.soon("its end in the kernel", || {
        ensure!(star.hub.kernel_route("10.96.0.0/12")?.is_none());
        Ok(())
    })
}
