//! Converts the API's signals to changes: no I/O, no clock.

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::ObjectName;
use carrick_topology::{Change, Cluster, Mesh, Node, NodeName, Peer, PeerName, Warning};
use serde::Serialize;

use super::event::{ClusterEvent, ClusterUid};
use super::follow::Signal;
use super::mirror::{Mirror, Unlisted, fingerprint};
use super::object::{MeshObject, NodeObject, OwnNodeObject, PeerObject};
use crate::annotations::{NodeMetadata, PREFIX, parse_node};
use crate::mesh::parse_mesh;
use crate::own_node::OwnNode;
use crate::peer::parse_peer;

/// Everything that is known of the cluster, as far as it takes to notice changes.
#[derive(Debug)]
pub(crate) struct View {
    me: NodeName,
    /// The label of the flags, for when the Mesh gives none.
    flag_label: String,
    /// The label in force.
    topology_label: String,
    nodes: Mirror<NodeName, Change>,
    peers: Mirror<PeerName, Change>,
    /// One object at most.
    mesh: Mirror<(), Change>,
    own: Own,
    /// Whether the list in progress contained the own Node so far.
    own_is_listed: bool,
    progress: Progress,
}

/// The known state of the own Node.
#[derive(Debug)]
enum Own {
    Unknown,
    Missing,
    Present(Box<OwnNode>),
}

/// Which first lists are complete.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    nodes: bool,
    peers: bool,
    mesh: bool,
    told: bool,
}

impl View {
    /// Knows what is in `cluster`, from the disk: only what differs from it will be a change.
    ///
    /// `flag_label` is the label that names a node's location if the Mesh names none.
    pub(crate) fn new(me: NodeName, flag_label: String, cluster: &Cluster) -> Self {
        let mut warnings: BTreeMap<&ObjectName, BTreeSet<&Warning>> = BTreeMap::new();
        for warning in &cluster.warnings {
            warnings.entry(&warning.object).or_default().insert(warning);
        }
        let of = |object: ObjectName| warnings.get(&object).cloned().unwrap_or_default();
        let nodes = cluster
            .nodes
            .iter()
            .map(|(name, node)| (name.clone(), outcome(Some(node), of(ObjectName::Node(name.clone())))));
        let peers = cluster
            .peers
            .iter()
            .map(|(name, peer)| (name.clone(), outcome(Some(peer), of(ObjectName::Peer(name.clone())))));
        let mesh = cluster.mesh.iter().map(|mesh| ((), outcome(Some(mesh), of(ObjectName::Mesh))));
        Self {
            nodes: Mirror::of(nodes),
            peers: Mirror::of(peers),
            mesh: Mirror::of(mesh),
            own: Own::Unknown,
            own_is_listed: false,
            progress: Progress::default(),
            me,
            topology_label: label_of(cluster.mesh.as_ref(), &flag_label),
            flag_label,
        }
    }

    /// Handles a signal of the watch of all Nodes.
    pub(crate) fn take_node(&mut self, signal: Signal<NodeObject>) -> Vec<Change> {
        match signal {
            Signal::ListBegins => self.nodes.begin(),
            Signal::Listed(object) => {
                if let Some(metadata) = object.into_metadata() {
                    let (name, source) = (metadata.name.clone(), self.source(&metadata));
                    self.nodes.list(name, source, || node_change(&metadata, &self.topology_label));
                }
            }
            Signal::ListEnds => {
                let has_me = self.nodes.has_listed(&self.me);
                let unlisted = if has_me { Unlisted::Remove } else { Unlisted::Keep };
                self.progress.nodes |= has_me;
                return self.nodes.complete(unlisted, removed_node);
            }
            Signal::Applied(object) => {
                if let Some(metadata) = object.into_metadata() {
                    let (name, source) = (metadata.name.clone(), self.source(&metadata));
                    self.progress.nodes |= name == self.me;
                    let change = self.nodes.apply(name, source, || node_change(&metadata, &self.topology_label));
                    return change.into_iter().collect();
                }
            }
            Signal::Deleted(object) => {
                let name = object.into_metadata().map(|metadata| metadata.name);
                let gone = name.filter(|name| *name != self.me && self.nodes.delete(name));
                return gone.map(removed_node).into_iter().collect();
            }
            Signal::Connected | Signal::Alive | Signal::Failed(_) => {}
        }
        Vec::new()
    }

