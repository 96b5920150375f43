//! BMP: what a station is told of us, judged by the tables, by the peers and by tshark; and what others tell one,
//! read by the reader that judges us.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bgp_core::Family;
use bgp_core::bmp::{Rib, Statistic};
use conformance::lab::{Bird, BmpStation, Frr, GoBgp};
use conformance::station::Picture;

use crate::star::{ROUTER, Star, bird, frr, gobgp, peer};

const STATION: &str = r#"
[[bmp]]
address = "127.0.0.1"
system-name = "hub"
ribs = ["adj-rib-in-pre", "adj-rib-in-post", "adj-rib-out", "loc-rib"]
statistics = "2s"
connect-retry = "1s"
connect-retry-max = "2s"
"#;
/// Nothing of 10.66.0.0/16 is wanted, the rest is preferred.
const POLICY: &str = r#"
[[policy]]
name = "some"
default = "accept"
[[policy.rule]]
match = { prefixes = ["10.66.0.0/16 le 32"] }
then = "reject"
[[policy.rule]]
set = { local-pref = 200 }
then = "accept"
"#;

/// The prefixes of a table of a peer, or of the Loc-RIB.
fn prefixes(picture: &Picture, peer: Option<&str>, rib: Rib) -> Vec<String> {
    let known = match peer {
        Some(peer) => picture.peers.get(&peer.parse().unwrap()),
        None => picture.loc_rib.as_ref(),
    };
    let routes = known.map(|known| known.routes(rib)).unwrap_or_default();
    routes
        .keys()
        .map(|(prefix, _)| prefix.to_string())
        .collect()
}

