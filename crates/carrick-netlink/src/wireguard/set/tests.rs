use std::net::Ipv4Addr;

use netlink_packet_core::ParseableParametrized;
use netlink_packet_generic::GenlHeader;

use super::*;
use crate::Access;
use crate::generic::HEADER_LENGTH;

const FAMILY: u16 = 30;
const KEY: PublicKey = PublicKey([1; 32]);

fn networks(count: u32) -> Vec<IpNet> {
    (0..count).map(|n| IpNet::new(Ipv4Addr::from(0x0a00_0000 + (n << 8)).into(), 24).unwrap()).collect()
}

fn with_peers(peers: Vec<PeerChange>) -> DeviceChange {
    DeviceChange { peers, ..DeviceChange::default() }
}

/// The attributes of each message, read back from its bytes.
fn sent(change: &DeviceChange) -> Vec<Vec<WireguardAttribute>> {
    let requests = set(FAMILY, "carrick0", change);
    requests
        .iter()
        .map(|request| {
            assert_eq!((request.message_type, request.access), (FAMILY, Access::Write));
            let header = GenlHeader::parse(&request.payload).unwrap();
            assert_eq!((header.cmd, header.version), (1, 1));
            WireguardMessage::parse_with_param(&request.payload[HEADER_LENGTH..], header).unwrap().attributes
        })
        .collect()
}

fn peers(messages: &[Vec<WireguardAttribute>]) -> Vec<&WireguardPeer> {
    let lists = messages.iter().flatten().filter_map(|attribute| match attribute {
        WireguardAttribute::Peers(peers) => Some(peers),
        _ => None,
    });
    lists.flatten().collect()
}

fn flags(peer: &WireguardPeer) -> WireguardPeerFlags {
    let mut found = peer.0.iter().filter_map(|attribute| match attribute {
        WireguardPeerAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    found.next().unwrap_or(WireguardPeerFlags::empty())
}

fn allowed_ips(peer: &WireguardPeer) -> Vec<WireguardAllowedIp> {
    let lists = peer.0.iter().filter_map(|attribute| match attribute {
        WireguardPeerAttribute::AllowedIps(list) => Some(list.clone()),
        _ => None,
    });
    lists.flatten().collect()
}

#[test]
fn only_what_changes_is_sent() {
    let change = DeviceChange { port: Some(51820), firewall_mark: Some(0x1000), ..DeviceChange::default() };
    assert_eq!(
        sent(&change),
        [vec![
            WireguardAttribute::IfName("carrick0".to_owned()),
            WireguardAttribute::ListenPort(51820),
            WireguardAttribute::Fwmark(0x1000),
        ]]
    );

    let update = PeerChange { persistent_keepalive: Some(25), ..PeerChange::new(KEY, PeerVerb::Update) };
    let messages = sent(&with_peers(vec![update]));
    assert_eq!(
        peers(&messages)[0].0,
        [
            WireguardPeerAttribute::PublicKey(KEY.0),
            WireguardPeerAttribute::Flags(WireguardPeerFlags::UpdateOnly),
            WireguardPeerAttribute::PersistentKeepalive(25),
        ]
    );
}

#[test]
fn verbs_become_flags() {
    let replaced = PeerChange {
        allowed_ips: AllowedIps::Replace(networks(1)),
        preshared_key: Preshared::Clear,
        ..PeerChange::new(KEY, PeerVerb::Set)
    };
    let messages = sent(&with_peers(vec![replaced, PeerChange::new(KEY, PeerVerb::Remove)]));
    let peers = peers(&messages);
    assert_eq!(flags(peers[0]), WireguardPeerFlags::ReplaceAllowedIps);
    assert!(peers[0].0.contains(&WireguardPeerAttribute::PresharedKey([0; 32])));
    assert_eq!(flags(peers[1]), WireguardPeerFlags::RemoveMe);
}

#[test]
fn peer_with_many_allowed_ips_is_split_and_only_its_first_part_replaces() {
    let wanted = networks(5000);
    let peer = PeerChange {
        endpoint: Some("192.0.2.1:51820".parse().unwrap()),
        allowed_ips: AllowedIps::Replace(wanted.clone()),
        ..PeerChange::new(KEY, PeerVerb::Set)
    };
    let change = DeviceChange { private_key: Some(SecretKey::new([9; 32])), ..with_peers(vec![peer]) };
    let messages = sent(&change);
    assert!(messages.len() > 1, "does not fit into one");
    for request in set(FAMILY, "carrick0", &change) {
        assert!(request.payload.len() <= PEERS_LENGTH + 256, "{}", request.payload.len());
    }
    let keys = messages.iter().flatten().filter(|attribute| matches!(attribute, WireguardAttribute::PrivateKey(_)));
    assert_eq!(keys.count(), 1, "the device's own settings are sent once");

    let parts = peers(&messages);
    let (first, rest) = parts.split_first().unwrap();
    assert_eq!(flags(first), WireguardPeerFlags::ReplaceAllowedIps);
    for part in rest {
        assert_eq!(flags(part), WireguardPeerFlags::UpdateOnly);
        assert!(!part.0.iter().any(|attribute| matches!(attribute, WireguardPeerAttribute::Endpoint(_))));
    }
    let all: Vec<WireguardAllowedIp> = parts.iter().flat_map(|part| allowed_ips(part)).collect();
    assert_eq!(all, wanted.iter().map(|network| allowed_ip(network, None)).collect::<Vec<_>>());
}

#[test]
fn many_peers_are_spread_over_messages_in_order() {
    let wanted: Vec<PeerChange> = (0..1000u32)
        .map(|n| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&n.to_be_bytes());
            PeerChange {
                allowed_ips: AllowedIps::Replace(networks(4)),
                ..PeerChange::new(PublicKey(key), PeerVerb::Set)
            }
        })
        .collect();
    let messages = sent(&with_peers(wanted.clone()));
    assert!(messages.len() > 1);
    let keys: Vec<&WireguardPeerAttribute> = peers(&messages).iter().map(|peer| &peer.0[0]).collect();
    let expected: Vec<WireguardPeerAttribute> =
        wanted.iter().map(|peer| WireguardPeerAttribute::PublicKey(peer.public_key.0)).collect();
    assert_eq!(keys, expected.iter().collect::<Vec<_>>());
}

#[test]
fn single_allowed_ip_can_be_taken_away() {
    let network = networks(1)[0];
    let change = PeerChange {
        allowed_ips: AllowedIps::Change(vec![AllowedIpChange::Remove(network), AllowedIpChange::Add(network)]),
        ..PeerChange::new(KEY, PeerVerb::Update)
    };
    let messages = sent(&with_peers(vec![change]));
    let sent = allowed_ips(peers(&messages)[0]);
    assert_eq!(sent[0].0.last(), Some(&WireguardAllowedIpAttr::Flags(WireguardAllowedIpFlags::RemoveMe)));
    assert_eq!(sent[1].0.len(), 3, "no flags");
}

#[test]
fn requests_show_no_keys() {
    let change = DeviceChange { private_key: Some(SecretKey::new([9; 32])), ..DeviceChange::default() };
    let shown = format!("{:?} {change:?}", set(FAMILY, "carrick0", &change));
    assert!(!shown.contains("9, 9"), "{shown}");
}
