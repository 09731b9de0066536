//! Private keys stay on their nodes: who reads the API, pages or logs finds none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::mesh::Mesh;

const TWO_CLOUDS: &str = "
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}]}
  - {name: b, nodes: [{name: b1}]}
";

/// A key in the forms in which programs write keys: Base64 and hexadecimal digits.
fn forms(key: &str) -> [String; 2] {
    let bytes = STANDARD.decode(key).unwrap();
    [key.to_owned(), bytes.iter().map(|byte| format!("{byte:02x}")).collect()]
}

/// What others can read of a node: its object, the pages and the log of its agent.
fn readable(mesh: &Mesh, name: &str) -> String {
    let node = mesh.node(name).unwrap();
    let pages = ["/status", "/metrics", "/checks"].map(|page| node.agent_page(page).unwrap().body);
    let log = std::fs::read_to_string(node.agent_log()).unwrap();
    format!("{}{}{log}", mesh.kubernetes().node(name).unwrap(), pages.join("")).to_lowercase()
}

#[test]
fn no_object_page_or_log_holds_a_private_key() {
    let mesh = Mesh::up(TWO_CLOUDS);
    mesh.all_reach();
    for name in ["a1", "a2", "b1"] {
        let key = |kind| {
            let key = mesh.node(name).unwrap().exec(&["wg", "show", "carrick0", kind]).unwrap();
            forms(key.trim())
        };
        let text = readable(&mesh, name);
        assert!(text.contains(&key("public-key")[0].to_lowercase()), "{name}: the search finds keys");
        for form in key("private-key") {
            assert!(!text.contains(&form.to_lowercase()), "{name}: its private key can be read");
        }
    }
}
