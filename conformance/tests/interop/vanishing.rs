//! An interface that goes away under sessions, BFD and probes, and comes back as another one of the same name.

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Host, Windrosed};
use serde_json::Value;

use crate::star::{ROUTER, Star, peer};

/// BFD, probes and the device's name: all three are bound to it.
fn config(n: u8, other: &str, interface: &str) -> String {
    let router = ROUTER.replace("65001", &format!("6500{n}"));
    let router = router.replace("192.0.1.1", &format!("192.0.1.{n}"));
    let more = format!("interface = \"{interface}\"\nprobe = true\nbfd = true\n");
    let peer = peer(other, if n == 1 { 65002 } else { 65001 }, &more);
    format!("{router}{peer}[[originate]]\nprefix = \"10.{n}.0.0/16\"\n")
}

/// The session, BFD and the measurement of the link, from one end, and the other end's route in the kernel.
fn is_whole(windrosed: &Windrosed, host: &Host, other: &str, prefix: &str) -> Result<()> {
    windrosed.established(other)?;
    let found = |list: &str, key: &str| -> Result<Value> {
        let rows = windrosed.rows(list)?;
        let found = rows.into_iter().find(|row| row[key] == other);
        found.with_context(|| format!("{list}: no {other}"))
    };
    let session = found("bfd list", "address")?;
    ensure!(session["state"] == "up", "BFD: {session}");
    let link = found("link list", "peer")?;
    ensure!(link["state"] == "good", "{link}");
    let route = host.kernel_route(prefix)?;
    route.map(drop).with_context(|| format!("no {prefix}"))
}

/// All of it is lost with the device, with words; nothing else is, and all of it is back with the next device.
#[test]
fn an_interface_that_vanishes_takes_its_own_and_gives_it_back() -> Result<()> {
    let Some(star) = Star::new(&[], 2)? else {
        return Ok(());
    };
    let far = &star.spokes[0];
    // The second link is of another peer, which shall notice nothing.
    let bystander = peer("192.0.2.2", 65003, "probe = true\nbfd = true\n");
    let here = star.windrosed(&format!("{}{bystander}", config(1, "192.0.1.2", "eth1")))?;
    let there = Windrosed::start(&star.lab, far, &config(2, "192.0.1.1", "eth0"))?;
    let other = ROUTER
        .replace("65001", "65003")
        .replace("192.0.1.1", "192.0.2.2");
    let other = other + &peer("192.0.2.1", 65001, "probe = true\nbfd = true\n");
    let other = Windrosed::start(&star.lab, &star.spokes[1], &other)?;
    let whole = || {
        is_whole(&here, &star.hub, "192.0.1.2", "10.2.0.0/16")?;
        is_whole(&there, far, "192.0.1.1", "10.1.0.0/16")?;
        other.established("192.0.2.1")
    };
    star.soon("both ends", whole)?;
    let before = sessions(&here)?;
    for _ in 0..2 {
        star.hub.ip("link del eth1")?;
        star.soon("the end of the session", || {
            ensure!(here.established("192.0.1.2").is_err(), "it is up");
            ensure!(star.hub.kernel_route("10.2.0.0/16")?.is_none(), "its route");
            Ok(())
        })?;
        star.lab.link((&star.hub, "eth1"), (far, "eth0"))?;
        star.hub.address("eth1", "192.0.1.1/24")?;
        far.address("eth0", "192.0.1.2/24")?;
        star.soon("both ends again", whole)?;
    }
    ensure!(sessions(&here)? == before, "the other peer's session ended");
    Ok(())
}

/// How many sessions the bystander has had.
fn sessions(windrosed: &Windrosed) -> Result<u64> {
    crate::star::sessions(windrosed, "192.0.2.2")
}
