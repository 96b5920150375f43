//! The file and those it includes, as one list of words.

use crate::lexer::{Kind, Token, lex};
use crate::{Files, Mistake};

/// How deep files may include others; BIRD's own bound.
pub(crate) const DEPTH_MAX: usize = 8;
/// Most files of a configuration.
pub(crate) const FILES_MAX: usize = 1000;
/// Most octets of all of them.
pub(crate) const OCTETS_MAX: usize = 16 << 20;

/// Reads files; what was read so far is left in it, whatever goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// By [`crate::lexer::Place::file`].
    pub(crate) names: Vec<String>,
    octets: usize,
}

impl Reading {
    /// The words of `text`, with those of the files it includes in their places.
    pub(crate) fn read(
        &mut self,
        name: &str,
        text: &str,
        files: &mut dyn Files,
        depth: usize,
    ) -> Result<Vec<Token>, Mistake> {
        let file = u16::try_from(self.names.len()).unwrap_or(u16::MAX);
        self.names.push(name.to_owned());
        self.octets = self.octets.saturating_add(text.len());
        let mut out = Vec::new();
        let tokens = lex(file, text)?;
        let mut rest = tokens.as_slice();
        while let Some((token, after)) = rest.split_first() {
            let starts = out
                .last()
                .is_none_or(|last: &Token| matches!(last.kind, Kind::Sign(";" | "{" | "}")));
            match (&token.kind, after) {
                (
                    Kind::Word(word),
                    [
                        Token {
                            kind: Kind::Text(pattern),
                            ..
                        },
                        after @ ..,
                    ],
                ) if starts && word == "include" => {
                    self.include(pattern, token, files, depth, &mut out)?;
                    rest = match after {
                        [
                            Token {
                                kind: Kind::Sign(";"),
                                ..
                            },
                            after @ ..,
                        ] => after,
                        after => after,
                    };
                }
                (_, after) => {
                    out.push(token.clone());
                    rest = after;
                }
            }
        }
        Ok(out)
    }

    fn include(
        &mut self,
        pattern: &str,
        at: &Token,
        files: &mut dyn Files,
        depth: usize,
        out: &mut Vec<Token>,
    ) -> Result<(), Mistake> {
        let wrong = |what: String| Mistake::new(at.place, what);
        if depth >= DEPTH_MAX {
            let what = format!("files include each other more than {DEPTH_MAX} deep");
            return Err(wrong(what));
        }
        let from = self.names.get(usize::from(at.place.file));
        let from = from.map(String::as_str).unwrap_or_default();
        let found = files
            .include(pattern, from)
            .map_err(|why| wrong(format!("\"{pattern}\" cannot be included: {why}")))?;
        for (name, text) in found {
            let octets = self.octets.saturating_add(text.len());
            if self.names.len() >= FILES_MAX || octets > OCTETS_MAX {
                let what = format!("more than {FILES_MAX} files or {OCTETS_MAX} octets in all");
                return Err(wrong(what));
            }
            out.extend(self.read(&name, &text, files, depth + 1)?);
        }
        Ok(())
    }
}
