//! Route refresh (RFC 2918, RFC 7313) with daemons that have it: asked for by either side.

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Bird, Frr, Windrosed};
use serde_json::Value;

use crate::star::{ROUTER, Star, bird, frr, peer};

const FRR: &str = "/usr/lib/frr/bgpd";

/// How often a line of these words is in BIRD's log.
fn logged(star: &Star, spoke: usize, words: &str) -> Result<usize> {
    let log = std::fs::read_to_string(star.spokes[spoke].dir().join("bird.log"))?;
    Ok(log.matches(words).count())
}

/// ROUTE-REFRESH messages that FRR sent and received.
fn counted(frr: &Frr) -> Result<(u64, u64)> {
    let said = frr.ask("show bgp neighbors 192.0.2.1 json")?;
    let said: Value = serde_json::from_str(&said)?;
    let stats = said
        .pointer("/192.0.2.1/messageStats")
        .context("no messageStats")?;
    let count = |key: &str| {
        stats[key]
            .as_u64()
            .with_context(|| format!("{key}: {stats}"))
    };
    Ok((count("routeRefreshSent")?, count("routeRefreshRecv")?))
}

fn is_fresh(windrosed: &Windrosed, prefixes: &[&str]) -> Result<()> {
    for prefix in prefixes {
        let rows = windrosed.rows(&format!("route list {prefix}"))?;
        let path = rows.first().and_then(|row| row.pointer("/paths/0"));
        ensure!(path.is_some_and(|path| path["stale"] == false), "{rows:?}");
    }
    Ok(())
}

/// RFC 7313 §4: whoever is asked tells all between a beginning and an end; §3.1: this was agreed on.
#[test]
fn bird_and_frr_ask_and_are_asked_for_all_again() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 3)? else {
        return Ok(());
    };
    let config = [
        ROUTER.to_owned(),
        "[[originate]]\nprefix = \"10.1.0.0/16\"\n".to_owned(),
        peer("192.0.1.2", 65002, ""),
        peer("192.0.2.2", 65003, ""),
        peer("192.0.3.2", 65004, ""),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let of_bird = ["10.2.0.0/16", "10.20.0.0/16", "2001:db8:200::/48"];
    let config = |routes: &[&str]| bird(1, 65002, "debug all;", routes);
    let bird_ = Bird::start(&star.lab, &star.spokes[0], &config(&of_bird))?;
    let of_frr = ["10.3.0.0/16", "2001:db8:300::/48"];
    let frr_ = Frr::start(&star.lab, &star.spokes[1], &frr(2, 65003, &of_frr, ""))?;
    // RFC 2918 §4: it does not have the capability, and is not asked.
    let unable = bird(
        3,
        65004,
        "debug all; enable route refresh off;",
        &["10.4.0.0/16"],
    );
    let unable_ = Bird::start(&star.lab, &star.spokes[2], &unable)?;
    let all = [&of_bird[..], &of_frr[..]].concat();
    star.soon("all routes", || {
        is_fresh(&windrosed, &all)?;
        is_fresh(&windrosed, &["10.4.0.0/16"])?;
        bird_.path("10.3.0.0/16")?;
        frr_.path("10.2.0.0/16").map(drop)
    })?;

    // BIRD asks: both families come between marks.
    bird_.ask("reload in w")?;
    star.soon("two beginnings and two ends at BIRD", || {
        for words in ["w: Got BEGIN-OF-RR", "w: Got END-OF-RR"] {
            let count = logged(&star, 0, words)?;
            ensure!(count == 2, "{count} of {words:?}");
        }
        Ok(())
    })?;
    bird_.path("10.1.0.0/16")?;
    bird_.path("10.3.0.0/16")?;

    // BIRD is asked, and FRR.
    let before = counted(&frr_)?;
    windrosed.ask("peer refresh 192.0.1.2")?;
    windrosed.ask("peer refresh 192.0.2.2")?;
    windrosed.ask("peer refresh 192.0.3.2")?;
    star.soon("what BIRD was asked and answered", || {
        for words in [
            "w: Got ROUTE-REFRESH",
            "w: Sending BEGIN-OF-RR",
            "w: Sending END-OF-RR",
        ] {
            let count = logged(&star, 0, words)?;
            ensure!(count == 2, "{count} of {words:?}");
        }
        Ok(())
    })?;
    // A request, a beginning and an end of each family came.
    star.soon("what FRR heard", || {
        let (_, received) = counted(&frr_)?;
        ensure!(
            received == before.1 + 6,
            "received {before:?}, then {received}"
        );
        is_fresh(&windrosed, &all)
    })?;

    // FRR asks.
    let before = counted(&frr_)?;
    frr_.ask("clear bgp ipv4 unicast 192.0.2.1 soft in")?;
    star.soon("the answer at FRR", || {
        let (sent, received) = counted(&frr_)?;
        ensure!(
            sent == before.0 + 1 && received == before.1 + 2,
            "{sent} {received}"
        );
        frr_.path("10.2.0.0/16").map(drop)
    })?;
    ensure!(
        logged(&star, 2, "w: Got ROUTE-REFRESH")? == 0,
        "it was asked"
    );
    unable_.path("10.1.0.0/16")?;
    for address in ["192.0.1.2", "192.0.2.2", "192.0.3.2"] {
        let row = windrosed.peer(address)?;
        ensure!(row["established_count"] == 1, "{row}");
    }
    Ok(())
}
