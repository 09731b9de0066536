//! The gateways of each location, and the nodes that are down, as the agents see them. Agents may see them differently.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::{Liveness, NodeName};
use serde::Serialize;

use super::gateways::{Gateways, Views, listed, some};
use super::{elsewhere, recovery};
use crate::output::{Cell, Column, Document, Style, Table, units};
use crate::snapshot::{Agent, Snapshot};

/// The state of a location.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LocationStatus {
    /// The name of the location.
    pub name: String,
    /// The number of its nodes in the plans of its agents, also of those whose agents do not answer.
    pub nodes: usize,
    /// Its gateways, according to most of its agents. If two views have as many agents, it is the view whose active gateways the fewest
    /// agents see down.
    #[serde(flatten)]
    pub gateways: Gateways,
    /// Why the view of its own agents is not known, for people; absent if one of them has a plan. The gateways are then those of other agents'
    /// plans.
    pub unknown: Option<String>,
    /// The other views of its gateways.
    pub other_views: Vec<OtherView>,
    /// The nodes that most of the other agents, or most of the other agents of the location, see down.
    pub down: BTreeSet<String>,
    /// The nodes that at least one other agent sees down.
    pub seen_down: BTreeMap<String, SeenDown>,
    /// Those of them that have no problem and answer again: they return after their stable time.
    pub recovering: BTreeSet<String>,
    /// The gateways that drain, with the nodes that have moved their traffic to other gateways.
    pub drained: BTreeMap<String, BTreeSet<String>>,
    /// The nodes whose tunnel to another node is broken, with the nodes at the other ends, which send through another gateway.
    pub bypassed: BTreeMap<String, BTreeSet<String>>,
    /// The gateways through which nodes that reach no gateway of this location send to it, with these nodes.
    pub detours: BTreeMap<String, BTreeSet<String>>,
}

/// What some agents of a location see, and most do not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherView {
    /// The nodes of the agents.
    pub by: BTreeSet<String>,
    /// The gateways.
    #[serde(flatten)]
    pub gateways: Gateways,
}

/// Who sees a node down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SeenDown {
    /// The nodes of the agents that see it down.
    pub by: BTreeSet<String>,
    /// The number of other agents that answer.
    pub agents: usize,
}

/// The nodes that other agents see down, each with its location.
type Down = BTreeMap<String, (String, SeenDown)>;

/// The state of each location.
pub(super) fn locations(snapshot: &Snapshot) -> Vec<LocationStatus> {
    let own_views = own_views(snapshot);
    let seen_down = seen_down(snapshot);
    let mut locations: BTreeMap<String, LocationStatus> = BTreeMap::new();
    for name in own_views.keys() {
        entry(&mut locations, name);
    }
    add_down(&mut locations, snapshot, &own_views, &seen_down);
    for (node, (location, by)) in named(snapshot, |liveness| &liveness.bypassed) {
        entry(&mut locations, &location).bypassed.insert(node, by);
    }
    for (node, (location, by)) in named(snapshot, |liveness| &liveness.drained) {
        entry(&mut locations, &location).drained.insert(node, by);
    }
    for (agent, page) in snapshot.pages() {
        for (location, gateway) in &page.liveness.detours {
            let detours = &mut entry(&mut locations, location.as_str()).detours;
            detours.entry(gateway.to_string()).or_default().insert(agent.name.clone());
        }
    }
    for (name, status) in &mut locations {
        if let Some(views) = own_views.get(name) {
            status.nodes = size(snapshot, name);
            status.take_views(views.clone(), &seen_down);
        } else {
            status.unknown = Some(elsewhere::reason(snapshot));
            status.take_views(elsewhere::views(snapshot, name), &seen_down);
        }
    }
    locations.into_values().collect()
}

/// The number of nodes that the plans of a location's own agents count there. Agents may see it differently for a moment.
fn size(snapshot: &Snapshot, location: &str) -> usize {
    let plans = snapshot.agents.iter().filter_map(Agent::plan).filter(|plan| plan.location.name.as_str() == location);
    plans.map(|plan| plan.probes.location_size).max().unwrap_or_default()
}

