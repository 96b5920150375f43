//! See `windrose_fuzz::open`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| windrose_fuzz::open(data));
