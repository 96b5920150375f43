//! What is kept, by whom it can be read, and what is left out.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn name(address: &str) -> PeerName {
    PeerName::new(address.parse().unwrap(), None)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_saved_is_loaded_and_nobody_else_may_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let kept = Kept::new(&dir.path().join("state"));
    assert!(kept.load().is_empty());
    let text = "address = \"10.0.0.9\"\nasn = 65009\npassword = \"compass\"\n";
    kept.save(&name("10.0.0.9"), "address = \"10.0.0.9\"")
        .unwrap();
    kept.save(&name("10.0.0.9"), text).unwrap();
    let link_local = PeerName::new("fe80::9".parse().unwrap(), Some("eth0"));
    kept.save(&link_local, "address = \"fe80::9%eth0\"")
        .unwrap();
    let file = dir.path().join("state/peers/10.0.0.9.toml");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let loaded = kept.load();
    let names: Vec<_> = loaded.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, [name("10.0.0.9"), link_local]);
    assert_eq!(loaded[0].1.text, text);
    assert_eq!(format!("{:?}", loaded[0].1).matches("compass").count(), 0);
    assert!(kept.remove(&name("10.0.0.9")).unwrap());
    assert!(!kept.remove(&name("10.0.0.9")).unwrap());
    assert_eq!(kept.load().len(), 1);
}

#[test]
fn what_makes_no_sense_is_left_out_and_left_there() {
    let dir = tempfile::tempdir().unwrap();
    let kept = Kept::new(dir.path());
    kept.save(&name("10.0.0.9"), "address = \"10.0.0.9\"")
        .unwrap();
    let peers = dir.path().join("peers");
    let huge = format!("address = \"10.0.0.3\" # {}", "x".repeat(ADDED_OCTETS_MAX));
    for (file, text) in [
        ("10.0.0.1.toml", "address = \"10.0.0.2\""),
        ("10.0.0.3.toml", &huge),
        ("10.0.0.4.toml", "= = ="),
        ("10.0.0.5.toml", "asn = 1"),
        (".10.0.0.6.toml", "address = \"10.0.0.6\""),
        ("notes.txt", "address = \"10.0.0.7\""),
    ] {
        fs::write(peers.join(file), text).unwrap();
    }
    fs::write(peers.join("10.0.0.8.toml"), b"\xff").unwrap();
    fs::create_dir(peers.join("10.0.0.10.toml")).unwrap();
    let loaded = kept.load();
    assert_eq!(loaded.len(), 1, "{loaded:?}");
    assert_eq!(fs::read_dir(&peers).unwrap().count(), 9);
}
