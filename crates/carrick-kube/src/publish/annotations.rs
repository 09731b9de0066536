//! The agent's own annotations.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, PartialObjectMeta, Patch, PatchParams};
use serde_json::json;

use super::{FIELD_MANAGER, PublishError, answer};
use carrick_topology::Published;

use crate::annotations::{key, published_annotations};
use crate::client::ApiClient;
use crate::own_node::OwnNode;

/// Applies the agent's own annotations to its Node; people's are left alone. The server changes nothing if it has them already: what this
/// client has heard of the Node may be older than what the caller has.
///
/// The write is bound to the Node's UID: on a Node that was deleted in the meantime it makes no new one.
///
/// # Errors
/// See [`PublishError`].
pub async fn publish_annotations(api: &ApiClient, own: &OwnNode, published: &Published) -> Result<(), PublishError> {
    let nodes: Api<PartialObjectMeta<Node>> = Api::all(api.client());
    let (name, wanted) = (own.metadata.name.as_str(), published_annotations(published));
    let patch = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "uid": own.uid, "annotations": wanted},
    });
    // Force takes over only what the patch names, and these keys are the agent's.
    let apply = PatchParams::apply(FIELD_MANAGER).force();
    let node = answer("Node", nodes.patch(name, &apply, &Patch::Apply(&patch))).await?;
    tracing::info!(event = "annotations_published", node = name, keys = ?wanted.keys());

    // Keys that another field manager wrote survive an apply that does not name them.
    let left = shown(&node.metadata.annotations.unwrap_or_default());
    let foreign: BTreeMap<_, _> =
        left.into_keys().filter(|key| !wanted.contains_key(key)).map(|key| (key, None::<String>)).collect();
    if !foreign.is_empty() {
        let patch = json!({"metadata": {"uid": own.uid, "annotations": foreign}});
        let merge = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        answer("Node", nodes.patch(name, &merge, &Patch::Merge(&patch))).await?;
        tracing::info!(event = "foreign_annotations_removed", node = name, keys = ?foreign.keys());
    }
    Ok(())
}

/// The annotations that are the agent's.
fn shown(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let own = annotations.iter().filter(|(name, _)| key::AGENTS.contains(&name.as_str()));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}
