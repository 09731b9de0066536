use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::cluster::{Cluster, code};

const KEY: &str = "carrick.dev/public-key";
const MESH: &str = "carrick.dev/mesh-addresses";
const LOCATION: &str = "carrick.dev/location";

fn annotations(pairs: &[(&str, &str)]) -> Patch<Value> {
    let annotations: BTreeMap<_, _> = pairs.iter().copied().collect();
    Patch::Apply(json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "annotations": annotations },
    }))
}

async fn apply(nodes: &Api<Node>, name: &str, manager: &str, pairs: &[(&str, &str)]) -> Node {
    let parameters = PatchParams::apply(manager);
    nodes.patch(name, &parameters, &annotations(pairs)).await.expect("no conflict")
}

fn annotation<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.annotations().get(key).map(String::as_str)
}

/// The annotations that a manager owns by applying them.
fn owned(node: &Node, manager: &str) -> Vec<String> {
    let entries = node.metadata.managed_fields.iter().flatten();
    let mine = entries
        .filter(|entry| entry.manager.as_deref() == Some(manager) && entry.operation.as_deref() == Some("Apply"));
    mine.filter_map(|entry| entry.fields_v1.as_ref())
        .filter_map(|fields| fields.0["f:metadata"]["f:annotations"].as_object())
        .flat_map(|fields| fields.keys().cloned())
        .collect()
}

pub async fn own_annotations_come_and_go_beside_those_of_people(cluster: Cluster) {
    cluster.make_node("a").await;
    let (nodes, name) = (cluster.nodes().await, cluster.name("a"));
    let node = apply(&nodes, &name, "carrick", &[(KEY, "k1"), (MESH, "10.4.0.1")]).await;
    assert_eq!(annotation(&node, KEY), Some("k1"));
    assert_eq!(annotation(&node, LOCATION), Some("left"));
    assert_eq!(owned(&node, "carrick"), [format!("f:{MESH}"), format!("f:{KEY}")]);

    let node = apply(&nodes, &name, "carrick", &[(KEY, "k2")]).await;
    assert_eq!(annotation(&node, KEY), Some("k2"));
    assert_eq!(annotation(&node, MESH), None, "what is left out goes away");
    assert_eq!(annotation(&node, LOCATION), Some("left"), "what people wrote stays");
    assert_eq!(owned(&node, "carrick"), [format!("f:{KEY}")]);

    let node = apply(&nodes, &name, "carrick", &[]).await;
    assert_eq!(annotation(&node, KEY), None);
    assert_eq!(annotation(&node, LOCATION), Some("left"));
    assert!(owned(&node, "carrick").is_empty());
    assert_eq!(node.spec.and_then(|spec| spec.pod_cidrs), Some(vec!["10.42.0.0/24".to_owned()]));
}

pub async fn applying_the_same_again_writes_nothing(cluster: Cluster) {
    cluster.make_node("a").await;
    let (nodes, name) = (cluster.nodes().await, cluster.name("a"));
    let first = apply(&nodes, &name, "carrick", &[(KEY, "k1")]).await;
    let second = apply(&nodes, &name, "carrick", &[(KEY, "k1")]).await;
    assert_eq!(second.resource_version(), first.resource_version());
    assert_eq!(second.metadata.managed_fields, first.metadata.managed_fields);
}

pub async fn a_key_of_somebody_else_conflicts_unless_forced(cluster: Cluster) {
    cluster.make_node("a").await;
    let (nodes, name) = (cluster.nodes().await, cluster.name("a"));
    let polite = PatchParams::apply("carrick");
    let refused = nodes.patch(&name, &polite, &annotations(&[(LOCATION, "right")])).await;
    let kube::Error::Api(status) = refused.expect_err("people own it") else { panic!("expected a refusal") };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    assert_eq!(causes.len(), 1, "{causes:?}");
    assert_eq!(causes[0].reason, "FieldManagerConflict");
    assert_eq!(causes[0].field, format!(".metadata.annotations.{LOCATION}"));
    assert!(causes[0].message.contains("people"), "{causes:?}");

    let forced = polite.force();
    let node = nodes.patch(&name, &forced, &annotations(&[(LOCATION, "right")])).await;
    let node = node.expect("force takes it over");
    assert_eq!(annotation(&node, LOCATION), Some("right"));
    assert_eq!(owned(&node, "carrick"), [format!("f:{LOCATION}")]);
    let node = apply(&nodes, &name, "carrick", &[]).await;
    assert_eq!(annotation(&node, LOCATION), None, "it was carrick's alone");
}

pub async fn a_value_that_two_managers_apply_stays_until_both_leave_it_out(cluster: Cluster) {
    cluster.make_node("a").await;
    let (nodes, name) = (cluster.nodes().await, cluster.name("a"));
    apply(&nodes, &name, "one", &[(KEY, "k")]).await;
    apply(&nodes, &name, "two", &[(KEY, "k")]).await;
    let node = apply(&nodes, &name, "one", &[]).await;
    assert_eq!(annotation(&node, KEY), Some("k"));
    let node = apply(&nodes, &name, "two", &[]).await;
    assert_eq!(annotation(&node, KEY), None);
}

pub async fn applying_onto_a_deleted_node_does_not_bring_it_back(cluster: Cluster) {
    let node = cluster.make_node("a").await;
    let (nodes, name) = (cluster.nodes().await, cluster.name("a"));
    let patch = Patch::Apply(json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "uid": node.uid(), "annotations": { KEY: "k" } },
    }));
    let parameters = PatchParams::apply("carrick");
    nodes.patch(&name, &parameters, &patch).await.expect("the UID is this node's");
    nodes.delete(&name, &DeleteParams::default()).await.expect("a deletion");
    let refused = nodes.patch(&name, &parameters, &patch).await.expect_err("the node is gone");
    assert_eq!(code(&refused), 409);
    assert!(nodes.get_opt(&name).await.expect("an answer").is_none());

    let other = cluster.make_node("a").await;
    assert_ne!(other.uid(), node.uid());
    let refused = nodes.patch(&name, &parameters, &patch).await.expect_err("another node");
    assert_eq!(code(&refused), 422);
}
