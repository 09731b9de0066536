//! What a prober tells other gateways during a handover, and what it reports of them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use carrick_probe::{Announcement, HandoverFlags, PathKind, PathState, Position, Shape, Transmit};
use carrick_topology::handover::HandoverInForce;

use crate::world::{Answering, WELL, World, nodes, seconds};

/// Lets `b1` go down and return. The node accepts encapsulated packets from `b1` once `b1` is returning, and `b1` says this when it is asked
/// to encapsulate. Gives when `b1` was returning, when it was live, and when it was not returning any more, since it was well again.
fn return_of_a_far_gateway(says: HandoverFlags) -> (World, [Duration; 3]) {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    world.run(seconds(5));
    world.set("b1", Answering::Silent);
    world.run(seconds(3));
    assert_eq!((world.down().1, world.returning()), (vec!["b1"], vec![]));
    world.set("b1", WELL);
    let well = world.now;
    world.run_until("returning", |world| !world.returning().is_empty());
    let returns = world.now - well;
    assert_eq!(world.last_probe("b1").announcement.handover, HandoverFlags::NONE, "the kernel accepts nothing yet");
    let handover = HandoverInForce { decapsulates_from: nodes(&["b1"]), ..HandoverInForce::default() };
    world.prober.set_handover(world.now, handover);
    world.run(Duration::from_millis(30));
    assert_eq!(world.last_probe("b1").announcement.handover, HandoverFlags::DECAPSULATES);
    assert_eq!(world.last_probe("b2").announcement.handover, HandoverFlags::NONE);
    world.saying.insert("b1", says);
    world.run_until("live", |world| world.down().1.is_empty());
    let counts = world.now - well;
    world.run(Duration::from_millis(900));
    assert_eq!(world.last_probe("b1").announcement.handover, HandoverFlags::DECAPSULATES);
    world.run(Duration::from_millis(300));
    assert_eq!(world.last_probe("b1").announcement.handover, HandoverFlags::NONE);
    world.saying.clear();
    world.run_until("over", |world| world.returning().is_empty());
    let over = world.now - well;
    (world, [returns, counts, over])
}

#[test]
fn a_far_gateway_that_encapsulates_is_live_a_second_later() {
    let halves = |times: [Duration; 3]| times.map(|time| (time.as_millis() + 100) / 500);
    let (_, plain) = return_of_a_far_gateway(HandoverFlags::NONE);
    assert_eq!(halves(plain), [16, 20, 28], "{plain:?}");
    let (_, encapsulated) = return_of_a_far_gateway(HandoverFlags::ENCAPSULATES);
    assert_eq!(halves(encapsulated), [16, 22, 30], "{encapsulated:?}");
}

#[test]
fn a_far_gateway_that_never_stops_to_encapsulate_is_returning_for_a_minute() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    let handover = HandoverInForce { decapsulates_from: nodes(&["b1"]), ..HandoverInForce::default() };
    world.prober.set_handover(world.now, handover);
    world.saying.insert("b1", HandoverFlags::ENCAPSULATES);
    world.run(seconds(5));
    world.set("b1", Answering::Silent);
    world.run(seconds(3));
    world.set("b1", WELL);
    world.run_until("live", |world| world.down().1.is_empty());
    world.run(seconds(59));
    assert_eq!(world.returning(), ["b1"]);
    let steps = world.steps;
    world.run(seconds(2));
    assert_eq!(world.returning(), [""; 0]);
    assert!(world.steps - steps < 2 * 50, "{} steps in two seconds", world.steps - steps);
}

#[test]
fn a_gateway_of_the_own_location_is_never_asked_to_encapsulate() {
    let mut world =
        World::at(Position { location: "a".parse().unwrap(), is_gateway: false }, &[("a1", WELL), ("a2", WELL)]);
    let handover = HandoverInForce { decapsulates_from: nodes(&["a1"]), ..HandoverInForce::default() };
    world.prober.set_handover(world.now, handover);
    world.saying.insert("a1", HandoverFlags::ENCAPSULATES | HandoverFlags::DECAPSULATES);
    world.run(seconds(5));
    assert_eq!(world.decapsulating(), [""; 0], "packets inside the location come through no tunnel");
    world.set("a1", Answering::Silent);
    world.run(seconds(3));
    world.set("a1", WELL);
    let well = world.now;
    world.run_until("returning", |world| !world.returning().is_empty());
    assert_eq!(world.down().1, [""; 0], "it is live as soon as it is returning");
    assert_eq!((world.now - well + Duration::from_millis(100)).as_secs(), 10);
    world.run(Duration::from_millis(2_900));
    assert_eq!(world.returning(), ["a1"]);
    world.run(Duration::from_millis(200));
    assert_eq!(world.returning(), [""; 0]);
    let asked = world.sent.iter().filter(|(_, transmit)| transmit.announcement.handover != HandoverFlags::NONE);
    assert_eq!(asked.count(), 0);
}

