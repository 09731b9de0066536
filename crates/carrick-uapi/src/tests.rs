//! Both ends of the protocol: literal texts, and what one end writes the other end reads.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use carrick_netlink::wireguard::{
    AllowedIpChange, AllowedIps, Device, DeviceChange, Peer, PeerChange, PeerVerb, Preshared, PublicKey, SecretKey,
    UnnamedPeers,
};
use ipnet::IpNet;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::request::capacity;
use crate::{ProtocolError, Request, error_number, format_status, parse_request, read_status, write_request};

const KEY: PublicKey = PublicKey([0xab; 32]);

fn hexadecimal(byte: &str) -> String {
    byte.repeat(32)
}

fn change(lines: &str) -> DeviceChange {
    match parse_request(&format!("set=1\n{lines}")).unwrap() {
        Request::Set(change) => *change,
        Request::Get => panic!("not a set"),
    }
}

fn peer_changes(lines: &str) -> Vec<PeerChange> {
    change(&format!("public_key={}\n{lines}", hexadecimal("ab"))).peers
}

#[test]
fn absent_lines_change_nothing() {
    assert_eq!(change(""), DeviceChange::default());
    assert_eq!(peer_changes(""), [PeerChange::new(KEY, PeerVerb::Set)]);
}

#[test]
fn zeroes_clear_keys() {
    let zero = hexadecimal("00");
    assert!(change(&format!("private_key={zero}\n")).private_key.unwrap().is_zero());
    assert_eq!(peer_changes(&format!("preshared_key={zero}\n"))[0].preshared_key, Preshared::Clear);
    let set = peer_changes(&format!("preshared_key={}\n", hexadecimal("07")));
    assert_eq!(set[0].preshared_key, Preshared::Set(SecretKey::new([7; 32])));
}

#[test]
fn peer_lines_are_understood() {
    let changes = peer_changes(
        "update_only=true\nendpoint=[2001:db8::1]:51820\npersistent_keepalive_interval=25\n\
         allowed_ip=10.9.0.0/24\nreplace_allowed_ips=true\nallowed_ip=10.0.0.0/24\nallowed_ip=-fd00::/64\nprotocol_version=1\n",
    );
    let [first, later] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!((first.verb, first.persistent_keepalive), (PeerVerb::Update, Some(25)));
    assert_eq!(first.endpoint, Some("[2001:db8::1]:51820".parse().unwrap()));
    assert_eq!(
        first.allowed_ips,
        AllowedIps::Replace(vec!["10.0.0.0/24".parse().unwrap()]),
        "what stood before is gone"
    );
    let removal = AllowedIpChange::Remove("fd00::/64".parse().unwrap());
    assert_eq!((later.verb, &later.allowed_ips), (PeerVerb::Update, &AllowedIps::Change(vec![removal])));
}

#[test]
fn each_public_key_begins_another_peer() {
    let (one, other) = (hexadecimal("ab"), hexadecimal("11"));
    let change = change(&format!(
        "listen_port=1\nfwmark=4096\nreplace_peers=true\npublic_key={one}\nremove=true\npublic_key={other}\n"
    ));
    assert_eq!((change.port, change.firewall_mark), (Some(1), Some(4096)));
    assert_eq!(change.unnamed_peers, UnnamedPeers::Remove);
    let expected = [PeerChange::new(KEY, PeerVerb::Remove), PeerChange::new(PublicKey([0x11; 32]), PeerVerb::Set)];
    assert_eq!(change.peers, expected);
}

#[test]
fn errors_name_the_line_and_never_the_value() {
    let refused = |request: &str| parse_request(request).unwrap_err();
    assert_eq!(refused("get=2"), ProtocolError::UnknownOperation);
    assert_eq!(refused("set=1\nlisten_port"), ProtocolError::NotKeyValue { line: 2 });
    let error = refused("set=1\nlisten_port=1\nprivate_key=secret");
    assert_eq!(error.to_string(), "line 3: the value of private_key is not valid");
    let error = refused(&format!("set=1\npublic_key={}\nlisten_port=1", hexadecimal("ab")));
    assert_eq!(
        error,
        ProtocolError::UnknownKey { line: 3, key: "listen_port".to_owned() },
        "a key of the device is not a key of a peer"
    );
}

