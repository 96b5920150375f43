//! Adapters: how each daemon is configured as its own documentation makes it fastest, and started.

use std::fmt::Write as _;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use bgp_core::Family;

use super::topology::{DEVICE, DEVICE_6, DEVICE_AS, Neighbor, Topology};
use crate::lab::{Bird, Frr, GoBgp, Host, Lab, OpenBgpd, Windrosed};
use crate::load::{INTERVAL, MULTIPLIER};

/// Why windrosed's log says that a link costs more, other than that it was measured for the first time.
const WORSE: [&str; 3] = ["why=Alarm", "why=Silent", "why=Worse"];

/// What can be measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Daemon {
    /// Ours.
    Windrosed,
    /// BIRD 2.
    Bird,
    /// FRR's bgpd, with zebra for its next hops.
    Frr,
    /// OpenBGPD.
    OpenBgpd,
    /// GoBGP.
    GoBgp,
}

/// A daemon that runs; it ends with this.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names are those of Daemon")]
pub enum Running {
    Windrosed(Windrosed),
    Bird(Bird),
    Frr(Frr),
    OpenBgpd(OpenBgpd),
    GoBgp(GoBgp),
}

impl Daemon {
    /// All, ours first.
    pub const ALL: [Self; 5] = [
        Self::Windrosed,
        Self::Bird,
        Self::Frr,
        Self::OpenBgpd,
        Self::GoBgp,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Windrosed => "windrosed",
            Self::Bird => "bird",
            Self::Frr => "frr",
            Self::OpenBgpd => "openbgpd",
            Self::GoBgp => "gobgp",
        }
    }

    /// The program that Debian's package, or our build, has.
    #[must_use]
    pub fn program(self) -> String {
        match self {
            Self::Windrosed => Windrosed::program(),
            Self::Bird => "bird".to_owned(),
            Self::Frr => "/usr/lib/frr/bgpd".to_owned(),
            Self::OpenBgpd => OpenBgpd::PROGRAM.to_owned(),
            Self::GoBgp => "gobgpd".to_owned(),
        }
    }

    /// What it says its version is.
    ///
    /// # Errors
    /// It is not there.
    pub fn version(self) -> Result<String> {
        let mut command = Command::new(self.program());
        command.arg(match self {
            Self::OpenBgpd => "-V",
            Self::Windrosed | Self::Bird | Self::Frr | Self::GoBgp => "--version",
        });
        let output = command.output().with_context(|| format!("{command:?}"))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        Ok(said.lines().next().unwrap_or_default().to_owned())
    }

    /// Whether it can put routes into the kernel here.
    #[must_use]
    pub const fn installs(self) -> bool {
        match self {
            Self::Windrosed | Self::Bird | Self::Frr => true,
            // Neither installs routes on Linux by itself.
            Self::OpenBgpd | Self::GoBgp => false,
        }
    }

    /// Whether it has BFD.
    #[must_use]
    pub const fn has_bfd(self) -> bool {
        match self {
            Self::Windrosed | Self::Bird | Self::Frr => true,
            Self::OpenBgpd | Self::GoBgp => false,
        }
    }

    /// Its configuration.
    #[must_use]
    pub fn configuration(self, topology: &Topology) -> String {
        match self {
            Self::Windrosed => windrosed(topology),
            Self::Bird => bird(topology),
            Self::Frr => frr(topology),
            Self::OpenBgpd => openbgpd(topology),
            Self::GoBgp => gobgp(topology),
        }
    }

    /// Starts it in `host` with a configuration.
    ///
    /// # Errors
    /// It does not start, or does not like the configuration.
    pub fn start(self, lab: &Lab, host: &Host, config: &str) -> Result<Running> {
        Ok(match self {
            Self::Windrosed => Running::Windrosed(Windrosed::start(lab, host, config)?),
            Self::Bird => Running::Bird(Bird::start(lab, host, config)?),
            Self::Frr => Running::Frr(Frr::start(lab, host, config)?),
            Self::OpenBgpd => Running::OpenBgpd(OpenBgpd::start(lab, host, config)?),
            Self::GoBgp => Running::GoBgp(GoBgp::start(lab, host, config)?),
        })
    }
}

impl Running {
    /// How often it has called a BFD session down, if it says.
    ///
    /// # Errors
    /// It does not answer.
    pub fn failures(&self) -> Result<Option<u64>> {
        let Self::Windrosed(windrosed) = self else {
            return Ok(None);
        };
        let sessions = windrosed.rows("bfd list")?;
        let failures = sessions.iter().filter_map(|row| row["failures"].as_u64());
        Ok(Some(failures.sum()))
    }

