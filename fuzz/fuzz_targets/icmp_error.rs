#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carrick_agent::agent::fuzzing::icmp_error::check(bytes));
