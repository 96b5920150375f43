//! Sessions over some hops, their timers, and what a change of one peer leaves alone.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Bird, Frr, Host, run};
use nix::sys::signal::Signal;

use crate::star::{ROUTER, Star, bird, ended_for, frr, is_down, number, peer, sessions};

const FRR: &str = "/usr/lib/frr/bgpd";

/// A host behind spoke `n`, which forwards: 192.0.`n`00.2, the hub at 192.0.`n`.1.
fn behind(star: &Star, n: usize) -> Result<Host> {
    let (near, far) = (&star.spokes[n - 1], star.lab.host(&format!("far{n}"))?);
    star.lab.link((near, "eth1"), (&far, "eth0"))?;
    near.address("eth1", &format!("192.0.{n}00.1/24"))?;
    far.address("eth0", &format!("192.0.{n}00.2/24"))?;
    run(near
        .command("sysctl")
        .args(["-qw", "net.ipv4.ip_forward=1"]))?;
    far.ip(&format!("route add default via 192.0.{n}00.1"))?;
    star.hub
        .ip(&format!("route add 192.0.{n}00.0/24 via 192.0.{n}.2"))?;
    Ok(far)
}

/// RFC 4271 §5.1.3, RFC 5082: peers one router away, with the TTL that it takes and no more.
#[test]
fn multihop_sessions_reach_as_far_as_they_may() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 2)? else {
        return Ok(());
    };
    let (first, second) = (behind(&star, 1)?, behind(&star, 2)?);
    let config = |hops: &str| {
        let first = peer("192.0.100.2", 65002, hops);
        let second = peer("192.0.200.2", 65003, hops);
        format!("{ROUTER}{first}{second}")
    };
    let windrosed = star.windrosed(&config(""))?;
    let of_bird = bird(1, 65002, "multihop 2;", &["10.2.0.0/16"])
        .replace("local 192.0.1.2", "local 192.0.100.2");
    let bird = Bird::start(&star.lab, &first, &of_bird)?;
    let of_frr = frr(2, 65003, &["10.3.0.0/16"], "").replace(
        " neighbor 192.0.2.1 timers",
        " neighbor 192.0.2.1 ebgp-multihop 2\n neighbor 192.0.2.1 timers",
    );
    let frr = Frr::start(&star.lab, &second, &of_frr)?;
    let span = Duration::from_secs(4);
    star.lab.throughout("nobody so far away", span, || {
        is_down(&windrosed, "192.0.100.2")?;
        is_down(&windrosed, "192.0.200.2")
    })?;
    windrosed.reload(&config("multihop = 2"))?;
    star.soon("BIRD's at FRR", || frr.path("10.2.0.0/16"))?;
    star.soon("FRR's at BIRD", || bird.path("10.3.0.0/16"))?;
    for (prefix, device) in [("10.2.0.0/16", "eth1"), ("10.3.0.0/16", "eth2")] {
        star.soon("the way over the router", || {
            let route = star.hub.kernel_route(prefix)?;
            let hop = route.and_then(|route| route.next_hops.into_iter().next());
            ensure!(
                hop.as_ref().is_some_and(|hop| hop.device == device),
                "{hop:?}"
            );
            Ok(())
        })?;
    }
    let row = windrosed.peer("192.0.100.2")?;
    ensure!(row["ttl"] == 2, "{row}");
    Ok(())
}

