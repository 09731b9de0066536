//! Nodes whose agents send version 1, which has no code, beside nodes whose agents send version 2.

use std::net::IpAddr;
use std::time::Duration;

use carrick_probe::{Now, Outgoing, PathKind, PathState, ProbeFormat, ProbePort, Refusal};

use crate::wire::{INTERVAL, address, new_port, peer, set_plan};
use crate::world::seconds;

/// What answers at the address of gateway `a1`.
enum Gateway {
    /// An agent of protocol 1: it answers version 1 and skips everything else.
    Old,
    New(Box<ProbePort>),
}

/// Node `a3`, and gateway `a1` as `a3` believes it to be.
struct Pair {
    now: Now,
    prober: ProbePort,
    gateway: Gateway,
    /// The versions of the probes since the last look, and when they were sent.
    sent: Vec<u8>,
    was_down: bool,
}

fn new_gateway(now: Now, prober_is: ProbeFormat) -> Gateway {
    let mut port = new_port("a1", 9);
    set_plan(&mut port, now, "a1", |other, kind| peer(other, 1, kind, prober_is));
    Gateway::New(Box::new(port))
}

impl Pair {
    fn new(gateway: Gateway, published: ProbeFormat) -> Self {
        let mut pair =
            Self { now: seconds(100), prober: new_port("a3", 1), gateway, sent: Vec::new(), was_down: false };
        pair.publish(published);
        pair
    }

    /// The plan of `a3` from now on.
    fn publish(&mut self, format: ProbeFormat) {
        set_plan(&mut self.prober, self.now, "a3", |other, kind| peer(other, 1, kind, format));
    }

    fn state(&self) -> PathState {
        self.prober.paths().into_iter().find(|path| path.address == gateway_address()).unwrap().state
    }

    /// Lets time pass; gives the versions of the probes to the gateway meanwhile.
    fn run(&mut self, time: Duration) -> Vec<u8> {
        let end = self.now + time;
        self.sent.clear();
        while self.now < end {
            self.now += Duration::from_millis(1);
            self.prober.handle_timeout(self.now);
            let probes: Vec<Outgoing> = std::iter::from_fn(|| self.prober.next_outgoing()).collect();
            for probe in probes.into_iter().filter(|probe| probe.to == gateway_address()) {
                self.sent.push(probe.bytes[4]);
                for answer in self.gateway.answers(self.now, &probe) {
                    let _ = self.prober.take_datagram(self.now, probe.to, probe.from, &answer);
                }
            }
            self.was_down |= self.state() == PathState::Down;
        }
        self.sent.clone()
    }
}

impl Gateway {
    fn answers(&mut self, now: Now, probe: &Outgoing) -> Vec<Vec<u8>> {
        match self {
            Self::Old if probe.bytes[4] == 1 => {
                let mut answer = probe.bytes[..28].to_vec();
                answer[5] = 2;
                vec![answer]
            }
            Self::Old => Vec::new(),
            Self::New(port) => {
                let _ = port.take_datagram(now, probe.from, probe.to, &probe.bytes);
                let outgoing = std::iter::from_fn(|| port.next_outgoing());
                outgoing.filter(|answer| answer.to == probe.from).map(|answer| answer.bytes).collect()
            }
        }
    }
}

fn gateway_address() -> IpAddr {
    address("a1", PathKind::Inside)
}

#[test]
fn an_old_agent_is_probed_in_version_1_and_no_other_once_it_answers() {
    let mut pair = Pair::new(Gateway::Old, ProbeFormat::V1);
    pair.run(seconds(1));
    assert_eq!(pair.state(), PathState::Up);
    let sent = pair.run(seconds(10));
    assert!(sent.len() > 30 && sent.iter().all(|version| *version == 1), "{sent:?}");
}

