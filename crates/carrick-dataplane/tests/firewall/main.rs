//! The firewall in network namespaces: every rule is tried with packets.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod dropped;
mod foreign;
mod handover;
mod inbound;
mod invalid;
mod leak_guard;
mod mesh_ports;
mod namespace;
mod network;
mod repair;
mod segment_size;
mod source;
mod source_check;
mod untracked;
mod vxlan;
mod wiring;
