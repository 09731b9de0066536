//! Nodes, Peers and the Mesh at one moment, read from the API or from files, for programs that do not watch them.

use std::collections::BTreeMap;

use carrick_topology::model::CreationTime;
use carrick_topology::{Cluster, NodeName, PeerName};
use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;

use crate::annotations::{NodeMetadata, parse_node};
use crate::mesh::{MESH_NAME, parse_mesh};
use crate::peer::{PeerMetadata, parse_peer};
use crate::watch::{MeshObject, NodeObject, PeerObject};

/// Objects per page of a list.
const PAGE_SIZE: u32 = 500;

/// Nodes, Peers and the Mesh, not parsed yet: how a node's location is read depends on the settings of the mesh.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// The Nodes.
    pub nodes: BTreeMap<NodeName, NodeMetadata>,
    /// The Peers.
    pub peers: BTreeMap<PeerName, SavedPeer>,
    /// The `spec` of the Mesh, if there is one.
    pub mesh: Option<Value>,
}

/// A Peer object.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedPeer {
    /// When it was created.
    pub created: CreationTime,
    /// Its `spec`.
    pub spec: Value,
}

/// Why there are no objects.
#[derive(Debug, Error)]
pub enum ObjectsError {
    /// The API server refused, or did not answer.
    #[error("the API server does not list {what}: {error}")]
    Api {
        /// The requested objects.
        what: &'static str,
        /// The API server's answer.
        #[source]
        error: kube::Error,
    },
    /// Something that is neither a Node, nor a Peer, nor a Mesh, nor a list of these.
    #[error("an object of kind `{0}` is neither a Node nor a Peer nor a Mesh nor a list of these")]
    Kind(String),
    /// A Node, a Peer or a Mesh that cannot be read.
    #[error("a {kind} cannot be read: {reason}")]
    Unreadable {
        /// Its kind.
        kind: &'static str,
        /// Why.
        reason: String,
    },
}

impl Objects {
    /// Reads all Nodes (their metadata), Peers and the Mesh of the API. Where a resource of Carrick is not installed, there is none.
    ///
    /// # Errors
    /// [`ObjectsError::Api`].
    pub async fn list(client: &Client) -> Result<Self, ObjectsError> {
        let mut objects = Self::default();
        for node in pages::<NodeObject>(client, "Nodes").await? {
            objects.add_node(node);
        }
        match pages::<PeerObject>(client, "Peers").await {
            Ok(peers) => peers.iter().for_each(|peer| objects.add_peer(peer)),
            Err(ObjectsError::Api { error: kube::Error::Api(status), .. }) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
        match pages::<MeshObject>(client, "Meshes").await {
            Ok(meshes) => meshes.into_iter().for_each(|mesh| objects.add_mesh(mesh)),
            Err(ObjectsError::Api { error: kube::Error::Api(status), .. }) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
        Ok(objects)
    }

    /// Adds what a saved document holds: a Node, a Peer, a Mesh, or a `List` of these, as `kubectl get --output=json` writes them.
    ///
    /// # Errors
    /// [`ObjectsError::Kind`] or [`ObjectsError::Unreadable`].
    pub fn add(&mut self, document: Value) -> Result<(), ObjectsError> {
        let kind = document["kind"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "Node" => self.add_node(read("Node", document)?),
            "Peer" => self.add_peer(&read("Peer", document)?),
            "Mesh" => self.add_mesh(read("Mesh", document)?),
            "List" | "NodeList" | "PeerList" | "MeshList" => {
                let Value::Object(mut list) = document else { return Err(ObjectsError::Kind(kind)) };
                let item_kind = kind.strip_suffix("List").filter(|kind| !kind.is_empty());
                let Some(Value::Array(items)) = list.remove("items") else { return Ok(()) };
                for mut item in items {
                    // Items of a typed list carry no kind of their own.
                    if let (Some(kind), Value::Object(item)) = (item_kind, &mut item) {
                        item.entry("kind").or_insert_with(|| kind.into());
                    }
                    self.add(item)?;
                }
            }
            _ => return Err(ObjectsError::Kind(kind)),
        }
        Ok(())
    }

    /// The cluster that the objects describe. Ignored values are its warnings. `flag_label` is the label that names a node's location if
    /// the Mesh names none.
    #[must_use]
    pub fn cluster(&self, flag_label: &str) -> Cluster {
        let mut cluster = Cluster::default();
        if let Some(spec) = &self.mesh {
            let parsed = parse_mesh(spec);
            cluster.warnings.extend(parsed.warnings);
            cluster.mesh = Some(parsed.mesh);
        }
        let label = cluster.mesh.as_ref().and_then(|mesh| mesh.shared.topology_label.clone());
        let topology_label = label.as_deref().unwrap_or(flag_label);
        for metadata in self.nodes.values() {
            let parsed = parse_node(metadata, topology_label);
            cluster.warnings.extend(parsed.warnings);
            cluster.insert_node(parsed.node);
        }
        for (name, peer) in &self.peers {
            let parsed = parse_peer(PeerMetadata { name: name.clone(), created: peer.created }, &peer.spec);
            cluster.warnings.extend(parsed.warnings);
            if let Some(peer) = parsed.peer {
                cluster.insert_peer(peer);
            }
        }
        cluster
    }

    /// The objects as a `List` that [`Objects::add`] reads again.
    #[must_use]
    pub fn document(&self) -> Value {
        let nodes = self.nodes.iter().map(|(name, node)| {
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {
                "name": name, "creationTimestamp": timestamp(node.created), "annotations": node.annotations, "labels": node.labels}})
        });
        let peers = self.peers.iter().map(|(name, peer)| {
            json!({"apiVersion": "carrick.dev/v1alpha1", "kind": "Peer", "spec": peer.spec,
                "metadata": {"name": name, "creationTimestamp": timestamp(peer.created)}})
        });
        let mesh = self.mesh.iter().map(|spec| {
            json!({"apiVersion": "carrick.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": MESH_NAME}, "spec": spec})
        });
        json!({"apiVersion": "v1", "kind": "List", "items": nodes.chain(peers).chain(mesh).collect::<Vec<_>>()})
    }

    fn add_mesh(&mut self, mesh: MeshObject) {
        if mesh.is_the_one() {
            self.mesh = Some(mesh.spec);
        }
    }

    fn add_node(&mut self, node: NodeObject) {
        if let Some(metadata) = node.into_metadata() {
            self.nodes.insert(metadata.name.clone(), metadata);
        }
    }

    fn add_peer(&mut self, peer: &PeerObject) {
        if let Some(metadata) = peer.peer_metadata() {
            self.peers.insert(metadata.name, SavedPeer { created: metadata.created, spec: peer.spec.clone() });
        }
    }
}

