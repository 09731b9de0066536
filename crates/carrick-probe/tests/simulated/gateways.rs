//! Gateways of three locations that probe each other, and packets that one node of location `b` sends to the other locations meanwhile.
//!
//! `b1` carries them where it counts as live, `b2` where it does not. Far gateways accept plain packets from one of the two only.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use carrick_probe::{
    Identity, Now, Outgoing, PathKind, Position, ProbeFormat, ProbePeer, ProbePort, ProberEvent, Refusal, Shape,
};
use carrick_topology::Liveness;
use carrick_topology::handover::{Decapsulation, HandoverInForce};
use carrick_topology::plan::ProbePlan;
use carrick_topology::{NodeName, PublicKey};
use carrick_types::SecretKey;

use crate::world::{seconds, target};

const FAR: [&str; 2] = ["a1", "c1"];
const INNER: &str = "b3";
/// Each node, and how long its kernel takes to hold a new plan.
const NODES: [(&str, Duration); 5] = [
    ("a1", Duration::from_millis(300)),
    ("b1", B1_TAKES),
    ("b2", Duration::from_millis(100)),
    (INNER, Duration::from_millis(70)),
    ("c1", Duration::from_millis(30)),
];
const B1_TAKES: Duration = Duration::from_millis(200);
const TICK: Duration = Duration::from_millis(1);
const INSIDE: Duration = Duration::from_millis(1);
const ABROAD: Duration = Duration::from_millis(20);

/// The node that sends: an inner one, or, in a location of two nodes, the standby gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Inner,
    Standby,
}

impl Sender {
    const fn name(self) -> &'static str {
        match self {
            Self::Inner => INNER,
            Self::Standby => "b2",
        }
    }

    /// All nodes, and how long their kernels take.
    fn nodes(self) -> impl Iterator<Item = (&'static str, Duration)> {
        NODES.into_iter().filter(move |(name, _)| self == Self::Inner || *name != INNER)
    }
}

/// What `b1` does when it is asked to encapsulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Encapsulates,
    Ignores,
    /// It would encapsulate, and a firewall of the far gateways drops all encapsulated packets.
    IsBlocked,
}

struct Node {
    port: ProbePort,
    takes: Duration,
    /// What the prober reported and the kernel does not hold yet.
    pending: VecDeque<(Now, Liveness)>,
    /// What the kernel holds.
    held: Liveness,
}

