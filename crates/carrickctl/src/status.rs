//! `carrickctl status`: an overview of the cluster.

mod elsewhere;
mod gateways;
mod locations;
mod recovery;

use std::collections::BTreeMap;

use carrick_probe::{PathState, ProbedPath};
use carrick_status::{ApiConnection, StatusPage};
use carrick_topology::model::MESH_NAME;
use carrick_topology::plan::Role;
use serde::Serialize;
use serde_json::Value;

use crate::cluster_plan::ClusterPlan;
use crate::exit::Exit;
use crate::health::{self, TunnelState};
use crate::output::{Cell, Column, Document, HIGH_LOSS, Style, Table, View, loss_cell, units};
use crate::snapshot::{Agent, Answer, Snapshot};

pub use gateways::Gateways;
pub use locations::{LocationStatus, OtherView, SeenDown};

/// An overview of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The locations, by name.
    pub locations: Vec<LocationStatus>,
    /// The nodes, by name.
    pub nodes: Vec<NodeStatus>,
    /// The values that plans ignore, each with the number of nodes that report it. If no agent was asked, the plans are computed from the
    /// objects.
    pub warnings: BTreeMap<String, usize>,
    /// The versions of agents, each with its number of agents.
    pub versions: BTreeMap<String, usize>,
    /// The fields of the Mesh as it is in the API; `None` if there is no Mesh or the objects are not known.
    pub mesh: Option<BTreeMap<String, Value>>,
    /// Whether all agents answer and none has a fault.
    pub healthy: bool,
    #[serde(skip)]
    exit: Exit,
}

/// The state of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeStatus {
    /// The name of the node.
    pub name: String,
    /// The location of the node.
    pub location: Option<String>,
    /// The role of the node in its location.
    pub role: Option<Role>,
    /// The version of its agent.
    pub version: Option<String>,
    /// The agent's connection to the API server.
    pub api: Option<ApiConnection>,
    /// The number of its tunnels.
    pub tunnels: Option<Tunnels>,
    /// The longest median round trip of its paths, in microseconds.
    pub worst_round_trip_us: Option<u64>,
    /// The largest loss of its paths, from 0 to 1. A path that is down loses everything.
    pub worst_loss: Option<f64>,
    /// The faults, for people; empty if there are none.
    pub problems: Vec<String>,
    /// Whether the node takes part in the mesh.
    pub in_mesh: bool,
}

/// The number of a node's tunnels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tunnels {
    /// Planned tunnels without a fault.
    pub up: usize,
    /// Planned tunnels.
    pub planned: usize,
}

impl Status {
    /// Summarizes the agents' answers.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let nodes: Vec<NodeStatus> = snapshot.agents.iter().map(node).collect();
        let mut warnings: BTreeMap<String, usize> = BTreeMap::new();
        let mut versions: BTreeMap<String, usize> = BTreeMap::new();
        for (_, page) in snapshot.pages() {
            for warning in &page.warnings {
                *warnings.entry(warning.clone()).or_default() += 1;
            }
            *versions.entry(page.version.clone()).or_default() += 1;
        }
        if snapshot.agents.is_empty()
            && let Ok(cluster_plan) = ClusterPlan::of(snapshot)
        {
            warnings = cluster_plan.warnings();
        }
        let exit = exit(snapshot, &nodes);
        let mesh = mesh(snapshot);
        Self {
            locations: locations::locations(snapshot),
            nodes,
            warnings,
            versions,
            mesh,
            healthy: exit == Exit::Healthy,
            exit,
        }
    }
}

fn mesh(snapshot: &Snapshot) -> Option<BTreeMap<String, Value>> {
    let spec = snapshot.objects.as_ref()?.mesh.as_ref()?;
    Some(spec.as_object().into_iter().flatten().map(|(field, value)| (field.clone(), value.clone())).collect())
}

fn exit(snapshot: &Snapshot, nodes: &[NodeStatus]) -> Exit {
    if snapshot.pages().next().is_none() {
        Exit::Unreachable
    } else if nodes.iter().any(|node| !node.problems.is_empty()) {
        Exit::Unhealthy
    } else {
        Exit::Healthy
    }
}

fn node(agent: &Agent) -> NodeStatus {
    let page = agent.page();
    let plan = agent.plan();
    NodeStatus {
        name: agent.name.clone(),
        location: plan.map(|plan| plan.location.name.to_string()),
        role: plan.map(|plan| plan.location.role),
        version: page.map(|page| page.version.clone()),
        api: page.map(|page| page.api),
        tunnels: page.and_then(tunnels),
        worst_round_trip_us: page.and_then(worst_round_trip),
        worst_loss: page.and_then(worst_loss),
        problems: health::problems(agent),
        in_mesh: !matches!(agent.answer, Answer::NoAgent),
    }
}

