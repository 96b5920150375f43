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

use anyhow::{Context as _, Result, ensure};

use super::{Frr, Host, KeyPair, Lab, Windrosed, WireGuard};

/// How long anything may take to converge.
const SOON: Duration = Duration::from_secs(30);
/// A service address that two regions will answer for.
const VIP: &str = "10.200.0.10/32";
/// What the demonstration runs besides windrosed.
pub const PROGRAMS: [&str; 5] = ["ip", "wg", "nft", "ping", "/usr/lib/frr/bgpd"];

struct Region {
    name: &'static str,
    /// Three letters, for interface names.
    code: &'static str,
    /// Numbers its addresses: AS 65000 + it, tunnels 10.255.XY.X, Pods 10.(99 + it).0.0/16.
    index: u16,
    /// Where its Pods are: on nodes of a fabric, or at the gateway itself.
    nodes: u16,
}

const REGIONS: [Region; 3] = [
    Region {
        name: "tokyo",
        code: "tyo",
        index: 1,
        nodes: 2,
    },
    Region {
        name: "new-york",
        code: "nyc",
        index: 2,
        nodes: 0,
    },
    Region {
        name: "nuremberg",
        code: "nue",
        index: 3,
        nodes: 0,
    },
];

impl Region {
    fn asn(&self) -> u16 {
        65000 + self.index
    }

    /// The first two octets of its Pods.
    fn pods(&self) -> String {
        format!("10.{}", 99 + self.index)
    }

    /// All of its Pods.
    fn cidr(&self) -> String {
        format!("{}.0.0/16", self.pods())
    }

    /// What the others hear of it: all its Pods, and those of each node of its fabric.
    fn announced(&self) -> Vec<String> {
        let nodes = (1..=self.nodes).map(|n| format!("{}.{n}.0/24", self.pods()));
        std::iter::once(self.cidr()).chain(nodes).collect()
    }

    /// Its address on the Internet between the gateways.
    fn public(&self) -> String {
        format!("198.18.{}.2", self.index)
    }

    /// Its address in the tunnel to another region.
    fn tunnel(&self, other: &Self) -> String {
        let (low, high) = (self.index.min(other.index), self.index.max(other.index));
        format!("10.255.{low}{high}.{}", self.index)
    }

    fn others(&self) -> impl Iterator<Item = &'static Self> {
        let index = self.index;
        REGIONS.iter().filter(move |region| region.index != index)
    }
}

/// Everything that runs.
struct Demo {
    lab: Lab,
    start: Instant,
    internet: Host,
    gateways: Vec<(&'static Region, Host, Windrosed)>,
    nodes: Vec<(Host, Frr)>,
    tunnels: Vec<WireGuard>,
    pods: Vec<(String, Host)>,
}

/// Builds the three regions, shows what they do, and removes them unless told to `keep` them.
///
/// # Errors
/// Something does not come up: says what, with the ends of the logs.
pub fn run(keep: bool) -> Result<()> {
    let lab = Lab::new()?;
    let internet = lab.host("internet")?;
    let mut demo = Demo {
        lab,
        start: Instant::now(),
        internet,
        gateways: Vec::new(),
        nodes: Vec::new(),
        tunnels: Vec::new(),
        pods: Vec::new(),
    };
    demo.build()?;
    demo.converge()?;
    demo.show_tables()?;
    demo.ping_across()?;
    demo.inject()?;
    if keep {
        return demo.keep();
    }
    demo.step("removing all of it");
    Ok(())
}

impl Demo {
    fn step(&self, what: &str) {
        let (bold, plain) = match std::io::stdout().is_terminal() {
            true => ("\x1b[1m", "\x1b[0m"),
            false => ("", ""),
        };
        let seconds = self.start.elapsed().as_secs_f32();
        println!("\n{bold}[{seconds:5.1} s] {what}{plain}");
    }

