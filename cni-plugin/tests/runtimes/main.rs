//! Real container runtimes, which call the real plugin for containers that ping. They write all over the machine, so that
//! `scripts/test-runtimes.sh` runs these tests where nothing of that stays, and says where the runtimes are.
#![expect(clippy::unwrap_used, clippy::unwrap_in_result, clippy::expect_used, reason = "a test fails by panicking")]

mod cnitool;
mod containerd;
#[path = "../plugin/node.rs"]
#[expect(dead_code, reason = "the plugin's own tests use the rest")]
mod node;
mod plugin;
mod podman;
