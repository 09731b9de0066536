//! The verbs against the kernel itself, each test in a network namespace of its own.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod addresses;
mod connections;
mod errors;
mod links;
mod namespace;
mod neighbours;
mod nftables;
mod notifications;
mod queues;
mod routes;
mod rules;
mod wireguard;
