use k8s_openapi::api::{
    core::v1::{Node, ObjectReference, Secret},
    events::v1::Event as PublishedEvent,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions},
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use serde_json::{Value, json};

use crate::cluster::{Cluster, code};

fn node_version(node: &Node) -> String {
    node.resource_version().expect("a resourceVersion")
}

pub async fn a_status_patch_changes_only_the_status(cluster: Cluster) {
    let before = cluster.make_node("a").await;
    let nodes = cluster.nodes().await;
    let addresses = json!([{ "type": "InternalIP", "address": "192.0.2.7" }]);
    let patch = Patch::Merge(json!({
        "spec": { "providerID": "sneaked-in" }, "status": { "addresses": addresses },
    }));
    let name = cluster.name("a");
    let after = nodes.patch_status(&name, &PatchParams::default(), &patch).await.expect("a patch");
    let status = after.status.clone().expect("a status");
    assert_eq!(serde_json::to_value(status.addresses).expect("JSON"), addresses);
    assert_eq!(after.spec, before.spec);

    let patch = Patch::Merge(json!({ "status": { "addresses": null } }));
    let again = nodes.patch(&name, &PatchParams::default(), &patch).await.expect("a patch");
    assert_eq!(again.status, after.status, "the main resource does not write the status");
    assert_eq!(node_version(&again), node_version(&after));
}

fn peer(cluster: &Cluster) -> DynamicObject {
    let peer = json!({
        "apiVersion": "carrick.dev/v1alpha1", "kind": "Peer",
        "metadata": { "name": cluster.name("p"), "labels": { "test": cluster.name("label") } },
        "spec": { "publicKey": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "allowedIPs": ["198.51.100.1/32"] },
        "status": { "servingNode": "too-early" },
    });
    serde_json::from_value(peer).expect("a Peer")
}

pub async fn a_peer_counts_generations_of_its_spec(cluster: Cluster) {
    let peers = cluster.peers().await;
    let made = peers.create(&PostParams::default(), &peer(&cluster)).await.expect("a Peer is made");
    assert_eq!(made.metadata.generation, Some(1));
    assert_eq!(made.data.get("status"), None, "a new object has no status");

    let name = cluster.name("p");
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
    peers.delete(&name, &DeleteParams::default()).await.expect("a deletion");
}

pub async fn a_stale_version_conflicts(cluster: Cluster) {
    let first = cluster.make_node("a").await;
    let nodes = cluster.nodes().await;
    let name = cluster.name("a");
    let label = |value: &str, version: &str| {
        Patch::Merge(json!({
            "metadata": { "labels": { "colour": value }, "resourceVersion": version },
        }))
    };
    let parameters = PatchParams::default();
    let red = label("red", &node_version(&first));
    nodes.patch(&name, &parameters, &red).await.expect("the version is current");
    let blue = label("blue", &node_version(&first));
    let stale = nodes.patch(&name, &parameters, &blue).await.expect_err("the version is stale");
    assert_eq!(code(&stale), 409);

    let stale = nodes.replace(&name, &PostParams::default(), &first).await;
    assert_eq!(code(&stale.expect_err("the version is stale")), 409);
    let now = nodes.get(&name).await.expect("the node");
    assert_eq!(now.labels().get("colour").map(String::as_str), Some("red"));
    let mut new = now.clone();
    new.labels_mut().insert("colour".to_owned(), "green".to_owned());
    let replaced = nodes.replace(&name, &PostParams::default(), &new).await.expect("a replacement");
    assert_eq!(replaced.labels()["colour"], "green");
}

pub async fn a_patch_for_another_uid_is_refused(cluster: Cluster) {
    let mut node = cluster.make_node("a").await;
    let (nodes, name) = (cluster.nodes().await, cluster.name("a"));
    let uid = "11111111-2222-4333-8444-555555555555";
    let patch = Patch::Merge(json!({ "metadata": { "uid": uid, "labels": { "colour": "red" } } }));
    let refused = nodes.patch(&name, &PatchParams::default(), &patch).await;
    assert_eq!(code(&refused.expect_err("it is another node's UID")), 422);
    node.metadata.uid = Some(uid.to_owned());
    let refused = nodes.replace(&name, &PostParams::default(), &node).await;
    assert_eq!(code(&refused.expect_err("it is another node's UID")), 409);
    assert!(!nodes.get(&name).await.expect("the node").labels().contains_key("colour"));
}

