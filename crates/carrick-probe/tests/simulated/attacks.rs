//! An attacker in the network changes nothing: with packets of its own, and with copies of packets that nodes sent.

use std::time::Duration;

use carrick_probe::{PathKind, PathState, ProbeFormat, ProberEvent, Refusal};

use crate::wire::{Frame, INTERVAL, NODES, Wire, address, kind, new_port, owner, peer, set_plan};
use crate::world::seconds;

const PROBE: u8 = 1;
const ANSWER: u8 = 2;
const HOUR: Duration = seconds(3600);

fn is_kind(frame: &Frame, kind: u8) -> bool {
    frame.bytes[5] == kind
}

/// The number of answers that a node sent to another one.
fn answers(wire: &Wire, from: &str, to: &str) -> usize {
    wire.recorded_since(Duration::ZERO, from, Some(to)).iter().filter(|frame| is_kind(frame, ANSWER)).count()
}

/// Probes and answers as an attacker can make them without a key: in the name of each node that `to` knows.
fn forged(wire: &Wire, to: &str) -> Vec<Frame> {
    let mut forged = Vec::new();
    for from in NODES.into_iter().filter(|from| *from != to) {
        for genuine in wire.recorded_since(wire.now - seconds(2), from, Some(to)) {
            // A flap count, what is encapsulated, another sequence number.
            for (at, value) in [(7, 6), (6, 0xff), (22, genuine.bytes[22] ^ 1), (36, genuine.bytes[36] ^ 1)] {
                let mut changed = genuine.clone();
                changed.bytes[at] = value;
                forged.push(changed);
            }
            let mut without_code = genuine.clone();
            without_code.bytes.truncate(28);
            without_code.bytes[4] = 1;
            forged.push(without_code);
        }
    }
    forged
}

#[test]
fn five_hundred_forged_packets_a_second_change_nothing_and_are_not_answered() {
    for target in NODES {
        let mut wire = Wire::up();
        let frames = forged(&wire, target);
        // Node `a3` is no gateway, so that it only gets answers.
        assert!(target == "a3" || frames.iter().any(|frame| is_kind(frame, PROBE)));
        assert!(frames.len() > 50, "{}", frames.len());
        let before = NODES.map(|to| answers(&wire, target, to));
        let taken = wire.attack(seconds(10), &frames);
        assert!(taken.keys().all(Result::is_err), "{target}: {taken:?}");
        wire.is_well();
        for (to, before) in NODES.into_iter().zip(before) {
            let answered = answers(&wire, target, to) - before;
            assert!(answered <= 60, "{target} answers {to} {answered} times in 10 s");
        }
    }
}

#[test]
fn packets_that_come_back_to_their_sender_are_refused() {
    let mut wire = Wire::up();
    let recorded: Vec<Frame> = wire.recorded.iter().map(|(_, frame)| frame.clone()).collect();
    for Frame { from, to, bytes } in recorded {
        let refused = wire.deliver(&Frame { from: to, to: from, bytes }).unwrap().unwrap_err();
        assert!([Refusal::WrongCode, Refusal::NotAwaited].contains(&refused), "{refused}");
    }
    wire.is_well();
}

#[test]
fn a_probe_from_inside_the_location_does_not_pass_for_one_from_a_tunnel() {
    let mut wire = Wire::up();
    wire.cut = [("a3", "a1")].into();
    let since = wire.now;
    wire.run(seconds(1));
    let [tunnel, inside] = [PathKind::Tunnel, PathKind::Inside].map(|kind| address("a3", kind));
    let probe = wire.recorded_since(since, "a3", Some("a1"))[0].clone();
    assert_eq!(probe.from, inside);
    assert_eq!(wire.deliver(&Frame { from: tunnel, ..probe }), Some(Err(Refusal::WrongCode)));
}

#[test]
fn copies_of_packets_from_an_hour_ago_change_nothing() {
    let mut wire = Wire::up();
    // One of the agents had another token and other sessions when its first packets were recorded.
    wire.start("a3");
    wire.run(seconds(5));
    let copies: Vec<Frame> = wire.recorded.iter().map(|(_, frame)| frame.clone()).collect();
    wire.run(HOUR);
    for target in NODES {
        let copies: Vec<Frame> = copies.iter().filter(|frame| owner(frame.to) == target).cloned().collect();
        let taken = wire.attack(seconds(10), &copies);
        assert!(taken.values().sum::<usize>() > 4_000, "{taken:?}");
        wire.is_well();
    }
}

#[test]
fn copies_of_probes_from_before_a_start_use_up_no_answers() {
    let mut wire = Wire::up();
    let copies: Vec<Frame> = wire.recorded_since(Duration::ZERO, "a3", Some("a1"));
    let copies: Vec<Frame> = copies.into_iter().filter(|frame| is_kind(frame, PROBE)).collect();
    wire.start("a3");
    wire.run(seconds(5));
    let taken = wire.attack(seconds(10), &copies);
    assert!(taken[&Ok(())] > 4_000, "each copy is answered: {taken:?}");
    wire.is_well();
}

