//! ARCHITECTURE.md is a map: what it names in backticks is there.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use super::{Complaints, sources};
use crate::cargo::root;

const MAP: &str = "ARCHITECTURE.md";

/// Paths exist; `Type::name` and `name()` are defined somewhere in the sources.
pub(super) fn names_exist() -> Result<Complaints> {
    let text = std::fs::read_to_string(root().join(MAP)).context(MAP)?;
    let mut words = BTreeSet::new();
    for source in sources()? {
        words.extend(definitions(&source.1));
    }
    let mut complaints = Vec::new();
    for (number, line) in prose(&text) {
        for name in line.split('`').skip(1).step_by(2) {
            if !exists(name, &words) {
                complaints.push(format!("{MAP}:{number}: {name} is not there"));
            }
        }
    }
    Ok(complaints)
}

/// Lines outside of drawings, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut drawing = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        drawing ^= fence;
        (!drawing && !fence).then_some((index + 1, line))
    })
}

/// A path, a qualified name or a call that is not there is missing; other words are just words.
fn exists(name: &str, words: &BTreeSet<String>) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:()".contains(c);
    if !name.chars().all(plain) || name.contains("//") {
        return true;
    }
    let call = name.strip_suffix("()").unwrap_or(name);
    if name.contains("::") {
        return call.split("::").all(|part| known(part, words));
    }
    if call != name {
        return known(call, words);
    }
    let path = name.contains('/')
        || [".rs", ".toml", ".md", ".proto"]
            .iter()
            .any(|e| name.ends_with(e));
    !path || name.starts_with('/') || root().join(name).exists()
}

fn known(word: &str, words: &BTreeSet<String>) -> bool {
    let folder = word.replace('_', "-");
    words.contains(word) || ["std", "tokio"].contains(&word) || root().join(folder).is_dir()
}

/// Names that a source defines: after a keyword, or at the start of a line as fields and variants are.
fn definitions(source: &str) -> impl Iterator<Item = String> {
    const KEYWORDS: [&str; 9] = [
        "fn",
        "struct",
        "enum",
        "trait",
        "mod",
        "const",
        "static",
        "type",
        "macro_rules!",
    ];
    source.lines().flat_map(|line| {
        let mut names: Vec<String> = Vec::new();
        let mut words = line.split_whitespace().peekable();
        if let Some(first) = words.peek() {
            names.push(identifier(first));
        }
        while let Some(word) = words.next() {
            if let (true, Some(next)) = (KEYWORDS.contains(&word), words.peek()) {
                names.push(identifier(next));
            }
        }
        names
    })
}

fn identifier(word: &str) -> String {
    word.chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}
