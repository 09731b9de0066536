//! The clouds themselves, without agents: forwarding and address translation of the routers, isolation of the nodes, pods, and removal.
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]

use std::net::IpAddr;
use std::time::Duration;

use carrick_lab::address::Family;
use carrick_lab::namespace::Namespaces;
use carrick_lab::node::Node;
use carrick_lab::{Lab, Topology, ping};

mod configuration;
mod crash;
mod isolation;
mod kubernetes;
mod nat;
mod pods;
mod routing;

/// Starts a lab without agents.
fn lab(locations: &str) -> Lab {
    let topology = Topology::parse(&format!("agent: {{start: false}}\nlocations: {locations}")).unwrap();
    Lab::up(&topology).unwrap()
}

fn internal(node: &Node, family: Family) -> IpAddr {
    node.layout().internal.of(family).unwrap()
}

fn public(node: &Node, family: Family) -> IpAddr {
    node.layout().public.of(family).unwrap()
}

fn reaches(from: &Namespaces, to: IpAddr) -> bool {
    ping::until_answered(from, to, Duration::from_secs(5)).unwrap().is_some()
}

/// The time to wait for an answer that must not come. The network has no delay, so an answer would arrive at once.
fn is_cut_off(from: &Namespaces, to: IpAddr) -> bool {
    ping::until_answered(from, to, Duration::from_millis(500)).unwrap().is_none()
}
