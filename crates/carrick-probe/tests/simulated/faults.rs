//! Faults of several nodes at once. As long as there is a way, all live nodes reach each other soon, and no packet runs in a circle.

use std::time::Duration;

use crate::mesh::{Mesh, name};
use crate::world::seconds;

const NODES: [&str; 8] = ["a1", "a2", "a3", "a4", "b1", "b2", "c1", "c2"];
const THREE: [&str; 5] = ["a1", "a2", "a3", "b1", "b2"];
const SEVEN: [&str; 9] = ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "b1", "b2"];
/// One gateway of a group that another one can replace.
const ONE: Duration = Duration::from_millis(1_300);
/// A whole group.
const GROUP: Duration = Duration::from_millis(3_500);

/// Lets nodes die at the same instant, and returns how long pods of the others do not reach each other.
fn outage_after_death_of(mesh: &mut Mesh, names: &[&str]) -> Duration {
    mesh.dead.extend(names.iter().map(|text| name(text)));
    mesh.outage(seconds(14))
}

/// Lets nodes come back at the same instant, and returns how long the pods of all live nodes do not reach each other.
fn outage_after_return_of(mesh: &mut Mesh, names: &[&str]) -> Duration {
    names.iter().for_each(|text| assert!(mesh.dead.remove(&name(text))));
    mesh.outage(seconds(15))
}

#[test]
fn the_death_of_any_one_node_is_survived() {
    for node in NODES {
        let mut mesh = Mesh::up(&NODES);
        let outage = outage_after_death_of(&mut mesh, &[node]);
        assert!(outage <= ONE, "{node}: {outage:?}");
    }
}

#[test]
fn both_gateways_of_a_location_die_together() {
    for moment in [0, 70, 140, 210] {
        let mut mesh = Mesh::up(&NODES);
        mesh.run(Duration::from_millis(moment), |_| ());
        let outage = outage_after_death_of(&mut mesh, &["a1", "a2"]);
        assert!(outage <= GROUP, "{moment}: {outage:?}");
        for node in ["a3", "a4", "b1", "b2", "c1", "c2"] {
            assert_eq!(mesh.down(node), ["a1", "a2"], "{node}");
        }
        outage_after_return_of(&mut mesh, &["a1", "a2"]);
        for node in NODES {
            assert_eq!(mesh.down(node), [""; 0], "{node}");
        }
        assert_eq!(mesh.cut_off(), [""; 0]);
    }
}

#[test]
fn three_of_four_nodes_die_together() {
    let mut mesh = Mesh::up(&NODES);
    let outage = outage_after_death_of(&mut mesh, &["a1", "a2", "a3"]);
    assert!(outage <= seconds(5), "{outage:?}");
    assert_eq!(mesh.down("b1"), ["a1", "a2", "a3"]);
}

#[test]
fn all_gateways_die_in_turn_and_come_back_in_another_order() {
    let mut mesh = Mesh::up(&NODES);
    for (node, limit) in [("a1", ONE), ("a2", GROUP), ("a3", ONE)] {
        let outage = outage_after_death_of(&mut mesh, &[node]);
        assert!(outage <= limit, "{node}: {outage:?}");
    }
    for node in ["a2", "a3", "a1"] {
        outage_after_return_of(&mut mesh, &[node]);
        assert_eq!(mesh.cut_off(), [""; 0], "{node}");
    }
    assert_eq!(mesh.down("b1"), [""; 0]);
}

#[test]
fn gateways_of_two_locations_die_together() {
    let mut mesh = Mesh::up(&["a1", "a2", "a3", "b1", "b2", "b3", "c1"]);
    // A new gateway has not heard the other location before, and waits longer for a first answer.
    let outage = outage_after_death_of(&mut mesh, &["a1", "a2", "b1", "b2"]);
    assert!(outage <= seconds(11), "{outage:?}");
}

#[test]
fn a_location_without_a_further_node_works_again_with_its_first_gateway() {
    let mut mesh = Mesh::up(&NODES);
    outage_after_death_of(&mut mesh, &["b1", "b2"]);
    for node in ["b2", "b1"] {
        let outage = outage_after_return_of(&mut mesh, &[node]);
        assert!(outage <= ONE, "{node}: {outage:?}");
    }
}

#[test]
fn any_one_node_of_a_dead_location_brings_it_back() {
    for (nodes, returning) in [(&NODES[..], "a1"), (&NODES, "a3"), (&NODES, "a4"), (&THREE, "a3"), (&SEVEN, "a5")] {
        for apply_time in [60, 1_000].map(Duration::from_millis) {
            let mut mesh = Mesh::up(nodes);
            mesh.apply_time = apply_time;
            let location: Vec<&str> = nodes.iter().copied().filter(|node| node.starts_with('a')).collect();
            outage_after_death_of(&mut mesh, &location);
            let outage = outage_after_return_of(&mut mesh, &[returning]);
            assert!(outage <= seconds(10), "{returning} of {location:?}, {apply_time:?}: {outage:?}");
        }
    }
}

#[test]
fn the_last_gateway_that_died_is_not_waited_for() {
    let mut mesh = Mesh::up(&NODES);
    for node in ["a1", "a2", "a3", "a4"] {
        outage_after_death_of(&mut mesh, &[node]);
    }
    let outage = outage_after_return_of(&mut mesh, &["a3"]);
    assert!(outage <= seconds(8), "{outage:?}");
}

#[test]
fn a_node_whose_own_network_was_away_is_reached_as_soon_as_it_is_back() {
    for node in ["a2", "a3", "a4"] {
        for time in [3, 6, 15].map(seconds) {
            for moment in [0, 130] {
                let mut mesh = Mesh::up(&NODES);
                mesh.unplugged.insert(name(node));
                mesh.run(time + Duration::from_millis(moment), |_| ());
                mesh.unplugged.clear();
                let outage = mesh.outage(seconds(4));
                assert!(outage <= seconds(1), "{node}, {time:?}, {moment}: {outage:?}");
            }
        }
    }
}

#[test]
fn a_relay_whose_location_dies_is_replaced() {
    let relays = ["d1", "e1"];
    let mut replaced = 0;
    for relay in relays {
        let mut mesh = Mesh::up(&["A1", "B1", "d1", "e1"]);
        let outage = outage_after_death_of(&mut mesh, &[relay]);
        assert!(outage <= seconds(2), "{relay}: {outage:?}");
        replaced += usize::from(outage > Duration::ZERO);
        outage_after_return_of(&mut mesh, &[relay]);
        assert_eq!((mesh.cut_off(), mesh.down("a1")), (vec![], vec![]), "{relay}");
    }
    assert_eq!(replaced, 1, "one of them carries");
}

/// Agents run for 20 ms and then sleep for up to this long.
const LONGEST_SLEEP: Duration = Duration::from_millis(1_500);

#[test]
fn a_starved_node_finds_no_other_node_down() {
    for starved in ["a1", "a2", "a3", "b1"] {
        let mut mesh = Mesh::up(&NODES);
        mesh.starve(&[starved], seconds(10), LONGEST_SLEEP, |mesh| {
            assert_eq!(mesh.down(starved), [""; 0], "{starved}");
            for node in NODES {
                assert!(mesh.down(node).iter().all(|down| down == starved), "{starved}: {node} {:?}", mesh.down(node));
            }
        });
    }
}
