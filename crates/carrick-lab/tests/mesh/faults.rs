//! Faults that no standby gateway covers: all gateways of a location die, or the location of a relay.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use carrick_lab::address::Family;
use carrick_lab::failure::Failure;
use carrick_lab::flow::Flow;
use carrick_lab::wait;

use crate::failover::{await_down, await_paths, down, gateways};
use crate::mesh::Mesh;

/// Two clouds; one of them has a gateway, its standby, and two nodes that are neither.
const FOUR_AND_TWO: &str = "
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}, {name: a3}, {name: a4}]}
  - {name: b, nodes: [{name: b1}, {name: b2}]}
";

/// The longest pause of a flow after the second gateway of its location has died, and when both return, on a busy machine: WireGuard repeats a
/// handshake after 5 s. `scripts/bench-failover.sh` measures the pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Stops the flows and checks that none of them paused for longer than this.
fn none_paused_for(flows: Vec<(&str, Flow)>, limit: Duration) {
    let reports: Vec<_> = flows.into_iter().map(|(name, flow)| (name, flow.stop().unwrap())).collect();
    for (name, report) in &reports {
        let (sent, lost, silence) = (report.sent, report.lost.len(), report.longest_silence);
        eprintln!("{name}: {lost} of {sent} lost, longest silence {silence:?}");
    }
    let paused: Vec<(&str, Duration)> =
        reports.into_iter().map(|(name, report)| (name, report.longest_silence)).collect();
    assert!(paused.iter().all(|(_, pause)| *pause < limit), "{paused:?}");
}

fn flows(mesh: &Mesh) -> Vec<(&'static str, Flow)> {
    let flows = vec![
        ("a3 to b1", mesh.flow("a3-pod1", "b1-pod1", Family::V4)),
        ("b2 to a4", mesh.flow("b2-pod1", "a4-pod1", Family::V6)),
    ];
    Flow::await_answers_of_all(flows.iter().map(|(_, flow)| flow), 50).unwrap();
    flows
}

fn two_gateways_that_die_together(failure: Failure) {
    let mut mesh = Mesh::up(FOUR_AND_TWO);
    mesh.all_reach();
    await_paths(&mesh);
    let running = flows(&mesh);
    let first = Instant::now();
    for gateway in ["a1", "a2"] {
        failure.inject(&mut mesh, gateway).unwrap();
    }
    let between = first.elapsed();
    Flow::await_answers_of_all(running.iter().map(|(_, flow)| flow), 300).unwrap();
    none_paused_for(running, between + LONGEST_PAUSE);
    await_down(&mesh, &["a3", "a4", "b1", "b2"], &["a1", "a2"]);
    assert_eq!(gateways(&mesh, "a4"), (vec!["a3".to_owned()], vec!["a1".to_owned(), "a2".to_owned()]));

    let running = flows(&mesh);
    for gateway in ["a2", "a1"] {
        failure.undo(&mut mesh, gateway).unwrap();
    }
    await_down(&mesh, &["a1", "a2", "a3", "a4", "b1", "b2"], &[]);
    Flow::await_answers_of_all(running.iter().map(|(_, flow)| flow), 300).unwrap();
    none_paused_for(running, LONGEST_PAUSE);
    assert_eq!(gateways(&mesh, "a4"), (vec!["a1".to_owned()], vec![]));
    mesh.all_endpoints_reach_each_other();
}

#[test]
fn two_gateways_that_are_cut_off_together() {
    two_gateways_that_die_together(Failure::CutOff);
}

#[test]
fn two_gateways_that_lose_power_together() {
    two_gateways_that_die_together(Failure::PowerOff);
}

