//! What is wrong with links that no session tells: judged from facts that a driver gathered.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bgp_core::Family;
use bgp_core::family::PerFamily;
use fib_netlink::NextHop;
use fib_netlink::wireguard::{Peer as TunnelPeer, peer_for};
use ipnet::IpNet;

use crate::Speaker;
use crate::command::PeerName;
use crate::links::LinkPath;

/// WireGuard makes no use of keys that are older, and agrees on new ones as long as packets pass.
const HANDSHAKE_MAX: Duration = Duration::from_secs(180);
/// Clocks may be so far apart.
const CLOCK_MAX: Duration = Duration::from_secs(1);
/// IPv6 asks for links that pass so much (RFC 8200 §5).
const MTU_LEAST: u32 = 1280;

/// A link to look at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subject {
    /// Whose.
    pub peer: PeerName,
    /// Where it is, and over which device it is reached.
    pub path: LinkPath,
    /// Probes are sent over it, so that its neighbor answers some.
    pub probed: bool,
    /// What is routed over it.
    pub families: PerFamily<bool>,
}

/// What of the configuration matters to all links.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Context {
    /// Paths that may share traffic.
    pub multipath: u8,
    /// Routes point to nexthop groups.
    pub groups: bool,
    /// What is routed.
    pub families: PerFamily<bool>,
    /// Where neighbors answer probes.
    pub port: u16,
}

/// What the machine is set to; `None`: it has no such setting.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HostFacts {
    /// `fib_multipath_hash_policy`.
    pub hash_policy: PerFamily<Option<u8>>,
    /// `net.ipv4.nexthop_compat_mode`.
    pub compat_mode: Option<u8>,
}

/// What is so of a link; `None`: unknown, or it has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkFacts {
    /// The device is there.
    pub there: bool,
    /// The stricter of `rp_filter` of the device and of all.
    pub rp_filter: Option<u8>,
    /// Packets that come in over it are forwarded.
    pub forwarding: PerFamily<Option<bool>>,
    /// Its peers, if it is a WireGuard device; or why they cannot be read.
    pub tunnel: Option<Result<Vec<TunnelPeer>, String>>,
    /// AllowedIPs follow routes: how many prefixes are not with their peer.
    pub missing: Option<usize>,
    /// The time since 1970.
    pub now: Duration,
    /// What probes found.
    pub probes: Option<Probes>,
}

/// What padded probes found (RFC 8762).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Probes {
    /// Octets of the largest packet that was sent.
    pub largest: u32,
    /// Octets of the largest one that was answered; zero: none was.
    pub passed: u32,
    /// How far the neighbor's clock is from ours, either way.
    pub clock: Option<Duration>,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Check {
    /// The device is there.
    Device,
    /// AllowedIPs pass what BGP routes.
    AllowedIps,
    /// WireGuard has keys in use.
    Handshake,
    /// Reverse path filters drop nothing.
    RpFilter,
    /// Packets are forwarded.
    Forwarding,
    /// Packets as large as the device takes pass.
    Mtu,
    /// Clocks agree.
    Clock,
    /// Flows are spread over paths.
    HashPolicy,
    /// A nexthop group changes in one step.
    CompatMode,
}

impl Check {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::AllowedIps => "allowed-ips",
            Self::Handshake => "handshake",
            Self::RpFilter => "rp-filter",
            Self::Forwarding => "forwarding",
            Self::Mtu => "mtu",
            Self::Clock => "clock",
            Self::HashPolicy => "hash-policy",
            Self::CompatMode => "compat-mode",
        }
    }
}

/// How it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It could not be looked at.
    Unknown,
    /// It costs something, or may.
    Warning,
    /// Packets are dropped, or will be.
    Bad,
}

/// What was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// How it is.
    pub verdict: Verdict,
    /// In words.
    pub found: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl Speaker {
    /// The links of enabled peers whose device is known, and what all have in common.
    #[must_use]
    pub fn check_subjects(&self) -> (Context, Vec<Subject>) {
        let subjects: Vec<Subject> = self
            .peers
            .by_name()
            .filter(|peer| peer.enabled)
            .filter_map(|peer| {
                let address = peer.name.address;
                let interface = match peer.interface() {
                    Some(interface) => interface.to_owned(),
                    None => self.device_towards(address)?,
                };
                Some(Subject {
                    peer: peer.name.clone(),
                    path: LinkPath {
                        remote: address,
                        local: peer.options.local_address,
                        interface: Some(interface),
                    },
                    probed: peer.options.probe,
                    families: peer.options.families,
                })
            })
            .collect();
        let any = |family| subjects.iter().any(|subject| *subject.families.get(family));
        let fib = &self.config.fib;
        let context = Context {
            multipath: self.config.router.multipath,
            groups: fib.writes() && fib.nexthop_groups,
            families: PerFamily {
                ipv4: any(Family::Ipv4Unicast),
                ipv6: any(Family::Ipv6Unicast),
            },
            port: self.config.probe.port,
        };
        (context, subjects)
    }

    /// The device to a neighbor that is on a link of ours.
    fn device_towards(&self, address: IpAddr) -> Option<String> {
        let next_hop = NextHop {
            address,
            interface: None,
            direct: true,
        };
        let resolution = self.fib.resolve(next_hop)?;
        let path = resolution.ways.first()?.path;
        let near = path.gateway.is_none_or(|gateway| gateway == address);
        let name = self.fib.interface_name(path.interface)?;
        near.then(|| name.to_owned())
    }
}

