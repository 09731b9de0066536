//! A prober in a simulated network with a simulated clock.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod attacks;
mod broken_tunnels;
mod drains;
mod encapsulation;
mod faults;
mod gateways;
mod mesh;
mod nodes;
mod short_outages;
mod versions;
mod wire;
mod world;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use carrick_probe::{Announcement, FlapCount, Now, PathKind, PathState, ProberEvent};

use world::{Answering, INTERVAL, LONG_WELL, WELL, World, seconds};

#[test]
fn a_gateway_that_dies_is_down_within_a_second_and_back_after_ten() {
    for moment in (0..250).step_by(10) {
        let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
        world.run(seconds(5) + Duration::from_millis(moment));
        assert_eq!(world.down(), (None, vec![]));
        world.set("b1", Answering::Silent);
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
fn a_gateway_returns_after_the_stable_time_of_the_highest_flap_count() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    world.run(seconds(5));
    world.set("b1", Answering::Silent);
    world.run(seconds(3));
    world.set("b1", WELL);
    world.flap_count = FlapCount::from_byte(3);
    world.run(seconds(39));
    assert_eq!(world.down().1, ["b1"]);
    world.run(seconds(2));
    assert_eq!(world.down().1, [""; 0]);

    assert_eq!(
        (world.last_probe("b1").announcement.flap_count, world.last_probe("b2").announcement.flap_count),
        (FlapCount::from_byte(3), FlapCount::default()),
        "the second one never flapped"
    );
}

#[test]
fn the_highest_flap_count_of_all_probing_nodes_is_answered_to_each_of_them() {
    let mut world = World::with(&[("b1", WELL)]);
    let (one, other) = (world.address("b1"), "10.9.9.9".parse().unwrap());
    for flap_count in [1, 3, 0] {
        let announcement = Announcement { flap_count: FlapCount::from_byte(flap_count), ..Announcement::default() };
        world.prober.note_probe(world.now, one, PathKind::Tunnel, announcement);
    }
    assert_eq!(world.prober.condition(world.now, other, None).flap_count, FlapCount::from_byte(3));
}

#[test]
fn a_node_whose_agent_restarts_is_not_down_until_its_kernel_is_silent_too() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    world.run(seconds(5));
    world.set("b1", Answering::Kernel);
    world.run(seconds(60));
    assert_eq!((world.down(), world.path("b1").state), ((None, vec![]), PathState::AgentAway));
    world.set("b1", Answering::Silent);
    world.run(seconds(5));
    assert_eq!(world.down().1, ["b1"]);
}

#[test]
fn a_silent_location_is_passed_over_within_two_seconds_and_counts_again_with_its_first_answer() {
    for moment in (0..250).step_by(50) {
        let mut world = World::with(&[("b1", WELL), ("b2", WELL), ("c1", WELL)]);
        world.run(seconds(5) + Duration::from_millis(moment));
        world.set("b1", Answering::Silent);
        world.set("b2", Answering::Silent);
        let died = world.now;
        world.run(seconds(60));
        let (at, down) = world.down();
        assert_eq!(down, ["b1", "b2"], "{:?}", world.events);
        assert!(at.unwrap() - died <= Duration::from_millis(1_600), "{:?}", at.unwrap() - died);
        assert_eq!((world.path("b1").state, world.path("c1").state), (PathState::Down, PathState::Up));
        world.set("b2", WELL);
        world.run(Duration::from_millis(300));
        assert_eq!(world.down().1, [""; 0]);
        world.set("b1", WELL);
        world.run(seconds(60));
        assert_eq!(world.down().1, [""; 0], "b1 had the same time as b2");
    }
}

#[test]
fn a_location_that_is_silent_for_one_second_out_of_two_is_never_passed_over() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    world.run(seconds(5));
    for _ in 0..30 {
        for answering in [Answering::Silent, WELL] {
            world.set("b1", answering);
            world.set("b2", answering);
            world.run(seconds(1));
        }
    }
    assert_eq!(world.down(), (None, vec![]), "{:?}", world.events);
}

#[test]
fn a_prober_whose_deadline_has_passed_finds_a_later_one() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    world.run(seconds(5));
    world.set("b1", Answering::Silent);
    world.run(seconds(5));
    world.set("b1", WELL);
    world.run(seconds(3));
    // It is recovering when its whole location becomes silent.
    world.set("b1", Answering::Silent);
    world.set("b2", Answering::Silent);
    world.run(seconds(60));
    let steps = world.steps;
    world.run(seconds(60));
    assert!(world.steps - steps < 60 * 50, "{} steps a minute", world.steps - steps);
}

#[test]
fn a_long_round_trip_is_no_silence() {
    let far = Answering::Agent(Duration::from_millis(400), 9000);
    let mut world = World::with(&[("b1", far), ("b2", WELL)]);
    world.run(seconds(30));
    assert!(world.down().1.is_empty(), "{:?}", world.events);
    let path = world.path("b1");
    assert_eq!((path.round_trip.unwrap().p50_us, path.loss), (400_000, Some(0.0)));
}

