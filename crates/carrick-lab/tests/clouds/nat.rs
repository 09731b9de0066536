//! The routers translate addresses as the name of their kind says (RFC 4787).

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use carrick_lab::Lab;
use carrick_lab::address::Family;
use carrick_lab::namespace::Namespaces;

use crate::lab;

const WIREGUARD: u16 = 51820;

fn bind(inside: &Namespaces, address: IpAddr, port: u16) -> UdpSocket {
    let socket = inside.enter(|| Ok(UdpSocket::bind((address, port))?)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

/// A socket of a node at WireGuard's port of its internal address.
///
/// A test binds the port once: a process that another test forks at that moment holds a closed socket until its exec.
fn wireguard_port(lab: &Lab, node: &str, family: Family) -> UdpSocket {
    let node = lab.node(node).unwrap();
    bind(&node.namespaces().unwrap(), node.layout().internal.of(family).unwrap(), WIREGUARD)
}

/// The addresses from which several servers in the internet see packets of a node's socket.
fn mappings(lab: &Lab, own: &UdpSocket, family: Family) -> Vec<SocketAddr> {
    ["a1", "a2", "a3"]
        .into_iter()
        .map(|server| {
            let server = lab.node(server).unwrap();
            let address = server.layout().public.of(family).unwrap();
            let socket = bind(&server.namespaces().unwrap(), address, 0);
            own.send_to(b"who am I?", socket.local_addr().unwrap()).unwrap();
            let (_, seen) = socket.recv_from(&mut [0; 16]).unwrap();
            socket.send_to(b"this", seen).unwrap();
            assert_eq!(own.recv_from(&mut [0; 16]).unwrap().1, socket.local_addr().unwrap());
            seen
        })
        .collect()
}

const SERVERS: &str = "{name: a, nodes: [{name: a1}, {name: a2}, {name: a3}]}";

#[test]
fn a_mapping_of_nat_is_the_same_for_every_destination() {
    let lab = lab(&format!("[{SERVERS}, {{name: home, router: nat, nodes: [{{name: h1}}, {{name: h2}}]}}]"));
    let wan = lab.site("home").unwrap().layout().wan;
    for family in [Family::V4, Family::V6] {
        let first = mappings(&lab, &wireguard_port(&lab, "h1", family), family);
        let second = mappings(&lab, &wireguard_port(&lab, "h2", family), family);
        for seen in [&first, &second] {
            assert!(seen.iter().all(|address| *address == seen[0]), "{seen:?}");
            assert_eq!(Some(seen[0].ip()), wan.of(family));
        }
        assert_ne!(first[0], second[0], "two nodes look like one");
    }
}

#[test]
fn a_mapping_of_symmetric_nat_differs_by_destination() {
    let lab = lab(&format!("[{SERVERS}, {{name: cafe, router: symmetric, nodes: [{{name: c1}}]}}]"));
    for family in [Family::V4, Family::V6] {
        let seen = mappings(&lab, &wireguard_port(&lab, "c1", family), family);
        assert!(seen[0] != seen[1] || seen[1] != seen[2], "{seen:?}");
        assert!(seen.iter().all(|address| Some(address.ip()) == lab.site("cafe").unwrap().layout().wan.of(family)));
    }
}

#[test]
fn nothing_unsolicited_gets_in() {
    let lab = lab(&format!("[{SERVERS}, {{name: home, router: nat, nodes: [{{name: h1}}]}}]"));
    let stranger = lab.node("a1").unwrap();
    let family = Family::V4;
    let own = wireguard_port(&lab, "h1", family);
    let outside = mappings(&lab, &own, family)[0];
    // From another port than the one the node has talked to, so no mapping's filter lets it in.
    let stranger = bind(&stranger.namespaces().unwrap(), stranger.layout().public.of(family).unwrap(), 0);
    stranger.send_to(b"hello?", outside).unwrap();
    own.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    own.recv_from(&mut [0; 16]).unwrap_err();
    own.send_to(b"hello!", stranger.local_addr().unwrap()).unwrap();
    let (_, seen) = stranger.recv_from(&mut [0; 16]).unwrap();
    stranger.send_to(b"hello.", seen).unwrap();
    own.recv_from(&mut [0; 16]).unwrap();
}