#[test]
fn a_gateway_that_decapsulates_is_reported_at_once_and_until_its_agent_is_silent() {
    for (leaves, state) in [(Answering::Silent, PathState::Down), (Answering::Kernel, PathState::AgentAway)] {
        let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
        world.run(seconds(5));
        let probed = |world: &mut World, handover| {
            let from = world.address("b1");
            world.prober.note_probe(
                world.now,
                from,
                PathKind::Tunnel,
                Announcement { handover, ..Announcement::default() },
            );
            world.step();
        };
        probed(&mut world, HandoverFlags::DECAPSULATES);
        assert_eq!((world.decapsulating(), world.liveness().unwrap().0), (vec!["b1"], world.now));
        probed(&mut world, HandoverFlags::NONE);
        assert_eq!(world.decapsulating(), [""; 0]);
        world.saying.insert("b1", HandoverFlags::DECAPSULATES);
        world.run(seconds(1));
        assert_eq!(world.decapsulating(), ["b1"], "an answer says it as well");

        world.set("b1", leaves);
        world.run(seconds(3));
        assert_eq!((world.path("b1").state, world.decapsulating()), (state, vec![]));
        probed(&mut world, HandoverFlags::DECAPSULATES);
        assert_eq!(
            (world.path("b1").state, world.decapsulating()),
            (state, vec![]),
            "only an answer shows that the agent is reached"
        );
    }
}

#[test]
fn encapsulation_is_proven_by_one_answered_probe_of_full_size() {
    let mut world = World::with(&[("b1", Answering::Agent(Duration::from_millis(10), 1400)), ("b2", WELL)]);
    // The largest packet that passes is known by now.
    world.run(seconds(60));
    world.saying.insert("b1", HandoverFlags::DECAPSULATES);
    world.run(seconds(1));
    assert_eq!((world.decapsulating(), world.proven()), (vec!["b1"], vec![]));
    let is_encapsulated = |(_, transmit): &&(_, Transmit)| matches!(transmit.shape, Shape::Encapsulated { .. });
    assert_eq!(world.sent.iter().filter(is_encapsulated).count(), 0, "the kernel cannot send one yet");

    world.encapsulated_pass = false;
    world
        .prober
        .set_handover(world.now, HandoverInForce { leads_to: nodes(&["b1", "b2"]), ..HandoverInForce::default() });
    world.run(seconds(10));
    assert_eq!((world.decapsulating(), world.proven()), (vec!["b1"], vec![]));
    let tried: Vec<_> = world.sent.iter().filter(is_encapsulated).map(|(_, transmit)| transmit.shape).collect();
    assert!((8..=11).contains(&tried.len()), "about one a second: {}", tried.len());
    assert_eq!(tried[0], Shape::Encapsulated { ip_bytes: world.path("b1").mtu.unwrap() });
    assert_eq!(world.path("b1").state, PathState::Up);

    world.encapsulated_pass = true;
    world.run(seconds(2));
    assert_eq!(world.proven(), ["b1"]);
    let tried = world.sent.iter().filter(is_encapsulated).count();
    world.run(seconds(10));
    assert_eq!(world.sent.iter().filter(is_encapsulated).count(), tried, "one is enough");

    world.saying.clear();
    world.run(seconds(1));
    assert_eq!(world.decapsulating(), [""; 0]);
    world.encapsulated_pass = false;
    world.saying.insert("b1", HandoverFlags::DECAPSULATES);
    world.run(seconds(1));
    assert_eq!((world.decapsulating(), world.proven()), (vec!["b1"], vec![]), "each offer is tried anew");
}