#[test]
fn a_delayed_prober_finds_no_gateway_down() {
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
fn a_prober_that_was_delayed_waits_longer_for_others_for_some_seconds() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    world.run(seconds(5));
    world.now += Duration::from_millis(1_500);
    world.step();
    let mut is_missed = |calm| {
        world.run(calm);
        world.set("b1", Answering::Silent);
        world.run(Duration::from_millis(1_500));
        let is_missed = world.down().1 == ["b1"];
        world.set("b1", WELL);
        world.run(Duration::from_millis(500));
        is_missed
    };
    assert!(!is_missed(seconds(1)), "b1 may be as busy as this node was");
    assert!(is_missed(seconds(10)));
}

#[test]
fn the_path_mtu_is_found_and_reported_if_it_is_less_than_that_of_the_devices() {
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
    assert!(world.down().1.is_empty(), "padded probes say nothing of liveness");
    assert_eq!(world.path("b1").loss, Some(0.0), "nor of loss");
}

#[test]
fn probes_are_never_more_than_fifty_a_second() {
    let names: Vec<String> = (0..1000).map(|number| format!("n{number}")).collect();
    let nodes: Vec<(&str, Answering)> = names.iter().map(|name| (name.as_str(), Answering::Silent)).collect();
    let mut world = World::with(&nodes);
    world.run(seconds(60));
    let busiest = (100..160)
        .map(|second| world.sent.iter().filter(|(at, _)| (seconds(second)..seconds(second + 1)).contains(at)).count());
    let busiest = busiest.max().unwrap();
    assert!((45..=51).contains(&busiest), "{busiest}");
    let probed: BTreeSet<IpAddr> = world.sent.iter().map(|(_, transmit)| transmit.to).collect();
    assert_eq!(probed.len(), 1000, "every node is probed");
}

#[test]
fn answers_to_the_probes_of_other_nodes_are_ignored() {
    let mut world = World::with(&[("b1", Answering::Silent)]);
    world.run(seconds(1));
    let (_, mut transmit) = world.sent[0];
    transmit.id.token += 1;
    world.prober.take_answer(world.now, transmit.to, transmit.id, LONG_WELL);
    assert_ne!(world.path("b1").state, PathState::Up);
}

#[test]
fn a_refusal_of_a_probe_that_was_never_sent_is_ignored() {
    let mut world = World::with(&[("b1", Answering::Silent)]);
    world.run(seconds(1));
    let (_, mut transmit) = *world.sent.last().unwrap();
    transmit.id.token += 1;
    world.prober.take_refusal(world.now, transmit.to, transmit.id);
    assert_ne!(world.path("b1").state, PathState::AgentAway);
    transmit.id.token -= 1;
    world.prober.take_refusal(world.now, transmit.to, transmit.id);
    world.run(INTERVAL);
    assert_eq!(world.path("b1").state, PathState::AgentAway);
}

#[test]
fn a_silent_node_that_probes_this_one_is_probed_at_once_and_ten_times_a_second_at_most() {
    let names: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
    let mut nodes: Vec<(&str, Answering)> = names.iter().map(|name| (name.as_str(), WELL)).collect();
    nodes.push(("b1", Answering::Silent));
    let mut world = World::with(&nodes);
    world.run(seconds(30));
    assert_eq!(world.path("b1").state, PathState::Down);
    let (b1, began) = (world.address("b1"), world.now);
    for _ in 0..100 {
        world.prober.note_probe(world.now, b1, PathKind::Tunnel, Announcement::default());
        world.run(Duration::from_millis(10));
    }
    let probes: Vec<Now> =
        world.sent.iter().filter(|(at, sent)| *at >= began && sent.to == b1).map(|(at, _)| *at).collect();
    assert!(probes[0] - began <= Duration::from_millis(300), "{probes:?} from {began:?}");
    assert!((5..=10).contains(&probes.len()), "{probes:?}");
}

#[test]
fn a_probe_that_is_due_soon_goes_with_the_answer_to_a_probe_of_the_other_end() {
    let mut world = World::with(&[("b1", WELL)]);
    world.run(seconds(10));
    let to = world.sent[0].1.to;
    let sent = world.sent.len();
    while world.sent.len() == sent {
        world.run(Duration::from_millis(1));
    }
    let sent = world.sent.len();
    let mut probed_after = |time: Duration| {
        world.run(time);
        world.prober.note_probe(world.now, to, PathKind::Tunnel, Announcement::default());
        world.step();
        world.sent.len() - sent
    };
    assert_eq!(probed_after(INTERVAL * 2 / 5), 0, "more than half of the interval is left");
    assert_eq!(probed_after(INTERVAL / 5), 1, "less than half of the interval is left");
    assert_eq!(probed_after(INTERVAL / 5), 1, "the next one is due a whole interval after the last");
}
