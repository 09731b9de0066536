//! One prober, and others that answer it as they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use carrick_probe::{
    Audience, Condition, Falls, HandoverFlags, Hearing, Now, Path, PathKind, Prober, Shape, Standpoint, Tidings,
    Transmit,
};
use carrick_topology::NodeName;
use carrick_topology::model::{Liveness, Unpacking};
use carrick_topology::plan::{ProbePlan, ProbeTarget};

pub const INTERVAL: Duration = Duration::from_millis(250);
pub const WELL_AS_EVER: Condition = Condition {
    hearing: Hearing { tunnels: Audience::Somebody, inside: Audience::Somebody },
    well_ms: u32::MAX,
    handover: HandoverFlags::NONE,
    falls: Falls::from_byte(0),
};

/// How a node answers.
#[derive(Clone, Copy)]
pub enum Answering {
    /// After this time, packets up to this size.
    Agent(Duration, u32),
    /// With "port unreachable": six times at once, then once a second.
    Kernel,
    Nobody,
}

pub const WELL: Answering = Answering::Agent(Duration::from_millis(10), 9000);

pub struct World {
    pub now: Now,
    pub prober: Prober,
    pub nodes: BTreeMap<IpAddr, (NodeName, Answering)>,
    pub on_the_way: Vec<(Now, Transmit)>,
    /// What each kernel's rate limit leaves it, and when that was so.
    pub allowances: BTreeMap<IpAddr, (Duration, Now)>,
    pub sent: Vec<(Now, Transmit)>,
    pub tidings: Vec<(Now, Tidings)>,
    pub steps: usize,
    /// What those say of packing that say anything.
    pub saying: BTreeMap<&'static str, HandoverFlags>,
    /// Whether packed packets arrive anywhere.
    pub packed_pass: bool,
    /// What all answer that they were told of their falls.
    pub falls: Falls,
}

impl World {
    /// A gateway of location `a` and the gateways that it probes: `b1`, `b2`, …
    pub fn with(gateways: &[(&str, Answering)]) -> Self {
        Self::at(Standpoint { location: "a".parse().unwrap(), is_gateway: true }, gateways)
    }

    /// A node and the gateways that it probes.
    pub fn at(standpoint: Standpoint, gateways: &[(&str, Answering)]) -> Self {
        let mut nodes = BTreeMap::new();
        let mut plan = ProbePlan { targets: BTreeMap::new(), crowd: 1 };
        for (number, (name, answering)) in (1_u16..).zip(gateways) {
            let [high, low] = number.to_be_bytes();
            let to = IpAddr::from([10, 4, high, low]);
            let target = ProbeTarget {
                location: name[..1].parse().unwrap(),
                kind: if name.starts_with('a') { PathKind::Inside } else { PathKind::Tunnel },
                from: "10.4.255.1".parse().unwrap(),
                to,
                device_mtu: 1420,
            };
            plan.targets.insert(name.parse().unwrap(), target);
            nodes.insert(to, (name.parse().unwrap(), *answering));
        }
        let mut prober = Prober::new(INTERVAL, 7, Liveness::default());
        let now = Duration::from_secs(100);
        prober.set_plan(now, standpoint, &plan);
        Self {
            now,
            prober,
            nodes,
            on_the_way: Vec::new(),
            allowances: BTreeMap::new(),
            sent: Vec::new(),
            tidings: Vec::new(),
            steps: 0,
            saying: BTreeMap::new(),
            packed_pass: true,
            falls: Falls::default(),
        }
    }

    pub fn set(&mut self, name: &str, answering: Answering) {
        self.nodes.values_mut().find(|(node, _)| node.as_str() == name).unwrap().1 = answering;
    }

