//! `cargo xtask bench micro`: how many instructions an engine takes for a route or a message. They are counted by valgrind, not
//! timed, so that two commits can be compared on a busy machine.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use crate::cargo::{cargo, execute, folder, output};
use crate::packages;

/// The function whose instructions count, with those that it calls: `Prepared::measured` of `conformance::micro`.
const MEASURED: &str = "*micro*Prepared*::measured*";

/// Instructions per route or message of each engine, under valgrind.
#[derive(Parser)]
#[command(name = "cargo xtask bench micro")]
struct Arguments {
    /// Only benchmarks whose names contain this: `decode/`, `way`.
    #[arg(default_value = "")]
    name: String,
    /// A file with what was printed before: the change is shown beside each.
    #[arg(long)]
    against: Option<PathBuf>,
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    name: String,
    /// Of one `unit`.
    instructions: f64,
    unit: String,
}

impl Row {
    /// Reads a line as it is written; `None` of any other line.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (name, instructions, unit) = (words.next()?, words.next()?, words.next()?);
        let instructions = instructions.parse().ok()?;
        name.contains('/').then(|| Self {
            name: name.to_owned(),
            instructions,
            unit: unit.to_owned(),
        })
    }

    /// By how many percent there are more than there were, to a tenth.
    fn change(&self, before: &[Self]) -> Option<f64> {
        let before = before.iter().find(|row| row.name == self.name)?;
        let is_other = before.unit != self.unit || before.instructions <= 0.0;
        let permille = ((self.instructions / before.instructions - 1.0) * 1000.0).round();
        // Zero has no sign.
        (!is_other).then_some(permille / 10.0 + 0.0)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            instructions,
            unit,
        } = self;
        write!(f, "{name:<28} {instructions:>12.1}  {unit:<8}")
    }
}

/// Builds the benchmarks for release, as the daemon is, and runs each of them once under callgrind.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let Arguments { name, against } = Arguments::parse_from(words);
    let before = match &against {
        Some(path) => std::fs::read_to_string(path).with_context(|| path.display().to_string())?,
        None => String::new(),
    };
    let before: Vec<Row> = before.lines().filter_map(Row::read).collect();
    packages::install(packages::COUNT)?;
    let build = ["build", "--release", "-p", "conformance", "--bin", "micro"];
    execute(&mut cargo(build))?;
    let program = folder("release").join("micro");
    let list = output(&mut Command::new(&program))?;
    let all = list.lines().filter_map(|line| line.split_once(' '));
    let mut some = all.filter(|(each, _)| each.contains(&name)).peekable();
    ensure!(
        some.peek().is_some(),
        "no benchmark has {name:?} in its name"
    );
    println!("{:<28} {:>12}  of a", "benchmark", "instructions");
    for (name, unit) in some {
        let row = Row {
            name: name.to_owned(),
            instructions: count(&program, name)?,
            unit: unit.to_owned(),
        };
        match row.change(&before) {
            Some(change) => println!("{row} {change:>+7.1} %"),
            None => println!("{}", row.to_string().trim_end()),
        }
    }
    Ok(())
}

/// Instructions of one route or message.
fn count(program: &PathBuf, name: &str) -> Result<f64> {
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(program)
        .arg(name);
    let done = valgrind.output().context("start valgrind")?;
    let (said, heard) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    ensure!(done.status.success(), "{name}: {heard}");
    let collected = collected(&heard).filter(|instructions| *instructions > 0);
    let collected = collected.with_context(|| format!("{name}: nothing was counted: {heard}"))?;
    let times: u64 = said
        .trim()
        .parse()
        .with_context(|| format!("{name}: {said}"))?;
    each(collected, times).with_context(|| format!("{name}: of none"))
}

/// What callgrind has counted, by what it says at its end.
fn collected(said: &str) -> Option<u64> {
    let mut lines = said.lines().filter_map(|line| {
        // `==4711== Collected : 123456`
        let (_, count) = line.split_once("== Collected : ")?;
        count.split_whitespace().next()?.parse().ok()
    });
    lines.next_back()
}

#[allow(
    clippy::cast_precision_loss,
    reason = "counts are far below 2^52, and a tenth is shown"
)]
fn each(instructions: u64, times: u64) -> Option<f64> {
    (times > 0).then(|| instructions as f64 / times as f64)
}

#[cfg(test)]
mod tests;
