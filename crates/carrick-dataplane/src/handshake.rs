//! The first packet to a new peer.
//!
//! WireGuard makes a session when there is something to send. A peer whose session was lost here (the device was deleted,
//! its process killed) does not know that, and what it sends is dropped until it gives the session up after 15 s
//! (`KEEPALIVE_TIMEOUT` and `REKEY_TIMEOUT`, WireGuard paper §6.1). A packet from here makes the new session at once;
//! a standby gateway's tunnel is warm by the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use carrick_netlink::wireguard::{AllowedIps, PeerChange, PeerVerb};
use ipnet::IpNet;

use crate::operation::Operation;

/// The discard service (RFC 863): the packet only has to be sent.
const DISCARD_PORT: u16 = 9;

/// Sends an empty datagram to every peer that `operations` added with an endpoint. A datagram that cannot be sent is no failure: the next
/// packet to that peer has the same effect.
pub(crate) fn initiate_handshake(operations: &[Operation]) {
    for address in operations.iter().filter_map(dialled_address) {
        let unspecified = match address {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let sent = UdpSocket::bind((unspecified, 0)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.send_to(&[], SocketAddr::new(address, DISCARD_PORT))
        });
        if let Err(error) = sent {
            tracing::debug!(event = "handshake_not_initiated", %address, %error);
        }
    }
}

/// An address behind the peer: the mesh addresses are the first that stand alone.
fn dialled_address(operation: &Operation) -> Option<IpAddr> {
    let Operation::SetPeer(PeerChange { verb: PeerVerb::Set, endpoint: Some(_), allowed_ips, .. }) = operation else {
        return None;
    };
    let AllowedIps::Replace(networks) = allowed_ips else { return None };
    networks.iter().find(|network| network.prefix_len() == network.max_prefix_len()).map(IpNet::addr)
}
