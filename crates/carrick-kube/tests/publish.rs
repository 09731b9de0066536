//! What the agent writes, on the small API server. What server-side apply removes is tested on a real one (`real_api.rs`).
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use carrick_kube::annotations::Published;
use carrick_kube::peer::ConditionStatus;
use carrick_kube::publish::{PeerReport, PublishError, publish_annotations, publish_event, publish_peer_status};
use carrick_kube::secrets::{SecretError, preshared_key};
use carrick_kube::watch::ApiState;
use carrick_test_apiserver::{ApiServer, Key, Resource};
use carrick_topology::Warning;
use carrick_topology::model::SecretReference;
use carrick_topology::{ObjectName, WarningReason};
use jiff::Timestamp;
use serde_json::{Value, json};
use support::{Consumer, KEY, add_node, annotate, client, server};

fn annotations(server: &ApiServer, node: &str) -> Value {
    server.get(&Key::node(node)).unwrap()["metadata"]["annotations"].clone()
}

fn published() -> Published {
    Published {
        public_key: Some(KEY.parse().unwrap()),
        pod_cidrs: ["10.244.1.0/24".parse().unwrap()].into(),
        mesh_addresses: ["10.4.0.9".parse().unwrap()].into(),
        ..Published::default()
    }
}

#[tokio::test]
async fn the_agent_writes_its_annotations_once_and_keeps_those_of_others() {
    let server = server(&["a"]);
    annotate(&server, "a", &json!({"carrick.dev/location": "home", "other": "x"}));
    let mut consumer = Consumer::synced(&server.url()).await;
    let api = client(&server.url());
    let own = consumer.own.clone().unwrap();

    publish_annotations(&api, &own, &published()).await.unwrap();
    assert_eq!(server.request_counts().writes(), 1);
    let all = json!({
        "carrick.dev/location": "home", "other": "x", "carrick.dev/public-key": KEY,
        "carrick.dev/pod-cidrs": "10.244.1.0/24", "carrick.dev/mesh-addresses": "10.4.0.9",
    });
    assert_eq!(annotations(&server, "a"), all);

    consumer.until(|consumer| consumer.own.as_ref().is_some_and(|own| support::shows(own, &published()))).await;
    consumer.until(|consumer| consumer.cluster.nodes["a"].public_key.is_some()).await;
    let version = |server: &ApiServer| server.get(&Key::node("a")).unwrap()["metadata"]["resourceVersion"].clone();
    let written = version(&server);
    publish_annotations(&api, &consumer.own.clone().unwrap(), &published()).await.unwrap();
    assert_eq!(version(&server), written, "the same annotations change nothing");

    let fewer = Published { mesh_addresses: [].into(), ..published() };
    publish_annotations(&api, &consumer.own.clone().unwrap(), &fewer).await.unwrap();
    assert_eq!(annotations(&server, "a")["carrick.dev/mesh-addresses"], Value::Null);
}

#[tokio::test]
async fn the_agent_removes_what_others_write_under_its_keys() {
    let server = server(&["a"]);
    annotate(
        &server,
        "a",
        &json!({"carrick.dev/pod-cidrs": "10.9.9.0/24", "carrick.dev/advertised-endpoints": "1.2.3.4:5"}),
    );
    let consumer = Consumer::synced(&server.url()).await;
    publish_annotations(&client(&server.url()), consumer.own.as_ref().unwrap(), &published()).await.unwrap();
    let shown = annotations(&server, "a");
    assert_eq!(shown["carrick.dev/pod-cidrs"], "10.244.1.0/24");
    assert_eq!(shown["carrick.dev/advertised-endpoints"], Value::Null);
}

#[tokio::test]
async fn the_agent_does_not_recreate_a_deleted_node() {
    let server = server(&["a"]);
    let consumer = Consumer::synced(&server.url()).await;
    let (api, own) = (client(&server.url()), consumer.own.clone().unwrap());
    server.delete(&Key::node("a")).unwrap();
    let error = publish_annotations(&api, &own, &published()).await.unwrap_err();
    assert!(matches!(error, PublishError::Replaced("Node")), "{error}");
    assert_eq!(server.get(&Key::node("a")), None);

    add_node(&server, "a");
    let error = publish_annotations(&api, &own, &published()).await.unwrap_err();
    assert!(matches!(error, PublishError::Replaced("Node")), "{error}");
    assert_eq!(annotations(&server, "a"), Value::Null, "the agent does not write to another Node of the same name");
}

