//! Programs: run to the end, or kept running and stopped by number.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::place;

/// How long a program may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// It cannot be started, or fails: says with what words.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let (complaint, said) = (complaint.trim(), said.trim());
        bail!("{command:?}: {}\n{complaint}\n{said}", output.status);
    }
    Ok(said)
}

/// Has this thread run before all others when it has something to do (SCHED_FIFO), where that is allowed: for threads
/// that keep the time, or play somebody who would not share a processor with the device.
pub fn punctual() {
    let me = nix::unistd::gettid().to_string();
    // Where it is not allowed the thread is as late as all others.
    let _ = run(Command::new("chrt").args(["--fifo", "--pid", "10", &me]));
}

/// Lets this program, and those that it starts, have many files open: a thousand peers are more than is allowed by default.
pub fn many_files() {
    let me = format!("--pid={}", std::process::id());
    // Where it is not allowed, few peers do.
    let _ = run(Command::new("prlimit").args(["--nofile=65536:65536", &me]));
}

/// A program that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, what it prints going to the end of `log`, and records it in the lab of folder `lab`.
    pub(super) fn start(lab: &Path, mut command: Command, log: PathBuf) -> Result<Self> {
        let file = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        place::record(lab, child.id())?;
        Ok(Self { child, log })
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> Result<String> {
        let bytes = std::fs::read(&self.log)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Fails once it has ended.
    ///
    /// # Errors
    /// It has ended: says how, and its last words.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("ended with {status}:\n{}", self.log()?);
        }
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.pid())?), signal)?)
    }

    /// Ends it as an operator does, with SIGTERM; by force when it does not listen.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        self.signal(Signal::SIGTERM)?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > GRACE {
                return self.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends it at once, as a crash does.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end; returns its exit code, -1 for a signal.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn wait(&mut self) -> Result<i32> {
        Ok(self.child.wait()?.code().unwrap_or(-1))
    }

    /// Lets it run on when this value is gone; the lab's record still ends it.
    pub(super) fn detach(self) {
        std::mem::forget(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}
