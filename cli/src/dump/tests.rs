//! Files appear whole, or not at all.

use super::*;

#[test]
fn a_file_appears_only_once_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rib.mrt");
    let mut part = Part::create(&file).unwrap();
    part.write(b"half").unwrap();
    assert!(!file.exists());
    part.write(b" and half").unwrap();
    part.finish(&file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"half and half");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn of_a_dump_that_breaks_off_nothing_is_left_and_the_old_file_stays() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rib.mrt");
    fs::write(&file, b"old").unwrap();
    let mut part = Part::create(&file).unwrap();
    part.write(b"half").unwrap();
    drop(part);
    assert_eq!(fs::read(&file).unwrap(), b"old");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let nowhere = dir.path().join("no/such/folder.mrt");
    assert!(matches!(Part::create(&nowhere), Err(Failure::Refused(_))));
}
