//! BFD with BIRD and FRR: sessions at every pace, authentication, what happens when a path fails, and when it does not.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Bird, Frr, Host, Windrosed};
use serde_json::Value;

use crate::star::{ROUTER, Star, bird, frr, peer};

const FRR: &str = "/usr/lib/frr/bgpd";

/// A profile for windrosed.
pub fn profile(name: &str, ms: u32, more: &str) -> String {
    format!(
        "\n[bfd.profile.{name}]\ntransmit = \"{ms}ms\"\nreceive = \"{ms}ms\"\nmultiplier = 3\n{more}\n"
    )
}

/// BIRD on link `n` with BFD at that pace; `more` are further statements of its interface.
pub fn bird_with_bfd(n: u16, asn: u32, ms: u32, more: &str, routes: &[&str]) -> String {
    let bfd = format!(
        "protocol bfd bfd1 {{ interface \"eth0\" {{ interval {ms} ms; multiplier 3; {more} }}; \
         multihop {{ interval {ms} ms; multiplier 3; }}; }}\n"
    );
    bird(n, asn, "bfd on;", routes) + &bfd
}

/// FRR likewise.
fn frr_with_bfd(n: u16, asn: u32, ms: u32, routes: &[&str]) -> String {
    let config = frr(n, asn, routes, "").replace(
        &format!(" neighbor 192.0.{n}.1 timers"),
        &format!(" neighbor 192.0.{n}.1 bfd profile fast\n neighbor 192.0.{n}.1 timers"),
    );
    format!(
        "bfd\n profile fast\n  transmit-interval {ms}\n  receive-interval {ms}\n  detect-multiplier 3\n!\n{config}"
    )
}

/// The BFD session with a neighbor.
fn session(windrosed: &Windrosed, neighbor: &str) -> Result<Value> {
    let rows = windrosed.rows("bfd list")?;
    let found = rows.into_iter().find(|row| row["address"] == neighbor);
    found.with_context(|| format!("no BFD session with {neighbor}"))
}

/// Succeeds when it is up.
pub fn is_up(windrosed: &Windrosed, neighbor: &str) -> Result<()> {
    let session = session(windrosed, neighbor)?;
    ensure!(session["state"] == "up", "{session}");
    Ok(())
}

/// Drops all that comes to a host and all that it sends, as a path does that fails without a word.
pub fn black_hole(host: &Host, interface: &str) -> Result<()> {
    host.run("nft add table inet hole")?;
    for (hook, side) in [("input", "iifname"), ("output", "oifname")] {
        host.run(&format!(
            "nft add chain inet hole {hook} {{ type filter hook {hook} priority 0; }}"
        ))?;
        host.run(&format!(
            "nft add rule inet hole {hook} {side} {interface} drop"
        ))?;
    }
    Ok(())
}

fn heal(host: &Host) -> Result<()> {
    host.run("nft delete table inet hole").map(drop)
}

#[test]
fn sessions_come_up_at_every_pace_with_bird_and_frr() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR], 6)? else {
        return Ok(());
    };
    let paces = [50, 100, 300];
    let mut config = ROUTER.to_owned();
    for ms in paces {
        config += &profile(&format!("p{ms}"), ms, "");
    }
    for (n, ms) in (1..).zip(paces.into_iter().chain(paces)) {
        config += &peer(
            &format!("192.0.{n}.2"),
            65001 + n,
            &format!("bfd = \"p{ms}\""),
        );
    }
    let mut birds = Vec::new();
    let mut frrs = Vec::new();
    for (n, ms) in (1..).zip(paces) {
        let config = bird_with_bfd(n, 65001 + u32::from(n), ms, "", &[]);
        let spoke = &star.spokes[usize::from(n) - 1];
        birds.push(Bird::start(&star.lab, spoke, &config)?);
        let m = n + 3;
        let config = frr_with_bfd(m, 65001 + u32::from(m), ms, &[]);
        let spoke = &star.spokes[usize::from(m) - 1];
        frrs.push(Frr::start(&star.lab, spoke, &config)?);
    }
    let windrosed = star.windrosed(&config)?;
    for (n, ms) in (1..=6).zip(paces.into_iter().chain(paces)) {
        let neighbor = format!("192.0.{n}.2");
        star.soon("the session", || {
            is_up(&windrosed, &neighbor)?;
            let row = session(&windrosed, &neighbor)?;
            ensure!(row["transmit_us"] == ms * 1000, "{row}");
            ensure!(row["detection_us"] == 3 * ms * 1000, "{row}");
            ensure!(windrosed.peer(&neighbor)?["bfd"] == "up");
            windrosed.established(&neighbor)
        })?;
    }
    // Everybody agrees, and nobody sees a failure while nothing fails.
    for bird in &birds {
        let said = bird.ask("show bfd sessions")?;
        ensure!(said.contains("Up"), "{said}");
    }
    star.lab.throughout("peace", Duration::from_secs(10), || {
        for n in 1..=6 {
            let row = session(&windrosed, &format!("192.0.{n}.2"))?;
            ensure!(row["failures"] == 0 && row["ups"] == 1, "{row}");
        }
        Ok(())
    })
}

