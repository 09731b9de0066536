//! TCP segments through the mesh fit the route's MTU.

use std::net::TcpStream;

use nix::sys::socket::{getsockopt, sockopt};

use crate::namespace::{Namespace, at};
use crate::network::{INTERNET, Network, POD, Pair, REMOTE_POD, nets, plan};

/// Headers of IPv4 and TCP with time stamps, in bytes; IPv6's is 20 bytes longer.
const HEADERS: u32 = 20 + 20 + 12;

/// Connects, and tells the largest segment that each side sends: the dialling and the listening one.
fn segments(dialling: &Namespace, listening: &Namespace, address: &str) -> (u32, u32) {
    let listener = listening.listener(address);
    let dialled = dialling.run(|| TcpStream::connect(at(address)).unwrap());
    let (accepted, _) = listener.accept().unwrap();
    (getsockopt(&dialled, sockopt::TcpMaxSeg).unwrap(), getsockopt(&accepted, sockopt::TcpMaxSeg).unwrap())
}

fn narrow(network: &Network) {
    network.node.ip("route change 10.2.0.0/24 dev carrick0 src 10.4.0.1 mtu 1320\n\
         route change fd02::/64 dev carrick0 src fdca::1 mtu 1320");
}

#[test]
fn segments_fit_the_route_both_ways() {
    let mut network = Network::new();
    narrow(&network);
    let unclamped = segments(&network.pod, &network.remote, REMOTE_POD.0);
    assert_eq!(unclamped, (1500 - HEADERS, 1500 - HEADERS), "what the clamp is for");

    network.apply(&plan());
    let Pair(ipv4, ipv6) = REMOTE_POD;
    let fitting = 1320 - HEADERS;
    assert_eq!(segments(&network.pod, &network.remote, ipv4), (fitting, fitting));
    assert_eq!(segments(&network.pod, &network.remote, ipv6), (fitting - 20, fitting - 20));
    let Pair(ipv4, ipv6) = POD;
    assert_eq!(segments(&network.remote, &network.pod, ipv4), (fitting, fitting));
    assert_eq!(segments(&network.remote, &network.pod, ipv6), (fitting - 20, fitting - 20));
}

#[test]
fn segments_beside_the_mesh_are_left_alone() {
    let network = Network::guarded();
    network.node.ip("route change default dev eth0 mtu 1320");
    let full = 1500 - HEADERS;
    assert_eq!(segments(&network.pod, &network.outside, INTERNET.0), (full, full));
}

#[test]
fn tcp_over_ipv6_fits_a_tunnel_that_takes_less_than_an_ipv6_route_can_say() {
    let mut narrow = plan();
    narrow.narrow.insert(1100, nets(&["fd02::/64"]).into_iter().collect());
    let mut network = Network::with(&narrow);
    let Pair(ipv4, ipv6) = REMOTE_POD;
    assert_eq!(segments(&network.pod, &network.remote, ipv6), (1100 - 12, 1100 - 12), "timestamps take 12");
    assert_eq!(segments(&network.pod, &network.remote, ipv4), (1500 - HEADERS, 1500 - HEADERS));
    assert_eq!(segments(&network.remote, &network.pod, POD.1), (1100 - 12, 1100 - 12));
    assert!(!network.apply(&narrow).is_change(), "it is read back as it was written");
    network.apply(&plan());
    assert_eq!(segments(&network.pod, &network.remote, ipv6), (1500 - HEADERS - 20, 1500 - HEADERS - 20));
}
