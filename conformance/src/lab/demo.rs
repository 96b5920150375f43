//! Three regions on one machine: `cargo xtask demo`.
//!
//! ```text
//!  pod ─ node 1 (FRR) ─┐                                   ┌─ new-york  (windrosed) ─ pod
//!                      ├─ tokyo (windrosed) ══ WireGuard ══╡        ║
//!  pod ─ node 2 (FRR) ─┘                                   └─ nuremberg (windrosed) ─ pod
//! ```
#![allow(
    clippy::print_stdout,
    reason = "a demonstration speaks to its audience"
)]

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::mesh::{Mesh, REGIONS, Region};
use super::{Echo, Frr, Host, Lab, Sample, Windrosed};

/// How long anything may take to converge.
const SOON: Duration = Duration::from_secs(30);
/// A service address that two regions will answer for.
const VIP: &str = "10.200.0.10/32";
/// What the demonstration runs besides windrosed.
pub const PROGRAMS: [&str; 5] = ["ip", "wg", "nft", "ping", "/usr/lib/frr/bgpd"];

/// Nodes of a region's fabric; without any, Pods are at the gateway itself.
fn nodes(region: &Region) -> u16 {
    if region.code == "tyo" { 2 } else { 0 }
}

/// What the others hear of a region: all its Pods, and those of each node of its fabric.
fn announced(region: &Region) -> Vec<String> {
    let nodes = (1..=nodes(region)).map(|n| format!("{}.{n}.0/24", region.pods()));
    std::iter::once(region.cidr()).chain(nodes).collect()
}

/// Everything that runs.
struct Demo {
    lab: Lab,
    start: Instant,
    mesh: Mesh,
    gateways: Vec<(&'static Region, Host, Windrosed)>,
    nodes: Vec<(Host, Frr)>,
    pods: Vec<(String, Host)>,
}

/// Builds the three regions, shows what they do, and removes them unless told to `keep` them.
///
/// # Errors
/// Something does not come up: says what, with the ends of the logs.
pub fn run(keep: bool) -> Result<()> {
    let (lab, start) = (Lab::new()?, Instant::now());
    step(
        start,
        "three regions: a gateway each, the Internet between them, and a full mesh of WireGuard tunnels",
    );
    let mut demo = Demo {
        mesh: Mesh::new(&lab)?,
        lab,
        start,
        gateways: Vec::new(),
        nodes: Vec::new(),
        pods: Vec::new(),
    };
    demo.build()?;
    demo.converge()?;
    demo.show_tables()?;
    demo.ping_across()?;
    demo.inject()?;
    demo.lose()?;
    if keep {
        return demo.keep();
    }
    demo.step("removing all of it");
    Ok(())
}

fn step(start: Instant, what: &str) {
    let (bold, plain) = match std::io::stdout().is_terminal() {
        true => ("\x1b[1m", "\x1b[0m"),
        false => ("", ""),
    };
    let seconds = start.elapsed().as_secs_f32();
    println!("\n{bold}[{seconds:5.1} s] {what}{plain}");
}

impl Demo {
    fn step(&self, what: &str) {
        step(self.start, what);
    }

    fn build(&mut self) -> Result<()> {
        for (region, _) in self.mesh.gateways() {
            let (name, public, pods) = (region.name, region.public(), region.cidr());
            println!("{name:<10} {public} on the Internet, Pods in {pods}");
        }
        let (tunnels, in_kernel) = self.mesh.tunnels();
        let by = if in_kernel {
            "the kernel"
        } else {
            "wireguard-go (the kernel has none)"
        };
        println!("{tunnels} interfaces by {by}, one a peer, addresses in 10.255.0.0/16");
        let hosts = self.mesh.gateways().to_vec();
        self.step("Pods; in Tokyo behind two FRR routers, each announcing its /24");
        for (region, host) in &hosts {
            self.pods_of(region, host)?;
        }
        self.step("windrosed on each gateway: eBGP with every other region");
        for (region, host) in hosts {
            let config = configuration(region);
            println!(
                "AS {} {}: {} lines of configuration",
                region.asn(),
                region.name,
                config.lines().count()
            );
            let daemon = Windrosed::start(&self.lab, &host, &config)?;
            self.gateways.push((region, host, daemon));
        }
        Ok(())
    }