/// The path fails without a word: at both ends the BGP session goes within a fraction of a second, not of its hold time.
#[test]
fn a_path_that_fails_takes_its_routes_away_at_once() -> Result<()> {
    let Some(star) = Star::new(&["bird", FRR, "nft"], 2)? else {
        return Ok(());
    };
    let config = [
        ROUTER.to_owned(),
        profile("fast", 50, ""),
        peer("192.0.1.2", 65002, "bfd = \"fast\""),
        peer("192.0.2.2", 65003, "bfd = \"fast\""),
    ];
    let bird = Bird::start(
        &star.lab,
        &star.spokes[0],
        &bird_with_bfd(1, 65002, 50, "", &["10.2.0.0/16"]),
    )?;
    let frr = Frr::start(
        &star.lab,
        &star.spokes[1],
        &frr_with_bfd(2, 65003, 50, &["10.3.0.0/16"]),
    )?;
    let windrosed = star.windrosed(&config.concat())?;
    let all_well = || {
        is_up(&windrosed, "192.0.1.2")?;
        is_up(&windrosed, "192.0.2.2")?;
        bird.path("10.3.0.0/16")?;
        frr.path("10.2.0.0/16")?;
        ensure!(star.hub.kernel_route("10.2.0.0/16")?.is_some(), "no route");
        ensure!(star.hub.kernel_route("10.3.0.0/16")?.is_some(), "no route");
        Ok(())
    };
    star.soon("all routes", all_well)?;
    for (n, prefix) in [(1, "10.2.0.0/16"), (2, "10.3.0.0/16")] {
        let neighbor = format!("192.0.{n}.2");
        black_hole(&star.spokes[n - 1], "eth0")?;
        let cut = Instant::now();
        star.soon("the route to go", || {
            ensure!(star.hub.kernel_route(prefix)?.is_none(), "still there");
            Ok(())
        })?;
        let gone = cut.elapsed();
        println!("{neighbor}: the route went {gone:?} after the path");
        ensure!(gone < Duration::from_secs(2), "after {gone:?}");
        let row = windrosed.peer(&neighbor)?;
        let why = row["last_error"].as_str().unwrap_or_default().to_owned();
        ensure!(why.contains("BFD"), "{row}");
        // Its neighbor hears us no more either: what we heard it say last was that it is down, or nothing.
        let row = session(&windrosed, &neighbor)?;
        ensure!(row["failures"] == 1, "{row}");
        heal(&star.spokes[n - 1])?;
        star.soon("all routes again", all_well)?;
    }
    Ok(())
}

