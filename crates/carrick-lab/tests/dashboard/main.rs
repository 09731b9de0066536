//! `carrickctl dashboard` in a real browser, with real agents in clouds in network namespaces. The tests fail without root, the built
//! programs (`cargo build`), chromium and its driver.
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]
#![expect(clippy::print_stderr, reason = "measured times, and the agents' state when a test fails")]

mod browser;
mod live;
#[allow(dead_code, reason = "the tests of the mesh ask more of it")]
#[path = "../mesh/mesh.rs"]
mod mesh;
mod server;