/// The views of each location's own agents.
fn own_views(snapshot: &Snapshot) -> BTreeMap<String, Views> {
    let names = |nodes: &BTreeSet<_>| nodes.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
    let mut views: BTreeMap<String, Views> = BTreeMap::new();
    for plan in snapshot.agents.iter().filter_map(Agent::plan) {
        let gateways = Gateways { active: names(&plan.location.active), standby: names(&plan.location.standby) };
        let of_location = views.entry(plan.location.name.to_string()).or_default();
        of_location.entry(gateways).or_default().insert(plan.node.to_string());
    }
    views
}

fn add_down(
    locations: &mut BTreeMap<String, LocationStatus>,
    snapshot: &Snapshot,
    own_views: &BTreeMap<String, Views>,
    seen_down: &Down,
) {
    for (node, (location, seen)) in seen_down {
        let agents_there = own_views.get(location).into_iter().flat_map(BTreeMap::values).flatten();
        let others: Vec<_> = agents_there.filter(|name| *name != node).collect();
        let there = others.iter().filter(|name| seen.by.contains(**name)).count();
        let is_down = seen.by.len() * 2 > seen.agents || there * 2 > others.len();
        let status = entry(locations, location);
        status.seen_down.insert(node.clone(), seen.clone());
        if is_down {
            status.down.insert(node.clone());
        }
        if recovery::is_recovering(snapshot, node) {
            status.recovering.insert(node.clone());
        }
    }
}

fn entry<'a>(locations: &'a mut BTreeMap<String, LocationStatus>, name: &str) -> &'a mut LocationStatus {
    let new = || LocationStatus { name: name.to_owned(), ..LocationStatus::default() };
    locations.entry(name.to_owned()).or_insert_with(new)
}

/// The nodes that other agents see down. The agents that only have a broken tunnel to the node do not count, and neither do nodes that drain.
fn seen_down(snapshot: &Snapshot) -> Down {
    let locations = locations_of_nodes(snapshot);
    let mut nodes = Down::new();
    for (agent, page) in snapshot.pages() {
        let Liveness { down, bypassed, drained, .. } = &page.liveness;
        let failed = down.iter().filter(|node| !bypassed.contains(*node) && !drained.contains(*node));
        for node in failed.filter(|node| node.as_str() != agent.name) {
            let Some(location) = locations.get(node.as_str()) else { continue };
            let agents = snapshot.pages().filter(|(other, _)| other.name != node.as_str()).count();
            let new = || (location.clone(), SeenDown { agents, by: BTreeSet::new() });
            nodes.entry(node.to_string()).or_insert_with(new).1.by.insert(agent.name.clone());
        }
    }
    nodes
}

/// The nodes that the agents name in one list of their liveness, each with its location and these agents.
fn named(
    snapshot: &Snapshot,
    list: impl Fn(&Liveness) -> &BTreeSet<NodeName>,
) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let locations = locations_of_nodes(snapshot);
    let mut nodes: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for (agent, page) in snapshot.pages() {
        for node in list(&page.liveness) {
            let Some(location) = locations.get(node.as_str()) else { continue };
            let new = || (location.clone(), BTreeSet::new());
            nodes.entry(node.to_string()).or_insert_with(new).1.insert(agent.name.clone());
        }
    }
    nodes
}

fn locations_of_nodes(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let paths = snapshot.pages().flat_map(|(_, page)| &page.paths);
    let probed = paths.map(|path| (path.to.to_string(), path.location.to_string()));
    let planned = snapshot.agents.iter().filter_map(Agent::plan);
    probed.chain(planned.map(|plan| (plan.node.to_string(), plan.location.name.to_string()))).collect()
}

