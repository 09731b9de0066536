//! `carrickctl status`: the cluster on one screen.

use std::collections::{BTreeMap, BTreeSet};

use carrick_probe::PathState;
use carrick_status::{ApiHearing, StatusPage};
use carrick_topology::plan::Role;
use serde::Serialize;

use crate::exit::Exit;
use crate::health::{self, TunnelState};
use crate::output::{Cell, Column, Sheet, Table, Tone, View, units};
use crate::survey::{Agent, Answer, Survey};

/// The cluster on one screen.
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
    pub api: Option<ApiHearing>,
    /// Its tunnels to other nodes: those that are up, and all that the plan wants.
    pub tunnels: Option<Tunnels>,
    /// The longest median round trip to a node that it probes, in microseconds.
    pub worst_round_trip_us: Option<u64>,
    /// The largest share of lost probes.
    pub worst_loss: Option<f64>,
    /// What is not well; empty when all is.
    pub complaints: Vec<String>,
    /// Whether anything is expected of it.
    pub in_mesh: bool,
}

/// How many tunnels there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tunnels {
    /// Through which packets can be expected to pass.
    pub well: usize,
    /// Which the plan wants.
    pub wanted: usize,
}

impl Status {
    /// Puts together what the agents said.
    #[must_use]
    pub fn of(survey: &Survey) -> Self {
        let nodes: Vec<NodeStatus> = survey.agents.iter().map(node).collect();
        let mut warnings: BTreeMap<String, usize> = BTreeMap::new();
        let mut versions: BTreeMap<String, usize> = BTreeMap::new();
        for (_, page) in survey.pages() {
            for warning in &page.warnings {
                *warnings.entry(warning.clone()).or_default() += 1;
            }
            *versions.entry(page.version.clone()).or_default() += 1;
        }
        let exit = exit(survey, &nodes);
        Self { locations: locations(survey), nodes, warnings, versions, healthy: exit == Exit::Healthy, exit }
    }
}

fn exit(survey: &Survey, nodes: &[NodeStatus]) -> Exit {
    if survey.pages().next().is_none() {
        Exit::Unreachable
    } else if nodes.iter().any(|node| !node.complaints.is_empty()) {
        Exit::Unhealthy
    } else {
        Exit::Healthy
    }
}

fn locations(survey: &Survey) -> Vec<LocationStatus> {
    let mut locations: BTreeMap<String, LocationStatus> = BTreeMap::new();
    for plan in survey.agents.iter().filter_map(Agent::plan) {
        let name = plan.location.name.to_string();
        let location =
            locations.entry(name.clone()).or_insert_with(|| LocationStatus { name, ..LocationStatus::default() });
        let names = |nodes: &BTreeSet<_>| nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
        location.nodes += 1;
        location.active.extend(names(&plan.location.active));
        location.standby.extend(names(&plan.location.standby));
    }
    for (node, name) in down(survey) {
        locations
            .entry(name.clone())
            .or_insert_with(|| LocationStatus { name, ..LocationStatus::default() })
            .down
            .insert(node);
    }
    locations.into_values().collect()
}

/// The nodes that others' probes call down, and where they stand.
fn down(survey: &Survey) -> BTreeMap<String, String> {
    let paths = survey.pages().flat_map(|(_, page)| &page.paths);
    let probed = paths.map(|path| (path.to.to_string(), path.location.to_string()));
    let planned = survey.agents.iter().filter_map(Agent::plan);
    let places: BTreeMap<_, _> =
        probed.chain(planned.map(|plan| (plan.node.to_string(), plan.location.name.to_string()))).collect();
    let down = survey.pages().flat_map(|(_, page)| &page.liveness.down);
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
        complaints: health::complaints(agent),
        in_mesh: !matches!(agent.answer, Answer::None),
    }
}

fn tunnels(page: &StatusPage) -> Option<Tunnels> {
    let plan = page.plan.as_ref()?;
    let mut tunnels = Tunnels::default();
    for (key, wanted) in &plan.wireguard.peers {
        tunnels.wanted += 1;
        tunnels.well += usize::from(TunnelState::of(wanted, page.peers.get(key)).is_well(&wanted.identity));
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
    fn draw(&self, sheet: &mut Sheet) {
        self.draw_locations(sheet);
        sheet.gap();
        self.draw_nodes(sheet);
        if !self.warnings.is_empty() {
            sheet.gap();
            sheet.toned("left out of plans:", Tone::Strong);
            for (warning, nodes) in &self.warnings {
                sheet.toned(format_args!("  {warning} (said by {})", count(*nodes, "node")), Tone::Warn);
            }
        }
        if self.versions.len() > 1 {
            sheet.gap();
            let versions: Vec<_> =
                self.versions.iter().map(|(version, nodes)| format!("{version} on {nodes}")).collect();
            sheet.toned(format_args!("agents of different versions: {}", versions.join(", ")), Tone::Warn);
        }
        sheet.gap();
        let unwell = self.nodes.iter().filter(|node| !node.complaints.is_empty()).count();
        match unwell {
            0 if self.healthy => sheet.toned("all is well", Tone::Good),
            0 => sheet.toned("no agent answers", Tone::Bad),
            _ => sheet.toned(format_args!("{unwell} of {} not well", count(self.nodes.len(), "node")), Tone::Bad),
        }
    }

    fn exit(&self) -> Exit {
        self.exit
    }
}

impl Status {
    fn draw_locations(&self, sheet: &mut Sheet) {
        let mut table = Table::new([
            Column::words("LOCATION"),
            Column::numbers("NODES"),
            Column::words("ACTIVE"),
            Column::words("STANDBY"),
            Column::words("DOWN"),
        ]);
        for location in &self.locations {
            let active = if location.active.is_empty() {
                Cell::of("none: isolated", Tone::Bad)
            } else {
                Cell::plain(joined(&location.active))
            };
            let or_dash = |names: &BTreeSet<String>| Cell::or_dash((!names.is_empty()).then(|| joined(names)));
            let down = match or_dash(&location.down) {
                dash if location.down.is_empty() => dash,
                _ => Cell::of(joined(&location.down), Tone::Bad),
            };
            table.row([Cell::plain(&location.name), location.nodes.into(), active, or_dash(&location.standby), down]);
        }
        sheet.table(&table);
    }

    fn draw_nodes(&self, sheet: &mut Sheet) {
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
            let tunnels = node.tunnels.map(|tunnels| format!("{}/{}", tunnels.well, tunnels.wanted));
            table.row([
                Cell::plain(&node.name),
                Cell::or_dash(node.location.as_ref()),
                Cell::or_dash(node.role.map(role)),
                Cell::or_dash(node.version.as_ref()),
                match node.api {
                    Some(ApiHearing::Synced) => Cell::plain("heard"),
                    Some(ApiHearing::Lost) => Cell::of("lost", Tone::Warn),
                    None => Cell::or_dash(None::<&str>),
                },
                Cell::or_dash(tunnels),
                Cell::or_dash(node.worst_round_trip_us.map(units::milliseconds)),
                Cell::or_dash(node.worst_loss.map(units::percent)),
                state(node),
            ]);
        }
        sheet.table(&table);
    }
}

fn state(node: &NodeStatus) -> Cell {
    match node.complaints.as_slice() {
        [] if node.in_mesh => Cell::of("ok", Tone::Good),
        [] => Cell::of("takes no part", Tone::Dim),
        [only] => Cell::of(only, Tone::Bad),
        [first, rest @ ..] => Cell::of(format_args!("{first} (and {} more)", rest.len()), Tone::Bad),
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
