//! The client on a real kube-apiserver: the CRD's rules, the watch, and what the agent writes.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::net::Ipv4Addr;

use carrick_kube::annotations::Published;
use carrick_kube::client::{ApiClient, ClientOptions};
use carrick_kube::mesh::Mesh;
use carrick_kube::nodes::{Deletion, Readiness};
use carrick_kube::peer::{ConditionStatus, Peer};
use carrick_kube::publish::{
    FIELD_MANAGER, PeerReport, PublishError, publish_annotations, publish_event, publish_peer_status,
};
use carrick_kube::secrets::{NAMESPACE, preshared_key};
use carrick_kube::watch::{ApiState, ClusterEvent};
use carrick_test_apiserver::control_plane::{ADMIN, ExtraFlags};
use carrick_topology::model::SecretReference;
use carrick_topology::{Cluster, Warning};
use carrick_topology::{ObjectName, WarningReason};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Node, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use support::{Consumer, KEY, control_plane, limits};

#[tokio::test]
async fn the_client_works_with_a_real_api_server() {
    let state = control_plane::directory("kube-real-api");
    let Some(server) = control_plane::start(state, Vec::new(), &["deploy/crd"], ExtraFlags::default()) else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    std::fs::write(&path, server.kubeconfig(&server.url(), ADMIN).unwrap()).unwrap();
    let options = ClientOptions { kubeconfig: Some(path), api_server: Some(server.url()) };
    let api = ApiClient::new(&options).await.unwrap();

    let namespace = json!({"metadata": {"name": NAMESPACE}});
    Api::<Namespace>::all(api.client()).create(&PostParams::default(), &object(&namespace)).await.unwrap();
    the_crd_accepts_valid_peers_and_rejects_others(&api).await;
    the_crd_accepts_valid_meshes_and_rejects_others(&api).await;
    a_mesh_is_received_followed_and_forgotten(&api).await;
    a_node_that_a_finalizer_keeps_stays_a_member(&api).await;
    a_node_is_deleted_only_as_it_was_listed(&api).await;
    changes_are_received_and_publications_are_visible(&api).await;
    the_agent_owns_its_annotations_and_no_others(&api).await;
    a_preshared_key_is_read(&api).await;
}

fn object<K: DeserializeOwned>(object: &Value) -> K {
    serde_json::from_value(object.clone()).unwrap()
}

/// A Peer with some fields of its spec replaced; `null` removes a field.
fn peer(name: &str, changes: &Value) -> Value {
    let mut spec = json!({"publicKey": KEY, "allowedIPs": ["10.9.0.0/16", "fd00:9::/64"]});
    for (field, value) in changes.as_object().unwrap() {
        spec[field] = value.clone();
    }
    spec.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    json!({"apiVersion": "carrick.dev/v1alpha1", "kind": "Peer", "metadata": {"name": name}, "spec": spec})
}

