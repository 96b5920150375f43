//! What a peer may be configured with, each with a real one that has it too.

use std::time::Duration;

use anyhow::{Result, ensure};
use conformance::lab::{Bird, ExaBgp, Frr, OpenBgpd};

use crate::star::{ROUTER, Star, bird, ended_for, exabgp, frr, is_down, openbgpd, peer, sessions};

const FRR: &str = "/usr/lib/frr/bgpd";

/// RFC 9234 §5: what a provider told is for customers alone, and so is what a lateral peer told.
#[test]
fn roles_keep_a_provider_s_routes_from_a_peer() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 3)? else {
        return Ok(());
    };
    let config = [
        ROUTER.to_owned(),
        peer(
            "192.0.1.2",
            65002,
            "role = \"customer\"\nstrict-role = true",
        ),
        peer("192.0.2.2", 65003, "role = \"peer\""),
        peer(
            "192.0.3.2",
            65004,
            "role = \"provider\"\nstrict-role = true",
        ),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let options = "local role provider;";
    let config = bird(1, 65002, options, &["10.2.0.0/16"]);
    let provider = Bird::start(&star.lab, &star.spokes[0], &config)?;
    let config = frr(2, 65003, &["10.3.0.0/16"], "").replace(
        " neighbor 192.0.2.1 timers",
        " neighbor 192.0.2.1 local-role peer\n neighbor 192.0.2.1 timers",
    );
    let lateral = Frr::start(&star.lab, &star.spokes[1], &config)?;
    let config = bird(3, 65004, "local role customer;", &["10.4.0.0/16"]);
    let customer = Bird::start(&star.lab, &star.spokes[2], &config)?;
    star.soon("the provider's at the customer", || {
        customer.path("10.2.0.0/16")
    })?;
    star.soon("the peer's at the customer", || {
        customer.path("10.3.0.0/16")
    })?;
    star.soon("the customer's at the provider", || {
        provider.path("10.4.0.0/16")
    })?;
    star.soon("the customer's at the peer", || lateral.path("10.4.0.0/16"))?;
    star.lab.throughout("no leak", Duration::from_secs(1), || {
        ensure!(
            lateral.paths("10.2.0.0/16")?.is_empty(),
            "the peer has the provider's"
        );
        ensure!(
            provider.paths("10.3.0.0/16")?.is_empty(),
            "the provider has the peer's"
        );
        Ok(())
    })?;

    // §4.2: two customers do not fit, and whoever is strict wants a role.
    provider.configure(&bird(1, 65002, "local role customer;", &[]))?;
    star.soon("the mismatch", || {
        ended_for(&windrosed, "192.0.1.2", "role mismatch")
    })?;
    customer.configure(&bird(3, 65004, "", &[]))?;
    star.soon("the missing role", || {
        ended_for(&windrosed, "192.0.3.2", "role mismatch")
    })?;
    star.lab
        .throughout("both down", Duration::from_secs(2), || {
            is_down(&windrosed, "192.0.1.2")?;
            is_down(&windrosed, "192.0.3.2")
        })
}

/// RFC 5082 §3: packets leave with a TTL of 255, and those that come with less are dropped.
#[test]
fn gtsm_wants_it_on_both_sides() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR, OpenBgpd::PROGRAM], 4)? else {
        return Ok(());
    };
    let peers = (1..=4).map(|n| peer(&format!("192.0.{n}.2"), 65001 + n, "gtsm = true"));
    let config = format!("{ROUTER}{}", peers.collect::<String>());
    let windrosed = star.windrosed(&config)?;
    let config = bird(1, 65002, "ttl security yes;", &[]);
    let _bird = Bird::start(&star.lab, &star.spokes[0], &config)?;
    let config = frr(2, 65003, &[], "").replace(
        " neighbor 192.0.2.1 timers",
        " neighbor 192.0.2.1 ttl-security hops 1\n neighbor 192.0.2.1 timers",
    );
    let _frr = Frr::start(&star.lab, &star.spokes[1], &config)?;
    let config = openbgpd(3, 65004, "", "ttl-security yes");
    let _openbgpd = OpenBgpd::start(&star.lab, &star.spokes[2], &config)?;
    let without = Bird::start(&star.lab, &star.spokes[3], &bird(4, 65005, "", &[]))?;
    star.soon("three sessions", || {
        windrosed.established("192.0.1.2")?;
        windrosed.established("192.0.2.2")?;
        windrosed.established("192.0.3.2")
    })?;
    let span = Duration::from_secs(3);
    star.lab.throughout("nothing of a TTL of 1", span, || {
        is_down(&windrosed, "192.0.4.2")
    })?;
    without.configure(&bird(4, 65005, "ttl security yes;", &[]))?;
    star.soon("the fourth", || windrosed.established("192.0.4.2"))
}

