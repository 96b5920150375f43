//! `cargo xtask test`: every check there is, one line of numbers at the end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::cargo::{cargo, execute, output, root, with_programs};
use crate::count::Count;
use crate::{guest, kernels, packages, tidy};

/// Runs all; the exit code says whether anything failed.
pub(crate) fn run() -> Result<ExitCode> {
    let mut report = Report::default();
    report.fetched("packages", || {
        packages::install(packages::DEMO)?;
        packages::install(packages::TEST)?;
        packages::install(packages::GUEST)?;
        packages::install_tools()
    });
    if packages::is_root()? {
        report.fetched("FRR of a newer Debian", packages::fetch_newer_frr);
    }
    report.check("format", || {
        execute(&mut cargo(["fmt", "--all", "--check"]))
    });
    report.check("lints", lints);
    report.tests("units and simulator", &mut units());
    report.check("windrosed and windrose for the labs", build_programs);
    let deny = Ahead::start();
    report.tests("labs", &mut labs(&[])?);
    report.guests();
    report.check("tidy", || tidy::run(false));
    report.licences(deny);
    Ok(report.end())
}

/// Runs the labs whose names contain `name`.
pub(crate) fn lab(name: &str) -> Result<()> {
    packages::require_root("labs make network namespaces")?;
    packages::install(packages::DEMO)?;
    packages::install(packages::TEST)?;
    packages::install_tools()?;
    if let Err(e) = packages::fetch_newer_frr() {
        println!("no FRR of a newer Debian: {e:#}");
    }
    build_programs()?;
    execute(&mut labs(&[name])?)
}

/// Runs what needs a kernel of its own, under an old one and a new one.
pub(crate) fn kernels() -> Result<ExitCode> {
    packages::install(packages::GUEST)?;
    let mut report = Report::default();
    report.guests();
    Ok(report.end())
}

/// What needs a lab or a kernel is left out of `--all-targets`, as of everything that is not asked for by name.
fn lints() -> Result<()> {
    let deny = ["--", "-D", "warnings"];
    execute(cargo(["clippy", "--workspace", "--all-targets"]).args(deny))?;
    let interop = ["clippy", "-p", "conformance", "--test", "interop"];
    execute(cargo(interop).args(deny))?;
    let kernel = ["clippy", "-p", "fib-netlink", "--features", "kernel"];
    execute(cargo(kernel).args(["--test", "wireguard"]).args(deny))
}

fn units() -> Command {
    if has("nextest") {
        cargo(["nextest", "run", "--workspace", "--no-fail-fast"])
    } else {
        cargo(["test", "--workspace", "--no-fail-fast"])
    }
}

fn build_programs() -> Result<()> {
    let programs = ["--bin", "windrosed", "--bin", "windrose"];
    let packages = ["build", "--profile", "lab", "-p", "daemon", "-p", "cli"];
    execute(cargo(packages).args(programs))
}

/// The labs, one after the other and ahead of whatever else runs: what they time is real.
fn labs(names: &[&str]) -> Result<Command> {
    let interop = ["-p", "conformance", "--test", "interop"];
    let mut tests = if has("nextest") {
        let mut tests = cargo(["nextest", "run"]);
        tests.args(interop).args(["-j", "1", "--no-fail-fast"]);
        tests.args(["--success-output", "immediate"]).args(names);
        tests
    } else {
        let mut tests = cargo(["test", "--no-fail-fast"]);
        tests
            .args(interop)
            .args(["--", "--test-threads=1", "--nocapture"]);
        tests.args(names);
        tests
    };
    if packages::is_root()? {
        let mut nice = Command::new("nice");
        nice.args(["-n", "-10"]).arg(tests.get_program());
        nice.args(tests.get_args()).current_dir(root());
        tests = nice;
    }
    with_programs(&mut tests);
    Ok(tests)
}

/// cargo-deny, which is built while labs run: they wait for their peers most of the time, and at the lowest of all
/// priorities they do not notice. In CI nothing is skipped that the machine can do; a person is not made to wait for it.
struct Ahead(Result<Child>);

impl Ahead {
    /// `None`: it is there, or this is not CI.
    fn start() -> Option<Self> {
        if std::env::var_os("CI").is_none() || has("deny") {
            return None;
        }
        let install = cargo(["install", "--quiet", "--locked", "cargo-deny"]);
        let mut idle = Command::new("chrt");
        idle.args(["--idle", "0"]).arg(install.get_program());
        idle.args(install.get_args()).current_dir(root());
        idle.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Some(Self(idle.spawn().context("start chrt, of util-linux")))
    }