#[test]
fn a_status_is_written_as_wg_reads_it() {
    let peer = Peer {
        public_key: KEY,
        preshared_key: Some(SecretKey::new([2; 32])),
        endpoint: Some("192.0.2.1:51820".parse().unwrap()),
        persistent_keepalive: Some(25),
        allowed_ips: vec!["10.0.0.0/24".parse().unwrap()],
        last_handshake: Some(Duration::new(17, 5)),
        received_bytes: 3,
        sent_bytes: 4,
    };
    let private_key = Some(SecretKey::new([1; 32]));
    let device = Device { private_key, public_key: None, port: 51820, firewall_mark: 4096, peers: vec![peer] };
    let expected = format!(
        "private_key={}\nlisten_port=51820\nfwmark=4096\npublic_key={}\npreshared_key={}\n\
         protocol_version=1\nendpoint=192.0.2.1:51820\nlast_handshake_time_sec=17\n\
         last_handshake_time_nsec=5\ntx_bytes=4\nrx_bytes=3\npersistent_keepalive_interval=25\n\
         allowed_ip=10.0.0.0/24\n",
        hexadecimal("01"),
        hexadecimal("ab"),
        hexadecimal("02"),
    );
    assert_eq!(*format_status(&device), expected);
}

#[test]
fn a_status_is_read_whole() {
    let answer = format!(
        "private_key={}\nlisten_port=51820\nfwmark=4096\n\
         public_key={}\npreshared_key={}\nendpoint=[2001:db8::1]:51820\nlast_handshake_time_sec=17\n\
         last_handshake_time_nsec=5\ntx_bytes=3\nrx_bytes=4\npersistent_keepalive_interval=25\n\
         allowed_ip=10.0.0.0/24\nallowed_ip=fd00::/64\nprotocol_version=1\nsome_day=maybe\n\
         public_key={}\npreshared_key={}\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\n\
         persistent_keepalive_interval=0\nerrno=0\n\n",
        hexadecimal("01"),
        hexadecimal("ab"),
        hexadecimal("02"),
        hexadecimal("cd"),
        hexadecimal("00"),
    );
    let device = read_status(&answer).unwrap();
    assert_eq!(device.private_key, Some(SecretKey::new([1; 32])));
    assert_eq!((device.port, device.firewall_mark), (51820, 4096));

    let [peer, silent] = device.peers.as_slice() else { panic!("{device:?}") };
    assert_eq!(peer.public_key, KEY);
    assert_eq!(peer.preshared_key, Some(SecretKey::new([2; 32])));
    assert_eq!(peer.endpoint, Some("[2001:db8::1]:51820".parse().unwrap()));
    assert_eq!(peer.last_handshake, Some(Duration::new(17, 5)));
    assert_eq!((peer.sent_bytes, peer.received_bytes, peer.persistent_keepalive), (3, 4, Some(25)));
    assert_eq!(peer.allowed_ips, ["10.0.0.0/24".parse().unwrap(), "fd00::/64".parse().unwrap()]);
    assert_eq!((silent.last_handshake, silent.persistent_keepalive), (None, None));
    assert_eq!(silent.preshared_key, None);
    assert_eq!(error_number(&answer), Some(0));
}

#[test]
fn damaged_values_are_named_and_never_shown() {
    let peer = format!("public_key={}\nlast_handshake_time_sec={}\n", hexadecimal("ab"), u64::MAX);
    for (line, key) in [
        ("private_key=secret", "private_key"),
        ("listen_port=70000", "listen_port"),
        ("fwmark=x", "fwmark"),
        (&format!("{peer}last_handshake_time_nsec=1000000000"), "last_handshake_time_nsec"),
    ] {
        let message = read_status(line).unwrap_err().to_string();
        assert!(message.contains(key) && !message.contains("=") && !message.contains("secret"), "{message}");
    }
}

#[test]
fn changes_are_written_as_the_protocol_says() {
    let added = PeerChange {
        endpoint: Some("192.0.2.1:51820".parse().unwrap()),
        persistent_keepalive: Some(0),
        preshared_key: Preshared::Set(SecretKey::new([0x0f; 32])),
        allowed_ips: AllowedIps::Replace(vec!["10.0.0.0/24".parse().unwrap()]),
        ..PeerChange::new(KEY, PeerVerb::Set)
    };
    let changed = PeerChange {
        preshared_key: Preshared::Clear,
        allowed_ips: AllowedIps::Change(vec![
            AllowedIpChange::Add("fd00::/64".parse().unwrap()),
            AllowedIpChange::Remove("10.0.1.0/24".parse().unwrap()),
        ]),
        ..PeerChange::new(KEY, PeerVerb::Update)
    };
    let change = DeviceChange {
        private_key: Some(SecretKey::new([1; 32])),
        port: Some(51820),
        firewall_mark: Some(4096),
        peers: vec![added, changed, PeerChange::new(KEY, PeerVerb::Remove)],
        ..DeviceChange::default()
    };
    let key = hexadecimal("ab");
    let expected = format!(
        "set=1\nprivate_key={}\nlisten_port=51820\nfwmark=4096\n\
         public_key={key}\npreshared_key={}\nendpoint=192.0.2.1:51820\npersistent_keepalive_interval=0\n\
         replace_allowed_ips=true\nallowed_ip=10.0.0.0/24\n\
         public_key={key}\nupdate_only=true\npreshared_key={}\nallowed_ip=fd00::/64\nallowed_ip=-10.0.1.0/24\n\
         public_key={key}\nremove=true\n\n",
        hexadecimal("01"),
        hexadecimal("0f"),
        hexadecimal("00"),
    );
    assert_eq!(*write_request(&change), expected);
}