/// RFC 4271 §4.2: the smaller of both hold times counts, and zero is one of them.
#[test]
fn a_hold_time_of_zero_is_agreed_on_whoever_wants_it() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 2)? else {
        return Ok(());
    };
    let config = [
        ROUTER.to_owned(),
        peer("192.0.1.2", 65002, "hold-time = \"0s\""),
        peer("192.0.2.2", 65003, ""),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let config = bird(1, 65002, "hold time 90;", &[]);
    let _bird = Bird::start(&star.lab, &star.spokes[0], &config)?;
    let config = frr(2, 65003, &[], "").replace(
        " neighbor 192.0.2.1 timers connect",
        " neighbor 192.0.2.1 timers 0 0\n neighbor 192.0.2.1 timers connect",
    );
    let _frr = Frr::start(&star.lab, &star.spokes[1], &config)?;
    for address in ["192.0.1.2", "192.0.2.2"] {
        star.soon("the session", || windrosed.established(address))?;
        let row = windrosed.peer(address)?;
        ensure!(row["session"]["hold_time_s"].is_null(), "{row}");
    }
    star.lab.throughout("both up", Duration::from_secs(4), || {
        windrosed.established("192.0.1.2")?;
        windrosed.established("192.0.2.2")
    })
}

/// Who comes from within a range becomes a peer: with the range's password (RFC 2385), up to its limit.
#[test]
fn a_range_takes_who_knows_its_password() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR, OpenBgpd::PROGRAM], 4)? else {
        return Ok(());
    };
    let range = "[[peer-range]]\nprefix = \"192.0.0.0/16\"\nasns = [65002, 65003, 65004, 65005]\nlimit = 2\n\
         families = [\"ipv4\", \"ipv6\"]\nimport = [\"accept\"]\nexport = [\"accept\"]\npassword = \"compass\"\n";
    let windrosed = star.windrosed(&format!("{ROUTER}{range}"))?;
    let wrong = bird(4, 65005, "password \"sextant\";", &[]);
    let _wrong = Bird::start(&star.lab, &star.spokes[3], &wrong)?;
    let config = bird(1, 65002, "password \"compass\";", &["10.2.0.0/16"]);
    let _bird = Bird::start(&star.lab, &star.spokes[0], &config)?;
    let config = openbgpd(2, 65003, "", "tcp md5sig password compass");
    let openbgpd = OpenBgpd::start(&star.lab, &star.spokes[1], &config)?;
    star.soon("both", || {
        windrosed.established("192.0.1.2")?;
        windrosed.established("192.0.2.2")
    })?;
    star.soon("BIRD's at OpenBGPD", || openbgpd.path("10.2.0.0/16"))?;
    ensure!(windrosed.peer("192.0.1.2")?["dynamic"] == true);
    let config = frr(3, 65004, &[], "").replace(
        " neighbor 192.0.3.1 timers",
        " neighbor 192.0.3.1 password compass\n neighbor 192.0.3.1 timers",
    );
    let _frr = Frr::start(&star.lab, &star.spokes[2], &config)?;
    let span = Duration::from_secs(3);
    star.lab.throughout("no third, none without", span, || {
        let rows = windrosed.rows("peer list")?;
        ensure!(rows.len() == 2, "{rows:?}");
        Ok(())
    })?;
    drop(openbgpd);
    star.soon("the third, where there is room", || {
        windrosed.established("192.0.3.2")
    })
}

