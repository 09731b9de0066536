use std::pin::{Pin, pin};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, WatchEvent, WatchParams},
    runtime::watcher::{self, watcher},
};
use serde_json::json;

use crate::cluster::Cluster;

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

async fn follows_nodes(cluster: &Cluster, config: watcher::Config) {
    cluster.make_node("a").await;
    cluster.make_node("b").await;
    let nodes = cluster.nodes().await;
    let [a, b, c] = ["a", "b", "c"].map(|suffix| cluster.name(suffix));
    let config = config.labels(&cluster.selector());
    let mut events = pin!(watcher(cluster.node_metadata().await, config));
    assert_eq!(next(&mut events).await, "Init");
    assert_eq!(next(&mut events).await, format!("InitApply({a})"));
    assert_eq!(next(&mut events).await, format!("InitApply({b})"));
    assert_eq!(next(&mut events).await, "InitDone");

    cluster.make_node("c").await;
    assert_eq!(next(&mut events).await, format!("Apply({c})"));
    annotate(&nodes, &a, "1").await;
    let event = events.next().await.expect("an event").expect("no error");
    let watcher::Event::Apply(object) = event else { panic!("expected Apply, got {event:?}") };
    assert_eq!(object.name_any(), a);
    assert_eq!(object.annotations()["note"], "1");
    assert_eq!(object.annotations()["carrick.dev/location"], "left");
    nodes.delete(&b, &DeleteParams::default()).await.expect("a deletion");
    assert_eq!(next(&mut events).await, format!("Delete({b})"));
}

pub async fn metadata_is_listed_then_watched(cluster: Cluster) {
    follows_nodes(&cluster, watcher::Config::default().page_size(1)).await;
}

pub async fn metadata_is_streamed(cluster: Cluster) {
    follows_nodes(&cluster, watcher::Config::default().streaming_lists()).await;
}

pub async fn one_node_is_watched_by_name(cluster: Cluster) {
    cluster.make_node("own").await;
    cluster.make_node("other").await;
    let nodes = cluster.nodes().await;
    let [own, other] = ["own", "other"].map(|suffix| cluster.name(suffix));
    let config = watcher::Config::default().fields(&format!("metadata.name={own}"));
    let mut events = pin!(watcher(nodes.clone(), config));
    assert_eq!(next(&mut events).await, "Init");
    assert_eq!(next(&mut events).await, format!("InitApply({own})"));
    assert_eq!(next(&mut events).await, "InitDone");
    annotate(&nodes, &other, "1").await;
    annotate(&nodes, &own, "1").await;
    assert_eq!(next(&mut events).await, format!("Apply({own})"));
}

pub async fn an_object_that_loses_its_label_is_deleted_for_its_watcher(cluster: Cluster) {
    cluster.make_node("a").await;
    let (nodes, a) = (cluster.nodes().await, cluster.name("a"));
    let config = watcher::Config::default().labels(&cluster.selector());
    let mut events = pin!(watcher(nodes.clone(), config));
    for expected in ["Init".to_owned(), format!("InitApply({a})"), "InitDone".to_owned()] {
        assert_eq!(next(&mut events).await, expected);
    }
    let label = |value: serde_json::Value| Patch::Merge(json!({ "metadata": { "labels": { "test": value } } }));
    let parameters = PatchParams::default();
    nodes.patch(&a, &parameters, &label(json!(null))).await.expect("a patch");
    assert_eq!(next(&mut events).await, format!("Delete({a})"));
    let own = cluster.selector().replace("test=", "");
    nodes.patch(&a, &parameters, &label(json!(own))).await.expect("a patch");
    assert_eq!(next(&mut events).await, format!("Apply({a})"));
}

pub async fn a_watch_ends_at_its_timeout(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let version = nodes.list(&cluster.mine()).await.expect("a list").metadata.resource_version;
    let parameters = WatchParams::default().labels(&cluster.selector()).timeout(1);
    let watch = nodes.watch(&parameters, &version.expect("a version")).await.expect("a watch");
    let mut watch = pin!(watch);
    while let Some(event) = watch.next().await {
        let event = event.expect("an orderly end");
        assert!(matches!(event, WatchEvent::Bookmark(_)), "{event:?}");
    }
}

pub async fn a_forgotten_version_is_gone(cluster: Cluster) {
    // kube-apiserver remembers Peers only since their definition was made; the embedded server
    // forgets nothing so soon.
    cluster.forget_history();
    let peers = cluster.peers().await;
    let watch = peers.watch(&WatchParams::default(), "1").await.expect("a watch");
    let event = pin!(watch).next().await.expect("an event").expect("a readable event");
    let WatchEvent::Error(status) = event else { panic!("expected an error, got {event:?}") };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
}
