//! `carrickctl status`: the cluster on one terminal.

use std::collections::{BTreeMap, BTreeSet};

use carrick_probe::PathState;
use carrick_status::{ApiConnection, StatusPage};
use carrick_topology::plan::Role;
use serde::Serialize;

use crate::exit::Exit;
use crate::health::{self, TunnelState};
use crate::output::{Cell, Column, Document, Style, Table, View, units};
use crate::snapshot::{Agent, Answer, Snapshot};

/// The cluster on one terminal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The locations, by name.
    pub locations: Vec<LocationStatus>,
    /// The nodes, by name.
    pub nodes: Vec<NodeStatus>,
    /// What was left out of plans, and by how many nodes' word.
    pub warnings: BTreeMap<String, usize>,
    /// The versions of agents, and how many have each.
    pub versions: BTreeMap<String, usize>,
    /// What all of it comes to.
    pub healthy: bool,
    #[serde(skip)]
    exit: Exit,
}

/// A location.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LocationStatus {
    /// Its name.
    pub name: String,
    /// Its nodes, of those whose agents answer.
    pub nodes: usize,
    /// Its active gateways.
    pub active: BTreeSet<String>,
    /// Its standby gateways.
    pub standby: BTreeSet<String>,
    /// Nodes that some node's probes call down.
    pub down: BTreeSet<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub location: Option<String>,
    /// What it does there.
    pub role: Option<Role>,
    /// Its agent's version.
    pub version: Option<String>,
    /// Whether its agent hears the API.
    pub api: Option<ApiConnection>,
    /// Its tunnels to other nodes: those that are up, and all that the plan wants.
    pub tunnels: Option<Tunnels>,
    /// The longest median round trip to a node that it probes, in microseconds.
    pub worst_round_trip_us: Option<u64>,
    /// The largest share of lost probes.
    pub worst_loss: Option<f64>,
    /// What is not well; empty when all is.
    pub problems: Vec<String>,
    /// Whether anything is expected of it.
    pub in_mesh: bool,
}

/// How many tunnels there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tunnels {
    /// Through which packets can be expected to pass.
    pub up: usize,
    /// Which the plan wants.
    pub planned: usize,
}

impl Status {
    /// Puts together what the agents said.
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
        let exit = exit(snapshot, &nodes);
        Self { locations: locations(snapshot), nodes, warnings, versions, healthy: exit == Exit::Healthy, exit }
    }
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

fn locations(snapshot: &Snapshot) -> Vec<LocationStatus> {
    let mut locations: BTreeMap<String, LocationStatus> = BTreeMap::new();
    for plan in snapshot.agents.iter().filter_map(Agent::plan) {
        let name = plan.location.name.to_string();
        let location =
            locations.entry(name.clone()).or_insert_with(|| LocationStatus { name, ..LocationStatus::default() });
        let names = |nodes: &BTreeSet<_>| nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
        location.nodes += 1;
        location.active.extend(names(&plan.location.active));
        location.standby.extend(names(&plan.location.standby));
    }
    for (node, name) in down(snapshot) {
        locations
            .entry(name.clone())
            .or_insert_with(|| LocationStatus { name, ..LocationStatus::default() })
            .down
            .insert(node);
    }
    locations.into_values().collect()
}

/// The nodes that others' probes call down, and where they stand.
fn down(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let paths = snapshot.pages().flat_map(|(_, page)| &page.paths);
    let probed = paths.map(|path| (path.to.to_string(), path.location.to_string()));
    let planned = snapshot.agents.iter().filter_map(Agent::plan);
    let places: BTreeMap<_, _> =
        probed.chain(planned.map(|plan| (plan.node.to_string(), plan.location.name.to_string()))).collect();
    let down = snapshot.pages().flat_map(|(_, page)| &page.liveness.down);
    down.filter_map(|node| Some((node.to_string(), places.get(node.as_str())?.clone()))).collect()
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
    for (key, wanted) in &plan.wireguard.peers {
        tunnels.planned += 1;
        tunnels.up += usize::from(TunnelState::of(wanted, page.peers.get(key)).is_healthy(&wanted.identity));
    }
    Some(tunnels)
}

fn worst_round_trip(page: &StatusPage) -> Option<u64> {
    page.paths.iter().filter_map(|path| Some(path.round_trip?.p50_us)).max()
}