/// RFC 9687: peers that take nothing for SendHoldTime are let go, though their TCP lives. Others hear all meanwhile.
#[test]
fn peers_that_stop_reading_are_let_go_after_send_hold() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 4)? else {
        return Ok(());
    };
    for spoke in star.spokes.iter().take(2) {
        let small = "net.ipv4.tcp_rmem=4096 8192 8192";
        run(spoke.command("sysctl").args(["-qw", small]))?;
    }
    let small = "net.ipv4.tcp_wmem=4096 8192 8192";
    run(star.hub.command("sysctl").args(["-qw", small]))?;
    let config = [
        ROUTER.to_owned(),
        peer("192.0.1.2", 65002, "send-hold = \"3s\""),
        peer("192.0.2.2", 65003, "send-hold = \"3s\""),
        peer("192.0.3.2", 65004, "send-hold = \"3s\""),
        peer("192.0.4.2", 65005, ""),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let mut stopped = Bird::start(&star.lab, &star.spokes[0], &bird(1, 65002, "", &[]))?;
    let mut frr = Frr::start(&star.lab, &star.spokes[1], &frr(2, 65003, &[], ""))?;
    let listens = Bird::start(&star.lab, &star.spokes[2], &bird(3, 65004, "", &[]))?;
    let source = Bird::start(&star.lab, &star.spokes[3], &bird(4, 65005, "", &[]))?;
    let all = ["192.0.1.2", "192.0.2.2", "192.0.3.2", "192.0.4.2"];
    star.soon("all sessions", || {
        all.iter().try_for_each(|peer| windrosed.established(peer))
    })?;
    stopped.process().signal(Signal::SIGSTOP)?;
    frr.bgpd()?.signal(Signal::SIGSTOP)?;
    // FRR has a buffer of its own size, which this fills too.
    let many: Vec<String> = (0..60_000u32)
        .map(|i| format!("10.{}.{}.0/24", i / 256, i % 256))
        .collect();
    let routes: Vec<&str> = many.iter().map(String::as_str).collect();
    source.configure(&bird(4, 65005, "", &routes))?;
    star.soon("both to be let go", || {
        ended_for(&windrosed, "192.0.1.2", "send hold")?;
        ended_for(&windrosed, "192.0.2.2", "send hold")
    })?;
    star.soon("the last of many at who reads", || {
        listens.path("10.234.95.0/24")
    })?;
    for peer in ["192.0.3.2", "192.0.4.2"] {
        ensure!(sessions(&windrosed, peer)? == 1, "{peer} noticed");
    }
    stopped.process().signal(Signal::SIGCONT)?;
    frr.bgpd()?.signal(Signal::SIGCONT)?;
    star.soon("both again, with all of it", || {
        stopped.path("10.234.95.0/24")?;
        frr.path("10.234.95.0/24")
    })?;
    Ok(())
}

/// RFC 4271 §4.4, §10: each peer has timers of its own; with a hold time of zero there are no KEEPALIVEs at all.
#[test]
fn each_peer_has_timers_of_its_own() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 3)? else {
        return Ok(());
    };
    let quick = "hold-time = \"9s\"\nkeepalive = \"1s\"";
    let config = [
        ROUTER.to_owned(),
        peer("192.0.1.2", 65002, quick),
        peer("192.0.2.2", 65003, ""),
        peer("192.0.3.2", 65004, "hold-time = \"0s\""),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let mut first = Bird::start(&star.lab, &star.spokes[0], &bird(1, 65002, "", &[]))?;
    let _second = Frr::start(&star.lab, &star.spokes[1], &frr(2, 65003, &[], ""))?;
    let third = Bird::start(&star.lab, &star.spokes[2], &bird(3, 65004, "", &[]))?;
    let all = ["192.0.1.2", "192.0.2.2", "192.0.3.2"];
    star.soon("all sessions", || {
        all.iter().try_for_each(|peer| windrosed.established(peer))
    })?;
    // The smaller of both hold times: BIRD's is 240 s, FRR's 180 s.
    let held = |peer: &str| Ok(windrosed.peer(peer)?["session"]["hold_time_s"].as_u64());
    let held: Vec<Option<u64>> = all.into_iter().map(held).collect::<Result<_>>()?;
    ensure!(held == [Some(9), Some(90), None], "{held:?}");
    let said = first.ask("show protocols all w")?;
    ensure!(said.contains("/9") && said.contains("/3"), "{said}");

    // What End-of-RIB and the like has to say is said.
    std::thread::sleep(Duration::from_secs(2));
    let sent = |peer: &str| number(&windrosed, peer, "/messages/sent");
    let received = |peer: &str| number(&windrosed, peer, "/messages/received");
    let before: Vec<u64> = all.into_iter().map(sent).collect::<Result<_>>()?;
    let heard = received("192.0.3.2")?;
    let span = Duration::from_secs(6);
    star.lab.throughout("nothing but time", span, || {
        all.iter().try_for_each(|peer| windrosed.established(peer))
    })?;
    let after: Vec<u64> = all.into_iter().map(sent).collect::<Result<_>>()?;
    let [quick, slow, silent] = [0, 1, 2].map(|n| after[n] - before[n]);
    // Jitter takes up to a quarter off the second.
    ensure!(
        (5..=9).contains(&quick),
        "{quick} KEEPALIVEs in six seconds"
    );
    ensure!(slow <= 1, "{slow} KEEPALIVEs to who gets one in 30 s");
    ensure!(silent == 0, "{silent} messages with a hold time of zero");
    ensure!(received("192.0.3.2")? == heard, "BIRD sends KEEPALIVEs");
    third.established("w")?;

    first.process().signal(Signal::SIGSTOP)?;
    star.soon("the short hold timer", || {
        ended_for(&windrosed, "192.0.1.2", "hold timer")
    })?;
    first.process().signal(Signal::SIGCONT)?;
    star.soon("the session again", || windrosed.established("192.0.1.2"))?;
    ensure!(sessions(&windrosed, "192.0.2.2")? == 1);
    ensure!(sessions(&windrosed, "192.0.3.2")? == 1);
    Ok(())
}

