//! Links that are measured: a triangle of gateways, one of whose links loses packets, and traffic that leaves it; over
//! plain links, and over WireGuard.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Host, Lab, Windrosed};
use conformance::reroute::{Contestant, IMPAIRMENTS, Impairment, Sessions, Verdict, trial};
use serde_json::Value;

/// As long as a loss may take to be found, a route to move or to come back.
const WITHIN: Duration = Duration::from_secs(30);

/// The gateways 0, 1, 2: the link between N and M is `10.255.(N+1)(M+1).0/24`, device `lM` at N.
struct Triangle {
    lab: Lab,
    hosts: Vec<Host>,
}

const PAIRS: [(usize, usize); 3] = [(0, 1), (1, 2), (0, 2)];

fn address(of: usize, towards: usize) -> String {
    let (low, high) = (of.min(towards) + 1, of.max(towards) + 1);
    format!("10.255.{low}{high}.{}", of + 1)
}

fn prefix(of: usize) -> String {
    format!("10.10{of}.0.0/16")
}

impl Triangle {
    fn new(programs: &[&str]) -> Result<Option<Self>> {
        let windrosed = Windrosed::program();
        let programs = [programs, &[windrosed.as_str(), "nft"]].concat();
        let Some(lab) = Lab::for_test(&programs)? else {
            return Ok(None);
        };
        let names = ["tyo", "nyc", "nue"];
        let hosts: Vec<_> = names
            .iter()
            .map(|name| lab.host(name))
            .collect::<Result<_>>()?;
        for (a, b) in PAIRS {
            let (at_a, at_b) = (format!("l{b}"), format!("l{a}"));
            lab.link((&hosts[a], &at_a), (&hosts[b], &at_b))?;
            hosts[a].address(&at_a, &format!("{}/24", address(a, b)))?;
            hosts[b].address(&at_b, &format!("{}/24", address(b, a)))?;
        }
        Ok(Some(Self { lab, hosts }))
    }

    fn config(of: usize) -> String {
        let mut config = format!(
            "[router]\nasn = 6500{of}\nrouter-id = \"10.255.0.{}\"\n[score]\nhold-down = \"3s\"\n\
             [[originate]]\nprefix = \"{}\"\n\
             [[peer-group]]\nname = \"mesh\"\nprobe = true\naigp = true\nnext-hop = \"self\"\n\
             import = [\"accept\"]\nexport = [\"accept\"]\nconnect-retry = \"1s\"\n",
            of + 1,
            prefix(of)
        );
        for other in (0..3).filter(|other| *other != of) {
            config += &format!(
                "[[peer]]\naddress = \"{}\"\nasn = 6500{other}\ngroup = \"mesh\"\ninterface = \"l{other}\"\n",
                address(other, of)
            );
        }
        config
    }

    /// Loses that share of what comes to `to` from `from`.
    fn lose(&self, from: usize, to: usize, percent: u8) -> Result<()> {
        let host = &self.hosts[to];
        let table = format!("loss{from}");
        host.run(&format!("nft add table inet {table}"))?;
        host.run(&format!("nft delete table inet {table}"))?;
        if percent == 0 {
            return Ok(());
        }
        host.run(&format!("nft add table inet {table}"))?;
        host.run(&format!(
            "nft add chain inet {table} in {{ type filter hook prerouting priority -300; }}"
        ))?;
        host.run(&format!(
            "nft add rule inet {table} in iifname l{from} numgen random mod 100 < {percent} drop"
        ))
        .map(drop)
    }

    /// The device by which `from` reaches the Pods of `to`.
    fn device(&self, from: usize, to: usize) -> Result<String> {
        let route = self.hosts[from].kernel_route(&prefix(to))?;
        let route = route.with_context(|| format!("no route to {}", prefix(to)))?;
        ensure!(route.next_hops.len() == 1, "{route:?}");
        Ok(route.next_hops[0].device.clone())
    }

    fn goes(&self, from: usize, to: usize, by: usize) -> Result<()> {
        let device = self.device(from, to)?;
        ensure!(
            device == format!("l{by}"),
            "{} goes by {device}",
            prefix(to)
        );
        Ok(())
    }
}

