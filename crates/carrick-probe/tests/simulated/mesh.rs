//! A whole mesh: the probers of all nodes, the plans that follow from what they find, and the tunnels between nodes with those plans.
//!
//! A tunnel carries packets once both ends have each other as a peer and a handshake has passed. WireGuard repeats a handshake after 5 s.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use carrick_probe::{Announcement, Condition, Now, PathKind, Position, ProbeId, Prober, ProberEvent};
use carrick_topology::handover::HandoverReport;
use carrick_topology::model::{AgentVersion, Cluster, Duty, Granularity, InternalAddresses, Node, Settings};
use carrick_topology::plan::{NodePlan, PeerIdentity, Role};
use carrick_topology::walk::{Link, Network, Origin, Outcome, Packet, Walk, sample_address};
use carrick_topology::{DeviceName, Liveness, NodeName, plan};

use crate::nodes::node;
use crate::world::INTERVAL;

const TICK: Duration = Duration::from_millis(5);
const INSIDE: Duration = Duration::from_millis(1);
const ABROAD: Duration = Duration::from_millis(20);
const APPLY: Duration = Duration::from_millis(60);
const HANDSHAKE_RETRY: Duration = Duration::from_secs(5);

/// The two ends of a tunnel, in order.
type Pair = (NodeName, NodeName);

struct Member {
    prober: Prober,
    pending: VecDeque<(Now, Liveness)>,
    held: Liveness,
}

impl Member {
    fn new(token: u64) -> Self {
        let prober = Prober::new(INTERVAL, token, Liveness::default());
        Self { prober, pending: VecDeque::new(), held: Liveness::default() }
    }
}

enum InFlight {
    Probe { from: NodeName, to: NodeName, addresses: (IpAddr, IpAddr), kind: PathKind, id: ProbeId, said: Announcement },
    Answer { to: NodeName, from: IpAddr, id: ProbeId, condition: Condition },
}

pub struct Mesh {
    pub now: Now,
    cluster: &'static Cluster,
    settings: &'static Settings,
    network: Network<'static>,
    plans: BTreeMap<NodeName, NodePlan>,
    members: BTreeMap<NodeName, Member>,
    in_flight: Vec<(Now, InFlight)>,
    /// Nodes without power, or without any network.
    pub dead: BTreeSet<NodeName>,
    /// Nodes that run, and have no network.
    pub unplugged: BTreeSet<NodeName>,
    /// Tunnels that carry nothing from the first node to the second one.
    pub broken: BTreeSet<(NodeName, NodeName)>,
    /// From the liveness to the kernel that holds the plan.
    pub apply_time: Duration,
    /// Nodes whose agents do not run until then. Datagrams wait in their sockets.
    asleep: BTreeMap<NodeName, Now>,
    tunnels: RefCell<Tunnels>,
}

#[derive(Default)]
struct Tunnels {
    sessions: BTreeSet<Pair>,
    /// When each node initiated a handshake with another one last.
    initiated: BTreeMap<Pair, Now>,
}

pub fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn pair(one: &NodeName, other: &NodeName) -> Pair {
    let (low, high) = if one < other { (one, other) } else { (other, one) };
    (low.clone(), high.clone())
}

impl Mesh {
    /// These nodes, after their first sessions.
    pub fn up(names: &[&str]) -> Self {
        Self::of(names.iter().map(|name| node(name)), Granularity::Location)
    }

    /// The same, while each node has tunnels to all nodes of other locations.
    pub fn cross(names: &[&str]) -> Self {
        Self::of(names.iter().map(|name| node(name)), Granularity::Cross)
    }

    /// The same, while the agent of one of them is of an earlier release.
    pub fn mixed(names: &[&str], old: &str, protocol: u32) -> Self {
        let agent = AgentVersion {
            version: "0.0.1".to_owned(),
            protocol,
            settings: String::new(),
            outside_mesh: BTreeSet::new(),
        };
        let agent = |name: &&str| (*name == old).then(|| agent.clone());
        Self::of(names.iter().map(|name| Node { agent: agent(name), ..node(name) }), Granularity::Location)
    }

