//! Several paths a prefix (RFC 7911), to and from daemons that have it: what they hold is what is asked.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use conformance::lab::{Bird, Frr, GoBgp, OpenBgpd, Path, Windrosed};

use crate::star::{ROUTER, Star, bird, bird_with, frr, gobgp, openbgpd, peer};

const FRR: &str = "/usr/lib/frr/bgpd";
/// The prefix of each family that has several paths.
const PREFIXES: [&str; 2] = ["10.9.0.0/16", "2001:db8:900::/48"];

/// BIRD takes and tells several paths.
fn with_add_path(bird: &str) -> String {
    let both = |text: &str, family: &str| {
        let (old, new) = (
            format!(" {family} {{ import"),
            format!(" {family} {{ add paths on; import"),
        );
        text.replace(&old, &new)
    };
    both(&both(bird, "ipv4"), "ipv6")
}

/// GoBGP takes several paths, and tells up to eight.
fn with_add_path_gobgp(gobgp: &str) -> String {
    let name = |family| format!("      afi-safi-name = \"{family}-unicast\"\n");
    let add =
        "    [neighbors.afi-safis.add-paths.config]\n      receive = true\n      send-max = 8\n";
    let mut text = gobgp.to_owned();
    for family in ["ipv4", "ipv6"] {
        text = text.replace(&name(family), &format!("{}{add}", name(family)));
    }
    text
}

/// FRR on link `n` tells all paths; it takes several anyway.
fn with_add_path_frr(frr: &str, n: u16) -> String {
    let name = format!("  neighbor 192.0.{n}.1 route-map OUT out\n");
    frr.replace(
        &name,
        &format!("{name}  neighbor 192.0.{n}.1 addpath-tx-all-paths\n"),
    )
}

/// The AS_PATHs that are there.
fn ways(paths: &[Path]) -> BTreeSet<Vec<u32>> {
    paths.iter().map(|path| path.as_path.clone()).collect()
}

/// Succeeds when `paths` are as many as `expected`, with these AS_PATHs.
fn are(who: &str, paths: &[Path], expected: &[&[u32]]) -> Result<()> {
    let expected: BTreeSet<Vec<u32>> = expected.iter().map(|way| way.to_vec()).collect();
    ensure!(
        paths.len() == expected.len() && ways(paths) == expected,
        "{who} has {paths:?}"
    );
    Ok(())
}

/// The Path Identifier of each AS_PATH.
fn identifiers(paths: &[Path]) -> BTreeMap<Vec<u32>, Option<u32>> {
    let all = paths.iter();
    all.map(|path| (path.as_path.clone(), path.path_id))
        .collect()
}

/// §2, §3: each path under an identifier of its own, which it keeps whatever else comes and goes.
#[test]
fn the_best_few_arrive_at_bird_frr_gobgp_and_openbgpd() -> Result<()> {
    let programs = ["bird", FRR, "gobgpd", OpenBgpd::PROGRAM];
    let Some(star) = Star::new(&programs, 7)? else {
        return Ok(());
    };
    let config = |limit: u8| {
        let sources = (1..=3).map(|n| peer(&format!("192.0.{n}.2"), 65001 + n, ""));
        let send = format!("add-path = \"send\"\nadd-path-limit = {limit}");
        let takers = (4..=7).map(|n| peer(&format!("192.0.{n}.2"), 65001 + n, &send));
        format!("{ROUTER}{}", sources.chain(takers).collect::<String>())
    };
    let windrosed = star.windrosed(&config(2))?;
    let mut sources = Vec::new();
    for (n, prepend) in [
        (1, ""),
        (2, "bgp_path.prepend(65003);"),
        (3, "bgp_path.prepend(65004); bgp_path.prepend(65004);"),
    ] {
        let export = format!("{prepend} accept;");
        let config = bird_with(n, 65001 + u32::from(n), "", &PREFIXES, &export);
        let spoke = &star.spokes[usize::from(n) - 1];
        sources.push(Bird::start(&star.lab, spoke, &config)?);
    }
    let config_of_bird = with_add_path(&bird(4, 65005, "", &[]));
    let bird_ = Bird::start(&star.lab, &star.spokes[3], &config_of_bird)?;
    let config_of_frr = with_add_path_frr(&frr(5, 65006, &[], ""), 5);
    let frr_ = Frr::start(&star.lab, &star.spokes[4], &config_of_frr)?;
    let config_of_gobgp = with_add_path_gobgp(&gobgp(6, 65007));
    let gobgp_ = GoBgp::start(&star.lab, &star.spokes[5], &config_of_gobgp)?;
    let config_of_openbgpd = openbgpd(7, 65008, "", "announce add-path recv yes");
    let openbgpd_ = OpenBgpd::start(&star.lab, &star.spokes[6], &config_of_openbgpd)?;

    let all = |expected: &[&[u32]]| {
        for prefix in PREFIXES {
            are("BIRD", &bird_.paths(prefix)?, expected)?;
            are("FRR", &frr_.paths(prefix)?, expected)?;
            are("GoBGP", &gobgp_.paths(prefix)?, expected)?;
            are("OpenBGPD", &openbgpd_.paths(prefix)?, expected)?;
        }
        Ok(())
    };
    let (first, second): (&[u32], &[u32]) = (&[65001, 65002], &[65001, 65003, 65003]);
    let third: &[u32] = &[65001, 65004, 65004, 65004];
    star.soon("the best two", || all(&[first, second]))?;
    let before = PREFIXES.map(|prefix| frr_.paths(prefix).map(|paths| identifiers(&paths)));

    windrosed.reload(&config(8))?;
    star.soon("all three", || all(&[first, second, third]))?;
    for address in ["192.0.4.2", "192.0.5.2", "192.0.6.2", "192.0.7.2"] {
        let row = windrosed.peer(address)?;
        ensure!(row["established_count"] == 1, "{row}");
    }

    sources[0].configure(&bird(1, 65002, "", &[]))?;
    star.soon("the loss of the best", || all(&[second, third]))?;
    for (prefix, before) in PREFIXES.into_iter().zip(before) {
        let (before, after) = (before?, identifiers(&frr_.paths(prefix)?));
        ensure!(before[second].is_some(), "{before:?}");
        ensure!(
            before[second] == after[second],
            "{before:?}, then {after:?}"
        );
        let openbgpd = identifiers(&openbgpd_.paths(prefix)?);
        ensure!(
            after == openbgpd,
            "FRR has {after:?}, OpenBGPD {openbgpd:?}"
        );
        advertised(&windrosed, "192.0.5.2", prefix, &after)?;
    }
    sources[1].configure(&bird(2, 65003, "", &[]))?;
    drop(sources);
    star.soon("the loss of all", || all(&[]))
}