fn link(windrosed: &Windrosed, peer: &str) -> Result<Value> {
    let rows = windrosed.rows("link list")?;
    let found = rows.into_iter().find(|row| row["peer"] == peer);
    found.with_context(|| format!("no link to {peer}"))
}

/// How often the cost from us to the peer rose.
fn rises(windrosed: &Windrosed, peer: &str) -> Result<usize> {
    let rows = windrosed.rows(&format!("link history {peer}"))?;
    let rose = |row: &&Value| {
        row["direction"] == "out"
            && row["to"].as_u64() > row["from"].as_u64()
            && row["why"] == "it loses more than it may"
    };
    Ok(rows.iter().filter(rose).count())
}

#[test]
fn traffic_leaves_a_lossy_link_and_comes_back() -> Result<()> {
    let Some(net) = Triangle::new(&[])? else {
        return Ok(());
    };
    let all: Vec<_> = (0..3)
        .map(|n| Windrosed::start(&net.lab, &net.hosts[n], &Triangle::config(n)))
        .collect::<Result<_>>()?;
    let direct = || {
        for (a, b) in PAIRS {
            net.goes(a, b, b)?;
            net.goes(b, a, a)?;
            for (of, to) in [(a, b), (b, a)] {
                let row = link(&all[of], &address(to, of))?;
                ensure!(row["state"] == "good" && row["probe"] == "stamp", "{row}");
            }
        }
        Ok(())
    };
    net.lab
        .eventually("direct ways, measured", WITHIN, direct)?;
    net.lab
        .throughout("peace", Duration::from_secs(5), direct)?;
    let sessions = |n: usize, other: usize| -> Result<()> {
        let row = all[n].peer(&address(other, n))?;
        ensure!(
            row["established_count"] == 1 && row["state"] == "Established",
            "{row}"
        );
        Ok(())
    };

    net.lose(0, 1, 20)?;
    net.lose(1, 0, 20)?;
    let cut = Instant::now();
    net.lab.eventually("the way over the third", WITHIN, || {
        net.goes(0, 1, 2)?;
        net.goes(1, 0, 2)
    })?;
    println!(
        "20 % each way: both directions moved after {:?}",
        cut.elapsed()
    );
    net.lab
        .throughout("no way back meanwhile", Duration::from_secs(10), || {
            net.goes(0, 1, 2)?;
            net.goes(1, 0, 2)?;
            // The others are as they were, and no session was lost.
            net.goes(0, 2, 2)?;
            net.goes(1, 2, 2)?;
            sessions(0, 1)?;
            sessions(1, 0)
        })?;
    let row = link(&all[0], &address(1, 0))?;
    ensure!(row["state"] == "lossy", "{row}");
    let loss = row["loss_out"].as_f64().context("no loss")?;
    ensure!((0.05..0.5).contains(&loss), "{row}");

    net.lose(0, 1, 0)?;
    net.lose(1, 0, 0)?;
    let healed = Instant::now();
    net.lab
        .eventually("the direct ways again", WITHIN * 2, direct)?;
    println!("healed: back after {:?}", healed.elapsed());
    ensure!(
        healed.elapsed() > Duration::from_secs(3),
        "before the hold-down"
    );
    for (of, to) in [(0, 1), (1, 0)] {
        ensure!(
            rises(&all[of], &address(to, of))? == 1,
            "more than one move"
        );
    }
    Ok(())
}

#[test]
fn loss_in_one_direction_moves_that_direction_alone() -> Result<()> {
    let Some(net) = Triangle::new(&[])? else {
        return Ok(());
    };
    let all: Vec<_> = (0..3)
        .map(|n| Windrosed::start(&net.lab, &net.hosts[n], &Triangle::config(n)))
        .collect::<Result<_>>()?;
    net.lab.eventually("direct ways, measured", WITHIN, || {
        net.goes(0, 1, 1)?;
        net.goes(1, 0, 0)?;
        for (a, b) in PAIRS {
            for (of, to) in [(a, b), (b, a)] {
                let row = link(&all[of], &address(to, of))?;
                ensure!(row["state"] == "good", "{row}");
            }
        }
        Ok(())
    })?;
    net.lose(0, 1, 30)?;
    net.lab
        .eventually("that direction to move", WITHIN, || net.goes(0, 1, 2))?;
    net.lab
        .throughout("the other stays", Duration::from_secs(10), || {
            net.goes(0, 1, 2)?;
            net.goes(1, 0, 0)
        })
}

