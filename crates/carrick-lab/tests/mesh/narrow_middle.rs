//! Paths between locations on which a router in the middle carries less than the devices at both ends.

use std::time::Duration;

use carrick_lab::address::Family;
use carrick_lab::{network, transfer, wait};

use crate::mesh::Mesh;

/// A router of location `b` whose uplink carries 1400 bytes. The nodes' devices carry 1500.
fn narrow(flags: &str) -> Mesh {
    Mesh::up(&format!(
        "
families: v4
agent: {{flags: [{flags}]}}
locations:
  - {{name: a, families: v4, nodes: [{{name: a1}}, {{name: a2}}]}}
  - {{name: b, families: v4, mtu: 1400, nodes: [{{name: b1}}]}}
"
    ))
}

/// The largest inner packet in an outer packet of 1,400 bytes: WireGuard adds 60 bytes, and pads to a multiple of 16.
const FITS: std::ops::RangeInclusive<u64> = 1320..=1340;

/// Counts fragments on their way through the router of location `b`, and drops what these rules say.
fn filter(mesh: &Mesh, rules: &str) {
    let table = format!(
        "table inet middle {{
            counter fragments {{ }}
            chain arriving {{ type filter hook prerouting priority -450; ip frag-off & 0x3fff != 0 counter name fragments; {rules} }}
            chain own {{ type filter hook output priority 0; {} }}
        }}",
        if rules.is_empty() { "" } else { "icmp type destination-unreachable drop;" }
    );
    network::nft(mesh.site("b").unwrap().router(), &table).unwrap();
}

fn fragments(mesh: &Mesh) -> u64 {
    let router = mesh.site("b").unwrap().router();
    let listed = router.exec(&["nft", "--json", "list", "counter", "inet", "middle", "fragments"]).unwrap();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let counters = listed["nftables"].as_array().unwrap();
    counters.iter().find_map(|entry| entry["counter"]["packets"].as_u64()).unwrap()
}

fn path_mtu(mesh: &Mesh, from: &str, to: &str) -> Option<u64> {
    let paths = mesh.status(from)["paths"].as_array().cloned().unwrap_or_default();
    paths.into_iter().find(|path| path["to"] == to).and_then(|path| path["mtu"].as_u64())
}

/// Agents find a path's size when they begin to probe it, and look again every half minute.
fn restart_agents(mesh: &Mesh) {
    for node in ["a1", "b1"] {
        mesh.node(node).unwrap().kill_agent().unwrap();
        mesh.node(node).unwrap().start_agent().unwrap();
        mesh.node(node).unwrap().await_agent().unwrap();
    }
}

/// Transfers ten megabytes between pods of both locations, in both directions.
fn transfers(mesh: &Mesh) {
    for (from, to) in [("a1-pod1", "b1-pod1"), ("a2-pod1", "b1-pod1"), ("b1-pod1", "a2-pod1")] {
        let target = mesh.pod_address(to, Family::V4);
        let server = transfer::HashServer::start(mesh.pod(to).unwrap().namespaces(), target).unwrap();
        transfer::send(mesh.pod(from).unwrap().namespaces(), server.address(), 10_000_000)
            .unwrap_or_else(|error| panic!("{from} to {to} ({target}): {error:#}"));
    }
}

/// The agents have found what passes, and nothing that pods send is fragmented any more.
fn is_found(mesh: &Mesh) {
    restart_agents(mesh);
    for (from, to) in [("a1", "b1"), ("b1", "a1")] {
        wait::until(&format!("the size of the path from {from} to {to}"), || {
            Ok(path_mtu(mesh, from, to).filter(|mtu| FITS.contains(mtu)))
        })
        .unwrap_or_else(|error| panic!("{error:#}: {:?}", path_mtu(mesh, from, to)));
    }
    wait::until("routes of that size", || {
        let routes = mesh.node("a1").unwrap().exec(&["ip", "-4", "route", "show", "table", "1107"])?;
        Ok(routes.lines().any(|line| line.contains("carrick0") && line.contains("mtu 13")).then_some(()))
    })
    .unwrap();
    transfers(mesh);
}

#[test]
fn a_router_that_fragments_carries_packets_of_all_sizes() {
    let mesh = narrow("");
    filter(&mesh, "");
    mesh.all_reach();
    for (from, to) in [("a1-pod1", "b1-pod1"), ("b1-pod1", "a2-pod1")] {
        for bytes in [1_300, 1_340, 1_341, 1_440] {
            let flow = mesh.flow_of(bytes, Duration::from_millis(20), from, to, Family::V4);
            flow.await_answers(20).unwrap_or_else(|error| panic!("{bytes} bytes from {from} to {to}: {error:#}"));
            flow.stop().unwrap();
        }
    }
    transfers(&mesh);
    assert_eq!(path_mtu(&mesh, "a1", "b1"), Some(1_440), "a fragmented probe passes");
    assert!(fragments(&mesh) > 1_000, "{} fragments", fragments(&mesh));
}

#[test]
fn with_the_mtu_that_an_operator_sets_no_packet_is_fragmented() {
    let mesh = narrow("'--mtu=1340'");
    filter(&mesh, "");
    mesh.all_reach();
    // The data path reads the MTU of its device every few seconds.
    wait::until("a transfer without fragments", || {
        let before = fragments(&mesh);
        transfers(&mesh);
        Ok((fragments(&mesh) == before).then_some(()))
    })
    .unwrap();
}

#[test]
fn a_router_that_drops_fragments_is_found() {
    let mesh = narrow("");
    mesh.all_reach();
    filter(&mesh, "ip frag-off & 0x3fff != 0 drop;");
    is_found(&mesh);
}

/// WireGuard pads packets to a multiple of 16 bytes, but not beyond the MTU of its device. The tunnel is narrower than that.
#[test]
fn the_padding_of_packets_in_a_narrow_tunnel_fragments_none() {
    let mesh = Mesh::up(
        "families: v4\nlocations: [{name: a, families: v4, nodes: [{name: a1}, {name: a2}]}, {name: b, families: v4, nodes: [{name: b1}]}, {name: c, families: v4, nodes: [{name: c1}]}]",
    );
    mesh.all_reach();
    let node = mesh.node_namespaces("a1");
    let endpoint = mesh.node("b1").unwrap().layout().public.v4.unwrap().to_string();
    let gateway = node.exec(&["ip", "-4", "route", "show", "default"]).unwrap();
    let via = gateway.split_whitespace().skip_while(|word| *word != "via").nth(1).unwrap();
    let locked = ["mtu", "lock", "1450"];
    node.exec(&[&["ip", "route", "add", &endpoint, "via", via, "dev", "eth0", "onlink"][..], &locked].concat())
        .unwrap();
    // A change of addresses makes the agent look at the routes again.
    node.exec(&["ip", "address", "add", "10.250.0.1/32", "dev", "eth0"]).unwrap();
    wait::until("a narrower route to the pods of b", || {
        let routes = mesh.node("a1").unwrap().exec(&["ip", "-4", "route", "show", "table", "1107"])?;
        Ok(routes.lines().any(|line| line.contains("carrick0") && line.contains("mtu 13")).then_some(()))
    })
    .unwrap();
    filter(&mesh, "");
    transfers(&mesh);
    assert_eq!(fragments(&mesh), 0);
}