    /// Handles a signal of the watch of Peers.
    pub(crate) fn take_peer(&mut self, signal: Signal<PeerObject>) -> Vec<Change> {
        match signal {
            Signal::ListBegins => self.peers.begin(),
            Signal::Listed(object) => {
                if let Some((name, source, parse)) = read_peer(&object) {
                    self.peers.list(name, source, parse);
                }
            }
            Signal::ListEnds => {
                self.progress.peers = true;
                return self.peers.complete(Unlisted::Remove, removed_peer);
            }
            Signal::Applied(object) => {
                if let Some((name, source, parse)) = read_peer(&object) {
                    return self.peers.apply(name, source, parse).into_iter().collect();
                }
            }
            Signal::Deleted(object) => {
                let name = object.peer_metadata().map(|metadata| metadata.name);
                let gone = name.filter(|name| self.peers.delete(name));
                return gone.map(removed_peer).into_iter().collect();
            }
            Signal::Connected | Signal::Alive | Signal::Failed(_) => {}
        }
        Vec::new()
    }

    /// Handles a signal of the watch of the Mesh.
    pub(crate) fn take_mesh(&mut self, signal: Signal<MeshObject>) -> Vec<Change> {
        match signal {
            Signal::ListBegins => self.mesh.begin(),
            Signal::Listed(object) if object.is_the_one() => {
                self.mesh.list((), mesh_source(&object), || mesh_change(&object));
            }
            Signal::ListEnds => {
                self.progress.mesh = true;
                return self.mesh.complete(Unlisted::Remove, |()| removed_mesh());
            }
            Signal::Applied(object) if object.is_the_one() => {
                return self.mesh.apply((), mesh_source(&object), || mesh_change(&object)).into_iter().collect();
            }
            Signal::Deleted(object) if object.is_the_one() => {
                return self.mesh.delete(&()).then(removed_mesh).into_iter().collect();
            }
            Signal::Listed(_) | Signal::Applied(_) | Signal::Deleted(_) => {}
            Signal::Connected | Signal::Alive | Signal::Failed(_) => {}
        }
        Vec::new()
    }

    /// Follows a change of the label that names the nodes' locations. Returns whether all nodes have to be read again.
    pub(crate) fn relabel(&mut self, changes: &[Change]) -> bool {
        let changed = changes.iter().rev().find_map(|change| match change {
            Change::Mesh { mesh, .. } => Some(label_of(mesh.as_deref(), &self.flag_label)),
            Change::Node { .. } | Change::Peer { .. } => None,
        });
        let Some(label) = changed.filter(|label| *label != self.topology_label) else { return false };
        self.topology_label = label;
        self.progress.nodes = false;
        true
    }

    /// The API server has no Mesh to offer for now; the agent does not wait for it.
    pub(crate) const fn go_on_without_mesh(&mut self) {
        self.progress.mesh = true;
    }

    /// The API server serves no Peers for now. The view counts as complete without them.
    pub(crate) fn go_on_without_peers(&mut self) {
        self.progress.peers = true;
    }

    /// Handles a signal of the watch of the own Node.
    pub(crate) fn take_own(&mut self, signal: Signal<OwnNodeObject>) -> Option<ClusterEvent> {
        match signal {
            Signal::ListBegins => {
                self.own_is_listed = false;
                None
            }
            Signal::Listed(object) | Signal::Applied(object) => {
                self.own_is_listed = true;
                let own = object.into_own_node().filter(|own| own.metadata.name == self.me)?;
                let is_same = matches!(&self.own, Own::Present(before) if **before == own);
                self.own = Own::Present(Box::new(own.clone()));
                (!is_same).then(|| ClusterEvent::OwnNode(Box::new(own)))
            }
            Signal::ListEnds if self.own_is_listed => None,
            Signal::ListEnds | Signal::Deleted(_) => {
                let was_known = !matches!(self.own, Own::Missing);
                self.own = Own::Missing;
                was_known.then_some(ClusterEvent::OwnNodeMissing)
            }
            Signal::Connected | Signal::Alive | Signal::Failed(_) => None,
        }
    }