    fn build(&mut self) -> Result<()> {
        self.step("three regions: a namespace each, and one for the Internet between them");
        let mut hosts = Vec::new();
        for region in &REGIONS {
            hosts.push((region, self.gateway(region)?));
        }
        self.step("a full mesh of WireGuard tunnels in 10.255.0.0/16, an interface a peer");
        self.mesh(&hosts)?;
        let in_kernel = self.tunnels.iter().all(WireGuard::in_kernel);
        let by = if in_kernel {
            "the kernel"
        } else {
            "wireguard-go (the kernel has none)"
        };
        println!("{} interfaces by {by}", self.tunnels.len());
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

    fn gateway(&self, region: &Region) -> Result<Host> {
        let host = self.lab.host(region.name)?;
        let interface = format!("to-{}", region.code);
        self.lab
            .link((&host, "eth0"), (&self.internet, &interface))?;
        let router = format!("198.18.{}.1", region.index);
        self.internet.address(&interface, &format!("{router}/30"))?;
        host.address("eth0", &format!("{}/30", region.public()))?;
        host.ip(&format!("route add 198.18.0.0/16 via {router}"))?;
        host.address("lo", &format!("{}.0.1/32", region.pods()))?;
        println!(
            "{:<10} {} on the Internet, Pods in {}.0.0/16",
            region.name,
            region.public(),
            region.pods()
        );
        Ok(host)
    }

    fn mesh(&mut self, hosts: &[(&'static Region, Host)]) -> Result<()> {
        let keys: Vec<_> = REGIONS
            .iter()
            .map(|_| KeyPair::generate())
            .collect::<Result<_>>()?;
        for ((region, host), own) in hosts.iter().zip(&keys) {
            for (other, theirs) in REGIONS.iter().zip(&keys) {
                if other.index == region.index {
                    continue;
                }
                let tunnel = WireGuard::create(&self.lab, host, &format!("wg-{}", other.code))?;
                let endpoint = format!("{}:{}", other.public(), 51820 + region.index);
                let address = format!("{}/24", region.tunnel(other));
                let link_local = format!("fe80::{}/64", region.index);
                tunnel.connect(
                    own,
                    51820 + other.index,
                    (theirs, &endpoint),
                    &[&address, &link_local],
                )?;
                self.tunnels.push(tunnel);
            }
        }
        Ok(())
    }

    fn pods_of(&mut self, region: &Region, gateway: &Host) -> Result<()> {
        if region.nodes == 0 {
            return self.pod(
                &format!("{}-pod", region.name),
                gateway,
                &format!("{}.1", region.pods()),
            );
        }
        for number in 1..=region.nodes {
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
        let pod = self.lab.host(name)?;
        router.bridge("br-pod", &format!("{subnet}.1/24"))?;
        self.lab.link((&pod, "eth0"), (router, "pod"))?;
        router.ip("link set pod master br-pod")?;
        pod.address("eth0", &format!("{subnet}.10/24"))?;
        pod.ip(&format!("route add default via {subnet}.1"))?;
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
                    (1..=region.nodes)
                        .try_for_each(|n| daemon.established(&format!("172.16.{n}.2")))
                })?;
            for prefix in REGIONS.iter().flat_map(Region::announced) {
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
            if region.nodes > 0 {
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
        self.tunnels.into_iter().for_each(WireGuard::detach);
        Ok(())
    }
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

[[originate]]
prefix = "{pods}.0.0/16"

[[peer-group]]
name = "mesh"
families = ["ipv4"]
import = ["accept"]
export = ["accept"]
connect-retry = "1s"
"#
    );
    let tunnels = region.others().map(|o| (o.tunnel(region), o.asn(), o.name));
    let nodes = (1..=region.nodes).map(|n| (format!("172.16.{n}.2"), 65010 + n, "node"));
    for (address, asn, name) in tunnels.chain(nodes) {
        text.push_str(&format!(
            "\n[[peer]]\naddress = \"{address}\"\nasn = {asn}\ngroup = \"mesh\"\ndescription = \"{name}\"\n"
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
