//! The mesh end to end: real agents, pods that the real plugin attaches, and real packets between clouds in network namespaces. The tests
//! fail without root and without the built programs (`cargo build`).
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]
#![expect(clippy::print_stderr, reason = "measured times, and the agents' state when a test fails")]

mod allowed_location;
mod broken_tunnels;
mod claims;
mod drains;
mod drift;
mod encapsulation;
mod failover;
mod faults;
mod foreign_bridge;
mod forged_probes;
mod former_device;
mod former_networks;
mod frames;
mod garbage;
mod gateways;
mod granularity;
mod host_addresses;
mod host_source;
mod injection;
mod jumbo;
mod kernel;
mod kernel_wireguard;
mod location_network;
mod lost_address;
mod marked_traffic;
mod mesh;
mod narrow_middle;
mod newcomer;
mod no_ipv6;
mod nothing_in_clear;
mod outages;
mod outside_peer;
mod overlap;
mod pages;
mod pod_faults;
mod probe_port;
mod probe_wire;
mod probes;
mod reboot;
mod relay;
mod renumbering;
mod returns;
mod secrets;
mod several_uplinks;
mod shared_settings;
mod spoofing;
mod state_directory;
mod transit;
mod unattached_address;
mod uplinks;
