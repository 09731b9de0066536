//! A gateway that drains: other gateways of its location take over, and no packet is lost.

use std::time::Duration;

use carrick_topology::model::Duty;

use crate::mesh::Mesh;
use crate::world::seconds;

/// Lets this time pass, and checks that all pods reach each other at every moment.
fn lossless(mesh: &mut Mesh, time: Duration) {
    mesh.run(time, |mesh| assert_eq!(mesh.cut_off(), [""; 0], "after {:?}", mesh.now));
}

/// Checks what all these nodes say of gateways that are down.
fn all_find_down(mesh: &Mesh, nodes: &[&str], down: &[&str]) {
    for node in nodes {
        assert_eq!(mesh.down(node), down, "{node}");
    }
}

#[test]
fn a_gateway_drains_and_serves_again_and_loses_nothing() {
    for apply in [20, 60, 200] {
        let mut mesh = Mesh::up(&["a1", "a2", "a3", "b1", "b2", "c1"]);
        mesh.apply_time = Duration::from_millis(apply);
        mesh.set_duty("a1", Duty::Draining);
        lossless(&mut mesh, seconds(8));
        all_find_down(&mesh, &["a2", "a3", "b1", "b2", "c1"], &[]);
        lossless(&mut mesh, seconds(10));
        all_find_down(&mesh, &["a2", "a3", "b1", "b2", "c1"], &["a1"]);
        lossless(&mut mesh, seconds(60));
        mesh.set_duty("a1", Duty::Serving);
        lossless(&mut mesh, seconds(9));
        all_find_down(&mesh, &["a2", "a3", "b1", "b2", "c1"], &["a1"]);
        lossless(&mut mesh, seconds(10));
        all_find_down(&mesh, &["a2", "a3", "b1", "b2", "c1"], &[]);
    }
}

#[test]
fn a_drain_that_is_withdrawn_moves_nothing() {
    let mut mesh = Mesh::up(&["a1", "a2", "a3", "b1", "b2"]);
    mesh.set_duty("a1", Duty::Draining);
    lossless(&mut mesh, seconds(5));
    mesh.set_duty("a1", Duty::Serving);
    lossless(&mut mesh, seconds(20));
    all_find_down(&mesh, &["a2", "a3", "b1", "b2"], &[]);
}

#[test]
fn the_only_gateway_and_the_last_one_go_on() {
    let mut mesh = Mesh::up(&["a1", "a2", "a3", "b1"]);
    mesh.set_duty("b1", Duty::Draining);
    mesh.set_duty("a1", Duty::Draining);
    lossless(&mut mesh, seconds(20));
    mesh.set_duty("a2", Duty::Draining);
    lossless(&mut mesh, seconds(30));
    all_find_down(&mesh, &["a3", "b1"], &["a1"]);
    mesh.set_duty("a1", Duty::Serving);
    lossless(&mut mesh, seconds(40));
    all_find_down(&mesh, &["a3", "b1"], &["a2"]);
}

#[test]
fn two_gateways_that_drain_at_once_go_on() {
    let mut mesh = Mesh::up(&["a1", "a2", "a3", "b1"]);
    mesh.set_duty("a1", Duty::Draining);
    mesh.set_duty("a2", Duty::Draining);
    lossless(&mut mesh, seconds(30));
    all_find_down(&mesh, &["a3", "b1"], &[]);
}

#[test]
fn a_gateway_that_drains_carries_again_when_the_other_one_dies() {
    let mut mesh = Mesh::up(&["a1", "a2", "a3", "b1", "b2"]);
    mesh.set_duty("a1", Duty::Draining);
    lossless(&mut mesh, seconds(20));
    all_find_down(&mesh, &["a3", "b1"], &["a1"]);
    mesh.dead.insert(crate::mesh::name("a2"));
    let outage = mesh.outage(seconds(20));
    assert!(outage < seconds(3), "{outage:?}");
    all_find_down(&mesh, &["a3", "b1"], &["a2"]);
}

#[test]
fn a_gateway_that_has_drained_is_switched_off_and_comes_back_without_a_loss() {
    let mut mesh = Mesh::up(&["a1", "a2", "a3", "b1", "b2"]);
    mesh.set_duty("a1", Duty::Draining);
    lossless(&mut mesh, seconds(20));
    mesh.dead.insert(crate::mesh::name("a1"));
    lossless(&mut mesh, seconds(20));
    mesh.restart("a1");
    // Its own pods have sessions once the handshakes have passed.
    mesh.run(seconds(6), |_| ());
    lossless(&mut mesh, seconds(20));
    all_find_down(&mesh, &["a2", "a3", "b1", "b2"], &["a1"]);
    mesh.set_duty("a1", Duty::Serving);
    lossless(&mut mesh, seconds(20));
    all_find_down(&mesh, &["a2", "a3", "b1", "b2"], &[]);
}

#[test]
fn a_gateway_serves_on_while_an_agent_does_not_know_of_drains() {
    let mut mesh = Mesh::mixed(&["a1", "a2", "a3", "b1"], "b1", 3);
    mesh.set_duty("a1", Duty::Draining);
    lossless(&mut mesh, seconds(30));
    all_find_down(&mesh, &["a2", "a3", "b1"], &[]);
}