/// What is found of the machine.
#[must_use]
pub fn judge_host(context: &Context, facts: &HostFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let policies = [
        (context.families.ipv4, facts.hash_policy.ipv4, "ipv4"),
        (context.families.ipv6, facts.hash_policy.ipv6, "ipv6"),
    ];
    for (routed, policy, family) in policies {
        if !routed || context.multipath < 2 {
            continue;
        }
        findings.push(match policy {
            Some(0) => finding(
                Check::HashPolicy,
                Verdict::Warning,
                format!("net.{family}.fib_multipath_hash_policy is 0: all flows between two addresses take one path"),
                format!("sysctl -w net.{family}.fib_multipath_hash_policy=1"),
            ),
            Some(policy) => good(Check::HashPolicy, format!("net.{family}.fib_multipath_hash_policy is {policy}")),
            None => unknown(Check::HashPolicy, format!("the kernel has no net.{family}.fib_multipath_hash_policy")),
        });
    }
    if context.groups {
        findings.push(match facts.compat_mode {
            Some(0) => good(Check::CompatMode, "net.ipv4.nexthop_compat_mode is 0"),
            Some(_) => finding(
                Check::CompatMode,
                Verdict::Warning,
                "net.ipv4.nexthop_compat_mode is on: a nexthop group that changes costs a message for each route behind it",
                "sysctl -w net.ipv4.nexthop_compat_mode=0",
            ),
            None => unknown(Check::CompatMode, "the kernel has no nexthop objects"),
        });
    }
    findings
}

/// What is found of a link; `announced` is what its peer announces.
#[must_use]
pub fn judge_link(subject: &Subject, facts: &LinkFacts, announced: &[IpNet]) -> Vec<Finding> {
    let device = subject.path.interface.as_deref().unwrap_or_default();
    if !facts.there {
        let found = format!("there is no {device}");
        let remedy = "make the device, or correct the peer's `interface`";
        return vec![finding(Check::Device, Verdict::Bad, found, remedy)];
    }
    let mut findings = Vec::new();
    match &facts.tunnel {
        Some(Ok(peers)) => tunnel(subject, device, peers, facts, announced, &mut findings),
        Some(Err(why)) => findings.push(unknown(Check::AllowedIps, why)),
        None => {}
    }
    findings.extend(facts.rp_filter.map(|filter| match filter {
        1 => finding(
            Check::RpFilter,
            Verdict::Bad,
            format!(
                "{device} drops what comes by another way than the answer would go (rp_filter is 1)"
            ),
            format!("sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.{device}.rp_filter=0"),
        ),
        filter => good(
            Check::RpFilter,
            format!("rp_filter of {device} is {filter}"),
        ),
    }));
    for (family, name, path) in [
        (Family::Ipv4Unicast, "IPv4", "net.ipv4.conf"),
        (Family::Ipv6Unicast, "IPv6", "net.ipv6.conf"),
    ] {
        if !subject.families.get(family) {
            continue;
        }
        findings.extend(facts.forwarding.get(family).map(|forwards| match forwards {
            true => good(Check::Forwarding, format!("{device} forwards {name}")),
            false => finding(
                Check::Forwarding,
                Verdict::Bad,
                format!("what comes in over {device} is not forwarded ({name})"),
                format!("sysctl -w {path}.all.forwarding=1"),
            ),
        }));
    }
    probes(subject, device, facts.probes, &mut findings);
    findings
}

fn tunnel(
    subject: &Subject,
    device: &str,
    peers: &[TunnelPeer],
    facts: &LinkFacts,
    announced: &[IpNet],
    findings: &mut Vec<Finding>,
) {
    let address = subject.path.remote;
    let Some(peer) = peer_for(peers, address) else {
        let found = format!("no peer of {device} has {address} among its AllowedIPs");
        let remedy = format!("add {address} to the AllowedIPs of the peer behind it");
        findings.push(finding(Check::AllowedIps, Verdict::Bad, found, remedy));
        return;
    };
    findings.push(match facts.missing {
        Some(0) => good(
            Check::AllowedIps,
            format!("AllowedIPs of {device} follow routes"),
        ),
        Some(missing) => finding(
            Check::AllowedIps,
            Verdict::Bad,
            format!("{missing} prefixes that are routed over {device} are not with their peer"),
            "the log says why, in lines with `WireGuard:`",
        ),
        None => allowed_ips(device, peers, peer, announced),
    });
    findings.push(match peer.last_handshake {
        None => finding(
            Check::Handshake,
            Verdict::Bad,
            format!("{device} has never agreed on keys with {}", peer.key),
            "compare keys and endpoints of both ends, and let their UDP ports through",
        ),
        Some(at) => {
            let age = facts.now.saturating_sub(at);
            let found = format!("keys are {} s old", age.as_secs());
            match age > HANDSHAKE_MAX {
                true => finding(
                    Check::Handshake,
                    Verdict::Bad,
                    format!("{found}: nothing passes {device}"),
                    "see whether the endpoint can be reached",
                ),
                false => good(Check::Handshake, found),
            }
        }
    });
}

