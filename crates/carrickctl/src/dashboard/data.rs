//! The data of the page: a pure function of the agents' answers.

use std::collections::{BTreeMap, BTreeSet};

use carrick_probe::PathState;
use carrick_status::{ApiConnection, StatusPage};
use carrick_topology::plan::Role;
use carrick_topology::{LocationName, NodeName};
use serde::Serialize;

use super::{Event, Link, Memory, Pair, events, links, pairs};
use crate::health;
use crate::snapshot::{Agent, Answer, Snapshot};

/// The data of the page.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DashboardData {
    /// When the agents were asked, in milliseconds since 1970-01-01 UTC by the clock of this machine.
    pub unix_ms: u64,
    /// The locations, by name. The last entry contains the nodes whose location is not known, if there are any.
    pub locations: Vec<LocationData>,
    /// The links between nodes, by the nodes' names.
    pub links: Vec<Link>,
    /// The ordered pairs of locations, by name.
    pub pairs: Vec<Pair>,
    /// The events of all nodes, the latest first.
    pub events: Vec<Event>,
    /// The values that plans ignore, each with the number of nodes that report it.
    pub warnings: BTreeMap<String, usize>,
}

/// A location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocationData {
    /// The name of the location; `None` if it is not known.
    pub name: Option<LocationName>,
    /// The nodes of the location, by name.
    pub nodes: Vec<NodeData>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeData {
    /// The name of the node, or the agent's socket if the name is not known.
    pub name: String,
    /// The state of the node.
    pub state: NodeState,
    /// The role of the node in its location; `None` if it has no plan.
    pub role: Option<Role>,
    /// The version of the agent, if the agent answers.
    pub version: Option<String>,
    /// The agent's connection to the API server, if the agent answers.
    pub api: Option<ApiConnection>,
    /// The faults of the node, for people.
    pub problems: Vec<String>,
}

/// The state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// The agent answers and reports no fault.
    Healthy,
    /// The agent reports a fault.
    Unhealthy,
    /// The agent does not answer.
    Unreachable,
    /// The node is down according to other nodes, and answers none of them.
    Down,
    /// The node is not in the mesh.
    NotInMesh,
}

impl DashboardData {
    /// The data for a snapshot that was taken at a time in milliseconds since 1970-01-01 UTC.
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
    let known = known_locations(pages);
    let mut locations: BTreeMap<Option<LocationName>, Vec<NodeData>> = BTreeMap::new();
    for agent in &snapshot.agents {
        let name = agent.name.as_str();
        let location = known.get(name).copied().or_else(|| memory.location(name)).cloned();
        locations.entry(location).or_default().push(node(agent, &PeerReports::of(name, pages)));
    }
    let unknown = locations.remove(&None).map(|nodes| (None, nodes));
    locations.into_iter().chain(unknown).map(|(name, nodes)| LocationData { name, nodes }).collect()
}

/// The locations of nodes, from their own plans, or else from other nodes' probes.
fn known_locations<'a>(pages: &[&'a StatusPage]) -> BTreeMap<&'a str, &'a LocationName> {
    let probed = pages.iter().flat_map(|page| &page.paths).map(|path| (path.to.as_str(), &path.location));
    let plans = pages.iter().filter_map(|page| page.plan.as_ref());
    probed.chain(plans.map(|plan| (plan.node.as_str(), &plan.location.name))).collect()
}

/// The reports of other nodes about a node.
struct PeerReports<'a> {
    /// The nodes that report it as down.
    reporters: BTreeSet<&'a NodeName>,
    /// Whether the agent or the kernel of the node answers any other node.
    answers: bool,
}

impl<'a> PeerReports<'a> {
    fn of(node: &str, pages: &[&'a StatusPage]) -> Self {
        let mut reports = Self { reporters: BTreeSet::new(), answers: false };
        for page in pages.iter().filter(|page| page.node.as_ref().is_some_and(|name| name.as_str() != node)) {
            let mut failed = page.liveness.down.difference(&page.liveness.drained);
            let is_down = failed.any(|name| name.as_str() == node);
            reports.reporters.extend(page.node.as_ref().filter(|_| is_down));
            let mut paths = page.paths.iter().filter(|path| path.to.as_str() == node);
            reports.answers |= paths.any(|path| matches!(path.state, PathState::Up | PathState::AgentAway));
        }
        reports
    }
}

fn node(agent: &Agent, reports: &PeerReports<'_>) -> NodeData {
    let page = agent.page();
    let mut problems = health::problems(agent);
    problems.extend(reports.reporters.iter().map(|reporter| format!("down according to {reporter}")));
    let state = match &agent.answer {
        _ if !reports.reporters.is_empty() && !reports.answers => NodeState::Down,
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
