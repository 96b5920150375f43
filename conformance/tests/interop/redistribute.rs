//! `[redistribute]`: what an operator does to a real kernel, a peer hears at once.

use std::time::Duration;

use anyhow::{Result, ensure};
use conformance::lab::{Bird, Windrosed};

use crate::star::{ROUTER, Star, bird, peer};

/// How long a route may stay away.
const A_WHILE: Duration = Duration::from_secs(1);

fn has(bird: &Bird, prefix: &str) -> Result<()> {
    let path = bird.path(prefix)?;
    ensure!(path.as_path == [65001], "{path:?}");
    ensure!(path.origin == "incomplete", "{path:?}");
    Ok(())
}

fn lacks(bird: &Bird, prefix: &str) -> Result<()> {
    ensure!(bird.paths(prefix)?.is_empty(), "BIRD has {prefix}");
    Ok(())
}

fn source(windrosed: &Windrosed, prefix: &str) -> Result<String> {
    let rows = windrosed.rows(&format!("route list {prefix}"))?;
    let peer = rows.iter().find_map(|row| row.pointer("/paths/0/peer"));
    Ok(peer.map(ToString::to_string).unwrap_or_default())
}

fn start(star: &Star, redistribute: &str) -> Result<(Windrosed, Bird)> {
    let peer = peer("192.0.1.2", 65002, "");
    let config = format!("{ROUTER}{peer}\n[redistribute]\n{redistribute}\n");
    let windrosed = star.windrosed(&config)?;
    let bird = Bird::start(
        &star.lab,
        &star.spokes[0],
        &bird(1, 65002, "", &["10.1.0.0/16", "2001:db8:100::/48"]),
    )?;
    star.soon("the session", || bird.established("w"))?;
    Ok((windrosed, bird))
}

#[test]
fn connected_prefixes_follow_addresses_and_links() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 1)? else {
        return Ok(());
    };
    let connected = r#"connected = { interfaces = ["lo", "br-*", "!br-ext"] }"#;
    star.hub.ip("address add 10.255.0.1/32 dev lo")?;
    let (windrosed, bird) = start(&star, connected)?;
    star.soon("the loopback's address", || has(&bird, "10.255.0.1/32"))?;
    for name in ["br-pod", "br-ext"] {
        let ports = [name.to_owned(), format!("p-{name}")];
        let add = format!("link add {} type veth peer name {}", ports[0], ports[1]);
        star.hub.ip(&add)?;
        for port in &ports {
            star.hub.ip(&format!("link set {port} up"))?;
        }
    }
    star.hub.ip("address add 10.50.0.1/24 dev br-pod")?;
    star.hub
        .ip("address add 2001:db8:50::1/64 dev br-pod nodad")?;
    star.hub.ip("address add 10.51.0.1/24 dev br-ext")?;
    for prefix in ["10.50.0.0/24", "2001:db8:50::/64"] {
        star.soon(prefix, || has(&bird, prefix))?;
    }
    ensure!(source(&windrosed, "10.50.0.0/24")? == "\"connected\"");
    star.lab.throughout("what is not asked for", A_WHILE, || {
        for prefix in ["10.51.0.0/24", "192.0.1.0/24", "127.0.0.0/8", "fe80::/64"] {
            lacks(&bird, prefix)?;
        }
        Ok(())
    })?;
    star.hub.ip("link set br-pod down")?;
    star.soon("the link's end", || lacks(&bird, "10.50.0.0/24"))?;
    star.hub.ip("link set br-pod up")?;
    star.soon("the link's return", || has(&bird, "10.50.0.0/24"))?;
    star.hub.ip("address del 10.50.0.1/24 dev br-pod")?;
    star.soon("the address's end", || lacks(&bird, "10.50.0.0/24"))?;
    star.hub.ip("address add 10.50.0.1/24 dev br-pod")?;
    star.soon("the address's return", || has(&bird, "10.50.0.0/24"))?;
    star.hub.ip("link del br-pod")?;
    star.soon("the interface's end", || lacks(&bird, "10.50.0.0/24"))?;
    has(&bird, "10.255.0.1/32")
}

