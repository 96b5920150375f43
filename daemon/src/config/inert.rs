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
    Word(&'static [&'static str]),
    Record(&'static [(&'static str, Self)]),
}

use Shape::{Flag, Record, Text, Word};

/// Whole sections.
const SECTIONS: &[(&str, Shape)] = &[(
    "wireguard",
    Record(&[
        ("mode", Word(&["per-peer", "shared"])),
        ("manage-allowed-ips", Flag),
        ("uapi-dir", Text),
    ]),
)];

/// Checks whole sections, and says that they do nothing.
pub(super) fn sections(root: &Reader<'_>) {
    check(root, SECTIONS);
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
    let result = match (shape, &node.value) {
        (Flag, _) => values::flag(node).map(drop),
        (Text, _) => values::text(node).map(drop),
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
