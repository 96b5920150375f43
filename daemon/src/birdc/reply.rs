//! The form of BIRD's answers: a code of four digits, `-` where more lines follow, a blank where the code is the same.

use std::fmt::Write as _;

/// An answer, or a part of one.
#[derive(Debug, Default)]
pub(super) struct Reply {
    text: String,
    code: Option<u16>,
}

impl Reply {
    /// What a client is told first. The name is the one clients look for.
    pub(super) fn greeting() -> String {
        format!(
            "0001 BIRD 2 (windrose {}) ready.\n",
            env!("CARGO_PKG_VERSION")
        )
    }

    /// An answer of one line.
    pub(super) fn only(code: u16, text: &str) -> String {
        format!("{code:04} {text}\n")
    }

    /// A line after which more follow.
    pub(super) fn line(&mut self, code: u16, text: &str) {
        // Writing into memory does not fail.
        let _ = match self.code.replace(code) {
            Some(last) if last == code => writeln!(self.text, " {text}"),
            Some(_) | None => writeln!(self.text, "{code:04}-{text}"),
        };
    }

    /// The last line.
    pub(super) fn end(mut self, code: u16, text: &str) -> String {
        self.text.push_str(&Self::only(code, text));
        self.text
    }

    /// What there is so far; the answer goes on.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}
