//! One tunnel between two gateways is broken, and all others work.

use std::time::Duration;

use crate::mesh::{Mesh, name};
use crate::short_outages::longest_outage;
use crate::world::seconds;

/// Which packets of a tunnel are lost.
#[derive(Clone, Copy, Debug)]
pub enum Lost {
    There,
    Back,
    BothWays,
}

pub const DIRECTIONS: [Lost; 3] = [Lost::There, Lost::Back, Lost::BothWays];

/// Until traffic goes another way.
const DETECTION: Duration = Duration::from_millis(1_300);
/// The same if no gateway of the location is reached.
const DETOUR: Duration = Duration::from_millis(2_100);
/// Both ends go back to the tunnel within this time: an interval of probes, the latency, and the time to apply a plan. Here no handover covers it.
const APART: Duration = Duration::from_millis(350);

pub fn break_tunnel(mesh: &mut Mesh, (one, other): (&str, &str), lost: Lost) {
    let (there, back) = ((name(one), name(other)), (name(other), name(one)));
    mesh.broken.extend(match lost {
        Lost::There => vec![there],
        Lost::Back => vec![back],
        Lost::BothWays => vec![there, back],
    });
}

/// Breaks tunnels for 15 s, and checks that traffic goes another way and comes back.
fn survives(nodes: &[&str], tunnels: &[(&str, &str)], lost: Lost, moment: u64, limit: Duration) {
    let mut mesh = Mesh::up(nodes);
    mesh.run(Duration::from_millis(moment), |_| ());
    tunnels.iter().for_each(|tunnel| break_tunnel(&mut mesh, *tunnel, lost));
    let outage = mesh.outage(seconds(15));
    assert!(outage <= limit, "{nodes:?}, {tunnels:?}, {lost:?}, {moment} ms: {outage:?}");
    mesh.broken.clear();
    let outage = longest_outage(&mut mesh, seconds(16));
    assert!(outage <= APART, "{nodes:?}, {tunnels:?}, {lost:?}, {moment} ms: {outage:?} after the return");
    for node in nodes {
        assert_eq!(mesh.down(node), [""; 0], "{node}");
    }
}

#[test]
fn the_traffic_of_any_one_broken_tunnel_goes_through_another_gateway() {
    for tunnel in [("a1", "b1"), ("a1", "b2"), ("a2", "b1"), ("a2", "b2")] {
        survives(&["a1", "a2", "a3", "b1", "b2", "b3", "c1"], &[tunnel], Lost::BothWays, 0, DETECTION);
    }
}

#[test]
fn a_tunnel_that_is_broken_in_one_direction_is_used_in_neither() {
    for (lost, moment) in DIRECTIONS.into_iter().zip([60, 120, 180]) {
        survives(&["a1", "a2", "a3", "b1", "b2", "b3"], &[("a1", "b1")], lost, moment, DETECTION);
    }
}

#[test]
fn locations_that_consist_of_their_gateways_survive_a_broken_tunnel() {
    survives(&["a1", "a2", "b1", "b2"], &[("a1", "b1")], Lost::BothWays, 0, DETECTION);
}

#[test]
fn a_gateway_that_restarts_uses_its_tunnels_at_once() {
    let mut mesh = Mesh::up(&["a1", "a2", "a3", "b1", "b2"]);
    mesh.dead.insert(name("b1"));
    mesh.run(seconds(10), |_| ());
    mesh.restart("b1");
    let outage = mesh.outage(seconds(15));
    assert!(outage <= seconds(1), "{outage:?}");
}

#[test]
fn a_location_of_one_node_is_reached_through_another_gateway() {
    for tunnel in [("a1", "b1"), ("a2", "b1")] {
        survives(&["a1", "a2", "a3", "b1"], &[tunnel], Lost::BothWays, 0, DETOUR);
    }
}

#[test]
fn two_locations_of_one_node_reach_each_other_through_a_third_one() {
    survives(&["a1", "b1", "c1", "c2"], &[("a1", "b1")], Lost::BothWays, 0, DETOUR);
}

#[test]
fn a_gateway_that_two_locations_do_not_reach_is_reached_through_another_one() {
    for (nodes, tunnels) in [
        (["a1", "b1", "b2", "c1"].as_slice(), [("a1", "b1"), ("c1", "b1")].as_slice()),
        (&["a1", "a2", "b1", "b2", "c1"], &[("a1", "b1"), ("a2", "b1"), ("c1", "b1")]),
        (&["a1", "b1", "b2", "b3", "c1", "d1"], &[("a1", "b1"), ("c1", "b1"), ("d1", "b1")]),
    ] {
        for (lost, moment) in DIRECTIONS.into_iter().zip([0, 70, 140]) {
            survives(nodes, tunnels, lost, moment, seconds(4));
        }
    }
}

#[test]
fn two_locations_without_a_path_reach_each_other_through_a_third_one() {
    let tunnels = [("a1", "b1"), ("a1", "b2"), ("a2", "b1"), ("a2", "b2")];
    survives(&["a1", "a2", "a3", "b1", "b2", "c1"], &tunnels, Lost::BothWays, 0, seconds(6));
}

#[test]
fn a_gateway_that_dies_while_one_of_its_tunnels_is_broken_is_replaced() {
    for (dead, tunnel) in [("b2", ("a1", "b1")), ("b1", ("a1", "b1")), ("a2", ("a1", "b1"))] {
        let mut mesh = Mesh::up(&["a1", "a2", "a3", "b1", "b2", "b3", "c1"]);
        break_tunnel(&mut mesh, tunnel, Lost::BothWays);
        mesh.run(seconds(5), |_| ());
        mesh.dead.insert(name(dead));
        let outage = mesh.outage(seconds(20));
        assert!(outage <= seconds(6), "{dead}, {tunnel:?}: {outage:?}");
    }
}

#[test]
fn nothing_is_sent_in_a_circle_when_a_location_dies() {
    for dead in [&["b1"][..], &["b1", "c1"]] {
        let mut mesh = Mesh::up(&["a1", "a2", "a3", "b1", "c1", "d1"]);
        mesh.dead.extend(dead.iter().map(|node| name(node)));
        mesh.run(seconds(10), |mesh| assert_eq!(mesh.circles(), [""; 0]));
        for node in ["a1", "a2", "d1"] {
            assert_eq!(mesh.detours(node), [""; 0], "{node}");
        }
    }
}
