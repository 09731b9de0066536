//! The CRDs that are shipped are those that the code describes.
#![expect(clippy::unwrap_used, reason = "all of this is tests")]

use std::path::Path;

use carrick_kube::mesh::Mesh;
use carrick_kube::peer::Peer;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The chart creates CRDs before all other objects, and the release takes them over: Helm knows its objects by this metadata. The objects of
/// these kinds outlive the release.
const OF_HELM: [(&str, &str); 3] = [
    ("helm.sh/resource-policy", "keep"),
    ("meta.helm.sh/release-name", "carrick"),
    ("meta.helm.sh/release-namespace", "kube-system"),
];

fn check_shipped(mut crd: CustomResourceDefinition, source: &str) {
    let name = crd.metadata.name.clone().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crd").join(format!("{name}.yaml"));
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    crd.metadata.annotations = Some(OF_HELM.into_iter().map(owned).collect());
    crd.metadata.labels = Some([owned(("app.kubernetes.io/managed-by", "Helm"))].into());
    let header = format!(
        "# Made from crates/carrick-kube/src/{source} by: UPDATE_CRD=1 cargo test -p carrick-kube --test crd\n"
    );
    let made = format!("{header}{}", serde_yaml_ng::to_string(&crd).unwrap());
    if std::env::var_os("UPDATE_CRD").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &made).unwrap();
    }
    let shipped = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(shipped == made, "{} is stale; run: UPDATE_CRD=1 cargo test -p carrick-kube --test crd", path.display());
}

#[test]
fn the_shipped_crds_are_current() {
    check_shipped(Peer::crd(), "peer.rs");
    check_shipped(Mesh::crd(), "mesh.rs");
}

#[test]
fn the_crd_of_the_mesh_says_what_is_valid() {
    let crd = Mesh::crd();
    assert_eq!(crd.metadata.name.as_deref(), Some("meshes.carrick.dev"));
    assert_eq!(crd.spec.scope, "Cluster");
    let schema = serde_json::to_value(crd.spec.versions[0].schema.as_ref().unwrap()).unwrap();
    let schema = &schema["openAPIV3Schema"];
    assert_eq!(schema["x-kubernetes-validations"][0]["rule"], "self.metadata.name == 'default'");
    assert!(schema["properties"]["spec"]["required"].is_null(), "every field has a default");
    for field in ["permittedLocationCIDRs", "clusterCIDRs", "internalCIDRs"] {
        let rules = schema["properties"]["spec"]["properties"][field]["x-kubernetes-validations"].as_array();
        assert!(rules.is_some_and(|rules| rules[0]["message"].is_string()), "{field} has no rule with a message");
    }
}

#[test]
fn the_crd_of_peers_says_what_is_valid() {
    let crd = Peer::crd();
    assert_eq!(crd.metadata.name.as_deref(), Some("peers.carrick.dev"));
    assert_eq!(crd.spec.scope, "Cluster");
    let version = &crd.spec.versions[0];
    assert!(version.name == "v1alpha1" && version.subresources.as_ref().unwrap().status.is_some());
    let schema = serde_json::to_value(version.schema.as_ref().unwrap()).unwrap();
    let spec = &schema["openAPIV3Schema"]["properties"]["spec"];
    assert_eq!(spec["required"], serde_json::json!(["allowedIPs", "publicKey"]));
    for field in ["publicKey", "allowedIPs", "endpoint"] {
        let rules = spec["properties"][field]["x-kubernetes-validations"].as_array();
        let has_message =
            |rule: &serde_json::Value| rule["message"].is_string() || rule["messageExpression"].is_string();
        assert!(rules.is_some_and(|rules| rules.iter().all(has_message)), "{field} has a rule without a message");
    }
    assert_eq!(spec["properties"]["allowedIPs"]["minItems"], 1);
    assert_eq!(spec["properties"]["persistentKeepalive"]["maximum"], 65535.0);
}
