//! Which Nodes are chosen, and why the others are kept. Pure: the same observations give the same choice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carrick_kube::nodes::{ListedNode, Readiness};
use carrick_probe::PathState;
use carrick_status::{ApiConnection, StatusPage};
use carrick_topology::Cluster;
use serde::Serialize;

use super::replies::Replies;
use super::report::{Kept, Row};
use crate::output::units;
use crate::snapshot::Snapshot;

/// All that is known of the nodes at one moment.
pub(super) struct Observations<'a> {
    nodes: &'a [ListedNode],
    snapshot: &'a Snapshot,
    cluster: Cluster,
    now: i64,
    after: Duration,
    /// The replies of the doubtful nodes to probes.
    pub replies: BTreeMap<String, Replies>,
}

/// Which Nodes are chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Choice {
    /// Why no Node can be chosen.
    pub refusal: Option<String>,
    /// The chosen Nodes.
    pub chosen: Vec<Row>,
    /// The other Nodes that are not ready.
    pub kept: Vec<Kept>,
}

impl<'a> Observations<'a> {
    /// `own_clock` is the time of this machine, in seconds since 1970-01-01 UTC.
    pub(super) fn new(nodes: &'a [ListedNode], snapshot: &'a Snapshot, own_clock: i64, after: Duration) -> Self {
        // A clock that is ahead makes silent kubelets look silent for longer. The median of the agents' clocks bounds that of this machine.
        let mut clocks: Vec<_> =
            snapshot.pages().map(|(_, page)| page.unix_ms / 1000).filter(|time| *time > 0).collect();
        clocks.sort_unstable();
        let median = clocks.get(clocks.len() / 2).and_then(|time| i64::try_from(*time).ok());
        let now = median.map_or(own_clock, |median| median.min(own_clock));
        Self { nodes, snapshot, cluster: snapshot.cluster(), now, after, replies: BTreeMap::new() }
    }

    /// The nodes whose agents can know which nodes are gone: each is in sync with the API and reaches another node.
    pub(super) fn witnesses(&self) -> BTreeSet<String> {
        let is_witness = |page: &StatusPage| {
            page.api == ApiConnection::Synced && page.paths.iter().any(|path| path.state == PathState::Up)
        };
        self.snapshot.pages().filter(|(_, page)| is_witness(page)).map(|(agent, _)| agent.name.clone()).collect()
    }

    /// The nodes that are gone unless they reply to probes.
    pub(super) fn doubtful(&self) -> Vec<String> {
        if self.refusal().is_some() {
            return Vec::new();
        }
        let doubtful = self.nodes.iter().filter(|node| !is_ready(node) && self.sign_of_life(node).is_none());
        doubtful.map(|node| node.name.to_string()).collect()
    }

    /// Why the agents that answer cannot know which nodes are gone.
    fn refusal(&self) -> Option<String> {
        let witnesses = self.witnesses();
        let ready: Vec<_> = self.nodes.iter().filter(|node| is_ready(node) && self.is_member(node)).collect();
        let heard = ready.iter().filter(|node| witnesses.contains(node.name.as_str())).count();
        if witnesses.is_empty() {
            return Some(
                "no agent answers that receives changes from the API and reaches another node: the agents may be cut off"
                    .to_owned(),
            );
        }
        (heard * 2 < ready.len()).then(|| {
            format!(
                "on {} nodes that are ready, only {heard} agents answer, receive changes from the API and reach another node: \
                 the agents may be cut off",
                ready.len()
            )
        })
    }

    fn is_member(&self, node: &ListedNode) -> bool {
        self.cluster.nodes.get(&node.name).is_some_and(|node| node.public_key.is_some())
    }

    fn location(&self, node: &ListedNode) -> String {
        let location = self.cluster.nodes.get(&node.name).and_then(|node| node.location.as_ref());
        location
            .map_or_else(|| carrick_topology::model::LocationName::shared_default().to_string(), ToString::to_string)
    }

    /// For how many seconds a kubelet has been silent.
    fn silent_seconds(&self, node: &ListedNode) -> Option<u64> {
        match node.readiness {
            Readiness::Silent { since } => Some(u64::try_from(self.now.saturating_sub(since)).unwrap_or(0)),
            Readiness::Ready | Readiness::NotReady => None,
        }
    }

