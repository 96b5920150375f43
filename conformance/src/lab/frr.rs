//! FRR: zebra, bgpd and, where BFD is asked for, bfdd, asked with `vtysh`; of a newer release also mgmtd, without which zebra
//! is never idle.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path as FilePath, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::path::{community_from, numbers};
use super::{Host, Lab, Path, Process, run};

/// Where Debian puts the daemons, and `vtysh`.
const DAEMONS: &str = "usr/lib/frr";
const VTYSH: &str = "usr/bin/vtysh";
/// Where its libraries and FRR's own are, and its loader. A newer FRR is fetched for x86_64 alone.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const LOADER: &str = "usr/lib64/ld-linux-x86-64.so.2";
/// Names the folder in which packages of a newer release are unpacked.
const NEWER_VARIABLE: &str = "NEWER_FRR";
/// mgmtd has its sockets in /run/frr and reads configurations in /etc/frr, and no option says otherwise. For a script of `sh`
/// and what it starts, the first is the folder it is given, and the second empty: what it mounts, its `ip netns exec` alone
/// sees.
const APART: &str = "mount -t tmpfs none /run && ln -s \"$0\" /run/frr && mount -t tmpfs none /etc/frr && exec \"$@\"";

/// Which FRR, by where its programs are.
#[derive(Clone, Debug)]
pub enum FrrRelease {
    /// The one that this machine's Debian has, installed.
    Installed,
    /// One of a newer Debian, unpacked in a folder with the libraries that it needs, down to libc.
    Unpacked(PathBuf),
}

/// A running FRR. Its sockets are in the lab's folder: any number of them fit on a machine.
#[derive(Debug)]
pub struct Frr {
    // bgpd before zebra: dropped in this order, bgpd withdraws its routes before zebra goes.
    processes: Vec<Process>,
    dir: PathBuf,
    release: FrrRelease,
}

impl FrrRelease {
    /// The newer one that `cargo xtask` fetches.
    #[must_use]
    pub fn newer() -> Self {
        let root = std::env::var(NEWER_VARIABLE).unwrap_or_else(|_| NEWER_VARIABLE.to_owned());
        Self::Unpacked(root.into())
    }

    /// Its bgpd: where that is, all of it is.
    #[must_use]
    pub fn bgpd(&self) -> String {
        let bgpd = self.root().join(DAEMONS).join("bgpd");
        bgpd.display().to_string()
    }

    fn root(&self) -> &FilePath {
        match self {
            Self::Installed => FilePath::new("/"),
            Self::Unpacked(root) => root,
        }
    }

    /// What starts one of its programs; `command` makes that of a path. One that is unpacked comes with the loader
    /// that its libraries are for.
    fn command(&self, program: &str, command: impl FnOnce(&str) -> Command) -> Command {
        let within = |path: &str| self.root().join(path).display().to_string();
        match self {
            Self::Installed => command(&within(program)),
            Self::Unpacked(_) => {
                let libraries = within(LIBRARIES);
                let mut command = command(&within(LOADER));
                command.arg("--library-path");
                command.arg(format!("{libraries}:{libraries}/frr"));
                command.arg(within(program));
                command
            }
        }
    }
}

impl Frr {
    /// Starts it with a configuration (`router bgp …`). A block from `bfd` to `!` is for bfdd alone: no daemon
    /// survives an `exit` from a block that it does not know.
    ///
    /// # Errors
    /// A daemon does not start, or does not like the configuration.
    pub fn start(lab: &Lab, host: &Host, config: &str) -> Result<Self> {
        Self::start_release(FrrRelease::Installed, lab, host, config)
    }