    /// Everything that the API has is known: all nodes with this one among them, this one in full, the peers, and the Mesh.
    pub(crate) fn is_synced(&self) -> bool {
        self.progress.nodes && self.progress.peers && self.progress.mesh && matches!(self.own, Own::Present(_))
    }

    /// The event that says so, once.
    pub(crate) fn synced(&mut self, cluster: &ClusterUid) -> Option<ClusterEvent> {
        let first = self.is_synced() && !self.progress.told;
        self.progress.told |= first;
        first.then(|| ClusterEvent::Synced(cluster.clone()))
    }

    /// The fingerprint of all that [`parse_node`] looks at.
    fn source(&self, metadata: &NodeMetadata) -> u64 {
        let is_read = |label: &String| *label == self.topology_label || label.starts_with(PREFIX);
        let labels: Vec<_> = metadata.labels.iter().filter(|(label, _)| is_read(label)).collect();
        fingerprint(&(metadata.created, &metadata.annotations, labels))
    }
}

fn node_change(metadata: &NodeMetadata, topology_label: &str) -> (u64, Change) {
    let parsed = parse_node(metadata, topology_label);
    let outcome = outcome(Some(&parsed.node), parsed.warnings.iter().collect());
    let name = metadata.name.clone();
    (outcome, Change::Node { name, node: Some(Box::new(parsed.node)), warnings: parsed.warnings })
}

type ReadPeer<'o, F> = (PeerName, u64, F);

fn read_peer(object: &PeerObject) -> Option<ReadPeer<'_, impl FnOnce() -> (u64, Change) + '_>> {
    let metadata = object.peer_metadata()?;
    let name = metadata.name.clone();
    let source = fingerprint(&(metadata.created, object.spec.to_string()));
    let parse = move || {
        let name = metadata.name.clone();
        let parsed = parse_peer(metadata, &object.spec);
        let outcome = outcome(parsed.peer.as_ref(), parsed.warnings.iter().collect());
        (outcome, Change::Peer { name, peer: parsed.peer.map(Box::new), warnings: parsed.warnings })
    };
    Some((name, source, parse))
}

fn label_of(mesh: Option<&Mesh>, flag_label: &str) -> String {
    mesh.and_then(|mesh| mesh.shared.topology_label.as_deref()).unwrap_or(flag_label).to_owned()
}

fn mesh_source(object: &MeshObject) -> u64 {
    fingerprint(&object.spec.to_string())
}

fn mesh_change(object: &MeshObject) -> (u64, Change) {
    let parsed = parse_mesh(&object.spec);
    let outcome = outcome(Some(&parsed.mesh), parsed.warnings.iter().collect());
    (outcome, Change::Mesh { mesh: Some(Box::new(parsed.mesh)), warnings: parsed.warnings })
}

const fn removed_mesh() -> Change {
    Change::Mesh { mesh: None, warnings: BTreeSet::new() }
}

fn removed_node(name: NodeName) -> Change {
    Change::Node { name, node: None, warnings: BTreeSet::new() }
}

fn removed_peer(name: PeerName) -> Change {
    Change::Peer { name, peer: None, warnings: BTreeSet::new() }
}

/// The fingerprint of what an object was parsed into.
fn outcome<T: Outcome>(parsed: Option<&T>, warnings: BTreeSet<&Warning>) -> u64 {
    // Every part of the model is written out as JSON, in one order.
    fingerprint(&serde_json::to_string(&(parsed, warnings)).unwrap_or_default())
}

trait Outcome: Serialize {}
impl Outcome for Node {}
impl Outcome for Peer {}
impl Outcome for Mesh {}
