//! See `windrose_fuzz::attributes_roundtrip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| windrose_fuzz::attributes_roundtrip(data));