async fn the_crd_accepts_valid_peers_and_rejects_others(api: &ApiClient) {
    let peers: Api<kube::api::DynamicObject> =
        Api::all_with(api.client(), &kube::core::ApiResource::erase::<Peer>(&()));
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    for valid in [
        json!({}),
        json!({"allowedIPs": ["11.0.0.0/8", "2001::/16", "fc00::/7", "192.168.7.1/32", "2001:db8::1/128", "192.168.7.1/24"]}),
        json!({"endpoint": "198.51.100.7:51820"}),
        json!({"endpoint": "[2001:db8::7]:1"}),
        json!({"endpoint": "office.example:65535"}),
        json!({"persistentKeepalive": 0}),
        json!({"persistentKeepalive": 65535}),
        json!({"location": "Basel, Keller"}),
        json!({"presharedKeySecretRef": {"name": "psk", "key": "laptop"}}),
    ] {
        let outcome = peers.create(&dry_run, &object(&peer("valid", &valid))).await;
        assert!(outcome.is_ok(), "{valid}: {outcome:?}");
    }
    for (invalid, word) in [
        (json!({"publicKey": null}), "publicKey"),
        (json!({"publicKey": "short"}), "spec.publicKey"),
        (json!({"publicKey": format!("{}B=", &KEY[..42])}), "must be a WireGuard public key"),
        (json!({"publicKey": "!".repeat(44)}), "must be a WireGuard public key"),
        (json!({"allowedIPs": []}), "spec.allowedIPs"),
        (json!({"allowedIPs": null}), "allowedIPs"),
        (json!({"allowedIPs": ["10.9.0.0"]}), "must be CIDRs"),
        (json!({"allowedIPs": ["10.9.0.0/33"]}), "must be CIDRs"),
        (json!({"allowedIPs": ["fd00::/129"]}), "must be CIDRs"),
        (json!({"allowedIPs": ["printer/24"]}), "must be CIDRs"),
        (json!({"allowedIPs": ["10.9.0.256/32"]}), "must be CIDRs"),
        (json!({"allowedIPs": ["010.9.0.0/16"]}), "must be CIDRs"),
        (json!({"allowedIPs": ["fd00:::/64"]}), "must be CIDRs"),
        (json!({"allowedIPs": ["fd00::%eth0/64"]}), "must be CIDRs"),
        (json!({"allowedIPs": ["::ffff:10.9.0.0/112"]}), "must be CIDRs"),
        (json!({"allowedIPs": ["10.9.0.0/16", "10.9.0.0/ 8", "x"]}), "and not 10.9.0.0/ 8"),
        (json!({"allowedIPs": ["0.0.0.0/0"]}), "must have prefixes of at least /8"),
        (json!({"allowedIPs": ["fd00:9::/64", "::/0"]}), "must have prefixes of at least /8"),
        (json!({"allowedIPs": ["128.0.0.0/1"]}), "must have prefixes of at least /8"),
        (json!({"allowedIPs": ["8000::/1"]}), "must have prefixes of at least /8"),
        (json!({"allowedIPs": ["10.9.0.0/16", "10.9.0.0/16"]}), "Duplicate"),
        (json!({"endpoint": "office.example"}), "must be host:port"),
        (json!({"endpoint": "office.example:0"}), "must be host:port"),
        (json!({"endpoint": "office.example:65536"}), "must be host:port"),
        (json!({"endpoint": "2001:db8::7:1"}), "must be host:port"),
        (json!({"persistentKeepalive": -1}), "persistentKeepalive"),
        (json!({"persistentKeepalive": 65536}), "persistentKeepalive"),
        (json!({"presharedKeySecretRef": {"name": "psk"}}), "presharedKeySecretRef.key"),
        (json!({"location": ""}), "location"),
    ] {
        let error = peers.create(&dry_run, &object(&peer("invalid", &invalid))).await.unwrap_err().to_string();
        assert!(error.contains(word), "{invalid}: {error}");
    }
}

fn mesh(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "carrick.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": name}, "spec": spec})
}

fn meshes(api: &ApiClient) -> Api<kube::api::DynamicObject> {
    Api::all_with(api.client(), &kube::core::ApiResource::erase::<Mesh>(&()))
}

