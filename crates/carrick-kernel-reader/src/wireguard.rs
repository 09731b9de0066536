//! WireGuard devices, read by `wireguard-control`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ipnet::IpNet;
use wireguard_control::{Backend, Device as ForeignDevice, PeerInfo};

/// A WireGuard device. Keys are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The private key.
    pub private_key: Option<[u8; 32]>,
    /// The UDP port on which the device listens.
    pub port: Option<u16>,
    /// The firewall mark of outer packets; `None` for none.
    pub firewall_mark: Option<u32>,
    /// The peers by public key.
    pub peers: BTreeMap<[u8; 32], Peer>,
}

/// A peer of a WireGuard device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The preshared key.
    pub preshared_key: Option<[u8; 32]>,
    /// Where packets to the peer go.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between keepalives.
    pub persistent_keepalive: Option<u16>,
    /// The allowed IPs, in order.
    pub allowed_ips: Vec<IpNet>,
}

/// A device of the kernel.
///
/// # Panics
/// There is none, or it cannot be read.
#[must_use]
pub fn kernel_device(name: &str) -> Device {
    device(name, Backend::Kernel)
}

/// A device of a process that listens on `/run/wireguard/NAME.sock`.
///
/// # Panics
/// There is none, or it cannot be read.
#[must_use]
pub fn userspace_device(name: &str) -> Device {
    device(name, Backend::Userspace)
}

fn device(name: &str, backend: Backend) -> Device {
    let interface = name.parse().expect("the name is an interface name");
    let read = ForeignDevice::get(&interface, backend);
    let device = read.unwrap_or_else(|error| panic!("WireGuard device {name} cannot be read: {error}"));
    Device {
        private_key: device.private_key.map(|key| key.0),
        port: device.listen_port,
        firewall_mark: device.fwmark.filter(|mark| *mark != 0),
        peers: joined(device.peers.into_iter().map(peer)),
    }
}

/// The kernel continues a peer with many allowed IPs in a further part, which has its key and allowed IPs alone
/// (`include/uapi/linux/wireguard.h`, `WG_CMD_GET_DEVICE`). `wireguard-control` gives the parts as peers.
fn joined(parts: impl Iterator<Item = ([u8; 32], Peer)>) -> BTreeMap<[u8; 32], Peer> {
    let mut peers: BTreeMap<[u8; 32], Peer> = BTreeMap::new();
    for (key, part) in parts {
        let Some(peer) = peers.get_mut(&key) else {
            peers.insert(key, part);
            continue;
        };
        peer.allowed_ips.extend(part.allowed_ips);
        peer.allowed_ips.sort();
    }
    peers
}

fn peer(peer: PeerInfo) -> ([u8; 32], Peer) {
    let config = peer.config;
    let network = |address, prefix| IpNet::new(address, prefix).expect("an allowed IP is a network");
    let mut allowed_ips: Vec<IpNet> =
        config.allowed_ips.into_iter().map(|allowed_ip| network(allowed_ip.address, allowed_ip.cidr)).collect();
    allowed_ips.sort();
    let read = Peer {
        preshared_key: config.preshared_key.map(|key| key.0).filter(|key| *key != [0; 32]),
        endpoint: config.endpoint,
        persistent_keepalive: config.persistent_keepalive_interval.filter(|seconds| *seconds != 0),
        allowed_ips,
    };
    (config.public_key.0, read)
}
