//! `tests::fuzz::file_frame` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tests::fuzz::file_frame(data));
