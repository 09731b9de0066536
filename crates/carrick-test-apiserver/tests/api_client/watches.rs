use std::pin::{Pin, pin};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, WatchEvent, WatchParams};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::server::TestServer;

/// The next event, as `Apply(name)`.
pub async fn next<K: ResourceExt>(
    events: &mut Pin<&mut impl Stream<Item = watcher::Result<watcher::Event<K>>>>,
) -> String {
    let event = events.next().await.expect("a watcher has no end");
    event.map_or_else(|error| format!("{error:?}"), |event| event.to_string())
}

async fn annotate(nodes: &Api<Node>, name: &str, value: &str) {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { "note": value } } }));
    nodes.patch(name, &PatchParams::default(), &patch).await.expect("an annotation");
}

pub async fn metadata_is_listed_then_watched(server: TestServer) {
    server.create_node("a").await;
    server.create_node("b").await;
    let nodes = server.nodes().await;
    let [a, b, c] = ["a", "b", "c"].map(|suffix| server.name(suffix));
    let config = watcher::Config::default().page_size(1).labels(&server.selector());
    let mut events = pin!(watcher(server.node_metadata().await, config));
    assert_eq!(next(&mut events).await, "Init");
    assert_eq!(next(&mut events).await, format!("InitApply({a})"));
    assert_eq!(next(&mut events).await, format!("InitApply({b})"));
    assert_eq!(next(&mut events).await, "InitDone");

    server.create_node("c").await;
    assert_eq!(next(&mut events).await, format!("Apply({c})"));
    annotate(&nodes, &a, "1").await;
    let event = events.next().await.expect("an event").expect("no error");
    let watcher::Event::Apply(object) = event else { panic!("expected Apply, got {event:?}") };
    assert_eq!(object.name_any(), a);
    assert_eq!(object.annotations()["note"], "1");
    assert_eq!(object.annotations()["carrick.dev/location"], "left");
    server.delete_node("b").await;
    assert_eq!(next(&mut events).await, format!("Delete({b})"));
}

pub async fn one_node_is_watched_by_name(server: TestServer) {
    server.create_node("own").await;
    server.create_node("other").await;
    let nodes = server.nodes().await;
    let [own, other] = ["own", "other"].map(|suffix| server.name(suffix));
    let config = watcher::Config::default().fields(&format!("metadata.name={own}"));
    let mut events = pin!(watcher(nodes.clone(), config));
    assert_eq!(next(&mut events).await, "Init");
    assert_eq!(next(&mut events).await, format!("InitApply({own})"));
    assert_eq!(next(&mut events).await, "InitDone");
    annotate(&nodes, &other, "1").await;
    annotate(&nodes, &own, "1").await;
    assert_eq!(next(&mut events).await, format!("Apply({own})"));
}

pub async fn an_object_that_loses_its_label_is_deleted_for_its_watcher(server: TestServer) {
    server.create_node("a").await;
    let (nodes, a) = (server.nodes().await, server.name("a"));
    let config = watcher::Config::default().labels(&server.selector());
    let mut events = pin!(watcher(nodes.clone(), config));
    for expected in ["Init".to_owned(), format!("InitApply({a})"), "InitDone".to_owned()] {
        assert_eq!(next(&mut events).await, expected);
    }
    let label = |value: Value| Patch::Merge(json!({ "metadata": { "labels": { "test": value } } }));
    let parameters = PatchParams::default();
    nodes.patch(&a, &parameters, &label(json!(null))).await.expect("a patch");
    assert_eq!(next(&mut events).await, format!("Delete({a})"));
    let own = server.selector().replace("test=", "");
    nodes.patch(&a, &parameters, &label(json!(own))).await.expect("a patch");
    assert_eq!(next(&mut events).await, format!("Apply({a})"));
}

pub async fn a_watch_ends_at_its_timeout(server: TestServer) {
    let nodes = server.nodes().await;
    let version = nodes.list(&server.list_params()).await.expect("a list").metadata.resource_version;
    let parameters = WatchParams::default().labels(&server.selector()).timeout(1);
    let watch = nodes.watch(&parameters, &version.expect("a version")).await.expect("a watch");
    let mut watch = pin!(watch);
    while let Some(event) = watch.next().await {
        let event = event.expect("the watch ends without an error");
        assert!(matches!(event, WatchEvent::Bookmark(_)), "{event:?}");
    }
}

pub async fn a_watch_from_a_forgotten_version_is_gone(server: TestServer) {
    // kube-apiserver's history of Peers starts with their CustomResourceDefinition. The small server must be told to forget.
    server.forget_history();
    let peers = server.peers().await;
    let watch = peers.watch(&WatchParams::default(), "1").await.expect("a watch");
    let event = pin!(watch).next().await.expect("an event").expect("a readable event");
    let WatchEvent::Error(status) = event else { panic!("expected an error, got {event:?}") };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
}
