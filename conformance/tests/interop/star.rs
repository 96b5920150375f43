//! windrosed in the middle, peers around it, and the configurations that make them talk.

use std::time::Duration;

use anyhow::{Result, ensure};
use conformance::lab::{ExaBgp, Host, Lab, Windrosed};

/// How long anything may take that takes no timer.
pub const SOON: Duration = Duration::from_secs(15);

/// A hub, and hosts each on a link of its own: on link N (from 1) the hub is 192.0.N.1 and
/// 2001:db8:N::1 at `ethN`, the other end .2 at `eth0`.
pub struct Star {
    pub lab: Lab,
    pub hub: Host,
    pub spokes: Vec<Host>,
}

impl Star {
    /// `None` where something is missing; that was said then.
    pub fn new(programs: &[&str], spokes: usize) -> Result<Option<Self>> {
        let windrosed = Windrosed::program();
        let programs = [programs, &[windrosed.as_str()]].concat();
        let Some(lab) = Lab::for_test(&programs)? else {
            return Ok(None);
        };
        let mut star = Self {
            hub: lab.host("hub")?,
            spokes: Vec::new(),
            lab,
        };
        for n in 1..=spokes {
            let (spoke, interface) = (star.lab.host(&format!("spoke{n}"))?, format!("eth{n}"));
            star.lab.link((&star.hub, &interface), (&spoke, "eth0"))?;
            for (host, interface, end) in [(&star.hub, interface.as_str(), 1), (&spoke, "eth0", 2)]
            {
                host.address(interface, &format!("192.0.{n}.{end}/24"))?;
                host.address(interface, &format!("2001:db8:{n}::{end}/64"))?;
            }
            star.spokes.push(spoke);
        }
        Ok(Some(star))
    }

    pub fn windrosed(&self, config: &str) -> Result<Windrosed> {
        Windrosed::start(&self.lab, &self.hub, config)
    }

    pub fn soon<T>(&self, what: &str, look: impl FnMut() -> Result<T>) -> Result<T> {
        self.lab.eventually(what, SOON, look)
    }
}

/// The links become one, as those of an exchange are: everybody is in 192.0.0.0/16.
pub fn exchange(star: &Star) -> Result<()> {
    star.hub.bridge("lan", "")?;
    for (n, spoke) in (1..).zip(&star.spokes) {
        star.hub.ip(&format!("addr flush dev eth{n}"))?;
        star.hub.ip(&format!("link set eth{n} master lan"))?;
        star.hub.address("lan", &format!("192.0.{n}.1/16"))?;
        spoke.ip("-4 addr flush dev eth0")?;
        spoke.address("eth0", &format!("192.0.{n}.2/16"))?;
    }
    Ok(())
}

/// Succeeds when the session with a peer is not there.
pub fn is_down(windrosed: &Windrosed, peer: &str) -> Result<()> {
    ensure!(windrosed.established(peer).is_err(), "{peer} is up");
    Ok(())
}

/// Succeeds when why the last session with a peer ended has these words, in whatever case.
pub fn ended_for(windrosed: &Windrosed, peer: &str, words: &str) -> Result<()> {
    let row = windrosed.peer(peer)?;
    let why = row["last_error"].as_str().unwrap_or_default();
    ensure!(why.to_lowercase().contains(words), "{peer}: {why:?}");
    Ok(())
}

/// A number of a peer's row, as `/messages/sent`.
pub fn number(windrosed: &Windrosed, peer: &str, at: &str) -> Result<u64> {
    let row = windrosed.peer(peer)?;
    let found = row.pointer(at).and_then(serde_json::Value::as_u64);
    Ok(found.unwrap_or_default())
}

/// How many sessions a peer has had.
pub fn sessions(windrosed: &Windrosed, peer: &str) -> Result<u64> {
    number(windrosed, peer, "/established_count")
}

/// The hub: AS 65001.
pub const ROUTER: &str = r#"
[router]
asn = 65001
router-id = "192.0.1.1"
multipath = 16
"#;

