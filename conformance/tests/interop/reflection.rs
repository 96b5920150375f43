//! Route reflection (RFC 4456) and a route server (RFC 7947): what clients and non-clients of real daemons hold.

use std::time::Duration;

use anyhow::{Result, ensure};
use conformance::lab::{Bird, ExaBgp, Frr, GoBgp, OpenBgpd, Path, Windrosed};

use crate::star::{ROUTER, Star, bird, bird_with, exabgp, exchange, frr, gobgp, openbgpd, peer};

const FRR: &str = "/usr/lib/frr/bgpd";
const ALL: [&str; 5] = ["bird", FRR, "gobgpd", OpenBgpd::PROGRAM, "exabgp"];

/// The hub as a reflector of the cluster `id`.
fn reflector(id: &str, more: &str) -> String {
    let line = "router-id = \"192.0.1.1\"\n";
    ROUTER.replace(line, &format!("{line}cluster-id = \"{id}\"\n{more}\n"))
}

/// An internal peer, a client or not.
fn internal(n: u16, client: bool) -> String {
    peer(
        &format!("192.0.{n}.2"),
        65001,
        &format!("rr-client = {client}"),
    )
}

/// Every spoke reaches the others' next hops through the hub.
fn defaults(star: &Star) -> Result<()> {
    for (n, spoke) in (1..).zip(&star.spokes) {
        spoke.ip(&format!("route add default via 192.0.{n}.1"))?;
    }
    Ok(())
}

/// Off the way of the packets: next hops are not looked up.
const ASIDE: &str = "[fib]\ninstall = false\n";

/// Succeeds when a path was reflected: who brought it into the AS, through which clusters, and else as that one told it.
fn reflected(path: &Path, originator: &str, clusters: &[&str]) -> Result<()> {
    ensure!(
        path.originator_id.as_deref() == Some(originator),
        "{path:?}"
    );
    ensure!(path.cluster_list == clusters, "{path:?}");
    ensure!(path.as_path.is_empty(), "{path:?}");
    Ok(())
}

/// The five daemons on links 1 to 5, each with a route of its own: 10.N.0.0/16.
struct Five {
    bird: Bird,
    frr: Frr,
    gobgp: GoBgp,
    openbgpd: OpenBgpd,
    exabgp: ExaBgp,
}

impl Five {
    fn start(star: &Star) -> Result<Self> {
        let lab = &star.lab;
        let five = Self {
            bird: Bird::start(lab, &star.spokes[0], &bird(1, 65001, "", &[&own(1)]))?,
            frr: Frr::start(lab, &star.spokes[1], &frr(2, 65001, &[&own(2)], ""))?,
            gobgp: GoBgp::start(lab, &star.spokes[2], &gobgp(3, 65001))?,
            openbgpd: OpenBgpd::start(
                lab,
                &star.spokes[3],
                &openbgpd(4, 65001, &format!("network {}", own(4)), ""),
            )?,
            exabgp: ExaBgp::start(lab, &star.spokes[4], "192.0.5.2", &exabgp(5, 65001, ""))?,
        };
        five.gobgp.announce(&own(3), "nexthop 192.0.3.2")?;
        let route = format!("announce route {} next-hop 192.0.5.2", own(5));
        five.exabgp.tell(&route)?;
        Ok(five)
    }

    /// What each holds of the route of `n`; none of its own.
    fn hold(&self, n: u16) -> Result<Vec<(u16, Option<Path>)>> {
        let prefix = own(n);
        let all = [
            (1, self.bird.paths(&prefix)?.into_iter().next()),
            (2, self.frr.paths(&prefix)?.into_iter().next()),
            (3, self.gobgp.paths(&prefix)?.into_iter().next()),
            (4, self.openbgpd.paths(&prefix)?.into_iter().next()),
            (5, self.exabgp.path(&prefix).ok()),
        ];
        Ok(all.into_iter().filter(|(who, _)| *who != n).collect())
    }
}

fn own(n: u16) -> String {
    format!("10.{n}.0.0/16")
}

/// Succeeds when of each route exactly those hold it whom `hears` names, as it was reflected.
fn each_holds(five: &Five, cluster: &str, hears: impl Fn(u16, u16) -> bool) -> Result<()> {
    for n in 1..=5 {
        for (who, path) in five.hold(n)? {
            let is_told = hears(n, who);
            ensure!(path.is_some() == is_told, "{who} of {n}: {path:?}");
            if let Some(path) = path {
                reflected(&path, &format!("192.0.{n}.2"), &[cluster])?;
                ensure!(path.next_hop == format!("192.0.{n}.2"), "{who}: {path:?}");
            }
        }
    }
    Ok(())
}