#[test]
fn ranges_of_others_take_us() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 2)? else {
        return Ok(());
    };
    let config = [
        ROUTER.to_owned(),
        peer("192.0.1.2", 65002, ""),
        peer("192.0.2.2", 65003, "local-address = \"192.0.2.1\""),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let config = bird(1, 65002, "", &["10.2.0.0/16"])
        .replace("neighbor 192.0.1.1 as", "neighbor range 192.0.1.0/24 as");
    let _bird = Bird::start(&star.lab, &star.spokes[0], &config)?;
    let config = frr(2, 65003, &["10.3.0.0/16"], "")
        .replace(
            " neighbor 192.0.2.1 remote-as 65001\n",
            " neighbor W peer-group\n neighbor W remote-as 65001\n bgp listen range 192.0.2.0/24 peer-group W\n",
        )
        .replace("neighbor 192.0.2.1 ", "neighbor W ");
    let _frr = Frr::start(&star.lab, &star.spokes[1], &config)?;
    star.soon("BIRD's", || windrosed.path("10.2.0.0/16"))?;
    star.soon("FRR's", || windrosed.path("10.3.0.0/16"))?;
    ensure!(windrosed.peer("192.0.1.2")?["dynamic"] == false);
    Ok(())
}

/// RFC 4486 §4: Cease with subcode 1, where the operator wants no more than that.
#[test]
fn a_peer_over_its_limit_is_warned_about_stopped_or_restarted() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 3)? else {
        return Ok(());
    };
    let limit = |then: &str| format!("max-prefixes = {{ limit = 3, then = {then} }}");
    let config = [
        ROUTER.to_owned(),
        peer("192.0.1.2", 65002, &limit("\"warn\"")),
        peer("192.0.2.2", 65003, &limit("\"stop\"")),
        peer(
            "192.0.3.2",
            65004,
            &limit("\"restart\", restart-after = \"1s\""),
        ),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let mut birds = Vec::new();
    for n in 1..=3u16 {
        let routes: Vec<_> = (0..5).map(|i| format!("10.{n}{i}.0.0/16")).collect();
        let routes: Vec<_> = routes.iter().map(String::as_str).collect();
        let config = bird(n, 65001 + u32::from(n), "", &routes);
        birds.push(Bird::start(
            &star.lab,
            &star.spokes[usize::from(n) - 1],
            &config,
        )?);
    }
    star.soon("the stop", || {
        ended_for(&windrosed, "192.0.2.2", "maximum number of prefixes")?;
        let said = birds[1].ask("show protocols all w")?;
        ensure!(said.contains("Maximum number of prefixes"), "{said}");
        Ok(())
    })?;
    star.soon("the return of the one that may", || {
        let row = windrosed.peer("192.0.3.2")?;
        ensure!(row["established_count"].as_u64() >= Some(2), "{row}");
        Ok(())
    })?;
    let span = Duration::from_secs(2);
    star.lab.throughout("as it is", span, || {
        windrosed.established("192.0.1.2")?;
        is_down(&windrosed, "192.0.2.2")
    })?;
    windrosed.path("10.14.0.0/16")?;
    birds[1].configure(&bird(2, 65003, "", &["10.20.0.0/16"]))?;
    windrosed.ask("peer enable 192.0.2.2")?;
    star.soon("the one enabled again", || {
        windrosed.established("192.0.2.2")
    })
}

