#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carrick_kube::fuzzing::mesh::check(bytes));
