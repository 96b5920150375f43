//! One network namespace: what is in it, what runs in it, what its kernel routes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, setns};
use serde::Deserialize;

use super::process::{Process, run};

/// Settings of a router in a lab: it forwards, trusts every path, spreads flows over equal ones, and
/// its IPv6 addresses work at once.
const SETTINGS: [&str; 8] = [
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.fib_multipath_hash_policy=1",
    "net.ipv6.conf.all.accept_dad=0",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv4.ping_group_range=0 2147483647",
];

/// A namespace of a lab. Clones are handles to the same one; the lab removes it.
#[derive(Clone, Debug)]
pub struct Host {
    namespace: String,
    lab: PathBuf,
    dir: PathBuf,
}

/// A route as the kernel holds it, its nexthop object or group resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRoute {
    /// As `ip` prints it: `10.1.0.0/16`, `default`.
    pub prefix: String,
    /// The number of the protocol that installed it (186: BGP).
    pub protocol: u8,
    /// Sorted by gateway.
    pub next_hops: Vec<NextHop>,
}

/// One way out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NextHop {
    /// Absent on a link without neighbours, as WireGuard's.
    pub gateway: Option<String>,
    /// The interface.
    pub device: String,
    /// Its share among the others.
    pub weight: u32,
}

impl Host {
    pub(super) fn create(prefix: &str, lab: &Path, name: &str) -> Result<Self> {
        let host = Self {
            namespace: format!("{prefix}-{name}"),
            lab: lab.to_owned(),
            dir: lab.join(name),
        };
        std::fs::create_dir_all(&host.dir)?;
        run(Command::new("ip").args(["netns", "add", &host.namespace]))?;
        host.ip("link set lo up")?;
        run(host.command("sysctl").arg("-qw").args(SETTINGS))?;
        Ok(host)
    }

    /// Its name for `ip netns`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where its configurations and logs are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A command that runs in it.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]);
        command
    }

    /// Runs a line of words in it, and returns what it printed.
    ///
    /// # Errors
    /// It fails: says with what words.
    pub fn run(&self, line: &str) -> Result<String> {
        let mut words = line.split_whitespace();
        let program = words.next().context("an empty command")?;
        run(self.command(program).args(words))
    }

    /// Runs `ip` in it.
    ///
    /// # Errors
    /// It fails: says with what words.
    pub fn ip(&self, line: &str) -> Result<String> {
        let mut command = Command::new("ip");
        run(command
            .args(["-n", &self.namespace])
            .args(line.split_whitespace()))
    }

    /// Adds an address.
    ///
    /// # Errors
    /// No such interface, or not an address.
    pub fn address(&self, interface: &str, address: &str) -> Result<()> {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        self.ip(&format!("addr add {address} dev {interface} {nodad}"))
            .map(drop)
    }

    /// Adds a bridge with an address, up.
    ///
    /// # Errors
    /// The name is taken.
    pub fn bridge(&self, name: &str, address: &str) -> Result<()> {
        self.ip(&format!("link add {name} type bridge"))?;
        if !address.is_empty() {
            self.address(name, address)?;
        }
        self.ip(&format!("link set {name} up")).map(drop)
    }

    /// Whether one packet to `to` comes back.
    ///
    /// # Errors
    /// It does not.
    pub fn ping(&self, to: &str) -> Result<()> {
        self.run(&format!("ping -c 1 -W 1 {to}")).map(drop)
    }

    /// Does something in it, on a thread of its own: what is opened there stays there.
    ///
    /// # Errors
    /// As `work` does, or the namespace is gone.
    pub fn within<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let namespace = File::open(format!("/run/netns/{}", self.namespace))?;
        let thread = std::thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            work()
        });
        let done = thread.join();
        done.map_err(|_| anyhow!("panicked in {}", self.namespace))?
    }

    /// Starts a program in it that logs to `NAME.log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, name: &str, command: Command) -> Result<Process> {
        Process::start(&self.lab, command, self.dir.join(format!("{name}.log")))
    }

    /// The main table of both families, without what the kernel put there itself.
    ///
    /// # Errors
    /// `ip` fails, or says something new.
    pub fn kernel_routes(&self) -> Result<Vec<KernelRoute>> {
        let nexthops: Vec<IpNexthop> = self.json("nexthop show")?;
        let mut routes = Vec::new();
        for family in ["-4", "-6"] {
            let listed: Vec<IpRoute> = self.json(&format!("{family} -N -d route show"))?;
            routes.extend(listed.into_iter().filter_map(|r| r.resolve(&nexthops)));
        }
        Ok(routes)
    }

    /// The route of a prefix, `None` if the kernel has none.
    ///
    /// # Errors
    /// `ip` fails, or says something new.
    pub fn kernel_route(&self, prefix: &str) -> Result<Option<KernelRoute>> {
        let mut routes = self.kernel_routes()?.into_iter();
        Ok(routes.find(|route| route.prefix == prefix))
    }

    fn json<T: for<'a> Deserialize<'a>>(&self, line: &str) -> Result<Vec<T>> {
        let text = self.ip(&format!("-j {line}"))?;
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        serde_json::from_str(&text).with_context(|| format!("ip {line}: {text}"))
    }
}

