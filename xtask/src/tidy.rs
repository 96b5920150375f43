//! Checks that no compiler makes. `cargo test -p xtask` runs them too.

mod clauses;
mod crates;
mod map;
mod shape;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::cargo::root;

/// What is wrong, one line each.
type Complaints = Vec<String>;

type Check = fn() -> Result<Complaints>;

/// Every check, by the sentence that it holds true.
const CHECKS: [(&str, Check); 6] = [
    ("crates depend downwards only", crates::depend_downwards),
    ("pure crates do no I/O", crates::pure_crates_do_no_io),
    ("every file says what it is, and none is long", shape::files),
    ("every function fits on a screen", shape::functions),
    ("what ARCHITECTURE.md names is there", map::names_exist),
    (
        "every RFC clause has its test or its reason",
        clauses::are_tested,
    ),
];

/// Runs all checks and shows the table of clauses; with `write`, puts it into the README first.
///
/// # Errors
/// Something is wrong: says all that is.
pub(crate) fn run(write: bool) -> Result<()> {
    if write {
        clauses::write_table()?;
    }
    let mut wrong = 0;
    for (sentence, check) in CHECKS {
        let complaints = check()?;
        let mark = if complaints.is_empty() { "yes" } else { "NO " };
        println!("{mark} {sentence}");
        for complaint in &complaints {
            println!("      {complaint}");
        }
        wrong += complaints.len();
    }
    println!("\n{}", clauses::table()?);
    if wrong > 0 {
        bail!("{wrong} things are not tidy");
    }
    Ok(())
}

/// Every Rust file of the repository, relative to its top, in order.
fn sources() -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    walk(root(), &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            walk(&path, found)?;
        } else if name.ends_with(".rs") {
            let text =
                std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            found.push((path.strip_prefix(root())?.to_owned(), text));
        }
    }
    Ok(())
}

/// Whether a file holds tests or examples only.
fn is_test(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let mut folders = path.components().map(|part| part.as_os_str());
    name == "tests.rs" || folders.any(|folder| folder == "tests" || folder == "examples")
}

/// A file without the tests at its end.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

#[cfg(test)]
mod tests;