#[test]
fn copies_of_probes_do_not_hide_that_a_gateway_is_cut_off_from_its_location() {
    for age in [Duration::ZERO, HOUR] {
        let mut wire = Wire::up();
        // What was sent in the last seconds, and what an agent sent before it was started again.
        let mut copies = wire.recorded_since(Duration::ZERO, "a3", Some("a1"));
        wire.start("a3");
        wire.run(seconds(5));
        copies
            .extend(["a2", "a3"].iter().flat_map(|from| wire.recorded_since(wire.now - seconds(5), from, Some("a1"))));
        wire.run(age);
        wire.is_well();
        wire.cut = [("a2", "a1"), ("a1", "a2"), ("a3", "a1"), ("a1", "a3")].into();
        wire.attack(seconds(3), &copies);
        assert_eq!(wire.down("b1"), ["a1"], "{age:?}");
    }
}

#[test]
fn copies_of_probes_do_not_raise_a_flap_count() {
    let mut wire = Wire::up();
    // `a3` finds `a1` down, and says so for as long as it remembers the flap.
    wire.cut = [("a3", "a1"), ("a1", "a3")].into();
    wire.run(seconds(3));
    wire.cut.clear();
    let since = wire.now;
    wire.run(seconds(3));
    let flap_count = |frame: &Frame| frame.bytes[7];
    let told = wire.recorded_since(since, "a3", Some("a1"));
    let copies: Vec<Frame> = told.into_iter().filter(|frame| is_kind(frame, PROBE) && flap_count(frame) == 1).collect();
    assert!(copies.len() > 5, "{}", copies.len());
    let said = |wire: &Wire, since| {
        let answers = wire.recorded_since(since, "a1", Some("b1")).into_iter();
        answers.filter(|frame| is_kind(frame, ANSWER)).map(|frame| flap_count(&frame)).max()
    };
    assert_eq!(said(&wire, since), Some(1));
    wire.run(HOUR);
    let since = wire.now;
    wire.attack(seconds(10), &copies);
    assert_eq!(said(&wire, since), Some(0));
}

#[test]
fn copies_of_answers_do_not_hide_that_a_gateway_is_dead() {
    let mut wire = Wire::up();
    let copies: Vec<Frame> = wire.recorded_since(Duration::ZERO, "a1", None);
    wire.nodes.remove("a1");
    wire.attack(seconds(2), &copies);
    for node in ["a2", "a3", "b1"] {
        assert_eq!(wire.down(node), ["a1"], "{node}");
    }
}

#[test]
fn an_agent_that_starts_during_an_attack_is_heard_after_one_round_trip() {
    for restarted in NODES {
        let mut wire = Wire::up();
        // Packets of an earlier start of the same agent, which no other node can tell from new ones at first.
        wire.start(restarted);
        wire.run(seconds(5));
        let mut copies: Vec<Frame> = wire.recorded.iter().map(|(_, frame)| frame.clone()).collect();
        copies.extend(NODES.iter().flat_map(|target| forged(&wire, target)));
        let since = wire.now;
        wire.start(restarted);
        wire.attack(seconds(5), &copies);
        wire.is_well();
        for to in NODES.into_iter().filter(|to| *to != restarted) {
            for (from, to) in [(restarted, to), (to, restarted)] {
                let probes = wire.recorded_since(since, from, Some(to));
                let session = |frame: &Frame| u64::from_be_bytes(frame.bytes[28..36].try_into().unwrap());
                let mut sessions: Vec<u64> = probes.iter().filter(|frame| is_kind(frame, PROBE)).map(session).collect();
                sessions.dedup();
                assert!(
                    sessions.len() <= 2,
                    "{from} to {to}: one number before the start, and one after: {sessions:x?}"
                );
            }
        }
    }
}

#[test]
fn a_session_begins_one_round_trip_after_a_start() {
    let mut wire = Wire::up();
    let since = wire.now;
    wire.start("a1");
    wire.run(seconds(1));
    for to in ["a2", "b1"] {
        let sent = wire.recorded.iter().filter(|(at, frame)| {
            *at >= since && (owner(frame.from), owner(frame.to)) == ("a1", to) && is_kind(frame, PROBE)
        });
        let in_session = |frame: &Frame| frame.bytes[28..36] != [0; 8];
        let sent: Vec<_> = sent.map(|(at, frame)| (*at - since, in_session(frame))).collect();
        let (second, is_in_session) = sent[1];
        assert!(!sent[0].1 && is_in_session && second < Duration::from_millis(120), "to {to}: {sent:?}");
    }
}

