//! A gateway that returns: its standby gives the traffic back, and no packet is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use carrick_lab::address::Family;
use carrick_lab::failure::Failure;
use carrick_lab::flow::Flow;
use carrick_lab::{cpu_affinity, wait};
use serde_json::{Value, json};

use crate::failover::{GATEWAYS, await_down, await_paths, down, gateways};
use crate::mesh::Mesh;

/// Two clouds; in one of them a gateway, its standby, and two nodes that need one of them: while `a1` is down, `a2` carries for `a3` and `a4`.
pub(crate) const GATEWAYS_AND_INNER: &str = "
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}, {name: a3}, {name: a4}]}
  - {name: b, nodes: [{name: b1}, {name: b2}]}
";

/// Gateways that a node says return at present.
fn returning(mesh: &Mesh, node: &str) -> Vec<String> {
    serde_json::from_value(mesh.status(node)["liveness"]["returning"].clone()).unwrap_or_default()
}

/// Gateways that take encapsulated what a node forwards to them.
fn decapsulating(mesh: &Mesh, node: &str) -> Value {
    mesh.status(node)["liveness"]["decapsulating"].clone()
}

/// Whether a node's kernel has the device for encapsulated packets.
fn has_handover_device(mesh: &Mesh, node: &str) -> bool {
    mesh.node_namespaces(node).exec(&["ip", "link", "show", "carrick-ho"]).is_ok()
}

/// What is in the kernel of a node for encapsulated packets: routes and rules.
fn handover_routes(mesh: &Mesh, node: &str) -> String {
    let namespaces = mesh.node_namespaces(node);
    let rules = namespaces.exec(&["ip", "rule", "list", "priority", "1106"]).unwrap();
    // The table is not there before its first route.
    let routes = namespaces.exec(&["ip", "route", "show", "table", "1106"]).unwrap_or_default();
    format!("{rules}{routes}")
}

/// The nodes that probe the gateway `a1`.
pub(crate) const OBSERVERS: [&str; 5] = ["a2", "a3", "a4", "b1", "b2"];

/// Restarts the agents of all observers, so that they forget the gateway's flaps.
fn forget_flaps(mesh: &Mesh) {
    for node in OBSERVERS {
        mesh.node(node).unwrap().kill_agent().unwrap();
        mesh.node(node).unwrap().start_agent().unwrap();
        mesh.node(node).unwrap().await_agent().unwrap();
    }
}

/// The gateways that each node has found down so far, in order.
pub(crate) fn found_down(mesh: &Mesh) -> BTreeMap<String, Vec<String>> {
    let gateway = |line: String| line.rsplit_once("node=").map(|(_, gateway)| gateway.to_owned()).unwrap();
    let of = |node: &str| mesh.logged(node, "event=\"gateway_down\"").into_iter().map(gateway).collect();
    mesh.nodes().map(|node| (node.name().to_owned(), of(node.name()))).collect()
}

/// The packets that the tunnel device of each gateway dropped because the data path did not run for so long that the device's queue was full.
pub(crate) fn dropped_by_tunnels(mesh: &Mesh) -> BTreeMap<&'static str, u64> {
    let count = |node| {
        let links = mesh.node_namespaces(node).exec(&["ip", "-s", "-j", "link", "show", "dev", "carrick0"]).unwrap();
        let links: Value = serde_json::from_str(&links).unwrap();
        (node, links[0]["stats64"]["tx"]["dropped"].as_u64().unwrap())
    };
    ["a1", "a2", "b1", "b2"].map(count).into()
}

/// What pods' devices take, in bytes.
const FULL_PACKET: usize = 1420;

