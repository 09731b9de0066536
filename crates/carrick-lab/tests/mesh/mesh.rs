//! A lab with running agents, and helpers that many tests use.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use carrick_lab::address::Family;
use carrick_lab::flow::Flow;
use carrick_lab::matrix::{self, Endpoint, Kind, MatrixOptions};
use carrick_lab::namespace::Namespaces;
use carrick_lab::{Lab, Topology, ping};
use serde_json::Value;

/// Two clouds with a gateway and an inner node each, and a home behind NAT.
pub const CLOUDS: &str = "
agent: {flags: ['--standby-gateways=0']}
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}]}
  - {name: b, nodes: [{name: b1}, {name: b2}]}
  - {name: home, router: nat, nodes: [{name: h1, annotations: {carrick.dev/persistent-keepalive: '25'}}]}
";

/// The time that the first handshakes may take on a busy machine.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(30);
/// The time after which an answer counts as lost.
const LATE: Duration = Duration::from_secs(5);
/// The time for which a test tries a pair that must not reach each other.
const SHORT: Duration = Duration::from_secs(1);
/// The bytes that each pair of pods transfers over TCP.
const TRANSFER_BYTES: usize = 200_000;
/// The number of lines of an agent's log that a failure shows.
const LOG_TAIL_LINES: usize = 12;

/// A running mesh. If a test fails, it prints the state and the logs of its agents.
pub struct Mesh(Lab);

impl Deref for Mesh {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.0
    }
}

impl DerefMut for Mesh {
    fn deref_mut(&mut self) -> &mut Lab {
        &mut self.0
    }
}

impl Mesh {
    /// Starts clouds and waits until each agent has applied its plan.
    pub fn up(topology: &str) -> Self {
        let mesh = Self(Lab::up(&Topology::parse(topology).unwrap()).unwrap());
        mesh.await_agents();
        mesh
    }

    pub fn await_agents(&self) {
        for node in self.nodes() {
            node.await_agent().unwrap();
        }
    }

    /// All pods and nodes, as clients and as servers; nodes at their internal addresses.
    pub fn all_endpoints(&self) -> Vec<Endpoint> {
        let asked = |endpoint| Endpoint { kind: Kind::Pod, ..endpoint };
        self.endpoints().unwrap().into_iter().map(asked).collect()
    }

    pub fn pods_only(&self) -> Vec<Endpoint> {
        self.endpoints().unwrap().into_iter().filter(|endpoint| endpoint.kind == Kind::Pod).collect()
    }

    pub fn pod_address(&self, pod: &str, family: Family) -> IpAddr {
        self.pod(pod).unwrap().addresses().of(family).unwrap()
    }

    pub fn internal_address(&self, node: &str, family: Family) -> IpAddr {
        self.node(node).unwrap().layout().internal.of(family).unwrap()
    }

    pub fn node_namespaces(&self, node: &str) -> Namespaces {
        self.node(node).unwrap().namespaces().unwrap()
    }

    /// Waits until all endpoints have reached each other once. Then each pair must answer its first request.
    pub fn all_reach(&self) {
        all_reach(&self.all_endpoints());
    }

    /// Like [`Mesh::all_reach`], and each pair of pods transfers data over TCP.
    pub fn all_endpoints_reach_each_other(&self) {
        self.all_reach();
        let pairs =
            matrix::measure(&self.pods_only(), MatrixOptions { timeout: LATE, tcp_bytes: TRANSFER_BYTES }).unwrap();
        let broken: Vec<_> = pairs.iter().filter(|pair| !pair.tcp_ok).collect();
        assert!(broken.is_empty(), "these move no bytes: {broken:#?}");
    }

    /// A ping from pod to pod, with a request every 10 ms.
    pub fn flow(&self, from: &str, to: &str, family: Family) -> Flow {
        self.flow_each(Duration::from_millis(10), from, to, family)
    }

    /// A ping from pod to pod, with a request in each interval.
    pub fn flow_each(&self, interval: Duration, from: &str, to: &str, family: Family) -> Flow {
        let from = self.pod(from).unwrap().namespaces();
        Flow::start(from, self.pod_address(to, family), interval).unwrap()
    }

