//! The ledger in files.

use super::*;
use crate::wireguard::PeerKey;

fn change(prefixes: &[&str], remove: bool) -> Change {
    Change {
        interface: 7,
        device: "wg0".to_owned(),
        peer: PeerKey([1; 32]),
        prefixes: prefixes.iter().map(|text| text.parse().unwrap()).collect(),
        remove,
    }
}

fn of(ledger: &Ledger) -> Vec<String> {
    let ours = ledger.earlier();
    let prefixes = ours.get(&(7, "wg0".to_owned()));
    prefixes
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn what_was_given_is_known_after_a_crash_and_what_was_taken_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = file_in(&dir.path().join("state"));
    let mut ledger = Ledger::open(path.clone());
    assert!(ledger.earlier().is_empty());
    ledger
        .note(&change(&["10.1.0.0/16", "10.2.0.0/16"], false))
        .unwrap();
    ledger
        .note(&change(&["2001:db8::/48", "10.1.0.0/16"], false))
        .unwrap();
    ledger.note(&change(&["10.2.0.0/16"], true)).unwrap();
    let ledger = Ledger::open(path.clone());
    assert_eq!(of(&ledger), ["10.1.0.0/16", "2001:db8::/48"]);
    // A line that a crash of the machine cut short is none.
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("+ 7 wg0 10.9.0.0/1");
    fs::write(&path, &text).unwrap();
    assert_eq!(of(&Ledger::open(path)).len(), 2);
}

#[test]
fn what_another_boot_or_nobody_wrote_says_nothing() {
    let text = "boot a\n+ 7 wg0 10.1.0.0/16\n";
    assert_eq!(parse(text, "a").len(), 1);
    assert!(parse(text, "b").is_empty());
    assert!(parse("boot \n+ 7 wg0 10.1.0.0/16\n", "").is_empty());
    assert!(parse("boot a\n? 7\n+ x wg0 10.1.0.0/16\n+ 7 wg0 10.1/16\n", "a").is_empty());
}

#[test]
fn prefixes_that_come_and_go_do_not_make_it_grow_forever() {
    let dir = tempfile::tempdir().unwrap();
    let path = file_in(dir.path());
    let mut ledger = Ledger::open(path.clone());
    for _ in 0..SPARE_LINES {
        ledger.note(&change(&["10.1.0.0/16"], false)).unwrap();
        ledger.note(&change(&["10.1.0.0/16"], true)).unwrap();
    }
    let lines = fs::read_to_string(&path).unwrap().lines().count();
    assert!(lines <= SPARE_LINES + 2, "{lines}");
}
