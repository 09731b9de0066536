//! The userspace data path with real packets: the real binary in network namespaces, configured by the real `wg`.
#![expect(clippy::expect_used, clippy::print_stderr, clippy::unwrap_used, reason = "all of this is tests")]

mod configuration;
mod end;
mod independent_reader;
mod lifecycle;
mod namespace;
mod traffic;