/// RTPROT_KERNEL: what comes with addresses.
const KERNEL: &str = "2";

#[derive(Deserialize)]
struct IpRoute {
    dst: String,
    #[serde(default)]
    protocol: String,
    nhid: Option<u32>,
    #[serde(flatten)]
    hop: IpHop,
    #[serde(default)]
    nexthops: Vec<IpHop>,
}

#[derive(Deserialize)]
struct IpHop {
    gateway: Option<String>,
    via: Option<IpVia>,
    dev: Option<String>,
    weight: Option<u32>,
}

/// A gateway of the other family (RFC 8950).
#[derive(Deserialize)]
struct IpVia {
    host: String,
}

#[derive(Deserialize)]
struct IpNexthop {
    id: u32,
    #[serde(flatten)]
    hop: IpHop,
    #[serde(default)]
    group: Vec<IpMember>,
}

#[derive(Deserialize)]
struct IpMember {
    id: u32,
    weight: Option<u32>,
}

impl IpRoute {
    fn resolve(self, nexthops: &[IpNexthop]) -> Option<KernelRoute> {
        if self.protocol == KERNEL {
            return None;
        }
        let mut next_hops: Vec<NextHop> =
            self.nexthops.iter().filter_map(IpHop::next_hop).collect();
        next_hops.extend(self.hop.next_hop());
        if let (true, Some(id)) = (next_hops.is_empty(), self.nhid) {
            next_hops = members(id, nexthops);
        }
        next_hops.sort();
        Some(KernelRoute {
            prefix: self.dst,
            protocol: self.protocol.parse().ok()?,
            next_hops,
        })
    }
}

impl IpHop {
    fn next_hop(&self) -> Option<NextHop> {
        let via = self.via.as_ref().map(|via| via.host.clone());
        Some(NextHop {
            gateway: self.gateway.clone().or(via),
            device: self.dev.clone()?,
            weight: self.weight.unwrap_or(1),
        })
    }
}

/// The nexthop object of an id, or those of its group.
fn members(id: u32, nexthops: &[IpNexthop]) -> Vec<NextHop> {
    let Some(object) = nexthops.iter().find(|n| n.id == id) else {
        return Vec::new();
    };
    let member = |member: &IpMember| {
        let object = nexthops.iter().find(|n| n.id == member.id)?;
        Some(NextHop {
            weight: member.weight.unwrap_or(1),
            ..object.hop.next_hop()?
        })
    };
    let grouped = object.group.iter().filter_map(member);
    grouped.chain(object.hop.next_hop()).collect()
}

#[cfg(test)]
mod tests;