#[test]
fn gateways_that_die_in_turn_and_return_in_another_order() {
    let mut mesh = Mesh::up(FOUR_AND_TWO);
    mesh.all_reach();
    await_paths(&mesh);
    let running = vec![
        ("a4 to b1", mesh.flow("a4-pod1", "b1-pod1", Family::V4)),
        ("b2 to a4", mesh.flow("b2-pod1", "a4-pod1", Family::V6)),
    ];
    for dead in [["a1"].as_slice(), &["a1", "a2"], &["a1", "a2", "a3"]] {
        Failure::CutOff.inject(&mut mesh, dead[dead.len() - 1]).unwrap();
        await_down(&mesh, &["a4", "b1", "b2"], dead);
        Flow::await_answers_of_all(running.iter().map(|(_, flow)| flow), 200).unwrap();
    }
    assert_eq!(gateways(&mesh, "a4").0, ["a4"]);
    for (returns, still_dead) in [("a2", ["a1", "a3"].as_slice()), ("a3", &["a1"]), ("a1", &[])] {
        Failure::CutOff.undo(&mut mesh, returns).unwrap();
        // Nodes that are no gateways any more are not probed: they do not count.
        let counts = |node: &String| returns == "a1" || node != "a3";
        wait::until("the return", || {
            let is_back =
                |node| down(&mesh, node).iter().all(|node| !counts(node) || still_dead.contains(&node.as_str()));
            Ok(["a4", "b1", "b2"].into_iter().all(is_back).then_some(()))
        })
        .unwrap();
        Flow::await_answers_of_all(running.iter().map(|(_, flow)| flow), 200).unwrap();
    }
    none_paused_for(running, LONGEST_PAUSE);
    assert_eq!(gateways(&mesh, "a4"), (vec!["a1".to_owned()], vec![]));
    mesh.all_endpoints_reach_each_other();
}

/// Two locations that reach each other through a relay only, and two relays.
const TWO_RELAYS: &str = "
locations:
  - {name: cafe, router: symmetric, nodes: [{name: c1, annotations: {carrick.dev/persistent-keepalive: '25'}}]}
  - {name: hotel, router: symmetric, nodes: [{name: h1, annotations: {carrick.dev/persistent-keepalive: '25'}}]}
  - {name: open, nodes: [{name: o1}]}
  - {name: park, nodes: [{name: p1}]}
";

/// The longest pause of a flow when the location of its relay dies.
const LONGEST_PAUSE_OF_A_RELAY: Duration = Duration::from_secs(10);

/// The relay by which `c1` sends to `h1`: the peer that holds the pods of both.
fn relay(mesh: &Mesh) -> &'static str {
    let allowed_ips = mesh.node("c1").unwrap().exec(&["wg", "show", "carrick0", "allowed-ips"]).unwrap();
    let network = |pod: &str| {
        let IpAddr::V4(address) = mesh.pod_address(pod, Family::V4) else { panic!("no IPv4 address") };
        let [first, second, third, _] = address.octets();
        format!("{first}.{second}.{third}.0/24")
    };
    let is_by =
        |pod: &str| allowed_ips.lines().any(|line| line.contains(&network(pod)) && line.contains(&network("h1-pod1")));
    match (is_by("o1-pod1"), is_by("p1-pod1")) {
        (true, false) => "o1",
        (false, true) => "p1",
        _ => panic!("no relay, or two: {allowed_ips}"),
    }
}

#[test]
fn a_relay_whose_location_dies_is_replaced() {
    let mut mesh = Mesh::up(TWO_RELAYS);
    mesh.all_reach();
    await_paths(&mesh);
    let flows = |mesh: &Mesh| {
        vec![
            ("c1 to h1", mesh.flow("c1-pod1", "h1-pod1", Family::V4)),
            ("h1 to c1", mesh.flow("h1-pod1", "c1-pod1", Family::V6)),
        ]
    };
    let running = flows(&mesh);
    Flow::await_answers_of_all(running.iter().map(|(_, flow)| flow), 50).unwrap();
    let dead = relay(&mesh);
    Failure::CutOff.inject(&mut mesh, dead).unwrap();
    Flow::await_answers_of_all(running.iter().map(|(_, flow)| flow), 300).unwrap();
    none_paused_for(running, LONGEST_PAUSE_OF_A_RELAY);
    assert_ne!(relay(&mesh), dead);

    let running = flows(&mesh);
    Failure::CutOff.undo(&mut mesh, dead).unwrap();
    await_down(&mesh, &["c1", "h1"], &[]);
    Flow::await_answers_of_all(running.iter().map(|(_, flow)| flow), 300).unwrap();
    none_paused_for(running, LONGEST_PAUSE_OF_A_RELAY);
    assert_eq!(relay(&mesh), dead);
    mesh.all_endpoints_reach_each_other();
}
