//! `carrickctl` against real agents in clouds that stand in namespaces. It needs root and the built programs (`cargo build`), and
//! fails where it has neither.
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]
#![expect(clippy::print_stderr, reason = "the agents' story when a test fails")]

mod bundle;
mod ctl;
#[path = "../doctor/disguise.rs"]
mod disguise;
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
