//! The clouds themselves, without any agent: what routers forward, hide and translate, what nodes share and
//! what they do not, how pods are wired, and that nothing stays behind.
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]

use std::net::IpAddr;
use std::time::Duration;

use carrick_lab::address::Family;
use carrick_lab::namespace::Namespaces;
use carrick_lab::node::Node;
use carrick_lab::{Lab, Topology, ping};

mod crash;
mod isolation;
mod kubernetes;
mod nat;
mod pods;
mod routing;

/// Brings a lab up that has no agents.
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

/// For pairs that must not reach each other: the network has no delay, so an answer would be there at once.
fn is_cut_off(from: &Namespaces, to: IpAddr) -> bool {
    ping::until_answered(from, to, Duration::from_millis(500)).unwrap().is_none()
}
