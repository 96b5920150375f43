//! A link that dies under many routes, and how long it takes the device to have its kernel send them another way.
//!
//! Two neighbors tell the device the same routes, the second one by a longer path. The first one's link then loses all
//! packets, without a word. The clock starts when the device must call the path down: a detection time (RFC 5880
//! §6.8.4) after the last BFD packet that came in. It stops when the kernel, by its own notifications, sends no route to
//! the dead neighbor and all of them to the other one.

mod forwarding;
mod watch;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::daemons::Daemon;
use crate::lab::{Bird, Host, Lab};
use crate::load::Device;
use watch::Watch;

/// How many routes are behind the link.
pub const COUNTS: [usize; 3] = [1, 1_000, 100_000];
/// The device; its neighbors' ASes follow.
const ASN: u32 = 65_001;
/// BFD sends so often, and three missing packets are one too many.
const INTERVAL_MS: u64 = 50;
const DETECTION: Duration = Duration::from_millis(3 * INTERVAL_MS);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// A device that uses less of a processor in a second is at rest.
const REST_S: f64 = 0.03;

/// The addresses on the link with neighbor `n`: the device's, and the neighbor's.
fn ends(n: u8) -> (Ipv4Addr, Ipv4Addr) {
    (Ipv4Addr::new(192, 0, n, 1), Ipv4Addr::new(192, 0, n, 2))
}

fn asn(n: u8) -> u32 {
    ASN + u32::from(n)
}

fn nth(n: usize) -> String {
    format!("{}.{}.{}.0/24", 20 + n / 65_536, n / 256 % 256, n % 256)
}

/// Moves so many routes in a lab of its own: milliseconds that it took the device. Less than none: it called the path
/// down early.
///
/// # Errors
/// The routes do not come, or do not move.
pub fn run(daemon: Daemon, routes: usize) -> Result<f64> {
    let lab = Lab::new()?;
    let device = lab.host("device")?;
    let (left, right) = (neighbor(&lab, &device, 1)?, neighbor(&lab, &device, 2)?);
    let watch = Watch::start(&device, (ends(1).1, ends(2).1), routes)?;
    let running = daemon.start(&lab, &device, &configuration(daemon))?;
    let birds = [
        Bird::start(&lab, &left, &neighbor_bird(1, routes))?,
        Bird::start(&lab, &right, &neighbor_bird(2, routes))?,
    ];
    lab.eventually("all routes by the first neighbor", PATIENCE, || {
        let split = watch.seen().forwarding.split();
        ensure!(split == (routes, 0), "{split:?} of {routes}");
        for bird in &birds {
            let said = bird.ask("show bfd sessions")?;
            ensure!(said.contains(" Up "), "{said}");
        }
        Ok(())
    })?;
    let usage = Device::new(&device)?;
    rest(&lab, &usage)?;
    cut(&left)?;
    lab.eventually("all routes by the second neighbor", PATIENCE, || {
        let seen = watch.seen();
        let split = seen.forwarding.split();
        seen.moved
            .with_context(|| format!("{split:?} of {routes}"))
            .map(drop)
    })?;
    rest(&lab, &usage)?;
    let (moved, heard) = {
        let seen = watch.seen();
        (seen.moved, seen.heard)
    };
    drop(running);
    watch.finish()?;
    let moved = moved.context("the routes did not stay with the second neighbor")?;
    let due = heard.context("no BFD")? + DETECTION;
    Ok(milliseconds(moved, due))
}

/// From `due` to `at`, or back.
fn milliseconds(at: Instant, due: Instant) -> f64 {
    let later = at.saturating_duration_since(due).as_secs_f64();
    (later - due.saturating_duration_since(at).as_secs_f64()) * 1e3
}

/// Waits until the device has nothing to do.
fn rest(lab: &Lab, device: &Device) -> Result<()> {
    lab.eventually("the device to be at rest", PATIENCE, || {
        let before = device.usage().cpu_s;
        std::thread::sleep(Duration::from_secs(1));
        let used = device.usage().cpu_s - before;
        ensure!(used < REST_S, "it used {used} s of a second");
        Ok(())
    })
}

/// Drops all that the neighbor sends and all that comes to it, as a link does that dies without a word.
fn cut(neighbor: &Host) -> Result<()> {
    neighbor.run("nft add table inet dead")?;
    for (hook, side) in [("output", "oifname"), ("input", "iifname")] {
        neighbor.run(&format!(
            "nft add chain inet dead {hook} {{ type filter hook {hook} priority 0; }}"
        ))?;
        neighbor.run(&format!("nft add rule inet dead {hook} {side} eth0 drop"))?;
    }
    Ok(())
}

