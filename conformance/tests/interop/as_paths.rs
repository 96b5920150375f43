//! The AS_PATHs that arrive, here and at others, where who we are to a peer or what it may see is configured.

use anyhow::{Result, ensure};
use conformance::lab::{Bird, Frr, Path};

use crate::star::{ROUTER, Star, bird, bird_with, frr, peer, sessions};

const FRR: &str = "/usr/lib/frr/bgpd";

/// Succeeds when the path is this one.
fn is(path: Result<Path>, asns: &[u32]) -> Result<()> {
    let path = path?;
    ensure!(path.as_path == asns, "{:?}, not {asns:?}", path.as_path);
    Ok(())
}

/// A peer's keys, with `local-as`.
fn with_local_as(value: &str) -> String {
    format!("local-as = {value}")
}

/// RFC 7705 §3.3: BIRD and FRR know us as AS 65100, a third as the AS 65001 that we are.
#[test]
fn a_local_as_in_all_its_modes() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 3)? else {
        return Ok(());
    };
    let config = |local: &str| {
        [
            ROUTER.to_owned(),
            peer("192.0.1.2", 65002, &with_local_as(local)),
            peer("192.0.2.2", 65003, &with_local_as(local)),
            peer("192.0.3.2", 65004, ""),
        ]
        .concat()
    };
    let windrosed = star.windrosed(&config("65100"))?;
    let of_bird = bird(1, 65002, "", &["10.2.0.0/16"]);
    let known = of_bird.replace("as 65001;", "as 65100;");
    let first = Bird::start(&star.lab, &star.spokes[0], &known)?;
    let of_frr = frr(2, 65003, &["10.3.0.0/16"], "");
    let known = of_frr.replace("remote-as 65001", "remote-as 65100");
    let second = Frr::start(&star.lab, &star.spokes[1], &known)?;
    let third = Bird::start(
        &star.lab,
        &star.spokes[2],
        &bird(3, 65004, "", &["10.4.0.0/16"]),
    )?;
    star.soon("we are AS 65100, and nothing else", || {
        is(first.path("10.3.0.0/16"), &[65100, 65003])?;
        is(first.path("10.4.0.0/16"), &[65100, 65004])?;
        is(second.path("10.2.0.0/16"), &[65100, 65002])?;
        is(windrosed.path("10.2.0.0/16"), &[65002])?;
        is(third.path("10.2.0.0/16"), &[65001, 65002])?;
        is(third.path("10.3.0.0/16"), &[65001, 65003])
    })?;

    let both = "{ asn = 65100, no-prepend = false, replace-as = false }";
    windrosed.reload(&config(both))?;
    star.soon("we are both, in both directions", || {
        is(first.path("10.4.0.0/16"), &[65100, 65001, 65004])?;
        is(first.path("10.3.0.0/16"), &[65100, 65001, 65100, 65003])?;
        is(second.path("10.2.0.0/16"), &[65100, 65001, 65100, 65002])?;
        is(windrosed.path("10.2.0.0/16"), &[65100, 65002])?;
        is(third.path("10.2.0.0/16"), &[65001, 65100, 65002])
    })?;
    windrosed.reload(&config("{ asn = 65100, replace-as = false }"))?;
    star.soon("inbound as it comes, outbound both", || {
        is(first.path("10.3.0.0/16"), &[65100, 65001, 65003])?;
        is(windrosed.path("10.2.0.0/16"), &[65002])?;
        is(third.path("10.2.0.0/16"), &[65001, 65002])
    })?;
    windrosed.reload(&config("{ asn = 65100, no-prepend = false }"))?;
    star.soon("inbound both, outbound the local one alone", || {
        is(first.path("10.4.0.0/16"), &[65100, 65004])?;
        is(windrosed.path("10.2.0.0/16"), &[65100, 65002])
    })?;

    // One that believes that we are AS 65001 has its way, and one that believes otherwise, too.
    windrosed.reload(&config("{ asn = 65100, dual-as = true }"))?;
    first.configure(&of_bird)?;
    star.soon("each what it believes", || {
        is(first.path("10.3.0.0/16"), &[65001, 65003])?;
        is(second.path("10.2.0.0/16"), &[65100, 65002])
    })?;
    second.configure(&[
        "router bgp 65003",
        "no neighbor 192.0.2.1 remote-as 65100",
        "neighbor 192.0.2.1 remote-as 65001",
        "neighbor 192.0.2.1 timers connect 1",
    ])?;
    star.soon("FRR's new belief", || {
        is(second.path("10.2.0.0/16"), &[65001, 65002])
    })?;
    windrosed.reload(&config("65100"))?;
    star.soon("no session without dual-as", || {
        ensure!(windrosed.established("192.0.1.2").is_err(), "BIRD's is up");
        ensure!(windrosed.established("192.0.2.2").is_err(), "FRR's is up");
        windrosed.established("192.0.3.2")
    })
}