    fn of(nodes: impl Iterator<Item = Node>, granularity: Granularity) -> Self {
        let (mut cluster, mut settings) = (Cluster::default(), Settings { granularity, ..Settings::default() });
        for node in nodes {
            if let InternalAddresses::Advertised(nets) = &node.internal_addresses {
                let device: DeviceName = "eth0".parse().unwrap();
                settings.local.internal_devices.extend(nets.iter().map(|net| (net.addr(), device.clone())));
            }
            cluster.insert_node(node);
        }
        let (cluster, settings): (&'static Cluster, &'static Settings) =
            (Box::leak(Box::new(cluster)), Box::leak(Box::new(settings)));
        let now = Duration::from_secs(100);
        let member = |(token, name): (u64, &NodeName)| (name.clone(), Member::new(token));
        let plans = BTreeMap::new();
        let mut mesh = Self {
            now,
            cluster,
            settings,
            network: Network::new(cluster, settings, &Liveness::default(), Box::leak(Box::default())),
            plans,
            members: (1..).zip(cluster.nodes.keys()).map(member).collect(),
            in_flight: Vec::new(),
            dead: BTreeSet::new(),
            unplugged: BTreeSet::new(),
            broken: BTreeSet::new(),
            apply_time: APPLY,
            asleep: BTreeMap::new(),
            tunnels: RefCell::default(),
        };
        let names: Vec<NodeName> = cluster.nodes.keys().cloned().collect();
        names.iter().for_each(|name| mesh.apply(name, Liveness::default()));
        mesh.run(Duration::from_secs(12), |_| ());
        assert_eq!(mesh.cut_off(), [""; 0]);
        mesh
    }

    /// A person lets a gateway drain, or serve again.
    pub fn set_duty(&mut self, node: &str, duty: Duty) {
        let node = name(node);
        let mut cluster = self.cluster.clone();
        cluster.nodes.get_mut(&node).unwrap().duty = duty;
        self.cluster = Box::leak(Box::new(cluster));
        let held = self.members[&node].held.clone();
        self.apply(&node, held);
    }

    /// Starts a node that was dead, which remembers nothing.
    pub fn restart(&mut self, node: &str) {
        let node = name(node);
        assert!(self.dead.remove(&node));
        let member = self.members.get_mut(&node).unwrap();
        let token = 1_000 + u64::try_from(self.now.as_millis()).unwrap();
        *member = Member::new(token);
        let tunnels = self.tunnels.get_mut();
        tunnels.sessions.retain(|(one, other)| *one != node && *other != node);
        self.apply(&node, Liveness::default());
    }

    /// Stops the agent of a node for this time, which moves the phase of its probes.
    pub fn delay(&mut self, node: &str, time: Duration) {
        self.asleep.insert(name(node), self.now + time);
        self.run(time, |_| ());
    }

