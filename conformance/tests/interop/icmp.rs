//! Links to peers without STAMP: echo measures them, and traffic leaves those that lose.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Bird, Frr, Host, Windrosed};
use serde_json::Value;

use crate::star::{Star, bird, frr, peer};

const FRR: &str = "/usr/lib/frr/bgpd";
/// What both neighbors announce.
const PREFIX: &str = "10.9.0.0/16";
/// As long as a route may take to move, or to come back.
const WITHIN: Duration = Duration::from_secs(30);

const HUB: &str = "[router]\nasn = 65001\nrouter-id = \"192.0.1.1\"\nmultipath = 1\n[score]\nhold-down = \"3s\"\n";

/// Loses that share of what comes to a host, or ends that.
fn lose(host: &Host, interface: &str, percent: u8) -> Result<()> {
    drop_or(
        host,
        &format!("iifname {interface} numgen random mod 100 < {percent} drop"),
    )
}

/// The one rule that there is for what comes to a host.
fn drop_or(host: &Host, rule: &str) -> Result<()> {
    heal(host)?;
    host.run("nft add table inet loss")?;
    host.run("nft add chain inet loss in { type filter hook prerouting priority -300; }")?;
    host.run(&format!("nft add rule inet loss in {rule}"))
        .map(drop)
}

fn heal(host: &Host) -> Result<()> {
    host.run("nft add table inet loss")?;
    host.run("nft delete table inet loss").map(drop)
}

fn link(windrosed: &Windrosed, peer: &str) -> Result<Value> {
    let rows = windrosed.rows("link list")?;
    let found = rows.into_iter().find(|row| row["peer"] == peer);
    found.with_context(|| format!("no link to {peer}"))
}

/// Succeeds when the link is measured by that, and is as good or bad as that.
fn is(windrosed: &Windrosed, peer: &str, probe: &str, state: &str) -> Result<Value> {
    let row = link(windrosed, peer)?;
    ensure!(row["probe"] == probe && row["state"] == state, "{row}");
    Ok(row)
}

fn cost(row: &Value) -> u64 {
    row["cost"].as_u64().unwrap_or_default()
}

/// The one session with the peer is the first one still.
fn undisturbed(windrosed: &Windrosed, peer: &str) -> Result<()> {
    let row = windrosed.peer(peer)?;
    ensure!(
        row["established_count"] == 1 && row["state"] == "Established",
        "{row}"
    );
    Ok(())
}

/// Lets the groups from one number to another ping without a privilege.
fn may_ping(host: &Host, groups: &'static str) -> Result<()> {
    host.within(move || {
        let path = "/proc/sys/net/ipv4/ping_group_range";
        Ok(std::fs::write(path, groups)?)
    })
}

/// How many sockets of a kind there are in a host.
fn sockets(host: &Host, kind: &str) -> Result<usize> {
    let listed = host.run(&format!("cat /proc/net/{kind}"))?;
    Ok(listed.lines().skip(1).count())
}