/// §6: what a client told goes to all, what a non-client told to clients alone. §8: ORIGINATOR_ID and CLUSTER_LIST.
#[test]
fn clients_hear_all_and_non_clients_hear_clients() -> Result<()> {
    let Some(star) = Star::new(&ALL, 5)? else {
        return Ok(());
    };
    defaults(&star)?;
    // FRR and OpenBGPD are no clients.
    let is_client = |n: u16| n != 2 && n != 4;
    let config = |more: &str| {
        let peers: String = (1..=5).map(|n| internal(n, is_client(n))).collect();
        format!("{}{peers}", reflector("10.0.0.99", more))
    };
    let windrosed = star.windrosed(&config(""))?;
    let five = Five::start(&star)?;
    let hears = |n, who| is_client(n) || is_client(who);
    star.soon("what is reflected", || {
        each_holds(&five, "10.0.0.99", hears)
    })?;

    // Clients that have sessions with each other need none of it. No session is disturbed.
    windrosed.reload(&config("client-to-client = false"))?;
    let hears = |n, who| is_client(n) != is_client(who);
    star.soon("no client's at a client", || {
        each_holds(&five, "10.0.0.99", hears)
    })?;
    for n in 1..=5 {
        let row = windrosed.peer(&format!("192.0.{n}.2"))?;
        ensure!(row["established_count"] == 1, "{row}");
    }
    Ok(())
}

/// A second windrosed, on the host of link 1, with a client of its own on the link between it and `spoke`.
fn second(star: &Star, cluster: &str, client: bool) -> Result<Windrosed> {
    let (first, leaf) = (&star.spokes[0], &star.spokes[2]);
    star.lab.link((first, "eth1"), (leaf, "eth1"))?;
    first.address("eth1", "198.51.100.1/24")?;
    leaf.address("eth1", "198.51.100.2/24")?;
    let up = peer("192.0.1.1", 65001, &format!("rr-client = {client}"));
    let down = peer("198.51.100.2", 65001, "rr-client = true");
    let router = reflector(cluster, "").replace("192.0.1.1", "192.0.1.2");
    Windrosed::start(&star.lab, first, &format!("{router}{up}{down}{ASIDE}"))
}

/// BIRD with sessions to both reflectors.
fn leaf(n: u16, routes: &[&str]) -> String {
    let config = bird(n, 65001, "", routes);
    let first = config.find("protocol bgp w").unwrap_or_default();
    let again = config[first..]
        .replace("protocol bgp w", "protocol bgp v")
        .replace(&format!("192.0.{n}.2 as"), "198.51.100.2 as")
        .replace(&format!("neighbor 192.0.{n}.1"), "neighbor 198.51.100.1");
    format!("{config}{again}")
}

/// §7, §8: of two reflectors of one cluster each refuses what the other reflected; a client of both has it from both.
#[test]
fn two_reflectors_of_one_cluster_serve_the_same_clients() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 3)? else {
        return Ok(());
    };
    let one = "10.0.0.99";
    let peers = [internal(1, false), internal(2, true), internal(3, true)].concat();
    let first = star.windrosed(&format!("{}{peers}{ASIDE}", reflector(one, "")))?;
    let second = second(&star, one, false)?;
    let leaf = Bird::start(&star.lab, &star.spokes[2], &leaf(3, &[&own(3)]))?;
    let frr = Frr::start(&star.lab, &star.spokes[1], &frr(2, 65001, &[&own(2)], ""))?;
    let path = star.soon("the leaf's at FRR", || frr.path(&own(3)))?;
    reflected(&path, "192.0.3.2", &[one])?;
    // FRR has no session with the second, which has its route from the first, and does not take it.
    star.soon("FRR's at the leaf, once", || {
        let paths = leaf.paths(&own(2))?;
        ensure!(paths.len() == 1, "{paths:?}");
        reflected(&paths[0], "192.0.2.2", &[one])
    })?;
    let why = |windrosed: &Windrosed, prefix: &str| -> Result<Vec<String>> {
        let rows = windrosed.rows(&format!("route list {prefix}"))?;
        let paths = rows
            .iter()
            .filter_map(|row| row["paths"].as_array())
            .flatten();
        let refused = paths.filter(|path| path["valid"] == false);
        Ok(refused.map(|path| path["reason"].to_string()).collect())
    };
    star.soon("the refusal", || {
        for (windrosed, prefix) in [(&second, own(2)), (&second, own(3)), (&first, own(3))] {
            let why = why(windrosed, &prefix)?;
            ensure!(why.len() == 1 && why[0].contains("CLUSTER_LIST"), "{why:?}");
        }
        Ok(())
    })
}

/// §7, §8: through two clusters, the list has both, the last one first.
#[test]
fn two_clusters_are_both_in_the_list() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 3)? else {
        return Ok(());
    };
    let (one, two) = ("10.0.0.99", "10.0.0.98");
    let peers = [internal(1, false), internal(2, true)].concat();
    let first = star.windrosed(&format!("{}{peers}{ASIDE}", reflector(one, "")))?;
    let second = second(&star, two, false)?;
    let leaf = Bird::start(&star.lab, &star.spokes[2], &leaf(3, &[&own(3)]))?;
    let frr = Frr::start(&star.lab, &star.spokes[1], &frr(2, 65001, &[&own(2)], ""))?;
    let path = star.soon("the leaf's at FRR", || frr.path(&own(3)))?;
    reflected(&path, "192.0.3.2", &[one, two])?;
    let path = star.soon("FRR's at the leaf", || leaf.path(&own(2)))?;
    reflected(&path, "192.0.2.2", &[two, one])?;
    // §8: what comes back to where it came from is refused, and the leaf's own is not told to it.
    ensure!(
        leaf.paths(&own(3))?
            .iter()
            .all(|path| path.originator_id.is_none())
    );
    leaf.ask("disable v")?;
    star.soon("the loss at FRR", || {
        ensure!(frr.paths(&own(3))?.is_empty(), "still there");
        Ok(())
    })?;
    drop((first, second));
    Ok(())
}

