//! Nodes in full, for a person who removes those whose machines are gone.

use carrick_topology::NodeName;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
pub use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use crate::annotations::key;

/// Objects per page of the list.
const PAGE_SIZE: u32 = 500;
/// The HTTP status with which the API server refuses a deletion whose preconditions do not hold.
const CONFLICT: u16 = 409;
/// The HTTP status for an object that does not exist.
const NOT_FOUND: u16 = 404;
/// Roles (the labels `node-role.kubernetes.io/…`, and taints of the same names) of nodes that hold the state of the cluster: of kubeadm, of
/// older versions, of k3s and RKE2.
const CONTROL_PLANE_ROLES: [&str; 4] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
    "node-role.kubernetes.io/controlplane",
    "node-role.kubernetes.io/etcd",
];

/// A Node as it was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedNode {
    /// Its name.
    pub name: NodeName,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// What the condition `Ready` says.
    pub readiness: Readiness,
    /// Whether the node belongs to the control plane or to etcd, by its labels and taints.
    pub is_control_plane: bool,
    /// The annotation [`key::HOLD`], if it is not empty.
    pub hold: Option<String>,
}

/// What the condition `Ready` of a Node says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// `True`.
    Ready,
    /// `False`, or no condition at all: the kubelet reports, and the node is not ready; or the kubelet never reported.
    NotReady,
    /// `Unknown`: the kubelet stopped reporting.
    Silent {
        /// `lastTransitionTime`, in seconds since 1970-01-01 UTC. The clock is the controller manager's.
        since: i64,
    },
}

/// The result of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The Node is deleted.
    Deleted,
    /// The Node is deleted when other programs have removed their finalizers from it.
    AwaitsFinalizers,
    /// Another client deleted the Node before.
    Gone,
    /// The Node changed after it was listed, and still exists.
    Changed,
}

/// Lists all Nodes.
///
/// # Errors
/// The API server refused, or did not answer.
pub async fn list(client: &Client) -> Result<Vec<ListedNode>, kube::Error> {
    let api = Api::<Node>::all(client.clone());
    let mut params = ListParams::default().limit(PAGE_SIZE);
    let mut nodes = Vec::new();
    loop {
        let list = api.list(&params).await?;
        nodes.extend(list.items.into_iter().filter_map(listed));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(nodes),
        }
    }
}

/// Deletes a Node if it is still exactly as it was listed: a kubelet that reports again changes it.
///
/// # Errors
/// The API server refused, or did not answer.
pub async fn delete(client: &Client, node: &ListedNode) -> Result<Deletion, kube::Error> {
    let preconditions =
        Preconditions { uid: Some(node.uid.clone()), resource_version: Some(node.resource_version.clone()) };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match Api::<Node>::all(client.clone()).delete(node.name.as_str(), &params).await {
        // The server returns the object if it only marks the object as deleted.
        Ok(deleted) => match deleted.left().and_then(|node| node.metadata.finalizers) {
            Some(finalizers) if !finalizers.is_empty() => Ok(Deletion::AwaitsFinalizers),
            Some(_) | None => Ok(Deletion::Deleted),
        },
        Err(kube::Error::Api(status)) if status.code == CONFLICT => Ok(Deletion::Changed),
        Err(kube::Error::Api(status)) if status.code == NOT_FOUND => Ok(Deletion::Gone),
        Err(error) => Err(error),
    }
}

fn listed(node: Node) -> Option<ListedNode> {
    let labels = node.metadata.labels.unwrap_or_default();
    let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
    let mut roles = labels.keys().map(String::as_str).chain(taints.iter().map(|taint| taint.key.as_str()));
    let is_control_plane = roles.any(|role| CONTROL_PLANE_ROLES.contains(&role));
    let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
    let hold = node.metadata.annotations.unwrap_or_default().remove(key::HOLD);
    Some(ListedNode {
        name: node.metadata.name?.parse().ok()?,
        uid: node.metadata.uid?,
        resource_version: node.metadata.resource_version?,
        readiness: readiness(&conditions),
        is_control_plane,
        hold: hold.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
    })
}

fn readiness(conditions: &[NodeCondition]) -> Readiness {
    let Some(ready) = conditions.iter().find(|condition| condition.type_ == "Ready") else {
        return Readiness::NotReady;
    };
    match (ready.status.as_str(), &ready.last_transition_time) {
        ("True", _) => Readiness::Ready,
        ("Unknown", Some(time)) => Readiness::Silent { since: time.0.as_second() },
        (_, _) => Readiness::NotReady,
    }
}

/// Lets a gateway drain for a reason, or serve again: writes or removes [`key::DRAIN`].
///
/// # Errors
/// The API server refuses the change or does not answer, or there is no such Node.
pub async fn set_drain(client: &Client, node: &NodeName, reason: Option<&str>) -> Result<(), kube::Error> {
    let patch = json!({"metadata": {"annotations": {key::DRAIN: reason}}});
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.patch_metadata(node.as_str(), &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(changes: &Value) -> ListedNode {
        let mut node = json!({"metadata": {"name": "a1", "uid": "u", "resourceVersion": "7"}});
        for (field, value) in changes.as_object().unwrap() {
            match node[field].as_object_mut() {
                Some(object) => object.extend(value.as_object().unwrap().clone()),
                None => node[field] = value.clone(),
            }
        }
        listed(serde_json::from_value(node).unwrap()).unwrap()
    }

    fn ready(status: &str) -> Value {
        json!({"status": {"conditions": [
            {"type": "MemoryPressure", "status": "Unknown", "lastTransitionTime": "1970-01-01T00:00:09Z"},
            {"type": "Ready", "status": status, "lastTransitionTime": "1970-01-01T00:01:40Z"}]}})
    }

    #[test]
    fn only_a_kubelet_that_stopped_reporting_is_silent() {
        assert_eq!(read(&ready("True")).readiness, Readiness::Ready);
        assert_eq!(read(&ready("False")).readiness, Readiness::NotReady);
        assert_eq!(read(&ready("Unknown")).readiness, Readiness::Silent { since: 100 });
        assert_eq!(read(&json!({})).readiness, Readiness::NotReady);
        let timeless = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
        assert_eq!(read(&timeless).readiness, Readiness::NotReady);
    }

    #[test]
    fn labels_and_taints_name_the_control_plane() {
        for role in CONTROL_PLANE_ROLES {
            assert!(read(&json!({"metadata": {"labels": {role: "true"}}})).is_control_plane, "{role}");
            let taint = json!({"spec": {"taints": [{"key": role, "effect": "NoSchedule"}]}});
            assert!(read(&taint).is_control_plane, "{role}");
        }
        let worker = json!({"metadata": {"labels": {"node-role.kubernetes.io/worker": ""}},
            "spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}]}});
        assert!(!read(&worker).is_control_plane);
    }

    #[test]
    fn an_empty_hold_is_none() {
        let hold = |text: &str| read(&json!({"metadata": {"annotations": {"carrick.dev/hold": text}}})).hold;
        assert_eq!(hold(" in repair "), Some("in repair".to_owned()));
        assert_eq!(hold(" "), None);
    }
}