/// RFC 8950 over link-local addresses, with FRR: no other address anywhere, and both families flow.
#[test]
fn a_link_local_session_with_frr_carries_both_families() -> Result<()> {
    let Some(star) = Star::new(&[FRR], 1)? else {
        return Ok(());
    };
    star.hub.ip("-4 addr flush dev eth1")?;
    star.spokes[0].ip("-4 addr flush dev eth0")?;
    star.hub.address("eth1", "fe80::1/64")?;
    star.spokes[0].address("eth0", "fe80::2/64")?;
    let config = [
        ROUTER.to_owned(),
        peer("fe80::2%eth1", 65002, "extended-next-hop = true"),
        "[[originate]]\nprefix = \"10.1.0.0/16\"\n".to_owned(),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let networks = ["10.2.0.0/16", "2001:db8:200::/48"];
    let config = frr(1, 65002, &networks, "")
        .replace("192.0.1.1", "fe80::1")
        .replace(
            " neighbor fe80::1 timers",
            " neighbor fe80::1 interface eth0\n neighbor fe80::1 capability extended-nexthop\n neighbor fe80::1 timers",
        )
        .replace(
            " address-family ipv4 unicast\n",
            " address-family ipv4 unicast\n  neighbor fe80::1 activate\n",
        );
    let frr = Frr::start(&star.lab, &star.spokes[0], &config)?;
    star.soon("ours at FRR", || frr.path("10.1.0.0/16"))?;
    for prefix in networks {
        star.soon(prefix, || windrosed.path(prefix))?;
        star.soon("the kernel's route", || {
            let route = star.hub.kernel_route(prefix)?;
            let hop = route.and_then(|route| route.next_hops.into_iter().next());
            ensure!(
                hop.as_ref().is_some_and(|hop| hop.device == "eth1"),
                "{hop:?}"
            );
            Ok(())
        })?;
    }
    let row = windrosed.peer("fe80::2%eth1")?;
    let agreed = row["session"]["agreed"].to_string();
    ensure!(agreed.contains("extended next hop"), "{row}");
    Ok(())
}

/// A reload that changes one peer: packets of others go on, no UPDATE is sent for it, the kernel hears nothing, and no BFD
/// session ends.
#[test]
fn a_reload_of_one_peer_disturbs_no_other() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR, "ping"], 3)? else {
        return Ok(());
    };
    let config = |keys: &str, filter: &str| {
        let third = peer("192.0.3.2", 65004, keys)
            .replace("export = [\"accept\"]", &format!("export = [\"{filter}\"]"));
        let policy = "[[policy]]\nname = \"tagging\"\ndefault = \"accept\"\n\
             [[policy.rule]]\nset = { med = 7 }\nthen = \"next\"\n";
        [
            ROUTER.to_owned(),
            peer("192.0.1.2", 65002, "bfd = true"),
            peer("192.0.2.2", 65003, ""),
            third,
            policy.to_owned(),
        ]
        .concat()
    };
    let windrosed = star.windrosed(&config("", "accept"))?;
    let of_bird = bird(1, 65002, "bfd on;", &["10.2.0.0/16"]);
    let of_bird =
        format!("{of_bird}protocol bfd bfd1 {{ interface \"eth0\" {{ interval 300 ms; }}; }}\n");
    let _first = Bird::start(&star.lab, &star.spokes[0], &of_bird)?;
    let of_frr = frr(2, 65003, &["10.3.0.0/16"], "");
    let second = Frr::start(&star.lab, &star.spokes[1], &of_frr)?;
    let of_bird = bird(3, 65004, "", &["10.4.0.0/16"]);
    let third = Bird::start(&star.lab, &star.spokes[2], &of_bird)?;
    star.spokes[0].ip("addr add 10.2.0.1/32 dev lo")?;
    star.soon("all routes", || {
        second.path("10.2.0.0/16")?;
        second.path("10.4.0.0/16")?;
        third.path("10.3.0.0/16")?;
        star.hub.ping("10.2.0.1")
    })?;
    let bfd = || -> Result<String> {
        let rows = windrosed.rows("bfd list")?;
        let row = rows.first().context("no BFD session")?;
        ensure!(row["state"] == "up", "{row}");
        Ok(format!("{} up, {} down", row["ups"], row["failures"]))
    };
    let bfd_before = star.soon("BFD", bfd)?;

    let counts = |peer: &str| -> Result<[u64; 3]> {
        let of = |at: &str| number(&windrosed, peer, at);
        let sent = of("/messages/updates_sent")?;
        let received = of("/messages/updates_received")?;
        Ok([of("/established_count")?, sent, received])
    };
    let mut monitor = star.hub.command("ip");
    monitor.args(["monitor", "route"]);
    let mut monitor = star.hub.start("monitor", monitor)?;
    let mut ping = star.hub.command("ping");
    ping.args(["-q", "-i", "0.01", "-c", "800", "10.2.0.1"]);
    let mut ping = star.hub.start("stream", ping)?;

    // In place: the one peer is told anew, nobody else a word.
    let before = [counts("192.0.1.2")?, counts("192.0.2.2")?];
    windrosed.reload(&config("", "tagging"))?;
    star.soon("its new policy", || {
        let med = third.path("10.3.0.0/16")?.med;
        ensure!(med == Some(7), "{med:?}");
        Ok(())
    })?;
    let after = [counts("192.0.1.2")?, counts("192.0.2.2")?];
    ensure!(before == after, "{before:?}, then {after:?}");
    ensure!(counts("192.0.3.2")?[0] == 1, "its session ended");

    // With a new session: its own routes go and come, and that is all.
    windrosed.reload(&config("hold-time = \"30s\"", "tagging"))?;
    star.soon("its new session", || {
        windrosed.established("192.0.3.2")?;
        ensure!(counts("192.0.3.2")?[0] == 2, "it is the old one");
        Ok(())
    })?;
    star.soon("its route again", || second.path("10.4.0.0/16"))?;
    for peer in ["192.0.1.2", "192.0.2.2"] {
        ensure!(counts(peer)?[0] == 1, "{peer} noticed");
    }
    let bfd_after = bfd()?;
    ensure!(bfd_before == bfd_after, "{bfd_before}, then {bfd_after}");
    ensure!(ping.wait()? == 0, "{}", ping.log()?);
    let said = ping.log()?;
    ensure!(said.contains("800 received, 0% packet loss"), "{said}");
    monitor.stop()?;
    let said = monitor.log()?;
    ensure!(
        said.contains("10.4.0.0/16"),
        "the monitor hears nothing: {said}"
    );
    for prefix in ["10.2.0.0/16", "10.3.0.0/16"] {
        ensure!(!said.contains(prefix), "the kernel's route moved: {said}");
    }
    Ok(())
}
