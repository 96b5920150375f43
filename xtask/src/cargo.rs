//! Programs that tasks start, cargo first.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// cargo at the top of the repository.
pub(crate) fn cargo<const N: usize>(words: [&str; N]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root()).args(words);
    command
}

/// A program of ours that was built with the profile `lab`, told where the others are.
pub(crate) fn lab_program(name: &str) -> Command {
    let folder = folder("lab");
    let mut command = Command::new(folder.join(name));
    command.current_dir(root());
    with_programs(&mut command);
    command
}

/// Tells a command where windrosed and windrose are.
pub(crate) fn with_programs(command: &mut Command) {
    let folder = folder("lab");
    command.env("WINDROSED", folder.join("windrosed"));
    command.env("WINDROSE", folder.join("windrose"));
    command.env("STAMP_SUITE", crate::packages::stamp_suite());
    command.env("NEWER_FRR", crate::packages::newer_frr());
    // Failures say what was waited for and how the logs end; where in the code is no news.
    command.env("RUST_LIB_BACKTRACE", "0");
}

/// Runs a command to its end.
pub(crate) fn execute(command: &mut Command) -> Result<()> {
    let status = command.status();
    let status = status.with_context(|| format!("start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// What a command prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output();
    let output = output.with_context(|| format!("start {command:?}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {complaint}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Where cargo puts the programs of a profile.
pub(crate) fn folder(profile: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    root()
        .join(target.unwrap_or_else(|| "target".into()))
        .join(profile)
}
