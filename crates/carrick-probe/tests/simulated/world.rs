//! One prober, and nodes that answer as the test says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use carrick_probe::{
    AskedLocation, Condition, Duty, FlapCount, HandoverFlags, HeardPeers, Now, PathKind, Position, ProbedPath, Prober,
    ProberEvent, Reachability, Shape, Transmit,
};
use carrick_topology::Liveness;
use carrick_topology::NodeName;
use carrick_topology::handover::Decapsulation;
use carrick_topology::plan::{Egress, ProbePlan, ProbeTarget};

pub const INTERVAL: Duration = Duration::from_millis(250);
pub const LONG_WELL: Condition = Condition {
    heard_peers: HeardPeers { tunnels: Reachability::SomePeer, inside: Reachability::SomePeer },
    duty: Duty::Serving,
    well_ms: u32::MAX,
    handover: HandoverFlags::NONE,
    flap_count: FlapCount::from_byte(0),
    asked: AskedLocation::Unheard,
};

/// How a node answers.
#[derive(Clone, Copy)]
pub enum Answering {
    /// Its agent answers after this time, packets up to this size.
    Agent(Duration, u32),
    /// Its kernel answers with "port unreachable": six times at once, then once a second.
    Kernel,
    /// It does not answer.
    Silent,
}

pub const WELL: Answering = Answering::Agent(Duration::from_millis(10), 9000);

pub struct World {
    pub now: Now,
    pub prober: Prober,
    pub nodes: BTreeMap<IpAddr, (NodeName, Answering)>,
    pub in_flight: Vec<(Now, Transmit)>,
    /// How many refusals the rate limit of each kernel leaves, as a time, and when that was so.
    pub allowances: BTreeMap<IpAddr, (Duration, Now)>,
    pub sent: Vec<(Now, Transmit)>,
    pub events: Vec<(Now, ProberEvent)>,
    pub steps: usize,
    /// What the nodes say of handovers; a node that is not named says nothing.
    pub saying: BTreeMap<&'static str, HandoverFlags>,
    /// Whether encapsulated packets pass.
    pub encapsulated_pass: bool,
    /// The flap count with which all nodes answer.
    pub flap_count: FlapCount,
}

/// A node that is probed. Its location has the first letter of its name.
pub fn target(node: &str, kind: PathKind, from: IpAddr, to: IpAddr) -> ProbeTarget {
    ProbeTarget { location: node[..1].parse().unwrap(), kind, from, to, egress: Egress::Route, device_mtu: 1420 }
}

impl World {
    /// A gateway of location `a` and the gateways that it probes: `b1`, `b2`, …
    pub fn with(gateways: &[(&str, Answering)]) -> Self {
        Self::at(Position { location: "a".parse().unwrap(), is_gateway: true }, gateways)
    }

    /// A node and the gateways that it probes.
    pub fn at(position: Position, gateways: &[(&str, Answering)]) -> Self {
        let mut nodes = BTreeMap::new();
        let mut plan = ProbePlan { targets: BTreeMap::new(), location_size: 1, ..ProbePlan::default() };
        for (number, (name, answering)) in (1_u16..).zip(gateways) {
            let [high, low] = number.to_be_bytes();
            let to = IpAddr::from([10, 4, high, low]);
            let kind = if name.starts_with('a') { PathKind::Inside } else { PathKind::Tunnel };
            let from = "10.4.255.1".parse().unwrap();
            plan.targets.insert(name.parse().unwrap(), target(name, kind, from, to));
            nodes.insert(to, (name.parse().unwrap(), *answering));
        }
        let mut prober = Prober::new(INTERVAL, 7, Liveness::default());
        let now = Duration::from_secs(100);
        prober.set_plan(now, position, &plan);
        Self {
            now,
            prober,
            nodes,
            in_flight: Vec::new(),
            allowances: BTreeMap::new(),
            sent: Vec::new(),
            events: Vec::new(),
            steps: 0,
            saying: BTreeMap::new(),
            encapsulated_pass: true,
            flap_count: FlapCount::default(),
        }
    }

    pub fn set(&mut self, name: &str, answering: Answering) {
        self.nodes.values_mut().find(|(node, _)| node.as_str() == name).unwrap().1 = answering;
    }