    fn pods_of(&mut self, region: &Region, gateway: &Host) -> Result<()> {
        if nodes(region) == 0 {
            return self.pod(
                &format!("{}-pod", region.name),
                gateway,
                &format!("{}.1", region.pods()),
            );
        }
        for number in 1..=nodes(region) {
            let name = format!("{}-node{number}", region.name);
            let node = self.lab.host(&name)?;
            let interface = format!("node{number}");
            self.lab.link((gateway, &interface), (&node, "eth0"))?;
            gateway.address(&interface, &format!("172.16.{number}.1/30"))?;
            node.address("eth0", &format!("172.16.{number}.2/30"))?;
            let subnet = format!("{}.{number}", region.pods());
            self.pod(&format!("{name}-pod"), &node, &subnet)?;
            let frr = Frr::start(&self.lab, &node, &frr_configuration(region, number))?;
            self.nodes.push((node, frr));
        }
        Ok(())
    }

    /// A Pod with the tenth address of a /24, its default route to the first.
    fn pod(&mut self, name: &str, router: &Host, subnet: &str) -> Result<()> {
        let pod = Mesh::pod(&self.lab, name, router, subnet)?;
        println!("{name}: {subnet}.10");
        self.pods.push((format!("{subnet}.10"), pod));
        Ok(())
    }

    fn converge(&self) -> Result<()> {
        self.step("waiting for every session, and for the routes in every kernel");
        for (region, host, daemon) in &self.gateways {
            self.lab
                .eventually(&format!("{}'s sessions", region.name), SOON, || {
                    region
                        .others()
                        .try_for_each(|other| daemon.established(&other.tunnel(region)))?;
                    (1..=nodes(region))
                        .try_for_each(|n| daemon.established(&format!("172.16.{n}.2")))
                })?;
            for prefix in REGIONS.iter().flat_map(announced) {
                if prefix == region.cidr() {
                    continue; // its own aggregate
                }
                let what = format!("{prefix} in {}", region.name);
                self.lab.eventually(&what, SOON, || {
                    let route = host.kernel_route(&prefix)?;
                    route.with_context(|| format!("{prefix} is not in the kernel"))
                })?;
            }
        }
        for (node, _) in &self.nodes {
            self.lab
                .eventually("the routes at Tokyo's nodes", SOON, || {
                    node.kernel_route("10.102.0.0/16")?
                        .context("10.102.0.0/16 is missing")
                })?;
        }
        println!("converged");
        Ok(())
    }

    fn show_tables(&self) -> Result<()> {
        for (region, host, daemon) in &self.gateways {
            self.step(&format!(
                "{}: windrose peer list, windrose route list, ip route, ip nexthop",
                region.name
            ));
            println!("{}", daemon.ask("peer list")?);
            println!("{}", daemon.ask("route list")?);
            println!("{}", host.ip("route show proto bgp")?);
            println!("{}", host.ip("nexthop show")?);
        }
        Ok(())
    }

    fn ping_across(&self) -> Result<()> {
        self.step("every Pod pings every other");
        for (_, from) in &self.pods {
            for (to, host) in &self.pods {
                if host.namespace() != from.namespace() {
                    self.lab.eventually("an echo", SOON, || from.ping(to))?;
                    println!("{} → {to}: answered", from.namespace());
                }
            }
        }
        Ok(())
    }