/// A peer that everything is accepted from and announced to; `more` are further keys.
pub fn peer(address: &str, asn: u32, more: &str) -> String {
    format!(
        r#"
[[peer]]
address = "{address}"
asn = {asn}
families = ["ipv4", "ipv6"]
import = ["accept"]
export = ["accept"]
connect-retry = "1s"
{more}
"#
    )
}

/// BIRD on link `n`: a protocol `w` towards the hub that exports its static routes.
pub fn bird(n: u16, asn: u32, options: &str, routes: &[&str]) -> String {
    bird_with(n, asn, options, routes, "accept;")
}

/// The same, with the statements of an export filter.
pub fn bird_with(n: u16, asn: u32, options: &str, routes: &[&str], export: &str) -> String {
    let of = |v6: bool| {
        let routes = routes.iter().filter(move |r| r.contains(':') == v6);
        routes
            .map(|r| format!("route {r} blackhole; "))
            .collect::<String>()
    };
    let (v4, v6) = (of(false), of(true));
    let export =
        format!("import all; export filter {{ if source != RTS_STATIC then reject; {export} }};");
    format!(
        "router id 192.0.{n}.2;
protocol static {{ ipv4; {v4} }}
protocol static {{ ipv6; {v6} }}
protocol bgp w {{
  local 192.0.{n}.2 as {asn}; neighbor 192.0.{n}.1 as 65001;
  connect delay time 1; connect retry time 1; error wait time 1, 2; {options}
  ipv4 {{ {export} }};
  ipv6 {{ {export} }};
}}
"
    )
}

/// FRR on link `n`: `networks` announced through the route map `OUT` of `out` (its `set` lines).
pub fn frr(n: u16, asn: u32, networks: &[&str], out: &str) -> String {
    let of = |v6: bool| {
        let networks = networks.iter().filter(move |r| r.contains(':') == v6);
        networks
            .map(|r| format!("  network {r}\n"))
            .collect::<String>()
    };
    let (v4, v6) = (of(false), of(true));
    format!(
        "route-map OUT permit 10
{out}
exit
router bgp {asn}
 bgp router-id 192.0.{n}.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 192.0.{n}.1 remote-as 65001
 neighbor 192.0.{n}.1 timers connect 1
 address-family ipv4 unicast
{v4}  neighbor 192.0.{n}.1 route-map OUT out
 exit-address-family
 address-family ipv6 unicast
{v6}  neighbor 192.0.{n}.1 activate
  neighbor 192.0.{n}.1 route-map OUT out
 exit-address-family
exit
"
    )
}

/// GoBGP on link `n`.
pub fn gobgp(n: u16, asn: u32) -> String {
    format!(
        r#"
[global.config]
  as = {asn}
  router-id = "192.0.{n}.2"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "192.0.{n}.1"
    peer-as = 65001
  [neighbors.timers.config]
    connect-retry = 1
    idle-hold-time-after-reset = 1
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv6-unicast"
"#
    )
}

/// OpenBGPD on link `n`: `globals` are statements such as `network …`, `options` those of the neighbor.
pub fn openbgpd(n: u16, asn: u32, globals: &str, options: &str) -> String {
    format!(
        "AS {asn}
router-id 192.0.{n}.2
fib-update no
nexthop qualify via default
{globals}
allow from any
allow to any
neighbor 192.0.{n}.1 {{
  remote-as 65001
  announce IPv4 unicast
  announce IPv6 unicast
  {options}
}}
"
    )
}

/// ExaBGP on link `n`: `options` are statements of the neighbor.
pub fn exabgp(n: u16, asn: u32, options: &str) -> String {
    let api = ExaBgp::API;
    format!(
        "neighbor 192.0.{n}.1 {{
  router-id 192.0.{n}.2; local-address 192.0.{n}.2; local-as {asn}; peer-as 65001; hold-time 90;
  family {{ ipv4 unicast; ipv6 unicast; }}
  {options}
  {api}
}}
"
    )
}
