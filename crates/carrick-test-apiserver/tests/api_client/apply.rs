use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::server::{TestServer, code};

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

/// The annotations that a manager owns because it applied them.
fn owned(node: &Node, manager: &str) -> Vec<String> {
    let entries = node.metadata.managed_fields.iter().flatten();
    let own = entries
        .filter(|entry| entry.manager.as_deref() == Some(manager) && entry.operation.as_deref() == Some("Apply"));
    own.filter_map(|entry| entry.fields_v1.as_ref())
        .filter_map(|fields| fields.0["f:metadata"]["f:annotations"].as_object())
        .flat_map(|fields| fields.keys().cloned())
        .collect()
}

pub async fn an_apply_patch_keeps_the_annotations_of_others(server: TestServer) {
    server.create_node("a").await;
    let (nodes, name) = (server.nodes().await, server.name("a"));
    let node = apply(&nodes, &name, "carrick", &[(KEY, "k1"), (MESH, "10.4.0.1")]).await;
    assert_eq!([KEY, MESH, LOCATION].map(|key| annotation(&node, key)), [Some("k1"), Some("10.4.0.1"), Some("left")]);
    let node = apply(&nodes, &name, "carrick", &[(KEY, "k2"), (MESH, "10.4.0.1")]).await;
    assert_eq!([KEY, LOCATION].map(|key| annotation(&node, key)), [Some("k2"), Some("left")]);
    assert_eq!(node.spec.and_then(|spec| spec.pod_cidrs), Some(vec!["10.42.0.0/24".to_owned()]));
}

pub async fn applying_the_same_values_again_writes_nothing(server: TestServer) {
    server.create_node("a").await;
    let (nodes, name) = (server.nodes().await, server.name("a"));
    let first = apply(&nodes, &name, "carrick", &[(KEY, "k1")]).await;
    let second = apply(&nodes, &name, "carrick", &[(KEY, "k1")]).await;
    assert_eq!(second.resource_version(), first.resource_version());
}

pub async fn an_apply_patch_does_not_recreate_a_deleted_node(server: TestServer) {
    let node = server.create_node("a").await;
    let (nodes, name) = (server.nodes().await, server.name("a"));
    let patch = Patch::Apply(json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "uid": node.uid(), "annotations": { KEY: "k" } },
    }));
    let parameters = PatchParams::apply("carrick");
    nodes.patch(&name, &parameters, &patch).await.expect("the UID is this node's");
    server.delete_node("a").await;
    let error = nodes.patch(&name, &parameters, &patch).await.expect_err("the node is deleted");
    assert_eq!(code(&error), 409);
    assert!(nodes.get_opt(&name).await.expect("an answer").is_none());

    let other = server.create_node("a").await;
    assert_ne!(other.uid(), node.uid());
    let error = nodes.patch(&name, &parameters, &patch).await.expect_err("another node");
    assert_eq!(code(&error), 422);
}

pub async fn an_apply_patch_removes_its_managers_annotations_that_it_omits(server: TestServer) {
    server.create_node("a").await;
    let (nodes, name) = (server.nodes().await, server.name("a"));
    let node = apply(&nodes, &name, "carrick", &[(KEY, "k1"), (MESH, "10.4.0.1")]).await;
    assert_eq!(owned(&node, "carrick"), [format!("f:{MESH}"), format!("f:{KEY}")]);

    let node = apply(&nodes, &name, "carrick", &[(KEY, "k2")]).await;
    assert_eq!(annotation(&node, KEY), Some("k2"));
    assert_eq!(annotation(&node, MESH), None, "the patch omits it");
    assert_eq!(annotation(&node, LOCATION), Some("left"), "another manager owns it");
    assert_eq!(owned(&node, "carrick"), [format!("f:{KEY}")]);

    let node = apply(&nodes, &name, "carrick", &[]).await;
    assert_eq!([KEY, LOCATION].map(|key| annotation(&node, key)), [None, Some("left")]);
    assert!(owned(&node, "carrick").is_empty());
    assert_eq!(node.spec.and_then(|spec| spec.pod_cidrs), Some(vec!["10.42.0.0/24".to_owned()]));
}

pub async fn applying_the_same_values_again_keeps_the_managed_fields(server: TestServer) {
    server.create_node("a").await;
    let (nodes, name) = (server.nodes().await, server.name("a"));
    let first = apply(&nodes, &name, "carrick", &[(KEY, "k1")]).await;
    let second = apply(&nodes, &name, "carrick", &[(KEY, "k1")]).await;
    assert_eq!(second.metadata.managed_fields, first.metadata.managed_fields);
}

pub async fn an_annotation_of_another_manager_conflicts_unless_forced(server: TestServer) {
    server.create_node("a").await;
    let (nodes, name) = (server.nodes().await, server.name("a"));
    let unforced = PatchParams::apply("carrick");
    let result = nodes.patch(&name, &unforced, &annotations(&[(LOCATION, "right")])).await;
    let kube::Error::Api(status) = result.expect_err("people own it") else { panic!("expected a status") };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    assert_eq!(causes.len(), 1, "{causes:?}");
    assert_eq!(causes[0].reason, "FieldManagerConflict");
    assert_eq!(causes[0].field, format!(".metadata.annotations.{LOCATION}"));
    assert!(causes[0].message.contains("people"), "{causes:?}");

    let forced = unforced.force();
    let node = nodes.patch(&name, &forced, &annotations(&[(LOCATION, "right")])).await;
    let node = node.expect("force takes the field over");
    assert_eq!(annotation(&node, LOCATION), Some("right"));
    assert_eq!(owned(&node, "carrick"), [format!("f:{LOCATION}")]);
    let node = apply(&nodes, &name, "carrick", &[]).await;
    assert_eq!(annotation(&node, LOCATION), None, "no other manager owns it any more");
}

pub async fn a_value_of_two_managers_stays_until_both_omit_it(server: TestServer) {
    server.create_node("a").await;
    let (nodes, name) = (server.nodes().await, server.name("a"));
    apply(&nodes, &name, "one", &[(KEY, "k")]).await;
    apply(&nodes, &name, "two", &[(KEY, "k")]).await;
    let node = apply(&nodes, &name, "one", &[]).await;
    assert_eq!(annotation(&node, KEY), Some("k"));
    let node = apply(&nodes, &name, "two", &[]).await;
    assert_eq!(annotation(&node, KEY), None);
}
