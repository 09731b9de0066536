//! The rules of the plan, one example for each.

#![expect(clippy::unwrap_used, reason = "a test may fail wherever it likes")]

mod broken_tunnels;
mod claims_of_agents;
mod closed_networks;
mod encapsulation;
mod firewall;
mod fixtures;
mod former_networks;
mod gateways;
mod handover;
mod host_networks;
mod host_sources;
mod internal_addresses;
mod locations;
mod mesh_addresses;
mod mixed_versions;
mod networks;
mod outside_peers;
mod packet_sizes;
mod paths;
mod preceding_rules;
mod probes;
mod shared_endpoints;
mod transit;
mod tunnels;
mod warnings;