    fn finish(self) -> Result<()> {
        let output = self.0?.wait_with_output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo-deny: {complaint}");
        Ok(())
    }
}

/// Whether cargo has a subcommand.
fn has(subcommand: &str) -> bool {
    output(&mut cargo([subcommand, "--version"])).is_ok()
}

#[derive(Default)]
struct Report {
    count: Count,
    lines: Vec<String>,
}

impl Report {
    /// One check that passes or fails.
    fn check(&mut self, name: &str, run: impl FnOnce() -> Result<()>) {
        println!("\n=== {name}");
        let start = Instant::now();
        let done = run();
        let mut count = Count::default();
        match &done {
            Ok(()) => count.passed = 1,
            Err(e) => {
                println!("{e:#}");
                count.failed = 1;
            }
        }
        self.add(name, start, count);
    }

    /// A runner of tests. One that does not sum up, or ends badly with nothing failed, is a failure.
    fn tests(&mut self, name: &str, command: &mut Command) {
        println!("\n=== {name}");
        let start = Instant::now();
        let (said, success) = tee(command).unwrap_or_else(|e| (format!("{e:#}"), false));
        let summary = Count::of(&said);
        let mut count = summary.unwrap_or_default();
        if (!success || summary.is_none()) && count.failed == 0 {
            count.failed = 1;
        }
        self.add(name, start, count);
    }

    /// What cannot be had is no failure where it may be missing: the labs that need it are skipped.
    fn fetched(&mut self, name: &str, fetch: impl FnOnce() -> Result<()>) {
        match fetch() {
            Err(e) if std::env::var_os("CI").is_none() => self.skip(name, &format!("{e:#}")),
            done => self.check(name, || done),
        }
    }

    /// Tests under kernels of their own. As with packages, what cannot be had is no failure where it may be missing.
    fn guests(&mut self) {
        let mut tests = None;
        let build = || guest::build().map(|program| tests = Some(program));
        self.check("WireGuard's tests for kernels", build);
        let Some(tests) = tests else { return };
        for wanted in kernels::WANTED {
            let name = format!("WireGuard of the {} kernel", wanted.word);
            let machine = kernels::fetch(&wanted).and_then(|kernel| {
                let machine = guest::machine(&kernel, wanted.word, &tests)?;
                Ok((format!("WireGuard of Linux {}", kernel.release), machine))
            });
            match machine {
                Ok((name, mut machine)) => self.tests(&name, &mut machine),
                Err(e) if std::env::var_os("CI").is_none() => self.skip(&name, &format!("{e:#}")),
                Err(e) => self.check(&name, || Err(e)),
            }
        }
    }

    fn licences(&mut self, deny: Option<Ahead>) {
        let check = ["deny", "check", "licenses", "bans", "sources"];
        if !has("deny") && deny.is_none() {
            return self.skip("licences", "needs cargo-deny (cargo install cargo-deny)");
        }
        self.check("licences", || {
            if let Some(deny) = deny {
                deny.finish()?;
            }
            execute(&mut cargo(check))
        });
    }

    fn skip(&mut self, name: &str, why: &str) {
        println!("\n=== {name}\nSKIPPED: {why}");
        let count = Count {
            skipped: 1,
            ..Count::default()
        };
        self.add(name, Instant::now(), count);
    }

    fn add(&mut self, name: &str, start: Instant, count: Count) {
        let seconds = start.elapsed().as_secs();
        self.lines
            .push(format!("{name:<40} {seconds:>5} s   {count}"));
        self.count += count;
    }

    fn end(self) -> ExitCode {
        println!("\n{}\n{}", self.lines.join("\n"), self.count);
        ExitCode::from(u8::from(self.count.failed > 0))
    }
}

/// Runs a command, shows what it prints, and returns that and whether it succeeded.
fn tee(command: &mut Command) -> Result<(String, bool)> {
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    // The command holds the pipe's other end too: without this the reading would never end.
    command.stdout(Stdio::null());
    command.stderr(Stdio::null());
    let mut said = String::new();
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(out, "{line}")?;
        said.push_str(&line);
        said.push('\n');
    }
    Ok((said, child.wait()?.success()))
}
