//! `carrickctl graph`: the topology as a picture.

mod dot;
mod mermaid;
mod model;

use std::collections::{BTreeMap, BTreeSet};

use carrick_drawing::{
    Condition, Diagram, InnerNetwork, LocationBox, NatKind, NodeBox, NodePair, TunnelKind, TunnelLine, node_pair,
};
use carrick_probe::{PathKind, PathState};
use carrick_status::StatusPage;
use carrick_topology::plan::{PeerIdentity, Role};
use carrick_topology::{NodeName, NodePlan};

pub use model::{Graph, GraphLocation, GraphNode, GraphTunnel};

use crate::cluster_plan::ClusterPlan;
use crate::failure::Failure;
use crate::health::{self, TunnelState};
use crate::output::{Document, Format, Rendered, Terminal, View, render, units};
use crate::snapshot::{Agent, Snapshot};

impl Graph {
    /// Combines the plans with the agents' answers.
    ///
    /// # Errors
    /// No node is known.
    pub fn of(snapshot: &Snapshot) -> Result<Self, Failure> {
        let cluster_plan = ClusterPlan::of(snapshot)?;
        let mut by_location: BTreeMap<(String, Option<NodeName>), Vec<&NodePlan>> = BTreeMap::new();
        for plan in cluster_plan.plans.values() {
            let alone = plan.location.alone.then(|| plan.node.clone());
            by_location.entry((plan.location.name.to_string(), alone)).or_default().push(plan);
        }
        let locations =
            by_location.into_iter().map(|((name, _), plans)| location(snapshot, &cluster_plan, name, &plans)).collect();
        let pairs: BTreeSet<NodePair> = cluster_plan.plans.values().flat_map(far_ends).collect();
        let tunnels = pairs.into_iter().map(|(from, to)| tunnel(snapshot, &cluster_plan, from, to)).collect();
        Ok(Self { locations, tunnels })
    }

    /// Writes the graph in a format. The default is SVG.
    ///
    /// # Errors
    /// The graph cannot be written in this format.
    pub fn write(&self, format: Format, terminal: Terminal) -> Result<Rendered, Failure> {
        let text = match format {
            Format::Json | Format::Yaml => return render(self, format, terminal),
            Format::Dot => dot::write(self),
            Format::Mermaid => mermaid::write(self),
            Format::Svg | Format::Table => carrick_drawing::draw(&self.diagram()),
        };
        Ok(Rendered { text, ..Rendered::default() })
    }

    fn diagram(&self) -> Diagram {
        let tunnels = self.tunnels.iter().map(|tunnel| {
            let line = TunnelLine {
                kind: if tunnel.carries { TunnelKind::Active } else { TunnelKind::Standby },
                condition: condition(tunnel.up != Some(false)),
                label: tunnel.label(),
            };
            (node_pair(&tunnel.from, &tunnel.to), line)
        });
        Diagram {
            locations: self.locations.iter().map(|location| location.drawn.clone()).collect(),
            tunnels: tunnels.collect(),
        }
    }
}

const fn condition(is_healthy: bool) -> Condition {
    if is_healthy { Condition::Healthy } else { Condition::Broken }
}

fn location(snapshot: &Snapshot, cluster_plan: &ClusterPlan, name: String, plans: &[&NodePlan]) -> GraphLocation {
    let is_healthy =
        |plan: &NodePlan| snapshot.agent(plan.node.as_str()).is_none_or(|agent| health::problems(agent).is_empty());
    let nodes = plans
        .iter()
        .map(|plan| NodeBox { condition: condition(is_healthy(plan)), ..NodeBox::of(plan.node.as_str(), Some(plan)) });
    let drawn = LocationBox {
        name: name.clone(),
        nat: nat(cluster_plan, plans),
        inner_network: InnerNetwork::of(plans.iter().copied()),
        nodes: nodes.collect(),
    };
    let nodes = plans.iter().map(|plan| GraphNode {
        name: plan.node.to_string(),
        role: Some(plan.location.role),
        healthy: is_healthy(plan),
    });
    GraphLocation { name, nodes: nodes.collect(), drawn }
}

