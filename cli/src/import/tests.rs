//! What is read, what is printed, and how it ends.

use super::*;
use crate::output::Format;

fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn imported(
    folder: &tempfile::TempDir,
    to: Option<&str>,
    format: Format,
) -> (String, Result<(), Failure>) {
    let command = ImportCommand::Bird {
        file: folder.path().join("bird.conf"),
        to: to.map(|name| folder.path().join(name)),
    };
    let mut out = Vec::new();
    let done = run(&command, &mut Printer::new(format, false, &mut out));
    (String::from_utf8(out).unwrap(), done)
}

const ROUTER: &str = "router id 10.0.0.1;\n";
const PEERS: [(&str, &str); 3] = [
    (
        "peers/b.conf",
        "protocol bgp b { local as 65001; neighbor 10.0.0.3 as 65003; ipv4 { import all; export none; }; }",
    ),
    (
        "peers/a.conf",
        "protocol bgp a { local as 65001; neighbor 10.0.0.2 as 65002; ipv4 { import all; export all; }; }",
    ),
    ("peers/.hidden.conf", "nonsense }"),
];

#[test]
fn patterns_of_include_stand_for_files_in_their_order() {
    let bird = format!("{ROUTER}include \"peers/*.conf\";\n");
    let folder = written(&[&[("bird.conf", bird.as_str())], PEERS.as_slice()].concat());
    let (out, done) = imported(&folder, None, Format::Table);
    done.unwrap();
    let (a, b) = (out.find("10.0.0.2").unwrap(), out.find("10.0.0.3").unwrap());
    assert!(a < b, "{out}");
}

#[test]
fn what_has_no_translation_makes_the_exit_code_three() {
    let bird = format!("{ROUTER}protocol ospf v2 {{ }}\n");
    let folder = written(&[("bird.conf", bird.as_str())]);
    let (out, done) = imported(&folder, None, Format::Json);
    assert_eq!(done.unwrap_err().exit_code(), 3);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let lost = json.pointer("/not_translated").unwrap().as_array().unwrap();
    assert!(lost.iter().any(|line| line["line"] == 2), "{out}");
}

#[test]
fn a_file_that_is_none_is_refused_with_its_line() {
    let folder = written(&[("bird.conf", "router id 10.0.0.1;\nprotocol bgp {\n")]);
    let (out, done) = imported(&folder, Some("windrose.toml"), Format::Table);
    let failure = done.unwrap_err();
    assert_eq!(failure.exit_code(), 1);
    assert!(
        failure
            .to_string()
            .contains("bird.conf:2: `{` is not closed"),
        "{failure}"
    );
    assert!(out.is_empty() && !folder.path().join("windrose.toml").exists());
}

#[test]
fn an_include_that_is_not_there_is_refused_with_its_line() {
    let folder = written(&[("bird.conf", "\ninclude \"none.conf\";\n")]);
    let (_, done) = imported(&folder, None, Format::Table);
    let failure = done.unwrap_err().to_string();
    assert!(
        failure.contains("bird.conf:2:") && failure.contains("none.conf"),
        "{failure}"
    );
}

#[test]
fn files_that_include_themselves_are_refused() {
    let folder = written(&[("bird.conf", "include \"bird.conf\";\n")]);
    let (_, done) = imported(&folder, None, Format::Table);
    assert!(done.unwrap_err().to_string().contains("deep"));
}

#[test]
fn the_file_can_be_written_at_once() {
    let bird = format!("{ROUTER}{}", PEERS[0].1);
    let folder = written(&[("bird.conf", bird.as_str())]);
    let (out, done) = imported(&folder, Some("windrose.toml"), Format::Table);
    done.unwrap();
    assert!(out.contains("windrose.toml written"), "{out}");
    let text = fs::read_to_string(folder.path().join("windrose.toml")).unwrap();
    toml::from_str::<toml::Table>(&text).unwrap();
}
