//! Routes in the kernel: equal paths, a crash, a careless hand, a dead link.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Bird, KernelRoute};

use crate::star::{ROUTER, Star, bird, bird_with, peer};

/// RTPROT_BGP.
const OURS: u8 = 186;
/// How long a link's routes may stay on it once it is down.
const AT_ONCE: Duration = Duration::from_secs(1);

fn devices(route: &KernelRoute) -> Vec<&str> {
    route
        .next_hops
        .iter()
        .map(|hop| hop.device.as_str())
        .collect()
}

fn goes_over(star: &Star, prefix: &str, expected: &[&str]) -> Result<()> {
    let route = star.hub.kernel_route(prefix)?;
    let route = route.with_context(|| format!("{prefix} is not in the kernel"))?;
    let mut devices = devices(&route);
    devices.sort_unstable();
    ensure!(devices == expected, "{route:?}");
    ensure!(route.protocol == OURS, "{route:?}");
    Ok(())
}

fn two_birds(star: &Star, routes: &[&str], second: &str) -> Result<(Bird, Bird)> {
    let config = bird(1, 65002, "", routes);
    let first = Bird::start(&star.lab, &star.spokes[0], &config)?;
    let config = bird_with(2, 65003, "", routes, second);
    let second = Bird::start(&star.lab, &star.spokes[1], &config)?;
    Ok((first, second))
}

fn two_peers() -> String {
    let (first, second) = (peer("192.0.1.2", 65002, ""), peer("192.0.2.2", 65003, ""));
    format!("{ROUTER}{first}{second}")
}

#[test]
fn equal_paths_share_the_load() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 2)? else {
        return Ok(());
    };
    let windrosed = star.windrosed(&two_peers())?;
    let prefixes = ["10.9.0.0/16", "2001:db8:900::/48"];
    let (first, second) = two_birds(&star, &prefixes, "accept;")?;
    for prefix in prefixes {
        star.soon("two ways", || goes_over(&star, prefix, &["eth1", "eth2"]))?;
    }
    assert_eq!(windrosed.paths("10.9.0.0/16")?.len(), 2);
    second.configure(&bird(2, 65003, "", &[]))?;
    for prefix in prefixes {
        star.soon("one way", || goes_over(&star, prefix, &["eth1"]))?;
    }
    first.configure(&bird(1, 65002, "", &[]))?;
    star.soon("none", || {
        let left = star.hub.kernel_routes()?;
        ensure!(left.iter().all(|r| r.protocol != OURS), "{left:?}");
        Ok(())
    })
}

#[test]
fn a_crash_loses_no_route_and_leaves_none() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 1)? else {
        return Ok(());
    };
    let config = format!("{ROUTER}{}", peer("192.0.1.2", 65002, ""));
    let mut windrosed = star.windrosed(&config)?;
    let before = ["10.1.0.0/16", "10.2.0.0/16", "2001:db8:100::/48"];
    let bird_at = |routes: &[&str]| bird(1, 65002, "", routes);
    let bird = Bird::start(&star.lab, &star.spokes[0], &bird_at(&before))?;
    star.hub
        .ip("route add 10.77.0.0/16 via 192.0.1.2 proto static")?;
    for prefix in before {
        star.soon(prefix, || goes_over(&star, prefix, &["eth1"]))?;
    }
    windrosed.process().kill()?;
    bird.configure(&bird_at(&[
        "10.1.0.0/16",
        "10.3.0.0/16",
        "2001:db8:100::/48",
    ]))?;
    let stay = || {
        goes_over(&star, "10.1.0.0/16", &["eth1"])?;
        goes_over(&star, "2001:db8:100::/48", &["eth1"])
    };
    star.lab
        .throughout("the routes of the dead", AT_ONCE, stay)?;
    windrosed.restart(&star.lab)?;
    star.soon("the new route", || {
        stay()?; // never lost on the way
        goes_over(&star, "10.3.0.0/16", &["eth1"])
    })?;
    star.soon("the stale route to go", || {
        stay()?;
        ensure!(
            star.hub.kernel_route("10.2.0.0/16")?.is_none(),
            "10.2.0.0/16 is there"
        );
        Ok(())
    })?;
    let foreign = star.hub.kernel_route("10.77.0.0/16")?;
    ensure!(
        foreign.is_some_and(|r| r.protocol == 4),
        "the foreign route is gone"
    );
    Ok(())
}

