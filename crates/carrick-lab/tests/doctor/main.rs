//! `carrickctl doctor` against real agents: each test breaks one thing, sees that verdict and no other, and mends it again. It needs
//! root and the built programs (`cargo build`), and fails where it has neither.
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]
#![expect(clippy::print_stderr, reason = "the agents' story when a test fails")]

mod agents;
mod cluster;
#[allow(dead_code, reason = "the tests of the program itself ask more of it")]
#[path = "../carrickctl/ctl.rs"]
mod ctl;
mod disguise;
mod host;
mod kernel;
#[allow(dead_code, reason = "the tests of the mesh ask more of it")]
#[path = "../mesh/mesh.rs"]
mod mesh;
mod patient;
mod tunnels;