/// BIRD and FRR announce the same; the one whose link loses two in five is left for the other, and taken again.
#[test]
fn traffic_leaves_a_lossy_link_to_a_peer_without_stamp_and_comes_back() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR, "nft"], 2)? else {
        return Ok(());
    };
    let (hub, spoke) = (&star.hub, &star.spokes[0]);
    // Nobody: the sockets are raw ones.
    may_ping(hub, "1 0")?;
    let config = [
        HUB.to_owned(),
        peer("192.0.1.2", 65002, "probe = true\ninterface = \"eth1\""),
        peer("192.0.2.2", 65003, "probe = true\ninterface = \"eth2\""),
    ];
    let _bird = Bird::start(&star.lab, spoke, &bird(1, 65002, "", &[PREFIX]))?;
    let config_of_frr = frr(2, 65003, &[PREFIX], "");
    let _frr = Frr::start(&star.lab, &star.spokes[1], &config_of_frr)?;
    let windrosed = star.windrosed(&config.concat())?;
    let goes = |by: &str| -> Result<()> {
        let route = hub.kernel_route(PREFIX)?.context("no route")?;
        ensure!(
            route.next_hops.len() == 1 && route.next_hops[0].device == by,
            "{route:?}"
        );
        Ok(())
    };
    let at_peace = || {
        for neighbor in ["192.0.1.2", "192.0.2.2"] {
            let row = is(&windrosed, neighbor, "icmp", "good")?;
            ensure!(cost(&row) < 20_000 && row["loss_out"] == 0.0, "{row}");
            ensure!(row["rtt_us"].as_u64() > Some(0), "{row}");
        }
        goes("eth1")
    };
    star.lab
        .eventually("both links, measured by echo", WITHIN, at_peace)?;
    star.lab
        .throughout("peace", Duration::from_secs(5), at_peace)?;
    let kinds = (sockets(hub, "raw")?, sockets(hub, "icmp")?);
    ensure!(kinds == (2, 0), "{kinds:?}");

    lose(hub, "eth1", 40)?;
    lose(spoke, "eth0", 40)?;
    let cut = Instant::now();
    star.lab
        .eventually("the way over FRR", WITHIN, || goes("eth2"))?;
    println!("40 % each way: moved after {:?}", cut.elapsed());
    star.lab
        .throughout("no way back meanwhile", Duration::from_secs(8), || {
            goes("eth2")?;
            undisturbed(&windrosed, "192.0.1.2")?;
            undisturbed(&windrosed, "192.0.2.2")
        })?;
    let row = is(&windrosed, "192.0.1.2", "icmp", "lossy")?;
    // Of the round trip, 64 %; both ways cost that.
    let loss = row["loss_out"].as_f64().unwrap_or_default();
    ensure!((0.4..0.9).contains(&loss), "{row}");
    ensure!(row["loss_out"] == row["loss_in"], "{row}");
    ensure!(
        cost(&row) > 500_000 && row["cost"] == row["cost_in"],
        "{row}"
    );
    ensure!(cost(&link(&windrosed, "192.0.2.2")?) < 20_000);
    let shown = windrosed.ask("link show 192.0.1.2")?;
    ensure!(shown.contains("ICMP echo"), "{shown}");

    heal(hub)?;
    heal(spoke)?;
    let healed = Instant::now();
    star.lab
        .eventually("the way over BIRD again", WITHIN * 2, at_peace)?;
    println!("healed: back after {:?}", healed.elapsed());
    ensure!(healed.elapsed() > Duration::from_secs(3), "no hold-down");
    undisturbed(&windrosed, "192.0.1.2")
}

/// Over IPv6, and by a socket that needs no privilege. What ICMP says of a request, and of whom it comes, is no matter.
#[test]
fn echo_over_ipv6_needs_no_privilege_where_our_group_may_ping() -> Result<()> {
    let Some(star) = Star::new(&["bird", "nft"], 1)? else {
        return Ok(());
    };
    let (hub, spoke) = (&star.hub, &star.spokes[0]);
    may_ping(hub, "0 2147483647")?;
    let neighbor = "2001:db8:1::2";
    let config = bird(1, 65002, "", &["10.2.0.0/16"])
        .replace("local 192.0.1.2", &format!("local {neighbor}"))
        .replace("neighbor 192.0.1.1", "neighbor 2001:db8:1::1");
    let _bird = Bird::start(&star.lab, spoke, &config)?;
    let config = HUB.to_owned() + &peer(neighbor, 65002, "probe = true\ninterface = \"eth1\"");
    let windrosed = star.windrosed(&config)?;
    star.lab
        .eventually("the link, measured by echo", WITHIN, || {
            windrosed.established(neighbor)?;
            let row = is(&windrosed, neighbor, "icmp", "good")?;
            ensure!(cost(&row) < 20_000, "{row}");
            Ok(())
        })?;
    let kinds = (sockets(hub, "raw6")?, sockets(hub, "icmp6")?);
    ensure!(kinds == (0, 1), "{kinds:?}");

    // The neighbor's errors are no answers, and no reason not to ask again.
    let refuse = "icmpv6 type echo-request reject with icmpv6 type admin-prohibited";
    spoke.run("nft add table inet loss")?;
    spoke.run("nft add chain inet loss in { type filter hook input priority 0; }")?;
    spoke.run(&format!("nft add rule inet loss in {refuse}"))?;
    star.soon("silence", || is(&windrosed, neighbor, "icmp", "silent"))?;
    let row = link(&windrosed, neighbor)?;
    ensure!(cost(&row) > 5_000_000, "{row}");
    star.lab
        .throughout("the session stays", Duration::from_secs(3), || {
            undisturbed(&windrosed, neighbor)
        })?;
    heal(spoke)?;
    star.soon("an answer", || {
        let row = is(&windrosed, neighbor, "icmp", "good")?;
        ensure!(cost(&row) < 20_000, "{row}");
        Ok(())
    })
}

