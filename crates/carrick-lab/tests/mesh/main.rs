//! The mesh end to end: real agents, pods wired by the real plugin, and real packets between clouds that stand in
//! namespaces. It needs root and the built programs (`cargo build`), and fails where it has neither.
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]
#![expect(clippy::print_stderr, reason = "measured times, and the agents' story when a test fails")]

mod allowed_location;
mod drift;
mod encapsulation;
mod failover;
mod garbage;
mod gateways;
mod granularity;
mod injection;
mod kernel;
mod kernel_wireguard;
mod mesh;
mod newcomer;
mod outages;
mod overlap;
mod probes;
mod reboot;
mod relay;
