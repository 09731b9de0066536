//! What agents ask of the API server in a cluster, against what `deploy/rbac.yaml` grants and what `deploy/policy.yaml` permits.

use std::collections::BTreeSet;

use carrick_lab::{Lab, wait};
use serde_json::{Value, json};

use crate::kubectl;

/// A Peer's public key.
const PEER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A right, or its use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    verb: String,
    /// With the API group, and the subresource after a slash.
    resource: String,
    /// Of the object; empty for a resource of the cluster.
    namespace: String,
    /// Empty where the right is for all names.
    name: String,
}

pub fn agents_use_all_their_rights_and_no_others(lab: &Lab) {
    provoke_all_requests(lab);
    let requests = lab.kubernetes().agents_requests().unwrap();
    let granted = granted(lab);
    assert!(granted.len() >= 10 && requests.len() >= 20, "{granted:?}, {} requests", requests.len());

    let denied: Vec<_> = requests.iter().filter(|request| is_denied(request)).collect();
    assert!(denied.is_empty(), "{denied:#?}");
    let unused: Vec<_> = granted.iter().filter(|right| !requests.iter().any(|request| uses(request, right))).collect();
    assert!(unused.is_empty(), "granted and not used: {unused:#?}");
}

/// Makes the agents read a preshared key, report a Peer, and write an Event.
fn provoke_all_requests(lab: &Lab) {
    let secret = format!("--from-literal=laptop={PEER_KEY}");
    kubectl(lab, &["create", "secret", "generic", "psk", "--namespace=carrick-preshared-keys", &secret]);
    let peer = json!({
        "apiVersion": "carrick.dev/v1alpha1", "kind": "Peer", "metadata": {"name": "audited"},
        "spec": {"publicKey": PEER_KEY, "allowedIPs": ["192.168.77.0/24"], "presharedKeySecretRef": {"name": "psk", "key": "laptop"}},
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), peer.to_string()).unwrap();
    kubectl(lab, &["create", "--filename", &file.path().to_string_lossy()]);
    lab.kubernetes().annotate("a1", "carrick.dev/relay", Some("sometimes")).unwrap();
    wait::until("the status of a Peer, and an Event", || {
        let status = kubectl(lab, &["get", "peer", "audited", "--output=jsonpath={.status.servingNode}"]);
        let events =
            kubectl(lab, &["get", "events", "--output=jsonpath={.items[?(@.reason==\"Unreadable\")].message}"]);
        Ok((!status.is_empty() && events.contains("sometimes")).then_some(()))
    })
    .unwrap();
    lab.kubernetes().annotate("a1", "carrick.dev/relay", None).unwrap();
    kubectl(lab, &["delete", "peer", "audited"]);
}

/// The credentials, RBAC, the policies or validation refused it.
fn is_denied(request: &Value) -> bool {
    matches!(request["responseStatus"]["code"].as_u64(), Some(400 | 401 | 403 | 422))
}

fn uses(request: &Value, right: &Right) -> bool {
    let text = |field: &str| request["objectRef"][field].as_str().unwrap_or_default();
    let subresource = match text("subresource") {
        "" => String::new(),
        subresource => format!("/{subresource}"),
    };
    request["verb"] == right.verb.as_str()
        && resource(text("apiGroup"), &format!("{}{subresource}", text("resource"))) == right.resource
        && (right.namespace.is_empty() || text("namespace") == right.namespace)
        && (right.name.is_empty() || text("name") == right.name)
}

fn resource(group: &str, plural: &str) -> String {
    format!("{group}:{plural}")
}

/// What the agents' roles grant.
fn granted(lab: &Lab) -> BTreeSet<Right> {
    let mut rights = of_role(&read(lab, &["clusterrole", "carrick"]), "");
    for namespace in ["carrick-preshared-keys", "default"] {
        let role = read(lab, &["role", "carrick", &format!("--namespace={namespace}")]);
        rights.extend(of_role(&role, namespace));
    }
    rights
}

fn read(lab: &Lab, what: &[&str]) -> Value {
    serde_json::from_str(&kubectl(lab, &[&["get", "--output=json"], what].concat())).unwrap()
}

fn of_role(role: &Value, namespace: &str) -> BTreeSet<Right> {
    let texts = |rule: &Value, field: &str| -> Vec<String> {
        let list = rule[field].as_array().into_iter().flatten();
        list.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let mut names = texts(rule, "resourceNames");
        if names.is_empty() {
            names.push(String::new());
        }
        for (group, plural) in pairs(&texts(rule, "apiGroups"), &texts(rule, "resources")) {
            for (verb, name) in pairs(&texts(rule, "verbs"), &names) {
                let (resource, namespace) = (resource(&group, &plural), namespace.to_owned());
                rights.insert(Right { verb, resource, namespace, name });
            }
        }
    }
    rights
}

fn pairs(ones: &[String], others: &[String]) -> Vec<(String, String)> {
    ones.iter().flat_map(|one| others.iter().map(|other| (one.clone(), other.clone()))).collect()
}
