//! What changes of the configuration touch, and what they leave alone.

use crate::end::{End, connected_pair, join};
use crate::namespace::{KeyPair, Namespace, hexadecimal};

/// One end with two peers, which wait to be dialled.
fn one_with_two_peers() -> [End; 3] {
    let (first, second, third) = (End::new(1), End::new(2), End::new(3));
    join("outer2", &first, &["192.0.2.1/25"], &second, &["192.0.2.2/25"]);
    join("outer3", &first, &["192.0.2.129/25"], &third, &["192.0.2.130/25"]);
    first.configure(&[(&second, "192.0.2.2:51820"), (&third, "192.0.2.130:51820")]);
    second.configure(&[(&first, "")]);
    third.configure(&[(&first, "")]);
    [first, second, third]
}

#[test]
fn changing_one_peer_leaves_the_others_alone() {
    let [first, second, third] = one_with_two_peers();
    first.reaches(&second);
    first.reaches(&third);
    let before = ["latest-handshakes", "transfer", "endpoints", "allowed-ips"].map(|kind| first.peer(kind, &second));
    let handshake_of_third = first.peer("latest-handshakes", &third);
    let socket_before = first.namespace.run("ss -Hlnue sport = 51820");

    let third_key = &third.keys.public;
    first.namespace.run(&format!(
        "wg set wg0 peer {third_key} allowed-ips 10.1.0.3/32,fd01::3/128,10.9.0.0/16 persistent-keepalive 25 endpoint 192.0.2.130:51820"
    ));

    let after = ["latest-handshakes", "transfer", "endpoints", "allowed-ips"].map(|kind| first.peer(kind, &second));
    assert_eq!(before, after, "the other peer");
    assert_eq!(socket_before, first.namespace.run("ss -Hlnue sport = 51820"));
    assert_eq!(handshake_of_third, first.peer("latest-handshakes", &third), "the changed peer keeps its session, too");
    assert_eq!(first.peer("persistent-keepalive", &third), "25");
    // The changed peer must not need another handshake: it cannot have one with its answers cut off.
    let received = third.received_from(&first);
    third.namespace.run("ip link set wg0 down");
    first.namespace.output("ping -c 3 -i 0.05 -W 1 10.1.0.3");
    third.namespace.run("ip link set wg0 up && ip route replace 10.1.0.0/24 dev wg0");
    assert!(third.received_from(&first) > received);

    first.namespace.run(&format!("wg set wg0 peer {third_key} remove"));
    assert_eq!(before[0], first.peer("latest-handshakes", &second));
    first.reaches(&second);
}

#[test]
fn an_allowed_ip_moves_between_peers_and_stays_there() {
    let [first, second, third] = one_with_two_peers();
    // Both ends have the moving address. The end that owns it on the first end's device answers.
    for end in [&second, &third] {
        end.namespace.run("ip address add 10.2.0.1/32 dev wg0");
    }
    first.namespace.run("ip route add 10.2.0.1/32 dev wg0");
    let (second_key, third_key) = (&second.keys.public, &third.keys.public);
    let give = |key: &str, own: &str| {
        first.namespace.run(&format!("wg set wg0 peer {key} allowed-ips {own}/32,10.2.0.1/32"));
    };

    give(second_key, "10.1.0.2");
    first.namespace.ping("10.2.0.1");
    give(third_key, "10.1.0.3");
    assert_eq!(first.peer("allowed-ips", &second), "10.1.0.2/32");
    assert_eq!(first.peer("allowed-ips", &third), "10.1.0.3/32 10.2.0.1/32");
    let received = second.received_from(&first);
    first.namespace.ping("10.2.0.1");
    assert_eq!(second.received_from(&first), received);

    // Touching the former owner must not bring the address back to it.
    first.namespace.run(&format!("wg set wg0 peer {second_key} persistent-keepalive 0"));
    let received = third.received_from(&first);
    first.namespace.ping("10.2.0.1");
    assert!(third.received_from(&first) > received);

    // No peer has the address any more, so that the device sends the packet to no peer.
    let key = hexadecimal(third_key);
    let answer =
        first.namespace.uapi("wg0", &format!("set=1\npublic_key={key}\nupdate_only=true\nallowed_ip=-10.2.0.1/32\n\n"));
    assert_eq!(answer, "errno=0\n\n");
    assert_eq!(first.peer("allowed-ips", &third), "10.1.0.3/32");
    let ping = first.namespace.output("ping -c 1 -W 1 10.2.0.1");
    assert!(!ping.status.success());
}

