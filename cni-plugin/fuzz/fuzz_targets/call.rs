#![no_main]

#[path = "../call.rs"]
mod call;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| call::check(bytes));