fn allowed_ips(
    device: &str,
    peers: &[TunnelPeer],
    peer: &TunnelPeer,
    announced: &[IpNet],
) -> Finding {
    let mut dropped = announced
        .iter()
        .filter(|prefix| !passes(peers, peer, **prefix));
    let Some(first) = dropped.next() else {
        let count = announced.len();
        return good(
            Check::AllowedIps,
            format!("all {count} prefixes that it announces may pass {device}"),
        );
    };
    let more = dropped.count();
    finding(
        Check::AllowedIps,
        Verdict::Bad,
        format!(
            "{} of {} prefixes that it announces are not among its AllowedIPs on {device}, {first} for one: their packets are dropped",
            more + 1,
            announced.len()
        ),
        "give its peer `AllowedIPs = 0.0.0.0/0, ::/0` on a device of its own, or write `[wireguard] mode = \"shared\"`",
    )
}

/// Whether all of a prefix goes to the peer and is taken from it.
fn passes(peers: &[TunnelPeer], peer: &TunnelPeer, prefix: IpNet) -> bool {
    let whole = peer_for_all(peers, prefix).is_some_and(|holder| holder.key == peer.key);
    let others = peers.iter().filter(|other| other.key != peer.key);
    let mut parts = others.flat_map(|other| &other.allowed_ips);
    whole && !parts.any(|net| prefix.contains(net) && *net != prefix)
}

/// The peer with the longest prefix that covers all of this one.
fn peer_for_all(peers: &[TunnelPeer], prefix: IpNet) -> Option<&TunnelPeer> {
    let longest = |peer: &TunnelPeer| {
        let covering = peer.allowed_ips.iter().filter(|net| net.contains(&prefix));
        covering.map(IpNet::prefix_len).max()
    };
    let having = peers.iter().filter_map(|peer| Some((longest(peer)?, peer)));
    having
        .max_by_key(|(length, _)| *length)
        .map(|(_, peer)| peer)
}

fn probes(subject: &Subject, device: &str, probes: Option<Probes>, findings: &mut Vec<Finding>) {
    let Some(Probes {
        largest,
        passed,
        clock,
    }) = probes
    else {
        let why = match subject.probed {
            true => "no probe could be sent",
            false => "write `probe = true` at the peer, here and there, to have it looked at",
        };
        return findings.push(unknown(Check::Mtu, why));
    };
    findings.push(match passed {
        0 => unknown(Check::Mtu, format!("{} answers no probe", subject.path.remote)),
        passed if passed < largest => finding(
            Check::Mtu,
            Verdict::Bad,
            format!("{device} takes packets of {largest} octets, and those of more than {passed} are swallowed on the way"),
            match passed >= MTU_LEAST {
                true => format!("ip link set {device} mtu {passed}, at both ends"),
                false => "let ICMP \"too big\" through, or make the way beneath the tunnel pass larger packets".to_owned(),
            },
        ),
        passed => good(Check::Mtu, format!("packets of {passed} octets pass")),
    });
    findings.extend(clock.map(|off| match off > CLOCK_MAX {
        true => finding(
            Check::Clock,
            Verdict::Warning,
            format!("its clock and ours are {} s apart", off.as_secs()),
            "let both follow NTP: logs do not match otherwise",
        ),
        false => good(
            Check::Clock,
            format!("its clock and ours are {} ms apart", off.as_millis()),
        ),
    }));
}

fn finding(
    check: Check,
    verdict: Verdict,
    found: impl fmt::Display,
    remedy: impl fmt::Display,
) -> Finding {
    Finding {
        check,
        verdict,
        found: found.to_string(),
        remedy: Some(remedy.to_string()),
    }
}

fn good(check: Check, found: impl fmt::Display) -> Finding {
    Finding {
        check,
        verdict: Verdict::Good,
        found: found.to_string(),
        remedy: None,
    }
}

fn unknown(check: Check, found: impl fmt::Display) -> Finding {
    Finding {
        check,
        verdict: Verdict::Unknown,
        found: found.to_string(),
        remedy: None,
    }
}

#[cfg(test)]
mod tests;
