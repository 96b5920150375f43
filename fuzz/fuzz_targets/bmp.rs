//! See `windrose_fuzz::bmp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| windrose_fuzz::bmp(data));
