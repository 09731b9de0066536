//! The probe ports of some nodes, the network between them, and what an attacker in that network does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use carrick_probe::{
    Identity, Now, Outgoing, PathKind, PathState, Position, ProbeFormat, ProbePeer, ProbePort, ProberEvent, Refusal,
};
use carrick_topology::plan::ProbePlan;
use carrick_topology::{Liveness, PublicKey};
use carrick_types::SecretKey;

use crate::world::{names, seconds, target};

pub const INTERVAL: Duration = Duration::from_millis(250);
const INSIDE: Duration = Duration::from_millis(1);
const ABROAD: Duration = Duration::from_millis(20);

/// Gateways `a1`, `a2` and a node `a3` without tunnels; a gateway of another location.
pub const NODES: [&str; 4] = ["a1", "a2", "a3", "b1"];

/// A datagram in the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub from: IpAddr,
    pub to: IpAddr,
    pub bytes: Vec<u8>,
}

pub struct Node {
    pub port: ProbePort,
    pub liveness: Liveness,
    pub events: Vec<(Now, ProberEvent)>,
}

pub struct Wire {
    pub now: Now,
    pub nodes: BTreeMap<&'static str, Node>,
    in_flight: Vec<(Now, Frame)>,
    /// All that nodes sent.
    pub recorded: Vec<(Now, Frame)>,
    /// Pairs of nodes between which nothing arrives.
    pub cut: BTreeSet<(&'static str, &'static str)>,
    starts: u64,
}

pub fn private_key(node: &str, generation: u8) -> [u8; 32] {
    let position = NODES.iter().position(|name| *name == node).unwrap();
    let mut key = [generation; 32];
    key[8] = u8::try_from(position + 1).unwrap();
    key
}

pub fn peer(node: &str, generation: u8, kind: PathKind, format: ProbeFormat) -> ProbePeer {
    let public_key = x25519_dalek::x25519(private_key(node, generation), x25519_dalek::X25519_BASEPOINT_BYTES);
    ProbePeer { kind, public_key: PublicKey::from_bytes(public_key), format }
}

pub fn kind(from: &str, to: &str) -> PathKind {
    if from[..1] == to[..1] { PathKind::Inside } else { PathKind::Tunnel }
}

pub fn address(node: &str, kind: PathKind) -> IpAddr {
    let position = NODES.iter().position(|name| *name == node).unwrap();
    let second = if kind == PathKind::Tunnel { 4 } else { 0 };
    IpAddr::from([10, second, 0, u8::try_from(position + 1).unwrap()])
}

/// The node with an address.
pub fn owner(of: IpAddr) -> &'static str {
    let has = |node: &&str| [PathKind::Tunnel, PathKind::Inside].map(|kind| address(node, kind)).contains(&of);
    NODES.into_iter().find(has).unwrap()
}

/// A port with its first key, before it knows a plan.
pub fn new_port(node: &str, start: u64) -> ProbePort {
    let identity = Identity {
        private_key: SecretKey::new(private_key(node, 1)),
        token: 1_000 + start,
        first_session: start << 32,
    };
    ProbePort::new(INTERVAL, identity, Liveness::default())
}

/// Gives a port the plan of its node, where these nodes are described like this.
pub fn set_plan(port: &mut ProbePort, now: Now, node: &str, describe: impl Fn(&str, PathKind) -> ProbePeer) {
    let target_at = |to: &str, kind| target(to, kind, address(node, kind), address(to, kind));
    let is_gateway = |node: &str| node != "a3";
    let is_probed =
        |to: &&str| *to != node && is_gateway(to) && (is_gateway(node) || kind(node, to) == PathKind::Inside);
    let targets =
        NODES.into_iter().filter(is_probed).map(|to| (to.parse().unwrap(), target_at(to, kind(node, to)))).collect();
    let location_size = NODES.into_iter().filter(|other| kind(node, other) == PathKind::Inside).count();
    let others = NODES.into_iter().filter(|other| *other != node);
    let addresses = others.flat_map(|other| [(other, PathKind::Tunnel), (other, kind(node, other))]);
    let peers = addresses.map(|(other, kind)| (address(other, kind), describe(other, kind))).collect();
    let position = Position { location: node[..1].parse().unwrap(), is_gateway: is_gateway(node) };
    port.set_plan(now, position, &ProbePlan { targets, location_size, ..ProbePlan::default() }, peers);
}

