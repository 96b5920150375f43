//! Keys that this version accepts and checks, but does not act on. A key that begins to act leaves these tables.

use super::reader::{Reader, Wrong, names};
use super::report::Report;
use super::tree::{Node, Value};
use super::values::{self, Parsed};

/// What a value looks like.
#[derive(Clone, Copy)]
enum Shape {
    Flag,
    Text,
    Duration,
    Percent,
    /// From and to.
    Number(i64, i64),
    /// Bits a second.
    Rate,
    Word(&'static [&'static str]),
    Record(&'static [(&'static str, Self)]),
}

use Shape::{Duration, Flag, Number, Percent, Rate, Record, Text, Word};

/// Whole sections.
const SECTIONS: &[(&str, Shape)] = &[
    (
        "probe",
        Record(&[
            ("port", Number(1, 65535)),
            ("interval", Duration),
            ("budget", Rate),
        ]),
    ),
    (
        "score",
        Record(&[
            ("loss-weight", Duration),
            ("hold-down", Duration),
            ("margin", Percent),
        ]),
    ),
    (
        "wireguard",
        Record(&[
            ("mode", Word(&["per-peer", "shared"])),
            ("manage-allowed-ips", Flag),
            ("uapi-dir", Text),
        ]),
    ),
];

/// Keys of `[router]`.
const ROUTER: &[(&str, Shape)] = &[("multipath-cost-tolerance", Percent)];

/// Keys of a peer, a range, a group.
const OPTIONS: &[(&str, Shape)] = &[("probe", Flag)];

/// Checks whole sections, and says that they do nothing.
pub(super) fn sections(root: &Reader<'_>) {
    check(root, SECTIONS);
}

/// Likewise, keys of `[router]`.
pub(super) fn router(router: &Reader<'_>) {
    check(router, ROUTER);
}

/// Likewise, keys of a peer, a range or a group.
pub(super) fn options(options: &Reader<'_>) {
    check(options, OPTIONS);
}

fn check(reader: &Reader<'_>, shapes: &'static [(&'static str, Shape)]) {
    for (key, shape) in shapes {
        let Some(node) = reader.node(key) else {
            continue;
        };
        if let Some((at, _)) = reader.table.get(*key) {
            let what = format!("`{key}` has no effect in this version");
            reader
                .report
                .warn(at.clone(), &what, "it is checked and otherwise ignored");
        }
        fits(shape, node, reader.report);
    }
}

/// Reports what in `node` does not look like `shape`.
fn fits(shape: &Shape, node: &Node, report: &Report) {
    let whole = std::time::Duration::ZERO..=std::time::Duration::MAX;
    let result = match (shape, &node.value) {
        (Flag, _) => values::flag(node).map(drop),
        (Text, _) => values::text(node).map(drop),
        (Duration, _) => values::duration(whole)(node).map(drop),
        (Percent, _) => values::percent(node).map(drop),
        (Number(from, to), _) => values::number::<i64>(*from..=*to)(node).map(drop),
        (Rate, _) => rate(node),
        (Word(words), _) => word(words, node),
        (Record(fields), Value::Table(table)) => {
            let reader = Reader::new(table, node.at.clone(), report);
            for (key, shape) in *fields {
                if let Some(node) = reader.node(key) {
                    fits(shape, node, report);
                }
            }
            reader.finish();
            Ok(())
        }
        (Record(_), _) => Err(Wrong::kind(
            node,
            "a table",
            "write its keys between `{` and `}`",
        )),
    };
    if let Err(wrong) = result {
        report.error(node.at.clone(), &wrong.what, &wrong.instead);
    }
}

/// `"1mbit"`.
fn rate(node: &Node) -> Parsed<()> {
    let text = values::text(node)?;
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let good = digits.len() < text.len() && ["bit", "kbit", "mbit", "gbit"].contains(&digits);
    good.then_some(()).ok_or_else(|| {
        Wrong::new(
            format!("`{text}` is no rate"),
            "write a number and a unit (bit, kbit, mbit, gbit), as in `\"1mbit\"`",
        )
    })
}

fn word(words: &[&str], node: &Node) -> Parsed<()> {
    let text = values::text(node)?;
    let good = words.contains(&text.as_str());
    good.then_some(()).ok_or_else(|| {
        Wrong::new(
            format!("`{text}` means nothing here"),
            format!("write one of {}", names(words.iter().copied())),
        )
    })
}
