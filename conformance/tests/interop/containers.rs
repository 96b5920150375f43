//! FRR and windrosed in containers exchange routes, and a packet flows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use conformance::lab::{Container, Engine, Host, Lab, Windrosed};

use crate::star::{ROUTER, frr, peer};

/// Containers are slower to start than processes.
const SOON: Duration = Duration::from_secs(30);
const PROGRAMS: [&str; 3] = ["podman", "runc", "mmdebstrap"];

/// Starts FRR's daemons in a container; the sockets are where they always are.
const START_FRR: &str = "cp -r /conf/. /etc/frr && chown -R frr:frr /etc/frr && mkdir -p /run/frr && \
    chown frr:frr /run/frr && /usr/lib/frr/zebra -d -A 127.0.0.1 && /usr/lib/frr/bgpd -d -A 127.0.0.1 && \
    vtysh -b && exec sleep infinity";

fn start_frr(engine: &Engine, host: &Host, config: &str) -> Result<Container> {
    let dir = host.dir().join("etc-frr");
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join("frr.conf"), config)?;
    std::fs::write(dir.join("vtysh.conf"), "")?;
    engine.start(host, &[(&dir, "/conf:ro")], START_FRR)
}

fn established(container: &Container, neighbor: &str) -> Result<()> {
    let said = container.run(&["vtysh", "-c", &format!("show bgp neighbors {neighbor}")])?;
    ensure!(said.contains("BGP state = Established"), "{said}");
    Ok(())
}

/// Two hosts on a wire, each with a network of its own behind it.
fn two_hosts(lab: &Lab, names: [&str; 2], link: u16) -> Result<[Host; 2]> {
    let [left, right] = [lab.host(names[0])?, lab.host(names[1])?];
    let inside = format!("to-{}", names[1]);
    lab.link((&left, &inside), (&right, "eth0"))?;
    left.address(&inside, &format!("192.0.{link}.1/24"))?;
    right.address("eth0", &format!("192.0.{link}.2/24"))?;
    Ok([left, right])
}

#[test]
fn two_frr_containers_talk() -> Result<()> {
    let Some(lab) = Lab::for_test(&PROGRAMS)? else {
        return Ok(());
    };
    let engine = Engine::prepare()?;
    let [left, right] = two_hosts(&lab, ["left", "right"], 1)?;
    left.bridge("pods", "10.1.0.1/16")?;
    right.bridge("pods", "10.2.0.1/16")?;
    let config = frr(1, 65001, &["10.1.0.0/16"], "").replace("192.0.1.1", "192.0.1.2");
    let config = config.replace("remote-as 65001", "remote-as 65002");
    let first = start_frr(&engine, &left, &config)?;
    let second = start_frr(&engine, &right, &frr(1, 65002, &["10.2.0.0/16"], ""))?;
    lab.eventually("both sessions", SOON, || {
        established(&first, "192.0.1.2")?;
        established(&second, "192.0.1.1")
    })?;
    lab.eventually("a packet", SOON, || {
        first.run(&["ping", "-c", "1", "-W", "1", "-I", "10.1.0.1", "10.2.0.1"])
    })?;
    Ok(())
}

#[test]
fn windrosed_between_two_frr_containers() -> Result<()> {
    let (windrosed, windrose) = (Windrosed::program(), Windrosed::command_line_program());
    let needs = [&PROGRAMS[..], &[windrosed.as_str(), windrose.as_str()]].concat();
    let Some(lab) = Lab::for_test(&needs)? else {
        return Ok(());
    };
    let engine = Engine::prepare()?;
    let hub = lab.host("hub")?;
    let mut routers = Vec::new();
    for n in [1u16, 2] {
        let (spoke, inside) = (lab.host(&format!("frr{n}"))?, format!("eth{n}"));
        lab.link((&hub, &inside), (&spoke, "eth0"))?;
        hub.address(&inside, &format!("192.0.{n}.1/24"))?;
        spoke.address("eth0", &format!("192.0.{n}.2/24"))?;
        spoke.bridge("pods", &format!("10.{n}.0.1/16"))?;
        let config = frr(n, 65001 + u32::from(n), &[&format!("10.{n}.0.0/16")], "");
        routers.push(start_frr(&engine, &spoke, &config)?);
    }
    let config = [
        ROUTER.to_owned(),
        peer("192.0.1.2", 65002, ""),
        peer("192.0.2.2", 65003, ""),
    ];
    let container = start_windrosed(&engine, &hub, &config.concat(), [&windrosed, &windrose])?;
    lab.eventually("both sessions", SOON, || {
        established(&routers[0], "192.0.1.1")?;
        established(&routers[1], "192.0.2.1")
    })
    .map_err(|e| e.context(container.log().unwrap_or_default()))?;
    lab.eventually("a packet", SOON, || {
        routers[0].run(&["ping", "-c", "1", "-W", "1", "-I", "10.1.0.1", "10.2.0.1"])
    })?;
    let said = container.run(&["windrose", "route", "list", "-o", "json"])?;
    ensure!(
        said.contains("10.1.0.0/16") && said.contains("10.2.0.0/16"),
        "{said}"
    );
    Ok(())
}

/// The same image, our two binaries mounted into it.
fn start_windrosed(
    engine: &Engine,
    host: &Host,
    config: &str,
    programs: [&String; 2],
) -> Result<Container> {
    let file = host.dir().join("windrose.toml");
    std::fs::write(&file, config)?;
    let [daemon, command] = programs.map(PathBuf::from);
    let mounts: [(&Path, &str); 3] = [
        (&file, "/etc/windrose/windrose.toml:ro"),
        (&daemon, "/usr/local/bin/windrosed:ro"),
        (&command, "/usr/local/bin/windrose:ro"),
    ];
    engine.start(host, &mounts, "mkdir -p /run/windrose && exec windrosed")
}
