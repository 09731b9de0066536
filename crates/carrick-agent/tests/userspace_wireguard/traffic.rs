//! What passes through tunnels.

use nix::sys::signal::Signal;

use crate::end::{End, connected_pair, join};
use crate::namespace::{KeyPair, await_condition};

#[test]
fn packets_pass_over_ipv4() {
    let (first, second) = connected_pair();
    first.reaches(&second);
    second.reaches(&first);
}

#[test]
fn packets_pass_over_ipv6() {
    let (first, second) = (End::new(1), End::new(2));
    join("outer", &first, &["2001:db8::1/64"], &second, &["2001:db8::2/64"]);
    first.configure(&[(&second, "[2001:db8::2]:51820")]);
    second.configure(&[(&first, "[2001:db8::1]:51820")]);
    first.reaches(&second);
    second.reaches(&first);
}

#[test]
fn nothing_passes_in_clear() {
    let (first, second) = connected_pair();
    first.namespace.ping("10.1.0.2");
    let capture = "timeout 2 tcpdump -i outer -n -w /run/capture -U";
    let mut capture = second.namespace.command("sh").args(["-c", capture]).spawn().unwrap();
    await_condition("the capture runs", || second.namespace.output("test -s /run/capture").status.success());
    first.namespace.ping("10.1.0.2");
    capture.wait().unwrap();
    let packets = |filter: &str| {
        let read = format!("tcpdump -n -r /run/capture '{filter}' 2>/dev/null | wc -l");
        second.namespace.run(&read).trim().parse::<u32>().unwrap()
    };
    assert!(packets("udp port 51820") >= 20);
    assert_eq!(packets("net 10.1.0.0/24"), 0);
}

#[test]
fn an_endpoint_roams() {
    let (first, second) = connected_pair();
    first.reaches(&second);
    assert_eq!(first.peer("endpoints", &second), "192.0.2.2:51820");
    let handshake = first.peer("latest-handshakes", &second);
    second.namespace.run("ip address delete 192.0.2.2/24 dev outer && ip address add 192.0.2.77/24 dev outer");
    second.namespace.ping("10.1.0.1");
    assert_eq!(first.peer("endpoints", &second), "192.0.2.77:51820");
    assert_eq!(first.peer("latest-handshakes", &second), handshake);
    first.reaches(&second);
}

#[test]
fn a_preshared_key_is_used() {
    let (first, second) = connected_pair();
    let secret = KeyPair::new().private;
    for (end, other) in [(&first, &second), (&second, &first)] {
        let key = &other.keys.public;
        end.namespace.run(&format!("echo {secret} > /run/psk && wg set wg0 peer {key} preshared-key /run/psk"));
        assert_eq!(end.peer("preshared-keys", other), secret);
    }
    first.reaches(&second);

    let (lonely, other) = connected_pair();
    let key = &other.keys.public;
    lonely.namespace.run(&format!("echo {secret} > /run/psk && wg set wg0 peer {key} preshared-key /run/psk"));
    let ping = lonely.namespace.output("ping -c 2 -W 1 10.1.0.2");
    assert!(!ping.status.success(), "a one-sided preshared key must not match");
}

#[test]
fn outer_packets_carry_the_mark() {
    let (first, _second) = connected_pair();
    first.namespace.run(
        "wg set wg0 fwmark 0x1000 && nft add table inet test && \
         nft add chain inet test out '{ type filter hook output priority 0; }' && \
         nft add rule inet test out udp dport 51820 meta mark 0x1000 counter",
    );
    assert_eq!(first.namespace.run("wg show wg0 fwmark"), "0x1000\n");
    first.namespace.ping("10.1.0.2");
    let counted = first.namespace.run("nft list chain inet test out");
    assert!(!counted.contains("packets 0 "), "{counted}");
    first.namespace.run("wg set wg0 fwmark 0 && nft reset counters table inet test >/dev/null");
    assert_eq!(first.namespace.run("wg show wg0 fwmark"), "off\n");
    first
        .namespace
        .run("nft flush chain inet test out && nft add rule inet test out udp dport 51820 meta mark 0x1000 drop");
    first.namespace.ping("10.1.0.2");
}

#[test]
fn packets_wait_while_the_process_does_not_run() {
    let (first, second) = connected_pair();
    first.reaches(&second);
    let dropped = || first.namespace.run("ip -s link show dev wg0 | awk '/TX:/ { getline; print $4 }'");
    let before = dropped();
    first.path.send(Signal::SIGSTOP);
    first.namespace.output("ping -q -l 2000 -c 2000 -w 1 10.1.0.2");
    assert_eq!(dropped(), before);
    first.namespace.output("ping -q -l 1000 -c 1000 -w 1 10.1.0.2");
    assert_ne!(dropped(), before, "the queue has an end, and packets beyond it are counted");
    first.path.send(Signal::SIGCONT);
    first.reaches(&second);
}

#[test]
fn jumbo_packets_pass_whole() {
    let (first, second) = connected_pair();
    for end in [&first, &second] {
        end.namespace.run("ip link set outer mtu 9000 && ip link set wg0 mtu 8920");
    }
    first.namespace.ping("10.1.0.2");
    // 8892 bytes, 8 of ICMP and 20 of IPv4: one packet of the interface's MTU. The MTU is read every few seconds.
    await_condition("a packet of 8920 bytes passes", || {
        first.namespace.output("ping -c 1 -W 1 -M do -s 8892 10.1.0.2").status.success()
    });
}
