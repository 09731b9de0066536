//! The watch on the small API server, behind a proxy that breaks connections.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use carrick_kube::client::ApiClient;
use carrick_kube::watch::{ApiState, ClusterEvent, ClusterUid};
use carrick_test_apiserver::proxy::{Backend, Mode, Proxy};
use carrick_test_apiserver::{ApiServer, CLUSTER_UID, Fault, FaultDuration, Key, RequestFilter, Resource, Verb};
use carrick_topology::Cluster;
use http::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::json;
use support::{Consumer, KEY, add_node, annotate, beat, client, limits, listener, server, within_limit};
use tower::ServiceExt as _;

fn peer(name: &str) -> serde_json::Value {
    json!({"metadata": {"name": name}, "spec": {"publicKey": KEY, "allowedIPs": ["10.9.0.0/16"]}})
}

fn gateway_of(consumer: &Consumer, node: &str) -> String {
    consumer.cluster.nodes.get(node).map(|node| format!("{:?}", node.gateway)).unwrap_or_default()
}

#[tokio::test]
async fn the_present_objects_are_one_event_and_each_change_is_one_event() {
    let server = server(&["a", "b"]);
    server.create(Resource::Peer, peer("laptop")).unwrap();
    let mut consumer = Consumer::synced(&server.url()).await;
    assert_eq!(consumer.names(), ["a", "b"]);
    assert_eq!(consumer.uid, Some(ClusterUid(CLUSTER_UID.into())));
    assert_eq!(consumer.cluster.peers.len(), 1);
    assert_eq!(consumer.cluster.nodes["b"].location.as_ref().unwrap().as_str(), "basel");
    let own = consumer.own.clone().unwrap();
    assert_eq!((own.pod_cidrs.len(), own.internal_ips.len()), (1, 1));
    assert_eq!(consumer.changes(), 2, "one event with all nodes, one with all peers: {:?}", consumer.log);

    let before = consumer.log.len();
    annotate(&server, "b", &json!({"carrick.dev/gateway": "never"}));
    consumer.until(|consumer| gateway_of(consumer, "b") == "Never").await;
    server.delete(&Key::node("b")).unwrap();
    consumer.until(|consumer| consumer.names() == ["a"]).await;
    server.delete(&Key::peer("laptop")).unwrap();
    consumer.until(|consumer| consumer.cluster.peers.is_empty()).await;
    assert_eq!(consumer.log.len(), before + 3, "{:?}", &consumer.log[before..]);
}

#[tokio::test]
async fn heartbeats_are_ignored_and_nothing_is_written() {
    let server = server(&["a", "b"]);
    let mut consumer = Consumer::synced(&server.url()).await;
    let before = consumer.log.len();
    for second in 10..30 {
        beat(&server, "a", &format!("2026-01-01T00:00:{second}Z"));
        beat(&server, "b", &format!("2026-01-01T00:00:{second}Z"));
        annotate(&server, "b", &json!({"csi.volume.kubernetes.io/nodeid": format!("{second}")}));
    }
    annotate(&server, "b", &json!({"carrick.dev/gateway": "never"}));
    consumer.until(|consumer| gateway_of(consumer, "b") == "Never").await;
    assert_eq!(consumer.log.len(), before + 1, "{:?}", &consumer.log[before..]);
    assert_eq!(server.request_counts().writes(), 0);
}

#[tokio::test]
async fn lists_come_in_pages_and_nodes_as_metadata() {
    let names: Vec<String> = (0..25).map(|number| format!("n{number:02}")).collect();
    let server = server(&["a"]);
    names.iter().for_each(|name| add_node(&server, name));
    let pages = carrick_kube::watch::Limits { page_size: 4, ..limits() };
    let mut consumer = Consumer::start(client(&server.url()), pages, None, Cluster::default());
    consumer.until(|consumer| consumer.api == ApiState::Synced).await;
    assert_eq!(consumer.cluster.nodes.len(), 26);
    let lists = server.request_counts().sum(|request| request.resource == Resource::Node && request.verb == Verb::List);
    assert_eq!(lists, 7 + 1, "seven pages, and one for the own Node");
}

#[tokio::test]
async fn a_list_without_the_own_node_removes_no_node() {
    let server = server(&["a", "b", "c"]);
    let proxy = Proxy::start(listener(), Backend::new(server.address())).unwrap();
    let mut consumer = Consumer::synced(&format!("http://{}", proxy.address())).await;

    proxy.set(Mode::Cut);
    consumer.until(|consumer| matches!(consumer.api, ApiState::Lost { .. })).await;
    server.delete(&Key::node("a")).unwrap();
    server.delete(&Key::node("b")).unwrap();
    server.expire_history();
    add_node(&server, "d");
    proxy.set(Mode::Pass);
    consumer.until(|consumer| consumer.cluster.nodes.contains_key("d") && consumer.own.is_none()).await;
    assert_eq!(consumer.names(), ["a", "b", "c", "d"], "no node is removed");

    add_node(&server, "a");
    server.expire_history();
    consumer.until(|consumer| consumer.names() == ["a", "c", "d"] && consumer.own.is_some()).await;
}

