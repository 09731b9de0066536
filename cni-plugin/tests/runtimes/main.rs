//! Container runtimes that call the plugin for containers with real packets. The runtimes write to many places of the machine, so
//! `scripts/test-runtimes.sh` runs these tests in an isolated file system. The script also provides the runtimes.
#![expect(clippy::unwrap_used, clippy::unwrap_in_result, clippy::expect_used, reason = "a test fails by panicking")]

mod cnitool;
mod containerd;
#[path = "../plugin/node.rs"]
#[expect(dead_code, reason = "the plugin's own tests use the rest")]
mod node;
mod plugin;
mod podman;