    /// Lets this time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.on_the_way.iter().map(|(at, _)| *at).min();
            let next = [arrival, self.prober.next_deadline()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    pub fn step(&mut self) {
        self.steps += 1;
        assert!(self.steps < 1_000_000, "it turns in vain");
        let now = self.now;
        let (arrived, on_the_way) = std::mem::take(&mut self.on_the_way).into_iter().partition(|(at, _)| *at <= now);
        self.on_the_way = on_the_way;
        let arrived: Vec<(Now, Transmit)> = arrived;
        for (_, transmit) in arrived {
            let handover = self.saying.get(self.nodes[&transmit.to].0.as_str()).copied().unwrap_or_default();
            let condition = Condition { handover, falls: self.falls, ..WELL_AS_EVER };
            self.prober.take_answer(now, transmit.to, transmit.question, condition);
        }
        self.prober.handle_timeout(now);
        while let Some(transmit) = self.prober.next_transmit() {
            self.sent.push((now, transmit));
            match self.nodes[&transmit.to].1 {
                Answering::Agent(after, largest) if self.passes(transmit.shape, largest) => {
                    self.on_the_way.push((now + after, transmit));
                }
                Answering::Agent(..) | Answering::Nobody => {}
                Answering::Kernel => {
                    let (left, at) = self.allowances.entry(transmit.to).or_insert((seconds(6), now));
                    *left = (*left + now.saturating_sub(*at)).min(seconds(6));
                    *at = now;
                    if *left >= seconds(1) {
                        *left -= seconds(1);
                        self.prober.take_refusal(now, transmit.to);
                    }
                }
            }
        }
        while let Some(tidings) = self.prober.next_tidings() {
            self.tidings.push((now, tidings));
        }
    }

    fn passes(&self, shape: Shape, largest: u32) -> bool {
        match shape {
            Shape::Plain => true,
            Shape::Padded { ip_bytes } => ip_bytes <= largest,
            Shape::Packed { ip_bytes } => self.packed_pass && ip_bytes <= largest,
        }
    }

    /// What was last told of nodes, and when.
    pub fn liveness(&self) -> Option<(Now, &Liveness)> {
        self.tidings.iter().rev().find_map(|(at, tidings)| match tidings {
            Tidings::Liveness(liveness) => Some((*at, liveness)),
            Tidings::Path { .. } | Tidings::PathMtus(_) => None,
        })
    }

    /// When nodes were last told of, and which of them are down.
    pub fn down(&self) -> (Option<Now>, Vec<&str>) {
        let told = self.liveness();
        (told.map(|(at, _)| at), told.map(|(_, liveness)| names(&liveness.down)).unwrap_or_default())
    }

    /// The gateways that return, as told last.
    pub fn returning(&self) -> Vec<&str> {
        self.liveness().map(|(_, liveness)| names(&liveness.returning)).unwrap_or_default()
    }

    /// The gateways that take packed packets, as told last.
    pub fn unpacking(&self) -> Vec<&str> {
        self.liveness()
            .map(|(_, liveness)| liveness.unpacking.keys().map(NodeName::as_str).collect())
            .unwrap_or_default()
    }

    /// Those of them that were seen to do so, as told last.
    pub fn proven(&self) -> Vec<&str> {
        let told = self.liveness().map(|(_, liveness)| &liveness.unpacking);
        let proven = told.into_iter().flatten().filter(|(_, how)| **how == Unpacking::Proven);
        proven.map(|(name, _)| name.as_str()).collect()
    }

    /// Lets time pass until this holds.
    pub fn run_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = self.now + seconds(120);
        while !holds(self) {
            assert!(self.now < end, "not {what}: {:?}", self.tidings);
            self.run(Duration::from_millis(10));
        }
    }

    /// What a node was told last, by a probe that may be padded.
    pub fn told(&self, name: &str) -> Transmit {
        let to = |transmit: &Transmit| self.nodes[&transmit.to].0.as_str() == name;
        self.sent.iter().rev().find(|(_, transmit)| to(transmit)).unwrap().1
    }

    pub fn address(&self, name: &str) -> IpAddr {
        *self.nodes.iter().find(|(_, (node, _))| node.as_str() == name).unwrap().0
    }

    pub fn path(&self, name: &str) -> Path {
        self.prober.paths().into_iter().find(|path| path.to.as_str() == name).unwrap()
    }
}

pub fn names(nodes: &BTreeSet<NodeName>) -> Vec<&str> {
    nodes.iter().map(NodeName::as_str).collect()
}

pub fn nodes(names: &[&str]) -> BTreeSet<NodeName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
