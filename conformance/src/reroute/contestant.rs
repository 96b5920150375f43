//! Who routes: a daemon at each gateway of a mesh, configured to be as fast as it can be.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use serde_json::Value;

use crate::lab::mesh::{Mesh, Region};
use crate::lab::{Bird, Frr, Host, Lab, Process, Windrosed, run};

/// What routes at the gateways.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub enum Contestant {
    /// windrosed, with BFD and link probes.
    Windrosed,
    /// BIRD, with BFD.
    Bird,
    /// FRR, with bfdd.
    Frr,
    /// babeld, which measures links in its own way.
    Babeld,
}

/// The daemons of a mesh.
#[derive(Debug)]
pub enum Daemons {
    /// One a gateway.
    Windrosed(Vec<Windrosed>),
    /// One a gateway.
    Bird(Vec<Bird>),
    /// One a gateway.
    Frr(Vec<Frr>),
    /// One a gateway.
    Babeld(Vec<Process>),
}

/// What sessions went through, of all gateways together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sessions {
    /// BFD sessions that failed.
    pub bfd_downs: u64,
    /// BGP sessions that were lost.
    pub bgp_lost: u64,
}

impl Contestant {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Windrosed => "windrosed",
            Self::Bird => "BIRD",
            Self::Frr => "FRR",
            Self::Babeld => "babeld",
        }
    }

    /// What it says of its version.
    ///
    /// # Errors
    /// It is not there.
    pub fn version(self) -> Result<String> {
        let said = match self {
            Self::Windrosed => {
                run(std::process::Command::new(Windrosed::program()).arg("--version"))?
            }
            Self::Bird => {
                let output = std::process::Command::new("bird")
                    .arg("--version")
                    .output()?;
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
            }
            Self::Frr => run(std::process::Command::new("/usr/lib/frr/bgpd").arg("--version"))?,
            Self::Babeld => {
                let output = std::process::Command::new("babeld").arg("-V").output()?;
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
            }
        };
        Ok(said.lines().next().unwrap_or_default().trim().to_owned())
    }

    /// What it is told at a region's gateway.
    #[must_use]
    pub fn configuration(self, region: &Region) -> String {
        match self {
            Self::Windrosed => windrosed(region),
            Self::Bird => bird(region),
            Self::Frr => frr(region),
            Self::Babeld => babeld(region),
        }
    }

    /// Starts it at every gateway.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(self, lab: &Lab, mesh: &Mesh) -> Result<Daemons> {
        let all = mesh.gateways().iter();
        let all = all.map(|(region, host)| (self.configuration(region), *region, host));
        Ok(match self {
            Self::Windrosed => Daemons::Windrosed(
                all.map(|(config, _, host)| Windrosed::start(lab, host, &config))
                    .collect::<Result<_>>()?,
            ),
            Self::Bird => Daemons::Bird(
                all.map(|(config, _, host)| Bird::start(lab, host, &config))
                    .collect::<Result<_>>()?,
            ),
            Self::Frr => Daemons::Frr(
                all.map(|(config, _, host)| Frr::start(lab, host, &config))
                    .collect::<Result<_>>()?,
            ),
            Self::Babeld => Daemons::Babeld(
                all.map(|(config, region, host)| start_babeld(host, region, &config))
                    .collect::<Result<_>>()?,
            ),
        })
    }
}

impl Daemons {
    /// Succeeds when all is measured and up, as far as there is something to be asked.
    ///
    /// # Errors
    /// It is not yet.
    pub fn ready(&mut self) -> Result<()> {
        match self {
            Self::Windrosed(all) => {
                for daemon in all {
                    let rows = daemon.rows("link list")?;
                    let good = rows.iter().filter(|row| row["state"] == "good").count();
                    let bfd = daemon.rows("bfd list")?;
                    let up = bfd.iter().filter(|row| row["state"] == "up").count();
                    ensure!(good == 2 && up == 2, "{rows:?} {bfd:?}");
                }
            }
            Self::Bird(all) => {
                for daemon in all {
                    let said = daemon.ask("show bfd sessions")?;
                    ensure!(said.matches(" Up ").count() == 2, "{said}");
                }
            }
            Self::Frr(all) => {
                for daemon in all {
                    let said = daemon.json("show bfd peers json")?;
                    let peers = said.as_array().context("no peers")?;
                    let up = peers.iter().filter(|peer| peer["status"] == "up").count();
                    ensure!(up == 2, "{said}");
                }
            }
            Self::Babeld(all) => all.iter_mut().try_for_each(Process::check)?,
        }
        Ok(())
    }

