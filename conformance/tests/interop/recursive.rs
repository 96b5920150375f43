//! Routes through routes (RFC 4271 §9.1.2.1): what windrosed's kernel has beside those of BIRD and of FRR, which heard the
//! same from the same peer.

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Bird, ExaBgp, Frr, Host, KernelRoute, Windrosed};

use crate::star::{ROUTER, Star, exchange, peer};

const FRR: &str = "/usr/lib/frr/bgpd";
/// The one who tells routes, in our AS.
const TELLER: &str = "192.0.1.2";
/// A neighbor on the link that leads on; nobody has to be there.
const NEAR: &str = "192.0.9.9";
const OTHER: &str = "192.0.9.10";

/// ExaBGP, an internal peer of windrosed at 192.0.1.1, of BIRD at 192.0.2.2 and of FRR at 192.0.3.2.
fn teller(star: &Star) -> Result<ExaBgp> {
    let api = ExaBgp::API;
    let neighbor = |address: &str| {
        format!(
            "neighbor {address} {{
  router-id {TELLER}; local-address {TELLER}; local-as 65001; peer-as 65001; hold-time 90;
  family {{ ipv4 unicast; }}
  {api}
}}
"
        )
    };
    let config: String = ["192.0.1.1", "192.0.2.2", "192.0.3.2"]
        .map(neighbor)
        .concat();
    ExaBgp::start(&star.lab, &star.spokes[0], TELLER, &config)
}