/// §2.2: a route server is in no path; its clients see each other's routes as these were told. §2.3: none is hidden
/// from a client by what is chosen for others.
#[test]
fn a_route_server_is_transparent_and_hides_nothing() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR, OpenBgpd::PROGRAM], 4)? else {
        return Ok(());
    };
    exchange(&star)?;
    // OpenBGPD is told nothing that BIRD marked.
    let policy = r#"
[[policy]]
name = "not-marked"
default = "accept"
[[policy.rule]]
match = { communities = ["65002:666"] }
then = "reject"
"#;
    let client = |n: u32, more: &str| {
        peer(
            &format!("192.0.{n}.2"),
            65001 + n,
            &format!("rs-client = true\n{more}"),
        )
    };
    let picky = client(3, "").replace("export = [\"accept\"]", "export = [\"not-marked\"]");
    let config = format!(
        "{ROUTER}{policy}{}{}{picky}{}",
        client(1, ""),
        client(2, ""),
        client(4, "")
    );
    let windrosed = star.windrosed(&config)?;
    let marks =
        "bgp_med = 77; bgp_community.add((65002,666)); bgp_community.add((65535,65281)); accept;";
    let first = Bird::start(
        &star.lab,
        &star.spokes[0],
        &bird_with(1, 65002, "", &["10.9.0.0/16", "10.2.0.0/16"], marks),
    )?;
    // Both have 10.9.0.0/16, and FRR's is the longer way.
    let config = frr(2, 65003, &["10.9.0.0/16"], " set as-path prepend 65003");
    let second = Frr::start(&star.lab, &star.spokes[1], &config)?;
    let config = openbgpd(3, 65004, "", "enforce neighbor-as no");
    let third = OpenBgpd::start(&star.lab, &star.spokes[2], &config)?;
    let fourth = Bird::start(&star.lab, &star.spokes[3], &bird(4, 65005, "", &[]))?;

    let path = star.soon("the best at BIRD", || fourth.path("10.9.0.0/16"))?;
    ensure!(
        path.as_path == [65002] && path.next_hop == "192.0.1.2",
        "{path:?}"
    );
    ensure!(path.med == Some(77), "{path:?}");
    // §2.2.4: what clients say to each other by communities is not for the route server.
    ensure!(path.communities.contains("no-export"), "{path:?}");
    // §2.3: the one with a policy of its own hears the other.
    star.soon("the second best at OpenBGPD", || {
        let path = third.path("10.9.0.0/16")?;
        ensure!(path.as_path == [65003, 65003], "{path:?}");
        ensure!(path.next_hop == "192.0.2.2", "{path:?}");
        ensure!(third.paths("10.2.0.0/16")?.is_empty(), "marked, and told");
        Ok(())
    })?;
    // So does the one who told the best.
    star.soon("FRR's at the first BIRD", || {
        let paths = first.paths("10.9.0.0/16")?;
        ensure!(
            paths.iter().any(|path| path.as_path == [65003, 65003]),
            "{paths:?}"
        );
        Ok(())
    })?;
    star.soon("BIRD's at FRR", || {
        let paths = second.paths("10.9.0.0/16")?;
        ensure!(
            paths.iter().any(|path| path.as_path == [65002]),
            "{paths:?}"
        );
        Ok(())
    })?;
    let told = |n: u32| -> Result<Option<u64>> {
        let rows = windrosed.rows(&format!("route list 10.9.0.0/16 --advertised 192.0.{n}.2"))?;
        ensure!(rows.len() == 1, "{n}: {rows:?}");
        Ok(windrosed.peer(&format!("192.0.{n}.2"))?["advertised"].as_u64())
    };
    ensure!(
        told(1)? == Some(1) && told(2)? == Some(2) && told(3)? == Some(1) && told(4)? == Some(2)
    );

    // The best one goes: all hear the other, and its own teller nothing.
    first.configure(&bird(1, 65002, "", &[]))?;
    star.soon("FRR's at all", || {
        for paths in [fourth.paths("10.9.0.0/16")?, third.paths("10.9.0.0/16")?] {
            ensure!(
                paths.len() == 1 && paths[0].as_path == [65003, 65003],
                "{paths:?}"
            );
        }
        let paths = second.paths("10.9.0.0/16")?;
        ensure!(
            paths.iter().all(|path| path.as_path.is_empty()),
            "{paths:?}"
        );
        Ok(())
    })?;
    star.lab.throughout("sessions", Duration::from_secs(1), || {
        (1..=4).try_for_each(|n| windrosed.established(&format!("192.0.{n}.2")))
    })
}