#[tokio::test]
async fn another_cluster_changes_nothing() {
    let server = server(&["a", "b"]);
    let mut consumer = Consumer::synced(&server.url()).await;

    let system = Key::cluster(Resource::Namespace, "kube-system");
    let rename = |uid: &str| {
        server.delete(&system).unwrap();
        server.create(Resource::Namespace, json!({"metadata": {"name": "kube-system", "uid": uid}})).unwrap();
    };
    let proxy = Proxy::start(listener(), Backend::new(server.address())).unwrap();
    let url = format!("http://{}", proxy.address());
    let known = consumer.cluster.clone();
    rename("foreign");
    server.delete(&Key::node("b")).unwrap();
    consumer.until(|consumer| consumer.names() == ["a"]).await;

    let expected = ClusterUid(CLUSTER_UID.into());
    let mut moved = Consumer::start(client(&url), limits(), Some(expected.clone()), known);
    let foreign = ApiState::ForeignCluster { expected, found: ClusterUid("foreign".into()) };
    moved.until(|consumer| consumer.api == foreign).await;
    assert_eq!(moved.names(), ["a", "b"]);
    assert_eq!(moved.changes(), 0);

    rename(CLUSTER_UID);
    moved.until(|consumer| consumer.api == ApiState::Synced).await;
    assert_eq!(moved.names(), ["a"]);
}

#[tokio::test]
async fn the_cluster_is_identified_again_after_a_lost_connection() {
    let server = server(&["a", "b"]);
    let proxy = Proxy::start(listener(), Backend::new(server.address())).unwrap();
    let mut consumer = Consumer::synced(&format!("http://{}", proxy.address())).await;
    proxy.set(Mode::Cut);
    consumer.until(|consumer| matches!(consumer.api, ApiState::Lost { .. })).await;
    let system = Key::cluster(Resource::Namespace, "kube-system");
    server.delete(&system).unwrap();
    server.create(Resource::Namespace, json!({"metadata": {"name": "kube-system", "uid": "foreign"}})).unwrap();
    server.delete(&Key::node("b")).unwrap();
    proxy.set(Mode::Pass);
    consumer.until(|consumer| matches!(consumer.api, ApiState::ForeignCluster { .. })).await;
    assert_eq!(consumer.names(), ["a", "b"]);
}

#[tokio::test]
async fn an_expired_history_is_not_a_lost_connection() {
    let server = server(&["a", "b"]);
    let mut consumer = Consumer::synced(&server.url()).await;
    let before = consumer.log.len();
    for fault in [Fault::GoneInWatch, Fault::Gone] {
        server.inject(fault, FaultDuration::Requests(1), RequestFilter { user: None, resource: Some(Resource::Node) });
        server.end_watches();
        server.expire_history();
    }
    annotate(&server, "b", &json!({"carrick.dev/gateway": "never"}));
    consumer.until(|consumer| gateway_of(consumer, "b") == "Never").await;
    assert_eq!(consumer.log.len(), before + 1, "{:?}", &consumer.log[before..]);
    assert_eq!(consumer.names(), ["a", "b"]);
}

#[tokio::test]
async fn the_watch_waits_as_long_as_retry_after_says() {
    let server = server(&["a"]);
    let retry_after = Duration::from_secs(1);
    server.inject(Fault::TooManyRequests { retry_after }, FaultDuration::Requests(1), RequestFilter::default());
    let start = Instant::now();
    let consumer = Consumer::synced(&server.url()).await;
    assert!(start.elapsed() >= retry_after);
    assert_eq!(consumer.names(), ["a"]);
}

#[tokio::test]
async fn a_stalled_connection_is_detected_and_replaced() {
    let server = server(&["a", "b"]);
    let proxy = Proxy::start(listener(), Backend::new(server.address())).unwrap();
    let short = carrick_kube::watch::Limits {
        silence: Duration::from_millis(300),
        answer: Duration::from_millis(300),
        ..limits()
    };
    let api = client(&format!("http://{}", proxy.address()));
    let mut consumer = Consumer::start(api, short, None, Cluster::default());
    consumer.until(|consumer| consumer.api == ApiState::Synced).await;
    proxy.set(Mode::Hang);
    consumer.until(|consumer| matches!(consumer.api, ApiState::Lost { .. })).await;
    annotate(&server, "b", &json!({"carrick.dev/gateway": "never"}));
    server.delete(&Key::node("a")).unwrap();
    add_node(&server, "a");
    assert_eq!(consumer.names(), ["a", "b"]);
    proxy.set(Mode::Pass);
    consumer.until(|consumer| gateway_of(consumer, "b") == "Never" && consumer.api == ApiState::Synced).await;
    assert_eq!(consumer.names(), ["a", "b"]);
}