#[test]
fn a_new_agent_is_probed_in_version_2_alone() {
    let mut pair = Pair::new(new_gateway(seconds(100), ProbeFormat::V2), ProbeFormat::V2);
    let sent = pair.run(seconds(10));
    assert!(sent.len() > 30 && sent.iter().all(|version| *version == 2), "{sent:?}");
    assert_eq!((pair.state(), pair.was_down), (PathState::Up, false));
}

#[test]
fn an_upgraded_agent_does_not_look_down_to_a_node_that_hears_of_it_late() {
    let mut pair = Pair::new(Gateway::Old, ProbeFormat::V1);
    pair.run(seconds(5));
    pair.gateway = new_gateway(pair.now, ProbeFormat::V2);
    pair.run(seconds(5));
    assert_eq!((pair.state(), pair.was_down), (PathState::Up, false));
    let sent = pair.run(seconds(10));
    assert!(sent.iter().all(|version| *version == 2), "it has answered in version 2: {sent:?}");
    pair.publish(ProbeFormat::V2);
    pair.run(seconds(5));
    assert_eq!((pair.state(), pair.was_down), (PathState::Up, false));
}

#[test]
fn an_agent_that_goes_back_to_version_1_is_probed_in_that_version_again() {
    // Nodes never read that it was new.
    let mut pair = Pair::new(new_gateway(seconds(100), ProbeFormat::V2), ProbeFormat::V1);
    let sent = pair.run(seconds(5));
    assert_eq!(sent.last(), Some(&2));
    pair.gateway = Gateway::Old;
    pair.run(INTERVAL * 5);
    assert_eq!((pair.state(), pair.was_down), (PathState::Up, false));

    let mut pair = Pair::new(new_gateway(seconds(100), ProbeFormat::V2), ProbeFormat::V2);
    pair.run(seconds(5));
    pair.gateway = Gateway::Old;
    pair.run(seconds(2));
    assert_eq!(pair.state(), PathState::Down, "its node still publishes protocol 2");
    pair.publish(ProbeFormat::V1);
    pair.run(seconds(1));
    assert_eq!(pair.state(), PathState::Up);
}

#[test]
fn version_1_is_taken_from_nodes_only_that_publish_it() {
    let from = address("a3", PathKind::Inside);
    let mut probe = b"CRKP\x01\x01\x00\x06".to_vec();
    probe.resize(28, 7);
    let mut answer = probe.clone();
    answer[5] = 2;
    let now = seconds(100);
    let Gateway::New(mut port) = new_gateway(now, ProbeFormat::V2) else { unreachable!() };
    for datagram in [&probe, &answer] {
        assert_eq!(port.take_datagram(now, from, gateway_address(), datagram), Err(Refusal::OldVersion));
    }
    assert_eq!(port.next_outgoing(), None);
    set_plan(&mut port, now, "a1", |other, kind| peer(other, 1, kind, ProbeFormat::V1));
    assert_eq!(port.take_datagram(now, from, gateway_address(), &probe), Ok(()));
    assert_eq!(port.next_outgoing().unwrap().bytes.len(), 28);
    assert_eq!(port.take_datagram(now, from, gateway_address(), &answer), Err(Refusal::NotAwaited));
}

#[test]
fn a_forged_answer_of_version_1_is_refused_once_the_node_has_answered_in_version_2() {
    let mut pair = Pair::new(new_gateway(seconds(100), ProbeFormat::V2), ProbeFormat::V1);
    pair.run(seconds(5));
    loop {
        pair.now += Duration::from_millis(1);
        pair.prober.handle_timeout(pair.now);
        let Some(probe) = pair.prober.next_outgoing().filter(|probe| probe.to == gateway_address()) else { continue };
        let mut answer = probe.bytes[..28].to_vec();
        (answer[4], answer[5]) = (1, 2);
        let taken = pair.prober.take_datagram(pair.now, probe.to, probe.from, &answer);
        assert_eq!(taken, Err(Refusal::OldVersion));
        break;
    }
}
