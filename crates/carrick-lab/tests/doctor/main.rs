//! `carrickctl doctor` against real agents. Each test causes a fault, checks that it is the only finding, and repairs it. The tests
//! fail without root and without the built programs (`cargo build`).
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]
#![expect(clippy::print_stderr, reason = "the agents' state when a test fails")]

mod agents;
mod changed_pages;
mod cluster;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../carrickctl/ctl.rs"]
mod ctl;
mod diagnosed_mesh;
mod host;
mod kernel;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../mesh/mesh.rs"]
mod mesh;
mod tunnels;
