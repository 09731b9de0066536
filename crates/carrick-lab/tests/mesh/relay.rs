//! Two locations behind NAT that cannot reach each other directly use a relay in a third location.

use carrick_lab::address::Family;
use carrick_lab::capture::{Capture, filter};

use crate::mesh::Mesh;

const APART: &str = "
locations:
  - {name: cafe, router: symmetric, nodes: [{name: c1, annotations: {carrick.dev/persistent-keepalive: '25'}}]}
  - {name: hotel, router: symmetric, nodes: [{name: h1, annotations: {carrick.dev/persistent-keepalive: '25'}}]}
  - {name: open, nodes: [{name: o1}]}
";

#[test]
fn two_locations_behind_symmetric_nat_talk_through_the_open_one() {
    let mesh = Mesh::up(APART);
    mesh.all_endpoints_reach_each_other();

    for family in [Family::V4, Family::V6] {
        let ends = filter::between(mesh.pod_address("c1-pod1", family), mesh.pod_address("h1-pod1", family));
        let relay = Capture::start(&mesh.node_namespaces("o1"), "carrick0", &ends).unwrap();
        let flow = mesh.flow("c1-pod1", "h1-pod1", family);
        flow.await_answers(20).unwrap();
        assert!(flow.stop().unwrap().lost.is_empty());
        let seen = relay.stop().unwrap();
        let requests = seen.iter().filter(|packet| packet.contains("echo request")).count();
        assert!(requests >= 40, "each request once in and once out: {seen:#?}");
    }
}
