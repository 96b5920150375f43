//! The repository is tidy.

use super::*;

#[test]
fn the_repository_is_tidy() {
    for (sentence, check) in CHECKS {
        let complaints = check().unwrap();
        assert!(
            complaints.is_empty(),
            "{sentence}:\n{}",
            complaints.join("\n")
        );
    }
}
