//! See `stamp` in `src/stamp.rs`: a file of its own, for `path-score` replays it without the other crates.
#![no_main]

#[path = "../src/stamp.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::stamp(data));
