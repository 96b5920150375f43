//! BIRD's configuration, read and written as windrose's. Pure: whoever calls reads the files.
//!
//! The words of a bird.conf and the files it includes ([`lexer`], [`files`]) become statements ([`parse`]). Sessions,
//! static routes and the kernel's part are read key by key ([`config`]); filters are followed through all their branches
//! and written as lists of rules ([`flow`]). What has no counterpart is listed with its line: nothing is left out silently.

mod ast;
mod condition;
mod config;
mod files;
mod flow;
mod lexer;
mod parse;
mod toml;

use std::fmt;

use lexer::Place;

pub use condition::{Condition, Origin, RouteSource};
pub use flow::fits_pattern;

/// Where included files come from.
pub trait Files {
    /// The names and texts of the files that fit `pattern`, in order; `from` is the name of the file that includes
    /// them.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn include(&mut self, pattern: &str, from: &str) -> Result<Vec<(String, String)>, String>;
}

/// No files.
impl Files for () {
    fn include(&mut self, _pattern: &str, _from: &str) -> Result<Vec<(String, String)>, String> {
        Err("there are no files here".to_owned())
    }
}

/// What became of a bird.conf.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Imported {
    /// windrose.toml, with comments that point to lines of bird.conf.
    pub toml: String,
    /// What has no translation, by file and line: routes may go other ways than with BIRD.
    pub lost: Vec<Note>,
    /// What is worth knowing: what makes no difference to routes, or none that can be seen from outside.
    pub notes: Vec<Note>,
}

/// A line of a bird.conf, and what is to be said about it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Note {
    /// The file's name.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// What is to be said.
    pub what: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl std::error::Error for Note {}

/// What is wrong, before the file has a name.
#[derive(Clone, Debug)]
pub(crate) struct Mistake {
    pub(crate) place: Place,
    pub(crate) what: String,
}

impl Mistake {
    pub(crate) fn new(place: Place, what: impl Into<String>) -> Self {
        Self {
            place,
            what: what.into(),
        }
    }
}

/// Translates a bird.conf of this name and text.
///
/// # Errors
/// It is no bird.conf: where that shows, and why.
pub fn import(name: &str, text: &str, files: &mut dyn Files) -> Result<Imported, Note> {
    let mut reading = files::Reading::default();
    let read = reading
        .read(name, text, files, 0)
        .and_then(|tokens| parse::conf(&tokens));
    let place = |names: &[String], place: Place| {
        let name = names.get(usize::from(place.file)).cloned();
        (name.unwrap_or_default(), place.line)
    };
    match read {
        Ok(conf) => Ok(config::import(&conf, &reading.names)),
        Err(mistake) => {
            let (file, line) = place(&reading.names, mistake.place);
            let what = mistake.what;
            Err(Note { file, line, what })
        }
    }
}

#[cfg(test)]
mod tests;
