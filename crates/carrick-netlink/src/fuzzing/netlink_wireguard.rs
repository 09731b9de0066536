//! Answers of generic netlink: which number a family has, and a WireGuard device with its peers.

use super::answer::{check_holds, frames, received};
use crate::frame::Frame;
use crate::generic;
use crate::wireguard::{
    AllowedIps, Device, DeviceChange, Peer, PeerChange, PeerVerb, Preshared, PublicKey, merge, parse, set,
};

/// Reads `bytes` as a datagram of a generic netlink socket.
///
/// # Panics
///
/// Something does not hold that must.
pub fn check(bytes: &[u8]) {
    let frames = frames(bytes);
    for frame in &frames {
        drop(generic::read_number(frame.payload));
    }
    let parts: Vec<_> = frames.iter().filter_map(|frame| parse(frame).ok()).collect();
    let device = merge(parts);
    check_device(&device, &frames);

    let requests = set(1, "carrick0", &change_to(&device));
    let again = merge(requests.iter().map(|request| parse(&received(request)).unwrap()).collect());
    assert_eq!(again.private_key, device.private_key);
    assert_eq!((again.port, again.firewall_mark), (device.port, device.firewall_mark));
    let settings: Vec<Peer> = device.peers.into_iter().map(without_counters).collect();
    assert_eq!(again.peers, settings);
}

fn check_device(device: &Device, frames: &[Frame<'_>]) {
    let mut keys: Vec<PublicKey> = device.peers.iter().map(|peer| peer.public_key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), device.peers.len(), "one peer twice");
    let payloads: Vec<u8> = frames.iter().flat_map(|frame| frame.payload).copied().collect();
    for peer in &device.peers {
        assert!(super::answer::holds(&payloads, &peer.public_key.0));
        assert!(peer.preshared_key.as_ref().is_none_or(|key| !key.is_zero()), "a preshared key of zeros is none");
        assert_ne!(peer.persistent_keepalive, Some(0), "a keepalive of no seconds is none");
        let addresses = peer.allowed_ips.iter().map(|network| network.addr());
        addresses
            .chain(peer.endpoint.map(|endpoint| endpoint.ip()))
            .for_each(|address| check_holds(&payloads, address));
    }
}

fn change_to(device: &Device) -> DeviceChange {
    let peers = device.peers.iter().map(|peer| PeerChange {
        endpoint: peer.endpoint,
        persistent_keepalive: peer.persistent_keepalive,
        preshared_key: peer.preshared_key.clone().map_or(Preshared::Clear, Preshared::Set),
        allowed_ips: AllowedIps::Replace(peer.allowed_ips.clone()),
        ..PeerChange::new(peer.public_key, PeerVerb::Set)
    });
    DeviceChange {
        private_key: device.private_key.clone(),
        port: Some(device.port),
        firewall_mark: Some(device.firewall_mark),
        peers: peers.collect(),
        ..DeviceChange::default()
    }
}

fn without_counters(peer: Peer) -> Peer {
    Peer { last_handshake: None, received_bytes: 0, sent_bytes: 0, ..peer }
}