async fn the_crd_accepts_valid_meshes_and_rejects_others(api: &ApiClient) {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    for valid in [
        json!({}),
        json!({"permittedLocationCIDRs": []}),
        json!({"permittedLocationCIDRs": ["10.0.0.0/8", "fc00::/7", "2001::/16", "192.168.7.1/32", "2001:db8::1/128"]}),
        json!({"internalCIDRs": ["10.0.0.0/8", "172.16.0.0/12", "fc00::/7"]}),
        json!({"clusterCIDRs": ["10.244.0.0/16", "fd00:10:244::/56"]}),
        json!({"granularity": "full", "encapsulation": "cross-subnet", "activeGateways": 2, "standbyGateways": 0}),
        json!({"meshCIDRs": ["10.9.0.0/16", "fd09::/64"], "serviceCIDRs": ["10.96.0.0/12", "fd00:96::/108"]}),
        json!({"meshCIDRs": ["fd09::/64"], "topologyLabel": "zone"}),
        json!({"topologyLabel": "topology.kubernetes.io/region", "failoverIntervalMilliseconds": 50}),
        json!({"failoverIntervalMilliseconds": 60000, "masqueradeAllowedLocation": false}),
    ] {
        let outcome = meshes(api).create(&dry_run, &object(&mesh("default", &valid))).await;
        assert!(outcome.is_ok(), "{valid}: {outcome:?}");
    }
    let other = meshes(api).create(&dry_run, &object(&mesh("other", &json!({})))).await.unwrap_err().to_string();
    assert!(other.contains("must be named `default`"), "{other}");
    let many: Vec<String> = (0..257).map(|number| format!("10.{}.{}.0/24", number / 256, number % 256)).collect();
    for (invalid, word) in [
        (json!({"permittedLocationCIDRs": ["10.9.0.0"]}), "must be CIDRs"),
        (json!({"permittedLocationCIDRs": ["10.9.0.0/33"]}), "must be CIDRs"),
        (json!({"permittedLocationCIDRs": ["10.9.0.256/32"]}), "must be CIDRs"),
        (json!({"permittedLocationCIDRs": ["fd00::/129"]}), "must be CIDRs"),
        (json!({"permittedLocationCIDRs": "10.9.0.0/16"}), "permittedLocationCIDRs"),
        (json!({"permittedLocationCIDRs": [7]}), "permittedLocationCIDRs"),
        (json!({"permittedLocationCIDRs": ["0.0.0.0/0"]}), "must have prefixes of at least /8"),
        (json!({"permittedLocationCIDRs": ["10.0.0.0/8", "::/0"]}), "must have prefixes of at least /8"),
        (json!({"clusterCIDRs": ["0.0.0.0/0"]}), "must have prefixes of at least /8"),
        (json!({"clusterCIDRs": ["2000::/15"]}), "must have prefixes of at least /8"),
        (json!({"clusterCIDRs": ["10.0.0.0/7"]}), "must have prefixes of at least /8"),
        (json!({"internalCIDRs": ["f000::/6"]}), "must have prefixes of at least /8"),
        (json!({"internalCIDRs": []}), "internalCIDRs"),
        (json!({"internalCIDRs": ["10.0.0.1"]}), "must be CIDRs"),
        (json!({"clusterCIDRs": ["printer/24"]}), "must be CIDRs"),
        (json!({"clusterCIDRs": ["10.9.0.0/16", "10.9.0.0/16"]}), "Duplicate"),
        (json!({"clusterCIDRs": many}), "clusterCIDRs"),
        (json!({"granularity": "everything"}), "granularity"),
        (json!({"encapsulation": "sometimes"}), "encapsulation"),
        (json!({"activeGateways": 0}), "activeGateways"),
        (json!({"standbyGateways": 65536}), "standbyGateways"),
        (json!({"standbyGateways": "1"}), "standbyGateways"),
        (json!({"meshCIDRs": []}), "meshCIDRs"),
        (json!({"meshCIDRs": ["10.9.0.0"]}), "must be CIDRs"),
        (json!({"meshCIDRs": ["10.9.0.0/16", "10.8.0.0/16"]}), "one CIDR for each address family"),
        (json!({"meshCIDRs": ["10.96.7.0/24"], "serviceCIDRs": ["10.96.0.0/12"]}), "must not overlap serviceCIDRs"),
        (json!({"meshCIDRs": ["10.0.0.0/8"], "serviceCIDRs": ["10.96.0.0/12"]}), "must not overlap serviceCIDRs"),
        (json!({"serviceCIDRs": ["10.96.0.0/33"]}), "must be CIDRs"),
        (json!({"topologyLabel": "a b"}), "must be the key of a label"),
        (json!({"topologyLabel": "a/b/c"}), "must be the key of a label"),
        (json!({"failoverIntervalMilliseconds": 49}), "failoverIntervalMilliseconds"),
        (json!({"failoverIntervalMilliseconds": 60001}), "failoverIntervalMilliseconds"),
        (json!({"masqueradeAllowedLocation": "yes"}), "masqueradeAllowedLocation"),
    ] {
        let error = meshes(api).create(&dry_run, &object(&mesh("default", &invalid))).await.unwrap_err().to_string();
        assert!(error.contains(word), "{invalid}: {error}");
    }
}