    /// How often it has called a link worse, if it measures links.
    ///
    /// # Errors
    /// Its log cannot be read, or a link is not measured.
    pub fn alarms(&mut self) -> Result<Option<usize>> {
        let Self::Windrosed(windrosed) = self else {
            return Ok(None);
        };
        let unmeasured = windrosed
            .rows("link list")?
            .into_iter()
            .find(|row| row["probe"] != "stamp");
        if let Some(row) = unmeasured {
            bail!("a link is not measured: {row}");
        }
        let log = windrosed.process().log()?;
        let is_worse = |line: &&str| WORSE.iter().any(|why| line.contains(why));
        Ok(Some(log.lines().filter(is_worse).count()))
    }
}

impl FromStr for Daemon {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|daemon| daemon.name() == name);
        found.with_context(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("no daemon {name:?}: {names}")
        })
    }
}

fn windrosed(topology: &Topology) -> String {
    let family = match topology.family {
        Family::Ipv4Unicast => "ipv4",
        Family::Ipv6Unicast => "ipv6",
    };
    let mut text = format!(
        "[router]\nasn = {DEVICE_AS}\nrouter-id = \"{DEVICE}\"\nlisten = [\"{DEVICE}:179\"]\n\
         multipath = {}\n[fib]\ninstall = {}\n",
        topology.multipath, topology.kernel
    );
    if topology.has_bfd() {
        let interval = INTERVAL.as_millis();
        let _ = write!(
            text,
            "[bfd.profile.fast]\ntransmit = \"{interval}ms\"\nreceive = \"{interval}ms\"\nmultiplier = {MULTIPLIER}\n"
        );
    }
    for neighbor in topology.neighbors() {
        let peer = neighbor.peer;
        let export = if neighbor.is_told { "accept" } else { "reject" };
        let _ = write!(
            text,
            "[[peer]]\naddress = \"{}\"\nasn = {}\npassive = true\nfamilies = [\"{family}\"]\n\
             hold-time = \"{}s\"\nimport = [\"accept\"]\nexport = [\"{export}\"]\nrr-client = {}\n",
            peer.address, peer.asn, peer.hold_time, topology.reflects
        );
        if neighbor.has_bfd {
            text.push_str("bfd = \"fast\"\n");
        }
        if neighbor.is_probed {
            text.push_str("probe = true\n");
        }
    }
    text
}

/// `direct` spares the recursive lookup of next hops; the kernel is scanned at the start only.
fn bird(topology: &Topology) -> String {
    let family = match topology.family {
        Family::Ipv4Unicast => "ipv4",
        Family::Ipv6Unicast => "ipv6",
    };
    let mut text = format!("router id {DEVICE};\nprotocol direct {{ ipv4; ipv6; }}\n");
    if topology.kernel {
        let merge = if topology.multipath > 1 {
            format!("merge paths on limit {}; ", topology.multipath)
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "protocol kernel {{ scan time 3600; {merge}ipv4 {{ import none; export where source = RTS_BGP; }}; }}"
        );
    }
    // Sessions are over IPv4, which does not say who we are in IPv6.
    let next_hop = match topology.family {
        Family::Ipv4Unicast => String::new(),
        Family::Ipv6Unicast => format!("next hop address {DEVICE_6}; "),
    };
    if topology.has_bfd() {
        let _ = writeln!(
            text,
            "protocol bfd {{ interface \"device0\" {{ interval {} ms; multiplier {MULTIPLIER}; }}; }}",
            INTERVAL.as_millis()
        );
    }
    let client = if topology.reflects { "rr client; " } else { "" };
    for (i, neighbor) in topology.neighbors().enumerate() {
        let peer = neighbor.peer;
        let bfd = if neighbor.has_bfd { "bfd on; " } else { "" };
        let export = if neighbor.is_told {
            "where source = RTS_BGP"
        } else {
            "none"
        };
        let _ = writeln!(
            text,
            "protocol bgp p{i} {{ local {DEVICE} as {DEVICE_AS}; neighbor {} as {}; direct; passive yes; \
             {client}{bfd}hold time {}; {family} {{ {next_hop}import all; export {export}; }}; }}",
            peer.address, peer.asn, peer.hold_time
        );
    }
    text
}

