//! Graceful shutdown (RFC 8326): packets through two gateways, one of which leaves.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Bird, Frr, Host, Lab, Stream, Windrosed};

use crate::star::{SOON, peer};

const FRR: &str = "/usr/lib/frr/bgpd";
/// Behind BIRD at the one end; behind FRR at the other is [`TARGET`].
const SOURCE: &str = "10.10.0.1";
/// Likewise.
const TARGET: &str = "10.20.0.1";
/// How long peers have to move away.
const GRACE: Duration = Duration::from_secs(5);

/// BIRD at one end, FRR at the other, and two gateways between them, of which the first one has the shorter paths.
struct Diamond {
    lab: Lab,
    source: Host,
    target: Host,
    gateways: [Host; 2],
}

impl Diamond {
    fn new() -> Result<Option<Self>> {
        let programs = ["bird", FRR, &Windrosed::program()];
        let Some(lab) = Lab::for_test(&programs)? else {
            return Ok(None);
        };
        let (source, target) = (lab.host("source")?, lab.host("target")?);
        let gateways = [lab.host("gw1")?, lab.host("gw2")?];
        for (host, address) in [(&source, SOURCE), (&target, TARGET)] {
            host.address("lo", &format!("{address}/32"))?;
        }
        for (n, gateway) in (1..).zip(&gateways) {
            let end = format!("eth{n}");
            for (side, host) in [(1, &source), (2, &target)] {
                let ours = format!("eth{side}");
                lab.link((gateway, &ours), (host, &end))?;
                gateway.address(&ours, &format!("192.0.{n}{side}.1/24"))?;
                host.address(&end, &format!("192.0.{n}{side}.2/24"))?;
            }
        }
        Ok(Some(Self {
            lab,
            source,
            target,
            gateways,
        }))
    }

    /// Both gateways. The second one makes its paths longer.
    fn windroseds(&self) -> Result<[Windrosed; 2]> {
        let start = |n: usize, prepend: &str| {
            let asn = 65000 + n;
            let router = format!("[router]\nasn = {asn}\nrouter-id = \"192.0.{n}1.1\"\n");
            let far = |side: usize| peer(&format!("192.0.{n}{side}.2"), 65009 + side as u32, "");
            let out = format!("[[policy]]\nname = \"out\"\ndefault = \"accept\"\n{prepend}\n");
            let config = format!("{router}{}{}{out}", far(1), far(2));
            let config = config.replace("export = [\"accept\"]", "export = [\"out\"]");
            let host = self.gateways.get(n - 1).context("a gateway")?;
            Windrosed::start(&self.lab, host, &config)
        };
        let prepend = "[[policy.rule]]\nset = { prepend = { asn = 65002, count = 2 } }";
        Ok([start(1, "")?, start(2, prepend)?])
    }

    fn bird(&self) -> Result<Bird> {
        let session = |n: usize| {
            format!(
                "protocol bgp gw{n} {{
  local 192.0.{n}1.2 as 65010; neighbor 192.0.{n}1.1 as {};
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 {{
    import filter {{ if (65535, 0) ~ bgp_community then bgp_local_pref = 0; accept; }};
    export where source = RTS_STATIC;
  }};
}}
",
                65000 + n
            )
        };
        let config = format!(
            "router id 192.0.11.2;
protocol static {{ ipv4; route 10.10.0.0/16 blackhole; }}
protocol kernel {{ ipv4 {{ export where source = RTS_BGP; }}; }}
{}{}",
            session(1),
            session(2)
        );
        Bird::start(&self.lab, &self.source, &config)
    }

    fn frr(&self) -> Result<Frr> {
        let neighbor = |n: usize| {
            format!(
                " neighbor 192.0.{n}2.1 remote-as {}\n neighbor 192.0.{n}2.1 timers connect 1\n",
                65000 + n
            )
        };
        let config = format!(
            "router bgp 65011
 bgp router-id 192.0.12.2
 no bgp ebgp-requires-policy
 no bgp network import-check
{}{} address-family ipv4 unicast
  network 10.20.0.0/16
 exit-address-family
exit
",
            neighbor(1),
            neighbor(2)
        );
        Frr::start(&self.lab, &self.target, &config)
    }

    /// Succeeds when both ends send over gateway `n`.
    fn goes_over(&self, n: usize) -> Result<()> {
        for (host, prefix) in [
            (&self.source, "10.20.0.0/16"),
            (&self.target, "10.10.0.0/16"),
        ] {
            let route = host.kernel_route(prefix)?;
            let route = route.with_context(|| format!("{prefix} is not in the kernel"))?;
            let device = format!("eth{n}");
            let there = route.next_hops.iter().all(|hop| hop.device == device);
            ensure!(there, "{route:?}");
        }
        Ok(())
    }

    /// A stream each way.
    fn streams(&self) -> Result<[Stream; 2]> {
        let (source, target) = ((&self.source, SOURCE), (&self.target, TARGET));
        Ok([
            Stream::start(source, target)?,
            Stream::start(target, source)?,
        ])
    }
}

