//! The nodes of the simulated network.

use carrick_topology::model::{InternalAddresses, Node, PublicKey};

use crate::mesh::name;

/// `b3` is the third node of location `b`. A location in capital letters is behind NAT.
pub fn node(text: &str) -> Node {
    let (letter, host) = (text.as_bytes()[0], text[1..].parse::<u8>().unwrap());
    let location = letter.to_ascii_lowercase() - b'a' + 1;
    let number = location * 10 + host;
    let mut node = Node::new(name(&text.to_lowercase()), i64::from(number));
    node.location = Some(text[..1].to_lowercase().parse().unwrap());
    node.public_key = Some(PublicKey::from_bytes([number; 32]));
    node.pod_cidrs = [format!("10.42.{number}.0/24").parse().unwrap()].into();
    node.mesh_addresses = [format!("10.4.0.{number}").parse().unwrap()].into();
    let internal = format!("192.168.{location}.{host}/24").parse().unwrap();
    node.internal_addresses = InternalAddresses::Advertised([internal].into());
    if letter.is_ascii_uppercase() {
        node.persistent_keepalive = Some(25);
    } else {
        node.advertised_endpoints = [format!("198.51.{location}.{host}:51820").parse().unwrap()].into();
    }
    node
}