pub async fn a_second_creation_conflicts(cluster: Cluster) {
    let node = cluster.make_node("a").await;
    let again = Node {
        metadata: kube::api::ObjectMeta { name: node.metadata.name, ..Default::default() },
        ..Default::default()
    };
    let nodes = cluster.nodes().await;
    let refused = nodes.create(&PostParams::default(), &again).await.expect_err("it exists");
    assert_eq!(code(&refused), 409);
}

pub async fn a_patch_without_effect_writes_nothing(cluster: Cluster) {
    let before = cluster.make_node("a").await;
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { "carrick.dev/location": "left" } } }));
    let nodes = cluster.nodes().await;
    let after = nodes.patch(&cluster.name("a"), &PatchParams::default(), &patch).await.expect("a patch");
    assert_eq!(node_version(&after), node_version(&before));
    assert_eq!(after.metadata.managed_fields, before.metadata.managed_fields);
}

pub async fn a_deletion_can_name_the_uid(cluster: Cluster) {
    let node = cluster.make_node("a").await;
    let nodes = cluster.nodes().await;
    let with_uid = |uid: Option<String>| DeleteParams {
        preconditions: Some(Preconditions { uid, resource_version: None }),
        ..DeleteParams::default()
    };
    let name = cluster.name("a");
    let other = with_uid(Some("11111111-2222-4333-8444-555555555555".to_owned()));
    let refused = nodes.delete(&name, &other).await.expect_err("it is another node's UID");
    assert_eq!(code(&refused), 409);
    nodes.delete(&name, &with_uid(node.uid())).await.expect("it is this node's UID");
    assert!(nodes.get_opt(&name).await.expect("an answer").is_none());
}

pub async fn an_object_needs_its_namespace(cluster: Cluster) {
    let secrets: Api<Secret> = Api::namespaced(cluster.client().await, "no-such-namespace");
    let secret = Secret {
        metadata: kube::api::ObjectMeta { name: Some("s".to_owned()), ..Default::default() },
        ..Default::default()
    };
    let refused = secrets.create(&PostParams::default(), &secret).await;
    assert_eq!(code(&refused.expect_err("there is no such namespace")), 404);
}

pub async fn events_are_published_and_counted_up(cluster: Cluster) {
    let node = cluster.make_node("a").await;
    let client = cluster.client().await;
    let reporter = Reporter { controller: "carrick".to_owned(), instance: Some("a".to_owned()) };
    let recorder = Recorder::new(client.clone(), reporter);
    let reference = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: node.metadata.name.clone(),
        uid: node.uid(),
        ..Default::default()
    };
    let event = Event {
        type_: EventType::Warning,
        reason: "BadAnnotation".to_owned(),
        note: Some("carrick.dev/endpoint: no port".to_owned()),
        action: "Parse".to_owned(),
        secondary: None,
    };
    recorder.publish(&event, &reference).await.expect("a first event");
    recorder.publish(&event, &reference).await.expect("a second event");

    let events: Api<PublishedEvent> = Api::namespaced(client, "default");
    let all = events.list(&ListParams::default()).await.expect("events");
    let about_node: Vec<_> =
        all.items.iter().filter(|e| e.regarding.as_ref().is_some_and(|r| r.name == node.metadata.name)).collect();
    assert_eq!(about_node.len(), 1, "{about_node:?}");
    assert_eq!(about_node[0].note.as_deref(), Some("carrick.dev/endpoint: no port"));
    assert_eq!(about_node[0].series.as_ref().map(|series| series.count), Some(2));
}

pub async fn a_secret_is_read(cluster: Cluster) {
    let secrets: Api<Secret> = Api::namespaced(cluster.client().await, "kube-system");
    let name = cluster.name("s");
    let secret: Secret = serde_json::from_value(json!({
        "metadata": { "name": name }, "data": { "psk": "c2VjcmV0" },
    }))
    .expect("a Secret");
    secrets.create(&PostParams::default(), &secret).await.expect("a Secret is made");
    let read = secrets.get(&name).await.expect("the Secret");
    assert_eq!(read.data.expect("data")["psk"].0, b"secret");
    let read: Value = serde_json::to_value(secrets.get_metadata(&name).await.expect("metadata")).expect("JSON");
    assert_eq!(read.get("data"), None);
}
