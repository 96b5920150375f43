//! Two ways that are not as wide: traffic is shared as their links are told to carry it, here and where Link Bandwidth is heard.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Frr, Host, Lab, Windrosed};

const FRR: &str = "/usr/lib/frr/bgpd";
const WITHIN: Duration = Duration::from_secs(30);
/// Behind the far router, and behind the near one.
const FAR: &str = "10.9.0.0/16";
const NEAR: &str = "10.8.0.0/16";

/// The gateway `n`, between the near router, which is FRR, and the far one.
fn gateway(n: u16, capacity: &str) -> String {
    format!(
        "[router]\nasn = 6500{n}\nrouter-id = \"10.255.0.{n}\"\n\
         [[peer]]\naddress = \"192.0.{n}.2\"\nasn = 65010\nlink-bandwidth = true\n\
         import = [\"accept\"]\nexport = [\"accept\"]\nconnect-retry = \"1s\"\n\
         [[peer]]\naddress = \"192.0.1{n}.2\"\nasn = 65020\nprobe = true\ncapacity = \"{capacity}\"\n\
         import = [\"accept\"]\nexport = [\"accept\"]\nconnect-retry = \"1s\"\n"
    )
}

fn far(capacities: [&str; 2]) -> String {
    let peer = |(n, capacity): (u16, &str)| {
        format!(
            "[[peer]]\naddress = \"192.0.1{n}.1\"\nasn = 6500{n}\nprobe = true\ncapacity = \"{capacity}\"\n\
             import = [\"accept\"]\nexport = [\"accept\"]\nconnect-retry = \"1s\"\n"
        )
    };
    let peers: String = (1..).zip(capacities).map(peer).collect();
    format!(
        "[router]\nasn = 65020\nrouter-id = \"10.255.0.20\"\n[[originate]]\nprefix = \"{FAR}\"\n{peers}"
    )
}

fn near() -> String {
    let neighbor = |n: u16| {
        format!(" neighbor 192.0.{n}.1 remote-as 6500{n}\n neighbor 192.0.{n}.1 timers connect 1\n")
    };
    format!(
        "router bgp 65010\n bgp router-id 10.255.0.10\n no bgp ebgp-requires-policy\n no bgp network import-check\n \
         bgp bestpath as-path multipath-relax\n{}{} address-family ipv4 unicast\n  network {NEAR}\n  \
         maximum-paths 4\n exit-address-family\nexit\n",
        neighbor(1),
        neighbor(2)
    )
}

/// The share of the second way, as the kernel divides the packets to a prefix.
fn share(host: &Host, prefix: &str) -> Result<f64> {
    let route = host.kernel_route(prefix)?.context("no route")?;
    let [first, second] = route.next_hops.as_slice() else {
        anyhow::bail!("{route:?}")
    };
    Ok(f64::from(second.weight) / f64::from(first.weight + second.weight))
}

fn near_to(share: f64, expected: f64) -> Result<()> {
    ensure!((share - expected).abs() < 0.01, "{share}, not {expected}");
    Ok(())
}

#[test]
fn traffic_is_shared_by_capacity_here_and_by_link_bandwidth_there() -> Result<()> {
    let program = Windrosed::program();
    let Some(lab) = Lab::for_test(&[program.as_str(), FRR])? else {
        return Ok(());
    };
    let [near_host, far_host, one, two] = ["near", "far", "one", "two"].map(|name| lab.host(name));
    let (near_host, far_host) = (near_host?, far_host?);
    let gateways = [one?, two?];
    for (n, host) in (1..).zip(&gateways) {
        lab.link((host, "near"), (&near_host, &format!("g{n}")))?;
        lab.link((host, "far"), (&far_host, &format!("g{n}")))?;
        host.address("near", &format!("192.0.{n}.1/24"))?;
        host.address("far", &format!("192.0.1{n}.1/24"))?;
        near_host.address(&format!("g{n}"), &format!("192.0.{n}.2/24"))?;
        far_host.address(&format!("g{n}"), &format!("192.0.1{n}.2/24"))?;
    }
    let start = |host, config: &str| Windrosed::start(&lab, host, config);
    let _one = start(&gateways[0], &gateway(1, "1gbit"))?;
    let two = start(&gateways[1], &gateway(2, "3gbit"))?;
    let far_router = start(&far_host, &far(["1gbit", "3gbit"]))?;
    let near_router = Frr::start(&lab, &near_host, &near())?;
    lab.eventually("a quarter and three quarters", WITHIN, || {
        near_to(share(&far_host, NEAR)?, 0.75).context("windrosed, by capacity")?;
        near_to(share(&near_host, FAR)?, 0.75).context("FRR, by Link Bandwidth")
    })?;
    let said = near_router.ask(&format!("show bgp ipv4 unicast {FAR}"))?;
    let rates = ["LB:65001:125000000", "LB:65002:375000000"];
    ensure!(rates.iter().all(|rate| said.contains(rate)), "{said}");

    // Capacities change with a reload, and no session notices.
    two.reload(&gateway(2, "1gbit"))?;
    far_router.reload(&far(["1gbit", "1gbit"]))?;
    lab.eventually("halves", WITHIN, || {
        near_to(share(&far_host, NEAR)?, 0.5)?;
        near_to(share(&near_host, FAR)?, 0.5)
    })?;
    let row = two.peer("192.0.2.2")?;
    ensure!(row["established_count"] == 1, "{row}");

    // What nobody can say is not told: traffic is divided evenly.
    two.reload(&gateway(2, "3gbit").replace("capacity = \"3gbit\"\n", ""))?;
    lab.eventually("no bandwidth", WITHIN, || {
        let said = near_router.ask(&format!("show bgp ipv4 unicast {FAR}"))?;
        ensure!(!said.contains("LB:65002"), "{said}");
        near_to(share(&near_host, FAR)?, 0.5)
    })
}
