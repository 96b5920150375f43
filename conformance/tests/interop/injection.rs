//! Routes put in through the API: they travel, they leave, they end with their lease.

use anyhow::{Result, ensure};
use conformance::lab::Bird;

use crate::star::{ROUTER, Star, bird, peer};

const VIP: &str = "10.200.0.10/32";

#[test]
fn an_injected_route_lives_until_withdrawn_or_forgotten() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 2)? else {
        return Ok(());
    };
    let windrosed = star.windrosed(&format!("{ROUTER}{}", peer("192.0.2.2", 65003, "")))?;
    let bird = Bird::start(&star.lab, &star.spokes[1], &bird(2, 65003, "", &[]))?;
    star.soon("the session", || bird.established("w"))?;
    let gone = || {
        ensure!(bird.paths(VIP)?.is_empty(), "BIRD has it");
        ensure!(
            star.hub.kernel_route("10.200.0.10")?.is_none(),
            "the kernel has it"
        );
        Ok(())
    };

    let inject = format!(
        "route inject {VIP} --next-hop 192.0.1.2 --owner test --community 65001:7 --install"
    );
    windrosed.ask(&inject)?;
    let path = star.soon("the route at BIRD", || bird.path(VIP))?;
    ensure!(
        path.as_path == [65001] && path.next_hop == "192.0.2.1",
        "{path:?}"
    );
    ensure!(path.communities.contains("65001:7"), "{path:?}");
    star.soon("the kernel's route", || {
        let route = star.hub.kernel_route("10.200.0.10")?;
        let hop = route.and_then(|r| r.next_hops.into_iter().next());
        ensure!(hop.as_ref().is_some_and(|h| h.device == "eth1"), "{hop:?}");
        Ok(())
    })?;
    windrosed.ask(&format!("route withdraw {VIP} --owner test"))?;
    star.soon("the withdrawal", gone)?;

    windrosed.ask(&format!("{inject} --lease 2s"))?;
    star.soon("the route with a lease", || bird.path(VIP))?;
    star.soon("the lease to run out", gone)
}

/// All of a batch or nothing: one route in it cannot be.
#[test]
fn a_bad_batch_changes_nothing() -> Result<()> {
    let Some(star) = Star::new(&[], 1)? else {
        return Ok(());
    };
    let windrosed = star.windrosed(ROUTER)?;
    let file = star.hub.dir().join("batch.json");
    let batch = r#"{"announce": [
        {"prefix": "10.200.0.1/32", "next_hop": "192.0.1.2"},
        {"prefix": "10.200.0.2/33", "next_hop": "192.0.1.2"}
    ]}"#;
    std::fs::write(&file, batch)?;
    ensure!(
        windrosed
            .ask(&format!("route inject -f {}", file.display()))
            .is_err()
    );
    ensure!(windrosed.paths("10.200.0.1/32")?.is_empty());
    Ok(())
}
