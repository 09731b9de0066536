//! Nodes and Peers as `kubectl get nodes,peers.carrick.dev --output=json` would save them.

use carrick_test_apiserver::Key;
use serde_json::{Value, json};

use crate::mesh::Mesh;

/// The objects of a mesh as they are now, with these peers.
pub fn objects(mesh: &Mesh, peers: &[&str]) -> Value {
    let nodes = mesh.nodes().map(|node| mesh.kubernetes().node(node.name()).unwrap());
    let peers = peers.iter().map(|name| mesh.kubernetes().embedded().unwrap().get(&Key::peer(*name)).unwrap());
    json!({"apiVersion": "v1", "kind": "List", "items": nodes.chain(peers).collect::<Vec<_>>()})
}

/// A file that contains these objects.
pub fn file(objects: &Value) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    std::fs::write(file.path(), objects.to_string()).unwrap();
    file
}