/// Another windrosed; `more` are keys of its peer, us.
fn neighbor(more: &str) -> String {
    let router = "[router]\nasn = 65002\nrouter-id = \"192.0.1.2\"\n";
    router.to_owned() + &peer("192.0.1.1", 65001, more)
}

/// Silence is loss for a minute; then the peer is asked, and is there. The session knows nothing of all that.
#[test]
fn a_peer_that_loses_its_reflector_is_measured_by_echo_after_a_minute() -> Result<()> {
    let Some(star) = Star::new(&[], 1)? else {
        return Ok(());
    };
    let spoke = Windrosed::start(&star.lab, &star.spokes[0], &neighbor("probe = true"))?;
    let config = HUB.to_owned() + &peer("192.0.1.2", 65002, "probe = true");
    let windrosed = star.windrosed(&config)?;
    star.soon("STAMP", || is(&windrosed, "192.0.1.2", "stamp", "good"))?;
    spoke.reload(&neighbor(""))?;
    let gone = Instant::now();
    star.soon("silence", || is(&windrosed, "192.0.1.2", "stamp", "silent"))?;
    star.lab
        .throughout("silence", Duration::from_secs(55), || {
            let row = is(&windrosed, "192.0.1.2", "stamp", "silent")?;
            ensure!(cost(&row) > 5_000_000, "{row}");
            undisturbed(&windrosed, "192.0.1.2")
        })?;
    star.lab.eventually("echo", WITHIN, || {
        let row = is(&windrosed, "192.0.1.2", "icmp", "good")?;
        ensure!(cost(&row) < 20_000, "{row}");
        Ok(())
    })?;
    println!(
        "a good link again {:?} after its reflector went",
        gone.elapsed()
    );
    undisturbed(&windrosed, "192.0.1.2")
}

/// A peer that gets a reflector is measured by it from then on, in each direction by itself.
#[test]
fn a_peer_that_begins_to_answer_stamp_is_measured_by_it() -> Result<()> {
    let Some(star) = Star::new(&["nft"], 1)? else {
        return Ok(());
    };
    let spoke = Windrosed::start(&star.lab, &star.spokes[0], &neighbor(""))?;
    let config = HUB.to_owned() + &peer("192.0.1.2", 65002, "probe = true");
    let windrosed = star.windrosed(&config)?;
    star.lab.eventually("echo", WITHIN, || {
        is(&windrosed, "192.0.1.2", "icmp", "good")
    })?;
    ensure!(sockets(&star.hub, "icmp")? == 1);
    spoke.reload(&neighbor("probe = true"))?;
    star.soon("STAMP", || is(&windrosed, "192.0.1.2", "stamp", "good"))?;
    lose(&star.hub, "eth1", 30)?;
    star.soon("loss on the way back alone", || {
        let row = is(&windrosed, "192.0.1.2", "stamp", "lossy")?;
        ensure!(
            row["loss_out"] == 0.0 && row["loss_in"].as_f64() > Some(0.1),
            "{row}"
        );
        ensure!(cost(&row) < 20_000, "{row}");
        Ok(())
    })?;
    ensure!(sockets(&star.hub, "icmp")? == 0);
    undisturbed(&windrosed, "192.0.1.2")
}