enum InFlight {
    Probe {
        from: IpAddr,
        to: IpAddr,
        form: Form,
        bytes: Vec<u8>,
    },
    /// A packet to the gateway that carries it.
    Leaving {
        by: &'static str,
        to: &'static str,
    },
    Arriving {
        by: &'static str,
        to: &'static str,
        form: Form,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Encapsulated,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    plain: usize,
    encapsulated: usize,
    lost: usize,
}

struct Network {
    now: Now,
    behaviour: Behaviour,
    sender: Sender,
    nodes: BTreeMap<&'static str, Node>,
    in_flight: Vec<(Now, InFlight)>,
    tally: Tally,
}

fn name(node: &str) -> NodeName {
    node.parse().unwrap()
}

fn proven(held: &Liveness) -> BTreeSet<NodeName> {
    let proven = held.handover.decapsulating.iter().filter(|(_, how)| **how == Decapsulation::Proven);
    proven.map(|(name, _)| name.clone()).collect()
}

fn kind(from: &str, to: &str) -> PathKind {
    if from[..1] == to[..1] { PathKind::Inside } else { PathKind::Tunnel }
}

fn address(node: &str, kind: PathKind) -> IpAddr {
    let position = NODES.iter().position(|(name, _)| *name == node).unwrap();
    let second = if kind == PathKind::Tunnel { 4 } else { 0 };
    IpAddr::from([10, second, 0, u8::try_from(position).unwrap()])
}

/// The node of an address, and the kind of path by which it is reached.
fn whose(address_of_node: IpAddr) -> (&'static str, PathKind) {
    let all = NODES.iter().flat_map(|(name, _)| [(*name, PathKind::Tunnel), (*name, PathKind::Inside)]);
    all.into_iter().find(|(name, kind)| address(name, *kind) == address_of_node).unwrap()
}

fn private_key(node: &str) -> [u8; 32] {
    let position = NODES.iter().position(|(name, _)| *name == node).unwrap();
    [u8::try_from(position + 1).unwrap(); 32]
}

fn started(now: Now, sender: Sender, node: &str, takes: Duration) -> Node {
    let position = NODES.iter().position(|(name, _)| *name == node).unwrap();
    let token = u64::try_from(now.as_millis() * 100).unwrap() + u64::try_from(position).unwrap();
    let identity = Identity { private_key: SecretKey::new(private_key(node)), token, first_session: token };
    let mut port = ProbePort::new(Duration::from_millis(250), identity, Liveness::default());
    let target_at = |to: &str, kind| target(to, kind, address(node, kind), address(to, kind));
    let is_probed = |to: &&str| {
        let is_reached = node != INNER || kind(node, to) == PathKind::Inside;
        *to != node && *to != INNER && is_reached
    };
    let targets = NODES.iter().map(|(to, _)| *to).filter(is_probed).map(|to| (name(to), target_at(to, kind(node, to))));
    let location_size = sender.nodes().filter(|(other, _)| kind(node, other) == PathKind::Inside).count();
    let position = Position { location: node[..1].parse().unwrap(), is_gateway: node != INNER };
    let peers = NODES.iter().flat_map(|(other, _)| [(*other, PathKind::Tunnel), (*other, PathKind::Inside)]);
    let peer = |(other, kind)| {
        let public_key = x25519_dalek::x25519(private_key(other), x25519_dalek::X25519_BASEPOINT_BYTES);
        let public_key = PublicKey::from_bytes(public_key);
        (address(other, kind), ProbePeer { kind, public_key, format: ProbeFormat::V2 })
    };
    port.set_plan(
        now,
        position,
        &ProbePlan { targets: targets.collect(), location_size, ..ProbePlan::default() },
        peers.filter(|(other, _)| *other != node).map(peer).collect(),
    );
    Node { port, takes, pending: VecDeque::new(), held: Liveness::default() }
}

impl Network {
    fn new(sender: Sender, behaviour: Behaviour) -> Self {
        let now = seconds(100);
        let nodes = sender.nodes().map(|(node, takes)| (node, started(now, sender, node, takes)));
        Self { now, behaviour, sender, nodes: nodes.collect(), in_flight: Vec::new(), tally: Tally::default() }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            self.tick();
        }
    }

    fn tick(&mut self) {
        let now = self.now;
        if now.as_millis().is_multiple_of(2) {
            for to in FAR {
                let by = self.carrier_by(self.sender.name());
                self.in_flight.push((now + INSIDE, InFlight::Leaving { by, to }));
            }
        }
        let (arrived, in_flight) = std::mem::take(&mut self.in_flight).into_iter().partition(|(at, _)| *at <= now);
        self.in_flight = in_flight;
        let arrived: Vec<(Now, InFlight)> = arrived;
        arrived.into_iter().for_each(|(_, what)| self.arrive(what));
        for name in NODES.map(|(name, _)| name) {
            self.run_node(name);
        }
    }

    fn arrive(&mut self, what: InFlight) {
        match what {
            InFlight::Probe { from, to, form, bytes } => {
                if form == Form::Plain || self.accepts_encapsulated(whose(to).0) {
                    self.take_datagram(from, to, &bytes);
                }
            }
            InFlight::Leaving { by, to } => {
                let encapsulates =
                    |node: &Node| node.held.handover.decapsulating.get(&name(to)) == Some(&Decapsulation::Proven);
                let form = match self.nodes.get(by) {
                    Some(node) if self.behaviour == Behaviour::Encapsulates && encapsulates(node) => Form::Encapsulated,
                    Some(_) => Form::Plain,
                    None => return self.tally.lost += 1,
                };
                self.in_flight.push((self.now + ABROAD, InFlight::Arriving { by, to, form }));
            }
            InFlight::Arriving { by, to, form } => match form {
                Form::Encapsulated if self.accepts_encapsulated(to) => self.tally.encapsulated += 1,
                Form::Plain if self.carrier_by(to) == by => self.tally.plain += 1,
                Form::Encapsulated | Form::Plain => self.tally.lost += 1,
            },
        }
    }