#[tokio::test]
async fn a_bookmark_shows_that_the_connection_works() {
    let server = server(&["a"]);
    let consumer = Consumer::synced(&server.url()).await;
    let before = consumer.status.snapshot().last_heard.unwrap();
    server.send_bookmarks();
    within_limit("a bookmark", async {
        while consumer.status.snapshot().last_heard == Some(before) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(consumer.status.snapshot().state, ApiState::Synced);
}

#[tokio::test]
async fn a_restart_with_the_saved_state_reports_no_change() {
    let server = server(&["a", "b"]);
    server.create(Resource::Peer, peer("laptop")).unwrap();
    let first = Consumer::synced(&server.url()).await;
    let known = first.cluster.clone();
    let mut second = Consumer::start(client(&server.url()), limits(), first.uid.clone(), known.clone());
    second.until(|consumer| consumer.api == ApiState::Synced).await;
    assert_eq!(second.changes(), 0, "{:?}", second.log);

    server.delete(&Key::node("b")).unwrap();
    let mut third = Consumer::start(client(&server.url()), limits(), first.uid.clone(), known);
    third.until(|consumer| consumer.api == ApiState::Synced).await;
    assert_eq!(third.names(), ["a"]);
}

#[tokio::test]
async fn a_missing_own_node_is_reported_and_waited_for() {
    let server = server(&["b"]);
    let mut consumer = Consumer::start(client(&server.url()), limits(), None, Cluster::default());
    consumer.until(|consumer| consumer.log.contains(&ClusterEvent::OwnNodeMissing)).await;
    add_node(&server, "a");
    consumer.until(|consumer| consumer.api == ApiState::Synced).await;
    assert_eq!(consumer.names(), ["a", "b"]);
}

/// A client that finds no CRD for Peers while `absent` is true.
fn client_without_peers(server: &ApiServer, absent: std::sync::Arc<std::sync::atomic::AtomicBool>) -> ApiClient {
    let inner = client(&server.url()).client();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, absent) = (inner.clone(), absent.load(std::sync::atomic::Ordering::Relaxed));
        async move {
            if absent && request.uri().path().starts_with("/apis/carrick.dev/") {
                let body = Body::from(b"404 page not found\n".to_vec());
                let response = Response::builder().status(StatusCode::NOT_FOUND).body(body).unwrap();
                return Ok::<_, tower::BoxError>(response);
            }
            Ok(inner.send(request).await?)
        }
    });
    ApiClient::from_client(kube::Client::new(service.boxed(), "carrick-system"))
}

#[tokio::test]
async fn peers_appear_when_their_crd_is_installed() {
    let server = server(&["a", "b"]);
    server.create(Resource::Peer, peer("laptop")).unwrap();
    let absent = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let api = client_without_peers(&server, absent.clone());
    let mut consumer = Consumer::start(api, limits(), None, Cluster::default());
    consumer.until(|consumer| consumer.api == ApiState::Synced).await;
    assert!(consumer.cluster.peers.is_empty() && consumer.names() == ["a", "b"]);
    absent.store(false, std::sync::atomic::Ordering::Relaxed);
    consumer.until(|consumer| consumer.cluster.peers.contains_key("laptop")).await;

    absent.store(true, std::sync::atomic::Ordering::Relaxed);
    server.end_watches();
    annotate(&server, "b", &json!({"carrick.dev/gateway": "never"}));
    consumer.until(|consumer| gateway_of(consumer, "b") == "Never").await;
    assert_eq!(consumer.cluster.peers.len(), 1, "the removal of the CRD removes no peer");
}

#[tokio::test]
async fn the_watch_learns_the_servers_address_from_its_connections() {
    let server = server(&["a"]);
    let api = client(&format!("http://localhost:{}", server.address().port()));
    let mut addresses = api.server_addresses();
    assert!(addresses.borrow_and_update().is_empty());
    let mut consumer = Consumer::start(api, limits(), None, Cluster::default());
    consumer.until(|consumer| consumer.api == ApiState::Synced).await;
    assert!(addresses.borrow().contains(&"127.0.0.1".parse().unwrap()));
}
