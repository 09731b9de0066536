//! Who writes to the API, each with the credential that it has in a real cluster.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use carrick_kube::client::ApiClient;
use carrick_test_apiserver::control_plane::{ADMIN, ControlPlane, User};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Config};
use serde_json::{Value, json};

/// Who makes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// An administrator of the cluster.
    Admin,
    /// An agent with the token of its pod on this node.
    Agent(&'static str),
    /// The agents' service account, with a token that is bound to no pod.
    UnboundAgent,
    /// The kubelet of this node with its client certificate.
    Kubelet(&'static str),
    /// The pod on node `b` of another project's DaemonSet, which may update Nodes.
    Monitor,
    /// The controller manager's node controller.
    NodeController,
    CloudController,
    Autoscaler,
    Gitops,
    /// Holds the ClusterRole `carrick-repair`.
    Repairer,
}

/// The nodes that have a kubelet and the pod of an agent.
pub const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// The callers that the server knows by a token file.
const NAMED: [(Caller, &str); 5] = [
    (Caller::NodeController, "system:serviceaccount:kube-system:node-controller"),
    (Caller::CloudController, "cloud-controller"),
    (Caller::Autoscaler, "cluster-autoscaler"),
    (Caller::Gitops, "gitops"),
    (Caller::Repairer, "repairer"),
];

pub fn users() -> Vec<User> {
    NAMED.iter().map(|(_, name)| User { name: (*name).to_owned(), groups: Vec::new() }).collect()
}

/// The client of each caller.
pub type Clients = BTreeMap<Caller, ApiClient>;

pub async fn clients(server: &ControlPlane, certificates: &Path) -> Clients {
    let with_token = |token: &str| json!({"token": token});
    let admin = client(server, &with_token(ADMIN)).await;
    let mut clients = Clients::new();
    for (caller, name) in NAMED {
        clients.insert(caller, client(server, &with_token(name)).await);
    }
    for node in NODES {
        run_pod(&admin, "carrick-system", "carrick", node).await;
        let token = service_account_token(&admin, "carrick-system", "carrick", Some(node)).await;
        clients.insert(Caller::Agent(node), client(server, &with_token(&token)).await);
        clients.insert(Caller::Kubelet(node), client(server, &kubelet_certificate(certificates, node)).await);
    }
    let unbound = service_account_token(&admin, "carrick-system", "carrick", None).await;
    clients.insert(Caller::UnboundAgent, client(server, &with_token(&unbound)).await);
    run_pod(&admin, "kube-system", "monitor", "b").await;
    let monitor = service_account_token(&admin, "kube-system", "monitor", Some("b")).await;
    clients.insert(Caller::Monitor, client(server, &with_token(&monitor)).await);
    clients.insert(Caller::Admin, admin);
    clients
}

async fn client(server: &ControlPlane, user: &Value) -> ApiClient {
    let mut config: Value = serde_json::from_str(&server.kubeconfig(&server.url(), ADMIN).unwrap()).unwrap();
    config["users"][0]["user"] = user.clone();
    let config: Kubeconfig = serde_json::from_value(config).unwrap();
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    ApiClient::from_config(config).unwrap()
}

fn pod_name(account: &str, node: &str) -> String {
    format!("{account}-{node}")
}

/// Makes the pod of a DaemonSet on a node. No kubelet runs it.
async fn run_pod(admin: &ApiClient, namespace: &str, account: &str, node: &str) {
    let pod = json!({
        "metadata": {"name": pod_name(account, node)},
        "spec": {"nodeName": node, "serviceAccountName": account, "containers": [{"name": "main", "image": "none"}]},
    });
    let pods: Api<Pod> = Api::namespaced(admin.client(), namespace);
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
}

/// A token as the kubelet of `node` gets for the pod there, or as `kubectl create token` gives.
async fn service_account_token(admin: &ApiClient, namespace: &str, account: &str, node: Option<&str>) -> String {
    let bound = node.map(|node| json!({"kind": "Pod", "apiVersion": "v1", "name": pod_name(account, node)}));
    let request =
        json!({"metadata": {}, "spec": {"audiences": [], "expirationSeconds": 3600, "boundObjectRef": bound}});
    let request: TokenRequest = serde_json::from_value(request).unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.client(), namespace);
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    answer.status.unwrap().token
}

/// Makes the authority that signs the certificates of kubelets, and returns its certificate's path.
pub fn make_authority(directory: &Path) -> String {
    new_certificate(directory, &["-subj", "/CN=kubelets", "-keyout", "ca.key", "-out", "ca.crt"]);
    directory.join("ca.crt").to_string_lossy().into_owned()
}

fn kubelet_certificate(directory: &Path, node: &str) -> Value {
    let (key, certificate) = (format!("{node}.key"), format!("{node}.crt"));
    let subject = format!("/O=system:nodes/CN=system:node:{node}");
    let signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "extendedKeyUsage=clientAuth"];
    let names = ["-subj", &subject, "-keyout", &key, "-out", &certificate];
    new_certificate(directory, &[&signed[..], &names[..]].concat());
    let encoded = |name: &str| BASE64_STANDARD.encode(std::fs::read(directory.join(name)).unwrap());
    json!({"client-certificate-data": encoded(&certificate), "client-key-data": encoded(&key)})
}

/// Makes a key and its certificate for two days, with these further arguments.
fn new_certificate(directory: &Path, arguments: &[&str]) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    let output = command.args(arguments).current_dir(directory).output().expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
