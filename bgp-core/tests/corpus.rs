//! Runs each fuzz target over its committed corpus.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]

#[allow(clippy::expect_used, clippy::indexing_slicing, unreachable_pub)]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

fn replay(name: &str, target: fn(&[u8])) {
    let folder = format!("{}/../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let data = std::fs::read(&path).unwrap();
        for end in 0..=data.len() {
            target(&data[..end]);
        }
        for at in 0..data.len() {
            let mut flipped = data.clone();
            for bit in 0..8 {
                flipped[at] = data[at] ^ 1 << bit;
                target(&flipped);
            }
        }
        count += 1;
    }
    assert!(count >= 5, "{folder} has only {count} files");
}

#[test]
fn message() {
    replay("message", targets::message);
}

#[test]
fn update() {
    replay("update", targets::update);
}

#[test]
fn open() {
    replay("open", targets::open);
}

#[test]
fn attributes_roundtrip() {
    replay("attributes_roundtrip", targets::attributes_roundtrip);
}

#[test]
fn bmp() {
    replay("bmp", targets::bmp);
}