/// RFC 4271 §6.7 and RFC 4486: Cease with Administrative Shutdown, and nothing of ours stays.
#[test]
fn a_clean_stop_says_so_and_leaves_nothing() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 1)? else {
        return Ok(());
    };
    let mut windrosed = star.windrosed(&format!("{ROUTER}{}", peer("192.0.1.2", 65002, "")))?;
    let config = bird(1, 65002, "", &["10.1.0.0/16", "2001:db8:100::/48"]);
    let bird = Bird::start(&star.lab, &star.spokes[0], &config)?;
    for prefix in ["10.1.0.0/16", "2001:db8:100::/48"] {
        star.soon(prefix, || goes_over(&star, prefix, &["eth1"]))?;
    }
    windrosed.process().stop()?;
    assert_eq!(windrosed.process().wait()?, 0);
    let left = star.hub.kernel_routes()?;
    ensure!(left.iter().all(|r| r.protocol != OURS), "{left:?}");
    star.soon("BIRD to hear why", || {
        let said = bird.ask("show protocols all w")?;
        ensure!(said.contains("Administrative shutdown"), "{said}");
        Ok(())
    })
}

#[test]
fn a_route_deleted_by_hand_returns() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 1)? else {
        return Ok(());
    };
    let _windrosed = star.windrosed(&format!("{ROUTER}{}", peer("192.0.1.2", 65002, "")))?;
    let config = bird(1, 65002, "", &["10.1.0.0/16", "2001:db8:100::/48"]);
    let _bird = Bird::start(&star.lab, &star.spokes[0], &config)?;
    for (prefix, delete) in [
        ("10.1.0.0/16", "route del 10.1.0.0/16"),
        ("2001:db8:100::/48", "-6 route del 2001:db8:100::/48"),
    ] {
        star.soon(prefix, || goes_over(&star, prefix, &["eth1"]))?;
        star.hub.ip(delete)?;
        star.soon("its return", || goes_over(&star, prefix, &["eth1"]))?;
    }
    Ok(())
}

/// The hub's own end goes down, then the far end (the carrier is lost): both move the routes at once,
/// long before a hold timer expires.
#[test]
fn a_dead_link_moves_its_routes_at_once() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 2)? else {
        return Ok(());
    };
    let windrosed = star.windrosed(&two_peers())?;
    let prefixes = ["10.9.0.0/16", "2001:db8:900::/48"];
    let (_first, _second) = two_birds(&star, &prefixes, "bgp_path.prepend(65003); accept;")?;
    for host in [&star.hub, &star.spokes[0]] {
        let interface = if host.namespace() == star.hub.namespace() {
            "eth1"
        } else {
            "eth0"
        };
        star.soon("both sessions", || {
            windrosed.established("192.0.1.2")?;
            windrosed.established("192.0.2.2")
        })?;
        for prefix in prefixes {
            star.soon("the shorter path", || goes_over(&star, prefix, &["eth1"]))?;
        }
        host.ip(&format!("link set {interface} down"))?;
        for prefix in prefixes {
            star.lab.eventually("the other link", AT_ONCE, || {
                goes_over(&star, prefix, &["eth2"])
            })?;
        }
        host.ip(&format!("link set {interface} up"))?;
        if interface == "eth1" {
            star.hub.address("eth1", "2001:db8:1::1/64")?; // went with the link
        } else {
            star.spokes[0].address("eth0", "2001:db8:1::2/64")?;
        }
    }
    Ok(())
}

