//! Whole configurations, and what becomes of them: `WRITE_EXPECTED=1` writes the files anew, to be read and committed.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bird::{Files, Imported, import};

/// Files beside the configuration; patterns end with one `*.conf`.
struct Beside(PathBuf);

impl Files for Beside {
    fn include(&mut self, pattern: &str, _from: &str) -> Result<Vec<(String, String)>, String> {
        let path = self.0.join(pattern);
        let mut paths = vec![path.clone()];
        if pattern.ends_with("*.conf") {
            let folder = path.parent().unwrap();
            let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
            paths = entries.map(|entry| entry.unwrap().path()).collect();
            paths.sort();
        }
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
            let name = path.strip_prefix(&self.0).unwrap().display().to_string();
            Ok((name, text))
        };
        paths.iter().map(read).collect()
    }
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn imported(file: &str) -> Imported {
    let path = data().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let mut files = Beside(path.parent().unwrap().to_owned());
    import(&name, &text, &mut files).unwrap()
}

/// The report as `windrose import bird` prints it.
fn report(imported: &Imported) -> String {
    let mut text = String::new();
    for note in &imported.lost {
        writeln!(text, "not translated: {note}").unwrap();
    }
    for note in &imported.notes {
        writeln!(text, "note: {note}").unwrap();
    }
    text
}

fn is_as_expected(file: &str) {
    let imported = imported(file);
    let found = format!(
        "{}\n# ---- report ----\n{}",
        imported.toml,
        report(&imported)
    );
    let path = data().join(format!("{file}.expected"));
    if std::env::var_os("WRITE_EXPECTED").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{file} becomes\n{found}");
}

#[test]
fn a_node_of_calico() {
    is_as_expected("calico/bird.cfg");
}

#[test]
fn a_node_of_cilium() {
    is_as_expected("cilium.conf");
}

#[test]
fn a_node_of_dn42() {
    is_as_expected("dn42/bird.conf");
}

#[test]
fn a_gateway() {
    is_as_expected("gateway.conf");
}

#[test]
fn a_gateway_that_tells_what_its_kernel_has() {
    is_as_expected("edge.conf");
}