    /// What sessions went through up to now.
    ///
    /// # Errors
    /// A daemon does not answer.
    pub fn sessions(&mut self) -> Result<Sessions> {
        let mut sum = Sessions::default();
        match self {
            Self::Windrosed(all) => {
                for daemon in all {
                    for row in daemon.rows("bfd list")? {
                        sum.bfd_downs += number(&row, "failures")?;
                    }
                    for row in daemon.rows("peer list")? {
                        let ups = number(&row, "established_count")?;
                        let is_up = row.get("state").is_some_and(|s| s == "Established");
                        sum.bgp_lost += ups.saturating_sub(u64::from(is_up));
                    }
                }
            }
            Self::Bird(all) => {
                for daemon in all {
                    let log = daemon.process().log()?;
                    let count = |what| log.matches(what).count() as u64;
                    sum.bfd_downs += count("changed state from Up to Down");
                    sum.bgp_lost += count("State changed to stop");
                }
            }
            Self::Frr(all) => {
                for daemon in all {
                    let peers = daemon.json("show bfd peers counters json")?;
                    for peer in peers.as_array().context("no peers")? {
                        sum.bfd_downs += number(peer, "session-down")?;
                    }
                    let neighbors = daemon.json("show bgp neighbors json")?;
                    let neighbors = neighbors.as_object().context("no neighbors")?;
                    for neighbor in neighbors.values().filter(|n| n.is_object()) {
                        sum.bgp_lost += number(neighbor, "connectionsDropped")?;
                    }
                }
            }
            Self::Babeld(_) => {}
        }
        Ok(sum)
    }
}

fn number(row: &Value, key: &str) -> Result<u64> {
    let value = row.get(key).and_then(Value::as_u64);
    value.with_context(|| format!("no number {key} in {row}"))
}

fn windrosed(region: &Region) -> String {
    let (asn, index, cidr) = (region.asn(), region.index, region.cidr());
    let mut text = format!(
        r#"[router]
asn = {asn}
router-id = "10.255.0.{index}"
[bfd.profile.fast]
transmit = "50ms"
receive = "50ms"
multiplier = 3
[[originate]]
prefix = "{cidr}"
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
"#
    );
    text.push_str(&region.windrosed_peers());
    text
}

fn bird(region: &Region) -> String {
    let (asn, index, cidr) = (region.asn(), region.index, region.cidr());
    let mut text = format!(
        r#"router id 10.255.0.{index};
debug protocols {{ states, events }};
protocol static {{ ipv4; route {cidr} unreachable; }}
protocol kernel {{ ipv4 {{ export where source = RTS_BGP; import none; }}; }}
protocol bfd bfd1 {{ interface "wg-*" {{ interval 50 ms; multiplier 3; }}; }}
"#
    );
    for other in region.others() {
        let (ours, theirs) = (region.tunnel(other), other.tunnel(region));
        let (code, their_asn, device) = (other.code, other.asn(), region.device(other));
        let _ = writeln!(
            text,
            r#"protocol bgp {code} {{
  local {ours} as {asn};
  neighbor {theirs} as {their_asn};
  interface "{device}";
  direct;
  bfd on;
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 2;
  ipv4 {{ import all; export all; next hop self; }};
}}"#
        );
    }
    text
}

fn frr(region: &Region) -> String {
    let (asn, index, cidr) = (region.asn(), region.index, region.cidr());
    let mut text = format!(
        "bfd\n profile fast\n  transmit-interval 50\n  receive-interval 50\n  detect-multiplier 3\n!\n\
         router bgp {asn}\n bgp router-id 10.255.0.{index}\n no bgp ebgp-requires-policy\n \
         no bgp network import-check\n"
    );
    for other in region.others() {
        let (address, asn) = (other.tunnel(region), other.asn());
        let _ = writeln!(
            text,
            " neighbor {address} remote-as {asn}\n neighbor {address} bfd profile fast\n \
             neighbor {address} timers connect 1\n neighbor {address} advertisement-interval 0"
        );
    }
    let _ = writeln!(text, " address-family ipv4 unicast\n  network {cidr}");
    text
}

fn babeld(region: &Region) -> String {
    let mut text = String::from("skip-kernel-setup true\n");
    for other in region.others() {
        let device = region.device(other);
        let _ = writeln!(
            text,
            "interface {device} type wired hello-interval 0.1 update-interval 0.4"
        );
    }
    let cidr = region.cidr();
    let _ = writeln!(
        text,
        "redistribute local deny\nredistribute ip {cidr} eq 16 allow"
    );
    text
}

fn start_babeld(host: &Host, region: &Region, config: &str) -> Result<Process> {
    // What it redistributes must be in the kernel.
    host.ip(&format!(
        "route add {} dev br-pod proto static",
        region.cidr()
    ))?;
    let file = |name: &str| host.dir().join(name);
    let config_file = file("babeld.conf");
    std::fs::write(&config_file, config)?;
    let mut command = host.command("babeld");
    command.arg("-I").arg(file("babeld.pid"));
    command.arg("-S").arg(file("babeld.state"));
    command.arg("-c").arg(config_file);
    host.start("babeld", command)
}