/// RFC 6996, RFC 6793: a peer of four octets and one of two hear no AS number for private use, or ours in its place.
#[test]
fn private_as_numbers_stay_with_us() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 3)? else {
        return Ok(());
    };
    let config = |private: &str| {
        let keys = format!("remove-private-as = \"{private}\"");
        [
            ROUTER.to_owned(),
            peer("192.0.1.2", 4_200_000_002, ""),
            peer("192.0.2.2", 65003, &keys),
            peer("192.0.3.2", 65004, &keys),
        ]
        .concat()
    };
    let windrosed = star.windrosed(&config("none"))?;
    // A public AS behind a private one of four octets.
    let source = bird_with(
        1,
        4_200_000_002,
        "",
        &["10.2.0.0/16"],
        "bgp_path.prepend(64500); accept;",
    );
    let _source = Bird::start(&star.lab, &star.spokes[0], &source)?;
    let old = bird(2, 65003, "enable as4 off;", &[]);
    let old = Bird::start(&star.lab, &star.spokes[1], &old)?;
    let new = Frr::start(
        &star.lab,
        &star.spokes[2],
        &frr(3, 65004, &["10.4.0.0/16"], ""),
    )?;
    star.soon("all of it", || {
        is(new.path("10.2.0.0/16"), &[65001, 4_200_000_002, 64500])?;
        let path = old.path("10.2.0.0/16")?.as_path;
        let hidden = path == [65001, 23456, 64500];
        ensure!(hidden || path == [65001, 4_200_000_002, 64500], "{path:?}");
        is(old.path("10.4.0.0/16"), &[65001, 65004])
    })?;
    windrosed.reload(&config("all"))?;
    star.soon("the public one alone", || {
        is(new.path("10.2.0.0/16"), &[65001, 64500])?;
        is(old.path("10.2.0.0/16"), &[65001, 64500])?;
        is(old.path("10.4.0.0/16"), &[65001])
    })?;
    windrosed.reload(&config("replace"))?;
    star.soon("ours in the place of the private one", || {
        is(new.path("10.2.0.0/16"), &[65001, 65001, 64500])?;
        is(old.path("10.2.0.0/16"), &[65001, 65001, 64500])?;
        is(old.path("10.4.0.0/16"), &[65001, 65001])
    })?;
    // All of that in place.
    for address in ["192.0.1.2", "192.0.2.2", "192.0.3.2"] {
        ensure!(sessions(&windrosed, address)? == 1, "{address} noticed");
    }
    Ok(())
}

/// Two sites of one AS number, who hear of each other where ours takes its place.
#[test]
fn two_sites_of_one_as_hear_each_other() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 2)? else {
        return Ok(());
    };
    let config = |keys: &str| {
        let second = peer("192.0.2.2", 65002, keys);
        format!("{ROUTER}{}{second}", peer("192.0.1.2", 65002, keys))
    };
    let windrosed = star.windrosed(&config(""))?;
    let first = Bird::start(
        &star.lab,
        &star.spokes[0],
        &bird(1, 65002, "", &["10.2.0.0/16"]),
    )?;
    // One of FRR's routes has our AS number in it, as if it had been with us before.
    let second = frr(2, 65002, &["10.3.0.0/16"], "").replace(
        "network 10.3.0.0/16\n",
        "network 10.3.0.0/16\n  network 10.9.0.0/16 route-map SEEN\n",
    );
    let seen = "route-map SEEN permit 10\n set as-path prepend 65001\nexit\n";
    let second = Frr::start(&star.lab, &star.spokes[1], &format!("{seen}{second}"))?;
    star.soon("both here", || {
        windrosed.path("10.2.0.0/16")?;
        windrosed.path("10.3.0.0/16")
    })?;
    star.lab
        .throughout("loops at both", std::time::Duration::from_secs(1), || {
            ensure!(first.paths("10.3.0.0/16")?.is_empty(), "BIRD has it");
            ensure!(second.paths("10.2.0.0/16")?.is_empty(), "FRR has it");
            ensure!(
                first.paths("10.9.0.0/16")?.is_empty(),
                "we passed a loop on"
            );
            Ok(())
        })?;
    windrosed.reload(&config("as-override = true"))?;
    star.soon("each other's", || {
        is(first.path("10.3.0.0/16"), &[65001, 65001])?;
        is(second.path("10.2.0.0/16"), &[65001, 65001])
    })?;
    ensure!(first.paths("10.9.0.0/16")?.is_empty(), "a loop passed");
    windrosed.reload(&config("as-override = true\nallow-local-as = 1"))?;
    star.soon("what has been with us before", || {
        is(windrosed.path("10.9.0.0/16"), &[65002, 65001])?;
        is(first.path("10.9.0.0/16"), &[65001, 65001, 65001])
    })?;
    for address in ["192.0.1.2", "192.0.2.2"] {
        ensure!(sessions(&windrosed, address)? == 1, "{address} noticed");
    }
    Ok(())
}
