//! What the page shows: a pure function of what the agents said.

use std::collections::{BTreeMap, BTreeSet};

use carrick_probe::PathState;
use carrick_status::{ApiConnection, StatusPage};
use carrick_topology::plan::Role;
use carrick_topology::{LocationName, NodeName};
use serde::Serialize;

use super::{Event, Link, Memory, Pair, events, links, pairs};
use crate::health;
use crate::snapshot::{Agent, Answer, Snapshot};

/// What the page shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DashboardData {
    /// When the agents were asked, in milliseconds since 1970-01-01 UTC by the clock of this machine.
    pub unix_ms: u64,
    /// The locations, by name; last the nodes whose location nobody tells.
    pub locations: Vec<LocationData>,
    /// The ways between nodes, by the nodes' names.
    pub links: Vec<Link>,
    /// The ordered pairs of locations, by name.
    pub pairs: Vec<Pair>,
    /// What happened, the latest first.
    pub events: Vec<Event>,
    /// What is left out of plans, and how many nodes say so.
    pub warnings: BTreeMap<String, usize>,
}

/// A location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocationData {
    /// Its name; `None` for nodes whose location nobody tells.
    pub name: Option<LocationName>,
    /// Its nodes, by name.
    pub nodes: Vec<NodeData>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeData {
    /// Its name, or its socket as long as its agent does not say who it is.
    pub name: String,
    /// How it is.
    pub state: NodeState,
    /// What it does in its location; `None` as long as it has no plan.
    pub role: Option<Role>,
    /// Its agent's version, if it said so.
    pub version: Option<String>,
    /// Whether it hears the API server, if it said so.
    pub api: Option<ApiConnection>,
    /// What is not well with it, in words.
    pub problems: Vec<String>,
}

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// Its agent answers and complains of nothing.
    Healthy,
    /// Its agent complains.
    Unhealthy,
    /// Its agent does not answer us.
    Unreachable,
    /// Other nodes count it as down, and it answers none of them.
    Down,
    /// It takes no part in the mesh.
    NotInMesh,
}

impl DashboardData {
    /// What agents said at a moment, in milliseconds since 1970-01-01 UTC, and before.
    #[must_use]
    pub fn of(snapshot: &Snapshot, memory: &Memory, unix_ms: u64) -> Self {
        let pages: Vec<&StatusPage> = snapshot.pages().map(|(_, page)| page).collect();
        let mut warnings = BTreeMap::new();
        for warning in pages.iter().flat_map(|page| &page.warnings) {
            *warnings.entry(warning.clone()).or_default() += 1;
        }
        Self {
            unix_ms,
            locations: locations(snapshot, memory, &pages),
            links: links::of(&pages),
            pairs: pairs::of(&pages),
            events: events::merge(&pages, unix_ms),
            warnings,
        }
    }
}

fn locations(snapshot: &Snapshot, memory: &Memory, pages: &[&StatusPage]) -> Vec<LocationData> {
    let places = places(pages);
    let mut locations: BTreeMap<Option<LocationName>, Vec<NodeData>> = BTreeMap::new();
    for agent in &snapshot.agents {
        let name = agent.name.as_str();
        let place = places.get(name).copied().or_else(|| memory.place(name)).cloned();
        locations.entry(place).or_default().push(node(agent, &PeerReports::of(name, pages)));
    }
    let unplaced = locations.remove(&None).map(|nodes| (None, nodes));
    locations.into_iter().chain(unplaced).map(|(name, nodes)| LocationData { name, nodes }).collect()
}

/// Where nodes stand, by their own plans, else by others' probes.
fn places<'a>(pages: &[&'a StatusPage]) -> BTreeMap<&'a str, &'a LocationName> {
    let probed = pages.iter().flat_map(|page| &page.paths).map(|path| (path.to.as_str(), &path.location));
    let plans = pages.iter().filter_map(|page| page.plan.as_ref());
    probed.chain(plans.map(|plan| (plan.node.as_str(), &plan.location.name))).collect()
}

/// What other nodes' probes say of a node.
struct PeerReports<'a> {
    /// Who counts it as down.
    down_for: BTreeSet<&'a NodeName>,
    /// Whether it, or its kernel, answers anybody.
    answers: bool,
}

impl<'a> PeerReports<'a> {
    fn of(node: &str, pages: &[&'a StatusPage]) -> Self {
        let mut reports = Self { down_for: BTreeSet::new(), answers: false };
        for page in pages.iter().filter(|page| page.node.as_ref().is_some_and(|name| name.as_str() != node)) {
            let is_down = page.liveness.down.iter().any(|name| name.as_str() == node);
            reports.down_for.extend(page.node.as_ref().filter(|_| is_down));
            let mut paths = page.paths.iter().filter(|path| path.to.as_str() == node);
            reports.answers |= paths.any(|path| matches!(path.state, PathState::Up | PathState::AgentAway));
        }
        reports
    }
}

fn node(agent: &Agent, reports: &PeerReports<'_>) -> NodeData {
    let page = agent.page();
    let mut problems = health::problems(agent);
    problems.extend(reports.down_for.iter().map(|reporter| format!("down according to {reporter}")));
    let state = match &agent.answer {
        _ if !reports.down_for.is_empty() && !reports.answers => NodeState::Down,
        Answer::NoAgent => NodeState::NotInMesh,
        Answer::Unreachable(_) => NodeState::Unreachable,
        Answer::Page(_) if problems.is_empty() => NodeState::Healthy,
        Answer::Page(_) => NodeState::Unhealthy,
    };
    NodeData {
        name: agent.name.clone(),
        state,
        role: agent.plan().map(|plan| plan.location.role),
        version: page.map(|page| page.version.clone()),
        api: page.map(|page| page.api),
        problems,
    }
}
