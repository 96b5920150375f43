//! What the process uses, from /proc. What cannot be read is left out.

use std::fs;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// `_SC_CLK_TCK`, which Linux fixes at this for programs on all its architectures.
const TICKS_A_SECOND: f64 = 100.0;

pub(super) fn register(registry: &mut Registry) {
    if let Some(cpu) = fs::read_to_string("/proc/self/stat")
        .ok()
        .as_deref()
        .and_then(cpu_seconds)
    {
        let counter = Counter::<f64, AtomicU64>::default();
        counter.inc_by(cpu);
        registry.register_with_unit(
            "process_cpu",
            "Processor time, of user and system",
            Unit::Seconds,
            counter,
        );
    }
    if let Some(resident) = fs::read_to_string("/proc/self/status")
        .ok()
        .as_deref()
        .and_then(resident_bytes)
    {
        gauge(
            registry,
            "process_resident_memory_bytes",
            "Memory in RAM",
            resident,
        );
    }
    if let Some(fds) = fs::read_dir("/proc/self/fd")
        .ok()
        .and_then(|fds| i64::try_from(fds.count()).ok())
    {
        gauge(registry, "process_open_fds", "Open file descriptors", fds);
    }
}

/// Fields 14 and 15 of proc(5)'s stat, counted after the name, which may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_A_SECOND)
}

fn resident_bytes(status: &str) -> Option<i64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<i64>()
        .ok()?
        .checked_mul(1024)
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}