#[test]
fn a_station_sees_all_four_tables_as_they_are_and_tshark_reads_every_message() -> Result<()> {
    let Some(star) = Star::new(&["bird", "/usr/lib/frr/bgpd", "tshark"], 2)? else {
        return Ok(());
    };
    let import =
        peer("192.0.1.2", 65002, "").replace("import = [\"accept\"]", "import = [\"some\"]");
    let frrs = peer("192.0.2.2", 65003, "");
    let own = "[[originate]]\nprefix = \"10.100.0.0/16\"\n[[originate]]\nprefix = \"2001:db8:100::/48\"\n";
    let config = format!("{ROUTER}{STATION}{POLICY}{import}{frrs}{own}");
    let station = BmpStation::start(&star.hub)?;
    let windrosed = star.windrosed(&config)?;
    let routes = ["10.1.0.0/16", "10.66.1.0/24", "2001:db8:1000::/40"];
    let bird = Bird::start(&star.lab, &star.spokes[0], &bird(1, 65002, "", &routes))?;
    let theirs = frr(2, 65003, &["10.2.0.0/16"], " set metric 5");
    let frr = Frr::start(&star.lab, &star.spokes[1], &theirs)?;
    star.soon("the sessions", || {
        bird.established("w")?;
        frr.established("192.0.2.1")
    })?;
    let expected = |rib, peer: Option<&str>, expected: &[&str]| {
        star.soon(&format!("{rib:?} of {peer:?}"), || {
            let found = prefixes(&station.picture()?, peer, rib);
            ensure!(found == expected, "{found:?}");
            Ok(())
        })
    };
    let (of_bird, of_frr) = (Some("192.0.1.2"), Some("192.0.2.2"));
    let kept = ["10.1.0.0/16", "2001:db8:1000::/40"];
    expected(Rib::AdjRibInPre, of_bird, &routes)?;
    expected(Rib::AdjRibInPost, of_bird, &kept)?;
    let own = ["10.100.0.0/16", "2001:db8:100::/48"];
    // FRR tells us our own routes, too: they are heard, and pass no further.
    let heard = [kept[0], "10.2.0.0/16", own[0], own[1], kept[1]];
    expected(Rib::AdjRibInPre, of_frr, &heard)?;
    expected(Rib::AdjRibInPost, of_frr, &["10.2.0.0/16"])?;
    expected(
        Rib::AdjRibOutPost,
        of_bird,
        &["10.2.0.0/16", own[0], own[1]],
    )?;
    expected(
        Rib::AdjRibOutPost,
        of_frr,
        &[kept[0], own[0], own[1], kept[1]],
    )?;
    expected(
        Rib::LocRib,
        None,
        &[kept[0], "10.2.0.0/16", own[0], own[1], kept[1]],
    )?;

    let picture = station.picture()?;
    ensure!(
        picture
            .system
            .as_ref()
            .is_some_and(|(_, name)| name == "hub")
    );
    let known = &picture.peers[&"192.0.1.2".parse()?];
    let key = |prefix: &str| (prefix.parse().unwrap(), 0);
    let route = |rib, prefix| known.tables[&rib].routes[&key(prefix)].clone();
    let (pre, post) = (
        route(Rib::AdjRibInPre, "10.1.0.0/16"),
        route(Rib::AdjRibInPost, "10.1.0.0/16"),
    );
    ensure!(
        pre.local_pref.is_none() && post.local_pref == Some(200),
        "{pre:?} {post:?}"
    );
    // What we say that BIRD is told is what BIRD says that it heard.
    let told = route(Rib::AdjRibOutPost, "10.2.0.0/16");
    let heard = bird.path("10.2.0.0/16")?;
    ensure!(
        told.next_hop.addr().to_string() == heard.next_hop,
        "{told:?} {heard:?}"
    );
    ensure!(
        told.as_path.asns().collect::<Vec<_>>() == heard.as_path,
        "{told:?} {heard:?}"
    );
    for rib in [Rib::AdjRibInPre, Rib::AdjRibInPost, Rib::AdjRibOutPost] {
        ensure!(known.is_complete(rib, Family::Ipv4Unicast), "{rib:?}");
        ensure!(known.is_complete(rib, Family::Ipv6Unicast), "{rib:?}");
    }
    star.soon("numbers", || {
        let picture = station.picture()?;
        let known = &picture.peers[&"192.0.1.2".parse()?];
        let counts = &known.statistics;
        ensure!(counts.contains(&Statistic::Gauge(7, 3)), "{counts:?}");
        ensure!(counts.contains(&Statistic::Gauge(15, 3)), "{counts:?}");
        Ok(())
    })?;

    // BIRD goes, and comes back.
    drop(bird);
    star.soon("its Peer Down", || {
        let picture = station.picture()?;
        ensure!(!picture.peers.contains_key(&"192.0.1.2".parse()?));
        let (_, reason) = picture.downs.last().context("no Peer Down")?;
        ensure!([3, 4].contains(reason), "{reason}");
        Ok(())
    })?;
    expected(Rib::LocRib, None, &["10.2.0.0/16", own[0], own[1]])?;
    let status = windrosed.ask("status")?;
    ensure!(status.contains("127.0.0.1:11019 up"), "{status}");
    // All that was ever said is good, in the eyes of others.
    let types = station.dissected(star.hub.dir())?;
    ensure!((0..=4).all(|kind| types.contains(&kind)), "{types:?}");
    drop(windrosed);
    Ok(())
}