    /// A ping from pod to pod, with packets of this size in each interval.
    pub fn flow_of(&self, ip_bytes: usize, interval: Duration, from: &str, to: &str, family: Family) -> Flow {
        let from = self.pod(from).unwrap().namespaces();
        Flow::start_with_packets_of(ip_bytes, from, self.pod_address(to, family), interval).unwrap()
    }

    /// The agent's page `/status`.
    pub fn status(&self, node: &str) -> Value {
        let page = self.node(node).unwrap().agent_page("/status").unwrap();
        serde_json::from_str(&page.body).unwrap()
    }

    /// The value of a metric with exactly these labels; `None` while the agent has counted nothing of it.
    pub fn metric(&self, node: &str, name_and_labels: &str) -> Option<f64> {
        let page = self.node(node).unwrap().agent_page("/metrics").unwrap().body;
        let value = |line: &str| line.strip_prefix(name_and_labels)?.strip_prefix(' ')?.parse().ok();
        page.lines().find_map(value)
    }

    /// The agent's warnings, as text.
    pub fn warnings(&self, node: &str) -> Vec<String> {
        serde_json::from_value(self.status(node)["warnings"].clone()).unwrap()
    }

    /// The lines of the agent's log that contain a text.
    pub fn logged(&self, node: &str, text: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.node(node).unwrap().agent_log()).unwrap_or_default();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// The state and the last log lines of all agents.
    fn agents_state(&self) -> String {
        let mut state = String::new();
        for node in self.nodes() {
            let status = node.agent_page("/status").map(|page| serde_json::from_str(&page.body).unwrap_or(Value::Null));
            let status = status.unwrap_or(Value::Null);
            let [waiting, failures, warnings] = ["waiting", "failures", "warnings"].map(|key| &status[key]);
            let _ = writeln!(state, "--- {}: {waiting} {failures} {warnings}", node.name());
            let log = std::fs::read_to_string(node.agent_log()).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            state += &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
            state.push('\n');
        }
        state
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.agents_state());
        }
    }
}

/// Waits until all endpoints have reached each other once. Then each pair must answer its first request.
pub fn all_reach(endpoints: &[Endpoint]) {
    let pairs = matrix::measure(endpoints, MatrixOptions { timeout: HANDSHAKE_PATIENCE, tcp_bytes: 0 }).unwrap();
    let cut_off: Vec<_> = pairs.iter().filter(|pair| !pair.reachable).collect();
    assert!(!pairs.is_empty() && cut_off.is_empty(), "{} of {} do not reach: {cut_off:#?}", cut_off.len(), pairs.len());
    let lost = lost_pairs(endpoints);
    assert!(lost.is_empty(), "no answer to a single request: {lost:#?}");
}

/// The pairs that do not answer a single request.
pub fn lost_pairs(endpoints: &[Endpoint]) -> Vec<String> {
    std::thread::scope(|scope| {
        let ask = |from| scope.spawn(move || lost_from(from, endpoints));
        let threads: Vec<_> = endpoints.iter().map(ask).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn lost_from(from: &Endpoint, endpoints: &[Endpoint]) -> Vec<String> {
    let mut lost = Vec::new();
    for to in endpoints.iter().filter(|to| to.name != from.name) {
        for target in to.addresses.list() {
            if ping::once(&from.namespaces, target, LATE).unwrap().is_none() {
                lost.push(format!("{} to {} ({target})", from.name, to.name));
            }
        }
    }
    lost
}

/// Whether an address answers within the time of a first handshake.
pub fn reaches(from: &Namespaces, target: IpAddr) -> bool {
    ping::until_answered(from, target, HANDSHAKE_PATIENCE).unwrap().is_some()
}

/// Whether an address does not answer. The network has no delay, so an answer would arrive at once.
pub fn is_cut_off(from: &Namespaces, target: IpAddr) -> bool {
    ping::until_answered(from, target, SHORT).unwrap().is_none()
}