fn neighbor(lab: &Lab, device: &Host, n: u8) -> Result<Host> {
    let host = lab.host(&format!("neighbor{n}"))?;
    let interface = format!("eth{n}");
    lab.link((device, &interface), (&host, "eth0"))?;
    let (ours, theirs) = ends(n);
    device.address(&interface, &format!("{ours}/24"))?;
    host.address("eth0", &format!("{theirs}/24"))?;
    Ok(host)
}

/// The neighbor is a BIRD, whoever the device is: it tells the routes, and its BFD.
fn neighbor_bird(n: u8, routes: usize) -> String {
    let (device, me) = ends(n);
    let (asn, interval) = (asn(n), INTERVAL_MS);
    let routes: String = (0..routes)
        .map(|n| format!("route {} blackhole; ", nth(n)))
        .collect();
    let longer = if n > 1 {
        format!("bgp_path.prepend({asn}); ")
    } else {
        String::new()
    };
    format!(
        "router id {me};\nprotocol static {{ ipv4; {routes} }}\n\
         protocol bfd {{ interface \"eth0\" {{ interval {interval} ms; multiplier 3; }}; }}\n\
         protocol bgp d {{ local {me} as {asn}; neighbor {device} as {ASN}; bfd on;\n\
         connect delay time 1; connect retry time 1; error wait time 1, 2;\n\
         ipv4 {{ import all; export filter {{ if source != RTS_STATIC then reject; {longer}accept; }}; }}; }}\n"
    )
}

/// What the device is told.
#[must_use]
pub fn configuration(daemon: Daemon) -> String {
    match daemon {
        Daemon::Windrosed => windrosed(),
        Daemon::Bird => bird(),
        Daemon::Frr => frr(),
        // They have no BFD.
        Daemon::OpenBgpd | Daemon::GoBgp => String::new(),
    }
}

fn windrosed() -> String {
    let mut text = format!(
        "[router]\nasn = {ASN}\nrouter-id = \"192.0.1.1\"\n\
         [bfd.profile.fast]\ntransmit = \"{INTERVAL_MS}ms\"\nreceive = \"{INTERVAL_MS}ms\"\nmultiplier = 3\n"
    );
    for n in [1, 2] {
        text += &format!(
            "[[peer]]\naddress = \"{}\"\nasn = {}\nbfd = \"fast\"\nfamilies = [\"ipv4\"]\nconnect-retry = \"1s\"\n\
             import = [\"accept\"]\nexport = [\"accept\"]\n",
            ends(n).1,
            asn(n)
        );
    }
    text
}

fn bird() -> String {
    let mut text = format!(
        "router id 192.0.1.1;\nprotocol direct {{ ipv4; }}\n\
         protocol kernel {{ scan time 3600; ipv4 {{ import none; export where source = RTS_BGP; }}; }}\n\
         protocol bfd {{ interface \"eth*\" {{ interval {INTERVAL_MS} ms; multiplier 3; }}; }}\n"
    );
    for n in [1, 2] {
        let (me, neighbor) = ends(n);
        text += &format!(
            "protocol bgp p{n} {{ local {me} as {ASN}; neighbor {neighbor} as {}; direct; bfd on;\n\
             connect delay time 1; connect retry time 1; error wait time 1, 2;\n\
             ipv4 {{ import all; export where source = RTS_BGP; }}; }}\n",
            asn(n)
        );
    }
    text
}

fn frr() -> String {
    let mut text = format!(
        "bfd\n profile fast\n  transmit-interval {INTERVAL_MS}\n  receive-interval {INTERVAL_MS}\n  detect-multiplier 3\n!\n\
         frr defaults traditional\nrouter bgp {ASN}\n bgp router-id 192.0.1.1\n no bgp ebgp-requires-policy\n \
         no bgp network import-check\n coalesce-time 0\n"
    );
    for n in [1, 2] {
        let (me, neighbor) = ends(n);
        text += &format!(
            " neighbor {neighbor} remote-as {}\n neighbor {neighbor} update-source {me}\n \
             neighbor {neighbor} bfd profile fast\n \
             neighbor {neighbor} timers connect 1\n neighbor {neighbor} advertisement-interval 0\n",
            asn(n)
        );
    }
    text + " address-family ipv4 unicast\n  maximum-paths 1\n exit-address-family\n"
}

#[cfg(test)]
mod tests;
