//! The lab among its own: what these tests say of BIRD, FRR and GoBGP, the others rely on.

use std::time::Duration;

use anyhow::Result;
use conformance::lab::{Bird, Frr, GoBgp, KeyPair, Lab, RawPeer, WireGuard, lose};

const SOON: Duration = Duration::from_secs(15);

const BIRD: &str = r#"
router id 192.0.2.1;
protocol static { ipv4; route 10.1.0.0/16 blackhole; }
protocol static { ipv6; route 2001:db8:100::/48 blackhole; }
protocol bgp p {
  local 192.0.2.1 as 65001; neighbor 192.0.2.2 as 65002; connect delay time 1; connect retry time 1;
  ipv4 { import all; export filter {
    if source != RTS_STATIC then accept;
    bgp_med = 33; bgp_origin = ORIGIN_IGP; bgp_community.add((65001,100));
    bgp_large_community.add((65001,1,2)); bgp_ext_community.add((rt,65001,5)); accept; }; };
  ipv6 { import all; export all; };
}
"#;

const FRR: &str = "
router bgp 65002
 bgp router-id 192.0.2.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 192.0.2.1 remote-as 65001
 neighbor 192.0.2.1 timers connect 1
 neighbor 192.0.3.3 remote-as 65003
 neighbor 192.0.3.3 timers connect 1
 address-family ipv4 unicast
  network 10.2.0.0/16
 exit-address-family
 address-family ipv6 unicast
  neighbor 192.0.2.1 activate
";

const GOBGP: &str = r#"
[global.config]
  as = 65003
  router-id = "192.0.3.3"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "192.0.3.2"
    peer-as = 65002
  [neighbors.timers.config]
    connect-retry = 1
"#;

#[test]
fn peers_see_each_others_routes() -> Result<()> {
    let Some(lab) = Lab::for_test(&["bird", "/usr/lib/frr/bgpd", "gobgpd"])? else {
        return Ok(());
    };
    let (left, middle, right) = (lab.host("left")?, lab.host("middle")?, lab.host("right")?);
    lab.link((&left, "eth0"), (&middle, "eth0"))?;
    lab.link((&middle, "eth1"), (&right, "eth0"))?;
    for (host, interface, address) in [
        (&left, "eth0", "192.0.2.1/24"),
        (&left, "eth0", "2001:db8:12::1/64"),
        (&middle, "eth0", "192.0.2.2/24"),
        (&middle, "eth0", "2001:db8:12::2/64"),
        (&middle, "eth1", "192.0.3.2/24"),
        (&right, "eth0", "192.0.3.3/24"),
    ] {
        host.address(interface, address)?;
    }
    let bird = Bird::start(&lab, &left, BIRD)?;
    let frr = Frr::start(&lab, &middle, FRR)?;
    let gobgp = GoBgp::start(&lab, &right, GOBGP)?;
    gobgp.announce(
        "10.3.0.0/16",
        "origin egp med 7 community 65003:1 large-community 65003:1:2 rt 65003:5 aggregator 65003:192.0.3.3",
    )?;

    lab.eventually("the sessions", SOON, || {
        bird.established("p")?;
        frr.established("192.0.2.1")?;
        gobgp.established("192.0.3.2")
    })?;
    let heard = lab.eventually("BIRD's route at FRR", SOON, || frr.path("10.1.0.0/16"))?;
    assert_eq!(heard.as_path, [65001]);
    assert_eq!(heard.med, Some(33));
    assert!(heard.communities.contains("65001:100"));
    assert!(heard.large_communities.contains("65001:1:2"));
    assert!(heard.ext_communities.contains("rt:65001:5"));
    let far = lab.eventually("it at GoBGP", SOON, || gobgp.path("10.1.0.0/16"))?;
    assert_eq!(far.as_path, [65002, 65001]);
    assert_eq!(far.communities, heard.communities);
    assert_eq!(far.large_communities, heard.large_communities);
    assert_eq!(far.ext_communities, heard.ext_communities);
    let back = lab.eventually("GoBGP's at BIRD", SOON, || bird.path("10.3.0.0/16"))?;
    assert_eq!(back.as_path, [65002, 65003]);
    assert_eq!(back.origin, "egp");
    assert_eq!(back.aggregator.as_deref(), Some("65003 192.0.3.3"));
    let v6 = lab.eventually("IPv6", SOON, || frr.path("2001:db8:100::/48"))?;
    assert_eq!(v6.next_hop, "2001:db8:12::1");
    lab.eventually("the kernel's route", SOON, || {
        let route = middle.kernel_route("10.3.0.0/16")?;
        anyhow::ensure!(route.is_some_and(|r| r.next_hops[0].device == "eth1"));
        Ok(())
    })?;

    gobgp.withdraw("10.3.0.0/16")?;
    lab.eventually("the withdrawal", SOON, || {
        anyhow::ensure!(bird.paths("10.3.0.0/16")?.is_empty());
        Ok(())
    })
}

