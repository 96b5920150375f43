//! What is wrong with a file: collected, then shown all at once, each with its line and the remedy.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;

use super::tree::At;

/// Most mistakes that are shown; the rest is counted.
pub(super) const MISTAKES_MAX: usize = 50;
/// Most warnings that are kept.
pub(super) const WARNINGS_MAX: usize = 200;
/// Characters shown of a long line.
const LINE_MAX: usize = 120;
/// Characters of a long line shown before the marked ones.
const LINE_BEFORE: usize = 60;

/// Mistakes and warnings, as they are found.
#[derive(Debug, Default)]
pub(super) struct Report {
    mistakes: RefCell<Vec<Mistake>>,
    more: Cell<usize>,
    warnings: RefCell<Vec<Mistake>>,
    broken: Cell<bool>,
}

#[derive(Debug, Eq, PartialEq)]
struct Mistake {
    at: At,
    what: String,
    instead: String,
}

impl Report {
    /// Something is wrong. What is said twice of one place, as of a group that many inherit from, counts once.
    pub(super) fn error(&self, at: At, what: &str, instead: &str) {
        let mut mistakes = self.mistakes.borrow_mut();
        let known = mistakes
            .iter()
            .any(|known| known.at == at && known.what == what);
        if !known && mistakes.len() < MISTAKES_MAX {
            mistakes.push(Mistake {
                at,
                what: what.to_owned(),
                instead: instead.to_owned(),
            });
        } else if !known {
            self.more.set(self.more.get() + 1);
        }
    }

    /// The file is no TOML here. Whatever seems to be missing may just not have been read.
    pub(super) fn broken(&self, at: At, what: &str) {
        self.broken.set(true);
        self.error(
            at,
            &format!("this is no TOML: {what}"),
            "correct what is marked",
        );
    }

    /// A key is missing, of the table at `at`.
    pub(super) fn missing(&self, at: &At, key: &str, instead: &str) {
        if !self.broken.get() {
            self.error(at.clone(), &format!("`{key}` is missing"), instead);
        }
    }

    /// Something is odd, or does nothing.
    pub(super) fn warn(&self, at: At, what: &str, instead: &str) {
        let mut warnings = self.warnings.borrow_mut();
        let known = warnings
            .iter()
            .any(|known| known.at == at && known.what == what);
        if !known && warnings.len() < WARNINGS_MAX {
            warnings.push(Mistake {
                at,
                what: what.to_owned(),
                instead: instead.to_owned(),
            });
        }
    }

    /// Whether nothing is wrong.
    pub(super) fn is_clean(&self) -> bool {
        self.mistakes.borrow().is_empty()
    }

    /// The warnings, a line each, in the order of the file.
    pub(super) fn warnings(&self, text: &str, file: &str) -> Vec<String> {
        let mut warnings = self.warnings.borrow_mut();
        warnings.sort_by(|a, b| a.at.cmp(&b.at));
        let line = |w: &Mistake| format!("{}: {}: {}", place(&w.at, text, file), w.what, w.instead);
        warnings.iter().map(line).collect()
    }

    /// All mistakes with their lines, in the order of the file.
    pub(super) fn render(&self, text: &str, file: &str) -> String {
        let mut mistakes = self.mistakes.borrow_mut();
        mistakes.sort_by(|a, b| a.at.cmp(&b.at));
        let mut out = String::new();
        for mistake in mistakes.iter() {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{}: {}", place(&mistake.at, text, file), mistake.what);
            match &mistake.at {
                At::File(start, end) => snippet(text, *start, *end, &mistake.instead, &mut out),
                At::Added(peer, start, end) => {
                    snippet(&peer.text, *start, *end, &mistake.instead, &mut out);
                }
                At::Variable(_) => drop(writeln!(out, "  {}", mistake.instead)),
            }
            out.push('\n');
        }
        let (count, more) = (mistakes.len() + self.more.get(), self.more.get());
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        // All of them in one peer that is not in the file?
        let of = |mistake: &Mistake| match &mistake.at {
            At::Added(peer, ..) => Some(peer.source.clone()),
            At::File(..) | At::Variable(_) => None,
        };
        let source = mistakes.first().and_then(of);
        let alone = mistakes.iter().all(|other| of(other) == source);
        let place = source.as_deref().filter(|_| alone).unwrap_or(file);
        let _ = write!(out, "{count} {noun} in {place}");
        if more > 0 {
            let _ = write!(out, "; {more} of them not shown");
        }
        out
    }
}

