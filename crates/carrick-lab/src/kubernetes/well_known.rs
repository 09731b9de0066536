//! Addresses, networks and users of the control plane.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::layout::API_ADDRESSES;

/// The port of a real API server.
pub(super) const PORT: u16 = 6443;
/// The address of a real API server in the internet, behind the proxies.
pub(super) const REAL_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);
/// The public IPv4 address of the API.
pub(super) const API_ADDRESS: Ipv4Addr = match API_ADDRESSES.v4 {
    Some(address) => address,
    None => Ipv4Addr::LOCALHOST,
};
/// The public address of a cluster's API server, for agents and for Services.
pub const PUBLIC_API: SocketAddr = SocketAddr::new(IpAddr::V4(API_ADDRESS), PORT);
/// The Service CIDRs, IPv4 first.
pub const SERVICE_CIDRS: &str = "10.96.0.0/16,fd96::/108";
/// The CIDRs from which the controller manager takes the pod CIDRs, IPv4 first.
pub const POD_CIDRS: &str = "10.42.0.0/16,fd42::/48";
/// The user of kube-proxy.
pub(super) const KUBE_PROXY: &str = "system:kube-proxy";
/// How many nodes may join that the topology does not have: `spare1`, `spare2` and so on.
pub(super) const SPARE_NODES: usize = 2;

/// The user of a node's kubelet. The node authorizer takes the node's name from it.
pub(super) fn kubelet(node: &str) -> String {
    format!("system:node:{node}")
}
