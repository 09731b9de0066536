use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardPeer, WireguardPeerAttribute,
    WireguardTimeSpec,
};

use super::*;

const KEY: [u8; 32] = [1; 32];
const OTHER_KEY: [u8; 32] = [2; 32];

fn allowed_ip(text: &str) -> WireguardAllowedIp {
    let network: IpNet = text.parse().unwrap();
    let family = if network.addr().is_ipv4() { WireguardAddressFamily::Ipv4 } else { WireguardAddressFamily::Ipv6 };
    WireguardAllowedIp(vec![
        WireguardAllowedIpAttr::Family(family),
        WireguardAllowedIpAttr::IpAddr(network.addr()),
        WireguardAllowedIpAttr::Cidr(network.prefix_len()),
    ])
}

fn message(peers: Vec<WireguardPeer>) -> WireguardMessage {
    WireguardMessage { cmd: WireguardCmd::GetDevice, attributes: vec![WireguardAttribute::Peers(peers)] }
}

/// Sends a message through its bytes, as a received one comes.
fn received(message: WireguardMessage) -> Part {
    let payload = encode(&GenlMessage::from_payload(message));
    parse(&Frame { message_type: 30, flags: 2, sequence: 1, port: 0, payload: &payload }).unwrap()
}

#[test]
fn peer_that_is_split_over_messages_is_one_peer_with_the_first_parts_counters() {
    let first = WireguardPeer(vec![
        WireguardPeerAttribute::PublicKey(KEY),
        WireguardPeerAttribute::PresharedKey([3; 32]),
        WireguardPeerAttribute::Endpoint("192.0.2.1:51820".parse().unwrap()),
        WireguardPeerAttribute::PersistentKeepalive(25),
        WireguardPeerAttribute::LastHandshake(WireguardTimeSpec { seconds: 1000, nano_seconds: 5 }),
        WireguardPeerAttribute::RxBytes(11),
        WireguardPeerAttribute::TxBytes(12),
        WireguardPeerAttribute::AllowedIps(vec![allowed_ip("10.0.0.0/24")]),
    ]);
    let second = WireguardPeer(vec![
        WireguardPeerAttribute::PublicKey(KEY),
        WireguardPeerAttribute::AllowedIps(vec![allowed_ip("10.0.1.0/24"), allowed_ip("fd00::/64")]),
    ]);
    let other = WireguardPeer(vec![WireguardPeerAttribute::PublicKey(OTHER_KEY)]);

    let device = merge(vec![received(message(vec![first])), received(message(vec![second, other]))]);

    let networks: Vec<String> = device.peers[0].allowed_ips.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/24", "10.0.1.0/24", "fd00::/64"]);
    let peer = &device.peers[0];
    assert_eq!((peer.received_bytes, peer.sent_bytes), (11, 12));
    assert_eq!(peer.last_handshake, Some(Duration::new(1000, 5)));
    assert_eq!(peer.endpoint, Some("192.0.2.1:51820".parse().unwrap()));
    assert_eq!(peer.persistent_keepalive, Some(25));
    assert_eq!(peer.preshared_key, Some(SecretKey::new([3; 32])));
    assert_eq!(device.peers.len(), 2);
    assert_eq!(device.peers[1].public_key, PublicKey(OTHER_KEY));
}

#[test]
fn zeros_mean_that_there_is_nothing() {
    let silent = WireguardPeer(vec![
        WireguardPeerAttribute::PublicKey(KEY),
        WireguardPeerAttribute::PresharedKey([0; 32]),
        WireguardPeerAttribute::PersistentKeepalive(0),
        WireguardPeerAttribute::LastHandshake(WireguardTimeSpec { seconds: 0, nano_seconds: 0 }),
    ]);
    let device = merge(vec![received(message(vec![silent]))]);
    let peer = &device.peers[0];
    assert_eq!((&peer.preshared_key, peer.persistent_keepalive, peer.last_handshake), (&None, None, None));
}

#[test]
fn device_settings_come_with_the_first_message() {
    let mut first = message(vec![]);
    first.attributes.extend([
        WireguardAttribute::IfName("carrick0".to_owned()),
        WireguardAttribute::PrivateKey([5; 32]),
        WireguardAttribute::PublicKey([6; 32]),
        WireguardAttribute::ListenPort(51820),
        WireguardAttribute::Fwmark(0x1000),
    ]);
    let device = merge(vec![received(first), received(message(vec![]))]);
    assert_eq!(device.private_key, Some(SecretKey::new([5; 32])));
    assert_eq!(device.public_key, Some(PublicKey([6; 32])));
    assert_eq!((device.port, device.firewall_mark), (51820, 0x1000));
}

#[test]
fn a_value_that_is_too_short_is_an_error() {
    let mut payload = encode(&GenlMessage::from_payload(message(vec![WireguardPeer(vec![
        WireguardPeerAttribute::PublicKey(KEY),
        WireguardPeerAttribute::AllowedIps(vec![allowed_ip("10.0.0.0/24")]),
    ])])));
    fn read(payload: &[u8]) -> Result<Part, DecodeError> {
        parse(&Frame { message_type: 30, flags: 2, sequence: 1, port: 0, payload })
    }
    assert_eq!(read(&payload).unwrap().peers.len(), 1);
    // The prefix length is the last attribute: a byte behind its header, padded to four.
    let header = payload.len() - 8;
    assert_eq!(payload[header..header + 4], [5, 0, 3, 0]);
    payload[header] = 4;
    assert!(read(&payload).is_err());
}
