#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carrick_probe::fuzzing::probe_packet::check(bytes));