/// Cuts the gateway off and lets it return under flows; gives the number of packets that were lost. `None` if the machine was too busy: if
/// an observer found the gateway down at another time than the rest, it also switches back at another time, if a node found another
/// gateway down that was only slow, packets are lost for that, and if a data path did not run for long, its queue was full.
fn lost_on_return(mesh: &mut Mesh, round: usize) -> Option<usize> {
    forget_flaps(mesh);
    await_paths(mesh);
    cpu_affinity::separate(mesh, &[&["a1", "a2", "a3", "a4"], &["b1", "b2"]]).unwrap();
    await_down(mesh, &OBSERVERS, &[]);
    let before = found_down(mesh);
    Failure::CutOff.inject(mesh, "a1").unwrap();
    await_down(mesh, &OBSERVERS, &["a1"]);
    let interval = Duration::from_millis(2);
    let flow = |from, to, family| (from, to, mesh.flow_each(interval, from, to, family));
    let full = |from, to, family| (from, to, mesh.flow_of(FULL_PACKET, Duration::from_millis(10), from, to, family));
    let flows = [
        // `a2` carries for them meanwhile.
        flow("a4-pod1", "b1-pod1", Family::V4),
        flow("a4-pod1", "b2-pod1", Family::V6),
        full("a4-pod1", "b2-pod1", Family::V4),
        full("a4-pod1", "b1-pod1", Family::V6),
        flow("a3-pod1", "b1-pod1", Family::V6),
        // It carries for itself all the time.
        flow("a2-pod1", "b1-pod1", Family::V4),
        flow("b2-pod1", "a4-pod1", Family::V4),
    ];
    Flow::await_answers_of_all(flows.iter().map(|(.., flow)| flow), 100).unwrap();
    let dropped = dropped_by_tunnels(mesh);
    Failure::CutOff.undo(mesh, "a1").unwrap();
    wait::until("encapsulating", || {
        Ok((decapsulating(mesh, "a1") == json!({"b1": "proven", "b2": "proven"})).then_some(()))
    })
    .unwrap();
    wait::until("encapsulated routes", || Ok(handover_routes(mesh, "a1").contains("carrick-ho").then_some(())))
        .unwrap();
    // Without its network, the gateway finds others down. From here on that counts.
    let at_return = found_down(mesh);
    assert!(["b1", "b2"].iter().all(|node| has_handover_device(mesh, node)));
    await_down(mesh, &OBSERVERS, &[]);
    for node in OBSERVERS {
        wait::until("no return", || Ok(returning(mesh, node).is_empty().then_some(()))).unwrap();
    }
    for node in ["a1", "b1", "b2"] {
        wait::until("no device", || Ok((!has_handover_device(mesh, node)).then_some(()))).unwrap();
        assert_eq!(handover_routes(mesh, node), "", "{node}");
    }
    // A flow without answers has lost them.
    let answers = Flow::await_answers_of_all(flows.iter().map(|(.., flow)| flow), 200).is_ok();
    let gateways_of_a4 = gateways(mesh, "a4");
    let mut all_lost = 0;
    for (from, to, flow) in flows {
        let report = flow.stop().unwrap();
        let (sent, lost, duplicates) = (report.sent, report.lost.len(), report.duplicates);
        let first = report.lost.iter().take(3).collect::<Vec<_>>();
        eprintln!("return {round}, {from} to {to}: {sent} sent, {lost} lost {first:?}, {duplicates} twice");
        all_lost += lost;
    }
    let after = found_down(mesh);
    let meanwhile = |node: &str| &after[node][before[node].len()..];
    let only_the_cut = after["a1"] == at_return["a1"] && OBSERVERS.iter().all(|node| meanwhile(node) == ["a1"]);
    if !only_the_cut {
        let found: Vec<_> = OBSERVERS.map(|node| (node, meanwhile(node))).into();
        eprintln!("return {round} does not count: nodes have found these gateways down: {found:?}");
    }
    let data_paths_ran = dropped_by_tunnels(mesh) == dropped;
    if !data_paths_ran {
        eprintln!(
            "return {round} does not count: a data path did not run for so long that the queue of its tunnel device was full"
        );
    }
    let counts = only_the_cut && data_paths_ran;
    if counts {
        assert!(answers, "a flow has stopped");
        assert_eq!(gateways_of_a4, (vec!["a1".to_owned()], vec![]));
    }
    counts.then_some(all_lost)
}

#[test]
fn a_gateway_s_return_loses_nothing() {
    const RETURNS: usize = 3;
    const ATTEMPTS: usize = 10;
    let mut mesh = Mesh::up(GATEWAYS_AND_INNER);
    mesh.all_reach();
    let lost: Vec<usize> = (0..ATTEMPTS).filter_map(|round| lost_on_return(&mut mesh, round)).take(RETURNS).collect();
    assert_eq!(lost, [0; RETURNS], "fewer of them where the machine was too busy");
}

#[test]
fn where_a_firewall_takes_encapsulated_packets_a_gateway_returns_without_them() {
    let mut mesh = Mesh::up(GATEWAYS);
    mesh.all_reach();
    await_paths(&mesh);
    for node in ["b1", "b2"] {
        let wall = "add table inet wall; \
                    add chain inet wall input { type filter hook input priority 0; }; \
                    add rule inet wall input udp dport 51823 counter drop";
        mesh.node_namespaces(node).exec(&["nft", wall]).unwrap();
    }
    Failure::CutOff.inject(&mut mesh, "a1").unwrap();
    await_down(&mesh, &["a2", "a3", "b1", "b2"], &["a1"]);
    let flow = mesh.flow("a3-pod1", "b1-pod1", Family::V4);
    Failure::CutOff.undo(&mut mesh, "a1").unwrap();
    let offered = json!({"b1": "offered", "b2": "offered"});
    wait::until("offers", || Ok((decapsulating(&mesh, "a1") == offered).then_some(()))).unwrap();
    wait::until("the return", || {
        let decapsulating = decapsulating(&mesh, "a1").to_string();
        assert!(!decapsulating.contains("proven"), "{decapsulating}");
        assert!(!handover_routes(&mesh, "a1").contains("carrick-ho"));
        Ok(["a2", "a3", "b1", "b2"].iter().all(|node| down(&mesh, node).is_empty()).then_some(()))
    })
    .unwrap();
    flow.await_answers(200).unwrap();
    let dropped = mesh.node_namespaces("b1").exec(&["nft", "list", "chain", "inet", "wall", "input"]).unwrap();
    assert!(!dropped.contains("packets 0 "), "{dropped}");
    mesh.all_endpoints_reach_each_other();
}