async fn a_mesh_is_received_followed_and_forgotten(api: &ApiClient) {
    let nodes: Api<Node> = Api::all(api.client());
    nodes.create(&PostParams::default(), &object(&json!({"metadata": {"name": "a"}}))).await.unwrap();
    let spec = json!({"clusterCIDRs": ["10.244.0.0/16"]});
    meshes(api).create(&PostParams::default(), &object(&mesh("default", &spec))).await.unwrap();
    let mut consumer = Consumer::start(api.clone(), limits(), None, Cluster::default());
    consumer.until(|consumer| consumer.api == ApiState::Synced).await;
    let networks = |consumer: &Consumer| consumer.cluster.mesh.as_ref()?.cluster_cidrs.clone().map(|set| set.len());
    assert_eq!(networks(&consumer), Some(1), "the object is known before the first plan");
    let patch = Patch::Merge(json!({"spec": {"clusterCIDRs": ["10.244.0.0/16", "fd00:10:244::/56"]}}));
    meshes(api).patch("default", &PatchParams::default(), &patch).await.unwrap();
    consumer.until(|consumer| networks(consumer) == Some(2)).await;
    meshes(api).delete("default", &DeleteParams::default()).await.unwrap();
    consumer.until(|consumer| consumer.cluster.mesh.is_none()).await;
    nodes.delete("a", &DeleteParams::default()).await.unwrap();
}

/// Karpenter keeps a Node by a finalizer while it drains the node, whose pods still need the network.
async fn a_node_that_a_finalizer_keeps_stays_a_member(api: &ApiClient) {
    let nodes: Api<Node> = Api::all(api.client());
    nodes.create(&PostParams::default(), &object(&json!({"metadata": {"name": "a"}}))).await.unwrap();
    let drained = json!({"metadata": {"name": "b", "finalizers": ["karpenter.sh/termination"]}});
    nodes.create(&PostParams::default(), &object(&drained)).await.unwrap();
    let mut consumer = Consumer::start(api.clone(), limits(), None, Cluster::default());
    consumer.until(|consumer| consumer.api == ApiState::Synced).await;
    let deleted = nodes.delete("b", &DeleteParams::default()).await.unwrap();
    assert!(deleted.left().unwrap().metadata.deletion_timestamp.is_some());
    let change = |metadata: Value| Patch::Merge(json!({ "metadata": metadata }));
    let moved = change(json!({"annotations": {"carrick.dev/location": "elsewhere"}}));
    nodes.patch("b", &PatchParams::default(), &moved).await.unwrap();
    consumer.until(|consumer| consumer.cluster.nodes["b"].location.is_some()).await;
    nodes.patch("b", &PatchParams::default(), &change(json!({"finalizers": null}))).await.unwrap();
    consumer.until(|consumer| consumer.names() == ["a"]).await;
    nodes.delete("a", &DeleteParams::default()).await.unwrap();
}