    /// Why a node is kept whatever it replies to probes.
    fn sign_of_life(&self, node: &ListedNode) -> Option<String> {
        let name = node.name.as_str();
        if let Some(reason) = &node.hold {
            return Some(format!("annotation carrick.dev/hold: {reason}"));
        }
        if node.is_control_plane {
            return Some("node of the control plane".to_owned());
        }
        let Some(silent) = self.silent_seconds(node) else {
            return Some("its kubelet reports, or never did".to_owned());
        };
        if silent < self.after.as_secs() {
            return Some(format!("its kubelet has been silent only for {}", units::seconds(silent)));
        }
        if !self.is_member(node) {
            return Some("it is not in the mesh, so no agent knows whether it is gone".to_owned());
        }
        if self.snapshot.agent(name).is_some_and(|agent| agent.page().is_some()) {
            return Some("its agent answers".to_owned());
        }
        let key = self.cluster.nodes.get(&node.name).and_then(|node| node.public_key);
        self.snapshot.pages().find_map(|(agent, page)| {
            let reached = page
                .paths
                .iter()
                .any(|path| path.to.as_str() == name && matches!(path.state, PathState::Up | PathState::AgentAway));
            if reached {
                return Some(format!("it answers the probes of {}", agent.name));
            }
            let handshake = key.and_then(|key| page.peers.get(&key)?.seconds_since_handshake);
            let recent = handshake.filter(|seconds| *seconds < self.after.as_secs())?;
            Some(format!("it had a WireGuard handshake with {} {} ago", agent.name, units::seconds(recent)))
        })
    }
}

/// Chooses the Nodes whose machines are gone.
pub(super) fn choose(observations: &Observations<'_>, force: bool) -> Choice {
    let mut choice = Choice { refusal: observations.refusal(), ..Choice::default() };
    for node in observations.nodes.iter().filter(|node| !is_ready(node)) {
        let kept = choice.refusal.as_ref().map(|_| "the agents may be cut off".to_owned());
        let kept = observations.sign_of_life(node).or(kept).or_else(|| reply(observations, node.name.as_str()));
        match (kept, observations.replies.get(node.name.as_str())) {
            (None, Some(replies)) => choice.chosen.push(Row::new(
                node.name.to_string(),
                observations.location(node),
                observations.silent_seconds(node).unwrap_or_default(),
                &replies.silent_for,
            )),
            (reason, _) => choice.kept.push(Kept {
                name: node.name.to_string(),
                reason: reason.unwrap_or_else(|| "no other agent could probe it".to_owned()),
            }),
        }
    }
    if !force {
        keep_majorities(observations, &mut choice);
    }
    choice
}

/// Why a node is kept because of its replies to probes.
fn reply(observations: &Observations<'_>, name: &str) -> Option<String> {
    let replies = observations.replies.get(name)?;
    match replies.replied_to.first() {
        Some(by) => Some(format!("it replies to probes of {by}")),
        None if replies.silent_for.is_empty() => Some("no other agent could probe it".to_owned()),
        None => None,
    }
}

/// Keeps the chosen Nodes of locations, and of the mesh, that would lose more than half of their nodes.
fn keep_majorities(observations: &Observations<'_>, choice: &mut Choice) {
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    for node in observations.nodes.iter().filter(|node| observations.is_member(node)) {
        *sizes.entry(observations.location(node)).or_default() += 1;
    }
    let mesh_size: usize = sizes.values().sum();
    let mut chosen_in: BTreeMap<String, usize> = BTreeMap::new();
    for row in &choice.chosen {
        *chosen_in.entry(row.location.clone()).or_default() += 1;
    }
    let is_mesh_lost = choice.chosen.len() * 2 > mesh_size;
    let reason = |row: &Row| {
        let (chosen, size) = (chosen_in.get(&row.location)?, sizes.get(&row.location)?);
        if chosen * 2 > *size {
            return Some(format!("{chosen} of {size} nodes of {} are gone; --force deletes them", row.location));
        }
        is_mesh_lost.then(|| "more than half of the nodes of the mesh are gone; --force deletes them".to_owned())
    };
    let (kept, chosen) = std::mem::take(&mut choice.chosen).into_iter().partition(|row| reason(row).is_some());
    let kept: Vec<Row> = kept;
    choice.kept.extend(kept.into_iter().filter_map(|row| Some(Kept { reason: reason(&row)?, name: row.name })));
    choice.kept.sort_by(|one, other| one.name.cmp(&other.name));
    choice.chosen = chosen;
}

fn is_ready(node: &ListedNode) -> bool {
    node.readiness == Readiness::Ready
}

#[cfg(test)]
mod tests;