#[test]
fn a_raw_peer_hears_what_is_wrong() -> Result<()> {
    let Some(lab) = Lab::for_test(&["bird"])? else {
        return Ok(());
    };
    let (left, right) = (lab.host("left")?, lab.host("right")?);
    lab.link((&left, "eth0"), (&right, "eth0"))?;
    left.address("eth0", "192.0.2.1/24")?;
    right.address("eth0", "192.0.2.2/24")?;
    let bird = Bird::start(
        &lab,
        &left,
        &BIRD.replace("local 192", "passive; local 192"),
    )?;
    let bird_at = "192.0.2.1".parse()?;
    let mut peer = lab.eventually("a session", SOON, || {
        RawPeer::establish(&right, bird_at, 65002, "192.0.2.2".parse()?)
    })?;
    bird.established("p")?;
    peer.stays(Duration::from_millis(300))?;
    peer.send(&[0; 19])?;
    // RFC 4271 §6.1: "the Error Subcode MUST be set to Connection Not Synchronized"
    assert_eq!(peer.notification(SOON)?, (1, 1));
    Ok(())
}

#[test]
fn nothing_is_left_behind_when_a_lab_is_dropped() -> Result<()> {
    let Some(lab) = Lab::for_test(&["bird"])? else {
        return Ok(());
    };
    let host = lab.host("alone")?;
    let (name, dir) = (host.namespace().to_owned(), lab.dir().to_owned());
    let mut sleep = host.command("sleep");
    sleep.arg("600");
    let process = host.start("sleep", sleep)?;
    let pid = process.pid();
    std::mem::forget(process); // as a panic between start and drop would
    drop(lab);
    assert!(!std::path::Path::new("/run/netns").join(name).exists());
    assert!(!dir.exists());
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(
        stat.is_empty() || stat.contains(") Z "),
        "still runs: {stat}"
    );
    Ok(())
}

#[test]
fn wireguard_carries_what_is_not_lost() -> Result<()> {
    let Some(lab) = Lab::for_test(&["wg", "wireguard-go", "nft", "ping"])? else {
        return Ok(());
    };
    let router = lab.host("router")?;
    let mut ends = Vec::new();
    for n in [1, 2] {
        let host = lab.host(&format!("gw{n}"))?;
        let port = format!("to-gw{n}");
        lab.link((&host, "eth0"), (&router, &port))?;
        host.address("eth0", &format!("198.18.{n}.2/30"))?;
        router.address(&port, &format!("198.18.{n}.1/30"))?;
        host.ip(&format!("route add 198.18.0.0/16 via 198.18.{n}.1"))?;
        // Both interfaces have one name: each gateway has a socket folder of its own.
        let link = WireGuard::create(&lab, &host, "wg0")?;
        ends.push((host, link, KeyPair::generate()?));
    }
    for (n, other) in [(0, 1), (1, 0)] {
        let endpoint = format!("198.18.{}.2:51820", other + 1);
        let address = format!("10.255.0.{}/24", n + 1);
        let (_, link, keys) = &ends[n];
        link.connect(keys, 51820, (&ends[other].2, &endpoint), &[&address])?;
    }
    lab.eventually("an echo", SOON, || ends[0].0.ping("10.255.0.2"))?;
    lose(&router, &[("198.18.1.2", "198.18.2.2", 100)])?;
    assert!(ends[0].0.ping("10.255.0.2").is_err(), "all is lost");
    lose(&router, &[])?;
    lab.eventually("an echo again", SOON, || ends[0].0.ping("10.255.0.2"))
}