/// A kubelet that reports again changes the status of its Node, which the person saw before.
async fn a_node_is_deleted_only_as_it_was_listed(api: &ApiClient) {
    let nodes: Api<Node> = Api::all(api.client());
    for (name, finalizers) in
        [("back", json!([])), ("gone", json!([])), ("drained", json!(["karpenter.sh/termination"]))]
    {
        let node = json!({"metadata": {"name": name, "finalizers": finalizers,
            "annotations": {"carrick.dev/hold": "in repair"}, "labels": {"node-role.kubernetes.io/control-plane": ""}}});
        nodes.create(&PostParams::default(), &object(&node)).await.unwrap();
        condition(&nodes, name, "Unknown").await;
    }
    let listed = carrick_kube::nodes::list(&api.client()).await.unwrap();
    let find = |name: &str| listed.iter().find(|node| node.name.as_str() == name).unwrap();
    let back = find("back");
    assert_eq!(back.readiness, Readiness::Silent { since: 100 });
    assert_eq!((back.is_control_plane, back.hold.as_deref()), (true, Some("in repair")));
    condition(&nodes, "back", "True").await;
    let delete = async |name: &str| carrick_kube::nodes::delete(&api.client(), find(name)).await.unwrap();
    assert_eq!(delete("back").await, Deletion::Changed);
    assert_eq!(delete("gone").await, Deletion::Deleted);
    assert_eq!(delete("gone").await, Deletion::Gone);
    assert_eq!(delete("drained").await, Deletion::AwaitsFinalizers);
    let left = nodes.list(&ListParams::default()).await.unwrap().items;
    let left: Vec<_> = left.into_iter().filter_map(|node| node.metadata.name).collect();
    assert_eq!(left, ["back", "drained"]);
    // A Node of the same name is another one.
    nodes.delete("back", &DeleteParams::default()).await.unwrap();
    nodes.create(&PostParams::default(), &object(&json!({"metadata": {"name": "back"}}))).await.unwrap();
    assert_eq!(delete("back").await, Deletion::Changed);
    nodes.delete("back", &DeleteParams::default()).await.unwrap();
    let released = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    nodes.patch("drained", &PatchParams::default(), &released).await.unwrap();
}

async fn condition(nodes: &Api<Node>, name: &str, status: &str) {
    let ready = json!({"type": "Ready", "status": status, "lastTransitionTime": "1970-01-01T00:01:40Z"});
    let status = json!({"status": {"conditions": [ready]}});
    nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
}

async fn changes_are_received_and_publications_are_visible(api: &ApiClient) {
    let nodes: Api<Node> = Api::all(api.client());
    for name in ["a", "b"] {
        let node =
            json!({"metadata": {"name": name}, "spec": {"podCIDRs": ["10.244.1.0/24"], "podCIDR": "10.244.1.0/24"}});
        nodes.create(&PostParams::default(), &object(&node)).await.unwrap();
    }
    let peers: Api<Peer> = Api::all(api.client());
    peers.create(&PostParams::default(), &object(&peer("laptop", &json!({})))).await.unwrap();

    let few = carrick_kube::watch::Limits { page_size: 1, ..limits() };
    let mut consumer = Consumer::start(api.clone(), few, None, Cluster::default());
    consumer.until(|consumer| consumer.api == ApiState::Synced).await;
    assert_eq!((consumer.names(), consumer.cluster.peers.len()), (vec!["a", "b"], 1));

    let published = Published {
        public_key: Some(KEY.parse().unwrap()),
        pod_cidrs: consumer.own.as_ref().unwrap().pod_cidrs.clone(),
        ..Published::default()
    };
    publish_annotations(api, consumer.own.as_ref().unwrap(), &published).await.unwrap();
    consumer.until(|consumer| consumer.own.as_ref().is_some_and(|own| support::shows(own, &published))).await;
    consumer.until(|consumer| consumer.cluster.nodes["a"].public_key.is_some()).await;

    let before = consumer.log.len();
    let beat = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    nodes.patch_status("b", &PatchParams::default(), &Patch::Merge(&beat)).await.unwrap();
    nodes.delete("b", &DeleteParams::default()).await.unwrap();
    consumer.until(|consumer| consumer.names() == ["a"]).await;
    assert_eq!(consumer.log.len(), before + 1, "{:?}", &consumer.log[before..]);

    let report = PeerReport {
        serving_node: "a".parse().unwrap(),
        connected: ConditionStatus::True,
        reason: "Handshake".into(),
        message: String::new(),
    };
    let laptop = "laptop".parse().unwrap();
    publish_peer_status(api, &laptop, &report, Timestamp::UNIX_EPOCH).await.unwrap();
    let first = peers.get("laptop").await.unwrap();
    assert_eq!(first.status.as_ref().unwrap().conditions[0].status, ConditionStatus::True);
    publish_peer_status(api, &laptop, &report, Timestamp::now()).await.unwrap();
    assert_eq!(peers.get("laptop").await.unwrap().metadata.resource_version, first.metadata.resource_version);

    let own = consumer.own.clone().unwrap();
    let reason = WarningReason::Unreadable("write seconds".into());
    let warning = Warning::new(ObjectName::Node("a".parse().unwrap()), "carrick.dev/persistent-keepalive", "x", reason);
    for _ in 0..2 {
        publish_event(api, &own, &warning, Timestamp::now()).await.unwrap();
    }
    let events = Api::<Event>::namespaced(api.client(), "default").list(&ListParams::default()).await.unwrap().items;
    assert_eq!(events.iter().filter(|event| event.reason.as_deref() == Some("Unreadable")).count(), 1);

    nodes.delete("a", &DeleteParams::default()).await.unwrap();
    consumer.until(|consumer| consumer.log.contains(&ClusterEvent::OwnNodeMissing)).await;
    let other = Published { pod_cidrs: [].into(), ..published };
    let error = publish_annotations(api, &own, &other).await.unwrap_err();
    assert!(matches!(error, PublishError::Replaced("Node")), "{error}");
    nodes.create(&PostParams::default(), &object(&json!({"metadata": {"name": "a"}}))).await.unwrap();
    let error = publish_annotations(api, &own, &other).await.unwrap_err();
    assert!(matches!(error, PublishError::Replaced("Node")), "{error}");
    assert!(api.server_addresses().borrow().contains(&Ipv4Addr::LOCALHOST.into()));
}

