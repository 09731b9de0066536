use std::time::Duration;

use carrick_netlink::wireguard::{
    AllowedIpChange, AllowedIps, DeviceChange, PeerChange, PeerVerb, Preshared, PublicKey, SecretKey,
};

use super::write::capacity;
use super::{error_number, read, write};

const KEY: PublicKey = PublicKey([0xab; 32]);

fn hexadecimal(byte: &str) -> String {
    byte.repeat(32)
}

#[test]
fn configuration_is_read_whole() {
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
    let device = read(&answer).unwrap();
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
    for (line, key) in
        [("private_key=secret", "private_key"), ("listen_port=70000", "listen_port"), ("fwmark=x", "fwmark")]
    {
        let message = read(line).unwrap_err().to_string();
        assert!(message.contains(key) && !message.contains("=") && !message.contains("secret"), "{message}");
    }
    let multibyte = format!("private_key={}é", "a".repeat(62));
    assert!(read(&multibyte).is_err());
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
    assert_eq!(*write(&change), expected);
}

#[test]
fn text_never_outgrows_what_was_set_aside_for_it() {
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
    };
    let text = write(&change);
    assert!(text.len() <= capacity(&change), "{}", text.len());
}
