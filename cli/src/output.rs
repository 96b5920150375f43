//! Tables for people, JSON for programs.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, Table};
use serde::Serialize;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, the most important ones
    #[default]
    Table,
    /// All columns
    Wide,
    /// One JSON document
    Json,
    /// One JSON object a line
    Ndjson,
}

impl Format {
    pub(crate) const fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Ndjson)
    }
}

/// A column of a table. One that is empty in all lines is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// Numbers stand at the right.
    pub(crate) right: bool,
    /// Shown with `-o wide` alone.
    pub(crate) wide: bool,
}

impl Column {
    pub(crate) const fn text(title: &'static str) -> Self {
        Self {
            title,
            right: false,
            wide: false,
        }
    }

    pub(crate) const fn number(title: &'static str) -> Self {
        Self {
            title,
            right: true,
            wide: false,
        }
    }

    pub(crate) const fn wide(self) -> Self {
        Self { wide: true, ..self }
    }
}

/// What a word means for the eye.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Warning,
    Bad,
}

/// A word of a table.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Word {
    text: String,
    tone: Tone,
}

impl Word {
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl From<String> for Word {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl From<u64> for Word {
    fn from(number: u64) -> Self {
        number.to_string().into()
    }
}

impl<T: ToString> From<Option<T>> for Word {
    fn from(value: Option<T>) -> Self {
        value
            .map(|value| value.to_string())
            .unwrap_or_default()
            .into()
    }
}

/// Something that is listed: its JSON is its `Serialize`.
pub(crate) trait Row: Serialize {
    const COLUMNS: &'static [Column];

    /// Its lines in a table, a word for each column.
    fn lines(&self) -> Vec<Vec<Word>>;
}

/// Standard output, or a buffer in tests.
pub(crate) struct Printer<'a> {
    format: Format,
    colour: bool,
    out: &'a mut dyn Write,
}

impl<'a> Printer<'a> {
    pub(crate) fn new(format: Format, colour: bool, out: &'a mut dyn Write) -> Self {
        Self {
            format,
            colour,
            out,
        }
    }

    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// Begins a list; rows may come page by page.
    pub(crate) fn list(&mut self) -> List<'_, 'a> {
        List {
            printer: self,
            lines: Vec::new(),
            rows: 0,
        }
    }

    /// One thing: labels and values, or its JSON.
    pub(crate) fn details(
        &mut self,
        value: &impl Serialize,
        details: impl FnOnce() -> Vec<(&'static str, Word)>,
    ) -> io::Result<()> {
        if self.format.is_json() {
            return self.json(value);
        }
        let mut table = table(self.colour);
        for (label, word) in details()
            .into_iter()
            .filter(|(_, word)| !word.text.is_empty())
        {
            table.add_row([dim(label), cell(&word)]);
        }
        self.table(table)
    }

    /// What happened, in one line. Written at once.
    pub(crate) fn done(
        &mut self,
        value: &impl Serialize,
        line: impl FnOnce() -> String,
    ) -> io::Result<()> {
        match self.format {
            Format::Table | Format::Wide => self.line(&line())?,
            Format::Json | Format::Ndjson => self.json(value)?,
        }
        self.out.flush()
    }

    /// One of many that come as time goes by: a line for people, an object a line for programs. Written at once.
    pub(crate) fn event(
        &mut self,
        value: &impl Serialize,
        line: impl FnOnce() -> String,
    ) -> io::Result<()> {
        match self.format {
            Format::Table | Format::Wide => self.line(&line())?,
            Format::Json | Format::Ndjson => self.json_line(value)?,
        }
        self.out.flush()
    }

    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }

    fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        match self.format {
            Format::Ndjson => self.json_line(value),
            Format::Table | Format::Wide | Format::Json => {
                serde_json::to_writer_pretty(&mut self.out, value)?;
                writeln!(self.out)
            }
        }
    }

    fn json_line(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        writeln!(self.out)
    }

    fn table(&mut self, mut table: Table) -> io::Result<()> {
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Whether to colour what goes to standard output.
pub(crate) fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A list that is being printed. JSON goes out row by row; a table when all of it is known.
pub(crate) struct List<'p, 'a> {
    printer: &'p mut Printer<'a>,
    lines: Vec<Vec<Word>>,
    rows: usize,
}

impl List<'_, '_> {
    pub(crate) fn row<R: Row>(&mut self, row: &R) -> io::Result<()> {
        self.rows += 1;
        match self.printer.format {
            Format::Table | Format::Wide => self.lines.extend(row.lines()),
            Format::Ndjson => self.printer.json_line(row)?,
            Format::Json => {
                let before = if self.rows == 1 { "[\n" } else { ",\n" };
                self.printer.out.write_all(before.as_bytes())?;
                serde_json::to_writer(&mut self.printer.out, row)?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish<R: Row>(self) -> io::Result<()> {
        match self.printer.format {
            Format::Table => self.table::<R>(false),
            Format::Wide => self.table::<R>(true),
            Format::Json if self.rows == 0 => self.printer.line("[]"),
            Format::Json => self.printer.line("\n]"),
            Format::Ndjson => Ok(()),
        }
    }

    fn table<R: Row>(self, wide: bool) -> io::Result<()> {
        let used = |i: usize| {
            let mut words = self.lines.iter().filter_map(|line| line.get(i));
            words.any(|word| !word.text.is_empty())
        };
        let shown = |(i, column): &(usize, &Column)| {
            (wide || !column.wide) && (self.lines.is_empty() || used(*i))
        };
        let columns: Vec<(usize, &Column)> = R::COLUMNS.iter().enumerate().filter(shown).collect();
        let mut table = table(self.printer.colour);
        table.set_header(columns.iter().map(|(_, column)| dim(column.title)));
        for line in &self.lines {
            let words = columns.iter().filter_map(|(i, _)| line.get(*i));
            table.add_row(words.map(cell));
        }
        for (at, (_, column)) in columns.iter().enumerate() {
            if let Some(drawn) = table.column_mut(at).filter(|_| column.right) {
                drawn.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.printer.table(table)
    }
}

fn table(colour: bool) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

fn cell(word: &Word) -> Cell {
    let cell = Cell::new(&word.text);
    match word.tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::Green),
        Tone::Warning => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red),
    }
}

fn dim(text: &str) -> Cell {
    Cell::new(text).add_attribute(Attribute::Dim)
}

#[cfg(test)]
mod tests;