/// RFC 9003 §2: what the operator says arrives at the other end.
#[test]
fn words_of_a_shutdown_are_heard_at_both_ends() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 2)? else {
        return Ok(());
    };
    let config = [
        ROUTER.to_owned(),
        peer("192.0.1.2", 65002, ""),
        peer("192.0.2.2", 65003, ""),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let first = Bird::start(&star.lab, &star.spokes[0], &bird(1, 65002, "", &[]))?;
    let second = Bird::start(&star.lab, &star.spokes[1], &bird(2, 65003, "", &[]))?;
    star.soon("both sessions", || {
        windrosed.established("192.0.1.2")?;
        windrosed.established("192.0.2.2")
    })?;
    windrosed.ask("peer disable 192.0.1.2 --message noon")?;
    star.soon("our words at BIRD", || {
        let said = first.ask("show protocols all w")?;
        ensure!(
            said.contains("Administrative shutdown") && said.contains("noon"),
            "{said}"
        );
        Ok(())
    })?;
    second.ask("disable w \"midnight\"")?;
    star.soon("BIRD's words here", || {
        ended_for(&windrosed, "192.0.2.2", "midnight")
    })
}

/// Peers that the file does not name: one that comes, is changed, is kept over a restart and goes, while the session of
/// another never notices.
#[test]
fn peers_come_and_go_over_the_api() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 2)? else {
        return Ok(());
    };
    let file = format!("{ROUTER}{}", peer("192.0.1.2", 65002, ""));
    let mut windrosed = star.windrosed(&file)?;
    let bird = Bird::start(
        &star.lab,
        &star.spokes[0],
        &bird(1, 65002, "", &["10.2.0.0/16"]),
    )?;
    let _frr = Frr::start(
        &star.lab,
        &star.spokes[1],
        &frr(2, 65003, &["10.3.0.0/16"], ""),
    )?;
    star.soon("the file's peer", || windrosed.established("192.0.1.2"))?;

    let add =
        "peer add 192.0.2.2 --asn 65003 --import accept --export accept --set connect-retry=1s";
    windrosed.ask(add)?;
    star.soon("FRR's at BIRD", || bird.path("10.3.0.0/16"))?;
    let row = windrosed.peer("192.0.2.2")?;
    ensure!(row["added"] == true && row["kept"] == false, "{row}");
    let config = windrosed.ask("config show")?;
    ensure!(config.contains("address = \"192.0.2.2\""), "{config}");
    let refused = windrosed.ask(add).unwrap_err().to_string();
    ensure!(refused.contains("was added already"), "{refused}");

    // The file goes its own way, and may not name it too.
    windrosed.reload(&format!(
        "{file}{}",
        peer("192.0.7.2", 65007, "passive = true")
    ))?;
    star.soon("the reload", || windrosed.peer("192.0.7.2"))?;
    windrosed.established("192.0.2.2")?;
    windrosed.reload(&format!("{file}{}", peer("192.0.2.2", 65003, "")))?;
    let refused = windrosed.ask("config reload").unwrap_err().to_string();
    ensure!(refused.contains("is a peer of the file, too"), "{refused}");
    windrosed.reload(&file)?;
    star.soon("the file as it was", || {
        ensure!(windrosed.peer("192.0.7.2").is_err(), "it is there");
        Ok(())
    })?;
    ensure!(sessions(&windrosed, "192.0.2.2")? == 1, "its session ended");

    let update = format!(
        "{} --set hold-time=30s --keep",
        add.replace("add", "update")
    );
    let said = windrosed.ask(&update)?;
    ensure!(said.contains("hold-time 90s -> 30s"), "{said}");
    star.soon("the session anew", || {
        windrosed.established("192.0.2.2")?;
        let row = windrosed.peer("192.0.2.2")?;
        ensure!(
            row["session"]["hold_time_s"] == 30 && row["kept"] == true,
            "{row}"
        );
        Ok(())
    })?;
    ensure!(
        sessions(&windrosed, "192.0.1.2")? == 1,
        "the file's peer noticed"
    );

    windrosed
        .process()
        .signal(nix::sys::signal::Signal::SIGTERM)?;
    windrosed.process().wait()?;
    windrosed.restart(&star.lab)?;
    star.soon("the one that is kept", || bird.path("10.3.0.0/16"))?;
    windrosed.ask("peer delete 192.0.2.2")?;
    star.soon("its routes to go", || {
        ensure!(windrosed.peer("192.0.2.2").is_err(), "it is there");
        ensure!(bird.paths("10.3.0.0/16")?.is_empty(), "BIRD has its route");
        Ok(())
    })?;
    ensure!(
        sessions(&windrosed, "192.0.1.2")? == 1,
        "the file's peer noticed"
    );

    // What is wrong is told as `--check` tells it, all at once.
    let bad = windrosed
        .ask("peer add 192.0.9.2 --asn 0 --group nobody --set hold-time=1s --set no-such=1");
    let bad = bad.unwrap_err().to_string();
    for what in [
        "AS 0 is nobody's",
        "no peer group `nobody`",
        "three seconds",
        "unknown key `no-such`",
        "4 mistakes",
    ] {
        ensure!(bad.contains(what), "{what:?} is not in {bad}");
    }
    ensure!(
        windrosed.ask("peer delete 192.0.1.2").is_err(),
        "the file's peer can be deleted"
    );
    windrosed.established("192.0.1.2")
}

