//! Warnings as Kubernetes Events (`events.k8s.io/v1`).

use carrick_topology::ObjectName;
use carrick_topology::hash::{rendezvous, stable_hash};
use carrick_topology::model::MESH_NAME;
use carrick_topology::{Cluster, NodeName, Warning};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};

use super::{FIELD_MANAGER, PublishError, answer};
use crate::client::ApiClient;
use crate::own_node::OwnNode;

/// The namespace of Events about objects that have no namespace.
const NAMESPACE: &str = "default";
/// The longest note that the API server takes, in bytes (`events.k8s.io/v1`, field `note`).
const LONGEST_NOTE: usize = 1024;

/// Whether this node reports a warning. All nodes see the same warnings, and one Event is enough.
///
/// A node reports the warnings about itself, and those that concern this node alone. For a peer or a location,
/// rendezvous hashing of its name picks the node.
#[must_use]
pub fn is_reporter(cluster: &Cluster, me: &NodeName, warning: &Warning) -> bool {
    if warning.reason.concerns_single_nodes() {
        return true;
    }
    let picked = |key: &str| is_picked(cluster, me, key);
    match &warning.object {
        ObjectName::Node(name) => name == me,
        ObjectName::Peer(name) => picked(name.as_str()),
        ObjectName::Location(name) => picked(name),
        ObjectName::Mesh => picked(MESH_NAME),
    }
}

/// Whether rendezvous hashing of a key picks this node from all nodes of the mesh.
#[must_use]
pub fn is_picked(cluster: &Cluster, me: &NodeName, key: &str) -> bool {
    let meshed = cluster.nodes.values().filter(|node| node.public_key.is_some());
    rendezvous(key, meshed.map(|node| &node.name), |name| name.as_str()) == Some(me)
}

/// Writes a warning as an Event. An Event that an earlier run of the agent wrote stays as it is.
///
/// # Errors
/// See [`PublishError`].
pub async fn publish_event(
    api: &ApiClient,
    own: &OwnNode,
    warning: &Warning,
    now: Timestamp,
) -> Result<(), PublishError> {
    create(api, &event(own, warning, now)).await
}

/// Writes a fault of the own Node as an Event with this reason and note. One that exists already is left as it is.
///
/// # Errors
/// See [`PublishError`].
pub async fn publish_fault(
    api: &ApiClient,
    own: &OwnNode,
    reason: &'static str,
    note: String,
    now: Timestamp,
) -> Result<(), PublishError> {
    create(api, &fault_event(own, reason, note, now)).await
}

/// The Event about a fault of the own Node.
#[must_use]
pub fn fault_event(own: &OwnNode, reason: &'static str, note: String, now: Timestamp) -> Event {
    new_event(own, Description { reason, action: "Checking", note }, own_node_reference(own), None, now)
}

async fn create(api: &ApiClient, event: &Event) -> Result<(), PublishError> {
    let events: Api<Event> = Api::namespaced(api.client(), NAMESPACE);
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match answer("Event", events.create(&parameters, event)).await {
        Ok(_) | Err(PublishError::Replaced(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn event(own: &OwnNode, warning: &Warning, now: Timestamp) -> Event {
    let me = own.metadata.name.as_str();
    let reporter = own_node_reference(own);
    let (regarding, related) = match &warning.object {
        ObjectName::Node(name) if name.as_str() == me => (reporter, None),
        ObjectName::Node(name) => (reference("v1", "Node", name.as_str()), Some(reporter)),
        ObjectName::Peer(name) => (reference("carrick.dev/v1alpha1", "Peer", name.as_str()), Some(reporter)),
        ObjectName::Mesh => (reference("carrick.dev/v1alpha1", "Mesh", MESH_NAME), Some(reporter)),
        ObjectName::Location(_) => (reporter, None),
    };
    let description = Description { reason: warning.reason.kind(), action: "Planning", note: warning.to_string() };
    new_event(own, description, regarding, related, now)
}

/// What an Event says.
struct Description {
    reason: &'static str,
    action: &'static str,
    note: String,
}

fn new_event(
    own: &OwnNode,
    description: Description,
    regarding: ObjectReference,
    related: Option<ObjectReference>,
    now: Timestamp,
) -> Event {
    let me = own.metadata.name.as_str();
    let Description { reason, action, note } = description;
    let identity = stable_hash(&[me, &note]);
    Event {
        metadata: ObjectMeta {
            name: Some(format!("carrick.{me}.{identity:016x}")),
            namespace: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some("Warning".to_owned()),
        reason: Some(reason.to_owned()),
        action: Some(action.to_owned()),
        note: Some(cut(note, LONGEST_NOTE)),
        regarding: Some(regarding),
        related,
        reporting_controller: Some("carrick.dev/agent".to_owned()),
        reporting_instance: Some(cut(me.to_owned(), 128)),
        ..Event::default()
    }
}

fn own_node_reference(own: &OwnNode) -> ObjectReference {
    ObjectReference { uid: Some(own.uid.clone()), ..reference("v1", "Node", own.metadata.name.as_str()) }
}

fn reference(api_version: &str, kind: &str, name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(kind.to_owned()),
        name: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

/// Cuts a text to a number of bytes, at a character boundary.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use carrick_topology::{Node, PublicKey, WarningReason};

    fn cluster(names: &[&str]) -> Cluster {
        let mut cluster = Cluster::default();
        for name in names {
            let public_key = Some(PublicKey::from_bytes([7; 32]));
            cluster.insert_node(Node { public_key, ..Node::new(name.parse().unwrap(), 0) });
        }
        cluster
    }

    fn reporters(cluster: &Cluster, object: ObjectName, reason: &WarningReason) -> usize {
        let warning = Warning::new(object, "f", "v", reason.clone());
        cluster.nodes.keys().filter(|me| is_reporter(cluster, me, &warning)).count()
    }

    #[test]
    fn one_node_reports_each_warning() {
        let cluster = cluster(&["a", "b", "c", "d"]);
        let objects = ["a", "b", "c", "d"].map(|name| ObjectName::Node(name.parse().unwrap()));
        let peers = ["p", "q", "r"].map(|name| ObjectName::Peer(name.parse().unwrap()));
        let locations = ["x", "y"].map(|name| ObjectName::Location(name.to_owned()));
        for object in objects.into_iter().chain(peers).chain(locations).chain([ObjectName::Mesh]) {
            assert_eq!(reporters(&cluster, object.clone(), &WarningReason::NoGateway), 1, "{object}");
        }
        let object = ObjectName::Node("a".parse().unwrap());
        assert_eq!(reporters(&cluster, object, &WarningReason::OverlapsOwnSubnet("10.0.0.0/24".into())), 4);
    }

    #[test]
    fn a_note_is_cut_at_a_character() {
        assert_eq!(cut("aé".into(), 2), "a");
        assert_eq!(cut("aé".into(), 3), "aé");
    }
}
