//! A screen a function, a noun a file. Relies on rustfmt's layout.

use anyhow::Result;

use super::{Complaints, is_test, sources, without_tests};

/// Lines of a file, its tests not counted.
const FILE: usize = 600;
/// Lines of a function's body that are neither empty nor comments.
const FUNCTION: usize = 70;

/// Every file begins with `//!` and holds at most [`FILE`] lines.
pub(super) fn files() -> Result<Complaints> {
    let mut complaints = Vec::new();
    for (path, text) in sources()? {
        let path_shown = path.display();
        if !text.starts_with("//!") {
            complaints.push(format!("{path_shown}: the first line is no //!"));
        }
        let lines = without_tests(&text).lines().count();
        if !is_test(&path) && lines > FILE {
            complaints.push(format!("{path_shown}: {lines} lines"));
        }
    }
    Ok(complaints)
}

/// No function is longer than [`FUNCTION`].
pub(super) fn functions() -> Result<Complaints> {
    let mut complaints = Vec::new();
    for (path, text) in sources()? {
        if is_test(&path) {
            continue;
        }
        let lines: Vec<&str> = without_tests(&text).lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| begins(line)) {
            let length = length(line, lines.get(at + 1..).unwrap_or_default());
            if length > FUNCTION {
                let (path, line) = (path.display(), line.trim());
                complaints.push(format!("{path}:{}: {length} lines: {line}", at + 1));
            }
        }
    }
    Ok(complaints)
}

fn begins(line: &str) -> bool {
    let words = line.trim_start();
    let head = words.split('(').next().unwrap_or_default();
    (words.starts_with("fn ") || head.contains(" fn "))
        && !words.starts_with("//")
        && !words.ends_with(';')
}

/// Lines that count, up to the brace that closes what `first` opens: the next one at its indentation.
fn length(first: &str, rest: &[&str]) -> usize {
    let indent = &first[..first.len() - first.trim_start().len()];
    let end = format!("{indent}}}");
    let body = rest.iter().take_while(|line| **line != end);
    let counted =
        body.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"));
    if first.ends_with('}') {
        0
    } else {
        counted.count()
    }
}