impl Wire {
    /// All nodes, some seconds after they started.
    pub fn up() -> Self {
        let mut wire = Self {
            now: seconds(100),
            nodes: BTreeMap::new(),
            in_flight: Vec::new(),
            recorded: Vec::new(),
            cut: BTreeSet::new(),
            starts: 0,
        };
        NODES.into_iter().for_each(|node| wire.start(node));
        wire.run(seconds(5));
        wire.is_well();
        wire
    }

    /// Starts the agent of a node, which knows nothing of what was before.
    pub fn start(&mut self, node: &'static str) {
        self.starts += 1;
        let mut port = new_port(node, self.starts);
        set_plan(&mut port, self.now, node, |other, kind| peer(other, 1, kind, ProbeFormat::V2));
        self.nodes.insert(node, Node { port, liveness: Liveness::default(), events: Vec::new() });
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrivals = self.in_flight.iter().map(|(at, _)| *at);
            let deadlines = self.nodes.values().filter_map(|node| node.port.next_deadline());
            let Some(next) = arrivals.chain(deadlines).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            let (arrived, in_flight) =
                std::mem::take(&mut self.in_flight).into_iter().partition(|(at, _)| *at <= self.now);
            self.in_flight = in_flight;
            let arrived: Vec<(Now, Frame)> = arrived;
            for (_, frame) in arrived {
                if !self.cut.contains(&(owner(frame.from), owner(frame.to))) {
                    let _ = self.deliver(&frame);
                }
            }
            for name in NODES {
                let Some(node) = self.nodes.get_mut(name) else { continue };
                node.port.handle_timeout(self.now);
                self.collect(name);
            }
        }
        self.now = end;
    }

    /// Delivers a datagram, from a node or from the attacker.
    pub fn deliver(&mut self, frame: &Frame) -> Option<Result<(), Refusal>> {
        let name = owner(frame.to);
        let node = self.nodes.get_mut(name)?;
        let taken = node.port.take_datagram(self.now, frame.from, frame.to, &frame.bytes);
        self.collect(name);
        Some(taken)
    }

    /// Lets time pass while an attacker sends 500 of these datagrams a second, again and again.
    pub fn attack(&mut self, time: Duration, frames: &[Frame]) -> BTreeMap<Result<(), Refusal>, usize> {
        let mut taken = BTreeMap::new();
        let end = self.now + time;
        for frame in frames.iter().cycle() {
            if self.now >= end {
                break;
            }
            self.run(Duration::from_millis(2));
            if let Some(result) = self.deliver(frame) {
                *taken.entry(result).or_default() += 1;
            }
        }
        taken
    }

    fn collect(&mut self, name: &'static str) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        while let Some(event) = node.port.next_event() {
            if let ProberEvent::Liveness(liveness) = &event {
                node.liveness.clone_from(liveness);
            }
            node.events.push((self.now, event));
        }
        while let Some(Outgoing { from, to, bytes, .. }) = node.port.next_outgoing() {
            let takes = if kind(name, owner(to)) == PathKind::Inside { INSIDE } else { ABROAD };
            let frame = Frame { from, to, bytes };
            self.recorded.push((self.now, frame.clone()));
            self.in_flight.push((self.now + takes, frame));
        }
    }

    /// All that was recorded since then, from one node to another, or to any other.
    pub fn recorded_since(&self, since: Now, from: &str, to: Option<&str>) -> Vec<Frame> {
        let is_wanted = |(at, frame): &&(Now, Frame)| {
            *at >= since && owner(frame.from) == from && to.is_none_or(|to| owner(frame.to) == to)
        };
        self.recorded.iter().filter(is_wanted).map(|(_, frame)| frame.clone()).collect()
    }

    /// Every path answers all probes, no gateway is down, and nothing moves.
    pub fn is_well(&self) {
        for (name, node) in &self.nodes {
            assert_eq!(node.liveness, Liveness::default(), "{name}: {:?}", node.events);
            for path in node.port.paths() {
                assert_eq!((path.state, path.loss), (PathState::Up, Some(0.0)), "{name} to {}", path.to);
            }
        }
    }

    pub fn down(&self, node: &str) -> Vec<&str> {
        names(&self.nodes[node].liveness.down)
    }
}