fn state(windrosed: &Windrosed) -> Result<String> {
    let status = windrosed.rows("status")?;
    let state = status[0]["drain"]["state"].as_str();
    Ok(state.context("no state")?.to_owned())
}

/// RFC 8326 §4.2: peers move away while the old paths still lead on; then these are withdrawn, and the gateway may go.
#[test]
fn a_drained_gateway_loses_no_packet() -> Result<()> {
    let Some(diamond) = Diamond::new()? else {
        return Ok(());
    };
    let [mut first, second] = diamond.windroseds()?;
    let (bird, frr) = (diamond.bird()?, diamond.frr()?);
    let soon =
        |what: &str, look: &mut dyn FnMut() -> Result<()>| diamond.lab.eventually(what, SOON, look);
    for n in [1, 2] {
        soon("four sessions", &mut || {
            bird.established(&format!("gw{n}"))?;
            frr.established(&format!("192.0.{n}2.1"))
        })?;
    }
    soon("the shorter paths", &mut || diamond.goes_over(1))?;
    soon("the longer paths", &mut || {
        ensure!(bird.paths("10.20.0.0/16")?.len() == 2, "BIRD has one path");
        ensure!(frr.paths("10.10.0.0/16")?.len() == 2, "FRR has one path");
        Ok(())
    })?;
    let streams = diamond.streams()?;

    first.ask(&format!("drain --grace {}s", GRACE.as_secs()))?;
    soon("both to move", &mut || diamond.goes_over(2))?;
    ensure!(state(&first)? == "draining", "it moved only when it had to");
    let told = frr.paths("10.10.0.0/16")?;
    let marked = told
        .iter()
        .filter(|path| path.communities.contains("graceful-shutdown"));
    ensure!(marked.count() == 1, "{told:?}");
    soon("the withdrawal", &mut || {
        ensure!(state(&first)? == "drained", "it is {}", state(&first)?);
        ensure!(frr.paths("10.10.0.0/16")?.len() == 1, "FRR has both paths");
        ensure!(
            bird.paths("10.20.0.0/16")?.len() == 1,
            "BIRD has both paths"
        );
        Ok(())
    })?;
    diamond.goes_over(2)?;
    bird.established("gw1")?;

    // It stays after all, and is preferred again.
    first.ask("undrain")?;
    soon("both to come back", &mut || diamond.goes_over(1))?;
    ensure!(state(&first)? == "none", "it is {}", state(&first)?);

    first.ask("drain --grace 2s --wait")?;
    diamond.goes_over(2)?;
    first.process().stop()?;
    let span = Duration::from_secs(1);
    let look = || diamond.goes_over(2);
    diamond.lab.throughout("the other gateway", span, look)?;
    for stream in streams {
        let sent = stream.lost_none()?;
        ensure!(sent > 400, "only {sent} packets");
    }
    ensure!(state(&second)? == "none", "the other one leaves too");
    Ok(())
}

/// RFC 8326 §4.1: a path that a peer shuts down is taken only if there is no other.
#[test]
fn a_path_that_a_peer_shuts_down_gives_way_to_another() -> Result<()> {
    use crate::star::{ROUTER, Star, bird, bird_with};
    let Some(star) = Star::new(&["bird"], 2)? else {
        return Ok(());
    };
    let config = [
        ROUTER.to_owned(),
        peer("192.0.1.2", 65002, ""),
        peer("192.0.2.2", 65003, ""),
    ];
    let windrosed = star.windrosed(&config.concat())?;
    let routes = ["10.9.0.0/16"];
    let first = Bird::start(&star.lab, &star.spokes[0], &bird(1, 65002, "", &routes))?;
    let longer = bird_with(2, 65003, "", &routes, "bgp_path.prepend(65003); accept;");
    let _second = Bird::start(&star.lab, &star.spokes[1], &longer)?;
    let best = |expected: &str| {
        let paths = windrosed.paths("10.9.0.0/16")?;
        let best = paths.first().context("no path")?;
        ensure!(paths.len() == 2 && best.next_hop == expected, "{paths:?}");
        Ok(best.clone())
    };
    star.soon("the shorter path", || best("192.0.1.2"))?;
    let leaving = "bgp_community.add((65535, 0)); accept;";
    first.configure(&bird_with(1, 65002, "", &routes, leaving))?;
    star.soon("the longer path", || best("192.0.2.2"))?;
    let other = windrosed.paths("10.9.0.0/16")?;
    ensure!(other[1].local_pref == Some(0), "{other:?}");
    first.configure(&bird(1, 65002, "", &routes))?;
    star.soon("the shorter path again", || best("192.0.1.2"))
        .map(drop)
}