    /// Lets this time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.in_flight.iter().map(|(at, _)| *at).min();
            let next = [arrival, self.prober.next_deadline()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    pub fn step(&mut self) {
        self.steps += 1;
        assert!(self.steps < 1_000_000, "the prober has nothing to do and does not wait");
        let now = self.now;
        let (arrived, in_flight) = std::mem::take(&mut self.in_flight).into_iter().partition(|(at, _)| *at <= now);
        self.in_flight = in_flight;
        let arrived: Vec<(Now, Transmit)> = arrived;
        for (_, transmit) in arrived {
            let handover = self.saying.get(self.nodes[&transmit.to].0.as_str()).copied().unwrap_or_default();
            let condition = Condition { handover, flap_count: self.flap_count, ..LONG_WELL };
            self.prober.take_answer(now, transmit.to, transmit.id, condition);
        }
        self.prober.handle_timeout(now);
        while let Some(transmit) = self.prober.next_transmit() {
            self.sent.push((now, transmit));
            match self.nodes[&transmit.to].1 {
                Answering::Agent(after, largest) if self.passes(transmit.shape, largest) => {
                    self.in_flight.push((now + after, transmit));
                }
                Answering::Agent(..) | Answering::Silent => {}
                Answering::Kernel => {
                    let (left, at) = self.allowances.entry(transmit.to).or_insert((seconds(6), now));
                    *left = (*left + now.saturating_sub(*at)).min(seconds(6));
                    *at = now;
                    if *left >= seconds(1) {
                        *left -= seconds(1);
                        self.prober.take_refusal(now, transmit.to, transmit.id);
                    }
                }
            }
        }
        while let Some(events) = self.prober.next_event() {
            self.events.push((now, events));
        }
    }

    fn passes(&self, shape: Shape, largest: u32) -> bool {
        match shape {
            Shape::Plain => true,
            Shape::Padded { ip_bytes } => ip_bytes <= largest,
            Shape::Encapsulated { ip_bytes } => self.encapsulated_pass && ip_bytes <= largest,
        }
    }

    /// The liveness that was reported last, and when.
    pub fn liveness(&self) -> Option<(Now, &Liveness)> {
        self.events.iter().rev().find_map(|(at, events)| match events {
            ProberEvent::Liveness(liveness) => Some((*at, liveness)),
            ProberEvent::ProbedPath { .. } | ProberEvent::PathMtus(_) => None,
        })
    }

    /// When the liveness was reported last, and which nodes are down.
    pub fn down(&self) -> (Option<Now>, Vec<&str>) {
        let told = self.liveness();
        (told.map(|(at, _)| at), told.map(|(_, liveness)| names(&liveness.down)).unwrap_or_default())
    }

    /// The gateways that were returning in the last report.
    pub fn returning(&self) -> Vec<&str> {
        self.liveness().map(|(_, liveness)| names(&liveness.handover.returning)).unwrap_or_default()
    }

    /// The gateways that accepted encapsulated packets in the last report.
    pub fn decapsulating(&self) -> Vec<&str> {
        self.liveness()
            .map(|(_, liveness)| liveness.handover.decapsulating.keys().map(NodeName::as_str).collect())
            .unwrap_or_default()
    }

    /// Those of them that an encapsulated probe has reached.
    pub fn proven(&self) -> Vec<&str> {
        let told = self.liveness().map(|(_, liveness)| &liveness.handover.decapsulating);
        let proven = told.into_iter().flatten().filter(|(_, how)| **how == Decapsulation::Proven);
        proven.map(|(name, _)| name.as_str()).collect()
    }

    /// Lets time pass until this holds.
    pub fn run_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = self.now + seconds(120);
        while !holds(self) {
            assert!(self.now < end, "not {what}: {:?}", self.events);
            self.run(Duration::from_millis(10));
        }
    }

    /// The last probe to a node.
    pub fn last_probe(&self, name: &str) -> Transmit {
        let to = |transmit: &Transmit| self.nodes[&transmit.to].0.as_str() == name;
        self.sent.iter().rev().find(|(_, transmit)| to(transmit)).unwrap().1
    }

    pub fn address(&self, name: &str) -> IpAddr {
        *self.nodes.iter().find(|(_, (node, _))| node.as_str() == name).unwrap().0
    }

    pub fn path(&self, name: &str) -> ProbedPath {
        self.prober.paths().into_iter().find(|path| path.to.as_str() == name).unwrap()
    }
}

pub fn names(nodes: &BTreeSet<NodeName>) -> Vec<&str> {
    nodes.iter().map(NodeName::as_str).collect()
}

pub fn nodes(names: &[&str]) -> BTreeSet<NodeName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
