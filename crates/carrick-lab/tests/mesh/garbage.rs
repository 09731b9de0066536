//! An invalid value harms the node that has it and no other node.

use carrick_lab::wait;
use serde_json::{Value, json};

use crate::mesh::{CLOUDS, Mesh, all_reach};

/// The node with invalid annotations.
const VICTIM: &str = "b2";

/// The annotations that people write, with invalid values.
const PEOPLES: [(&str, &str); 7] = [
    ("location", "\u{7}"),
    ("endpoint", "somewhere:over:the:rainbow"),
    ("internal-addresses", "10.20.0.300/24"),
    ("gateway", "perhaps"),
    ("relay", "on Sundays"),
    ("persistent-keepalive", "-5 minutes"),
    ("allowed-location-cidrs", "192.168.1.0/99"),
];

/// The annotations that the agent writes, with invalid values.
const AGENTS: [(&str, &str); 8] = [
    ("public-key", "none of your business"),
    ("public-key-proof", "proof by assertion"),
    ("pod-cidrs", "10.42.4.0/240"),
    ("mesh-addresses", "ten dot four"),
    ("advertised-endpoints", "[::1"),
    ("advertised-internal-addresses", "fd00::/1234"),
    ("observed-endpoints", "h1=nowhere"),
    ("agent", "version=?,protocol=?"),
];

/// Annotations of a Node object may have 256 KiB in all.
const HUGE_BYTES: usize = 15_000;

fn annotate(mesh: &Mesh, values: &[(&str, String)]) {
    let entries = values.iter().map(|(key, value)| (format!("carrick.dev/{key}"), Value::from(value.as_str())));
    let annotations: serde_json::Map<String, Value> = entries.collect();
    mesh.kubernetes().patch_node(VICTIM, json!({ "metadata": { "annotations": annotations } })).unwrap();
}

/// Waits until the agents of all other nodes warn of each of the values, and checks that their logs contain the warnings.
fn await_warnings(mesh: &Mesh, values: &[(&str, String)]) {
    for node in mesh.nodes().filter(|node| node.name() != VICTIM) {
        for (key, value) in values {
            let first = value.split(',').next().unwrap_or_default();
            let shown: String = first.chars().take(20).filter(|c| !c.is_control()).collect();
            let names_it = |text: &String| {
                [format!("node `{VICTIM}`"), format!("carrick.dev/{key} "), shown.clone()]
                    .iter()
                    .all(|part| text.contains(part))
            };
            wait::until(&format!("a warning of {key}"), || {
                node.check_agent()?;
                Ok(mesh.warnings(node.name()).iter().any(names_it).then_some(()))
            })
            .unwrap();
            let logged = mesh.logged(node.name(), "warning_raised");
            assert!(logged.iter().any(|line| line.contains("WARN") && names_it(line)), "{key}: {logged:#?}");
        }
    }
}

fn others_reach_each_other(mesh: &Mesh) {
    let others = mesh.all_endpoints().into_iter().filter(|endpoint| !endpoint.name.starts_with(VICTIM));
    all_reach(&others.collect::<Vec<_>>());
}

fn owned(values: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    values.iter().map(|(key, value)| (*key, (*value).to_owned())).collect()
}

/// Values of the largest size: a single long one, and a list of many elements.
fn huge(keys: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let value = |number: usize| match number % 2 {
        0 => "x".repeat(HUGE_BYTES),
        _ => "!rubbish!,".repeat(HUGE_BYTES / 10),
    };
    keys.iter().enumerate().map(|(number, (key, _))| (*key, value(number))).collect()
}

#[test]
fn garbage_in_what_people_write_is_ignored_and_reported() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    for values in [owned(&PEOPLES), huge(&PEOPLES)] {
        annotate(&mesh, &values);
        await_warnings(&mesh, &values);
        others_reach_each_other(&mesh);
        // Even the node's pods go on; what it stands alone for are its internal addresses, which it was to be given.
        all_reach(&mesh.pods_only());
    }
}

#[test]
fn garbage_in_what_an_agent_writes_is_ignored_and_reported() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    // A running agent would correct the values at once.
    mesh.node(VICTIM).unwrap().kill_agent().unwrap();
    for values in [owned(&AGENTS), huge(&AGENTS)] {
        annotate(&mesh, &values);
        await_warnings(&mesh, &values);
        others_reach_each_other(&mesh);
    }
    mesh.node(VICTIM).unwrap().start_agent().unwrap();
    mesh.all_reach();
    for node in mesh.nodes() {
        let gone = || Ok(mesh.warnings(node.name()).is_empty().then_some(()));
        wait::until("the end of the warnings", gone).unwrap();
    }
}
