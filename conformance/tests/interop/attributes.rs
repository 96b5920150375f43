//! What one peer says of a route, all others hear: each attribute, from each peer to each peer.

use anyhow::{Result, ensure};
use conformance::lab::{Bird, Frr, GoBgp, Path};

use crate::star::{ROUTER, Star, bird_with, frr, gobgp, peer};

const PEERS: [&str; 3] = ["bird", "/usr/lib/frr/bgpd", "gobgpd"];

const BIRD_EXPORT: &str = "bgp_med = 12; bgp_origin = ORIGIN_EGP; bgp_path.prepend(65099); \
    bgp_community.add((65002,100)); bgp_community.add((65002,101)); \
    bgp_large_community.add((65002,1,2)); bgp_ext_community.add((rt,65002,5)); accept;";

const FRR_OUT: &str = " set origin incomplete
 set metric 13
 set as-path prepend 65099
 set community 65003:100 65003:101
 set large-community 65003:1:2
 set extcommunity rt 65003:5
 set aggregator as 65003 192.0.2.2
 set atomic-aggregate";

const GOBGP_ATTRIBUTES: &str = "origin igp med 14 aspath 65099 community 65004:100,65004:101 \
    large-community 65004:1:2 rt 65004:5 aggregator 65004:192.0.3.2";

/// What a peer of AS `asn` said, as it arrives at another, through AS 65001.
fn relayed(asn: u32, origin: &str, next_hop: &str) -> Path {
    let set = |words: &[String]| words.iter().cloned().collect();
    Path {
        next_hop: next_hop.to_owned(),
        as_path: vec![65001, asn, 65099],
        origin: origin.to_owned(),
        communities: set(&[format!("{asn}:100"), format!("{asn}:101")]),
        large_communities: set(&[format!("{asn}:1:2")]),
        ext_communities: set(&[format!("rt:{asn}:5")]),
        ..Path::default()
    }
}

/// Without what only some peers tell, and what a peer computes itself.
fn comparable(path: &Path) -> Path {
    Path {
        local_pref: None,
        aggregator: None,
        atomic_aggregate: false,
        ..path.clone()
    }
}

