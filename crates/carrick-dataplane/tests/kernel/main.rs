//! The dataplane against the kernel itself, each test in a network namespace of its own. Where the kernel has no
//! WireGuard, a device of TUN with a test double behind its UAPI socket stands for it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod apply;
mod cleanup;
mod drift;
mod handover;
mod independent_reader;
mod kernel_flow;
mod kernel_sessions;
mod kernel_wireguard;
mod location_routes;
mod node;
mod plans;
mod reconcile;
mod strays;
mod userspace_double;
