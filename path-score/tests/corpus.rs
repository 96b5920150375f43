//! Runs the fuzz target of STAMP over its committed corpus.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[allow(clippy::expect_used, unreachable_pub)]
#[path = "../../fuzz/src/stamp.rs"]
mod target;

#[test]
fn stamp() {
    let folder = format!("{}/../fuzz/corpus/stamp", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        for end in 0..=data.len() {
            target::stamp(data.get(..end).unwrap());
        }
        for bit in 0..data.len() * 8 {
            let mut flipped = data.clone();
            *flipped.get_mut(bit / 8).unwrap() ^= 1 << (bit % 8);
            target::stamp(&flipped);
        }
        count += 1;
    }
    assert!(count >= 5, "{folder} has only {count} files");
}
