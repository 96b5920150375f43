//! `windrose link check`: each thing that can be wrong with a link is provoked, seen, mended, and seen no more.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Host, KeyPair, Lab, Windrosed, WireGuard};
use serde_json::Value;

const WITHIN: Duration = Duration::from_secs(30);

/// Two gateways with a WireGuard device each, around a router.
struct Pair {
    lab: Lab,
    router: Host,
    hosts: [Host; 2],
    keys: [KeyPair; 2],
    devices: Vec<WireGuard>,
    daemons: Vec<Windrosed>,
}

impl Pair {
    fn new() -> Result<Option<Self>> {
        let windrosed = Windrosed::program();
        let Some(lab) = Lab::for_test(&["wg", "wireguard-go", "nft", &windrosed])? else {
            return Ok(None);
        };
        let router = lab.host("router")?;
        let hosts = [lab.host("tyo")?, lab.host("nyc")?];
        let keys = [KeyPair::generate()?, KeyPair::generate()?];
        let mut pair = Self {
            lab,
            router,
            hosts,
            keys,
            devices: Vec::new(),
            daemons: Vec::new(),
        };
        for (n, host) in (1..).zip(&pair.hosts) {
            let port = format!("to-{n}");
            pair.lab.link((host, "eth0"), (&pair.router, &port))?;
            host.address("eth0", &format!("198.18.{n}.2/30"))?;
            pair.router.address(&port, &format!("198.18.{n}.1/30"))?;
            host.ip(&format!("route add 198.18.0.0/16 via 198.18.{n}.1"))?;
            let device = WireGuard::create(&pair.lab, host, "wg0")?;
            pair.devices.push(device);
        }
        for of in 0..2 {
            let device = &pair.devices[of];
            device.set_up(
                &pair.keys[of],
                51820,
                &[&format!("10.255.12.{}/24", of + 1)],
            )?;
            pair.allow(of, "0.0.0.0/0,::/0")?;
        }
        for of in 0..2 {
            let daemon = Windrosed::start(&pair.lab, &pair.hosts[of], &pair.config(of))?;
            pair.daemons.push(daemon);
        }
        pair.lab.eventually("a session", WITHIN, || {
            pair.daemons[0].established("10.255.12.2")?;
            pair.daemons[0].path("10.101.0.0/16")
        })?;
        Ok(Some(pair))
    }

    /// What the peer of a device may send and is sent.
    fn allow(&self, of: usize, nets: &str) -> Result<()> {
        let other = 1 - of;
        let endpoint = format!("198.18.{}.2:51820", other + 1);
        self.devices[of].add_peer(&self.keys[other], &endpoint, nets)
    }

    fn config(&self, of: usize) -> String {
        format!(
            "[router]\nasn = 6500{of}\nrouter-id = \"10.255.0.{}\"\n\
             [wireguard]\nuapi-dir = \"{}\"\n\
             [[originate]]\nprefix = \"10.10{of}.0.0/16\"\n\
             [[peer]]\naddress = \"10.255.12.{}\"\nasn = 6500{}\ninterface = \"wg0\"\nprobe = true\n\
             import = [\"accept\"]\nexport = [\"accept\"]\nconnect-retry = \"1s\"\n",
            of + 1,
            WireGuard::socket_folder(&self.hosts[of]).display(),
            2 - of,
            1 - of,
        )
    }

