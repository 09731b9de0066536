//! The CRD that is shipped is the one that the code describes.

use std::path::Path;

use carrick_kube::peer::Peer;
use kube::CustomResourceExt;

const HEADER: &str =
    "# Made from crates/carrick-kube/src/peer.rs by: UPDATE_CRD=1 cargo test -p carrick-kube --test crd\n";

#[test]
fn the_shipped_crd_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crd/peers.carrick.dev.yaml");
    let made = format!("{HEADER}{}", serde_yaml_ng::to_string(&Peer::crd()).unwrap());
    if std::env::var_os("UPDATE_CRD").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &made).unwrap();
    }
    let shipped = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(shipped == made, "{} is stale; run: UPDATE_CRD=1 cargo test -p carrick-kube --test crd", path.display());
}

#[test]
fn the_crd_says_what_is_valid() {
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
        assert!(rules.is_some_and(|rules| rules[0]["message"].is_string()), "{field} has no rule with a message");
    }
    assert_eq!(spec["properties"]["allowedIPs"]["minItems"], 1);
    assert_eq!(spec["properties"]["persistentKeepalive"]["maximum"], 65535.0);
}
