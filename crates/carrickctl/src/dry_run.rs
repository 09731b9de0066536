//! `carrickctl plan`: what a change would do to every node's plan, before anyone makes it.

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

pub use facts::facts;
pub use reachability::Reachability;

/// A change that somebody thinks of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Annotations of Nodes: node, key, and the value, or none to remove it.
    pub annotations: Vec<Annotation>,
    /// Objects that are added or replaced.
    pub applied: Objects,
    /// A node that dies.
    pub without: Option<String>,
}

/// An annotation that would be set or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// The Node.
    pub node: String,
    /// The key, with the prefix.
    pub key: String,
    /// The value; none removes it.
    pub value: Option<String>,
}

impl Annotation {
    /// Reads `key=value`, or `key-` to remove one, as kubectl does. A key without `/` has Carrick's prefix.
    ///
    /// # Errors
    /// It is neither.
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

/// What would change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DryRun {
    /// What is compared with what, in words.
    pub compared: String,
    /// The nodes whose plans would change.
    pub nodes: BTreeMap<String, NodeChange>,
    /// What would reach each other no more, or anew; by the packet walk over all pairs of pods and outside peers.
    pub reachability: Reachability,
    /// What cannot be known.
    pub notes: Vec<String>,
    #[serde(skip)]
    is_loss: bool,
}

/// How the plan of a node would change.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeChange {
    /// What the node has and would have no more.
    pub removed: BTreeSet<String>,
    /// What the node would have besides.
    pub added: BTreeSet<String>,
    /// What would be left out, anew.
    pub warnings: BTreeSet<String>,
}

impl DryRun {
    /// Computes what a change does. Without a change, what the agents hold is compared with what they should.
    ///
    /// # Errors
    /// A node that was named is not there, or what is known does not suffice.
    pub fn of(snapshot: &Snapshot, change: &Change) -> Result<Self, Failure> {
        let now = ClusterPlan::of(snapshot)?;
        let planned = now.with_cluster(now.cluster.clone());
        if *change == Change::default() {
            let compared = "what the agents hold, and what they should".to_owned();
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
                format!("what the agents should hold now, and once the others have noticed that {node} is dead")
            }
            None => "what the agents should hold now, and after the change".to_owned(),
        };
        Ok(Self::between(compared, &planned, &after, &gone))
    }

    fn between(compared: String, before: &ClusterPlan, after: &ClusterPlan, gone: &BTreeSet<NodeName>) -> Self {
        let names: BTreeSet<&NodeName> =
            before.plans.keys().chain(after.plans.keys()).filter(|name| !gone.contains(*name)).collect();
        let mut nodes = BTreeMap::new();
        for name in names {
            let [held, wanted] = [before, after].map(|cluster_plan| cluster_plan.plans.get(name));
            let [removed, added] = [facts::difference(held, wanted), facts::difference(wanted, held)];
            let warnings = facts::new_warnings(held, wanted);
            if !(removed.is_empty() && added.is_empty() && warnings.is_empty()) {
                nodes.insert(name.to_string(), NodeChange { removed, added, warnings });
            }
        }
        let reachability = Reachability::between(before, after, gone);
        Self { compared, nodes, is_loss: reachability.is_loss(), reachability, notes: before.notes.clone() }
    }
}

fn changed(snapshot: &Snapshot, planned: &ClusterPlan, change: &Change) -> Result<ClusterPlan, Failure> {
    if change.annotations.is_empty() && change.applied == Objects::default() {
        return Ok(planned.clone());
    }
    let Some(objects) = &snapshot.objects else {
        return Err(Failure::Usage(
            "what a change of objects does cannot be told from agents' pages: the objects are needed, by a kubeconfig or `-f FILE`".to_owned(),
        ));
    };
    let mut objects = objects.clone();
    objects.nodes.extend(change.applied.nodes.clone());
    objects.peers.extend(change.applied.peers.clone());
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
    Ok(planned.with_cluster(objects.cluster(planned.topology_label())))
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
            document.line("no node's plan changes");
        }
        document.gap();
        self.reachability.draw(document);
        for note in &self.notes {
            document.styled(format_args!("note: {note}"), Style::Dim);
        }
    }

    fn exit(&self) -> Exit {
        if self.is_loss { Exit::Unhealthy } else { Exit::Healthy }
    }
}