/// Succeeds when `windrose route list --advertised` names the identifiers that a peer holds.
fn advertised(
    windrosed: &Windrosed,
    peer: &str,
    prefix: &str,
    held: &BTreeMap<Vec<u32>, Option<u32>>,
) -> Result<()> {
    let rows = windrosed.rows(&format!("route list {prefix} --advertised {peer}"))?;
    let paths = rows
        .iter()
        .filter_map(|row| row["paths"].as_array())
        .flatten();
    let told: BTreeSet<_> = paths.map(|path| path["path_id"].as_u64()).collect();
    let held: BTreeSet<_> = held.values().map(|id| id.map(u64::from)).collect();
    ensure!(told == held, "told {rows:?}, held {held:?}");
    Ok(())
}

/// Two protocols of BIRD that have the same prefixes: their routes have the communities 65002:1 and 65002:2.
fn twice() -> String {
    let mut text = String::new();
    for (n, name) in [(1, "one"), (2, "two")] {
        for (family, prefix) in ["ipv4", "ipv6"].into_iter().zip(PREFIXES) {
            text += &format!(
                "protocol static {name}_{family} {{ {family} {{ import filter {{ bgp_community.add((65002,{n})); \
                 accept; }}; }}; route {prefix} blackhole; }}\n"
            );
        }
    }
    text
}

/// Who told which community: what tells apart the paths of a prefix.
fn heard(windrosed: &Windrosed, prefix: &str) -> Result<BTreeSet<(String, String)>> {
    let rows = windrosed.rows(&format!("route list {prefix}"))?;
    let paths = rows
        .iter()
        .filter_map(|row| row["paths"].as_array())
        .flatten();
    // FRR tells back what others told us: that has our AS in it.
    let named = paths.filter(|path| path["valid"] == true).map(|path| {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        (text(&path["peer"]), text(&path["communities"][0]))
    });
    Ok(named.collect())
}

/// AS_PATHs and communities.
fn marked(paths: &[Path]) -> BTreeSet<(Vec<u32>, String)> {
    let told = paths.iter().filter(|path| !path.as_path.is_empty());
    told.map(|path| {
        let community = path.communities.first().cloned();
        (path.as_path.clone(), community.unwrap_or_default())
    })
    .collect()
}

