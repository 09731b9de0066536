//! While a gateway returns, what others send through the tunnels goes by it as well.

use carrick_dataplane::firewall::{Copying, TableChange};
use carrick_topology::plan::{Copies, FirewallPlan};

use crate::namespace::{at, is_silent, source_seen};
use crate::network::{NODE, Network, POD, Pair, REMOTE_POD, address, give, in_both, nets, plan};

/// The gateway that returns, behind the VXLAN device.
const GATEWAY: Pair = Pair("10.4.0.2", "fdca::2");
const CLEAR: &str = "mesh destination in clear";

/// The plan while it returns: the node's pods are copied.
fn returning() -> FirewallPlan {
    let copies = Copies {
        by: GATEWAY.both().map(address).into(),
        devices: ["carrick-vx".parse().unwrap()].into(),
        sources: nets(&["10.1.0.0/24", "fd01::/64"]).into_iter().collect(),
    };
    FirewallPlan { copies: [("a1".parse().unwrap(), copies)].into(), ..plan() }
}

/// The network with Carrick's routes to the gateway, which catches copies for the remote pod.
fn network() -> Network {
    let network = Network::guarded();
    network.node.ip("route add 10.4.0.2 via 10.4.0.2 dev carrick-vx onlink\n\
         route add fdca::2 via fdca::2 dev carrick-vx onlink");
    give(&network.near, "lo", &[REMOTE_POD]);
    network
}

fn copy_tables(network: &Network) -> Vec<String> {
    let tables = network.node.nft("list tables");
    tables.lines().filter(|table| *table != "table inet carrick").map(str::to_owned).collect()
}

#[test]
fn a_copy_arrives_unchanged_beside_the_packet() {
    let mut network = network();
    network.apply(&returning());
    let applied = network.firewall.apply_copies(&returning()).unwrap();
    assert_eq!((applied.changed, applied.copying), (2, Copying::Running));
    for (pod, remote) in in_both(POD, REMOTE_POD) {
        let (sender, receiver, gateway) =
            (network.pod.socket(pod), network.remote.socket(remote), network.near.socket(remote));
        assert_eq!(source_seen(&sender, &receiver), address(pod), "the packet");
        let mut buffer = [0; 64];
        let (length, source) = gateway.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], source), (format!("to {}", at(remote)).as_bytes(), at(pod)), "its copy");
        assert!(is_silent(&receiver) && is_silent(&gateway), "one of each");

        let host = network.node.socket(if remote.contains(':') { NODE.1 } else { NODE.0 });
        host.send_to(b"own", at(remote)).unwrap();
        assert_eq!(receiver.recv_from(&mut buffer).unwrap().0, 3);
        assert!(is_silent(&gateway), "other sources are not copied");
    }
    assert_eq!(network.counted(CLEAR), 0);
}

#[test]
fn nothing_is_copied_before_and_after() {
    let mut network = network();
    let round = |network: &mut Network, plan: &FirewallPlan, copying| {
        assert_eq!(network.firewall.apply_copies(plan).unwrap().copying, copying);
        for (pod, remote) in in_both(POD, REMOTE_POD) {
            let gateway = network.near.socket(remote);
            source_seen(&network.pod.socket(pod), &network.remote.socket(remote));
            assert_eq!(is_silent(&gateway), copying == Copying::Idle);
        }
    };
    round(&mut network, &plan(), Copying::Idle);
    network.apply(&returning());
    round(&mut network, &returning(), Copying::Running);
    round(&mut network, &plan(), Copying::Idle);
    assert_eq!(copy_tables(&network), [""; 0], "nothing is left behind");
}

#[test]
fn the_guard_lets_copies_pass_only_while_the_plan_has_them() {
    let mut network = network();
    network.firewall.apply_copies(&returning()).unwrap();
    let gateway = network.near.socket(REMOTE_POD.0);
    source_seen(&network.pod.socket(POD.0), &network.remote.socket(REMOTE_POD.0));
    assert!(is_silent(&gateway));
    assert_eq!(network.counted(CLEAR), 1);
}

#[test]
fn what_is_as_planned_is_left_alone_and_what_is_not_is_put_right() {
    let mut network = network();
    network.apply(&returning());
    network.firewall.apply_copies(&returning()).unwrap();
    let written = network.firewall.writes();
    let again = network.firewall.apply_copies(&returning()).unwrap();
    assert_eq!((again.changed, again.copying, network.firewall.writes()), (0, Copying::Running, written));
    for tampering in [
        "flush chain ip carrick copy",
        "delete table ip6 carrick",
        "flush set ip carrick sources1",
        "insert rule ip6 carrick copy accept",
    ] {
        network.node.nft(tampering);
        assert_eq!(network.firewall.inspect(&returning()).unwrap().copies.len(), 1, "{tampering}");
        assert_eq!(network.firewall.apply_copies(&returning()).unwrap().changed, 1, "{tampering}");
        assert!(network.firewall.inspect(&returning()).unwrap().copies.is_empty(), "{tampering}");
    }
    let left_behind = network.firewall.inspect(&plan()).unwrap();
    assert_eq!(left_behind.copies, ["ip carrick".to_owned(), "ip6 carrick".to_owned()].into());
    assert_eq!(left_behind.table, TableChange::Elements);
}

#[test]
fn cleanup_removes_them_too() {
    let mut network = network();
    network.apply(&returning());
    network.firewall.apply_copies(&returning()).unwrap();
    network.node.nft("add table ip unrelated");
    let mut after_restart = network.node.run(|| carrick_dataplane::firewall::Firewall::open().unwrap());
    assert_eq!(after_restart.cleanup().unwrap().copies, 2);
    assert_eq!(network.node.nft("list tables"), "table ip unrelated\n");
}

#[test]
fn every_word_of_the_tables_is_readable() {
    let mut network = network();
    network.firewall.apply_copies(&returning()).unwrap();
    let printed = network.node.nft("list table ip carrick") + &network.node.nft("list table ip6 carrick");
    for line in [
        "type filter hook postrouting priority 150; policy accept;",
        "oifname \"carrick0\" ip saddr @sources1 dup to 10.4.0.2 comment \"by the gateway that returns as well\"",
        "oifname \"carrick0\" ip6 saddr @sources1 dup to fdca::2 comment \"by the gateway that returns as well\"",
    ] {
        assert!(printed.contains(line), "no {line:?} in\n{printed}");
    }
}