#[tokio::test]
async fn an_agent_that_has_published_writes_nothing_in_a_steady_cluster() {
    let server = server(&["a", "b"]);
    let mut consumer = Consumer::synced(&server.url()).await;
    let api = client(&server.url());
    publish_annotations(&api, consumer.own.as_ref().unwrap(), &published()).await.unwrap();
    consumer.until(|consumer| consumer.own.as_ref().is_some_and(|own| support::shows(own, &published()))).await;
    server.reset_request_counts();

    for second in 10..20 {
        support::beat(&server, "a", &format!("2026-01-01T00:00:{second}Z"));
        server.end_watches();
        server.expire_history();
    }
    annotate(&server, "b", &json!({"carrick.dev/gateway": "never"}));
    annotate(&server, "a", &json!({"carrick.dev/gateway": "never"}));
    consumer
        .until(|consumer| {
            consumer.own.as_ref().is_some_and(|own| own.metadata.annotations.contains_key("carrick.dev/gateway"))
        })
        .await;
    assert!(support::shows(consumer.own.as_ref().unwrap(), &published()));
    assert_eq!(server.request_counts().writes(), 0);
    assert_ne!(consumer.api, ApiState::Syncing);
}

#[tokio::test]
async fn the_agent_writes_a_peers_status_when_it_differs() {
    let server = server(&["a"]);
    let spec = json!({"publicKey": KEY, "allowedIPs": ["10.9.0.0/16"]});
    server.create(Resource::Peer, json!({"metadata": {"name": "laptop"}, "spec": spec})).unwrap();
    let api = client(&server.url());
    let report = |connected| PeerReport {
        serving_node: "a".parse().unwrap(),
        connected,
        reason: "Handshake".into(),
        message: "the last handshake is recent".into(),
    };
    let name = "laptop".parse().unwrap();
    for second in 1..5 {
        let now = Timestamp::from_second(second).unwrap();
        publish_peer_status(&api, &name, &report(ConditionStatus::True), now).await.unwrap();
    }
    assert_eq!(server.request_counts().writes(), 1);
    let status = &server.get(&Key::peer("laptop")).unwrap()["status"];
    assert_eq!(status["servingNode"], "a");
    assert_eq!(status["conditions"][0]["status"], "True");
    assert_eq!(status["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:01Z");
    publish_peer_status(&api, &name, &report(ConditionStatus::False), Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(server.get(&Key::peer("laptop")).unwrap()["status"]["conditions"][0]["status"], "False");
    let gone = "gone".parse().unwrap();
    let error =
        publish_peer_status(&api, &gone, &report(ConditionStatus::True), Timestamp::UNIX_EPOCH).await.unwrap_err();
    assert!(matches!(error, PublishError::Replaced("Peer")), "{error}");
}

#[tokio::test]
async fn a_warning_makes_one_event_over_restarts_of_the_agent() {
    let server = server(&["a"]);
    let consumer = Consumer::synced(&server.url()).await;
    let own = consumer.own.clone().unwrap();
    let reason = WarningReason::Unreadable("write `preferred` or `never`".into());
    let warning = Warning::new(ObjectName::Node("a".parse().unwrap()), "carrick.dev/gateway", "x".repeat(5000), reason);
    for _ in 0..3 {
        publish_event(&client(&server.url()), &own, &warning, Timestamp::UNIX_EPOCH).await.unwrap();
    }
    let events = server.list(Resource::Event);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["regarding"]["name"], "a");
    assert_eq!(events[0]["regarding"]["uid"], json!(own.uid));
    assert_eq!((&events[0]["type"], &events[0]["reason"]), (&json!("Warning"), &json!("Unreadable")));
    let note = events[0]["note"].as_str().unwrap();
    assert!(note.len() <= 1024 && note.starts_with("node `a`: carrick.dev/gateway"), "{note}");
}

#[tokio::test]
async fn the_agent_reads_preshared_keys_from_their_own_namespace() {
    let server = server(&["a"]);
    // The output of `wg genpsk`, which Kubernetes encodes once more.
    let data = json!({"laptop": "QUFFQ0F3UUZCZ2NJQ1FvTERBME9EeEFSRWhNVUZSWVhHQmthR3h3ZEhoOD0K", "bad": "c2VjcmV0LWdhcmJhZ2U="});
    let secret = json!({"metadata": {"name": "psk", "namespace": "carrick-preshared-keys"}, "data": &data});
    server.create(Resource::Secret, secret).unwrap();
    let elsewhere = json!({"metadata": {"name": "other", "namespace": "carrick-system"}, "data": data});
    server.create(Resource::Secret, elsewhere).unwrap();
    let api = client(&server.url());
    let read = |name: &str, key: &str| {
        let (api, reference) = (api.clone(), SecretReference { name: name.into(), key: key.into() });
        async move { preshared_key(&api, &reference).await }
    };
    let key = read("psk", "laptop").await.unwrap();
    assert!(key.expose().iter().copied().eq(0..32));
    assert!(matches!(read("psk", "other").await, Err(SecretError::Missing { .. })));
    assert!(matches!(read("other", "laptop").await, Err(SecretError::Missing { .. })));
    assert!(read("../nodes", "laptop").await.is_err());
    let error = read("psk", "bad").await.unwrap_err();
    assert!(matches!(error, SecretError::Invalid { .. }));
    assert!(!format!("{error} {error:?}").contains("garbage"), "{error:?}");
}