#[test]
fn a_node_with_another_key_is_refused_until_the_plan_has_that_key() {
    let mut wire = Wire::up();
    let [from, to] = ["a3", "a1"].map(|node| address(node, PathKind::Inside));
    let since = wire.now;
    let described = |generation| {
        move |other: &str, kind| peer(other, if other == "a3" { generation } else { 1 }, kind, ProbeFormat::V2)
    };
    let now = wire.now;
    set_plan(&mut wire.nodes.get_mut("a1").unwrap().port, now, "a1", described(2));
    let mut rotated = new_port("a3", 77);
    set_plan(&mut rotated, now, "a3", described(1));
    rotated.handle_timeout(now);
    let with_old_key = std::iter::from_fn(|| rotated.next_outgoing()).find(|outgoing| outgoing.to == to).unwrap();
    assert_eq!(wire.deliver(&Frame { from, to, bytes: with_old_key.bytes.clone() }), Some(Err(Refusal::WrongCode)));
    assert_eq!(wire.recorded_since(since, "a1", Some("a3")), []);
    set_plan(&mut wire.nodes.get_mut("a1").unwrap().port, now, "a1", described(1));
    assert_eq!(wire.deliver(&Frame { from, to, bytes: with_old_key.bytes }), Some(Ok(())));
    assert_eq!(wire.recorded_since(since, "a1", Some("a3")).len(), 1);
}

#[test]
fn only_an_icmp_error_that_quotes_an_outstanding_probe_counts() {
    let mut wire = Wire::up();
    let since = wire.now;
    wire.cut = [("a3", "a1"), ("a1", "a3")].into();
    wire.run(Duration::from_millis(300));
    let probe = wire.recorded_since(since, "a3", Some("a1")).last().unwrap().clone();
    let mut guessed = probe.bytes.clone();
    guessed[15] ^= 1;
    let old = wire.recorded_since(Duration::ZERO, "a3", Some("a1"))[0].bytes.clone();
    let (by, now) = (address("a1", kind("a3", "a1")), wire.now);
    let port = &mut wire.nodes.get_mut("a3").unwrap().port;
    for quoted in [&guessed[..], &old, &probe.bytes[..20], b""] {
        assert!(port.take_port_unreachable(now, by, quoted).is_err(), "{quoted:?}");
    }
    let other = address("a2", PathKind::Inside);
    assert_eq!(port.take_port_unreachable(now, other, &probe.bytes), Err(Refusal::NotAwaited));
    let state = |wire: &Wire| wire.nodes["a3"].port.paths().into_iter().find(|path| path.address == by).unwrap().state;
    assert_eq!(state(&wire), PathState::Up);
    let port = &mut wire.nodes.get_mut("a3").unwrap().port;
    assert_eq!(port.take_port_unreachable(now, by, &probe.bytes), Ok(()));
    assert_eq!(state(&wire), PathState::Up, "the agent may still answer");
    wire.run(INTERVAL);
    assert_eq!(state(&wire), PathState::AgentAway);
}

/// Lets time pass while a host says at once to each probe of a node inside its location that the port is closed.
fn refuse_probes(wire: &mut Wire, time: Duration, from: &str, of: &[&str]) -> usize {
    let (end, mut seen, mut taken) = (wire.now + time, wire.recorded.len(), 0);
    while wire.now < end {
        wire.run(Duration::from_micros(500));
        let sent: Vec<Frame> = wire.recorded[seen..].iter().map(|(_, frame)| frame.clone()).collect();
        seen = wire.recorded.len();
        for frame in sent {
            if owner(frame.from) == from && of.contains(&owner(frame.to)) && is_kind(&frame, PROBE) {
                let (now, node) = (wire.now, wire.nodes.get_mut(from).unwrap());
                taken += usize::from(node.port.take_port_unreachable(now, frame.to, &frame.bytes).is_ok());
            }
        }
    }
    taken
}

#[test]
fn forged_icmp_errors_about_an_agent_that_answers_change_nothing() {
    let mut wire = Wire::up();
    assert!(refuse_probes(&mut wire, seconds(10), "a3", &["a1", "a2"]) > 50);
    wire.is_well();
    let changes = |(_, event): &(_, ProberEvent)| matches!(event, ProberEvent::ProbedPath { .. });
    assert_eq!(wire.nodes["a3"].events.iter().filter(|event| changes(event)).count(), 0);
}

#[test]
fn forged_icmp_errors_do_not_hide_that_a_gateway_has_lost_its_tunnels() {
    let mut wire = Wire::up();
    wire.cut = [("a1", "b1"), ("b1", "a1")].into();
    assert!(refuse_probes(&mut wire, seconds(5), "a3", &["a1", "a2"]) > 25);
    assert_eq!(wire.down("a3"), ["a1"]);
}

#[test]
fn forged_icmp_errors_about_one_gateway_do_not_let_another_one_look_down() {
    let mut wire = Wire::up();
    // The node itself is cut off from all gateways of its location.
    wire.cut = [("a3", "a1"), ("a1", "a3"), ("a3", "a2"), ("a2", "a3")].into();
    assert!(refuse_probes(&mut wire, seconds(10), "a3", &["a2"]) > 25);
    assert_eq!(wire.down("a3"), ["a1"], "passed over, as without the errors");
    wire.cut.clear();
    wire.run(seconds(1));
    assert_eq!(wire.down("a3"), [""; 0], "without a stable time");
}