    /// Starts the FRR of a release.
    ///
    /// # Errors
    /// As with [`Frr::start`].
    pub fn start_release(
        release: FrrRelease,
        lab: &Lab,
        host: &Host,
        config: &str,
    ) -> Result<Self> {
        let dir = host.dir().join("frr");
        std::fs::create_dir_all(&dir)?;
        let path = dir.join("frr.conf");
        let (of_bfdd, config) = split_bfd(config);
        std::fs::write(&path, format!("log stdout\n{config}"))?;
        let path_of_bfdd = dir.join("bfdd.conf");
        std::fs::write(&path_of_bfdd, format!("log stdout\n{of_bfdd}"))?;
        std::fs::write(dir.join("vtysh.conf"), "")?;
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755))?;
        run(Command::new("chown").args(["-R", "frr:frr"]).arg(&dir))?;
        let mut frr = Self {
            processes: Vec::new(),
            dir,
            release,
        };
        if matches!(frr.release, FrrRelease::Unpacked(_)) {
            frr.start_daemon(lab, host, "mgmtd", None)?;
        }
        frr.start_daemon(lab, host, "zebra", Some(&path))?;
        if !of_bfdd.is_empty() {
            frr.start_daemon(lab, host, "bfdd", Some(&path_of_bfdd))?;
        }
        frr.start_daemon(lab, host, "bgpd", Some(&path))?;
        Ok(frr)
    }

    /// bgpd, to signal or to end it.
    ///
    /// # Errors
    /// It was never started.
    pub fn bgpd(&mut self) -> Result<&mut Process> {
        self.processes.first_mut().context("bgpd was not started")
    }

    /// Starts bgpd again after it ended.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart_bgpd(&mut self, lab: &Lab, host: &Host) -> Result<()> {
        drop(self.processes.remove(0));
        std::fs::remove_file(self.dir.join("bgpd.vty"))?;
        let path = self.dir.join("frr.conf");
        self.start_daemon(lab, host, "bgpd", Some(&path))
    }

    /// Where its sockets and its configuration are.
    #[must_use]
    pub fn dir(&self) -> &FilePath {
        &self.dir
    }

    /// Runs a command of `vtysh`.
    ///
    /// # Errors
    /// FRR does not know the command.
    pub fn ask(&self, line: &str) -> Result<String> {
        run(self.vtysh().args(["-c", line]))
    }

    /// Runs lines in the configuration mode.
    ///
    /// # Errors
    /// FRR refuses a line.
    pub fn configure(&self, lines: &[&str]) -> Result<()> {
        let mut vtysh = self.vtysh();
        vtysh.args(["-c", "configure terminal"]);
        for line in lines {
            vtysh.args(["-c", line]);
        }
        run(&mut vtysh).map(drop)
    }

    /// Succeeds when the session with a neighbour is Established.
    ///
    /// # Errors
    /// It is not: says what it is.
    pub fn established(&self, neighbor: &str) -> Result<()> {
        let said = self.json(&format!("show bgp neighbors {neighbor} json"))?;
        let state = said.pointer(&format!("/{neighbor}/bgpState"));
        if state.and_then(Value::as_str) != Some("Established") {
            bail!("FRR: {neighbor} is {state:?}");
        }
        Ok(())
    }

    /// The paths to a prefix, the best first.
    ///
    /// # Errors
    /// FRR does not answer.
    pub fn paths(&self, prefix: &str) -> Result<Vec<Path>> {
        let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
        let said = self.json(&format!("show bgp {family} unicast {prefix} json"))?;
        let mut paths: Vec<_> = array(&said, "/paths").iter().collect();
        paths.sort_by_key(|path| path.pointer("/bestpath/overall").is_none());
        Ok(paths.into_iter().map(read).collect())
    }

    /// The best path to a prefix.
    ///
    /// # Errors
    /// There is none.
    pub fn path(&self, prefix: &str) -> Result<Path> {
        let best = self.paths(prefix)?.into_iter().next();
        best.with_context(|| format!("FRR has no {prefix}"))
    }

    /// Lets it run on when this value is gone.
    pub(super) fn detach(self) {
        self.processes.into_iter().for_each(Process::detach);
    }

    fn start_daemon(
        &mut self,
        lab: &Lab,
        host: &Host,
        daemon: &str,
        conf: Option<&FilePath>,
    ) -> Result<()> {
        let program = format!("{DAEMONS}/{daemon}");
        let mut command = self.release.command(&program, |path| match &self.release {
            FrrRelease::Installed => host.command(path),
            FrrRelease::Unpacked(_) => {
                let mut command = host.command("sh");
                command.args(["-c", APART]).arg(&self.dir).arg(path);
                command
            }
        });
        command.args(["-A", "127.0.0.1"]);
        command
            .arg("-i")
            .arg(self.dir.join(format!("{daemon}.pid")));
        command.arg("--vty_socket").arg(&self.dir);
        if let Some(conf) = conf {
            command.arg("-f").arg(conf);
            command.arg("-z").arg(self.dir.join("zserv.api"));
        }
        if daemon == "bfdd" {
            command.arg("--bfdctl").arg(self.dir.join("bfdd.sock"));
        }
        let bmp =
            |conf: &FilePath| std::fs::read_to_string(conf).map(|c| c.contains("bmp targets"));
        if daemon == "bgpd" && conf.map_or(Ok(false), bmp)? {
            command.args(["-M", "bmp"]);
            if let FrrRelease::Unpacked(root) = &self.release {
                let modules = root.join(LIBRARIES).join("frr/modules");
                command.arg("--moduledir").arg(modules);
            }
        }
        self.processes.insert(0, host.start(daemon, command)?);
        let socket = self.dir.join(format!("{daemon}.vty"));
        lab.eventually(daemon, Duration::from_secs(10), || {
            if let Some(process) = self.processes.first_mut() {
                process.check()?;
            }
            socket.exists().then_some(()).context("no vty socket")
        })
    }

    fn vtysh(&self) -> Command {
        let mut command = self.release.command(VTYSH, |path| Command::new(path));
        command.arg("--vty_socket").arg(&self.dir);
        command.arg("--config_dir").arg(&self.dir);
        command
    }

    /// What a command says in JSON.
    ///
    /// # Errors
    /// FRR does not know the command.
    pub fn json(&self, line: &str) -> Result<Value> {
        let text = self.ask(line)?;
        serde_json::from_str(&text).with_context(|| format!("FRR: {line}: {text}"))
    }
}