#[test]
fn the_port_can_be_changed_and_a_taken_one_changes_nothing() {
    let (first, second) = connected_pair();
    first.reaches(&second);
    let taken = first.namespace.inside(|| std::net::UdpSocket::bind("[::]:40000")).unwrap();
    let answer = first.namespace.uapi("wg0", "set=1\nlisten_port=40000\n\n");
    assert_eq!(answer, format!("errno={}\n\n", nix::errno::Errno::EADDRINUSE as i32));
    assert_eq!(first.namespace.run("wg show wg0 listen-port"), "51820\n");
    first.reaches(&second);

    drop(taken);
    let handshake = first.peer("latest-handshakes", &second);
    first.namespace.run("wg set wg0 listen-port 40000");
    assert_eq!(first.namespace.run("wg show wg0 listen-port"), "40000\n");
    first.reaches(&second);
    assert_eq!(first.peer("latest-handshakes", &second), handshake);
    assert_eq!(second.peer("endpoints", &first), "192.0.2.1:40000");
}

#[test]
fn peers_and_ports_can_come_before_the_key() {
    let namespace = Namespace::new();
    let _path = namespace.start("wg0");
    let peer = KeyPair::new();
    namespace.run(&format!(
        "wg set wg0 listen-port 51820 peer {} allowed-ips 10.0.0.0/24 endpoint 192.0.2.9:51820",
        peer.public
    ));
    assert_eq!(namespace.run("wg show wg0 private-key"), "(none)\n");
    let own = KeyPair::new();
    namespace.run(&format!("echo {} > /run/key && wg set wg0 private-key /run/key", own.private));
    assert_eq!(namespace.run("wg show wg0 public-key"), format!("{}\n", own.public));
    assert_eq!(namespace.run("wg show wg0 listen-port"), "51820\n");
    assert_eq!(namespace.peer("wg0", "allowed-ips", &peer.public), "10.0.0.0/24");
    // A peer with the device's own key is no peer.
    namespace.run(&format!("wg set wg0 peer {}", own.public));
    assert_eq!(namespace.run("wg show wg0 peers"), format!("{}\n", peer.public));
}

#[test]
fn wrong_requests_change_nothing() {
    let namespace = Namespace::new();
    let _path = namespace.start("wg0");
    let key = hexadecimal(&KeyPair::new().public);
    namespace.uapi("wg0", &format!("set=1\npublic_key={key}\nallowed_ip=10.0.0.0/24\n\n"));
    let before = namespace.uapi("wg0", "get=1\n\n");
    for (request, errno) in [
        ("nonsense\n\n".to_owned(), nix::errno::Errno::EPROTO),
        ("set=1\nlisten_port\n\n".to_owned(), nix::errno::Errno::EPROTO),
        ("set=1\nlisten_port=70000\n\n".to_owned(), nix::errno::Errno::EINVAL),
        ("set=1\ncolour=red\n\n".to_owned(), nix::errno::Errno::EINVAL),
        (format!("set=1\npublic_key={key}\nremove=true\nallowed_ip=10.0.0.0/33\n\n"), nix::errno::Errno::EINVAL),
        ("set=1\nreplace_peers=true\npublic_key=00\n\n".to_owned(), nix::errno::Errno::EINVAL),
    ] {
        let answer = namespace.uapi("wg0", &request);
        assert_eq!(answer, format!("errno={}\n\n", errno as i32), "{request}");
        assert_eq!(namespace.uapi("wg0", "get=1\n\n"), before, "{request}");
    }
    let stranger = "11".repeat(32);
    namespace.uapi("wg0", &format!("set=1\npublic_key={stranger}\nupdate_only=true\nallowed_ip=10.0.0.0/24\n\n"));
    assert_eq!(namespace.uapi("wg0", "get=1\n\n"), before, "update_only creates nothing");
}
