//! Kubeconfig files (<https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/>).

use serde_json::{Value, json};

/// A kubeconfig with one user, whose bearer token is `token`, and one cluster.
pub(crate) fn render(cluster: &Value, token: &str) -> String {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{ "name": "lab", "cluster": cluster }],
        "users": [{ "name": "lab", "user": { "token": token } }],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
    });
    // JSON is YAML.
    format!("{config:#}\n")
}
