//! Ends of tunnels.

use crate::namespace::{DataPath, KeyPair, Namespace};

/// One end of tunnels: interface `wg0` with inner addresses 10.1.0.NUMBER and fd01::NUMBER.
pub struct End {
    pub path: DataPath,
    pub namespace: Namespace,
    pub keys: KeyPair,
    number: u8,
}

impl End {
    pub fn new(number: u8) -> Self {
        let namespace = Namespace::new();
        let path = namespace.start("wg0");
        // What the agent's data plane does.
        namespace.run(&format!(
            "ip address add 10.1.0.{number}/32 dev wg0 && ip address add fd01::{number}/128 dev wg0 nodad && \
             ip link set wg0 up && ip route add 10.1.0.0/24 dev wg0 && ip route add fd01::/64 dev wg0"
        ));
        Self { path, namespace, keys: KeyPair::new(), number }
    }

    pub fn configure(&self, peers: &[(&Self, &str)]) {
        let sections: String = peers.iter().map(|(peer, endpoint)| peer.as_peer(endpoint)).collect();
        self.namespace.set_configuration(
            "wg0",
            &format!("[Interface]\nPrivateKey = {}\nListenPort = 51820\n{sections}", self.keys.private),
        );
    }

    fn as_peer(&self, endpoint: &str) -> String {
        let number = self.number;
        let public = &self.keys.public;
        let mut section =
            format!("[Peer]\nPublicKey = {public}\nAllowedIPs = 10.1.0.{number}/32, fd01::{number}/128\n");
        if !endpoint.is_empty() {
            section.push_str(&format!("Endpoint = {endpoint}\n"));
        }
        section
    }

    /// Reaches another end inside the tunnel, by ping and by TCP, in both address families.
    pub fn reaches(&self, other: &Self) {
        let number = other.number;
        self.namespace.ping(&format!("10.1.0.{number}"));
        self.namespace.ping(&format!("fd01::{number}"));
        for address in [format!("10.1.0.{number}:7000"), format!("[fd01::{number}]:7000")] {
            self.namespace.move_megabyte(&other.namespace, &address);
        }
    }

    pub fn peer(&self, kind: &str, other: &Self) -> String {
        self.namespace.peer("wg0", kind, &other.keys.public)
    }

    pub fn received_from(&self, other: &Self) -> u64 {
        let transfer = self.peer("transfer", other);
        transfer.split_whitespace().next().unwrap().parse().unwrap()
    }
}

/// Joins two ends by a veth pair.
pub fn join(device: &str, first: &End, addresses: &[&str], second: &End, other_addresses: &[&str]) {
    first.namespace.join(device, addresses, &second.namespace, other_addresses);
}

/// Two ends that know each other's outer IPv4 address.
pub fn connected_pair() -> (End, End) {
    let (first, second) = (End::new(1), End::new(2));
    join("outer", &first, &["192.0.2.1/24"], &second, &["192.0.2.2/24"]);
    first.configure(&[(&second, "192.0.2.2:51820")]);
    second.configure(&[(&first, "192.0.2.1:51820")]);
    (first, second)
}
