//! `carrickctl dashboard` in a real browser, on real agents in clouds that stand in namespaces. It needs root, the built programs
//! (`cargo build`), chromium and its driver, and fails where it has not all of them.
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]
#![expect(clippy::print_stderr, reason = "measured times, and the agents' story when a test fails")]

mod browser;
mod live;
#[allow(dead_code, reason = "the tests of the mesh ask more of it")]
#[path = "../mesh/mesh.rs"]
mod mesh;
mod server;