    /// Whether a far gateway accepts encapsulated packets from `b1`.
    fn accepts_encapsulated(&self, node: &str) -> bool {
        self.behaviour != Behaviour::IsBlocked && self.nodes[node].held.handover.returning.contains(&name("b1"))
    }

    /// The gateway that carries for location `b`, as this node's kernel has it.
    fn carrier_by(&self, node: &str) -> &'static str {
        if self.nodes[node].held.is_live(&name("b1")) { "b1" } else { "b2" }
    }

    fn take_datagram(&mut self, from: IpAddr, to: IpAddr, bytes: &[u8]) {
        let Some(node) = self.nodes.get_mut(whose(to).0) else { return };
        // Answers to the probes of a node from before its start come too late.
        if let Err(refusal) = node.port.take_datagram(self.now, from, to, bytes) {
            assert_eq!(refusal, Refusal::NotAwaited);
        }
        self.send_all(whose(to).0);
    }

    fn send_all(&mut self, name: &str) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let outgoing: Vec<_> = std::iter::from_fn(|| node.port.next_outgoing()).collect();
        for Outgoing { from, to, bytes, shape, .. } in outgoing {
            let form = match shape {
                Shape::Plain | Shape::Padded { .. } => Form::Plain,
                Shape::Encapsulated { .. } => Form::Encapsulated,
            };
            self.send(from, to, form, bytes);
        }
    }

    fn send(&mut self, from: IpAddr, to: IpAddr, form: Form, bytes: Vec<u8>) {
        let takes = match whose(to).1 {
            PathKind::Tunnel => ABROAD,
            PathKind::Inside => INSIDE,
        };
        self.in_flight.push((self.now + takes, InFlight::Probe { from, to, form, bytes }));
    }

    fn run_node(&mut self, name: &'static str) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let now = self.now;
        while let Some((_, held)) = node.pending.pop_front_if(|(at, _)| *at <= now) {
            let is_far = |returning: &&NodeName| kind(name, returning.as_str()) == PathKind::Tunnel;
            let handover = HandoverInForce {
                leads_to: if self.behaviour == Behaviour::Ignores {
                    BTreeSet::new()
                } else {
                    held.handover.decapsulating.keys().cloned().collect()
                },
                encapsulates_to: proven(&held),
                decapsulates_from: held.handover.returning.iter().filter(is_far).cloned().collect(),
            };
            node.held = held;
            node.port.set_handover(now, handover);
        }
        node.port.handle_timeout(now);
        while let Some(events) = node.port.next_event() {
            if let ProberEvent::Liveness(liveness) = events {
                node.pending.push_back((now + node.takes, liveness));
            }
        }
        self.send_all(name);
    }

    /// `b1` dies, and starts again some seconds later.
    fn return_of_b1(sender: Sender, behaviour: Behaviour) -> Self {
        Self::return_of_b1_that_takes(B1_TAKES, sender, behaviour)
    }

    /// The same, and its kernel takes this long to hold a new plan.
    fn return_of_b1_that_takes(takes: Duration, sender: Sender, behaviour: Behaviour) -> Self {
        let mut network = Self::new(sender, behaviour);
        network.run(seconds(5));
        assert_eq!(network.tally.lost, 0);
        network.nodes.remove("b1");
        network.run(seconds(5));
        assert!(network.tally.lost > 0, "packets are lost while no gateway carries them");
        network.nodes.insert("b1", started(network.now, sender, "b1", takes));
        network.tally = Tally::default();
        network
    }
}

