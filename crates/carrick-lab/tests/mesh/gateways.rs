//! Several gateways in a location.

use std::collections::BTreeSet;

use carrick_lab::wait;

use crate::mesh::Mesh;

const TWO_ACTIVE: &str = "
agent: {active_gateways: 2}
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}, {name: a3}, {name: a4}, {name: a5}]}
  - {name: b, nodes: [{name: b1}]}
  - {name: home, router: nat, nodes: [{name: h1, annotations: {carrick.dev/persistent-keepalive: '25'}}]}
";

/// Names in a list of the node's plan.
fn names(mesh: &Mesh, node: &str, list: &str) -> BTreeSet<String> {
    serde_json::from_value(mesh.status(node)["plan"]["location"][list].clone()).unwrap()
}

fn role(mesh: &Mesh, node: &str) -> String {
    mesh.status(node)["plan"]["location"]["role"].as_str().unwrap().to_owned()
}

/// A column of `wg show carrick0 WHAT`, a number for each peer.
fn numbers(mesh: &Mesh, node: &str, what: &str) -> Vec<u64> {
    let text = mesh.node(node).unwrap().exec(&["wg", "show", "carrick0", what]).unwrap();
    text.lines().map(|line| line.split('\t').nth(1).unwrap().parse().unwrap()).collect()
}

#[test]
fn two_active_gateways_share_the_traffic_and_a_third_stands_by() {
    let mesh = Mesh::up(TWO_ACTIVE);
    mesh.all_endpoints_reach_each_other();

    let inside = ["a1", "a2", "a3", "a4", "a5"];
    let of_role = |wanted: &str| -> BTreeSet<String> {
        inside.iter().filter(|node| role(&mesh, node) == wanted).map(|node| (*node).to_owned()).collect()
    };
    let (active, standby) = (of_role("active"), of_role("standby"));
    assert_eq!((active.len(), standby.len(), of_role("inner").len()), (2, 1, 2));
    for node in inside {
        assert_eq!((names(&mesh, node, "active"), names(&mesh, node, "standby")), (active.clone(), standby.clone()));
    }

    // The far end has a tunnel to each of them; both active ones have carried the matrix.
    assert_eq!(numbers(&mesh, "b1", "latest-handshakes").len(), 4, "three gateways and the home");
    for gateway in &active {
        assert!(numbers(&mesh, gateway, "latest-handshakes").iter().all(|time| *time > 0), "{gateway}");
    }
    // Nothing but its keepalives warms the standby gateway's tunnels.
    for gateway in &standby {
        let is_warm = || numbers(&mesh, gateway, "latest-handshakes").iter().all(|time| *time > 0);
        wait::until("warm tunnels", || Ok(is_warm().then_some(()))).unwrap();
    }
}
