//! What leaves with the source of a pod, although sources of pods are translated: the kernel does not translate what belongs to no connection,
//! and a connection keeps the source with which it began.

use carrick_dataplane::firewall::DropReason;

use crate::namespace::Namespace;
use crate::namespace::source_seen;
use crate::network::{INTERNET, Network, POD, PRINTER, Pair, REMOTE_POD, address, in_both, nets, plan};

/// A TCP header with the flag RST and no checksum, so that it belongs to no connection.
const RESET: &str = "import socket,struct,sys; s=socket.socket(getattr(socket,sys.argv[2]),socket.SOCK_RAW,6); \
                     s.sendto(struct.pack('!HHIIBBHHH',4000,80,1,1,0x50,0x04,1024,0,0),(sys.argv[1],0))";

fn send_reset(from: &Namespace, to: &str) {
    let family = if to.contains(':') { "AF_INET6" } else { "AF_INET" };
    from.command("python3", &["-c", RESET, to, family], "");
}

/// Counts the TCP packets that a namespace receives with sources of pods.
fn watch(namespace: &Namespace) {
    for rule in ["ip saddr 10.1.0.0/24 meta l4proto tcp", "ip6 saddr fd01::/64 meta l4proto tcp"] {
        namespace.nft("add table inet seen; add chain inet seen in { type filter hook prerouting priority -400; }");
        namespace.nft(&format!("add rule inet seen in {rule} counter"));
    }
}

fn seen(namespace: &Namespace) -> u64 {
    let table = namespace.nft("list table inet seen");
    let packets =
        table.lines().filter_map(|line| line.split_once("packets ")?.1.split_once(' ')?.0.parse::<u64>().ok());
    packets.sum()
}

#[test]
fn what_belongs_to_no_connection_leaves_the_mesh_with_no_address_of_a_pod() {
    let mut plan = plan();
    plan.direct.extend(nets(&["192.168.7.5/32", "fd07::5/128"]));
    let network = Network::with(&plan);
    watch(&network.outside);
    watch(&network.remote);
    for (_, internet) in in_both(POD, INTERNET) {
        send_reset(&network.pod, internet);
    }
    for (_, printer) in in_both(POD, PRINTER) {
        send_reset(&network.pod, printer);
    }
    assert_eq!(network.counted(DropReason::OwnPodSourceUntranslated.comment()), 4);
    assert_eq!(seen(&network.outside), 0);

    for (_, remote) in in_both(POD, REMOTE_POD) {
        send_reset(&network.pod, remote);
    }
    assert_eq!(seen(&network.remote), 2, "inside the mesh, the two ends decide");
}

/// The kernel tracks no multicast listener queries, whatever they hold.
const QUERY: &str = "import socket,sys; s=socket.socket(socket.AF_INET6,socket.SOCK_RAW,socket.IPPROTO_ICMPV6); \
                     s.sendto(bytes([130,0,0,0])+b'payload'*4,(sys.argv[1],0,0,0))";

#[test]
fn what_the_kernel_does_not_track_leaves_the_mesh_with_no_address_of_a_pod() {
    let network = Network::guarded();
    network.outside.nft("add table inet seen; add chain inet seen in { type filter hook prerouting priority -400; }");
    network.outside.nft("add rule inet seen in ip6 saddr fd01::/64 counter");
    network.pod.command("python3", &["-c", QUERY, INTERNET.1], "");
    assert_eq!(network.counted(DropReason::OwnPodSourceUntranslated.comment()), 1);
    assert_eq!(seen(&network.outside), 0);
}

#[test]
fn a_connection_that_began_inside_the_mesh_leaves_it_with_no_address_of_a_pod() {
    const MOVED: Pair = Pair("203.0.113.77", "2001:db8:9::77");
    let mut with_peer = plan();
    let moved = nets(&["203.0.113.77/32", "2001:db8:9::77/128"]);
    with_peer.carried.extend(moved.clone());
    with_peer.carried_by.entry("carrick0".parse().unwrap()).or_default().extend(moved);
    let mut network = Network::with(&with_peer);
    crate::network::give(&network.remote, "node", &[MOVED]);
    crate::network::give(&network.outside, "node", &[MOVED]);
    network.node.ip("route add 203.0.113.77 dev carrick0\nroute add 2001:db8:9::77 dev carrick0");
    let pods = POD.both().map(|pod| network.pod.socket(pod));
    for ((pod, own), moved) in pods.iter().zip(POD.both()).zip(MOVED.both()) {
        assert_eq!(source_seen(pod, &network.remote.socket(moved)), address(own));
    }

    network.apply(&plan());
    network.node.ip("route del 203.0.113.77 dev carrick0\nroute del 2001:db8:9::77 dev carrick0");
    let ears = MOVED.both().map(|moved| network.outside.socket(moved));
    for (pod, ear) in pods.iter().zip(&ears) {
        pod.send_to(b"x", ear.local_addr().unwrap()).unwrap();
    }
    assert_eq!(network.counted(DropReason::OwnPodSourceUntranslated.comment()), 2);
    assert!(ears.iter().all(crate::namespace::is_silent));
    for (own, ear) in POD.both().into_iter().zip(&ears) {
        assert_ne!(source_seen(&network.pod.socket_at(own, 7002), ear), address(own), "a new connection is translated");
    }
}