#[test]
fn each_attribute_travels_from_each_peer_to_each_peer() -> Result<()> {
    let Some(star) = Star::new(&PEERS, 3)? else {
        return Ok(());
    };
    let config = [
        ROUTER.to_owned(),
        peer("192.0.1.2", 65002, ""),
        peer("192.0.2.2", 65003, ""),
        peer("192.0.3.2", 65004, ""),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let routes = ["10.2.0.0/16", "2001:db8:200::/48"];
    let bird = Bird::start(
        &star.lab,
        &star.spokes[0],
        &bird_with(1, 65002, "", &routes, BIRD_EXPORT),
    )?;
    let networks = ["10.3.0.0/16", "2001:db8:300::/48"];
    let frr = Frr::start(
        &star.lab,
        &star.spokes[1],
        &frr(2, 65003, &networks, FRR_OUT),
    )?;
    let gobgp = GoBgp::start(&star.lab, &star.spokes[2], &gobgp(3, 65004))?;
    gobgp.announce("10.4.0.0/16", GOBGP_ATTRIBUTES)?;
    gobgp.announce(
        "2001:db8:400::/48",
        &format!("{GOBGP_ATTRIBUTES} nexthop 2001:db8:3::2"),
    )?;
    let from = [
        (65002, "egp", 12, ["10.2.0.0/16", "2001:db8:200::/48"]),
        (
            65003,
            "incomplete",
            13,
            ["10.3.0.0/16", "2001:db8:300::/48"],
        ),
        (65004, "igp", 14, ["10.4.0.0/16", "2001:db8:400::/48"]),
    ];
    for (asn, origin, med, prefixes) in from {
        for prefix in prefixes {
            let here = star.soon(prefix, || windrosed.path(prefix))?;
            // §5.1.4: "received from a neighboring AS MUST NOT be propagated to other neighboring ASes".
            assert_eq!(here.med, Some(med), "{prefix} at windrosed");
            assert_eq!(here.as_path, [asn, 65099], "{prefix} at windrosed");
            let v6 = prefix.contains(':');
            let hub = |n: u16| {
                if v6 {
                    format!("2001:db8:{n}::1")
                } else {
                    format!("192.0.{n}.1")
                }
            };
            if asn != 65002 {
                let path = star.soon(&format!("{prefix} at BIRD"), || bird.path(prefix))?;
                assert_eq!(
                    comparable(&path),
                    relayed(asn, origin, &hub(1)),
                    "{prefix} at BIRD"
                );
            }
            if asn != 65003 {
                let path = star.soon(&format!("{prefix} at FRR"), || frr.path(prefix))?;
                assert_eq!(
                    comparable(&path),
                    relayed(asn, origin, &hub(2)),
                    "{prefix} at FRR"
                );
            }
            if asn != 65004 {
                let path = star.soon(&format!("{prefix} at GoBGP"), || gobgp.path(prefix))?;
                assert_eq!(
                    comparable(&path),
                    relayed(asn, origin, &hub(3)),
                    "{prefix} at GoBGP"
                );
            }
        }
    }
    // §5.1.6, §5.1.7: both travel on unchanged, where the other end can tell.
    let from_frr = bird.path("10.3.0.0/16")?;
    assert_eq!(from_frr.aggregator.as_deref(), Some("65003 192.0.2.2"));
    assert!(from_frr.atomic_aggregate);
    let from_gobgp = frr.path("10.4.0.0/16")?;
    assert_eq!(from_gobgp.aggregator.as_deref(), Some("65004 192.0.3.2"));

    gobgp.withdraw("10.4.0.0/16")?;
    gobgp.withdraw("2001:db8:400::/48")?;
    star.soon("the withdrawals", || {
        for prefix in ["10.4.0.0/16", "2001:db8:400::/48"] {
            ensure!(
                windrosed.paths(prefix)?.is_empty(),
                "windrosed has {prefix}"
            );
            ensure!(bird.paths(prefix)?.is_empty(), "BIRD has {prefix}");
            ensure!(frr.paths(prefix)?.is_empty(), "FRR has {prefix}");
        }
        Ok(())
    })
}

/// §5.1.5: "A BGP speaker SHALL include [LOCAL_PREF] in all UPDATE messages that a given BGP speaker sends
/// to other internal peers."
#[test]
fn local_pref_travels_inside_the_as_only() -> Result<()> {
    let Some(star) = Star::new(&PEERS, 3)? else {
        return Ok(());
    };
    let originate = r#"
[[originate]]
prefix = "10.1.0.0/16"
med = 10
local-pref = 200
communities = ["65001:100"]
large-communities = ["65001:1:2"]
ext-communities = ["rt:65001:5"]
[[originate]]
prefix = "10.11.0.0/16"
"#;
    let config = [
        ROUTER.to_owned(),
        originate.to_owned(),
        peer("192.0.1.2", 65001, ""),
        peer("192.0.2.2", 65001, ""),
        peer("192.0.3.2", 65004, ""),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let export = "bgp_local_pref = 250; \
        if net = 10.22.0.0/16 then bgp_community.add((65535,65281)); accept;";
    let routes = ["10.22.0.0/16", "10.2.0.0/16"];
    let config = bird_with(1, 65001, "", &routes, export);
    let bird = Bird::start(&star.lab, &star.spokes[0], &config)?;
    let frr = Frr::start(&star.lab, &star.spokes[1], &frr(2, 65001, &[], ""))?;
    let gobgp = GoBgp::start(&star.lab, &star.spokes[2], &gobgp(3, 65004))?;

    let heard = star.soon("BIRD's route", || windrosed.path("10.2.0.0/16"))?;
    assert_eq!(heard.local_pref, Some(250));
    assert_eq!(heard.as_path, [0u32; 0]);
    let out = star.soon("it at GoBGP", || gobgp.path("10.2.0.0/16"))?;
    assert_eq!(out.local_pref, None);
    assert_eq!(
        (out.next_hop.as_str(), out.as_path.as_slice()),
        ("192.0.3.1", [65001].as_slice())
    );
    for (who, path) in [
        (
            "BIRD",
            star.soon("ours at BIRD", || bird.path("10.1.0.0/16"))?,
        ),
        ("FRR", star.soon("ours at FRR", || frr.path("10.1.0.0/16"))?),
    ] {
        assert_eq!((path.med, path.local_pref), (Some(10), Some(200)), "{who}");
        assert!(path.communities.contains("65001:100"), "{who} {path:?}");
        assert!(
            path.large_communities.contains("65001:1:2"),
            "{who} {path:?}"
        );
        assert!(
            path.ext_communities.contains("rt:65001:5"),
            "{who} {path:?}"
        );
        assert_eq!(
            (path.origin.as_str(), path.as_path.len()),
            ("igp", 0),
            "{who}"
        );
    }
    star.soon("the other of ours at GoBGP", || gobgp.path("10.11.0.0/16"))?;
    // RFC 1997: "All routes received carrying [NO_EXPORT] MUST NOT be advertised outside a BGP
    // confederation boundary".
    let kept = star.soon("the route to keep", || windrosed.path("10.22.0.0/16"))?;
    assert!(kept.communities.contains("no-export"), "{kept:?}");
    assert!(gobgp.paths("10.22.0.0/16")?.is_empty());
    // §9.2: "a route received from an internal peer [shall not be re-distributed] to other internal peers".
    assert!(frr.paths("10.2.0.0/16")?.is_empty());
    Ok(())
}
