//! What belongs to no connection: the kernel translates no source of it.

use carrick_dataplane::firewall::DropReason;

use crate::namespace::Namespace;
use crate::network::{INTERNET, Network, POD, PRINTER, REMOTE_POD, in_both, plan};

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
    plan.direct.extend(crate::network::nets(&["192.168.7.5/32", "fd07::5/128"]));
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