/// windrosed with a static route to 10.7.0.0/16 by these.
fn hub(gateways: &[&str]) -> String {
    let internal = peer(TELLER, 65001, "").replace(r#"["ipv4", "ipv6"]"#, r#"["ipv4"]"#);
    let gateways: Vec<_> = gateways.iter().map(|g| format!("{g:?}")).collect();
    let via = gateways.join(", ");
    let route = match gateways.as_slice() {
        [] => String::new(),
        _ => format!("[[static]]\nprefix = \"10.7.0.0/16\"\nvia = [{via}]\n"),
    };
    format!("{ROUTER}{internal}{route}")
}

/// BIRD with the same static route: next hops of internal peers are recursive, as they are by default.
fn bird(gateways: &[&str]) -> String {
    let via: String = gateways.iter().map(|g| format!(" via {g}")).collect();
    let route = match gateways {
        [] => String::new(),
        _ => format!("route 10.7.0.0/16{via};"),
    };
    format!(
        "router id 192.0.2.2;
protocol direct {{ ipv4; }}
protocol kernel {{ merge paths on; ipv4 {{ export filter {{ if source = RTS_DEVICE then reject; accept; }}; }}; }}
protocol static {{ ipv4; {route} }}
protocol bgp w {{
  local 192.0.2.2 as 65001; neighbor {TELLER} as 65001;
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 {{ import all; gateway recursive; }};
}}
"
    )
}

const OF_FRR: &str = "router bgp 65001
 bgp router-id 192.0.3.2
 neighbor 192.0.1.2 remote-as 65001
 neighbor 192.0.1.2 timers connect 1
exit
";

fn gateways(host: &Host, prefix: &str) -> Result<Vec<String>> {
    let route = host.kernel_route(prefix)?;
    let of = |route: KernelRoute| route.next_hops.into_iter().filter_map(|hop| hop.gateway);
    Ok(route.map(|route| of(route).collect()).unwrap_or_default())
}

/// Succeeds when a prefix has these gateways in the kernel of each host.
fn go_by(hosts: &[&Host], prefix: &str, expected: &[&str]) -> Result<()> {
    for host in hosts {
        let found = gateways(host, prefix)?;
        ensure!(found == expected, "{}: {found:?}", host.namespace());
    }
    Ok(())
}

fn tell(teller: &ExaBgp, what: &str, prefix: &str, next_hop: &str) -> Result<()> {
    teller.tell(&format!(
        "{what} route {prefix} next-hop {next_hop} local-preference 100"
    ))
}

/// What `route explain` says leads to the next hop of a route.
fn through(windrosed: &Windrosed, prefix: &str) -> Result<Vec<String>> {
    let said = windrosed.ask(&format!("route explain {prefix} -o json"))?;
    let said: serde_json::Value = serde_json::from_str(&said)?;
    let found = said.pointer("/next_hops/0/through");
    let found = found.and_then(serde_json::Value::as_array);
    let found = found.context("no next hop")?.iter();
    Ok(found
        .filter_map(|prefix| prefix.as_str().map(str::to_owned))
        .collect())
}

/// The next hop is known by a static route alone: BIRD's kernel and ours have the static route's gateways.
#[test]
fn through_a_static_route_the_kernel_has_what_birds_has() -> Result<()> {
    let Some(star) = Star::new(&["bird", "exabgp"], 2)? else {
        return Ok(());
    };
    exchange(&star)?;
    let windrosed = star.windrosed(&hub(&[NEAR]))?;
    let theirs = Bird::start(&star.lab, &star.spokes[1], &bird(&[NEAR]))?;
    let teller = teller(&star)?;
    let both = [&star.hub, &star.spokes[1]];
    let far = "198.51.100.0/24";
    tell(&teller, "announce", far, "10.7.0.1")?;
    star.soon("the gateway of the static route", || {
        go_by(&both, far, &[NEAR])
    })?;
    ensure!(through(&windrosed, far)? == ["10.7.0.0/16"]);
    let line = windrosed.ask(&format!("fib show {far}"))?;
    ensure!(line.contains("through 10.7.0.0/16"), "{line}");
    for (what, gateways) in [
        ("another gateway", &[OTHER][..]),
        ("two gateways", &[OTHER, NEAR]),
        ("one again", &[NEAR]),
        ("none", &[]),
        ("it again", &[NEAR]),
    ] {
        windrosed.reload(&hub(gateways))?;
        theirs.configure(&bird(gateways))?;
        star.soon(what, || go_by(&both, far, gateways))?;
    }
    Ok(())
}

/// The next hop is known by a route of BGP alone: FRR's kernel and ours have its gateway, which follows it. FRR resolves
/// through the routes of internal peers, and so through two of them, one after the other.
#[test]
fn through_a_route_of_bgp_the_kernel_has_what_frrs_has() -> Result<()> {
    let Some(star) = Star::new(&[FRR, "exabgp"], 3)? else {
        return Ok(());
    };
    exchange(&star)?;
    let windrosed = star.windrosed(&hub(&[]))?;
    let _frr = Frr::start(&star.lab, &star.spokes[2], OF_FRR)?;
    let teller = teller(&star)?;
    let both = [&star.hub, &star.spokes[2]];
    let (near, middle, far) = ("10.7.0.0/16", "10.8.0.0/16", "198.51.100.0/24");
    tell(&teller, "announce", far, "10.8.0.1")?;
    tell(&teller, "announce", middle, "10.7.0.1")?;
    star.soon("the routes that lead nowhere", || {
        windrosed.paths(far)?;
        go_by(&both, far, &[])
    })?;
    tell(&teller, "announce", near, NEAR)?;
    star.soon("the gateway of the last one", || {
        go_by(&both, near, &[NEAR])?;
        go_by(&both, middle, &[NEAR])?;
        go_by(&both, far, &[NEAR])
    })?;
    ensure!(through(&windrosed, far)? == [middle, near]);
    tell(&teller, "announce", near, OTHER)?;
    star.soon("another gateway", || go_by(&both, far, &[OTHER]))?;
    tell(&teller, "withdraw", near, OTHER)?;
    star.soon("no gateway", || {
        go_by(&both, middle, &[])?;
        go_by(&both, far, &[])
    })?;
    // Each leads to the other's next hop: neither can be reached.
    tell(&teller, "announce", near, "10.8.0.1")?;
    star.soon("both to be heard", || {
        ensure!(windrosed.paths(near)?.len() == 1);
        Ok(())
    })?;
    for prefix in [near, middle, far] {
        go_by(&both, prefix, &[])?;
    }
    // The teller falls silent, with all it told.
    tell(&teller, "announce", near, NEAR)?;
    star.soon("all of them", || go_by(&both, far, &[NEAR]))?;
    drop(teller);
    star.soon("none of them", || go_by(&both, far, &[]))
}