    /// Lets this time pass, and calls `check` every 50 ms.
    pub fn run(&mut self, time: Duration, mut check: impl FnMut(&Self)) {
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            self.tick();
            if self.now.as_millis().is_multiple_of(50) {
                check(self);
            }
        }
    }

    /// Lets this time pass while the agents of these nodes run for 20 ms now and then, and sleep for up to `longest` in between.
    pub fn starve(&mut self, nodes: &[&str], time: Duration, longest: Duration, mut check: impl FnMut(&Self)) {
        let end = self.now + time;
        // The constants of a linear congruential generator (Numerical Recipes): the same sleeps in every run.
        let mut random = 1_u32;
        let mut next = |most: u128| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u64::try_from(u128::from(random >> 8) % most).unwrap()
        };
        let mut awake_until: BTreeMap<NodeName, Now> = BTreeMap::new();
        while self.now < end {
            for node in nodes.iter().map(|text| name(text)) {
                let is_awake = self.asleep.get(&node).is_none_or(|until| *until <= self.now);
                if is_awake && awake_until.get(&node).is_none_or(|until| *until <= self.now) {
                    let until = self.now + Duration::from_millis(next(longest.as_millis()));
                    self.asleep.insert(node.clone(), until);
                    awake_until.insert(node, until + Duration::from_millis(20));
                }
            }
            self.run(TICK, &mut check);
        }
        self.asleep.clear();
    }

    /// How long it takes from now on until all pods reach each other for good, in the time that is simulated.
    pub fn outage(&mut self, time: Duration) -> Duration {
        let began = self.now;
        let mut last = began;
        self.run(time, |mesh| {
            if !mesh.cut_off().is_empty() {
                last = mesh.now;
            }
        });
        last - began
    }

    /// The pairs of live nodes whose pods do not reach each other.
    pub fn cut_off(&self) -> Vec<String> {
        let live = || self.cluster.nodes.values().filter(|node| !self.dead.contains(&node.name));
        let mut cut_off = Vec::new();
        for (from, to) in
            live().flat_map(|from| live().map(move |to| (from, to))).filter(|(from, to)| from.name != to.name)
        {
            let pod = |node: &Node| sample_address(node.pod_cidrs.first().unwrap());
            let packet = Packet { source: Some(pod(from)), destination: pod(to) };
            let walk = self.network.walk(&Origin::Pod(from.name.clone()), packet);
            let is_loop = matches!(walk.outcome, Outcome::Dropped(_, carrick_topology::walk::DropReason::Loop));
            assert!(!is_loop, "{} to {}: {walk:?}", from.name, to.name);
            if walk.outcome != Outcome::Pod(to.name.clone()) || !self.passes(&walk, &to.name) {
                cut_off.push(format!("{} to {}", from.name, to.name));
            }
        }
        cut_off
    }

    /// The gateways that are down as a node sees it.
    pub fn down(&self, node: &str) -> Vec<String> {
        self.members[&name(node)].held.down.iter().map(ToString::to_string).collect()
    }

    /// The locations to which a node sends by a detour.
    pub fn detours(&self, node: &str) -> Vec<String> {
        self.members[&name(node)].held.detours.keys().map(ToString::to_string).collect()
    }

    /// The pairs of nodes, dead ones included, between whose pods packets run in a circle.
    pub fn circles(&self) -> Vec<String> {
        let nodes = || self.cluster.nodes.values();
        let pairs =
            nodes().flat_map(|from| nodes().map(move |to| (from, to))).filter(|(from, to)| from.name != to.name);
        let runs_in_a_circle = |(from, to): &(&Node, &Node)| {
            let pod = |node: &Node| sample_address(node.pod_cidrs.first().unwrap());
            let packet = Packet { source: Some(pod(from)), destination: pod(to) };
            let outcome = self.network.walk(&Origin::Pod(from.name.clone()), packet).outcome;
            matches!(outcome, Outcome::Dropped(_, carrick_topology::walk::DropReason::Loop))
        };
        pairs.filter(runs_in_a_circle).map(|(from, to)| format!("{} to {}", from.name, to.name)).collect()
    }

    fn is_away(&self, node: &NodeName) -> bool {
        self.dead.contains(node) || self.unplugged.contains(node)
    }

    /// Whether all hops of a walk are possible now.
    fn passes(&self, walk: &Walk, last: &NodeName) -> bool {
        let receivers = walk.hops.iter().skip(1).map(|hop| &hop.from).chain([last]);
        walk.hops.iter().zip(receivers).all(|(hop, to)| match hop.link {
            _ if self.is_away(&hop.from) || self.is_away(to) => false,
            Link::WireGuard | Link::Encapsulated => {
                !self.broken.contains(&(hop.from.clone(), to.clone())) && self.has_session(&hop.from, to)
            }
            Link::Vxlan | Link::Plain(_) => true,
        })
    }

    /// Whether a tunnel has a session. If it has none, the node initiates a handshake, unless it did so a short time ago.
    fn has_session(&self, from: &NodeName, to: &NodeName) -> bool {
        let mut tunnels = self.tunnels.borrow_mut();
        if tunnels.sessions.contains(&pair(from, to)) {
            return true;
        }
        let way = (from.clone(), to.clone());
        let is_due = tunnels.initiated.get(&way).is_none_or(|last| self.now - *last >= HANDSHAKE_RETRY);
        let can_dial = self.peer(from, to).is_some_and(|has_endpoint| has_endpoint);
        if is_due && can_dial {
            tunnels.initiated.insert(way, self.now);
            if self.peer(to, from).is_some() && !self.is_away(to) {
                tunnels.sessions.insert(pair(from, to));
                return true;
            }
        }
        false
    }

    /// Whether `from` has `to` as a peer, and then whether it has an endpoint for it.
    fn peer(&self, from: &NodeName, to: &NodeName) -> Option<bool> {
        let identity = PeerIdentity::Node(to.clone());
        let mut peers = self.plans.get(from)?.wireguard.peers.values();
        peers.find(|peer| peer.identity == identity).map(|peer| peer.endpoint.is_some())
    }

    fn apply(&mut self, node: &NodeName, liveness: Liveness) {
        let plan = plan(self.cluster, self.settings, &liveness, node).unwrap();
        let position = Position { location: plan.location.name.clone(), is_gateway: plan.location.role != Role::Inner };
        let member = self.members.get_mut(node).unwrap();
        member.held = liveness;
        member.prober.set_plan(self.now, position, &plan.probes);
        self.plans.insert(node.clone(), plan);
        let plans = &self.plans;
        let is_peer = |one: &NodeName, other: &NodeName| {
            plans.get(one).is_some_and(|plan| {
                plan.wireguard.peers.values().any(|peer| peer.identity == PeerIdentity::Node(other.clone()))
            })
        };
        let tunnels = self.tunnels.get_mut();
        tunnels.sessions.retain(|(one, other)| is_peer(one, other) && is_peer(other, one));
        tunnels.initiated.retain(|(from, to), _| is_peer(from, to));
        self.network =
            Network::new(self.cluster, self.settings, &Liveness::default(), Box::leak(Box::new(self.plans.clone())));
    }

    fn tick(&mut self) {
        let now = self.now;
        let (arrived, in_flight) = std::mem::take(&mut self.in_flight).into_iter().partition(|(at, _)| *at <= now);
        self.in_flight = in_flight;
        let arrived: Vec<(Now, InFlight)> = arrived;
        for (_, what) in arrived {
            let (InFlight::Probe { to, .. } | InFlight::Answer { to, .. }) = &what;
            match self.asleep.get(to).copied().filter(|until| *until > now) {
                Some(until) => self.in_flight.push((until, what)),
                None => self.arrive(what),
            }
        }
        let runs =
            |name: &&NodeName| !self.dead.contains(*name) && self.asleep.get(*name).is_none_or(|until| *until <= now);
        let live: Vec<NodeName> = self.members.keys().filter(runs).cloned().collect();
        live.iter().for_each(|name| self.run_node(name));
    }

    fn arrive(&mut self, what: InFlight) {
        match what {
            InFlight::Probe { from, to, addresses: (source, target), kind, id, said } => {
                let prober = &mut self.members.get_mut(&to).unwrap().prober;
                prober.note_probe(self.now, source, kind, said);
                let condition = prober.condition(self.now, source, said.asks);
                if self.is_delivered(&to, &from, (target, source), kind) {
                    let answer = InFlight::Answer { to: from, from: target, id, condition };
                    self.in_flight.push((self.now + latency(kind), answer));
                }
            }
            InFlight::Answer { to, from, id, condition } if !self.is_away(&to) => {
                self.members.get_mut(&to).unwrap().prober.take_answer(self.now, from, id, condition);
            }
            InFlight::Answer { .. } => {}
        }
    }

    fn is_delivered(&self, from: &NodeName, to: &NodeName, addresses: (IpAddr, IpAddr), kind: PathKind) -> bool {
        if kind == PathKind::Inside {
            return !self.is_away(from) && !self.is_away(to);
        }
        let packet = Packet { source: Some(addresses.0), destination: addresses.1 };
        let walk = self.network.walk(&Origin::Host(from.clone()), packet);
        walk.outcome == Outcome::Host(to.clone()) && self.passes(&walk, to)
    }

    fn run_node(&mut self, node: &NodeName) {
        let now = self.now;
        let member = self.members.get_mut(node).unwrap();
        if let Some((_, liveness)) = member.pending.pop_front_if(|(at, _)| *at <= now) {
            self.apply(node, liveness);
        }
        let member = self.members.get_mut(node).unwrap();
        if member.prober.next_deadline().is_some_and(|deadline| deadline <= now) {
            member.prober.handle_timeout(now);
        }
        while let Some(event) = member.prober.next_event() {
            if let ProberEvent::Liveness(liveness) = event {
                // Handovers are the subject of other tests.
                member
                    .pending
                    .push_back((now + self.apply_time, Liveness { handover: HandoverReport::default(), ..liveness }));
            }
        }
        let mut transmits = Vec::new();
        while let Some(transmit) = member.prober.next_transmit() {
            transmits.push(transmit);
        }
        for transmit in transmits {
            let targets = &self.plans[node].probes.targets;
            let Some((to, target)) = targets.iter().find(|(_, target)| target.to == transmit.to) else { continue };
            let (to, kind, addresses) = (to.clone(), target.kind, (transmit.from, transmit.to));
            if self.is_delivered(node, &to, addresses, kind) {
                let (id, said) = (transmit.id, transmit.announcement);
                let probe = InFlight::Probe { from: node.clone(), to, addresses, kind, id, said };
                self.in_flight.push((now + latency(kind), probe));
            }
        }
    }
}

const fn latency(kind: PathKind) -> Duration {
    match kind {
        PathKind::Tunnel => ABROAD,
        PathKind::Inside => INSIDE,
    }
}