#[test]
fn no_packet_is_lost_when_a_gateway_returns() {
    for sender in [Sender::Inner, Sender::Standby] {
        let mut network = Network::return_of_b1(sender, Behaviour::Encapsulates);
        network.run(seconds(9));
        assert_eq!(network.tally.encapsulated, 0, "{sender:?} {:?}", network.tally);
        network.run(seconds(10));
        assert_eq!(network.tally.lost, 0, "{sender:?} {:?}", network.tally);
        // It encapsulates for a little more than two seconds from the moment on: 500 packets a second to each of two gateways.
        assert!((2_000..3_000).contains(&network.tally.encapsulated), "{sender:?} {:?}", network.tally);
        for (at, node) in &network.nodes {
            assert_eq!(node.held, Liveness::default(), "nothing is left at {at}");
        }
    }
}

#[test]
fn no_packet_is_lost_when_a_gateway_returns_whose_kernel_is_slow() {
    for takes in [600, 1_000, 1_500] {
        let takes = Duration::from_millis(takes);
        for sender in [Sender::Inner, Sender::Standby] {
            let mut network = Network::return_of_b1_that_takes(takes, sender, Behaviour::Encapsulates);
            network.run(seconds(25));
            assert_eq!(network.tally.lost, 0, "{takes:?} {sender:?} {:?}", network.tally);
            assert_eq!(FAR.map(|far| network.carrier_by(far)), ["b1"; 2]);
        }
    }
}

#[test]
fn the_only_standby_gateway_is_not_isolated_when_the_other_gateway_returns() {
    for moment in (0..250).step_by(50) {
        let mut network = Network::new(Sender::Standby, Behaviour::Encapsulates);
        network.run(seconds(5));
        network.nodes.remove("b1");
        network.run(seconds(5) + Duration::from_millis(moment));
        network.nodes.insert("b1", started(network.now, Sender::Standby, "b1", B1_TAKES));
        for _ in 0..120 {
            network.run(Duration::from_millis(100));
            for far in FAR {
                assert!(network.nodes[far].held.is_live(&name("b2")), "{moment} ms: {:?}", network.nodes[far].held);
            }
        }
    }
}

#[test]
fn a_gateway_that_never_encapsulates_is_live_five_seconds_later() {
    for behaviour in [Behaviour::Ignores, Behaviour::IsBlocked] {
        never_encapsulates(behaviour);
    }
}

fn never_encapsulates(behaviour: Behaviour) {
    let mut network = Network::return_of_b1(Sender::Inner, behaviour);
    network.run(Duration::from_millis(14_500));
    assert_eq!(FAR.map(|far| network.carrier_by(far)), ["b2"; 2]);
    network.run(Duration::from_millis(1_400));
    assert_eq!(FAR.map(|far| network.carrier_by(far)), ["b1"; 2]);
    assert!(network.tally.lost > 0 && network.tally.encapsulated == 0, "{:?}", network.tally);
    network.run(seconds(5));
    for (at, node) in &network.nodes {
        let of_b1 = [&node.held.down, &node.held.handover.returning].map(|nodes| nodes.contains(&name("b1")));
        assert_eq!(of_b1, [false; 2], "nothing is left at {at}");
    }
}

#[test]
fn a_gateway_that_goes_down_during_its_handover_leaves_nothing_behind() {
    for moment in [9_000, 10_500, 11_500, 12_500] {
        let mut network = Network::return_of_b1(Sender::Inner, Behaviour::Encapsulates);
        network.run(Duration::from_millis(moment));
        assert!(network.nodes["a1"].held.handover.returning.contains(&name("b1")), "after {moment} ms");
        network.nodes.remove("b1");
        network.run(seconds(3));
        for (at, node) in &network.nodes {
            let held = Liveness { bypassed: BTreeSet::new(), ..node.held.clone() };
            assert_eq!(held, Liveness::without([name("b1")]), "at {at} after {moment} ms");
        }
        network.tally = Tally::default();
        network.run(seconds(1));
        assert_eq!(network.tally, Tally { plain: 1_000, ..Tally::default() });
    }
}