/// RFC 5880 §6.7: all that BIRD has.
#[test]
fn every_authentication_is_that_of_bird() -> Result<()> {
    let kinds = [
        ("simple", "simple"),
        ("keyed-md5", "keyed md5"),
        ("meticulous-keyed-md5", "meticulous keyed md5"),
        ("keyed-sha1", "keyed sha1"),
        ("meticulous-keyed-sha1", "meticulous keyed sha1"),
    ];
    let Some(star) = Star::new(&["bird"], kinds.len() + 1)? else {
        return Ok(());
    };
    let mut config = ROUTER.to_owned();
    let mut birds = Vec::new();
    for (n, (ours, theirs)) in (1..).zip(kinds) {
        let key = format!(
            "authentication = {{ type = \"{ours}\", key-id = {n}, password = \"open sesame\" }}"
        );
        config += &profile(ours, 100, &key);
        config += &peer(
            &format!("192.0.{n}.2"),
            65001 + u32::from(n),
            &format!("bfd = \"{ours}\""),
        );
        let key = format!("authentication {theirs}; password \"open sesame\" {{ id {n}; }};");
        let config = bird_with_bfd(n, 65001 + u32::from(n), 100, &key, &[]);
        birds.push(Bird::start(
            &star.lab,
            &star.spokes[usize::from(n) - 1],
            &config,
        )?);
    }
    // One that has another key.
    config += &peer("192.0.6.2", 65007, "bfd = \"keyed-sha1\"");
    let key = "authentication keyed sha1; password \"open sesam\" { id 4; };";
    let wrong = bird_with_bfd(6, 65007, 100, key, &[]);
    let _wrong = Bird::start(&star.lab, &star.spokes[5], &wrong)?;
    let windrosed = star.windrosed(&config)?;
    for n in 1..=kinds.len() {
        let neighbor = format!("192.0.{n}.2");
        star.soon(&neighbor, || is_up(&windrosed, &neighbor))?;
    }
    star.lab.throughout("peace", Duration::from_secs(5), || {
        for n in 1..=kinds.len() {
            let row = session(&windrosed, &format!("192.0.{n}.2"))?;
            ensure!(row["failures"] == 0 && row["ups"] == 1, "{row}");
        }
        let row = session(&windrosed, "192.0.6.2")?;
        ensure!(
            row["state"] == "down" && row["packets_received"] == 0,
            "{row}"
        );
        // Without BFD that was up there is no failure either: BGP goes on.
        windrosed.established("192.0.6.2")
    })
}

/// RFC 5880 §6.8.16, RFC 5882 §3.2: who takes BFD down by hand brings no failure about. (BIRD and FRR end the BGP session
/// of a neighbor that says AdminDown; windrosed does not.)
#[test]
fn taking_it_down_by_hand_is_no_failure() -> Result<()> {
    let Some(star) = Star::new(&[FRR], 2)? else {
        return Ok(());
    };
    let config = |bfd: &str| {
        [
            ROUTER.to_owned(),
            profile("fast", 100, ""),
            peer("192.0.1.2", 65002, bfd),
            peer("192.0.2.2", 65003, "bfd = \"fast\""),
        ]
        .concat()
    };
    let other = [
        "[router]\nasn = 65002\nrouter-id = \"192.0.1.2\"\n".to_owned(),
        profile("fast", 100, ""),
        peer("192.0.1.1", 65001, "bfd = \"fast\""),
    ];
    let other = Windrosed::start(&star.lab, &star.spokes[0], &other.concat())?;
    let frr = Frr::start(
        &star.lab,
        &star.spokes[1],
        &frr_with_bfd(2, 65003, 100, &[]),
    )?;
    let windrosed = star.windrosed(&config("bfd = \"fast\""))?;
    let both_up = || {
        is_up(&windrosed, "192.0.1.2")?;
        is_up(&windrosed, "192.0.2.2")
    };
    star.soon("both sessions", both_up)?;
    let undisturbed = || {
        let row = windrosed.peer("192.0.1.2")?;
        ensure!(
            row["established_count"] == 1 && row["state"] == "Established",
            "{row}"
        );
        let row = session(&other, "192.0.1.1")?;
        ensure!(row["failures"] == 0, "{row}");
        Ok(())
    };
    // Ours, by the configuration: the other end hears AdminDown, and BGP stays.
    windrosed.reload(&config("bfd = false"))?;
    star.soon("AdminDown to arrive", || {
        let row = session(&other, "192.0.1.1")?;
        ensure!(row["state"] == "down", "{row}");
        Ok(())
    })?;
    star.lab
        .throughout("BGP stays", Duration::from_secs(3), undisturbed)?;
    windrosed.reload(&config("bfd = \"fast\""))?;
    star.soon("both sessions again", both_up)?;
    undisturbed()?;
    // FRR's.
    frr.configure(&["bfd", "profile fast", "shutdown"])?;
    star.soon("FRR's shutdown to arrive", || {
        let row = session(&windrosed, "192.0.2.2")?;
        ensure!(row["remote_state"] == "admin-down", "{row}");
        ensure!(row["failures"] == 0, "{row}");
        Ok(())
    })?;
    frr.configure(&["bfd", "profile fast", "no shutdown"])?;
    star.soon("FRR's return", both_up)
}

