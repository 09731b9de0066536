//! Reading a device. The kernel spreads it over several messages, and a peer with many allowed IPs as well: its later
//! parts hold the public key and more allowed IPs, and nothing else.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use ipnet::IpNet;
use netlink_packet_core::{DecodeError, NlasIterator};
use netlink_packet_generic::GenlMessage;
use netlink_packet_wireguard::{WireguardAttribute, WireguardCmd, WireguardMessage};
use zeroize::Zeroize;

use super::device::{Device, Peer};
use crate::attribute::{address, array};
use crate::frame::Frame;
use crate::generic::HEADER_LENGTH;
use crate::request::encode;
use crate::{Error, Request, Socket};
use carrick_types::{PublicKey, SecretKey};

/// `WGDEVICE_A_*`.
mod device {
    pub const PRIVATE_KEY: u16 = 3;
    pub const PUBLIC_KEY: u16 = 4;
    pub const LISTEN_PORT: u16 = 6;
    pub const FIREWALL_MARK: u16 = 7;
    pub const PEERS: u16 = 8;
}

/// `WGPEER_A_*`.
mod peer {
    pub const PUBLIC_KEY: u16 = 1;
    pub const PRESHARED_KEY: u16 = 2;
    pub const ENDPOINT: u16 = 4;
    pub const PERSISTENT_KEEPALIVE: u16 = 5;
    pub const LAST_HANDSHAKE: u16 = 6;
    pub const RECEIVED_BYTES: u16 = 7;
    pub const SENT_BYTES: u16 = 8;
    pub const ALLOWED_IPS: u16 = 9;
}

/// `WGALLOWEDIP_A_*`.
mod allowed_ip {
    pub const ADDRESS: u16 = 2;
    pub const PREFIX_LENGTH: u16 = 3;
}

/// What one message tells of a device.
#[derive(Default)]
pub(crate) struct Part {
    private_key: Option<SecretKey>,
    public_key: Option<PublicKey>,
    port: Option<u16>,
    firewall_mark: Option<u32>,
    peers: Vec<Peer>,
}

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

/// Reads one message, attribute by attribute: netlink-packet-wireguard's own decoder panics on values that are too short.
pub(crate) fn parse(frame: &Frame<'_>) -> Result<Part, DecodeError> {
    let attributes = frame.payload.get(HEADER_LENGTH..).ok_or("a message without generic netlink's header")?;
    let mut part = Part::default();
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            device::PRIVATE_KEY => part.private_key = Some(secret_key(value)?),
            device::PUBLIC_KEY => part.public_key = Some(PublicKey(array(value)?)),
            device::LISTEN_PORT => part.port = Some(array(value).map(u16::from_ne_bytes)?),
            device::FIREWALL_MARK => part.firewall_mark = Some(array(value).map(u32::from_ne_bytes)?),
            device::PEERS => {
                for peer in NlasIterator::new(value) {
                    part.peers.extend(read_peer(peer?.value())?);
                }
            }
            _ => {}
        }
    }
    Ok(part)
}

/// Joins the messages of one answer.
pub(crate) fn merge(parts: Vec<Part>) -> Device {
    let mut device = Device { private_key: None, public_key: None, port: 0, firewall_mark: 0, peers: Vec::new() };
    let mut positions: BTreeMap<PublicKey, usize> = BTreeMap::new();
    for part in parts {
        device.private_key = part.private_key.or(device.private_key);
        device.public_key = part.public_key.or(device.public_key);
        device.port = part.port.unwrap_or(device.port);
        device.firewall_mark = part.firewall_mark.unwrap_or(device.firewall_mark);
        for peer in part.peers {
            match positions.get(&peer.public_key) {
                Some(&position) => device.peers[position].allowed_ips.extend(peer.allowed_ips),
                None => {
                    positions.insert(peer.public_key, device.peers.len());
                    device.peers.push(peer);
                }
            }
        }
    }
    device
}

/// A peer; `None` for one without a key.
fn read_peer(attributes: &[u8]) -> Result<Option<Peer>, DecodeError> {
    let mut public_key = None;
    let mut peer = Peer::new(PublicKey([0; 32]));
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            peer::PUBLIC_KEY => public_key = Some(PublicKey(array(value)?)),
            peer::PRESHARED_KEY => peer.preshared_key = Some(secret_key(value)?).filter(|key| !key.is_zero()),
            peer::ENDPOINT => peer.endpoint = Some(socket_address(value)?),
            peer::PERSISTENT_KEEPALIVE => {
                peer.persistent_keepalive = Some(array(value).map(u16::from_ne_bytes)?).filter(|seconds| *seconds != 0);
            }
            peer::LAST_HANDSHAKE => peer.last_handshake = since_epoch(array(value)?),
            peer::RECEIVED_BYTES => peer.received_bytes = array(value).map(u64::from_ne_bytes)?,
            peer::SENT_BYTES => peer.sent_bytes = array(value).map(u64::from_ne_bytes)?,
            peer::ALLOWED_IPS => {
                for network in NlasIterator::new(value) {
                    peer.allowed_ips.extend(read_allowed_ip(network?.value())?);
                }
            }
            _ => {}
        }
    }
    Ok(public_key.map(|public_key| Peer { public_key, ..peer }))
}

fn read_allowed_ip(attributes: &[u8]) -> Result<Option<IpNet>, DecodeError> {
    let (mut ip, mut length) = (None, None);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        match attribute.kind() {
            allowed_ip::ADDRESS => ip = Some(address(attribute.value())?),
            allowed_ip::PREFIX_LENGTH => length = Some(array(attribute.value()).map(u8::from_ne_bytes)?),
            _ => {}
        }
    }
    Ok(ip.zip(length).and_then(|(ip, length)| IpNet::new(ip, length).ok()))
}

fn secret_key(value: &[u8]) -> Result<SecretKey, DecodeError> {
    let mut bytes = array(value)?;
    let key = SecretKey::new(bytes);
    bytes.zeroize();
    Ok(key)
}

/// `struct sockaddr_in` or `struct sockaddr_in6`, which their lengths tell apart; the port is in network byte order.
fn socket_address(value: &[u8]) -> Result<SocketAddr, DecodeError> {
    if let Ok([_, _, high, low, a, b, c, d, ..]) = array::<16>(value) {
        return Ok(SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes([high, low])).into());
    }
    let [_, _, high, low, rest @ ..] = array::<28>(value)?;
    let (flow, rest) = rest.split_at(4);
    let (ip, scope) = rest.split_at(16);
    let ip = array::<16>(ip)?.into();
    let [flow, scope] = [flow, scope].map(array);
    Ok(SocketAddrV6::new(ip, u16::from_be_bytes([high, low]), u32::from_ne_bytes(flow?), u32::from_ne_bytes(scope?))
        .into())
}

/// `struct __kernel_timespec`: seconds, nanoseconds. Zeros mean that there was no handshake.
fn since_epoch(time: [u8; 16]) -> Option<Duration> {
    let (seconds, nanoseconds) = time.split_at(8);
    let number = |bytes: &[u8]| bytes.try_into().map(i64::from_ne_bytes).ok();
    let seconds = u64::try_from(number(seconds)?).ok()?;
    let nanoseconds = u32::try_from(number(nanoseconds)?).ok()?;
    (seconds != 0 || nanoseconds != 0).then(|| Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests;
