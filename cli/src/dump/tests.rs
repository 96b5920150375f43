//! Files appear whole, or not at all, under the names they should have.

use super::*;
use crate::output::Format;

#[test]
fn a_file_appears_only_once_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rib.mrt");
    let mut part = Part::create(&file).unwrap();
    part.write(b"half").unwrap();
    assert!(!file.exists());
    part.write(b" and half").unwrap();
    let mut said = Vec::new();
    part.finish(&file, &mut Printer::new(Format::Table, false, &mut said))
        .unwrap();
    assert!(said.starts_with(b"13 octets written to "));
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

fn names(pattern: &str, every: &str, updates: bool) -> Result<Names, Failure> {
    let every = crate::text::parse_duration(every).unwrap();
    Names::new(pattern.into(), Some(every), updates)
}

#[test]
fn a_file_has_the_moment_at_which_it_begins_in_its_name() {
    let names = names("/var/lib/mrt/%Y.%m/updates.%Y%m%d.%H%M", "15m", true).unwrap();
    let noon: Timestamp = "2026-03-01T12:07:30Z".parse().unwrap();
    let file = names.at(noon).unwrap();
    assert_eq!(
        file,
        Path::new("/var/lib/mrt/2026.03/updates.20260301.1207")
    );
    let next = names.next(noon).unwrap();
    assert_eq!(next, "2026-03-01T12:15:00Z".parse().unwrap());
    assert_eq!(
        names.next(next).unwrap(),
        "2026-03-01T12:30:00Z".parse().unwrap()
    );
}

#[test]
fn a_table_may_take_the_place_of_the_last_one_and_updates_may_not() {
    assert!(names("rib.mrt", "2h", false).is_ok());
    assert!(matches!(
        names("updates.mrt", "15m", true),
        Err(Failure::Refused(_))
    ));
    // The next file of the same hour would have its name.
    assert!(matches!(
        names("updates.%H", "1s", true),
        Err(Failure::Refused(_))
    ));
    assert!(matches!(
        names("rib.%!", "1h", false),
        Err(Failure::Refused(_))
    ));
    assert!(matches!(
        names("rib.mrt", "10ms", false),
        Err(Failure::Refused(_))
    ));
}
