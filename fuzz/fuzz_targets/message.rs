//! See `windrose_fuzz::message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| windrose_fuzz::message(data));
