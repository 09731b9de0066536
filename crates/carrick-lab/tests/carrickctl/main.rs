//! `carrickctl` against real agents, in clouds in network namespaces. The tests fail without root and without the built programs
//! (`cargo build`).
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]
#![expect(clippy::print_stderr, reason = "the agents' state when a test fails")]

mod bundle;
#[path = "../doctor/changed_pages.rs"]
mod changed_pages;
mod ctl;
mod graph;
mod live;
#[allow(dead_code, reason = "the tests of the mesh ask more of it")]
#[path = "../mesh/mesh.rs"]
mod mesh;
mod peers;
mod plan;
mod saved;
mod status;
mod trace;