/// RFC 3339; `None` for a time that no object has.
fn timestamp(created: CreationTime) -> Option<String> {
    Timestamp::from_second(created).ok().map(|time| time.to_string())
}

fn read<T: DeserializeOwned>(kind: &'static str, document: Value) -> Result<T, ObjectsError> {
    serde_json::from_value(document).map_err(|error| ObjectsError::Unreadable { kind, reason: error.to_string() })
}

async fn pages<K>(client: &Client, what: &'static str) -> Result<Vec<K>, ObjectsError>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api = Api::<K>::all(client.clone());
    let mut params = ListParams::default().limit(PAGE_SIZE);
    let mut objects = Vec::new();
    loop {
        let list = api.list(&params).await.map_err(|error| ObjectsError::Api { what, error })?;
        objects.extend(list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name,
            "labels": {"topology.kubernetes.io/region": "basel"},
            "annotations": {"carrick.dev/gateway": "sometimes", "other.dev/x": "y"}}})
    }

    #[test]
    fn a_list_of_nodes_and_peers_is_a_cluster() {
        let peer = json!({"apiVersion": "carrick.dev/v1alpha1", "kind": "Peer", "metadata": {"name": "laptop"},
            "spec": {"publicKey": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "allowedIPs": ["192.168.7.0/24"]}});
        let mut objects = Objects::default();
        objects.add(json!({"kind": "List", "items": [node("a"), peer]})).unwrap();
        objects.add(json!({"kind": "NodeList", "items": [{"metadata": {"name": "b"}}]})).unwrap();
        let cluster = objects.cluster("topology.kubernetes.io/region");
        assert_eq!(cluster.nodes.len(), 2);
        assert_eq!(cluster.nodes["a"].location.as_ref().unwrap().as_str(), "basel");
        assert_eq!(cluster.peers.len(), 1);
        let warnings: Vec<_> = cluster.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.len() == 1 && warnings[0].contains("sometimes"), "{warnings:?}");
    }

    #[test]
    fn a_document_of_the_objects_gives_the_same_objects() {
        let mut objects = Objects::default();
        let mut aged = node("a");
        aged["metadata"]["creationTimestamp"] = "2026-01-02T03:04:05Z".into();
        let peer = json!({"kind": "Peer", "metadata": {"name": "laptop", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"publicKey": "x", "allowedIPs": ["192.168.7.0/24"]}});
        let mesh = json!({"kind": "Mesh", "metadata": {"name": "default"}, "spec": {"granularity": "full"}});
        objects.add(json!({"kind": "List", "items": [aged, node("b"), peer, mesh]})).unwrap();
        let mut again = Objects::default();
        again.add(objects.document()).unwrap();
        assert_eq!(again, objects);
        assert!(again.nodes["a"].created > 0 && again.mesh.is_some());
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        for (document, said) in [
            (json!({"kind": "Pod"}), "`Pod`"),
            (json!("text"), "``"),
            (json!({"kind": "List", "items": [{"kind": "Secret"}]}), "`Secret`"),
            (json!({"kind": "Node", "metadata": 7}), "a Node cannot be read"),
        ] {
            let error = Objects::default().add(document).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
