#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carrick_netlink::fuzzing::netlink_nftables::check(bytes));