#[test]
fn a_station_that_comes_back_is_told_all_again_and_a_deaf_one_costs_peers_nothing() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 1)? else {
        return Ok(());
    };
    let config = format!("{ROUTER}{STATION}{}", peer("192.0.1.2", 65002, ""));
    let windrosed = star.windrosed(&config)?;
    let routes: Vec<String> = (0..200).map(|n| format!("10.{n}.0.0/16")).collect();
    let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
    let bird = Bird::start(&star.lab, &star.spokes[0], &bird(1, 65002, "", &routes))?;
    star.soon("the session", || bird.established("w"))?;
    for deaf in [false, true, false] {
        let station = BmpStation::start(&star.hub)?;
        station.deaf.store(deaf, Ordering::Relaxed);
        if deaf {
            star.soon("the call", || {
                let status = windrosed.ask("status")?;
                ensure!(status.contains("11019 up"), "{status}");
                Ok(())
            })?;
            // Nobody else waits for it.
            windrosed.ask("route inject 198.51.100.0/24 --next-hop 192.0.1.2 --owner lab")?;
            star.soon("the route", || bird.path("198.51.100.0/24"))?;
            windrosed.ask("route withdraw 198.51.100.0/24 --owner lab")?;
        } else {
            star.soon("all routes", || {
                let picture = station.picture()?;
                let found = prefixes(&picture, Some("192.0.1.2"), Rib::AdjRibInPost);
                ensure!(found.len() == 200, "{}", found.len());
                Ok(())
            })?;
        }
        drop(station);
        star.soon("its end", || {
            let status = windrosed.ask("status")?;
            ensure!(status.contains("11019 down"), "{status}");
            Ok(())
        })?;
    }
    Ok(())
}

/// The same reader makes sense of what GoBGP and FRR tell: so it is no echo of our own writer.
#[test]
fn what_gobgp_and_frr_tell_their_stations_is_read_too() -> Result<()> {
    let Some(star) = Star::new(&["gobgpd", "gobgp", "/usr/lib/frr/bgpd"], 2)? else {
        return Ok(());
    };
    let own = "[[originate]]\nprefix = \"10.100.0.0/16\"\nmed = 7\n[[originate]]\nprefix = \"2001:db8:100::/48\"\n";
    let peers = peer("192.0.1.2", 65002, "") + &peer("192.0.2.2", 65003, "");
    let gobgps = BmpStation::start(&star.spokes[0])?;
    let frrs = BmpStation::start(&star.spokes[1])?;
    let _windrosed = star.windrosed(&format!("{ROUTER}{peers}{own}"))?;
    let station = "[[bmp-servers]]\n  [bmp-servers.config]\n    address = \"127.0.0.1\"\n    port = 11019\n    route-monitoring-policy = \"both\"\n    statistics-timeout = 15\n";
    let gobgp = GoBgp::start(&star.lab, &star.spokes[0], &(gobgp(1, 65002) + station))?;
    let station = " bmp targets lab\n  bmp connect 127.0.0.1 port 11019 min-retry 100 max-retry 500\n  bmp monitor ipv4 unicast pre-policy\n  bmp monitor ipv4 unicast post-policy\n  bmp monitor ipv6 unicast post-policy\n exit\n";
    let config = frr(2, 65003, &["10.2.0.0/16"], "").replacen(
        " address-family ipv4 unicast\n",
        &format!("{station} address-family ipv4 unicast\n"),
        1,
    );
    let frr = Frr::start(&star.lab, &star.spokes[1], &config)?;
    star.soon("the sessions", || {
        gobgp.established("192.0.1.1")?;
        frr.established("192.0.2.1")
    })?;
    for (who, station, hub) in [("GoBGP", &gobgps, "192.0.1.1"), ("FRR", &frrs, "192.0.2.1")] {
        // GoBGP reports no sooner than after 15 seconds.
        let limit = Duration::from_secs(40);
        let what = format!("{who}'s picture");
        star.lab.eventually(&what, limit, || {
            let picture = station.lenient_picture()?;
            let known = picture.peers.get(&hub.parse()?).context("no peer")?;
            ensure!(known.header.asn == 65001, "{known:?}");
            ensure!(known.sent.asn == known.received.asn + if who == "FRR" { 2 } else { 1 });
            // GoBGP tells its station no route that came before the station did, FRR 8.4 none at all here: what both
            // tell in any case is who is up, and what both ends said in their OPENs.
            if who == "GoBGP" {
                ensure!(
                    known.statistics.contains(&Statistic::Gauge(7, 3)),
                    "{known:?}"
                );
            }
            Ok(())
        })?;
    }
    Ok(())
}