    fn inject(&self) -> Result<()> {
        self.step(&format!(
            "{VIP} is injected at New York and at Nuremberg, next hop their Pod"
        ));
        for (region, host, daemon) in &self.gateways {
            if nodes(region) > 0 {
                continue;
            }
            let pod = format!("{}.1.10", region.pods());
            let at_pod = self.pods.iter().find(|(address, _)| *address == pod);
            let (_, at_pod) = at_pod.context("the Pod of the region")?;
            at_pod.address("lo", VIP)?;
            daemon.ask(&format!(
                "route inject {VIP} --next-hop {pod} --owner demo --install"
            ))?;
            println!(
                "{}: windrose route inject {VIP} --next-hop {pod} --owner demo --install",
                region.name
            );
            self.lab
                .eventually("it in the kernel beside it", SOON, || {
                    let route = host.kernel_route(VIP.trim_end_matches("/32"))?;
                    route.context("not in the kernel")
                })?;
        }
        let (_, tokyo, daemon) = self.gateways.first().context("Tokyo is the first")?;
        let route = self.lab.eventually("ECMP in Tokyo", SOON, || {
            let route = tokyo.kernel_route(VIP.trim_end_matches("/32"))?;
            let route = route.context("not in the kernel")?;
            ensure!(route.next_hops.len() == 2, "{route:?}");
            Ok(route)
        })?;
        self.step("it arrived in Tokyo, over both");
        println!("{}", daemon.ask(&format!("route list {VIP}"))?);
        println!("{}", tokyo.ip("route show 10.200.0.10")?);
        for hop in route.next_hops {
            println!(
                "  via {} on {}",
                hop.gateway.unwrap_or_default(),
                hop.device
            );
        }
        for (_, pod) in self.pods.iter().take(2) {
            self.lab
                .eventually("an echo", SOON, || pod.ping("10.200.0.10"))?;
            println!("{} → 10.200.0.10: answered", pod.namespace());
        }
        Ok(())
    }

    /// What no BGP speaker sees: packets get lost between Tokyo and New York, and the traffic goes over Nuremberg.
    fn lose(&self) -> Result<()> {
        let [tokyo, new_york, _] = &REGIONS;
        let [(_, at_tokyo, daemon), (_, at_new_york, _), ..] = self.gateways.as_slice() else {
            bail!("two gateways at least");
        };
        let both_go = |from_tokyo: &str, from_new_york: &str| {
            goes(at_tokyo, &new_york.cidr(), from_tokyo)?;
            goes(at_new_york, "10.100.1.0/24", from_new_york)
        };
        self.step("links are measured: windrose link list, in Tokyo");
        self.lab.eventually("good links", SOON, || {
            let rows = daemon.rows("link list")?;
            ensure!(rows.len() == 2 && rows.iter().all(|row| row["state"] == "good"));
            both_go("wg-nyc", "wg-tyo")
        })?;
        println!("{}", daemon.ask("link list")?);
        let ((from, near), (to, far)) = (self.pod_in("10.100.1.")?, self.pod_in("10.101.1.")?);
        let echo = Echo::start((near, from), (far, to))?;
        self.step(&format!(
            "an echo each 10 ms from {from} to {to}; now each way between Tokyo and New York loses 20 % of all packets"
        ));
        self.mesh.lose(tokyo, new_york, 20, 20)?;
        let lossy = echo.now();
        self.lab.eventually("the way over Nuremberg", SOON, || {
            both_go("wg-nue", "wg-nue")
        })?;
        let after = (echo.now() - lossy).as_secs_f32();
        println!("both directions go over Nuremberg after {after:.2} s");
        std::thread::sleep(Duration::from_secs(3));
        println!("{}", daemon.ask("link list")?);
        let peer = new_york.tunnel(tokyo);
        println!("{}", daemon.ask(&format!("link history {peer}"))?);
        println!("{}", daemon.ask("peer list")?);
        self.step("the link is whole again; it must prove that before the traffic returns");
        self.mesh.lose(tokyo, new_york, 0, 0)?;
        let healed = echo.now();
        self.lab
            .eventually("the direct way", SOON, || both_go("wg-nyc", "wg-tyo"))?;
        let after = (echo.now() - healed).as_secs_f32();
        println!("both directions are direct again after {after:.1} s");
        std::thread::sleep(Duration::from_secs(1));
        tell_losses(&echo.finish()?, lossy, healed);
        Ok(())
    }

    /// The Pod whose address begins so.
    fn pod_in(&self, subnet: &str) -> Result<(&str, &Host)> {
        let mut pods = self.pods.iter();
        let found = pods.find(|(address, _)| address.starts_with(subnet));
        let (address, host) = found.context("no such Pod")?;
        Ok((address, host))
    }