async fn the_agent_owns_its_annotations_and_no_others(api: &ApiClient) {
    let nodes: Api<Node> = Api::all(api.client());
    nodes.delete("a", &DeleteParams::default()).await.unwrap();
    let of_people =
        json!({"carrick.dev/location": "home", "other": "x", "carrick.dev/advertised-endpoints": "1.2.3.4:5"});
    let node = json!({"metadata": {"name": "a", "annotations": of_people}});
    nodes.create(&PostParams::default(), &object(&node)).await.unwrap();
    let mut consumer = Consumer::start(api.clone(), limits(), None, Cluster::default());
    consumer.until(|consumer| consumer.own.is_some()).await;
    let published = Published {
        public_key: Some(KEY.parse().unwrap()),
        mesh_addresses: ["10.4.0.9".parse().unwrap()].into(),
        ..Published::default()
    };
    publish_annotations(api, consumer.own.as_ref().unwrap(), &published).await.unwrap();
    let all = json!({
        "carrick.dev/location": "home", "other": "x",
        "carrick.dev/public-key": KEY, "carrick.dev/mesh-addresses": "10.4.0.9",
    });
    assert_eq!(json!(nodes.get("a").await.unwrap().metadata.annotations), all);

    // One write: the apply patch omits the mesh addresses, which the agent owns.
    consumer.until(|consumer| consumer.own.as_ref().is_some_and(|own| support::shows(own, &published))).await;
    let before = writes_of(&nodes.get("a").await.unwrap());
    let fewer = Published { mesh_addresses: [].into(), ..published };
    publish_annotations(api, consumer.own.as_ref().unwrap(), &fewer).await.unwrap();
    let node = nodes.get("a").await.unwrap();
    let kept = json!({"carrick.dev/location": "home", "other": "x", "carrick.dev/public-key": KEY});
    assert_eq!(json!(node.metadata.annotations), kept);
    assert_eq!(writes_of(&node), before, "the agent makes no merge patch for an annotation that it owns");
}

/// When the agent last changed a Node with a merge patch.
fn writes_of(node: &Node) -> Option<String> {
    let mut entries = node.metadata.managed_fields.iter().flatten();
    let own = entries
        .find(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Update"));
    own.and_then(|entry| Some(entry.time.as_ref()?.0.to_string()))
}

async fn a_preshared_key_is_read(api: &ApiClient) {
    let secret = json!({"metadata": {"name": "psk"}, "stringData": {"laptop": format!("{KEY}\n")}});
    let secrets: Api<Secret> = Api::namespaced(api.client(), NAMESPACE);
    secrets.create(&PostParams::default(), &object(&secret)).await.unwrap();
    let key = preshared_key(api, &SecretReference { name: "psk".into(), key: "laptop".into() }).await.unwrap();
    assert!(key.expose().iter().copied().eq(0..32));
}