/// A stream of packets goes on while the routes get another metric and another source; then nothing is installed.
#[test]
fn a_reload_moves_the_routes_and_no_packet_misses_them() -> Result<()> {
    let Some(star) = Star::new(&["bird", "ping"], 1)? else {
        return Ok(());
    };
    let config = format!("{ROUTER}{}", peer("192.0.1.2", 65002, ""));
    let windrosed = star.windrosed(&config)?;
    star.hub.ip("addr add 10.200.0.1/32 dev lo")?;
    star.spokes[0].ip("addr add 10.1.0.1/32 dev lo")?;
    star.spokes[0].ip("route add 10.200.0.1/32 via 192.0.1.1")?;
    let bird = bird(1, 65002, "", &["10.1.0.0/16", "2001:db8:100::/48"]);
    let _bird = Bird::start(&star.lab, &star.spokes[0], &bird)?;
    for prefix in ["10.1.0.0/16", "2001:db8:100::/48"] {
        star.soon(prefix, || goes_over(&star, prefix, &["eth1"]))?;
    }
    let shown = |table: &str| -> Result<String> {
        let v4 = star
            .hub
            .ip(&format!("route show table {table} proto bgp"))?;
        Ok(v4 + &star.hub.ip("-6 route show proto bgp")?)
    };
    let is = |what: &str| {
        let shown = shown("main")?;
        ensure!(shown.matches(what).count() >= 1, "{what}: {shown}");
        ensure!(shown.matches("10.1.0.0/16").count() == 1, "{shown}");
        Ok(())
    };
    std::thread::scope(|scope| {
        let pings = scope.spawn(|| star.hub.run("ping -q -i 0.002 -c 1500 10.1.0.1"));
        for (fib, what) in [
            ("metric = 5", "metric 5"),
            ("metric = 50", "metric 50"),
            ("metric = 50\nprefsrc = \"10.200.0.1\"", "src 10.200.0.1"),
            ("nexthop-groups = false", "via 192.0.1.2"),
        ] {
            windrosed.reload(&format!("{config}[fib]\n{fib}\n"))?;
            star.soon(what, || is(what))?;
        }
        let said = pings
            .join()
            .map_err(|_| anyhow::anyhow!("ping panicked"))??;
        ensure!(said.contains(" 0% packet loss"), "{said}");
        ensure!(!said.contains("error"), "{said}");
        Ok(())
    })?;
    windrosed.reload(&format!("{config}[fib]\ntable = 1000\n"))?;
    star.soon("the other table", || {
        let other = shown("1000")?;
        ensure!(other.contains("10.1.0.0/16"), "{other}");
        ensure!(
            star.hub.ip("route show proto bgp")?.is_empty(),
            "still there"
        );
        Ok(())
    })?;
    windrosed.reload(&format!("{config}[fib]\ninstall = false\n"))?;
    star.soon("the end of installing", || {
        let left = star.hub.ip("route show table all proto bgp")?;
        ensure!(left.is_empty(), "{left}");
        Ok(())
    })?;
    windrosed.reload(&config)?;
    star.soon("its beginning", || {
        goes_over(&star, "10.1.0.0/16", &["eth1"])
    })?;
    windrosed.established("192.0.1.2").map(drop)
}

/// Of what a peer tells, some enters another table, some gets another metric and source, some stays out.
#[test]
fn a_policy_says_what_enters_the_kernel_and_where() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 1)? else {
        return Ok(());
    };
    star.hub.ip("addr add 10.200.0.1/32 dev lo")?;
    star.hub.ip("addr add 2001:db8:200::1/128 dev lo")?;
    let config = |rules: &str| {
        format!(
            "{ROUTER}{}[fib]\npolicy = [\"to-kernel\"]\n\
             [[policy]]\nname = \"to-kernel\"\ndefault = \"accept\"\n{rules}",
            peer("192.0.1.2", 65002, "")
        )
    };
    let rules = r#"
[[policy.rule]]
match = { prefixes = ["10.3.0.0/16"] }
then = "reject"
[[policy.rule]]
match = { prefixes = ["10.2.0.0/16", "2001:db8:100::/48"] }
set = { table = 1000, metric = 7 }
[[policy.rule]]
match = { peer = ["192.0.1.2"] }
set = { prefsrc = "10.200.0.1" }
[[policy.rule]]
set = { prefsrc = "2001:db8:200::1" }
"#;
    let windrosed = star.windrosed(&config(rules))?;
    let routes = [
        "10.1.0.0/16",
        "10.2.0.0/16",
        "10.3.0.0/16",
        "2001:db8:100::/48",
    ];
    let _bird = Bird::start(&star.lab, &star.spokes[0], &bird(1, 65002, "", &routes))?;
    let shown = || -> Result<String> {
        let v4 = star.hub.ip("route show table all proto bgp")?;
        Ok(v4 + &star.hub.ip("-6 route show table all proto bgp")?)
    };
    let line = |prefix: &str| -> Result<String> {
        let all = shown()?;
        let line = all.lines().find(|line| line.starts_with(prefix));
        line.map(str::to_owned)
            .with_context(|| format!("{prefix} is not there: {all}"))
    };
    let has = |prefix: &str, words: &[&str]| {
        let line = line(prefix)?;
        ensure!(words.iter().all(|word| line.contains(word)), "{line}");
        Ok(())
    };
    star.soon("the routes where policy puts them", || {
        has("10.1.0.0/16", &["src 10.200.0.1", "metric 20"])?;
        has("10.2.0.0/16", &["table 1000", "src 10.200.0.1", "metric 7"])?;
        has(
            "2001:db8:100::/48",
            &["table 1000", "src 2001:db8:200::1", "metric 7"],
        )
    })?;
    ensure!(
        line("10.3.0.0/16").is_err(),
        "a rejected route is installed"
    );
    ensure!(!line("10.1.0.0/16")?.contains("table"), "{}", shown()?);
    let row = windrosed.ask("fib show 10.2.0.0/16")?;
    ensure!(
        row.contains("table 1000 metric 7 src 10.200.0.1, installed"),
        "{row}"
    );
    ensure!(
        row.contains("policy: to-kernel rule[1]: table 1000, metric 7; next"),
        "{row}"
    );
    let row = windrosed.ask("fib show 10.3.0.0/16")?;
    ensure!(row.contains("the policy of [fib] rejects it"), "{row}");
    let rows = windrosed.rows("fib list")?;
    ensure!(rows.len() == 3, "{rows:?}");
    ensure!(
        rows.iter()
            .any(|row| row["table"] == 1000 && row["metric"] == 7),
        "{rows:?}"
    );

    // Another policy under the same name: routes move, come and go, and the session notices nothing.
    windrosed.reload(&config(
        r#"
[[policy.rule]]
match = { prefixes = ["10.1.0.0/16"] }
then = "reject"
[[policy.rule]]
match = { prefixes = ["10.3.0.0/16"] }
set = { metric = 5 }
"#,
    ))?;
    star.soon("the routes where the new policy puts them", || {
        has("10.2.0.0/16", &["metric 20"])?;
        has("10.3.0.0/16", &["metric 5"])?;
        has("2001:db8:100::/48", &["metric 20"])?;
        let all = shown()?;
        ensure!(
            !all.contains("10.1.0.0/16") && !all.contains("table 1000"),
            "{all}"
        );
        Ok(())
    })?;
    let peer = windrosed.peer("192.0.1.2")?;
    ensure!(peer["state"] == "Established", "{peer}");
    Ok(())
}

