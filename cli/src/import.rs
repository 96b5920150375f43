//! `windrose import bird`: windrose.toml from bird.conf. No daemon is asked.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use bird::{Files, Imported, Note};
use serde::Serialize;

use crate::args::ImportCommand;
use crate::client::Failure;
use crate::output::Printer;

/// Most octets of a file; what is larger is no configuration.
const FILE_MAX: u64 = 16 << 20;
/// Most paths that a pattern stands for.
const PATHS_MAX: usize = 1000;

/// What was made, as JSON has it.
#[derive(Debug, Serialize)]
struct Made {
    toml: String,
    not_translated: Vec<Line>,
    notes: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    file: String,
    line: u32,
    what: String,
}

impl From<&Note> for Line {
    fn from(note: &Note) -> Self {
        Self {
            file: note.file.clone(),
            line: note.line,
            what: note.what.clone(),
        }
    }
}

pub(crate) fn run(command: &ImportCommand, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let ImportCommand::Bird { file, to } = command;
    let text = read(file).map_err(Failure::refused)?;
    let mut files = Disk(file.parent().unwrap_or(Path::new("")).to_owned());
    let name = file.display().to_string();
    let imported = bird::import(&name, &text, &mut files).map_err(Failure::refused)?;
    if let Some(to) = to {
        fs::write(to, &imported.toml)
            .map_err(|error| Failure::refused(format!("{}: {error}", to.display())))?;
    }
    let made = Made {
        toml: imported.toml.clone(),
        not_translated: imported.lost.iter().map(Line::from).collect(),
        notes: imported.notes.iter().map(Line::from).collect(),
    };
    printer.done(&made, || match to {
        Some(to) => format!("{} written", to.display()),
        None => imported.toml.trim_end().to_owned(),
    })?;
    report(&imported)
}

/// Says what is not there, and fails if that is anything.
fn report(imported: &Imported) -> Result<(), Failure> {
    let mut err = io::stderr().lock();
    for note in &imported.notes {
        writeln!(err, "note: {note}")?;
    }
    for note in &imported.lost {
        writeln!(err, "not translated: {note}")?;
    }
    match imported.lost.len() {
        0 => Ok(()),
        count => Err(Failure::InPart(format!(
            "{count} things have no translation: look at them before you use the file"
        ))),
    }
}

/// Files on this machine; relative names lie beside the first one, as BIRD has it.
struct Disk(PathBuf);

impl Files for Disk {
    fn include(&mut self, pattern: &str, _from: &str) -> Result<Vec<(String, String)>, String> {
        let paths = expand(&self.0, Path::new(pattern))?;
        // BIRD minds a file that is not there, but not a pattern that nothing fits.
        let named = |path: &PathBuf| Ok((path.display().to_string(), read(path)?));
        paths.iter().map(named).collect()
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut octets = Vec::new();
    let file = fs::File::open(path);
    let read = file.and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut octets));
    read.map_err(|error| format!("{}: {error}", path.display()))?;
    if octets.len() as u64 > FILE_MAX {
        return Err(format!("{}: more than {FILE_MAX} octets", path.display()));
    }
    String::from_utf8(octets).map_err(|_| format!("{}: this is no UTF-8", path.display()))
}

/// The paths that a pattern stands for, in order.
fn expand(folder: &Path, pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let mut paths = vec![folder.to_owned()];
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        let is_pattern = matches!(part, Component::Normal(_)) && text.contains(['*', '?']);
        let mut next = Vec::new();
        for path in paths {
            if !is_pattern {
                next.push(path.join(part));
                continue;
            }
            let folder = if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &path
            };
            let Ok(entries) = fs::read_dir(folder) else {
                continue;
            };
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            // As shells have it: `*` stands for no hidden file.
            let fits = |name: &String| {
                bird::fits_pattern(&text, name) && (text.starts_with('.') || !name.starts_with('.'))
            };
            let mut names: Vec<String> = names.filter(fits).collect();
            names.sort();
            next.extend(names.iter().map(|name| path.join(name)));
            if next.len() > PATHS_MAX {
                return Err(format!("it stands for more than {PATHS_MAX} files"));
            }
        }
        paths = next;
    }
    Ok(paths)
}

#[cfg(test)]
mod tests;
