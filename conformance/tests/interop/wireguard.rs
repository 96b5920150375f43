//! WireGuard with one device that peers share: AllowedIPs follow routes, packets follow AllowedIPs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Host, KeyPair, Lab, Stream, Windrosed, WireGuard};

/// As long as sessions may take to come up, and routes to settle.
const WITHIN: Duration = Duration::from_secs(30);

const NAMES: [&str; 3] = ["tyo", "nyc", "nue"];
/// Two gateways have this service, and answer for it.
const SERVICE: &str = "10.200.0.1";

/// Three gateways around a router, each with a device `wg0` on which it has both others as peers.
struct Shared {
    lab: Lab,
    hosts: Vec<Host>,
    keys: Vec<KeyPair>,
    devices: Vec<Option<WireGuard>>,
}

fn tunnel(of: usize) -> String {
    format!("10.255.0.{}", of + 1)
}

fn pods(of: usize) -> String {
    format!("10.10{of}.0.0/16")
}

fn pod(of: usize) -> String {
    format!("10.10{of}.0.1")
}

fn others(of: usize) -> impl Iterator<Item = usize> {
    (0..NAMES.len()).filter(move |other| *other != of)
}

impl Shared {
    fn new() -> Result<Option<Self>> {
        let windrosed = Windrosed::program();
        let Some(lab) = Lab::for_test(&["wg", "wireguard-go", "ping", &windrosed])? else {
            return Ok(None);
        };
        let router = lab.host("router")?;
        let mut hosts = Vec::new();
        for (n, name) in (1..).zip(NAMES) {
            let host = lab.host(name)?;
            lab.link((&host, "eth0"), (&router, &format!("to-{name}")))?;
            host.address("eth0", &format!("198.18.{n}.2/30"))?;
            router.address(&format!("to-{name}"), &format!("198.18.{n}.1/30"))?;
            host.ip(&format!("route add 198.18.0.0/16 via 198.18.{n}.1"))?;
            host.address("lo", &format!("{}/32", pod(n - 1)))?;
            hosts.push(host);
        }
        let keys: Vec<_> = NAMES
            .iter()
            .map(|_| KeyPair::generate())
            .collect::<Result<_>>()?;
        let mut shared = Self {
            lab,
            hosts,
            keys,
            devices: Vec::new(),
        };
        for of in 0..NAMES.len() {
            let device = shared.device(of)?;
            shared.devices.push(Some(device));
        }
        Ok(Some(shared))
    }

    /// wg0 of a gateway as an operator makes it: each peer has its tunnel address, and nothing else.
    fn device(&self, of: usize) -> Result<WireGuard> {
        let device = WireGuard::create(&self.lab, &self.hosts[of], "wg0")?;
        device.set_up(&self.keys[of], 51820, &[&format!("{}/24", tunnel(of))])?;
        for other in others(of) {
            let endpoint = format!("198.18.{}.2:51820", other + 1);
            device.add_peer(
                &self.keys[other],
                &endpoint,
                &format!("{}/32", tunnel(other)),
            )?;
        }
        Ok(device)
    }

    fn config(&self, of: usize, more: &str) -> String {
        let sockets = WireGuard::socket_folder(&self.hosts[of]);
        let mut config = format!(
            "[router]\nasn = 6500{of}\nrouter-id = \"10.255.0.{}\"\n\
             [wireguard]\nmode = \"shared\"\nuapi-dir = \"{}\"\n\
             [fib]\nprefsrc = \"{}\"\n\
             [[originate]]\nprefix = \"{}\"\n{more}\n\
             [[peer-group]]\nname = \"mesh\"\nimport = [\"accept\"]\nexport = [\"accept\"]\nnext-hop = \"self\"\n\
             connect-retry = \"1s\"\nidle-hold = \"1s\"\ngraceful-restart = {{ restart-time = \"60s\" }}\n",
            of + 1,
            sockets.display(),
            pod(of),
            pods(of),
        );
        for other in others(of) {
            config += &format!(
                "[[peer]]\naddress = \"{}\"\nasn = 6500{other}\ngroup = \"mesh\"\ninterface = \"wg0\"\n",
                tunnel(other)
            );
        }
        config
    }

