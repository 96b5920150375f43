//! From words to keys.

use clap::Parser;

use super::*;
use crate::args::{Command, PeerCommand, Windrose};

fn text(words: &[&str]) -> Result<String, String> {
    let all = ["windrose", "peer", "add"].iter().chain(words);
    let windrose = Windrose::try_parse_from(all).map_err(|error| error.to_string())?;
    let Command::Peer(PeerCommand::Add(spec)) = windrose.command else {
        return Err("another command".into());
    };
    config(&spec).map_err(|failure| failure.to_string())
}

#[test]
fn words_become_keys_and_what_is_no_toml_becomes_a_text() {
    let words = [
        "fe80::9%wg0",
        "--asn",
        "65009",
        "--group",
        "a \"b\"",
        "--import",
        "one",
        "--import",
        "two",
        "--export",
        "accept",
        "--set",
        "hold-time=30s",
        "--set",
        "multihop = 2",
        "--set",
        "gtsm=true",
        "--set",
        "families=[\"ipv6\"]",
        "--set",
        "local-address=10.0.0.1",
        "--set",
        "description=a\nasn = 1",
        "--set",
        "port=\"179",
    ];
    let text = text(&words).unwrap();
    let keys: toml::Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let expected: toml::Table = toml::from_str(
        "address = \"fe80::9%wg0\"\nasn = 65009\ngroup = 'a \"b\"'\nimport = [\"one\", \"two\"]\nexport = [\"accept\"]\n\
         hold-time = \"30s\"\nmultihop = 2\ngtsm = true\nfamilies = [\"ipv6\"]\nlocal-address = \"10.0.0.1\"\n\
         description = \"a\\nasn = 1\"\nport = '\"179'",
    )
    .unwrap();
    assert_eq!(keys, expected);
}

#[test]
fn what_cannot_be_a_key_is_refused() {
    for set in ["hold-time", "=5", "a b=5", "a\nb=5"] {
        let refused = text(&["10.0.0.9", "--set", set]).unwrap_err();
        assert!(refused.starts_with(&format!("--set {set}")), "{refused}");
    }
    assert!(text(&["--asn", "5"]).unwrap_err().contains("PEER"));
    let both = text(&["10.0.0.9", "-f", "x"]).unwrap_err();
    assert!(both.contains("cannot be used with"), "{both}");
    assert!(text(&["-f", "/nowhere"]).unwrap_err().contains("/nowhere"));
}
