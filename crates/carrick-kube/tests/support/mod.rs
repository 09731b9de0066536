//! The small API server, and a consumer of the watch.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod control_plane;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use carrick_kube::annotations::{key, published_annotations};
use carrick_kube::client::ApiClient;
use carrick_kube::own_node::OwnNode;
use carrick_kube::watch::{ApiState, ApiStatus, ClusterEvent, ClusterUid, Limits, WatchConfig, watch};
use carrick_test_apiserver::{ApiServer, Key, Resource};
use carrick_topology::{Cluster, Published};
use kube::Config;
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long a test waits.
const LIMIT: Duration = Duration::from_secs(120);

/// A WireGuard public key.
pub const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Whether a Node shows exactly this of its agent's annotations.
pub fn shows(own: &OwnNode, published: &Published) -> bool {
    let of_agent = own.metadata.annotations.iter().filter(|(name, _)| key::AGENTS.contains(&name.as_str()));
    let of_agent: BTreeMap<String, String> = of_agent.map(|(name, value)| (name.clone(), value.clone())).collect();
    of_agent == published_annotations(published)
}

pub fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Moves the calling thread into a new network namespace that has no device but `lo`.
pub fn enter_new_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).expect("root may make network namespaces");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip runs");
    assert!(up.success());
}

/// A server with these nodes, in a new network namespace that the calling thread enters.
pub fn server(nodes: &[&str]) -> ApiServer {
    enter_new_namespace();
    let server = ApiServer::start(listener()).unwrap();
    for name in nodes {
        add_node(&server, name);
    }
    server
}

pub fn add_node(server: &ApiServer, name: &str) {
    let node = json!({
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/region": "basel"}},
        "spec": {"podCIDRs": ["10.244.1.0/24"]},
    });
    server.create(Resource::Node, node).unwrap();
    let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.7"}]}});
    server.patch_status(&Key::node(name), status).unwrap();
}

pub fn annotate(server: &ApiServer, node: &str, annotations: &Value) {
    server.patch(&Key::node(node), json!({"metadata": {"annotations": annotations}})).unwrap();
}

/// A heartbeat of a kubelet.
pub fn beat(server: &ApiServer, node: &str, time: &str) {
    let conditions = json!([{"type": "Ready", "status": "True", "lastHeartbeatTime": time}]);
    server.patch_status(&Key::node(node), json!({"status": {"conditions": conditions}})).unwrap();
}

pub fn client(url: &str) -> ApiClient {
    let mut config = Config::new(url.parse().unwrap());
    config.auth_info.token = Some("a".to_owned().into());
    ApiClient::from_config(config).unwrap()
}

/// Waits for `future`.
///
/// # Panics
/// It takes longer than [`LIMIT`].
pub async fn within_limit<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(LIMIT, future).await;
    result.unwrap_or_else(|_| panic!("waited for {what} for {} s", LIMIT.as_secs()))
}

/// Short delays between retries. The limit on silence stays long, so that a slow machine does not exceed it.
pub fn limits() -> Limits {
    Limits {
        least_delay: Duration::from_millis(20),
        most_delay: Duration::from_millis(200),
        absent_delay: Duration::from_millis(50),
        ..Limits::default()
    }
}

/// The state of a consumer of the watch, and all events that it received.
pub struct Consumer {
    pub cluster: Cluster,
    pub own: Option<OwnNode>,
    pub uid: Option<ClusterUid>,
    pub api: ApiState,
    pub status: Arc<ApiStatus>,
    pub log: Vec<ClusterEvent>,
    events: mpsc::Receiver<ClusterEvent>,
    watch: JoinHandle<()>,
}

impl Consumer {
    /// Starts the watch of node `a`.
    pub fn start(api: ApiClient, limits: Limits, uid: Option<ClusterUid>, known: Cluster) -> Self {
        let status = Arc::new(ApiStatus::default());
        let (sender, events) = mpsc::channel(4);
        let config = WatchConfig {
            me: "a".parse().unwrap(),
            topology_label: "topology.kubernetes.io/region".into(),
            cluster: uid,
            limits,
        };
        let (of_watch, of_status) = (known.clone(), status.clone());
        let watch = tokio::spawn(async move { watch(api, config, &of_watch, of_status, sender).await });
        Self { cluster: known, own: None, uid: None, api: ApiState::Syncing, status, log: Vec::new(), events, watch }
    }

    /// Starts the watch without a saved state and waits until it is synced.
    pub async fn synced(url: &str) -> Self {
        let mut consumer = Self::start(client(url), limits(), None, Cluster::default());
        consumer.until(|consumer| consumer.uid.is_some() && consumer.api == ApiState::Synced).await;
        consumer
    }

    /// Receives events until a condition holds.
    ///
    /// # Panics
    /// The condition does not hold within [`LIMIT`].
    pub async fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        let received = within_limit("a condition of the watch", self.receive_until(holds));
        received.await;
    }

    async fn receive_until(&mut self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            let event = self.events.recv().await.expect("the watch does not end");
            match event.clone() {
                ClusterEvent::Changed(changes) => {
                    changes.into_iter().for_each(|change| change.apply(&mut self.cluster));
                }
                ClusterEvent::Synced(uid) => self.uid = Some(uid),
                ClusterEvent::OwnNode(own) => self.own = Some(*own),
                ClusterEvent::OwnNodeMissing => self.own = None,
                ClusterEvent::Api(state) => self.api = state,
            }
            self.log.push(event);
        }
    }

    pub fn names(&self) -> Vec<&str> {
        self.cluster.nodes.keys().map(AsRef::as_ref).collect()
    }

    /// The events that changed nodes or peers.
    pub fn changes(&self) -> usize {
        self.log.iter().filter(|event| matches!(event, ClusterEvent::Changed(_))).count()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