    /// Starts all three; the last two have the service.
    fn start(&self) -> Result<Vec<Windrosed>> {
        for of in [1, 2] {
            self.hosts[of].address("lo", &format!("{SERVICE}/32"))?;
        }
        let service = "[[originate]]\nprefix = \"10.200.0.0/16\"\n";
        let daemons: Vec<_> = (0..NAMES.len())
            .map(|of| {
                let more = if of == 0 { "" } else { service };
                Windrosed::start(&self.lab, &self.hosts[of], &self.config(of, more))
            })
            .collect::<Result<_>>()?;
        for (of, daemon) in daemons.iter().enumerate() {
            self.lab.eventually("sessions", WITHIN, || {
                others(of).try_for_each(|other| daemon.established(&tunnel(other)))
            })?;
            self.lab
                .eventually("prefixes with their peers", WITHIN, || {
                    others(of).try_for_each(|other| self.has(of, other, &pods(other)))
                })?;
        }
        Ok(daemons)
    }

    fn allowed(&self, of: usize, peer: usize) -> Result<Vec<String>> {
        let device = self.devices[of].as_ref().context("no device")?;
        device.allowed_ips(&self.keys[peer])
    }

    /// Whether `peer` has the prefix on the device of `of`.
    fn has(&self, of: usize, peer: usize, prefix: &str) -> Result<()> {
        let allowed = self.allowed(of, peer)?;
        ensure!(
            allowed.iter().any(|net| net == prefix),
            "{} at {} has {allowed:?} and not {prefix}",
            NAMES[peer],
            NAMES[of]
        );
        Ok(())
    }

    fn log(&self, of: usize) -> Result<String> {
        Ok(std::fs::read_to_string(
            self.hosts[of].dir().join("windrosed.log"),
        )?)
    }

    fn ping(&self, from: usize, to: &str) -> Result<()> {
        self.hosts[from]
            .run(&format!("ping -c 1 -W 1 -I {} {to}", pod(from)))
            .map(drop)
    }
}

#[test]
fn a_route_that_moves_to_another_peer_of_the_device_loses_no_packet() -> Result<()> {
    let Some(lab) = Shared::new()? else {
        return Ok(());
    };
    let daemons = lab.start()?;
    let service = "10.200.0.0/16";
    lab.lab
        .eventually("the service at New York", WITHIN, || lab.has(0, 1, service))?;
    lab.lab
        .eventually("an answer", WITHIN, || lab.ping(0, SERVICE))?;
    let there = [&lab.hosts[1], &lab.hosts[2]];
    let stream = Stream::start_to_any((&lab.hosts[0], &pod(0)), &there, SERVICE)?;
    for _ in 0..5 {
        // New York leaves in peace and returns: what is in flight to it is still answered.
        daemons[1].ask("drain --grace 60s")?;
        lab.lab.eventually("the service at Nuremberg", WITHIN, || {
            lab.has(0, 2, service)
        })?;
        ensure!(lab.has(0, 1, service).is_err(), "two peers have one prefix");
        daemons[1].ask("undrain")?;
        lab.lab
            .eventually("the service at New York", WITHIN, || lab.has(0, 1, service))?;
        ensure!(lab.has(0, 2, service).is_err(), "two peers have one prefix");
    }
    let sent = stream.lost_none()?;
    println!("ten moves, none of {sent} packets lost");
    Ok(())
}

