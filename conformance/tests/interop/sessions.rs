//! Sessions: up, lost, back; over IPv6, with passwords, with peers of two octets.

use std::time::Duration;

use anyhow::{Result, ensure};
use conformance::lab::{Bird, ExaBgp, Frr, GoBgp, OpenBgpd, Windrosed};

use crate::star::{ROUTER, Star, bird, exabgp, frr, gobgp, is_down, openbgpd, peer};

/// RFC 4271 §8: sessions come up within a second of both ends being there.
#[test]
fn sessions_come_up_with_every_peer() -> Result<()> {
    let Some(star) = Star::new(&["bird", "/usr/lib/frr/bgpd", "gobgpd"], 3)? else {
        return Ok(());
    };
    let _bird = Bird::start(&star.lab, &star.spokes[0], &bird(1, 65002, "", &[]))?;
    let _frr = Frr::start(&star.lab, &star.spokes[1], &frr(2, 65003, &[], ""))?;
    let _gobgp = GoBgp::start(&star.lab, &star.spokes[2], &gobgp(3, 65004))?;
    let config = [
        ROUTER.to_owned(),
        peer("192.0.1.2", 65002, ""),
        peer("192.0.2.2", 65003, ""),
        peer("192.0.3.2", 65004, ""),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    star.soon("three sessions", || {
        windrosed.established("192.0.1.2")?;
        windrosed.established("192.0.2.2")?;
        windrosed.established("192.0.3.2")
    })?;
    let row = windrosed.peer("192.0.2.2")?;
    assert_eq!(row["asn"], 65003, "{row}");
    Ok(())
}

/// The same, and routes of both families with their attributes, both ways.
#[test]
fn openbgpd_and_exabgp_hear_and_are_heard() -> Result<()> {
    let Some(star) = Star::new(&[OpenBgpd::PROGRAM, "bgpctl", "exabgp"], 2)? else {
        return Ok(());
    };
    let config = [
        ROUTER.to_owned(),
        peer("192.0.1.2", 65002, ""),
        peer("192.0.2.2", 65003, ""),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    // Its own IPv6 routes have the next hop ::1 over an IPv4 session here: they are refused, rightly.
    let networks = "network 10.2.0.0/16 set { med 33 community 65002:100 \
         large-community 65002:1:2 ext-community rt 65002:5 }\n";
    let openbgpd = OpenBgpd::start(
        &star.lab,
        &star.spokes[0],
        &openbgpd(1, 65002, networks, ""),
    )?;
    let exabgp = ExaBgp::start(
        &star.lab,
        &star.spokes[1],
        "192.0.2.2",
        &exabgp(2, 65003, ""),
    )?;
    exabgp.tell(
        "announce route 10.3.0.0/16 next-hop 192.0.2.2 med 7 as-path [ 65003 65009 ] \
         community [65003:100] large-community [65003:1:2] extended-community [target:65003:5]",
    )?;
    exabgp.tell("announce route 2001:db8:300::/48 next-hop 2001:db8:2::2")?;
    star.soon("both sessions", || {
        openbgpd.established("192.0.1.1")?;
        exabgp.established("192.0.2.1")
    })?;
    let path = star.soon("ExaBGP's at OpenBGPD", || openbgpd.path("10.3.0.0/16"))?;
    assert_eq!(path.as_path, [65001, 65003, 65009]);
    assert_eq!(path.next_hop, "192.0.1.1");
    assert!(path.communities.contains("65003:100"), "{path:?}");
    assert!(path.large_communities.contains("65003:1:2"), "{path:?}");
    assert!(path.ext_communities.contains("rt:65003:5"), "{path:?}");
    star.soon("its IPv6 route", || openbgpd.path("2001:db8:300::/48"))?;
    let path = star.soon("OpenBGPD's at ExaBGP", || exabgp.path("10.2.0.0/16"))?;
    assert_eq!(path.as_path, [65001, 65002]);
    assert_eq!(
        (path.next_hop.as_str(), path.med, path.local_pref),
        ("192.0.2.1", None, None)
    );
    assert!(path.communities.contains("65002:100"), "{path:?}");
    assert!(path.large_communities.contains("65002:1:2"), "{path:?}");
    assert!(path.ext_communities.contains("rt:65002:5"), "{path:?}");
    assert_eq!(windrosed.path("10.2.0.0/16")?.med, Some(33));

    exabgp.tell("withdraw route 10.3.0.0/16 next-hop 192.0.2.2")?;
    star.soon("the withdrawal", || {
        ensure!(openbgpd.paths("10.3.0.0/16")?.is_empty(), "still there");
        Ok(())
    })?;
    openbgpd.ask("neighbor 192.0.1.1 down")?;
    star.soon("the loss of OpenBGPD's", || {
        ensure!(exabgp.path("10.2.0.0/16").is_err(), "still there");
        Ok(())
    })
}

#[test]
fn a_lost_session_withdraws_and_returns() -> Result<()> {
    let Some(star) = Star::new(&["bird", "/usr/lib/frr/bgpd"], 2)? else {
        return Ok(());
    };
    let config = [
        ROUTER.to_owned(),
        peer("192.0.1.2", 65002, ""),
        peer("192.0.2.2", 65003, ""),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let bird = Bird::start(&star.lab, &star.spokes[0], &bird(1, 65002, "", &[]))?;
    let networks = ["10.3.0.0/16", "2001:db8:300::/48"];
    let config = frr(2, 65003, &networks, "");
    let mut frr = Frr::start(&star.lab, &star.spokes[1], &config)?;
    let there = || {
        bird.path("10.3.0.0/16")?;
        bird.path("2001:db8:300::/48").map(drop)
    };
    let gone = || {
        for prefix in networks {
            ensure!(bird.paths(prefix)?.is_empty(), "BIRD has {prefix}");
            ensure!(
                windrosed.paths(prefix)?.is_empty(),
                "windrosed has {prefix}"
            );
            ensure!(
                star.hub.kernel_route(prefix)?.is_none(),
                "the kernel has {prefix}"
            );
        }
        Ok(())
    };
    star.soon("the routes", there)?;
    frr.bgpd()?.kill()?;
    star.soon("the loss", gone)?;
    drop(frr);
    let _frr = Frr::start(&star.lab, &star.spokes[1], &config)?;
    star.soon("the return", there)
}

/// RFC 8950: IPv4 prefixes with IPv6 next hops, over links that know IPv6 alone.
#[test]
fn ipv4_goes_over_ipv6_next_hops() -> Result<()> {
    let Some(star) = Star::new(&["bird", "/usr/lib/frr/bgpd"], 2)? else {
        return Ok(());
    };
    for (n, spoke) in star.spokes.iter().enumerate() {
        star.hub.ip(&format!("-4 addr flush dev eth{}", n + 1))?;
        spoke.ip("-4 addr flush dev eth0")?;
    }
    let config = [
        ROUTER.to_owned(),
        peer("2001:db8:1::2", 65002, "extended-next-hop = true"),
        peer("2001:db8:2::2", 65003, "extended-next-hop = true"),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let config = bird(1, 65002, "", &["10.2.0.0/16"])
        .replace("local 192.0.1.2", "local 2001:db8:1::2")
        .replace("neighbor 192.0.1.1", "neighbor 2001:db8:1::1")
        .replace("ipv4 { import", "ipv4 { extended next hop; import");
    let bird = Bird::start(&star.lab, &star.spokes[0], &config)?;
    let config = frr(2, 65003, &["10.3.0.0/16"], "")
        .replace("192.0.2.1", "2001:db8:2::1")
        .replace(
            " address-family ipv4 unicast\n",
            " neighbor 2001:db8:2::1 capability extended-nexthop\n address-family ipv4 unicast\n  neighbor 2001:db8:2::1 activate\n",
        );
    let frr = Frr::start(&star.lab, &star.spokes[1], &config)?;
    let path = star.soon("BIRD's at FRR", || frr.path("10.2.0.0/16"))?;
    ensure!(path.next_hop == "2001:db8:2::1", "{path:?}");
    let path = star.soon("FRR's at BIRD", || bird.path("10.3.0.0/16"))?;
    ensure!(path.next_hop == "2001:db8:1::1", "{path:?}");
    let path = windrosed.path("10.2.0.0/16")?;
    ensure!(path.next_hop == "2001:db8:1::2", "{path:?}");
    star.soon("the kernel's route", || {
        let route = star.hub.kernel_route("10.2.0.0/16")?;
        let hop = route.and_then(|r| r.next_hops.into_iter().next());
        ensure!(hop.is_some_and(|h| h.device == "eth1"));
        Ok(())
    })
}

/// RFC 8950 and a link-local session: no address but fe80:: anywhere, and IPv4 flows all the same.
#[test]
fn a_link_local_session_carries_both_families() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 1)? else {
        return Ok(());
    };
    star.hub.address("eth1", "fe80::1/64")?;
    star.spokes[0].address("eth0", "fe80::2/64")?;
    let extended = "extended-next-hop = true";
    let config = [
        ROUTER.to_owned(),
        peer("fe80::2%eth1", 65002, extended),
        "[[originate]]\nprefix = \"10.1.0.0/16\"\n".to_owned(),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let config = bird(1, 65002, "", &["10.2.0.0/16", "2001:db8:200::/48"])
        .replace("local 192.0.1.2", "local fe80::2%'eth0'")
        .replace("neighbor 192.0.1.1", "neighbor fe80::1%'eth0'")
        .replace("ipv4 { import", "ipv4 { extended next hop; import");
    let bird = Bird::start(&star.lab, &star.spokes[0], &config)?;
    star.soon("ours at BIRD", || bird.path("10.1.0.0/16"))?;
    for prefix in ["10.2.0.0/16", "2001:db8:200::/48"] {
        star.soon(prefix, || windrosed.path(prefix))?;
        star.soon("the kernel's route", || {
            let route = star.hub.kernel_route(prefix)?;
            let hop = route.and_then(|r| r.next_hops.into_iter().next());
            ensure!(hop.as_ref().is_some_and(|h| h.device == "eth1"), "{hop:?}");
            Ok(())
        })?;
    }
    Ok(())
}

/// RFC 8212 §2: "Routes contained in an Adj-RIB-In associated with an EBGP peer SHALL NOT be considered
/// eligible in the Decision Process if no explicit Import Policy has been applied", nor exported without one.
#[test]
fn without_policy_nothing_passes() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 2)? else {
        return Ok(());
    };
    let bare = peer("192.0.1.2", 65002, "")
        .replace("import = [\"accept\"]", "")
        .replace("export = [\"accept\"]", "");
    let config = format!("{ROUTER}{bare}{}", peer("192.0.2.2", 65003, ""));
    let windrosed = star.windrosed(&config)?;
    let first = Bird::start(
        &star.lab,
        &star.spokes[0],
        &bird(1, 65002, "", &["10.2.0.0/16"]),
    )?;
    let second = Bird::start(
        &star.lab,
        &star.spokes[1],
        &bird(2, 65003, "", &["10.3.0.0/16"]),
    )?;
    star.soon("both sessions", || {
        first.established("w")?;
        second.established("w")
    })?;
    star.soon("the route of the one with policies", || {
        windrosed.path("10.3.0.0/16")
    })?;
    star.lab.throughout("silence", Duration::from_secs(1), || {
        ensure!(
            first.paths("10.3.0.0/16")?.is_empty(),
            "exported without a policy"
        );
        ensure!(
            second.paths("10.2.0.0/16")?.is_empty(),
            "imported without a policy"
        );
        Ok(())
    })
}

/// RFC 6793 §4.2.2: "a NEW BGP speaker MUST send the AS path information to the OLD BGP speaker in the
/// AS_PATH attribute with AS_TRANS and [...] the AS4_PATH attribute".
#[test]
fn a_peer_of_two_octets_hears_as_trans() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 3)? else {
        return Ok(());
    };
    let config = [
        ROUTER.to_owned(),
        peer("192.0.1.2", 4_200_000_002, ""),
        peer("192.0.2.2", 65003, ""),
        peer("192.0.3.2", 65004, ""),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let start = |n: usize, asn, options: &str, routes: &[&str]| {
        let config = bird(u16::try_from(n)?, asn, options, routes);
        Bird::start(&star.lab, &star.spokes[n - 1], &config)
    };
    let new = start(1, 4_200_000_002, "", &["10.2.0.0/16"])?;
    let old = start(2, 65003, "enable as4 off;", &["10.3.0.0/16"])?;
    let other = start(3, 65004, "", &[])?;
    let path = star.soon("the wide AS at the old speaker", || old.path("10.2.0.0/16"))?;
    assert!(
        path.as_path == [65001, 23456] || path.as_path == [65001, 4_200_000_002],
        "{path:?}"
    );
    let path = star.soon("the old speaker's", || new.path("10.3.0.0/16"))?;
    assert_eq!(path.as_path, [65001, 65003]);
    let path = star.soon("the wide AS at another", || other.path("10.2.0.0/16"))?;
    assert_eq!(path.as_path, [65001, 4_200_000_002]);
    windrosed.established("192.0.2.2")
}

