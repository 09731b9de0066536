//! Encapsulated packets of other gateways during a handover.

use carrick_dataplane::firewall::TableChange;
use carrick_topology::constants::{HANDOVER_IDENTIFIER, HANDOVER_PORT};
use carrick_topology::handover::HandoverFilter;
use carrick_topology::plan::FirewallPlan;

use crate::namespace::{at, at_port, is_silent, source_seen};
use crate::network::{
    MESH, NEIGHBOUR, NODE, Network, POD, Pair, REMOTE_HOST, REMOTE_POD, address, give, in_both, nets, plan,
};

/// A gateway behind the tunnel that encapsulates.
const GATEWAY: Pair = Pair("10.4.0.9", "fdca::9");
/// Another gateway, which the plan does not name.
const UNKNOWN: Pair = Pair("10.4.0.8", "fdca::8");
const OUTSIDE: &str = "encapsulated packets outside the tunnels";
const OF_UNKNOWN: &str = "encapsulated packets of unknown gateways";
const INNER: &str = "encapsulated packets with an unexpected source";
const NODE_MAC: &str = "02:00:00:00:01:01";
const GATEWAY_MAC: &str = "02:00:00:00:01:02";

/// The plan while the gateway encapsulates what the remote pods send.
fn decapsulating() -> FirewallPlan {
    let sources = nets(&["10.2.0.0/24", "fd02::/64"]).into_iter().collect();
    let handover = HandoverFilter { port: HANDOVER_PORT, senders: GATEWAY.both().map(address).into(), sources };
    let mut plan = FirewallPlan { handover, ..plan() };
    plan.carried_by.insert("carrick-ho".parse().unwrap(), nets(&["10.2.0.0/24"]).into_iter().collect());
    plan
}

fn network(plan: &FirewallPlan) -> Network {
    let network = Network::with(plan);
    give(&network.remote, "node", &[GATEWAY, UNKNOWN]);
    network
}

/// Makes the remote side encapsulate packets to these destinations, with this outer source address.
fn encapsulate(network: &Network, from: &str, destinations: &[Pair]) {
    let settings = format!("type vxlan id {HANDOVER_IDENTIFIER} dstport {HANDOVER_PORT} nolearning");
    network.node.ip(&format!("link add carrick-ho address {NODE_MAC} {settings}"));
    network.node.sysctl("ipv4/conf/carrick-ho/rp_filter", "2");
    network.node.ip("link set carrick-ho up");
    give(&network.node, "carrick-ho", &[MESH]);
    network
        .remote
        .ip(&format!("link add encapsulated address {GATEWAY_MAC} {settings} local {from}\nlink set encapsulated up"));
    let node = if from.contains(':') { MESH.1 } else { MESH.0 };
    network.remote.command("bridge", &["fdb", "add", NODE_MAC, "dev", "encapsulated", "dst", node], "");
    for destination in destinations.iter().flat_map(|pair| pair.both()) {
        network.remote.ip(&format!(
            "route add {destination} dev encapsulated\nneighbour add {destination} lladdr {NODE_MAC} nud permanent dev encapsulated"
        ));
    }
}

#[test]
fn encapsulated_packets_are_accepted_through_the_tunnel_from_known_gateways_only() {
    let network = network(&decapsulating());
    give(&network.outside, "node", &[GATEWAY]);
    for ((mesh, gateway), unknown) in in_both(MESH, GATEWAY).into_iter().zip(UNKNOWN.both()) {
        let receiver = network.node.socket_at(mesh, HANDOVER_PORT);
        assert_eq!(source_seen(&network.remote.socket(gateway), &receiver), address(gateway));
        for (from, sender) in [(&network.remote, unknown), (&network.outside, gateway)] {
            from.socket(sender).send_to(b"x", at_port(mesh, HANDOVER_PORT)).unwrap();
            assert!(is_silent(&receiver));
        }
        let elsewhere = network.node.socket(mesh);
        assert_eq!(source_seen(&network.remote.socket(unknown), &elsewhere), address(unknown), "another port");
    }
    assert_eq!((network.counted(OF_UNKNOWN), network.counted(OUTSIDE)), (2, 2));
}

#[test]
fn nothing_encapsulated_is_accepted_without_a_handover() {
    let network = network(&plan());
    for (mesh, gateway) in in_both(MESH, GATEWAY) {
        let receiver = network.node.socket_at(mesh, HANDOVER_PORT);
        network.remote.socket(gateway).send_to(b"x", at_port(mesh, HANDOVER_PORT)).unwrap();
        assert!(is_silent(&receiver));
    }
    assert_eq!(network.counted(OF_UNKNOWN), 2);
}

#[test]
fn encapsulated_packets_pass_if_their_inner_source_is_known() {
    let network = network(&decapsulating());
    encapsulate(&network, GATEWAY.0, &[POD]);
    for ((pod, remote), host) in in_both(POD, REMOTE_POD).into_iter().zip(REMOTE_HOST.both()) {
        let receiver = network.pod.socket(pod);
        assert_eq!(source_seen(&network.remote.socket(remote), &receiver), address(remote));
        network.remote.socket(host).send_to(b"x", at(pod)).unwrap();
        assert!(is_silent(&receiver));
    }
    assert_eq!(network.counted(INNER), 2);
    let received = network.node.command("ip", &["-s", "link", "show", "dev", "carrick-ho"], "");
    assert!(
        received.lines().any(|line| line.split_whitespace().nth(1) == Some("4")),
        "the packets arrived encapsulated: {received}"
    );
}

#[test]
fn encapsulated_packets_of_unknown_gateways_are_dropped() {
    let network = network(&decapsulating());
    encapsulate(&network, UNKNOWN.0, &[POD]);
    for (pod, remote) in in_both(POD, REMOTE_POD) {
        let receiver = network.pod.socket(pod);
        network.remote.socket(remote).send_to(b"x", at(pod)).unwrap();
        assert!(is_silent(&receiver));
    }
    assert_eq!((network.counted(OF_UNKNOWN), network.counted(INNER)), (2, 0));
}

#[test]
fn a_node_of_the_location_sees_the_address_of_this_node() {
    let network = network(&decapsulating());
    encapsulate(&network, GATEWAY.0, &[NEIGHBOUR]);
    for ((remote, neighbour), node) in in_both(REMOTE_POD, NEIGHBOUR).into_iter().zip(NODE.both()) {
        let seen = source_seen(&network.remote.socket(remote), &network.outside.socket(neighbour));
        assert_eq!(seen, address(node));
    }
}

#[test]
fn a_handover_changes_elements_alone() {
    let mut network = network(&plan());
    assert_eq!(network.apply(&decapsulating()).table, TableChange::Elements);
    assert!(!network.apply(&decapsulating()).is_change());
    assert_eq!(network.apply(&plan()).table, TableChange::Elements);
}
