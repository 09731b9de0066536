//! A gateway that drains: the other gateway of its location takes over, and no packet is lost.

use std::time::Duration;

use carrick_lab::address::Family;
use carrick_lab::flow::Flow;
use carrick_lab::{cpu_affinity, wait};

use crate::failover::{await_down, await_paths, gateways};
use crate::mesh::Mesh;
use crate::returns::{GATEWAYS_AND_INNER, OBSERVERS, dropped_by_tunnels, found_down};

/// The gateways that are drained according to a node.
fn drained(mesh: &Mesh, node: &str) -> Vec<String> {
    serde_json::from_value(mesh.status(node)["liveness"]["drained"].clone()).unwrap_or_default()
}

fn await_drained(mesh: &Mesh, wanted: &[&str]) {
    for node in OBSERVERS {
        wait::until(&format!("{node} to say that {wanted:?} are drained"), || {
            Ok((drained(mesh, node) == wanted).then_some(()))
        })
        .unwrap();
    }
}

/// Lets a gateway drain and serve again under flows; gives the number of packets that were lost. `None` if the machine was too busy: if a node
/// found a gateway down that was only slow, or a data path did not run for so long that its queue was full.
fn lost_on_a_drain(mesh: &Mesh, round: usize) -> Option<usize> {
    let interval = Duration::from_millis(2);
    let flow = |from, to, family| (from, to, mesh.flow_each(interval, from, to, family));
    let flows = [
        flow("a4-pod1", "b1-pod1", Family::V4),
        flow("a4-pod1", "b2-pod1", Family::V6),
        flow("b2-pod1", "a3-pod1", Family::V4),
        flow("b1-pod1", "a3-pod1", Family::V6),
        // The gateway's own pods keep its tunnels.
        flow("a1-pod1", "b2-pod1", Family::V4),
        flow("b1-pod1", "a1-pod1", Family::V6),
    ];
    Flow::await_answers_of_all(flows.iter().map(|(.., flow)| flow), 100).unwrap();
    let (before, dropped) = (found_down(mesh), dropped_by_tunnels(mesh));
    mesh.kubernetes().annotate("a1", "carrick.dev/drain", Some("a new disk")).unwrap();
    await_drained(mesh, &["a1"]);
    await_down(mesh, &OBSERVERS, &["a1"]);
    let while_drained = gateways(mesh, "a4");
    Flow::await_answers_of_all(flows.iter().map(|(.., flow)| flow), 1000).unwrap();
    mesh.kubernetes().annotate("a1", "carrick.dev/drain", None).unwrap();
    await_down(mesh, &OBSERVERS, &[]);
    Flow::await_answers_of_all(flows.iter().map(|(.., flow)| flow), 1000).unwrap();
    let at_the_end = gateways(mesh, "a4");
    let mut all_lost = 0;
    for (from, to, flow) in flows {
        let report = flow.stop().unwrap();
        let first = report.lost.iter().take(3).collect::<Vec<_>>();
        eprintln!("drain {round}, {from} to {to}: {} sent, {} lost {first:?}", report.sent, report.lost.len());
        all_lost += report.lost.len();
    }
    let counts = found_down(mesh) == before && dropped_by_tunnels(mesh) == dropped;
    if counts {
        assert_eq!(while_drained, (vec!["a2".to_owned()], vec![]), "a drained gateway is not reported as down");
        assert_eq!(at_the_end, (vec!["a1".to_owned()], vec![]));
    } else {
        eprintln!("drain {round} does not count: the machine was too busy");
    }
    counts.then_some(all_lost)
}

#[test]
fn a_gateway_drains_and_serves_again_and_loses_nothing() {
    const DRAINS: usize = 2;
    const ATTEMPTS: usize = 6;
    let mesh = Mesh::up(GATEWAYS_AND_INNER);
    mesh.all_reach();
    await_paths(&mesh);
    cpu_affinity::separate(&mesh, &[&["a1", "a2", "a3", "a4"], &["b1", "b2"]]).unwrap();
    let lost: Vec<usize> = (0..ATTEMPTS).filter_map(|round| lost_on_a_drain(&mesh, round)).take(DRAINS).collect();
    assert_eq!(lost, [0; DRAINS], "fewer of them where the machine was too busy");
    mesh.all_endpoints_reach_each_other();
}
