//! Labs for people: `lab demo [--keep]`, `lab remove`. `cargo xtask` builds it and calls it.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::process::ExitCode;

use anyhow::{Result, bail};
use conformance::lab;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["demo"] => lab::demo::run(false),
        ["demo", "--keep"] => lab::demo::run(true),
        ["remove"] => {
            println!("{} labs removed", lab::remove_kept()?);
            Ok(())
        }
        other => bail!("lab demo [--keep] | remove, not {other:?}"),
    }
}