#[test]
fn an_encapsulated_probe_is_sent_at_once() {
    for moment in [0, 100, 200] {
        let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
        world.run(seconds(60) + Duration::from_millis(moment));
        let leads_to = HandoverInForce { leads_to: nodes(&["b1"]), ..HandoverInForce::default() };
        world.prober.set_handover(world.now, leads_to);
        let from = world.address("b1");
        let decapsulates = HandoverFlags::DECAPSULATES;
        world.prober.note_probe(
            world.now,
            from,
            PathKind::Tunnel,
            Announcement { handover: decapsulates, ..Announcement::default() },
        );
        world.saying.insert("b1", decapsulates);
        world.run(Duration::from_millis(70));
        assert_eq!(world.proven(), ["b1"], "{moment} ms");
    }
}

#[test]
fn a_new_statement_is_sent_before_all_regular_probes() {
    let names: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
    // Padded probes of this size do not arrive anywhere.
    let narrow = Answering::Agent(Duration::from_millis(40), 1300);
    let many: Vec<(&str, Answering)> = names.iter().map(|name| (name.as_str(), narrow)).collect();
    for moment in [0, 1_000, 4_000, 10_000, 30_000] {
        let mut world = World::with(&many);
        world.run(Duration::from_millis(moment));
        let handover = HandoverInForce { encapsulates_to: nodes(&["n7", "n150"]), ..HandoverInForce::default() };
        world.prober.set_handover(world.now, handover.clone());
        for name in ["n7", "n150"] {
            assert_eq!(
                world.prober.condition(world.now, world.address(name), None).handover,
                HandoverFlags::ENCAPSULATES
            );
        }
        let others = world.prober.condition(world.now, world.address("n8"), None).handover;
        let unknown = world.prober.condition(world.now, "10.9.9.9".parse().unwrap(), None).handover;
        assert_eq!((others, unknown), (HandoverFlags::NONE, HandoverFlags::NONE));
        let (sent_before, at) = (world.sent.len(), world.now);
        world.run(Duration::from_millis(41));
        let statements = &world.sent[sent_before..];
        for name in ["n7", "n150"] {
            let (to, flags) = (world.address(name), HandoverFlags::ENCAPSULATES);
            let is_stated = |transmit: &Transmit| {
                (transmit.to, transmit.announcement.handover, transmit.shape) == (to, flags, Shape::Plain)
            };
            assert!(
                statements.iter().any(|(_, transmit)| is_stated(transmit)),
                "{name} from {at:?} on: {statements:?}"
            );
        }
        world.run(seconds(10));
        world.prober.set_handover(world.now, HandoverInForce { encapsulates_to: nodes(&["n7"]), ..handover });
        world.run(Duration::from_millis(21));
        assert_eq!(world.last_probe("n150").announcement.handover, HandoverFlags::NONE);
        assert_eq!(world.last_probe("n7").announcement.handover, HandoverFlags::ENCAPSULATES);
    }
}

#[test]
fn a_rarely_probed_far_gateway_is_asked_after_it_was_well_for_two_seconds() {
    let names: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
    let many: Vec<(&str, Answering)> = names.iter().map(|name| (name.as_str(), WELL)).collect();
    let mut world = World::with(&many);
    world.run(seconds(20));
    world.set("n7", Answering::Silent);
    world.run_until("down", |world| world.down().1 == ["n7"]);
    world.set("n7", WELL);
    world.run_until("heard", |world| world.path("n7").state == PathState::Up);
    let heard = world.now;
    world.run_until("returning", |world| world.returning() == ["n7"]);
    assert_eq!((world.now - heard + Duration::from_millis(20)).as_secs(), 2);
    world.run_until("live", |world| world.down().1.is_empty());
    assert_eq!((world.now - heard + Duration::from_millis(20)).as_secs(), 10);
}

#[test]
fn a_new_statement_for_all_nodes_is_sent_in_one_round() {
    let names: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
    let many: Vec<(&str, Answering)> = names.iter().map(|name| (name.as_str(), WELL)).collect();
    let mut world = World::with(&many);
    world.run(seconds(30));
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let sent_before = world.sent.len();
    world
        .prober
        .set_handover(world.now, HandoverInForce { encapsulates_to: nodes(&all), ..HandoverInForce::default() });
    world.run(Duration::from_millis(200 * 20 + 20));
    let statements = world.sent[sent_before..]
        .iter()
        .filter(|(_, transmit)| transmit.announcement.handover == HandoverFlags::ENCAPSULATES);
    let receivers: BTreeSet<IpAddr> = statements.map(|(_, transmit)| transmit.to).collect();
    assert_eq!(receivers.len(), 200);
}