/// RFC 4271 §6.3, RFC 7606 §7.2: a path that begins with another AS than its peer's is treated as withdrawn, and the session
/// stays. RFC 7947 §2.2.2.2: a route server's paths do, and are taken.
#[test]
fn a_path_must_begin_with_its_peer_unless_that_is_a_route_server() -> Result<()> {
    let Some(star) = Star::new(&["bird", "exabgp"], 2)? else {
        return Ok(());
    };
    let config = |keys: &str| {
        let server = peer(
            "192.0.2.2",
            65003,
            "role = \"rs-client\"\nstrict-role = true",
        );
        format!("{ROUTER}{}{server}", peer("192.0.1.2", 65002, keys))
    };
    let windrosed = star.windrosed(&config(""))?;
    let options = "local role rs_server; rs client;";
    let config_of_bird = bird(2, 65003, options, &["10.4.0.0/16"]);
    let _bird = Bird::start(&star.lab, &star.spokes[1], &config_of_bird)?;
    let config_of_exabgp = exabgp(1, 65002, "");
    let exabgp = ExaBgp::start(&star.lab, &star.spokes[0], "192.0.1.2", &config_of_exabgp)?;
    let announce = |prefix: &str, path: &str| {
        let route = format!("announce route {prefix} next-hop 192.0.1.2 as-path [ {path} ]");
        exabgp.tell(&route)
    };
    announce("10.2.0.0/16", "65002 65009")?;
    announce("10.3.0.0/16", "65002 65009")?;
    let has = |prefix: &str, there: bool| {
        ensure!(windrosed.path(prefix).is_ok() == there, "{prefix}");
        Ok(())
    };
    star.soon("both", || {
        has("10.2.0.0/16", true).and(has("10.3.0.0/16", true))
    })?;
    let path = star.soon("the route server's", || windrosed.path("10.4.0.0/16"))?;
    ensure!(path.as_path.is_empty(), "{path:?}");

    announce("10.3.0.0/16", "65009 65002")?;
    star.soon("the loss of one", || has("10.3.0.0/16", false))?;
    has("10.2.0.0/16", true)?;
    let row = windrosed.peer("192.0.1.2")?;
    ensure!(row["established_count"] == 1, "{row}");
    let log = std::fs::read_to_string(star.hub.dir().join("windrosed.log"))?;
    ensure!(
        log.contains("10.3.0.0/16") && log.contains("MalformedAsPath"),
        "{log}"
    );

    // What is not checked is heard anew.
    windrosed.reload(&config("enforce-first-as = false"))?;
    star.soon("both again", || {
        has("10.2.0.0/16", true).and(has("10.3.0.0/16", true))
    })
}