pub(super) fn draw(locations: &[LocationStatus], document: &mut Document) {
    let mut table = Table::new([
        Column::text("LOCATION"),
        Column::numbers("NODES"),
        Column::text("ACTIVE"),
        Column::text("STANDBY"),
        Column::text("DOWN"),
    ]);
    for location in locations {
        let Gateways { active, standby } = &location.gateways;
        let active = match &location.unknown {
            _ if !active.is_empty() => Cell::plain(listed(active)),
            Some(_) => Cell::of("unknown", Style::Warn),
            None => Cell::of("none: isolated", Style::Bad),
        };
        let nodes = Cell::or_dash(location.unknown.is_none().then_some(location.nodes));
        let down: Vec<_> = location.down.iter().map(|node| location.seen(node)).collect();
        let down = match down.as_slice() {
            [] => Cell::or_dash(None::<&str>),
            down if location.down.is_subset(&location.recovering) => Cell::of(down.join(", "), Style::Warn),
            down => Cell::of(down.join(", "), Style::Bad),
        };
        let standby = Cell::or_dash((!standby.is_empty()).then(|| listed(standby)));
        table.row([Cell::plain(&location.name), nodes, active, standby, down]);
    }
    document.table(&table);
    for location in locations {
        location.draw_unknown(document);
        location.draw_other_views(document);
        location.draw_detours(document);
    }
}

impl LocationStatus {
    /// Takes over the view of most agents, and keeps the others.
    fn take_views(&mut self, mut views: Views, seen_down: &Down) {
        // A gateway that drains does not see that its traffic has left it.
        views.values_mut().for_each(|by| by.retain(|node| !self.drained.contains_key(node)));
        views.retain(|_, by| !by.is_empty());
        let votes = |name: &String| seen_down.get(name).map_or(0, |(_, seen)| seen.by.len());
        let down_votes = |gateways: &Gateways| gateways.active.iter().map(votes).sum::<usize>();
        let most = views.iter().min_by_key(|(gateways, by)| (Reverse(by.len()), down_votes(gateways)));
        self.gateways = most.map(|(gateways, _)| gateways.clone()).unwrap_or_default();
        views.remove(&self.gateways);
        self.other_views = views.into_iter().map(|(gateways, by)| OtherView { by, gateways }).collect();
    }

    fn seen(&self, node: &str) -> String {
        let Some(seen) = self.seen_down.get(node) else { return node.to_owned() };
        let returning = if self.recovering.contains(node) { ", returning" } else { "" };
        format!("{node} (seen down by {} of {}{returning})", seen.by.len(), seen.agents)
    }

    fn draw_unknown(&self, document: &mut Document) {
        let Some(reason) = &self.unknown else { return };
        let gateways =
            if self.gateways == Gateways::default() { "" } else { "; the gateways are those of other plans" };
        document.uncut(format_args!("location {} is unknown: {reason}{gateways}", self.name), Style::Warn);
    }

    /// What single agents see, and which nodes return.
    fn draw_other_views(&self, document: &mut Document) {
        let name = &self.name;
        for OtherView { by, gateways } in &self.other_views {
            let or_none = |names: &BTreeSet<String>| if names.is_empty() { "none".to_owned() } else { listed(names) };
            let (active, standby) = (or_none(&gateways.active), or_none(&gateways.standby));
            let view = format!("location {name}, as {} sees it: active {active}, standby {standby}", some(by));
            document.uncut(view, Style::Warn);
        }
        for (node, seen) in self.seen_down.iter().filter(|(node, _)| !self.down.contains(*node)) {
            let (by, agents) = (some(&seen.by), units::count(seen.agents, "agent"));
            let view = format!("location {name}: {node} is seen down only by {by} ({} of {agents})", seen.by.len());
            document.uncut(view, Style::Warn);
        }
        for (node, by) in &self.drained {
            let view = format!("location {name}: {node} drains; other gateways carry its traffic for {}", some(by));
            document.uncut(view, Style::Warn);
        }
        for node in &self.recovering {
            let view = format!("location {name}: {node} answers again and returns after its stable time");
            document.uncut(view, Style::Warn);
        }
    }

    /// The broken tunnels, and how packets go around them.
    fn draw_detours(&self, document: &mut Document) {
        let name = &self.name;
        for (node, by) in &self.bypassed {
            let view = format!(
                "location {name}: the tunnel between {node} and {} is broken; packets take another gateway",
                some(by)
            );
            document.uncut(view, Style::Warn);
        }
        for (gateway, by) in &self.detours {
            let view = format!(
                "location {name}: no tunnel to it works from {}; packets take a detour through {gateway}",
                some(by)
            );
            document.uncut(view, Style::Warn);
        }
    }
}

#[cfg(test)]
mod tests;