/// RFC 5883: over several hops, and IPv6.
#[test]
fn several_hops_and_ipv6() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 2)? else {
        return Ok(());
    };
    let config = [
        ROUTER.to_owned(),
        profile("fast", 100, ""),
        peer(
            "192.0.1.2",
            65002,
            "bfd = \"fast\"\nmultihop = 2\nlocal-address = \"192.0.1.1\"",
        ),
        peer("2001:db8:2::2", 65003, "bfd = \"fast\""),
    ];
    let config_of_bird =
        bird_with_bfd(1, 65002, 100, "", &[]).replace("bfd on;", "multihop 2; bfd on;");
    let _far = Bird::start(&star.lab, &star.spokes[0], &config_of_bird)?;
    let config_of_bird = bird_with_bfd(2, 65003, 100, "", &[])
        .replace("local 192.0.2.2", "local 2001:db8:2::2")
        .replace("neighbor 192.0.2.1", "neighbor 2001:db8:2::1");
    let _six = Bird::start(&star.lab, &star.spokes[1], &config_of_bird)?;
    let windrosed = star.windrosed(&config.concat())?;
    star.soon("both sessions", || {
        is_up(&windrosed, "192.0.1.2")?;
        is_up(&windrosed, "2001:db8:2::2")
    })?;
    let row = session(&windrosed, "192.0.1.2")?;
    ensure!(
        row["multihop"] == true && row["local_address"] == "192.0.1.1",
        "{row}"
    );
    Ok(())
}

/// Packets that are no BFD, or somebody else's: counted or not, none does anything.
#[test]
fn noise_at_the_port_moves_nothing() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 1)? else {
        return Ok(());
    };
    let config = [
        ROUTER.to_owned(),
        profile("fast", 50, ""),
        peer("192.0.1.2", 65002, "bfd = \"fast\""),
    ];
    let _bird = Bird::start(
        &star.lab,
        &star.spokes[0],
        &bird_with_bfd(1, 65002, 50, "", &[]),
    )?;
    let windrosed = star.windrosed(&config.concat())?;
    star.soon("the session", || is_up(&windrosed, "192.0.1.2"))?;
    star.spokes[0].address("eth0", "192.0.1.66/24")?;
    let ours = session(&windrosed, "192.0.1.2")?;
    let ours = ours["local_discriminator"]
        .as_u64()
        .context("no discriminator")?;
    star.spokes[0].within(move || {
        let socket = std::net::UdpSocket::bind("192.0.1.66:0")?;
        // An AdminDown that has everything right but its TTL, and whatever else.
        let mut forged = vec![0x20, 0x00, 3, 24, 0, 0, 0, 9];
        forged.extend(u32::try_from(ours).unwrap_or(0).to_be_bytes());
        forged.extend([0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50, 0, 0, 0, 0]);
        let mut x = 0x9E37_79B9_u32;
        for round in 0..20_000_usize {
            // No flood: what the kernel drops for want of room is lost to everybody.
            if round % 20 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            socket.send_to(&forged, "192.0.1.1:3784")?;
            let noise: Vec<u8> = std::iter::repeat_with(|| {
                x ^= x << 13;
                x ^= x >> 17;
                x ^= x << 5;
                x.to_le_bytes()[0]
            })
            .take(round % 80)
            .collect();
            socket.send_to(&noise, "192.0.1.1:3784")?;
        }
        Ok(())
    })?;
    let row = session(&windrosed, "192.0.1.2")?;
    ensure!(row["state"] == "up" && row["failures"] == 0, "{row}");
    windrosed.established("192.0.1.2")
}
