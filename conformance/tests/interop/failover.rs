//! A path that fails takes as long for a hundred thousand routes as for one: their next hops are changed, not they.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Bird, Host};

use crate::bfd::{bird_with_bfd, black_hole, is_up, profile};
use crate::star::{Star, peer};

/// The hub: AS 65001, one path a prefix.
const ROUTER: &str = "
[router]
asn = 65001
router-id = \"192.0.1.1\"
multipath = 1
";

/// To load them all takes longer than anything else here.
const LOADED: Duration = Duration::from_secs(60);
/// From BFD's word to the last route, at most. What is measured is said; this is for a busy machine.
const AT_MOST: Duration = Duration::from_millis(50);

fn nth(n: usize) -> String {
    format!("{}.{}.{}.0/24", 20 + n / 65_536, n / 256 % 256, n % 256)
}

/// The gateway by which the kernel sends what is for a prefix.
fn gateway(hub: &Host, prefix: &str) -> Result<String> {
    let address = prefix.replace(".0/24", ".1");
    let said = hub.ip(&format!("route get {address}"))?;
    let mut words = said.split_whitespace().skip_while(|word| *word != "via");
    Ok(words.nth(1).unwrap_or_default().to_owned())
}

/// Some of them, the first and the last among them.
fn some(count: usize) -> impl Iterator<Item = String> {
    (0..count)
        .step_by((count / 7).max(1))
        .chain([count - 1])
        .map(nth)
}

/// The time that a line begins with, or has after a date: since midnight.
fn time(line: &str) -> Option<Duration> {
    let (_, time) = line.get(..40).unwrap_or(line).split_once('T')?;
    let end = time.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.')?;
    let mut parts = time.get(..end)?.split(':');
    let mut part = || parts.next()?.parse::<f64>().ok();
    let (hours, minutes, seconds) = (part()?, part()?, part()?);
    Some(Duration::from_secs_f64(
        (hours * 60.0 + minutes) * 60.0 + seconds,
    ))
}

/// When the first line that has these words was written, after a moment.
fn first(log: &str, after: Duration, words: &[&str]) -> Option<Duration> {
    let has = |line: &&str| words.iter().all(|word| line.contains(word));
    let times = log.lines().filter(has).filter_map(time);
    times.filter(|at| *at >= after).min()
}

/// So many routes move from one neighbor to the other: how long that takes from BFD's word on.
fn failover(count: usize) -> Result<Option<Duration>> {
    let Some(star) = Star::new(&["bird", "nft"], 2)? else {
        return Ok(None);
    };
    let mut config = ROUTER.to_owned() + &profile("fast", 50, "");
    let routes: Vec<String> = (0..count).map(nth).collect();
    let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
    let mut birds = Vec::new();
    for (n, asn) in [(1, 65002), (2, 65003)] {
        config += &peer(&format!("192.0.{n}.2"), asn, "bfd = \"fast\"");
        let theirs = bird_with_bfd(n, asn, 50, "", &routes);
        let spoke = &star.spokes[usize::from(n) - 1];
        birds.push(Bird::start(&star.lab, spoke, &theirs)?);
    }
    let mut windrosed = star.windrosed(&config)?;
    star.lab.eventually("all paths", LOADED, || {
        is_up(&windrosed, "192.0.1.2")?;
        is_up(&windrosed, "192.0.2.2")?;
        let status = windrosed.rows("status")?;
        let status = status.first().context("no status")?;
        ensure!(status["paths"] == 2 * count, "{status}");
        ensure!(status["fib"]["installed"] == count, "{status}");
        for prefix in some(count) {
            ensure!(gateway(&star.hub, &prefix)? == "192.0.1.2", "{prefix}");
        }
        Ok(())
    })?;
    let mut monitor = star.hub.command("ip");
    monitor.args(["-ts", "monitor", "nexthop", "route"]);
    let mut monitor = star.hub.start("monitor", monitor)?;
    // What is spare is told at leisure: until nothing more is.
    let mut heard = 1;
    star.lab.eventually("silence", LOADED, || {
        std::thread::sleep(Duration::from_millis(500));
        let before = std::mem::replace(&mut heard, monitor.log()?.len() + 1);
        ensure!(heard == before, "the kernel's routes still change");
        Ok(())
    })?;
    black_hole(&star.spokes[0], "eth0")?;
    star.soon("the other way", || {
        for prefix in some(count) {
            ensure!(gateway(&star.hub, &prefix)? == "192.0.2.2", "{prefix}");
        }
        Ok(())
    })?;
    star.lab.eventually("all that follows", LOADED, || {
        let status = windrosed.rows("status")?;
        let status = status.first().context("no status")?;
        ensure!(status["paths"] == count, "{status}");
        ensure!(status["fib"]["installed"] == count, "{status}");
        Ok(())
    })?;
    monitor.stop()?;
    let log = windrosed.process().log()?;
    let failed = first(&log, Duration::ZERO, &["192.0.1.2", "the path failed"]);
    let failed = failed.context("BFD said nothing")?;
    let monitored = monitor.log()?;
    let changed = first(&monitored, failed, &["group"]);
    let changed = changed.with_context(|| {
        let first = first(&monitored, failed, &["20."]);
        let last = monitored
            .lines()
            .filter(|l| l.contains("20."))
            .filter_map(time)
            .max();
        format!("no nexthop group changed; routes after {failed:?}: {first:?} to {last:?}")
    })?;
    Ok(Some(changed.saturating_sub(failed)))
}

/// RFC 5880 has the failure seen within 150 ms here; the rest is ours.
#[test]
fn routes_leave_a_path_that_fails_in_constant_time() -> Result<()> {
    for count in [1, 1_000, 100_000] {
        let Some(took) = failover(count)? else {
            return Ok(());
        };
        println!(
            "{count} routes: the kernel sends by the other neighbor {took:?} after BFD's word"
        );
        ensure!(took < AT_MOST, "{count} routes took {took:?}");
    }
    Ok(())
}
