//! `conformance/clauses/rfcNNNN.toml`: each MUST of an RFC, with the test that shows it or the reason why
//! none does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{Complaints, sources};
use crate::cargo::root;

const FOLDER: &str = "conformance/clauses";
const README: &str = "README.md";
/// The table stands between these two in the README.
const BEGIN: &str = "<!-- clauses: written by `cargo xtask tidy --write` -->\n";
const END: &str = "<!-- end of clauses -->";

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rfc {
    /// What the RFC is about.
    title: String,
    #[serde(default)]
    clause: Vec<Clause>,
}

/// One sentence of an RFC.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clause {
    section: String,
    text: String,
    /// `crate::module::name` of a test.
    test: Option<String>,
    /// Why there is none.
    skip: Option<String>,
}

/// Each clause names a test that is there, or says why not; the README shows how many.
pub(super) fn are_tested() -> Result<Complaints> {
    let tests = tests()?;
    let mut complaints = Vec::new();
    for (name, rfc) in read()? {
        for clause in rfc.clause {
            let place = format!("{FOLDER}/{name}.toml §{}", clause.section);
            match (&clause.test, &clause.skip) {
                (Some(test), None) => {
                    if !is_there(test, &tests) {
                        complaints.push(format!("{place}: there is no test {test}"));
                    }
                }
                (None, Some(why)) if !why.trim().is_empty() => {}
                _ => complaints.push(format!("{place}: needs either `test` or `skip`")),
            }
            if clause.text.trim().is_empty() {
                complaints.push(format!("{place}: has no text"));
            }
        }
    }
    let readme = std::fs::read_to_string(root().join(README)).context(README)?;
    if !readme.contains(&format!("{BEGIN}{}{END}", table()?)) {
        complaints.push(format!(
            "{README}: the table is old; run `cargo xtask tidy --write`"
        ));
    }
    Ok(complaints)
}

/// How many clauses of each RFC are tested, in Markdown.
pub(super) fn table() -> Result<String> {
    let mut table =
        String::from("| RFC | | clauses | tested | skipped |\n|---|---|---:|---:|---:|\n");
    for (name, rfc) in read()? {
        let number = name.trim_start_matches("rfc");
        let all = rfc.clause.len();
        let tested = rfc.clause.iter().filter(|c| c.test.is_some()).count();
        let (title, skipped) = (&rfc.title, all - tested);
        writeln!(
            table,
            "| {number} | {title} | {all} | {tested} | {skipped} |"
        )?;
    }
    Ok(table)
}

/// Puts the table into the README.
pub(super) fn write_table() -> Result<()> {
    let path = root().join(README);
    let readme = std::fs::read_to_string(&path).context(README)?;
    let (before, rest) = readme.split_once(BEGIN).context("no place for the table")?;
    let (_, after) = rest.split_once(END).context("no end of the table")?;
    Ok(std::fs::write(
        path,
        format!("{before}{BEGIN}{}{END}{after}", table()?),
    )?)
}

fn read() -> Result<BTreeMap<String, Rfc>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(root().join(FOLDER)).into_iter().flatten() {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(&path)?;
        let rfc = toml::from_str(&text).with_context(|| path.display().to_string())?;
        found.insert(name.into_owned(), rfc);
    }
    Ok(found)
}

/// Every test: its crate's folder and its name.
fn tests() -> Result<BTreeSet<(String, String)>> {
    let mut found = BTreeSet::new();
    for (path, text) in sources()? {
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if line == "#[test]" {
                marked = true;
            } else if let (true, Some(name)) = (marked, line.strip_prefix("fn ")) {
                let name = name.split('(').next().unwrap_or_default();
                found.insert((folder(&path), name.to_owned()));
                marked = false;
            }
        }
    }
    Ok(found)
}

fn folder(path: &Path) -> String {
    let first = path.components().next();
    first
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn is_there(test: &str, tests: &BTreeSet<(String, String)>) -> bool {
    let (krate, rest) = test.split_once("::").unwrap_or(("", test));
    let name = rest.rsplit("::").next().unwrap_or(rest);
    tests.contains(&(krate.replace('_', "-"), name.to_owned()))
}