/// A location has public addresses if another node dials one of its nodes. Otherwise it is behind NAT.
fn nat(cluster_plan: &ClusterPlan, plans: &[&NodePlan]) -> NatKind {
    let is_here = |identity: &PeerIdentity| plans.iter().any(|plan| *identity == PeerIdentity::Node(plan.node.clone()));
    let others = cluster_plan.plans.values().filter(|other| !plans.iter().any(|plan| plan.node == other.node));
    let entries = others.flat_map(|plan| plan.wireguard.peers.values()).filter(|peer| is_here(&peer.identity));
    let mut nat = NatKind::Unknown;
    for entry in entries {
        if entry.endpoint.is_some() {
            return NatKind::Public;
        }
        nat = NatKind::Nat;
    }
    nat
}

fn far_ends(plan: &NodePlan) -> Vec<NodePair> {
    let ends = plan.wireguard.peers.values().filter_map(|peer| match &peer.identity {
        PeerIdentity::Node(name) => Some(node_pair(plan.node.as_str(), name.as_str())),
        PeerIdentity::Outside(_) => None,
    });
    ends.collect()
}

fn tunnel(snapshot: &Snapshot, cluster_plan: &ClusterPlan, from: String, to: String) -> GraphTunnel {
    let is_standby = |node: &str| cluster_plan.plan_of(node).is_ok_and(|plan| plan.location.role == Role::Standby);
    let page = |node: &str| snapshot.agent(node).and_then(Agent::page);
    let ends = [(page(&from), &to), (page(&to), &from)];
    let seen: Vec<bool> = ends.iter().filter_map(|(page, far)| is_up((*page)?, far)).collect();
    let round_trips = ends.iter().filter_map(|(page, far)| round_trip((*page)?, far));
    let rates: Vec<f64> = ends.iter().filter_map(|(page, far)| rate(cluster_plan, (*page)?, far)).collect();
    GraphTunnel {
        carries: !is_standby(&from) && !is_standby(&to),
        up: (!seen.is_empty()).then(|| seen.iter().all(|up| *up)),
        round_trip_us: round_trips.max(),
        bytes_per_second: (rates.len() == ends.len()).then(|| rates.iter().sum()),
        from,
        to,
    }
}

/// Whether the tunnel has no fault, according to one end.
fn is_up(page: &StatusPage, far: &str) -> Option<bool> {
    let plan = page.plan.as_ref()?;
    let (key, planned) = plan.wireguard.peers.iter().find(|(_, peer)| health::is_node(&peer.identity, far))?;
    let has_session = TunnelState::of(planned, page.peers.get(key)).is_healthy(&planned.identity);
    let path = page.paths.iter().find(|path| path.to.as_str() == far && path.kind == PathKind::Tunnel);
    Some(has_session && path.is_none_or(|path| path.state != PathState::Down))
}

fn round_trip(page: &StatusPage, far: &str) -> Option<u64> {
    let path = page.paths.iter().find(|path| path.to.as_str() == far && path.kind == PathKind::Tunnel)?;
    Some(path.round_trip?.p50_us)
}

/// The rate at which a node sends to the location of a far end. Agents count by location, so the rate of a tunnel is known only if the
/// node has no other tunnel to that location.
fn rate(cluster_plan: &ClusterPlan, page: &StatusPage, far: &str) -> Option<f64> {
    let location_of = |node: &str| Some(cluster_plan.plan_of(node).ok()?.location.name.clone());
    let location = location_of(far)?;
    let peers = page.plan.as_ref()?.wireguard.peers.values();
    let there = peers.filter(|peer| match &peer.identity {
        PeerIdentity::Node(name) => location_of(name.as_str()).as_ref() == Some(&location),
        PeerIdentity::Outside(_) => false,
    });
    let is_only = there.count() == 1;
    let sent = page.traffic.iter().find(|traffic| traffic.to == location)?;
    is_only.then_some(sent.sent_bytes_per_second)
}

impl GraphTunnel {
    /// The label of the tunnel.
    fn label(&self) -> String {
        let round_trip = self.round_trip_us.map(units::milliseconds);
        let rate = self.bytes_per_second.filter(|rate| *rate >= 1.0).map(|rate| format!("{}/s", units::bytes(rate)));
        let broken = (self.up == Some(false)).then(|| "broken".to_owned());
        [broken, round_trip, rate].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl View for Graph {
    fn draw(&self, document: &mut Document) {
        document.verbatim(carrick_drawing::draw(&self.diagram()));
    }
}