/// The lines of the block `bfd`, and all others.
fn split_bfd(config: &str) -> (String, String) {
    let mut inside = false;
    let (mut of_bfdd, mut others) = (String::new(), String::new());
    for line in config.lines() {
        inside = line == "bfd" || inside && line != "!";
        let to = if inside { &mut of_bfdd } else { &mut others };
        to.push_str(line);
        to.push('\n');
    }
    (of_bfdd, others)
}

fn read(path: &Value) -> Path {
    let number = |at: &str| u32::try_from(path.pointer(at)?.as_u64()?).ok();
    let text = |at: &str| path.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let aggregator = number("/aggregatorAs").map(|asn| format!("{asn} {}", text("/aggregatorId")));
    let hops = array(path, "/nexthops");
    let global = hops
        .iter()
        .find(|hop| hop.pointer("/scope") != Some(&Value::from("link-local")));
    let next_hop = global
        .and_then(|hop| hop.pointer("/ip"))
        .and_then(Value::as_str);
    Path {
        next_hop: next_hop.unwrap_or_default().to_owned(),
        as_path: numbers(text("/aspath/string")),
        origin: text("/origin").to_lowercase(),
        med: number("/metric"),
        local_pref: number("/locPrf"),
        communities: words(text("/community/string"))
            .map(|w| community_from(&w))
            .collect(),
        large_communities: words(text("/largeCommunity/string")).collect(),
        ext_communities: words(&text("/extendedCommunity/string").to_lowercase()).collect(),
        aggregator,
        atomic_aggregate: path.pointer("/atomicAggregate").is_some(),
        path_id: number("/addpathRxId").filter(|id| *id != 0),
        originator_id: path
            .pointer("/originatorId")
            .map(|_| text("/originatorId").to_owned()),
        cluster_list: array(path, "/clusterList/list")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    }
}

fn array<'a>(value: &'a Value, at: &str) -> &'a [Value] {
    let found = value.pointer(at).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}
