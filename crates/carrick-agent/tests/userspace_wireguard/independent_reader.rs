//! The dataplane's client and the userspace data path, with `wireguard-control` as the third that reads.

use std::path::Path;

use carrick_dataplane::wireguard::{UserspaceWireGuard, WireGuard as _};
use carrick_kernel_reader::wireguard::userspace_device;
use carrick_netlink::wireguard::{AllowedIps, DeviceChange, PeerChange, PeerVerb, Preshared, PublicKey, SecretKey};

use crate::namespace::Namespace;

#[test]
fn what_the_dataplane_configures_other_programs_code_reads() {
    let namespace = Namespace::new();
    let _path = namespace.start("wg0");
    let peer = PeerChange {
        endpoint: Some("[2001:db8::1]:51820".parse().unwrap()),
        persistent_keepalive: Some(25),
        preshared_key: Preshared::Set(SecretKey::new([5; 32])),
        allowed_ips: AllowedIps::Replace(vec!["10.42.0.0/24".parse().unwrap(), "fd42::/64".parse().unwrap()]),
        ..PeerChange::new(PublicKey([7; 32]), PeerVerb::Set)
    };
    let plain = PeerChange::new(PublicKey([8; 32]), PeerVerb::Set);
    let change = DeviceChange {
        private_key: Some(SecretKey::new([1; 32]).clamped()),
        port: Some(40001),
        firewall_mark: Some(0x1000),
        peers: vec![peer.clone(), plain],
        ..DeviceChange::default()
    };
    let device = namespace.inside(|| {
        let mut client = UserspaceWireGuard::below(Path::new("/run/wireguard"));
        client.set("wg0", &[change]).into_iter().for_each(|result| result.unwrap());
        userspace_device("wg0")
    });
    assert_eq!(device.private_key, Some(*SecretKey::new([1; 32]).clamped().expose()));
    assert_eq!((device.port, device.firewall_mark), (Some(40001), Some(0x1000)));
    assert_eq!(device.peers.len(), 2);
    let read = &device.peers[&[7; 32]];
    assert_eq!((read.endpoint, read.persistent_keepalive), (peer.endpoint, Some(25)));
    assert_eq!(read.preshared_key, Some([5; 32]));
    assert_eq!(AllowedIps::Replace(read.allowed_ips.clone()), peer.allowed_ips);
    let plain = &device.peers[&[8; 32]];
    assert_eq!((plain.endpoint, plain.preshared_key, plain.allowed_ips.len()), (None, None, 0));
}
