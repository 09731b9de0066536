#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carrick_cni::fuzzing::cni_call::check(bytes));
