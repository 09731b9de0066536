//! `carrickctl plan`: a dry run that shows what a change would do to the plan of every node.

mod facts;
mod reachability;

use std::collections::{BTreeMap, BTreeSet};

use carrick_kube::objects::Objects;
use carrick_topology::NodeName;
use serde::Serialize;

use crate::cluster_plan::ClusterPlan;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Document, Style, View};
use crate::snapshot::Snapshot;
use crate::status::draw_ignored_values;

pub use facts::facts;
pub use reachability::Reachability;

/// Why a dry run is refused. The agents' pages contain neither annotations nor the ages of Nodes, so plans that are computed from them differ
/// from those of agents without a fault.
const WITHOUT_OBJECTS: &str =
    "without the API server and without `-f`, only `--without` works: use a kubeconfig or `-f FILE`";

/// A possible change of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Annotations that are set or removed.
    pub annotations: Vec<Annotation>,
    /// Objects that are added or replaced.
    pub applied: Objects,
    /// A node that fails.
    pub without: Option<String>,
}

impl Change {
    /// Whether Nodes, Peers or the Mesh change.
    fn changes_objects(&self) -> bool {
        !self.annotations.is_empty() || self.applied != Objects::default()
    }
}

/// An annotation of a Node that is set or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// The name of the Node.
    pub node: String,
    /// The key, including the prefix.
    pub key: String,
    /// The value; `None` removes the annotation.
    pub value: Option<String>,
}

impl Annotation {
    /// Parses `key=value`, or `key-` to remove an annotation, as kubectl does. A key without `/` gets Carrick's prefix.
    ///
    /// # Errors
    /// The text has neither form.
    pub fn parse(node: &str, text: &str) -> Result<Self, Failure> {
        let (key, value) = match (text.split_once('='), text.strip_suffix('-')) {
            (Some((key, value)), _) => (key, Some(value.to_owned())),
            (None, Some(key)) => (key, None),
            (None, None) => return Err(Failure::Usage(format!("`{text}` is neither `key=value` nor `key-`"))),
        };
        let prefix = if key.contains('/') { "" } else { carrick_kube::annotations::PREFIX };
        Ok(Self { node: node.to_owned(), key: format!("{prefix}{key}"), value })
    }
}

/// The effect of a change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DryRun {
    /// What is compared, for people.
    pub compared: String,
    /// The nodes whose plans would change.
    pub nodes: BTreeMap<String, NodeChange>,
    /// The change of reachability between nodes and outside peers.
    pub reachability: Reachability,
    /// The values that the plans ignored before the change, each with the number of nodes that report it.
    pub warnings: BTreeMap<String, usize>,
    /// What is not known, for people.
    pub notes: Vec<String>,
    #[serde(skip)]
    is_loss: bool,
}

/// The change of a node's plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeChange {
    /// Lines of the plan that the change removes.
    pub removed: BTreeSet<String>,
    /// Lines of the plan that the change adds.
    pub added: BTreeSet<String>,
    /// Warnings that the change adds.
    pub warnings: BTreeSet<String>,
}

impl DryRun {
    /// Computes the effect of a change. Without a change, the plans in force are compared with the plans that the agents should have.
    ///
    /// # Errors
    /// A named node does not exist, or the objects are not known and the change needs them.
    pub fn of(snapshot: &Snapshot, change: &Change) -> Result<Self, Failure> {
        let needs_objects = change.without.is_none() || change.changes_objects();
        if snapshot.objects.is_none() && needs_objects {
            return Err(Failure::Usage(WITHOUT_OBJECTS.to_owned()));
        }
        let now = ClusterPlan::of(snapshot)?;
        let planned = now.with_cluster(now.cluster.clone());
        if *change == Change::default() {
            let compared = "the plans in force, and the plans that the agents should have".to_owned();
            return Ok(Self::between(compared, &now, &planned, &BTreeSet::new()));
        }
        let mut after = changed(snapshot, &planned, change)?;
        let mut gone = BTreeSet::new();
        if let Some(node) = &change.without {
            let name = now.plan_of(node)?.node.clone();
            after = after.with_down(&name);
            after.plans.remove(&name);
            gone.insert(name);
        }
        let compared = match &change.without {
            Some(node) => {
                format!("the plans now, and the plans after the other nodes have detected that {node} is down")
            }
            None => "the plans now, and the plans after the change".to_owned(),
        };
        Ok(Self::between(compared, &planned, &after, &gone))
    }

    fn between(compared: String, before: &ClusterPlan, after: &ClusterPlan, gone: &BTreeSet<NodeName>) -> Self {
        let names: BTreeSet<&NodeName> =
            before.plans.keys().chain(after.plans.keys()).filter(|name| !gone.contains(*name)).collect();
        let mut nodes = BTreeMap::new();
        for name in names {
            let [old, new] = [before, after].map(|cluster_plan| cluster_plan.plans.get(name));
            let [removed, added] = [facts::difference(old, new), facts::difference(new, old)];
            let warnings = facts::new_warnings(old, new);
            if !(removed.is_empty() && added.is_empty() && warnings.is_empty()) {
                nodes.insert(name.to_string(), NodeChange { removed, added, warnings });
            }
        }
        let reachability = Reachability::between(before, after, gone);
        let is_loss = reachability.is_loss();
        Self { compared, nodes, reachability, warnings: before.warnings(), notes: before.notes.clone(), is_loss }
    }
}

fn changed(snapshot: &Snapshot, planned: &ClusterPlan, change: &Change) -> Result<ClusterPlan, Failure> {
    let Some(objects) = snapshot.objects.as_ref().filter(|_| change.changes_objects()) else {
        return Ok(planned.clone());
    };
    let mut objects = objects.clone();
    objects.nodes.extend(change.applied.nodes.clone());
    objects.peers.extend(change.applied.peers.clone());
    objects.mesh = change.applied.mesh.clone().or(objects.mesh);
    for annotation in &change.annotations {
        let node = objects.nodes.iter_mut().find(|(name, _)| name.as_str() == annotation.node);
        let Some((_, metadata)) = node else {
            return Err(Failure::Usage(format!("there is no Node `{}`", annotation.node)));
        };
        match &annotation.value {
            Some(value) => metadata.annotations.insert(annotation.key.clone(), value.clone()),
            None => metadata.annotations.remove(&annotation.key),
        };
    }
    Ok(planned.with_cluster(objects.cluster(&planned.flag_label())))
}

impl View for DryRun {
    fn draw(&self, document: &mut Document) {
        document.line(format_args!("compared: {}", self.compared));
        for (node, change) in &self.nodes {
            document.gap();
            document.styled(node, Style::Strong);
            change.removed.iter().for_each(|fact| document.styled(format_args!("  - {fact}"), Style::Bad));
            change.added.iter().for_each(|fact| document.styled(format_args!("  + {fact}"), Style::Good));
            change.warnings.iter().for_each(|warning| document.styled(format_args!("  ! {warning}"), Style::Warn));
        }
        if self.nodes.is_empty() {
            document.line("no plan changes");
        }
        document.gap();
        self.reachability.draw(document);
        draw_ignored_values(&self.warnings, document);
        for note in &self.notes {
            document.styled(format_args!("note: {note}"), Style::Dim);
        }
    }

    fn exit(&self) -> Exit {
        if self.is_loss { Exit::Unhealthy } else { Exit::Healthy }
    }
}
