use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::server::{TestServer, code};

fn version(node: &Node) -> String {
    node.resource_version().expect("a resourceVersion")
}

pub async fn a_status_patch_changes_only_the_status(server: TestServer) {
    let before = server.create_node("a").await;
    let nodes = server.nodes().await;
    let addresses = json!([{ "type": "InternalIP", "address": "192.0.2.7" }]);
    let patch = Patch::Merge(json!({
        "spec": { "providerID": "ignored" }, "status": { "addresses": addresses },
    }));
    let name = server.name("a");
    let after = nodes.patch_status(&name, &PatchParams::default(), &patch).await.expect("a patch");
    let status = after.status.clone().expect("a status");
    assert_eq!(serde_json::to_value(status.addresses).expect("JSON"), addresses);
    assert_eq!(after.spec, before.spec);

    let patch = Patch::Merge(json!({ "status": { "addresses": null } }));
    let again = nodes.patch(&name, &PatchParams::default(), &patch).await.expect("a patch");
    assert_eq!(again.status, after.status, "a write to the main resource does not change the status");
    assert_eq!(version(&again), version(&after));
}

pub async fn a_peer_counts_generations_of_its_spec(server: TestServer) {
    let peer: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "carrick.dev/v1alpha1", "kind": "Peer",
        "metadata": { "name": server.name("p") },
        "spec": { "publicKey": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "allowedIPs": ["198.51.100.1/32"] },
    }))
    .expect("a Peer");
    let peers = server.peers().await;
    let created = peers.create(&PostParams::default(), &peer).await.expect("a Peer is created");
    assert_eq!(created.metadata.generation, Some(1));

    let name = server.name("p");
    let parameters = PatchParams::default();
    let status = Patch::Merge(json!({ "status": { "servingNode": "left-1" } }));
    let served = peers.patch_status(&name, &parameters, &status).await.expect("a status");
    assert_eq!(served.data["status"]["servingNode"], "left-1");
    assert_eq!(served.metadata.generation, Some(1));

    let spec = Patch::Merge(json!({
        "spec": { "allowedIPs": ["198.51.100.2/32"] }, "status": { "servingNode": "left-2" },
    }));
    let changed = peers.patch(&name, &parameters, &spec).await.expect("a patch");
    assert_eq!(changed.metadata.generation, Some(2));
    assert_eq!(changed.data["status"]["servingNode"], "left-1");
}

pub async fn a_patch_for_another_uid_is_rejected(server: TestServer) {
    server.create_node("a").await;
    let (nodes, name) = (server.nodes().await, server.name("a"));
    let uid = "11111111-2222-4333-8444-555555555555";
    let patch = Patch::Merge(json!({ "metadata": { "uid": uid, "labels": { "colour": "red" } } }));
    let result = nodes.patch(&name, &PatchParams::default(), &patch).await;
    assert_eq!(code(&result.expect_err("the UID of another node")), 422);
    assert!(!nodes.get(&name).await.expect("the node").labels().contains_key("colour"));
}

pub async fn a_second_creation_is_rejected(server: TestServer) {
    let node = server.create_node("a").await;
    let metadata = ObjectMeta { name: node.metadata.name, ..ObjectMeta::default() };
    let again = Node { metadata, ..Node::default() };
    let error = server.nodes().await.create(&PostParams::default(), &again).await.expect_err("the node exists");
    assert_eq!(code(&error), 409);
}

pub async fn a_patch_without_effect_writes_nothing(server: TestServer) {
    let before = server.create_node("a").await;
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { "carrick.dev/location": "left" } } }));
    let nodes = server.nodes().await;
    let after = nodes.patch(&server.name("a"), &PatchParams::default(), &patch).await.expect("a patch");
    assert_eq!(version(&after), version(&before));
    assert_eq!(after.metadata.managed_fields, before.metadata.managed_fields);
}

pub async fn an_event_is_created_once(server: TestServer) {
    let name = server.name("event");
    let event: Event = serde_json::from_value(json!({
        "metadata": { "name": name, "namespace": "default" }, "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Warning", "reason": "BadAnnotation", "action": "Ignore", "note": "carrick.dev/endpoint: no port",
        "regarding": { "apiVersion": "v1", "kind": "Node", "name": server.name("a") },
        "reportingController": "carrick.dev/agent", "reportingInstance": "a",
    }))
    .expect("an Event");
    let events: Api<Event> = Api::namespaced(server.client().await, "default");
    events.create(&PostParams::default(), &event).await.expect("the Event is created");
    let error = events.create(&PostParams::default(), &event).await.expect_err("the Event exists");
    assert_eq!(code(&error), 409);
    let all = events.list(&ListParams::default()).await.expect("events").items;
    let own: Vec<_> = all.iter().filter(|event| event.name_any() == name).collect();
    assert_eq!(own.len(), 1, "{own:?}");
    assert_eq!(own[0].note.as_deref(), Some("carrick.dev/endpoint: no port"));
}