    /// What Tokyo finds, and whether the command failed.
    fn check(&self) -> Result<(Vec<Value>, bool)> {
        let mut command = self.daemons[0].command();
        let output = command.args(["link", "check", "-o", "json"]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let rows: Vec<Value> = serde_json::from_str(&text).with_context(|| text.clone())?;
        let bad = rows.iter().any(|row| row["verdict"] == "bad");
        ensure!(
            bad == (output.status.code() == Some(1)),
            "{:?}: {text}",
            output.status
        );
        Ok((rows, bad))
    }

    /// Whether nothing is bad, odd or unknown.
    fn is_healthy(&self) -> Result<()> {
        let (rows, _) = self.check()?;
        let good = |row: &Value| row["verdict"] == "good";
        let all_good = rows.iter().all(good);
        ensure!(all_good, "{rows:#?}");
        Ok(())
    }

    /// Provokes something, sees that it is found and nothing else, mends it, and sees it no more.
    fn finds(&self, check: &str, verdict: &str, provoke: &str, mend: &str) -> Result<()> {
        self.hosts[0].run(provoke)?;
        let (rows, _) = self.check()?;
        self.hosts[0].run(mend)?;
        let wrong: Vec<_> = rows.iter().filter(|row| row["verdict"] != "good").collect();
        ensure!(wrong.len() == 1, "{check}: {wrong:#?}");
        ensure!(
            wrong[0]["check"] == check && wrong[0]["verdict"] == verdict,
            "{wrong:#?}"
        );
        ensure!(wrong[0]["remedy"].is_string(), "{wrong:#?}");
        self.is_healthy()
            .with_context(|| format!("{check} is mended"))
    }
}

#[test]
fn a_healthy_link_is_good_and_settings_that_drop_packets_are_found() -> Result<()> {
    let Some(pair) = Pair::new()? else {
        return Ok(());
    };
    pair.lab
        .eventually("a healthy link", WITHIN, || pair.is_healthy())?;
    let rows = pair.check()?.0;
    for check in [
        "allowed-ips",
        "handshake",
        "rp-filter",
        "forwarding",
        "mtu",
        "clock",
        "hash-policy",
        "compat-mode",
    ] {
        ensure!(
            rows.iter().any(|row| row["check"] == check),
            "no {check}: {rows:#?}"
        );
    }
    let sysctl = |name: &str, value: u8| format!("sysctl -qw net.{name}={value}");
    for (check, verdict, name, wrong, right) in [
        ("rp-filter", "bad", "ipv4.conf.wg0.rp_filter", 1, 0),
        ("forwarding", "bad", "ipv4.conf.wg0.forwarding", 0, 1),
        (
            "hash-policy",
            "warning",
            "ipv4.fib_multipath_hash_policy",
            0,
            1,
        ),
        ("compat-mode", "warning", "ipv4.nexthop_compat_mode", 1, 0),
    ] {
        pair.finds(check, verdict, &sysctl(name, wrong), &sysctl(name, right))?;
    }
    Ok(())
}

#[test]
fn allowed_ips_that_drop_what_is_announced_are_found() -> Result<()> {
    let Some(pair) = Pair::new()? else {
        return Ok(());
    };
    pair.lab
        .eventually("a healthy link", WITHIN, || pair.is_healthy())?;
    pair.allow(0, "10.255.12.2/32")?;
    let (rows, bad) = pair.check()?;
    ensure!(bad);
    let found = rows.iter().find(|row| row["check"] == "allowed-ips");
    let found = found.context("no finding")?["found"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        found.contains("1 of 1 prefixes") && found.contains("10.101.0.0/16"),
        "{found}"
    );
    pair.allow(0, "10.255.12.2/32,10.101.0.0/16")?;
    pair.is_healthy()?;
    // What is shown of a link has the tunnel's own word for it.
    let shown = pair.daemons[0].rows("link show 10.255.12.2")?;
    let tunnel = &shown[0]["tunnel"];
    ensure!(tunnel["received_octets"].as_u64() > Some(0), "{shown:?}");
    ensure!(tunnel["handshake_age_s"].as_u64() < Some(180), "{shown:?}");
    Ok(())
}

#[test]
fn a_link_that_swallows_large_packets_is_found_with_the_size_that_passes() -> Result<()> {
    let Some(pair) = Pair::new()? else {
        return Ok(());
    };
    pair.lab
        .eventually("a healthy link", WITHIN, || pair.is_healthy())?;
    // The way beneath the tunnel passes nothing larger, and says nothing.
    let rules = "add table inet mtu\nadd chain inet mtu f { type filter hook forward priority 0; }\n\
                 add rule inet mtu f meta length > 1452 drop\n";
    let file = pair.router.dir().join("mtu.nft");
    std::fs::write(&file, rules)?;
    pair.router.run(&format!("nft -f {}", file.display()))?;
    let (rows, bad) = pair.check()?;
    ensure!(bad);
    let wrong: Vec<_> = rows.iter().filter(|row| row["verdict"] != "good").collect();
    ensure!(wrong.len() == 1 && wrong[0]["check"] == "mtu", "{wrong:#?}");
    let found = wrong[0]["found"].as_str().unwrap_or_default();
    ensure!(
        found.contains("1420 octets") && found.contains("more than 1380"),
        "{found}"
    );
    pair.daemons[0]
        .established("10.255.12.2")
        .context("the session lives on")?;
    pair.router.run("nft delete table inet mtu")?;
    pair.is_healthy()
}

#[test]
fn a_peer_that_does_not_answer_and_a_device_that_is_missing_are_told_apart() -> Result<()> {
    let Some(mut pair) = Pair::new()? else {
        return Ok(());
    };
    pair.lab
        .eventually("a healthy link", WITHIN, || pair.is_healthy())?;
    pair.daemons[1].process().kill()?;
    let (rows, bad) = pair.check()?;
    let wrong: Vec<_> = rows.iter().filter(|row| row["verdict"] != "good").collect();
    ensure!(!bad && wrong.len() == 1, "{rows:#?}");
    ensure!(
        wrong[0]["check"] == "mtu" && wrong[0]["verdict"] == "unknown",
        "{wrong:#?}"
    );
    pair.hosts[0].ip("link set wg0 down")?;
    pair.hosts[0].ip("link set wg0 name wg9")?;
    let (rows, bad) = pair.check()?;
    let device = rows.iter().find(|row| row["check"] == "device");
    ensure!(
        bad && device.context("no finding")?["verdict"] == "bad",
        "{rows:#?}"
    );
    Ok(())
}