/// The same from the other side: BIRD, FRR and GoBGP tell two paths each, and one goes without the other.
#[test]
fn several_paths_of_bird_frr_and_gobgp_are_taken_and_passed_on() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR, "gobgpd"], 3)? else {
        return Ok(());
    };
    let (spoke1, spoke2) = (&star.spokes[0], &star.spokes[1]);
    star.lab.link((spoke1, "eth1"), (spoke2, "eth1"))?;
    for (spoke, end) in [(spoke1, 1), (spoke2, 2)] {
        spoke.address("eth1", &format!("198.51.100.{end}/24"))?;
        spoke.address("eth1", &format!("2001:db8:100::{end}/64"))?;
    }
    let peers = (1..=3).map(|n| peer(&format!("192.0.{n}.2"), 65001 + n, "add-path = \"both\""));
    let windrosed = star.windrosed(&format!("{ROUTER}{}", peers.collect::<String>()))?;
    // FRR has its two paths from BIRD.
    let channel = |family| {
        format!("{family} {{ add paths tx; import none; export where source = RTS_STATIC; }};")
    };
    let config = format!(
        "{}{}protocol bgp f {{ local 198.51.100.1 as 65002; neighbor 198.51.100.2 as 65003; \
         connect delay time 1; connect retry time 1; {} {} }}\n",
        with_add_path(&bird(1, 65002, "", &[])),
        twice(),
        channel("ipv4"),
        channel("ipv6"),
    );
    let bird_ = Bird::start(&star.lab, spoke1, &config)?;
    let neighbor =
        " neighbor 198.51.100.1 remote-as 65002\n neighbor 198.51.100.1 timers connect 1\n";
    let config = with_add_path_frr(&frr(2, 65003, &[], ""), 2)
        .replacen(" address-family", &format!("{neighbor} address-family"), 1)
        .replace(
            "address-family ipv6 unicast\n",
            "address-family ipv6 unicast\n  neighbor 198.51.100.1 activate\n",
        );
    let _frr = Frr::start(&star.lab, spoke2, &config)?;
    let gobgp_ = GoBgp::start(
        &star.lab,
        &star.spokes[2],
        &with_add_path_gobgp(&gobgp(3, 65004)),
    )?;
    for (prefix, next_hop) in PREFIXES.into_iter().zip(["192.0.3.2", "2001:db8:3::2"]) {
        for n in 1..=2 {
            gobgp_.announce(
                prefix,
                &format!("identifier {n} nexthop {next_hop} community 65004:{n}"),
            )?;
        }
    }
    let (b1, b2, f1, f2) = (
        ("192.0.1.2", "65002:1"),
        ("192.0.1.2", "65002:2"),
        ("192.0.2.2", "65002:1"),
        ("192.0.2.2", "65002:2"),
    );
    let (g1, g2) = (("192.0.3.2", "65004:1"), ("192.0.3.2", "65004:2"));
    let holds = |prefix: &str, expected: &[(&str, &str)]| {
        let expected = expected
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        let (expected, heard) = (
            expected.collect::<BTreeSet<_>>(),
            heard(&windrosed, prefix)?,
        );
        ensure!(heard == expected, "windrosed has {heard:?} of {prefix}");
        Ok(())
    };
    for prefix in PREFIXES {
        star.soon("six paths", || holds(prefix, &[b1, b2, f1, f2, g1, g2]))?;
        let ids = windrosed.paths(prefix)?.into_iter();
        let ids: BTreeSet<_> = ids
            .filter(|p| p.as_path == [65002])
            .map(|p| p.path_id)
            .collect();
        ensure!(ids.len() == 2 && !ids.contains(&None), "{ids:?}");
        let way = |asns: &[u32], community: &str| (asns.to_vec(), community.to_owned());
        let expected = BTreeSet::from([
            way(&[65001, 65002], "65002:1"),
            way(&[65001, 65002], "65002:2"),
            way(&[65001, 65003, 65002], "65002:1"),
            way(&[65001, 65003, 65002], "65002:2"),
        ]);
        star.soon("four at GoBGP", || {
            let paths = gobgp_.paths(prefix)?;
            ensure!(marked(&paths) == expected, "GoBGP has {paths:?}");
            Ok(())
        })?;
        // The others have its own AS in them.
        let expected = BTreeSet::from([
            way(&[65001, 65004], "65004:1"),
            way(&[65001, 65004], "65004:2"),
        ]);
        star.soon("two at BIRD", || {
            let paths = bird_.paths(prefix)?;
            ensure!(marked(&paths) == expected, "BIRD has {paths:?}");
            Ok(())
        })?;
    }
    bird_.ask("disable two_ipv4")?;
    gobgp_.ask("global rib del 10.9.0.0/16 identifier 1 -a ipv4")?;
    star.soon("one each fewer", || holds(PREFIXES[0], &[b1, f1, g2]))?;
    holds(PREFIXES[1], &[b1, b2, f1, f2, g1, g2])?;
    bird_.ask("disable w")?;
    star.soon("the loss of BIRD's", || holds(PREFIXES[0], &[f1, g2]))
}