fn tunnels(page: &StatusPage) -> Option<Tunnels> {
    let plan = page.plan.as_ref()?;
    let mut tunnels = Tunnels::default();
    for (key, planned) in &plan.wireguard.peers {
        tunnels.planned += 1;
        tunnels.up += usize::from(TunnelState::of(planned, page.peers.get(key)).is_healthy(&planned.identity));
    }
    Some(tunnels)
}

fn worst_round_trip(page: &StatusPage) -> Option<u64> {
    page.paths.iter().filter_map(|path| Some(path.round_trip?.p50_us)).max()
}

fn worst_loss(page: &StatusPage) -> Option<f64> {
    let loss = |path: &ProbedPath| if path.state == PathState::Down { Some(1.0) } else { path.loss };
    page.paths.iter().filter_map(loss).max_by(f64::total_cmp)
}

impl View for Status {
    fn draw(&self, document: &mut Document) {
        locations::draw(&self.locations, document);
        document.gap();
        self.draw_nodes(document);
        draw_ignored_values(&self.warnings, document);
        if let Some(mesh) = &self.mesh {
            document.gap();
            let fields: Vec<_> = mesh.iter().map(|(field, value)| format!("{field} {}", in_words(value))).collect();
            document.line(format_args!("Mesh {MESH_NAME}: {}", fields.join("; ")));
        }
        if self.versions.len() > 1 {
            document.gap();
            let versions: Vec<_> =
                self.versions.iter().map(|(version, nodes)| format!("{version} on {nodes}")).collect();
            document.styled(format_args!("agents have different versions: {}", versions.join(", ")), Style::Warn);
        }
        document.gap();
        let unhealthy = self.nodes.iter().filter(|node| !node.problems.is_empty()).count();
        match unhealthy {
            0 if self.healthy => document.styled("all nodes are healthy", Style::Good),
            0 if self.nodes.is_empty() => document.styled("no agent was asked", Style::Bad),
            0 => document.styled("no agent answers", Style::Bad),
            _ => document.styled(
                format_args!("{unhealthy} of {} not healthy", units::count(self.nodes.len(), "node")),
                Style::Bad,
            ),
        }
    }

    fn exit(&self) -> Exit {
        self.exit
    }
}

impl Status {
    fn draw_nodes(&self, document: &mut Document) {
        let mut table = Table::new([
            Column::text("NODE"),
            Column::text("LOCATION"),
            Column::text("ROLE"),
            Column::text("AGENT"),
            Column::text("API"),
            Column::numbers("TUNNELS"),
            Column::numbers("WORST RTT"),
            Column::numbers("WORST LOSS"),
            Column::text("STATE"),
        ]);
        for node in &self.nodes {
            let tunnels = node.tunnels.map(|tunnels| format!("{}/{}", tunnels.up, tunnels.planned));
            table.row([
                Cell::plain(&node.name),
                Cell::or_dash(node.location.as_ref()),
                Cell::or_dash(node.role.map(role)),
                Cell::or_dash(node.version.as_ref()),
                match node.api {
                    Some(ApiConnection::Synced) => Cell::plain("synced"),
                    Some(ApiConnection::Lost) => Cell::of("lost", Style::Warn),
                    None => Cell::or_dash(None::<&str>),
                },
                Cell::or_dash(tunnels),
                Cell::or_dash(node.worst_round_trip_us.map(units::milliseconds)),
                loss_cell(node.worst_loss),
                state(node),
            ]);
        }
        document.table(&table);
    }
}

/// The values that plans ignore, each with the number of nodes.
pub(crate) fn draw_ignored_values(warnings: &BTreeMap<String, usize>, document: &mut Document) {
    if warnings.is_empty() {
        return;
    }
    document.gap();
    document.styled("ignored values:", Style::Strong);
    for (warning, nodes) in warnings {
        document.styled(format_args!("  {warning} (reported by {})", units::count(*nodes, "node")), Style::Warn);
    }
}

fn state(node: &NodeStatus) -> Cell {
    match node.problems.as_slice() {
        [] if !node.in_mesh => Cell::of("not in the mesh", Style::Dim),
        [] if node.worst_loss.is_some_and(|loss| loss >= HIGH_LOSS) => Cell::of("lossy", Style::Warn),
        [] => Cell::of("ok", Style::Good),
        [only] => Cell::of(only, Style::Bad),
        [first, rest @ ..] => Cell::of(format_args!("{first} (and {} more)", rest.len()), Style::Bad),
    }
}

/// The name of a role.
#[must_use]
pub const fn role(role: Role) -> &'static str {
    match role {
        Role::Active => "active",
        Role::Standby => "standby",
        Role::Inner => "inner",
    }
}

fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(in_words).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