/// BIRD's routes are in the kernel, and we only look: equal, then one of them differs, then one more is there.
#[test]
fn in_shadow_mode_birds_routes_are_compared_and_left_alone() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 2)? else {
        return Ok(());
    };
    let of_bird = |routes: &[(&str, &str)]| {
        let of = |v6: bool| {
            let routes = routes.iter().filter(move |(r, _)| r.contains(':') == v6);
            routes
                .map(|(r, via)| format!("route {r} via {via}; "))
                .collect::<String>()
        };
        format!(
            "router id 192.0.9.9;
protocol kernel {{ ipv4 {{ export all; }}; }}
protocol kernel {{ ipv6 {{ export all; }}; }}
protocol static {{ ipv4; {} }}
protocol static {{ ipv6; {} }}
",
            of(false),
            of(true)
        )
    };
    let v4 = ("10.1.0.0/16", "192.0.1.2");
    let v6 = ("2001:db8:100::/48", "2001:db8:1::2");
    let beside = Bird::start(&star.lab, &star.hub, &of_bird(&[v4, v6]))?;
    let config = format!(
        "{ROUTER}[fib]\ninstall = \"shadow\"\n{}",
        peer("192.0.1.2", 65002, "")
    );
    let windrosed = star.windrosed(&config)?;
    let _peer = Bird::start(
        &star.lab,
        &star.spokes[0],
        &bird(1, 65002, "", &[v4.0, v6.0]),
    )?;
    let differences = |expected: &[(&str, &str)]| {
        let rows = windrosed.rows("fib diff")?;
        let found: Vec<_> = rows
            .iter()
            .map(|row| (row["prefix"].as_str(), row["state"].as_str()))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(prefix, state)| (Some(*prefix), Some(*state)))
            .collect();
        ensure!(found == expected, "{rows:?}");
        Ok(())
    };
    star.soon("all to be equal", || {
        let all = windrosed.rows("fib list")?;
        ensure!(all.len() == 2, "{all:?}");
        differences(&[])
    })?;
    let status = windrosed.ask("status")?;
    ensure!(
        status.contains("2 routes as the kernel has them, 0 different"),
        "{status}"
    );

    beside.configure(&of_bird(&[
        ("10.1.0.0/16", "192.0.2.2"),
        v6,
        ("10.9.0.0/16", "192.0.2.2"),
    ]))?;
    star.soon("the difference", || {
        differences(&[("10.1.0.0/16", "different"), ("10.9.0.0/16", "extra")])
    })?;
    beside.configure(&of_bird(&[v4]))?;
    star.soon("another difference", || {
        differences(&[("2001:db8:100::/48", "missing")])
    })?;
    let routes = star.hub.kernel_routes()?;
    ensure!(routes.iter().all(|r| r.protocol != OURS), "{routes:?}");

    // The move: ours come, at their own metric.
    windrosed.reload(&config.replace("\"shadow\"", "true"))?;
    star.soon("our routes", || {
        let main = star.hub.ip("route show 10.1.0.0/16")?;
        ensure!(
            main.contains("metric 20") && main.contains("metric 32"),
            "{main}"
        );
        Ok(())
    })
}