#[test]
fn kernel_routes_are_told_as_long_as_they_are_there_and_bgps_never_are() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 1)? else {
        return Ok(());
    };
    let kernel = r#"kernel = { protocols = ["static", 99], policy = "shape" }
[[policy]]
name = "shape"
default = "accept"
[[policy.rule]]
match = { prefixes = ["10.78.0.0/16"] }
then = "reject"
[[policy.rule]]
match = { source = ["kernel"], family = ["ipv4"] }
set = { med = 70, communities = { add = ["65001:7"] } }"#;
    star.hub
        .ip("route add 10.77.0.0/16 via 192.0.1.2 proto static")?;
    let (windrosed, bird) = start(&star, kernel)?;
    star.soon("what was there before", || has(&bird, "10.77.0.0/16"))?;
    let path = bird.path("10.77.0.0/16")?;
    ensure!(path.med == Some(70), "{path:?}");
    ensure!(path.communities.contains("65001:7"), "{path:?}");
    ensure!(path.next_hop == "192.0.1.1", "{path:?}");
    for route in [
        "10.78.0.0/16 proto static",
        "10.79.0.0/16 proto boot",
        "10.80.0.0/16 proto static table 100",
        "10.81.0.0/16 proto 99",
        "10.82.0.0/16 proto 186",
    ] {
        star.hub.ip(&format!("route add blackhole {route}"))?;
    }
    star.hub
        .ip("-6 route add 2001:db8:77::/48 via 2001:db8:1::2 proto static")?;
    for prefix in ["10.81.0.0/16", "2001:db8:77::/48"] {
        star.soon(prefix, || has(&bird, prefix))?;
    }
    star.lab.throughout("what is not asked for", A_WHILE, || {
        for third in [78, 79, 80, 82] {
            lacks(&bird, &format!("10.{third}.0.0/16"))?;
        }
        Ok(())
    })?;
    // What we installed is BIRD's route, and no route of our own.
    star.soon("BIRD's route", || {
        let route = star.hub.kernel_route("10.1.0.0/16")?;
        ensure!(route.is_some_and(|route| route.protocol == 186));
        Ok(())
    })?;
    ensure!(windrosed.paths("10.1.0.0/16")?.len() == 1);
    ensure!(source(&windrosed, "10.77.0.0/16")? == "\"kernel\"");
    // The route is the operator's, and stays so.
    let route = star.hub.kernel_route("10.77.0.0/16")?;
    ensure!(route.is_some_and(|route| route.protocol == 4));
    star.hub
        .ip("route replace 10.77.0.0/16 via 192.0.1.2 proto boot")?;
    star.soon("another's route in its place", || {
        lacks(&bird, "10.77.0.0/16")
    })?;
    star.hub
        .ip("route replace 10.77.0.0/16 via 192.0.1.2 proto static")?;
    star.soon("its return", || has(&bird, "10.77.0.0/16"))?;
    star.hub.ip("route del 10.77.0.0/16")?;
    star.hub.ip("-6 route del 2001:db8:77::/48")?;
    for prefix in ["10.77.0.0/16", "2001:db8:77::/48"] {
        star.soon("its end", || lacks(&bird, prefix))?;
    }
    // A reload begins and ends it.
    let without = format!("{ROUTER}{}", peer("192.0.1.2", 65002, ""));
    windrosed.reload(&without)?;
    star.soon("the end of all", || lacks(&bird, "10.81.0.0/16"))?;
    windrosed.reload(&format!(
        "{without}\n[redistribute]\nkernel = {{ protocols = [99] }}\n"
    ))?;
    star.soon("another beginning", || has(&bird, "10.81.0.0/16"))
}
