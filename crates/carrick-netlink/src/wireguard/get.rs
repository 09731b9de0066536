//! Reading a device. The kernel spreads it over several messages, and a peer with many allowed IPs as well: its later
//! parts hold the public key and more allowed IPs, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use netlink_packet_core::{DecodeError, ParseableParametrized};
use netlink_packet_generic::{GenlHeader, GenlMessage};
use netlink_packet_wireguard::{
    WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute, WireguardCmd, WireguardMessage, WireguardPeer,
    WireguardPeerAttribute, WireguardTimeSpec,
};
use zeroize::Zeroize;

use super::{Device, Peer, PublicKey, SecretKey};
use crate::frame::Frame;
use crate::generic::HEADER_LENGTH;
use crate::request::encode;
use crate::{Error, Request, Socket};

/// See [`super::WireGuard::get`].
pub(super) fn get(socket: &mut Socket, family: u16, device: &str) -> Result<Device, Error> {
    const OPERATION: &str = "read WireGuard device";
    let question = WireguardMessage {
        cmd: WireguardCmd::GetDevice,
        attributes: vec![WireguardAttribute::IfName(device.to_owned())],
    };
    let request = Request::dump(OPERATION, device, family, encode(&GenlMessage::from_payload(question)));
    let parts =
        socket.query(&request, |frame| parse(frame).map(Some).map_err(|cause| Error::new(OPERATION, device, cause)));
    socket.wipe();
    Ok(merge(parts?))
}

fn parse(frame: &Frame<'_>) -> Result<WireguardMessage, DecodeError> {
    let header = GenlHeader::parse(frame.payload)?;
    WireguardMessage::parse_with_param(&frame.payload[HEADER_LENGTH..], header)
}

/// Joins the messages of one answer.
fn merge(parts: Vec<WireguardMessage>) -> Device {
    let mut device = Device { private_key: None, public_key: None, port: 0, firewall_mark: 0, peers: Vec::new() };
    let mut positions: BTreeMap<PublicKey, usize> = BTreeMap::new();
    for attribute in parts.into_iter().flat_map(|part| part.attributes) {
        match attribute {
            WireguardAttribute::PrivateKey(mut bytes) => {
                device.private_key = Some(SecretKey::new(bytes));
                bytes.zeroize();
            }
            WireguardAttribute::PublicKey(bytes) => device.public_key = Some(PublicKey(bytes)),
            WireguardAttribute::ListenPort(port) => device.port = port,
            WireguardAttribute::Fwmark(mark) => device.firewall_mark = mark,
            WireguardAttribute::Peers(peers) => {
                for peer in peers.into_iter().filter_map(read_peer) {
                    match positions.get(&peer.public_key) {
                        Some(&position) => device.peers[position].allowed_ips.extend(peer.allowed_ips),
                        None => {
                            positions.insert(peer.public_key, device.peers.len());
                            device.peers.push(peer);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    device
}

fn read_peer(attributes: WireguardPeer) -> Option<Peer> {
    let mut public_key = None;
    let mut peer = Peer {
        public_key: PublicKey([0; 32]),
        preshared_key: None,
        endpoint: None,
        persistent_keepalive: None,
        last_handshake: None,
        received_bytes: 0,
        sent_bytes: 0,
        allowed_ips: Vec::new(),
    };
    for attribute in attributes.0 {
        match attribute {
            WireguardPeerAttribute::PublicKey(bytes) => public_key = Some(PublicKey(bytes)),
            WireguardPeerAttribute::PresharedKey(mut bytes) => {
                peer.preshared_key = Some(SecretKey::new(bytes)).filter(|key| !key.is_zero());
                bytes.zeroize();
            }
            WireguardPeerAttribute::Endpoint(endpoint) => peer.endpoint = Some(endpoint),
            WireguardPeerAttribute::PersistentKeepalive(seconds) => {
                peer.persistent_keepalive = (seconds != 0).then_some(seconds);
            }
            WireguardPeerAttribute::LastHandshake(time) => peer.last_handshake = since_epoch(time),
            WireguardPeerAttribute::RxBytes(bytes) => peer.received_bytes = bytes,
            WireguardPeerAttribute::TxBytes(bytes) => peer.sent_bytes = bytes,
            WireguardPeerAttribute::AllowedIps(networks) => {
                peer.allowed_ips.extend(networks.iter().filter_map(read_allowed_ip));
            }
            _ => {}
        }
    }
    public_key.map(|public_key| Peer { public_key, ..peer })
}

fn read_allowed_ip(attributes: &WireguardAllowedIp) -> Option<IpNet> {
    let mut address = None;
    let mut length = None;
    for attribute in &attributes.0 {
        match attribute {
            WireguardAllowedIpAttr::IpAddr(value) => address = Some(*value),
            WireguardAllowedIpAttr::Cidr(value) => length = Some(*value),
            _ => {}
        }
    }
    IpNet::new(address?, length?).ok()
}

fn since_epoch(time: WireguardTimeSpec) -> Option<Duration> {
    let seconds = u64::try_from(time.seconds).ok()?;
    let nanoseconds = u32::try_from(time.nano_seconds).ok()?;
    (seconds != 0 || nanoseconds != 0).then(|| Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests;