    fn keep(mut self) -> Result<()> {
        self.lab.keep()?;
        self.step("kept");
        for (region, host, daemon) in &self.gateways {
            let (program, socket) = (daemon.command(), daemon.socket().display());
            let program = program.get_args().nth(3).unwrap_or_default().display();
            println!(
                "{:<10} ip netns exec {} bash",
                region.name,
                host.namespace()
            );
            println!("{:<10} {program} -s unix:{socket} route list", "");
        }
        for (node, frr) in &self.nodes {
            let dir = frr.dir().display();
            println!(
                "{:<10} vtysh --vty_socket {dir} --config_dir {dir}",
                node.namespace()
            );
        }
        println!("\nRemove it with: cargo xtask demo --remove");
        self.gateways
            .into_iter()
            .for_each(|(_, _, daemon)| daemon.detach());
        self.nodes.into_iter().for_each(|(_, frr)| frr.detach());
        self.mesh.detach();
        Ok(())
    }
}

/// Succeeds when a host reaches a prefix by that device alone.
fn goes(host: &Host, to: &str, device: &str) -> Result<()> {
    let route = host.kernel_route(to)?.context("no route")?;
    let hops = route.next_hops.iter();
    let devices: Vec<_> = hops.map(|hop| hop.device.as_str()).collect();
    ensure!(devices == [device], "{to} goes by {devices:?}");
    Ok(())
}

/// How many echoes were lost before the traffic had moved, and how many then.
fn tell_losses(samples: &[Sample], lossy: Duration, healed: Duration) {
    let lost = |sample: &&Sample| sample.reply.is_none();
    let meanwhile = samples.iter().filter(|sample| sample.sent < healed);
    let last = meanwhile.filter(lost).map(|sample| sample.sent).max();
    let last = last.unwrap_or(lossy);
    let (before, then): (Vec<&Sample>, _) = samples
        .iter()
        .filter(|sample| sample.sent >= lossy)
        .partition(|sample| sample.sent <= last);
    let count = |samples: &[&Sample]| samples.iter().copied().filter(lost).count();
    let after = last.saturating_sub(lossy).as_secs_f32();
    println!(
        "until {after:.2} s: {} of {} echoes lost",
        count(&before),
        before.len()
    );
    println!(
        "from then on, and on the way back: {} of {} echoes lost",
        count(&then),
        then.len()
    );
}

fn configuration(region: &Region) -> String {
    let (asn, index, pods) = (region.asn(), region.index, region.pods());
    let mut text = format!(
        r#"[router]
asn = {asn}
router-id = "10.255.0.{index}"
multipath = 16

[fib]
prefsrc = "{pods}.0.1"

[bfd.profile.fast]
transmit = "100ms"
receive = "100ms"

[[originate]]
prefix = "{pods}.0.0/16"

[[peer-group]]
name = "mesh"
families = ["ipv4"]
import = ["accept"]
export = ["accept"]
connect-retry = "1s"
next-hop = "self"
bfd = "fast"
probe = true
aigp = true

# What nodes tell begins here, as far as the mesh is concerned.
[[policy]]
name = "from-nodes"
[[policy.rule]]
set = {{ aigp = 0 }}
then = "accept"

[[peer-group]]
name = "fabric"
families = ["ipv4"]
import = ["from-nodes"]
export = ["accept"]
connect-retry = "1s"
"#
    );
    text.push_str(&region.windrosed_peers());
    for n in 1..=nodes(region) {
        let asn = 65010 + n;
        text.push_str(&format!(
            "\n[[peer]]\naddress = \"172.16.{n}.2\"\nasn = {asn}\ngroup = \"fabric\"\ndescription = \"node\"\n"
        ));
    }
    text
}

fn frr_configuration(region: &Region, number: u16) -> String {
    let (own, gateway, pods) = (65010 + number, region.asn(), region.pods());
    format!(
        "router bgp {own}
 bgp router-id 172.16.{number}.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 172.16.{number}.1 remote-as {gateway}
 neighbor 172.16.{number}.1 timers connect 1
 address-family ipv4 unicast
  network {pods}.{number}.0/24
"
    )
}
