//! What the device costs: the processor time and the memory of every process in its namespace.

use std::fs;
use std::os::linux::fs::MetadataExt as _;

use anyhow::{Context as _, Result};
use nix::unistd::{SysconfVar, sysconf};
use serde::Serialize;

use crate::lab::Host;

/// The processes of a namespace.
#[derive(Clone, Debug)]
pub struct Device {
    inode: u64,
}

/// What they have used up to now.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Usage {
    /// Seconds of processor time, in user and in kernel mode.
    pub cpu_s: f64,
    /// Resident memory now, in MiB.
    pub rss_mib: f64,
    /// The most resident memory there was, in MiB.
    pub peak_rss_mib: f64,
}

impl Device {
    /// All that runs in `host`.
    ///
    /// # Errors
    /// The namespace is gone.
    pub fn new(host: &Host) -> Result<Self> {
        let path = format!("/run/netns/{}", host.namespace());
        let inode = fs::metadata(&path).context(path)?.st_ino();
        Ok(Self { inode })
    }

    /// What its processes have used.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for pid in self.pids() {
            usage.cpu_s += cpu(&format!("/proc/{pid}/stat"));
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            usage.rss_mib += mebibytes(&status, "VmRSS:");
            usage.peak_rss_mib += mebibytes(&status, "VmHWM:");
        }
        usage
    }

    /// How many IPv4 routes the kernel holds in the namespace's main table.
    #[must_use]
    pub fn kernel_routes(&self) -> Option<usize> {
        let pid = self.pids().next()?;
        let text = fs::read_to_string(format!("/proc/{pid}/net/fib_triestat")).ok()?;
        let (_, main) = text.split_once("Main:")?;
        let (_, count) = main.split_once("Prefixes:")?;
        count.split_whitespace().next()?.parse().ok()
    }

    fn pids(&self) -> impl Iterator<Item = u32> {
        let (inode, me) = (self.inode, std::process::id());
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(move |&pid| {
            let namespace = fs::metadata(format!("/proc/{pid}/ns/net"));
            pid != me && namespace.is_ok_and(|found| found.st_ino() == inode)
        })
    }
}

/// Processor seconds of everything on this machine but the device, as `device` has it, and ourselves.
pub(super) fn others_cpu(device: Usage) -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut times = stat
        .split_ascii_whitespace()
        .skip(1)
        .filter_map(|t| t.parse::<f64>().ok());
    // User, nice, system, idle, iowait, and the two kinds of interrupts.
    let busy = [1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0];
    let busy = busy
        .iter()
        .map(|weight| weight * times.next().unwrap_or_default());
    busy.sum::<f64>() / ticks() - device.cpu_s - cpu("/proc/self/stat")
}

/// User and system seconds, as `stat` of a process says.
fn cpu(path: &str) -> f64 {
    let stat = fs::read_to_string(path).unwrap_or_default();
    // The name, in parentheses, may hold anything; what follows does not.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest);
    let times = fields.unwrap_or_default().split_ascii_whitespace();
    let times = times.skip(11).take(2).filter_map(|t| t.parse::<f64>().ok());
    times.sum::<f64>() / ticks()
}

/// Clock ticks a second: what the kernel counts time in.
fn ticks() -> f64 {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    #[expect(clippy::cast_precision_loss, reason = "a hundred or a thousand")]
    ticks.map_or(100.0, |ticks| ticks as f64)
}

fn mebibytes(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or(0.0) / 1024.0
}