/// A trial of windrosed over WireGuard, as `cargo xtask lab reroute` makes many of. `None`: something is missing here.
/// `bad`: for so long, if not for as long as there.
fn over_wireguard(loss: &str, bad: Option<Duration>) -> Result<Option<(Verdict, Sessions)>> {
    let windrosed = Windrosed::program();
    if Lab::for_test(&[windrosed.as_str(), "wg", "wireguard-go", "nft"])?.is_none() {
        return Ok(None);
    }
    let impairment = IMPAIRMENTS.iter().find(|known| known.name == loss);
    let impairment = impairment.context("no such loss")?;
    let bad = bad.unwrap_or(impairment.bad);
    let impairment = Impairment { bad, ..*impairment };
    trial(Contestant::Windrosed, &impairment, 1).map(Some)
}

#[test]
fn a_wireguard_link_that_is_cut_is_left_by_bfd_and_taken_again_without_a_loss() -> Result<()> {
    let Some((verdict, sessions)) = over_wireguard("100", None)? else {
        return Ok(());
    };
    ensure!(
        sessions.bfd_downs == 2 && sessions.bgp_lost == 2,
        "{sessions:?}"
    );
    ensure!(
        verdict
            .settled
            .is_some_and(|after| after < Duration::from_secs(1)),
        "{verdict:?}"
    );
    ensure!(
        verdict
            .returned
            .is_some_and(|after| after < Duration::from_secs(15)),
        "{verdict:?}"
    );
    ensure!(
        verdict.changes == 2 && verdict.lost_then == 0,
        "{verdict:?}"
    );
    Ok(())
}

#[test]
fn traffic_leaves_a_lossy_wireguard_link_once_and_no_session_is_lost() -> Result<()> {
    let Some((verdict, sessions)) = over_wireguard("20", None)? else {
        return Ok(());
    };
    ensure!(sessions == Sessions::default(), "{sessions:?}");
    ensure!(
        verdict
            .settled
            .is_some_and(|after| after < Duration::from_secs(5)),
        "{verdict:?}"
    );
    ensure!(verdict.returned.is_some(), "{verdict:?}");
    ensure!(
        verdict.changes == 2 && verdict.lost_then == 0,
        "{verdict:?}"
    );
    Ok(())
}

#[test]
fn what_is_late_for_a_moment_or_out_of_order_moves_no_traffic() -> Result<()> {
    let bad = Some(Duration::from_secs(12));
    for (loss, at_least) in [("spikes", 100), ("reordered", 25)] {
        let Some((verdict, sessions)) = over_wireguard(loss, bad)? else {
            return Ok(());
        };
        println!("{loss}: {verdict:?} {sessions:?}");
        ensure!(
            verdict.slowest >= Duration::from_millis(at_least),
            "nothing was late: {verdict:?}"
        );
        ensure!(loss != "reordered" || verdict.overtaken > 10, "{verdict:?}");
        ensure!(
            verdict.changes == 0 && verdict.changes_then == 0,
            "{verdict:?} {sessions:?}"
        );
        ensure!(sessions.bgp_lost == 0, "{sessions:?}");
    }
    Ok(())
}

#[test]
fn a_link_that_stays_late_is_left_once_and_taken_again_once() -> Result<()> {
    let bad = Some(Duration::from_secs(20));
    let Some((verdict, sessions)) = over_wireguard("late", bad)? else {
        return Ok(());
    };
    println!("{verdict:?}");
    ensure!(sessions == Sessions::default(), "{sessions:?}");
    ensure!(
        verdict.settled.is_some() && verdict.returned.is_some(),
        "{verdict:?}"
    );
    ensure!(
        (verdict.changes, verdict.changes_then) == (2, 2),
        "{verdict:?}"
    );
    ensure!(
        verdict.lost < 0.002 && verdict.lost_then == 0,
        "{verdict:?}"
    );
    Ok(())
}