#[test]
fn a_session_needs_the_same_password_on_both_sides() -> Result<()> {
    let Some(star) = Star::new(&["bird", "/usr/lib/frr/bgpd"], 2)? else {
        return Ok(());
    };
    let config = |bird_password: &str, frr_password: &str| {
        let bird = peer("192.0.1.2", 65002, bird_password);
        format!("{ROUTER}{bird}{}", peer("192.0.2.2", 65003, frr_password))
    };
    let (right, wrong) = ("password = \"compass\"", "password = \"sextant\"");
    let windrosed = star.windrosed(&config(right, right))?;
    let options = "password \"compass\";";
    let bird = Bird::start(&star.lab, &star.spokes[0], &bird(1, 65002, options, &[]))?;
    let frr = Frr::start(&star.lab, &star.spokes[1], &frr(2, 65003, &[], ""))?;
    frr.configure(&["router bgp 65003", "neighbor 192.0.2.1 password compass"])?;
    star.soon("both with passwords", || {
        windrosed.established("192.0.1.2")?;
        windrosed.established("192.0.2.2")
    })?;

    windrosed.reload(&config("", wrong))?;
    star.soon("the sessions to end", || {
        is_down(&windrosed, "192.0.1.2")?;
        is_down(&windrosed, "192.0.2.2")
    })?;
    stays_down(&star, &windrosed)?;

    bird.configure(&crate::star::bird(1, 65002, "", &[]))?;
    frr.configure(&["router bgp 65003", "neighbor 192.0.2.1 password sextant"])?;
    star.soon("none and another password, on both sides", || {
        windrosed.established("192.0.1.2")?;
        windrosed.established("192.0.2.2")
    })
}

fn stays_down(star: &Star, windrosed: &Windrosed) -> Result<()> {
    let span = Duration::from_secs(4);
    star.lab.throughout("no session", span, || {
        is_down(windrosed, "192.0.1.2")?;
        is_down(windrosed, "192.0.2.2")
    })
}
