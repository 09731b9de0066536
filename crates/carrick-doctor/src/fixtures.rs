//! The pages of a small healthy mesh: `a1` and `a2` are in the location `a`, `b1` and `c1` are alone in theirs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use carrick_probe::{PathKind, PathState, ProbedPath, RoundTripCounts};
use carrick_status::{
    ApiAnswer, ApiConnection, ChecksPage, CniDirectory, PeerState, StatusPage, WireGuardDevice, WireGuardState,
};
use carrick_topology::Liveness;
use carrick_topology::model::InternalAddresses;
use carrick_topology::plan::{PeerIdentity, WireGuardPeer, plan_all};
use carrick_topology::{Cluster, Node, NodeName, NodePlan, PublicKey, Settings};

use crate::{Agent, Finding, Observations, Pages, Severity, TimeRange, diagnose};

/// The time of all clocks.
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;

const NODES: [(&str, &str); 4] = [("a1", "a"), ("a2", "a"), ("b1", "b"), ("c1", "c")];

/// The findings about a changed mesh.
pub(crate) struct Diagnosis(Vec<Finding>);

impl Diagnosis {
    pub(crate) fn problems(&self) -> Vec<String> {
        self.of(Severity::Problem)
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.of(Severity::Warning)
    }

    pub(crate) fn texts(&self) -> String {
        self.0.iter().map(|finding| finding.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn remedies(&self) -> String {
        self.0.iter().map(|finding| finding.remedy.as_str()).collect::<Vec<_>>().join("\n")
    }

    fn of(&self, severity: Severity) -> Vec<String> {
        self.0.iter().filter(|finding| finding.severity == severity).map(title).collect()
    }
}

/// Changes the healthy mesh and diagnoses it.
pub(crate) fn diagnosed(change: impl FnOnce(&mut MeshFixture)) -> Diagnosis {
    let mut mesh = mesh();
    change(&mut mesh);
    Diagnosis(diagnose(&mesh))
}

/// The check and node of every warning and problem.
pub(crate) fn wrong(findings: &[Finding]) -> Vec<String> {
    findings.iter().filter(|finding| finding.severity > Severity::Ok).map(title).collect()
}

fn title(finding: &Finding) -> String {
    format!("{} {}", finding.check, finding.node.as_ref().map_or("-", NodeName::as_str))
}

/// Observations that tests change.
pub(crate) struct MeshFixture(Observations);

impl Deref for MeshFixture {
    type Target = Observations;

    fn deref(&self) -> &Observations {
        &self.0
    }
}

/// A healthy mesh.
pub(crate) fn mesh() -> MeshFixture {
    let mut cluster = Cluster::default();
    for (number, (name, location)) in (1_u8..).zip(NODES) {
        let mut node = Node::new(name.parse().unwrap(), i64::from(number));
        node.public_key = Some(PublicKey::from_bytes([number; 32]));
        node.location = Some(location.parse().unwrap());
        node.pod_cidrs = [format!("10.42.{}.0/24", number - 1).parse().unwrap()].into();
        node.mesh_addresses = [format!("10.4.0.{number}").parse().unwrap()].into();
        node.endpoint = Some(format!("198.51.100.{number}:51820").parse().unwrap());
        let internal = format!("10.{}.0.{number}/24", location.as_bytes()[0]).parse().unwrap();
        node.internal_addresses = InternalAddresses::Advertised([internal].into());
        cluster.insert_node(node);
    }
    let settings = Settings { standby_gateways: 0, ..Settings::default() };
    let plans = plan_all(&cluster, &settings, &Liveness::default());
    let agents = plans.into_iter().map(|(name, plan)| {
        let pages = pages(&cluster.nodes[&name], plan, &settings);
        (name, Agent::Answered(Box::new(pages)))
    });
    MeshFixture(Observations { agents: agents.collect(), unidentified: BTreeMap::new() })
}

fn pages(node: &Node, plan: NodePlan, settings: &Settings) -> Pages {
    let peers = plan.wireguard.peers.iter().map(|(key, peer)| {
        let state = PeerState { endpoint: peer.endpoint, seconds_since_handshake: Some(10), ..PeerState::default() };
        (*key, state)
    });
    let device = WireGuardDevice { port: plan.wireguard.port, public_key: node.public_key, peers: peers.collect() };
    let checks = ChecksPage {
        unix_ms: NOW_MS,
        node: Some(node.name.clone()),
        own_node: Some(node.clone()),
        public_key: node.public_key,
        api: Some(ApiAnswer::Answered { after_ms: 4 }),
        cni: Some(CniDirectory {
            path: "/etc/cni/net.d".to_owned(),
            own: "10-carrick.conflist".to_owned(),
            configurations: ["10-carrick.conflist".to_owned()].into(),
        }),
        wireguard: WireGuardState::Present(device),
        ..ChecksPage::default()
    };
    let status = StatusPage {
        version: "0.1.0".to_owned(),
        node: Some(node.name.clone()),
        ready: true,
        api: ApiConnection::Synced,
        settings: Some(Arc::new(settings.clone())),
        plan: Some(Arc::new(plan)),
        ..StatusPage::default()
    };
    let asked = TimeRange { from_ms: NOW_MS - 20, to_ms: NOW_MS + 20 };
    Pages { status, asked, checks: Some(checks), later: None }
}

/// A path on which all probes are answered.
pub(crate) fn path(to: &str, kind: PathKind, mtu: Option<u32>) -> ProbedPath {
    ProbedPath {
        to: to.parse().unwrap(),
        location: to[..1].parse().unwrap(),
        kind,
        address: "10.4.0.9".parse().unwrap(),
        state: PathState::Up,
        sent: 10,
        answered: 10,
        loss: Some(0.0),
        round_trip: None,
        histogram: RoundTripCounts::default(),
        mtu,
    }
}

impl MeshFixture {
    pub(crate) fn pages(&mut self, node: &str) -> &mut Pages {
        match self.0.agents.get_mut(&node.parse::<NodeName>().unwrap()).unwrap() {
            Agent::Answered(pages) => pages,
            Agent::Unreachable(reason) => panic!("{node}: {reason}"),
        }
    }

    pub(crate) fn status(&mut self, node: &str) -> &mut StatusPage {
        &mut self.pages(node).status
    }

    pub(crate) fn checks(&mut self, node: &str) -> &mut ChecksPage {
        self.pages(node).checks.as_mut().unwrap()
    }

    pub(crate) fn plan(&mut self, node: &str) -> &mut NodePlan {
        Arc::make_mut(self.status(node).plan.as_mut().unwrap())
    }

    pub(crate) fn device(&mut self, node: &str) -> &mut WireGuardDevice {
        device(self.checks(node))
    }

    /// One node's WireGuard state of another node.
    pub(crate) fn peer(&mut self, node: &str, other: &str) -> &mut PeerState {
        let key = self.key(node, other);
        self.device(node).peers.get_mut(&key).unwrap()
    }

    /// Makes one node dial another node at an endpoint.
    pub(crate) fn dial(&mut self, node: &str, other: &str, endpoint: SocketAddr) {
        let key = self.key(node, other);
        self.plan(node).wireguard.peers.get_mut(&key).unwrap().endpoint = Some(endpoint);
    }

    /// Makes one node wait for another node to dial in.
    pub(crate) fn dialled_in(&mut self, node: &str, other: &str) {
        let key = self.key(node, other);
        self.plan(node).wireguard.peers.get_mut(&key).unwrap().endpoint = None;
    }

    /// Makes an agent unreachable.
    pub(crate) fn set_unreachable(&mut self, node: &str, reason: &str) {
        self.0.agents.insert(node.parse().unwrap(), Agent::Unreachable(reason.to_owned()));
    }

    /// Forgets all other nodes, as if only the agents of these were asked.
    pub(crate) fn keep(&mut self, nodes: &[&str]) {
        self.0.agents.retain(|node, _| nodes.contains(&node.as_str()));
    }

    /// Takes a second sample of all nodes, 6 s later and without a change.
    pub(crate) fn second_sample(&mut self) {
        for (name, _) in NODES {
            let pages = self.pages(name);
            pages.later = pages.checks.clone();
            let peers = pages.later.as_mut().map(|page| &mut device(page).peers).into_iter().flatten();
            for age in peers.filter_map(|(_, peer)| peer.seconds_since_handshake.as_mut()) {
                *age += 6;
            }
        }
    }

    /// One node's WireGuard state of another node in the second sample.
    pub(crate) fn later(&mut self, node: &str, other: &str) -> &mut PeerState {
        let key = self.key(node, other);
        device(self.pages(node).later.as_mut().unwrap()).peers.get_mut(&key).unwrap()
    }

    /// Removes the handshakes of two nodes with each other.
    pub(crate) fn forget_sessions(&mut self, one: &str, other: &str) {
        for (node, other) in [(one, other), (other, one)] {
            let key = self.key(node, other);
            let pages = self.pages(node);
            for page in pages.checks.iter_mut().chain(&mut pages.later) {
                device(page).peers.get_mut(&key).unwrap().seconds_since_handshake = None;
            }
        }
    }

    /// Makes a node send bytes to another node and receive bytes from it between the two samples.
    pub(crate) fn moved(&mut self, node: &str, other: &str, sent: u64, received: u64) {
        let state = self.later(node, other);
        state.sent_bytes += sent;
        state.received_bytes += received;
    }

    /// One node in the plan of another node.
    pub(crate) fn planned(&mut self, node: &str, other: &str) -> &mut WireGuardPeer {
        let key = self.key(node, other);
        self.plan(node).wireguard.peers.get_mut(&key).unwrap()
    }

    fn key(&mut self, node: &str, other: &str) -> PublicKey {
        let is_other = |identity: &PeerIdentity| matches!(identity, PeerIdentity::Node(name) if name.as_str() == other);
        let peers = &self.plan(node).wireguard.peers;
        *peers.iter().find(|(_, peer)| is_other(&peer.identity)).unwrap().0
    }
}

fn device(page: &mut ChecksPage) -> &mut WireGuardDevice {
    match &mut page.wireguard {
        WireGuardState::Present(device) => device,
        other => panic!("{other:?}"),
    }
}
