//! AS paths by regular expression, as operators know it from other routers.

use std::fmt::Write;

use bgp_core::attributes::AsPath;
use regex::bytes::{RegexBuilder, RegexSet, RegexSetBuilder};
use smallvec::SmallVec;

use super::sets::Set;

/// Most octets that a compiled expression may take.
const MAX_COMPILED: usize = 1 << 20;
/// Most octets that all expressions of a list may take, and the tables with which they are searched.
const MAX_COMPILED_SET: usize = 16 << 20;

/// Expressions, searched all in one pass over the text.
#[derive(Debug)]
pub(super) struct AsPathSet(RegexSet);

/// AS_PATH as text. A path of usual length stays on the stack.
#[derive(Debug, Default)]
pub(super) struct Text(SmallVec<[u8; 256]>);

impl AsPathSet {
    pub(super) fn fits(&self, text: &Text) -> bool {
        self.0.is_match(&text.0)
    }
}

impl Set for AsPathSet {
    type Item = String;

    fn parse(text: &str, items: &mut Vec<String>) -> Result<(), String> {
        let expression = with_boundaries(text);
        let compiled = RegexBuilder::new(&expression)
            .unicode(false)
            .size_limit(MAX_COMPILED)
            .build();
        compiled.map_err(|why| explained(text, &why))?;
        items.push(expression);
        Ok(())
    }

    fn build(items: Vec<String>) -> Result<Self, String> {
        let mut all = RegexSetBuilder::new(&items);
        all.unicode(false).size_limit(MAX_COMPILED_SET);
        all.build().map(Self).map_err(|_| {
            format!("the expressions take over {MAX_COMPILED_SET} octets together: write fewer or simpler ones")
        })
    }
}

impl Text {
    pub(super) fn of(path: &AsPath) -> Self {
        let mut text = Self::default();
        // Writing into memory does not fail.
        let _ = write!(text, "{path}");
        text
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Spells out `_`: the beginning, the end, and all that stands between AS numbers.
fn with_boundaries(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut escaped, mut in_class) = (false, false);
    for c in text.chars() {
        match c {
            '_' if !escaped && !in_class => out.push_str(r"(?:^|$|[ ,{}()\[\]])"),
            c => out.push(c),
        }
        match c {
            '[' if !escaped => in_class = true,
            ']' if !escaped => in_class = false,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    out
}

/// The reason is the last line; those before it show the expression.
fn explained(text: &str, why: &regex::Error) -> String {
    let why = why.to_string();
    let reason = why.lines().last().unwrap_or_default();
    let reason = reason.trim_start_matches("error: ");
    format!(
        "`{text}` is no regular expression ({reason}): write one as `^65001( 65001)*$` or `_65001_`"
    )
}