fn worst_loss(page: &StatusPage) -> Option<f64> {
    let up = page.paths.iter().filter(|path| path.state != PathState::Down);
    up.filter_map(|path| path.loss).max_by(f64::total_cmp)
}

impl View for Status {
    fn draw(&self, document: &mut Document) {
        self.draw_locations(document);
        document.gap();
        self.draw_nodes(document);
        if !self.warnings.is_empty() {
            document.gap();
            document.styled("left out of plans:", Style::Strong);
            for (warning, nodes) in &self.warnings {
                document.styled(format_args!("  {warning} (said by {})", count(*nodes, "node")), Style::Warn);
            }
        }
        if self.versions.len() > 1 {
            document.gap();
            let versions: Vec<_> =
                self.versions.iter().map(|(version, nodes)| format!("{version} on {nodes}")).collect();
            document.styled(format_args!("agents of different versions: {}", versions.join(", ")), Style::Warn);
        }
        document.gap();
        let unwell = self.nodes.iter().filter(|node| !node.problems.is_empty()).count();
        match unwell {
            0 if self.healthy => document.styled("all is well", Style::Good),
            0 => document.styled("no agent answers", Style::Bad),
            _ => document.styled(format_args!("{unwell} of {} not well", count(self.nodes.len(), "node")), Style::Bad),
        }
    }

    fn exit(&self) -> Exit {
        self.exit
    }
}

impl Status {
    fn draw_locations(&self, document: &mut Document) {
        let mut table = Table::new([
            Column::words("LOCATION"),
            Column::numbers("NODES"),
            Column::words("ACTIVE"),
            Column::words("STANDBY"),
            Column::words("DOWN"),
        ]);
        for location in &self.locations {
            let active = if location.active.is_empty() {
                Cell::of("none: isolated", Style::Bad)
            } else {
                Cell::plain(joined(&location.active))
            };
            let or_dash = |names: &BTreeSet<String>| Cell::or_dash((!names.is_empty()).then(|| joined(names)));
            let down = match or_dash(&location.down) {
                dash if location.down.is_empty() => dash,
                _ => Cell::of(joined(&location.down), Style::Bad),
            };
            table.row([Cell::plain(&location.name), location.nodes.into(), active, or_dash(&location.standby), down]);
        }
        document.table(&table);
    }

    fn draw_nodes(&self, document: &mut Document) {
        let mut table = Table::new([
            Column::words("NODE"),
            Column::words("LOCATION"),
            Column::words("ROLE"),
            Column::words("AGENT"),
            Column::words("API"),
            Column::numbers("TUNNELS"),
            Column::numbers("WORST RTT"),
            Column::numbers("WORST LOSS"),
            Column::words("STATE"),
        ]);
        for node in &self.nodes {
            let tunnels = node.tunnels.map(|tunnels| format!("{}/{}", tunnels.up, tunnels.planned));
            table.row([
                Cell::plain(&node.name),
                Cell::or_dash(node.location.as_ref()),
                Cell::or_dash(node.role.map(role)),
                Cell::or_dash(node.version.as_ref()),
                match node.api {
                    Some(ApiConnection::Synced) => Cell::plain("heard"),
                    Some(ApiConnection::Lost) => Cell::of("lost", Style::Warn),
                    None => Cell::or_dash(None::<&str>),
                },
                Cell::or_dash(tunnels),
                Cell::or_dash(node.worst_round_trip_us.map(units::milliseconds)),
                Cell::or_dash(node.worst_loss.map(units::percent)),
                state(node),
            ]);
        }
        document.table(&table);
    }
}

fn state(node: &NodeStatus) -> Cell {
    match node.problems.as_slice() {
        [] if node.in_mesh => Cell::of("ok", Style::Good),
        [] => Cell::of("takes no part", Style::Dim),
        [only] => Cell::of(only, Style::Bad),
        [first, rest @ ..] => Cell::of(format_args!("{first} (and {} more)", rest.len()), Style::Bad),
    }
}

/// A role in a word.
#[must_use]
pub const fn role(role: Role) -> &'static str {
    match role {
        Role::Active => "active",
        Role::Standby => "standby",
        Role::Inner => "inner",
    }
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
