//! `carrickctl bundle`: everything for a bug report, and no secret.

use std::path::Path;
use std::process::Command;

use carrick_test_apiserver::Resource;
use serde_json::{Value, json};

use crate::ctl::{ask, run};
use crate::mesh::{CLOUDS, Mesh};
use crate::saved;

/// A preshared key, as `wg genpsk` prints them.
const PRESHARED_KEY: &str = "Zm9yIHRlc3RzIG9ubHksIG5vYm9keSBoYXMgdGhpcyE=";
/// The same bytes in hexadecimal digits.
const PRESHARED_KEY_HEXADECIMAL: &str = "666f72207465737473206f6e6c792c206e6f626f647920686173207468697321";
/// The public key of an outside device.
const OUTSIDE_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[test]
fn a_bundle_has_everything_but_secrets() {
    let mesh = Mesh::up(CLOUDS);
    let api = mesh.kubernetes().embedded().unwrap();
    api.create(
        Resource::Secret,
        json!({"metadata": {"name": "psk", "namespace": "carrick-preshared-keys"}, "data": {"laptop": base64_of(PRESHARED_KEY)}}),
    )
    .unwrap();
    api.create(
        Resource::Peer,
        json!({"metadata": {"name": "laptop"}, "spec": {"publicKey": OUTSIDE_KEY, "allowedIPs": ["192.168.77.0/24"], "location": "a",
            "presharedKeySecretRef": {"name": "psk", "key": "laptop"}}}),
    )
    .unwrap();
    carrick_lab::wait::until("the preshared key on a1's device", || {
        let dump = mesh.node("a1").unwrap().exec(&["wg", "show", "carrick0", "preshared-keys"])?;
        Ok(dump.contains(PRESHARED_KEY).then_some(()))
    })
    .unwrap();

    let private_keys: Vec<String> = mesh
        .nodes()
        .map(|node| node.exec(&["wg", "show", "carrick0", "private-key"]).unwrap().trim().to_owned())
        .collect();
    // Mistakes of people: keys in fields that the bundle contains.
    let mut objects = saved::objects(&mesh, &["laptop"]);
    objects["items"][0]["metadata"]["annotations"]["carrick.dev/relay"] = private_keys[0].clone().into();
    let peer = objects["items"].as_array_mut().unwrap().last_mut().unwrap();
    peer["spec"]["presharedKey"] = PRESHARED_KEY.into();
    peer["spec"]["endpoint"] = PRESHARED_KEY_HEXADECIMAL.into();
    let mesh_object = json!({"kind": "Mesh", "metadata": {"name": "default"},
        "spec": {"granularity": "full", "topologyLabel": "topology.kubernetes.io/region", "note": PRESHARED_KEY_HEXADECIMAL}});
    objects["items"].as_array_mut().unwrap().push(mesh_object);
    let file = saved::file(&objects);

    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("bundle.tar.gz");
    let said = ask(&mesh, &["bundle", archive.to_str().unwrap(), "-f", file.path().to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
    let unpacked = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(directory.path()).status().unwrap();
    assert!(unpacked.success());

    let text = everything_in(&directory.path().join("carrick-bundle"));
    for node in ["a1", "a2", "b1", "b2", "h1"] {
        assert!(text.contains(&format!("== agents/{node}/status.json\n{{")), "the page of {node}");
        assert!(text.contains(&format!("== agents/{node}/metrics.txt\n# ")), "the metrics of {node}");
    }
    assert!(text.contains(OUTSIDE_KEY) && text.contains("presharedKeySecretRef"), "public things stay");
    assert!(text.contains("== status.txt\nLOCATION"), "{text}");
    let saved: Value =
        serde_json::from_str(&std::fs::read_to_string(directory.path().join("carrick-bundle/objects.json")).unwrap())
            .unwrap();
    let kept = saved["items"].as_array().unwrap().iter().find(|item| item["kind"] == "Mesh").unwrap();
    assert_eq!(kept["spec"], json!({"granularity": "full", "topologyLabel": "topology.kubernetes.io/region"}));
    // The objects of the archive are input of a dry run, which takes the Mesh from them.
    let objects = directory.path().join("carrick-bundle/objects.json");
    let changed = |path: &Path| {
        let arguments = ["plan", "-f", path.to_str().unwrap(), "--annotate", "a1", "gateway=never", "-o", "json"];
        run(arguments).json()["nodes"].as_object().unwrap().len()
    };
    assert_eq!(changed(&objects), 0, "in granularity full, no node uses a gateway");
    let mut in_location = saved.clone();
    for item in in_location["items"].as_array_mut().unwrap().iter_mut().filter(|item| item["kind"] == "Mesh") {
        item["spec"]["granularity"] = "location".into();
    }
    assert!(changed(saved::file(&in_location).path()) > 0);
    assert_eq!(private_keys.len(), 5);
    for secret in private_keys.iter().map(String::as_str).chain([PRESHARED_KEY, PRESHARED_KEY_HEXADECIMAL]) {
        assert!(secret.len() >= 44, "{secret}");
        assert!(!text.contains(secret.trim_end_matches('=')), "the bundle has a secret");
    }
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// The content of all files, each after its name.
fn everything_in(root: &Path) -> String {
    let mut text = String::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                text += &format!("== {name}\n{}\n", std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    text
}