/// Update groups are told apart by their peer group; nothing is held back, and zebra hears of routes
/// only where they are to be installed.
fn frr(topology: &Topology) -> String {
    let family = match topology.family {
        Family::Ipv4Unicast => "ipv4",
        Family::Ipv6Unicast => "ipv6",
    };
    let mut text = String::new();
    if topology.has_bfd() {
        let interval = INTERVAL.as_millis();
        let _ = write!(
            text,
            "bfd\n profile fast\n  transmit-interval {interval}\n  receive-interval {interval}\n  \
             detect-multiplier {MULTIPLIER}\n!\n"
        );
    }
    text.push_str("frr defaults traditional\n");
    if !topology.kernel {
        text.push_str("bgp no-rib\n");
    }
    let _ = write!(
        text,
        "router bgp {DEVICE_AS}\n bgp router-id {DEVICE}\n no bgp ebgp-requires-policy\n \
         no bgp network import-check\n no bgp default ipv4-unicast\n coalesce-time 0\n"
    );
    for group in ["TOLD", "SILENT"] {
        let _ = write!(
            text,
            " neighbor {group} peer-group\n neighbor {group} passive\n \
             neighbor {group} advertisement-interval 0\n"
        );
    }
    for neighbor in topology.neighbors() {
        let group = if neighbor.is_told { "TOLD" } else { "SILENT" };
        let peer = neighbor.peer;
        let (address, hold) = (peer.address, peer.hold_time);
        let _ = write!(
            text,
            " neighbor {address} remote-as {}\n neighbor {address} peer-group {group}\n \
             neighbor {address} timers {} {hold}\n",
            peer.asn,
            hold / 3
        );
        if neighbor.has_bfd {
            // With its own address, it does not begin BFD anew when BGP comes up.
            let _ = writeln!(
                text,
                " neighbor {address} update-source {DEVICE}\n neighbor {address} bfd profile fast"
            );
        }
    }
    if topology.multipath > 1 {
        text.push_str(" bgp bestpath as-path multipath-relax\n");
    }
    let _ = writeln!(
        text,
        " address-family {family} unicast\n  maximum-paths {}",
        topology.multipath
    );
    for group in ["TOLD", "SILENT"] {
        let _ = writeln!(text, "  neighbor {group} activate");
        if topology.reflects {
            let _ = writeln!(text, "  neighbor {group} route-reflector-client");
        }
    }
    text.push_str(
        "  neighbor SILENT route-map NONE out\n exit-address-family\nroute-map NONE deny 10\n",
    );
    text
}

fn openbgpd(topology: &Topology) -> String {
    let mut text = format!(
        "AS {DEVICE_AS}\nrouter-id {DEVICE}\nlisten on {DEVICE}\nfib-update no\n\
         nexthop qualify via default\nallow from any\nallow to any\n"
    );
    for Neighbor { peer, is_told, .. } in topology.neighbors() {
        let families = match topology.family {
            Family::Ipv4Unicast => "announce IPv4 unicast",
            Family::Ipv6Unicast => "announce IPv6 unicast\n announce IPv4 none",
        };
        let _ = write!(
            text,
            "neighbor {} {{\n remote-as {}\n passive\n holdtime {}\n {families}\n",
            peer.address, peer.asn, peer.hold_time
        );
        if topology.reflects {
            text.push_str(" route-reflector\n");
        }
        if !is_told {
            text.push_str(" export none\n");
        }
        text.push_str("}\n");
    }
    text
}

/// A policy of a neighbor is for route-server clients only, so one of all neighbors silences some.
fn gobgp(topology: &Topology) -> String {
    let family = match topology.family {
        Family::Ipv4Unicast => "ipv4-unicast",
        Family::Ipv6Unicast => "ipv6-unicast",
    };
    let mut text = format!(
        "[global.config]\nas = {DEVICE_AS}\nrouter-id = \"{DEVICE}\"\nlocal-address-list = [\"{DEVICE}\"]\n"
    );
    let silent = topology.neighbors().filter(|neighbor| !neighbor.is_told);
    let silent: Vec<_> = silent
        .map(|n| format!("\"{}/32\"", n.peer.address))
        .collect();
    if !silent.is_empty() {
        let _ = write!(
            text,
            "[global.apply-policy.config]\nexport-policy-list = [\"quiet\"]\n\
             default-export-policy = \"accept-route\"\n\
             [[defined-sets.neighbor-sets]]\nneighbor-set-name = \"silent\"\nneighbor-info-list = [{}]\n\
             [[policy-definitions]]\nname = \"quiet\"\n[[policy-definitions.statements]]\nname = \"quiet\"\n\
             [policy-definitions.statements.conditions.match-neighbor-set]\nneighbor-set = \"silent\"\n\
             match-set-options = \"any\"\n[policy-definitions.statements.actions]\n\
             route-disposition = \"reject-route\"\n",
            silent.join(", ")
        );
    }
    for Neighbor { peer, .. } in topology.neighbors() {
        let _ = write!(
            text,
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{}\"\npeer-as = {}\n\
             [neighbors.transport.config]\npassive-mode = true\n\
             [neighbors.timers.config]\nhold-time = {}\nidle-hold-time-after-reset = 1\n",
            peer.address, peer.asn, peer.hold_time
        );
        if topology.reflects {
            let _ = write!(
                text,
                "[neighbors.route-reflector.config]\nroute-reflector-client = true\n\
                 route-reflector-cluster-id = \"{DEVICE}\"\n"
            );
        }
        let _ = write!(
            text,
            "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\"\n"
        );
    }
    text
}
