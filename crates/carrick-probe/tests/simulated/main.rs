//! A prober in a simulated world: time passes only when the test says so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod encapsulation;
mod gateways;
mod world;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use carrick_probe::{Announcement, FlapCount, PathKind, PathState, ProberEvent};

use world::{Answering, WELL, WELL_AS_EVER, World, seconds};

#[test]
fn a_gateway_that_dies_is_down_within_a_second_and_back_after_ten() {
    for moment in (0..250).step_by(10) {
        let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
        world.run(seconds(5) + Duration::from_millis(moment));
        assert_eq!(world.down(), (None, vec![]));
        world.set("b1", Answering::Nobody);
        let died = world.now;
        world.run(seconds(3));
        let (at, down) = world.down();
        assert_eq!(down, ["b1"]);
        assert!(at.unwrap() - died <= Duration::from_millis(1020), "{:?}", at.unwrap() - died);
        world.set("b1", WELL);
        world.run(seconds(9));
        assert_eq!(world.down().1, ["b1"]);
        world.run(seconds(2));
        assert_eq!(world.down().1, [""; 0]);
    }
}

#[test]
fn a_gateway_that_others_saw_fall_more_often_is_waited_for_as_long_as_they_wait() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    world.run(seconds(5));
    world.set("b1", Answering::Nobody);
    world.run(seconds(3));
    world.set("b1", WELL);
    world.flap_count = FlapCount::from_byte(3);
    world.run(seconds(39));
    assert_eq!(world.down().1, ["b1"]);
    world.run(seconds(2));
    assert_eq!(world.down().1, [""; 0]);

    assert_eq!(
        (world.told("b1").announcement.flap_count, world.told("b2").announcement.flap_count),
        (FlapCount::from_byte(3), FlapCount::default()),
        "the one is told, the other never fell"
    );
}

#[test]
fn what_one_asker_counts_is_told_to_all() {
    let mut world = World::with(&[("b1", WELL)]);
    let (one, other) = (world.address("b1"), "10.9.9.9".parse().unwrap());
    for flap_count in [1, 3, 0] {
        let announcement = Announcement { flap_count: FlapCount::from_byte(flap_count), ..Announcement::default() };
        world.prober.note_question(world.now, one, PathKind::Tunnel, announcement);
    }
    assert_eq!(world.prober.condition(world.now, other).flap_count, FlapCount::from_byte(3));
}

#[test]
fn an_agent_that_restarts_is_not_down_and_its_node_dying_meanwhile_is_noticed() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    world.run(seconds(5));
    world.set("b1", Answering::Kernel);
    world.run(seconds(60));
    assert_eq!((world.down(), world.path("b1").state), ((None, vec![]), PathState::AgentAway));
    world.set("b1", Answering::Nobody);
    world.run(seconds(5));
    assert_eq!(world.down().1, ["b1"]);
}

#[test]
fn silence_of_a_whole_location_judges_nobody_there() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL), ("c1", WELL)]);
    world.run(seconds(5));
    world.set("b1", Answering::Nobody);
    world.set("b2", Answering::Nobody);
    world.run(seconds(60));
    assert!(world.down().1.is_empty(), "{:?}", world.events);
    assert_eq!(world.path("b1").state, PathState::Down);
    assert_eq!(world.path("c1").state, PathState::Up);
}

#[test]
fn a_prober_never_wants_to_be_called_again_at_once_for_ever() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    world.run(seconds(5));
    world.set("b1", Answering::Nobody);
    world.run(seconds(5));
    world.set("b1", WELL);
    world.run(seconds(3));
    // It returns when its whole location falls silent.
    world.set("b1", Answering::Nobody);
    world.set("b2", Answering::Nobody);
    world.run(seconds(60));
    let steps = world.steps;
    world.run(seconds(60));
    assert!(world.steps - steps < 60 * 50, "{} steps a minute", world.steps - steps);
}

#[test]
fn a_long_way_is_no_silence() {
    let far = Answering::Agent(Duration::from_millis(400), 9000);
    let mut world = World::with(&[("b1", far), ("b2", WELL)]);
    world.run(seconds(30));
    assert!(world.down().1.is_empty(), "{:?}", world.events);
    let path = world.path("b1");
    assert_eq!((path.round_trip.unwrap().p50_us, path.loss), (400_000, Some(0.0)));
}

#[test]
fn a_prober_that_is_held_up_blames_nobody() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    world.run(seconds(5));
    for _ in 0..10 {
        world.now += seconds(5);
        world.step();
        world.run(Duration::from_millis(50));
    }
    assert_eq!(world.down(), (None, vec![]), "{:?}", world.events);
}

#[test]
fn the_largest_packet_is_found_and_told_where_it_is_less_than_the_devices() {
    let mut world = World::with(&[("b1", Answering::Agent(Duration::from_millis(40), 1240)), ("b2", WELL)]);
    world.run(seconds(60));
    let told = world.events.iter().find_map(|(at, events)| match events {
        ProberEvent::PathMtus(mtus) => Some((*at, mtus.clone())),
        ProberEvent::ProbedPath { .. } | ProberEvent::Liveness(_) => None,
    });
    let (at, mtus) = told.unwrap();
    let found = mtus["b1"];
    assert!((1237..=1240).contains(&found) && mtus.len() == 1, "{mtus:?}");
    assert!(at - seconds(100) < seconds(40), "{at:?}");
    assert_eq!((world.path("b1").mtu, world.path("b2").mtu), (Some(found), Some(1420)));
    assert!(world.down().1.is_empty(), "padded probes say nothing of life");
    assert_eq!(world.path("b1").loss, Some(0.0), "nor of loss");
}

#[test]
fn probes_are_never_more_than_fifty_a_second() {
    let names: Vec<String> = (0..1000).map(|number| format!("n{number}")).collect();
    let nodes: Vec<(&str, Answering)> = names.iter().map(|name| (name.as_str(), Answering::Nobody)).collect();
    let mut world = World::with(&nodes);
    world.run(seconds(60));
    let busiest = (100..160)
        .map(|second| world.sent.iter().filter(|(at, _)| (seconds(second)..seconds(second + 1)).contains(at)).count());
    let busiest = busiest.max().unwrap();
    assert!((45..=51).contains(&busiest), "{busiest}");
    let probed: BTreeSet<IpAddr> = world.sent.iter().map(|(_, transmit)| transmit.to).collect();
    assert_eq!(probed.len(), 1000, "each has its turn");
}

#[test]
fn answers_to_the_questions_of_others_are_ignored() {
    let mut world = World::with(&[("b1", Answering::Nobody)]);
    world.run(seconds(1));
    let (_, mut transmit) = world.sent[0];
    transmit.question.token += 1;
    world.prober.take_answer(world.now, transmit.to, transmit.question, WELL_AS_EVER);
    assert_ne!(world.path("b1").state, PathState::Up);
}