/// `FILE:LINE:COLUMN` as editors read it, or the variable's name.
fn place(at: &At, text: &str, file: &str) -> String {
    match at {
        At::File(start, _) => {
            let (number, line, offset) = line_of(text, *start);
            let column = line.get(..offset).unwrap_or(line).chars().count() + 1;
            format!("{file}:{number}:{column}")
        }
        At::Added(peer, start, _) => place(&At::File(*start, *start), &peer.text, &peer.source),
        At::Variable(name) => name.clone(),
    }
}

/// The number of the line of an octet, counted from 1, the line, and the octet's place in it.
fn line_of(text: &str, octet: usize) -> (usize, &str, usize) {
    let before = text.get(..octet.min(text.len())).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text
        .get(start..)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default();
    (before.matches('\n').count() + 1, line, before.len() - start)
}

fn snippet(text: &str, start: usize, end: usize, instead: &str, out: &mut String) {
    let (number, line, offset) = line_of(text, start);
    let before = line.get(..offset).unwrap_or(line).chars().count();
    let marked = line.get(offset..).unwrap_or_default();
    let marked = marked
        .get(..end.saturating_sub(start))
        .unwrap_or(marked)
        .trim_end()
        .chars()
        .count();
    let skipped = if line.chars().count() > LINE_MAX {
        before.saturating_sub(LINE_BEFORE)
    } else {
        0
    };
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = without_secret(line)
        .chars()
        .skip(skipped)
        .take(LINE_MAX)
        .map(printable)
        .collect();
    let gutter = " ".repeat(number.to_string().len());
    let pad = " ".repeat(before - skipped);
    let mark = "^".repeat(marked.clamp(1, LINE_MAX - LINE_BEFORE));
    let _ = writeln!(out, "  {number} | {}", shown.trim_end());
    let _ = writeln!(out, "  {gutter} | {pad}{mark} {instead}");
}

/// The line as far as it may be shown: what is given to a password, however it is spelled, stays secret.
fn without_secret(line: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut rest = line;
    while let Some(start) = rest.find(is_word) {
        rest = rest.get(start..).unwrap_or_default();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if distance(&word.to_lowercase(), "password") <= 2
            && let Some(equals) = after.find('=')
        {
            let shown = line.len() - after.len() + equals + 1;
            return format!("{} …", line.get(..shown).unwrap_or_default());
        }
        rest = after;
    }
    line.to_owned()
}

/// The one of `names` that was probably meant by `word`.
pub(super) fn closest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.into_iter().map(|name| (distance(word, name), name));
    let tolerance = (word.chars().count() / 3).max(1);
    near.filter(|(distance, _)| *distance <= tolerance)
        .min()
        .map(|(_, name)| name)
}

/// Words longer than this are like no other.
const WORD_MAX: usize = 64;

/// How many letters must be put in, taken out, changed or swapped with the next to make `a` of `b`.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > WORD_MAX || b.len() > WORD_MAX {
        return usize::MAX;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // From the beginning of `a` so far to each beginning of `b`; `above` and `second` are those of one and of two letters less.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut above: Vec<usize> = Vec::new();
    for (i, x) in a.iter().enumerate() {
        let second = std::mem::replace(&mut above, std::mem::replace(&mut row, vec![i + 1]));
        for (j, y) in b.iter().enumerate() {
            let of =
                |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX - 1);
            let change = of(&above, j) + usize::from(x != y);
            let mut least = change.min(of(&above, j + 1) + 1).min(of(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                least = least.min(of(&second, j - 1) + 1);
            }
            row.push(least);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
