//! Locations whose own network carries jumbo frames, while the way between locations carries 1500 bytes or fewer.

use std::time::Duration;

use carrick_lab::address::Family;
use carrick_lab::wait;

use crate::mesh::Mesh;

/// The MTU of the devices in a location with jumbo frames.
const JUMBO: u32 = 9_000;

/// Gives the network of a location another MTU: the devices of these nodes, and the router's ends of them.
fn widen(mesh: &Mesh, location: &str, nodes: &[&str]) {
    let router = mesh.site(location).unwrap().router();
    let bytes = JUMBO.to_string();
    for node in nodes {
        router.exec(&["ip", "link", "set", node, "mtu", &bytes]).unwrap();
        mesh.node_namespaces(node).exec(&["ip", "link", "set", "eth0", "mtu", &bytes]).unwrap();
    }
    router.exec(&["ip", "link", "set", "lan0", "mtu", &bytes]).unwrap();
}

/// The MTU of a device of a node, as the kernel has it.
fn mtu(mesh: &Mesh, node: &str, device: &str) -> u64 {
    let shown = mesh.node_namespaces(node).exec(&["ip", "-json", "link", "show", device]).unwrap();
    let devices: serde_json::Value = serde_json::from_str(&shown).unwrap();
    devices[0]["mtu"].as_u64().unwrap()
}

fn await_mtu(mesh: &Mesh, node: &str, device: &str, bytes: u64) {
    let mut last = 0;
    let found = wait::until("the MTU", || {
        last = mtu(mesh, node, device);
        Ok((last == bytes).then_some(()))
    });
    assert!(found.is_ok(), "{node} {device}: {last}, not {bytes}");
}

/// Fragments of IP packets that a router has sent or received by its uplink so far.
fn fragments_on_uplink(mesh: &Mesh, location: &str) -> u64 {
    let router = mesh.site(location).unwrap().router();
    let listed = router.exec(&["nft", "--json", "list", "counter", "netdev", "fragments", "seen"]).unwrap();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let counters = listed["nftables"].as_array().unwrap();
    counters.iter().find_map(|entry| entry["counter"]["packets"].as_u64()).unwrap()
}

fn count_fragments(mesh: &Mesh, location: &str) {
    let rules = "table netdev fragments {
        counter seen {}
        chain arriving {
            type filter hook ingress device wan0 priority 0;
            ip frag-off & 0x3fff != 0 counter name seen
            exthdr frag exists counter name seen
        }
    }";
    mesh.site(location).unwrap().router().exec(&["nft", rules]).unwrap();
}

/// Packets of this size between two pods, which must not be fragmented, all arrive.
fn carries(mesh: &Mesh, family: Family, bytes: usize, from: &str, to: &str) {
    let flow = mesh.flow_of(bytes, Duration::from_millis(20), from, to, family);
    flow.await_answers(20).unwrap_or_else(|error| panic!("{bytes} bytes from {from} to {to}: {error:#}"));
    flow.stop().unwrap();
}

/// Full packets of pods pass between and inside the locations, and no router of location `b` sees a fragment.
fn passes_unfragmented(mesh: &Mesh, family: Family, bytes: usize) {
    count_fragments(mesh, "b");
    for (from, to) in [("a1-pod1", "b1-pod1"), ("a2-pod1", "b1-pod1"), ("b1-pod1", "a2-pod1"), ("a1-pod1", "a2-pod1")] {
        carries(mesh, family, bytes, from, to);
    }
    assert_eq!(fragments_on_uplink(mesh, "b"), 0);
}

#[test]
fn pods_of_a_jumbo_location_send_to_a_location_behind_the_internet_unfragmented() {
    let mesh = Mesh::up(
        "families: v4\nlocations: [{name: a, families: v4, nodes: [{name: a1}, {name: a2}]}, {name: b, families: v4, nodes: [{name: b1}]}]",
    );
    widen(&mesh, "a", &["a1", "a2"]);
    for node in ["a1", "a2"] {
        await_mtu(&mesh, node, "carrick-vx", 8_950);
    }
    mesh.all_reach();
    await_mtu(&mesh, "a1", "carrick0", 1_440);
    passes_unfragmented(&mesh, Family::V4, 1_440);
}

#[test]
fn all_nodes_of_two_jumbo_locations_have_tunnels_of_the_size_of_the_internet() {
    let mesh = Mesh::up(
        "families: v4\nagent: {granularity: cross}\nlocations: [{name: a, families: v4, nodes: [{name: a1}, {name: a2}]}, {name: b, families: v4, nodes: [{name: b1}]}]",
    );
    widen(&mesh, "a", &["a1", "a2"]);
    widen(&mesh, "b", &["b1"]);
    mesh.all_reach();
    for node in ["a1", "a2", "b1"] {
        await_mtu(&mesh, node, "carrick-vx", 8_950);
        await_mtu(&mesh, node, "carrick0", 1_440);
    }
    passes_unfragmented(&mesh, Family::V4, 1_440);
}

#[test]
fn tunnels_over_ipv6_of_a_jumbo_location_leave_room_for_its_larger_header() {
    let mesh = Mesh::up(
        "families: v6\nlocations: [{name: a, families: v6, nodes: [{name: a1}, {name: a2}]}, {name: b, families: v6, nodes: [{name: b1}]}]",
    );
    widen(&mesh, "a", &["a1", "a2"]);
    for node in ["a1", "a2"] {
        await_mtu(&mesh, node, "carrick-vx", 8_930);
    }
    mesh.all_reach();
    await_mtu(&mesh, "a1", "carrick0", 1_420);
    passes_unfragmented(&mesh, Family::V6, 1_420);
}
