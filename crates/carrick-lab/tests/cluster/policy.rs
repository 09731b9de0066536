//! The network's support for NetworkPolicy engines: pods' packets pass the hooks of their nodes with the pods' own addresses. The test
//! uses firewall rules such as engines write.

use std::net::SocketAddr;

use carrick_lab::Lab;
use carrick_lab::address::Family;
use carrick_lab::cluster::services::{PORT, fetch};
use carrick_lab::matrix::Endpoint;

/// The nodes of the protected pod, of the permitted client and of the refused client, each in another location.
const PROTECTED: &str = "b1";
const ALLOWED: &str = "h1-pod1";
const DENIED: &str = "a1-pod1";

pub fn pods_are_told_apart_across_locations(lab: &Lab) {
    let endpoints = lab.endpoints().unwrap();
    let find = |name: &str| endpoints.iter().find(|endpoint| endpoint.name == name).unwrap();
    let (protected, allowed, denied) = (find("b1-pod1"), find(ALLOWED), find(DENIED));
    let node = lab.node(PROTECTED).unwrap();
    for family in [Family::V4, Family::V6] {
        assert!(asks(denied, protected, family) && asks(allowed, protected, family), "{family}: before the policy");
    }
    // The node's own probes would go through, as they are not forwarded.
    let address = |endpoint: &Endpoint, family| endpoint.addresses.of(family).unwrap();
    let rules = format!(
        "table inet engine {{
            chain forward {{
                type filter hook forward priority filter;
                ct state established,related accept
                ip saddr {} ip daddr {} accept
                ip6 saddr {} ip6 daddr {} accept
                ip daddr {} reject
                ip6 daddr {} reject
            }}
        }}",
        address(allowed, Family::V4),
        address(protected, Family::V4),
        address(allowed, Family::V6),
        address(protected, Family::V6),
        address(protected, Family::V4),
        address(protected, Family::V6),
    );
    node.give_file("policy.nft", &rules).unwrap();
    node.exec(&["nft", "-f", "/run/lab/policy.nft"]).unwrap();
    for family in [Family::V4, Family::V6] {
        assert!(!asks(denied, protected, family), "{family}: denied");
        assert!(asks(allowed, protected, family), "{family}: allowed");
    }
    node.exec(&["nft", "delete", "table", "inet", "engine"]).unwrap();
}

fn asks(from: &Endpoint, to: &Endpoint, family: Family) -> bool {
    let address = SocketAddr::new(to.addresses.of(family).unwrap(), PORT);
    fetch(&from.namespaces, address, "/node").is_ok()
}