#[test]
fn a_request_fits_into_the_room_that_is_reserved_for_it() {
    let allowed_ips = vec![AllowedIpChange::Remove("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/128".parse().unwrap()); 500];
    let peer = PeerChange {
        endpoint: Some("[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:51820".parse().unwrap()),
        persistent_keepalive: Some(u16::MAX),
        preshared_key: Preshared::Set(SecretKey::new([1; 32])),
        allowed_ips: AllowedIps::Change(allowed_ips),
        ..PeerChange::new(KEY, PeerVerb::Update)
    };
    let change = DeviceChange {
        private_key: Some(SecretKey::new([1; 32])),
        port: Some(u16::MAX),
        firewall_mark: Some(u32::MAX),
        peers: vec![peer; 20],
        ..DeviceChange::default()
    };
    let text = write_request(&change);
    assert!(text.len() <= capacity(&change), "{}", text.len());
}

fn secret_key() -> impl Strategy<Value = SecretKey> {
    any::<[u8; 32]>().prop_filter("zeroes stand for no key", |bytes| *bytes != [0; 32]).prop_map(SecretKey::new)
}

fn network() -> impl Strategy<Value = IpNet> {
    (any::<IpAddr>(), 0_u8..=32).prop_map(|(address, prefix)| IpNet::new(address, prefix).unwrap())
}

fn allowed_ips() -> impl Strategy<Value = AllowedIps> {
    let change = (any::<bool>(), network()).prop_map(|(adds, network)| {
        if adds { AllowedIpChange::Add(network) } else { AllowedIpChange::Remove(network) }
    });
    prop_oneof![vec(network(), 0..4).prop_map(AllowedIps::Replace), vec(change, 0..4).prop_map(AllowedIps::Change)]
}

/// An endpoint as the protocol can say it: without the flow label and the scope of an IPv6 socket address.
fn endpoint() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
}

fn peer_change() -> impl Strategy<Value = PeerChange> {
    let preshared = prop_oneof![Just(Preshared::Keep), Just(Preshared::Clear), secret_key().prop_map(Preshared::Set)];
    let verb = prop_oneof![Just(PeerVerb::Set), Just(PeerVerb::Update), Just(PeerVerb::Remove)];
    (any::<[u8; 32]>(), verb, option::of(endpoint()), any::<Option<u16>>(), preshared, allowed_ips()).prop_map(
        |(key, verb, endpoint, persistent_keepalive, preshared_key, allowed_ips)| {
            let change = PeerChange::new(PublicKey(key), verb);
            match verb {
                PeerVerb::Remove => change,
                PeerVerb::Set | PeerVerb::Update => {
                    PeerChange { endpoint, persistent_keepalive, preshared_key, allowed_ips, ..change }
                }
            }
        },
    )
}

fn device_change() -> impl Strategy<Value = DeviceChange> {
    let unnamed = prop_oneof![Just(UnnamedPeers::Keep), Just(UnnamedPeers::Remove)];
    (option::of(secret_key()), any::<Option<u16>>(), any::<Option<u32>>(), unnamed, vec(peer_change(), 0..5)).prop_map(
        |(private_key, port, firewall_mark, unnamed_peers, peers)| DeviceChange {
            private_key,
            port,
            firewall_mark,
            unnamed_peers,
            peers,
        },
    )
}

prop_compose! {
    fn peer()(
        key: [u8; 32],
        preshared_key in option::of(secret_key()),
        endpoint in option::of(endpoint()),
        persistent_keepalive in option::of(1_u16..),
        handshake in option::of((1_u64.., 0_u32..1_000_000_000)),
        received_bytes: u64,
        sent_bytes: u64,
        allowed_ips in vec(network(), 0..4),
    ) -> Peer {
        let last_handshake = handshake.map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds));
        let public_key = PublicKey(key);
        Peer { public_key, preshared_key, endpoint, persistent_keepalive, last_handshake, received_bytes, sent_bytes, allowed_ips }
    }
}

proptest! {
    #[test]
    fn a_request_that_one_end_writes_the_other_end_reads(change in device_change()) {
        let text = write_request(&change);
        prop_assert!(text.len() <= capacity(&change));
        prop_assert_eq!(parse_request(&text), Ok(Request::Set(Box::new(change))));
    }

    #[test]
    fn a_status_that_one_end_writes_the_other_end_reads(
        private_key in option::of(secret_key()), port: u16, firewall_mark: u32, peers in vec(peer(), 0..5),
    ) {
        let device = Device { private_key, public_key: None, port, firewall_mark, peers };
        prop_assert_eq!(read_status(&format_status(&device)), Ok(device));
    }
}
