//! Where labs keep their records, and how one is taken down by what is recorded.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{containers, run};

/// Every lab has a folder here.
const ROOT: &str = "/tmp/windrose-lab";
/// Who made the lab: a process, or this word.
const OWNER: &str = "owner";
const KEPT: &str = "kept";
/// The processes it started.
const PROCESSES: &str = "processes";
/// The containers it started.
const CONTAINERS: &str = "containers";
/// How long it may take to make a folder and to write who owns it.
const MAKING: Duration = Duration::from_secs(10);
/// How long a process may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// Makes the folder of a lab that this program owns.
pub(super) fn create(name: &str) -> Result<PathBuf> {
    let dir = Path::new(ROOT).join(name);
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let me = Incarnation::of(std::process::id()).context("this process is not in /proc")?;
    fs::write(dir.join(OWNER), me.to_string())?;
    Ok(dir)
}

/// Records that nobody owns the lab.
pub(super) fn mark_kept(dir: &Path) -> Result<()> {
    Ok(fs::write(dir.join(OWNER), KEPT)?)
}

/// Records a process of the lab, so that whoever removes it ends just this one.
pub(super) fn record(dir: &Path, pid: u32) -> Result<()> {
    let Some(process) = Incarnation::of(pid) else {
        return Ok(());
    };
    let file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join(PROCESSES));
    Ok(writeln!(file?, "{process}")?)
}

/// Records a container; `dir` is a host's folder.
pub(super) fn record_container(dir: &Path, name: &str) -> Result<()> {
    let lab = dir.parent().context("a host's folder is in its lab's")?;
    let file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(lab.join(CONTAINERS));
    Ok(writeln!(file?, "{name}")?)
}

/// Removes the labs whose makers are dead.
pub(super) fn sweep() -> Result<()> {
    for (dir, owner) in labs()? {
        let alive = Incarnation::parse(&owner).is_some_and(|o| o.is_alive());
        // One that has no owner yet is just being made by somebody else.
        let being_made = owner.is_empty() && age(&dir) < MAKING;
        if owner != KEPT && !alive && !being_made {
            remove(&dir);
        }
    }
    Ok(())
}

/// How long a folder has been as it is.
fn age(dir: &Path) -> Duration {
    let changed = fs::metadata(dir).and_then(|of| of.modified()).ok();
    changed.and_then(|at| at.elapsed().ok()).unwrap_or_default()
}

/// Removes the labs that were kept.
pub(super) fn remove_kept() -> Result<usize> {
    let kept: Vec<_> = labs()?.into_iter().filter(|(_, o)| o == KEPT).collect();
    for (dir, _) in &kept {
        remove(dir);
    }
    Ok(kept.len())
}

/// Ends the lab's processes, newest first, and removes its namespaces and its folder.
pub(super) fn remove(dir: &Path) {
    let record = fs::read_to_string(dir.join(PROCESSES)).unwrap_or_default();
    let mut processes: Vec<_> = record.lines().filter_map(Incarnation::parse).collect();
    processes.retain(Incarnation::is_alive);
    for process in processes.iter().rev() {
        process.signal(Signal::SIGTERM);
    }
    let start = Instant::now();
    while processes.iter().any(Incarnation::is_alive) && start.elapsed() < GRACE {
        std::thread::sleep(Duration::from_millis(10));
    }
    for process in &processes {
        process.signal(Signal::SIGKILL);
    }
    let containers = fs::read_to_string(dir.join(CONTAINERS)).unwrap_or_default();
    containers.lines().for_each(containers::remove);
    if let Some(prefix) = dir.file_name().and_then(|n| n.to_str()) {
        for namespace in namespaces_of(prefix) {
            let _ = run(Command::new("ip").args(["netns", "del", &namespace]));
        }
    }
    let _ = fs::remove_dir_all(dir);
    let _ = fs::remove_dir(ROOT);
}

/// Every log below a folder.
pub(super) fn logs(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(logs(&path));
        } else if path.extension().is_some_and(|e| e == "log") {
            found.push(path);
        }
    }
    found
}

/// What a lab needs and this machine lacks; `None` if nothing.
pub(super) fn missing(programs: &[&str]) -> Option<String> {
    let mut lacks: Vec<String> = Vec::new();
    if !nix::unistd::geteuid().is_root() {
        lacks.push("root".to_owned());
    }
    let absent = programs.iter().filter(|p| find(p).is_none());
    lacks.extend(absent.map(|p| format!("the program {p}")));
    (!lacks.is_empty()).then(|| lacks.join(", "))
}

/// Where a program is: an absolute path as it stands, a name as the shell would find it.
fn find(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&paths).collect();
    places.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = places.into_iter().map(|dir| dir.join(program));
    found.into_iter().find(|path| path.is_file())
}

fn labs() -> Result<Vec<(PathBuf, String)>> {
    let Ok(entries) = fs::read_dir(ROOT) else {
        return Ok(Vec::new());
    };
    let mut labs = Vec::new();
    for entry in entries {
        let dir = entry?.path();
        if let Ok(owner) = fs::read_to_string(dir.join(OWNER)) {
            labs.push((dir, owner));
        }
    }
    Ok(labs)
}

fn namespaces_of(prefix: &str) -> Vec<String> {
    let start = format!("{prefix}-");
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = entries.filter_map(|e| e.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&start)).collect()
}

/// One life of a process: its number and when it started, for numbers are used again.
struct Incarnation {
    pid: u32,
    start: u64,
}

impl Incarnation {
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; what follows does not.
        let (_, after) = stat.rsplit_once(')')?;
        let mut fields = after.split_whitespace();
        let ended = matches!(fields.next()?, "Z" | "X");
        let start = fields.nth(18)?.parse().ok()?;
        (!ended).then_some(Self { pid, start })
    }

    fn parse(text: &str) -> Option<Self> {
        let (pid, start) = text.trim().split_once(' ')?;
        Some(Self {
            pid: pid.parse().ok()?,
            start: start.parse().ok()?,
        })
    }

    fn is_alive(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.start == self.start)
    }

    fn signal(&self, signal: Signal) {
        if let (true, Ok(pid)) = (self.is_alive(), i32::try_from(self.pid)) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl std::fmt::Display for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.pid, self.start)
    }
}
