//! See `windrose_fuzz::update`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| windrose_fuzz::update(data));