#[test]
fn when_a_session_ends_both_ends_go_by_the_third_gateway_and_come_back() -> Result<()> {
    let Some(lab) = Shared::new()? else {
        return Ok(());
    };
    let daemons = lab.start()?;
    lab.lab
        .eventually("an echo", WITHIN, || lab.ping(0, &pod(1)))?;
    let stream = Stream::start((&lab.hosts[0], &pod(0)), (&lab.hosts[1], &pod(1)))?;
    std::thread::sleep(Duration::from_millis(500));
    daemons[0].ask(&format!("peer disable {}", tunnel(1)))?;
    lab.lab.eventually("both by Nuremberg", WITHIN, || {
        lab.has(0, 2, &pods(1))?;
        lab.has(1, 2, &pods(0))?;
        lab.ping(0, &pod(1))
    })?;
    for (of, peer) in [(0, 1), (1, 0)] {
        let allowed = lab.allowed(of, peer)?;
        ensure!(allowed == [format!("{}/32", tunnel(peer))], "{allowed:?}");
    }
    daemons[0].ask(&format!("peer enable {}", tunnel(1)))?;
    lab.lab.eventually("both directly", WITHIN, || {
        lab.has(0, 1, &pods(1))?;
        lab.has(1, 0, &pods(0))?;
        lab.ping(0, &pod(1))
    })?;
    std::thread::sleep(Duration::from_millis(500));
    let (sent, lost) = stream.end()?;
    // The skew between the two ends, twice; a packet each 5 ms.
    println!("{} of {sent} packets lost in two moves", lost.len());
    ensure!(lost.len() < 200, "{} of {sent} lost: {lost:?}", lost.len());
    Ok(())
}

#[test]
fn a_restart_finds_what_it_left_and_others_prefixes_stay() -> Result<()> {
    let Some(lab) = Shared::new()? else {
        return Ok(());
    };
    // The operator gave this to Nuremberg; Tokyo hears it from New York.
    let foreign = "10.88.0.0/16";
    let device = lab.devices[0].as_ref().context("no device")?;
    let endpoint = "198.18.3.2:51820";
    device.add_peer(
        &lab.keys[2],
        endpoint,
        &format!("{}/32,{foreign}", tunnel(2)),
    )?;
    let mut daemons = lab.start()?;
    daemons[1].ask(&format!("route inject {foreign} --next-hop {}", tunnel(2)))?;
    lab.lab.eventually("the notice", WITHIN, || {
        ensure!(
            lab.log(0)?
                .contains("10.88.0.0/16 is among the AllowedIPs of another peer"),
            "not yet"
        );
        Ok(())
    })?;
    let stream = Stream::start((&lab.hosts[0], &pod(0)), (&lab.hosts[1], &pod(1)))?;
    daemons[0].process().kill()?;
    lab.has(0, 1, &pods(1))?;
    daemons[0].restart(&lab.lab)?;
    lab.lab
        .eventually("sessions", WITHIN, || daemons[0].established(&tunnel(1)))?;
    lab.lab.eventually("it found them", WITHIN, || {
        ensure!(
            lab.log(0)?.contains("AllowedIPs of an earlier life found"),
            "not yet"
        );
        Ok(())
    })?;
    stream.lost_none()?;
    lab.has(0, 1, &pods(1))?;
    lab.has(0, 2, foreign)?;
    // They are its own, to move and to take.
    daemons[0].ask(&format!("peer disable {}", tunnel(1)))?;
    lab.lab
        .eventually("it moves", WITHIN, || lab.has(0, 2, &pods(1)))?;
    lab.has(0, 2, foreign)
}

#[test]
fn wireguard_go_that_dies_and_returns_is_given_all_again() -> Result<()> {
    let Some(mut lab) = Shared::new()? else {
        return Ok(());
    };
    let device = lab.devices[0].take().context("no device")?;
    if device.in_kernel() {
        println!("SKIPPED: the kernel's WireGuard does not die");
        return Ok(());
    }
    lab.devices[0] = Some(device);
    let daemons = lab.start()?;
    lab.devices[0].take().context("no device")?.crash()?;
    lab.lab.eventually("the notice", WITHIN, || {
        ensure!(lab.log(0)?.contains("wg0 is gone"), "not yet");
        Ok(())
    })?;
    // What a crash leaves: a socket at which nobody listens.
    ensure!(
        Path::new(&WireGuard::socket_folder(&lab.hosts[0]))
            .join("wg0.sock")
            .exists()
    );
    lab.devices[0] = Some(lab.device(0)?);
    for other in others(0) {
        lab.lab
            .eventually("sessions again", Duration::from_secs(90), || {
                daemons[0].established(&tunnel(other))
            })?;
        lab.lab.eventually("prefixes again", WITHIN, || {
            lab.has(0, other, &pods(other))?;
            lab.ping(0, &pod(other))
        })?;
    }
    Ok(())
}
