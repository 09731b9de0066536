//! Agents that are away, wait, or differ from the others.

use std::path::PathBuf;

use carrick_lab::agent::AgentOptions;
use carrick_lab::topology::Location;
use serde_json::{Value, json};

use crate::disguise::Disguise;
use crate::mesh::Mesh;
use crate::patient::Patient;

/// How far the one clock is behind, in seconds.
const BEHIND: i64 = 40;

fn restart(mesh: &Mesh, options: AgentOptions) {
    let node = mesh.node("b1").unwrap();
    node.stop_agent().unwrap();
    node.start_agent_with(options).unwrap();
    node.await_agent().unwrap();
}

#[test]
fn agents() {
    let patient = Patient::in_good_health();
    patient.suffers(
        "problem agent-reachable -",
        |mesh| mesh.node("b1").unwrap().kill_agent().unwrap(),
        |mesh| mesh.node("b1").unwrap().start_agent().unwrap(),
    );

    let other =
        AgentOptions { flags: vec!["--topology-label=kubernetes.io/hostname".to_owned()], ..AgentOptions::default() };
    let text = patient.suffers(
        "problem shared-settings b1",
        |mesh| restart(mesh, other),
        |mesh| restart(mesh, AgentOptions::default()),
    );
    assert!(text.contains("--topology-label kubernetes.io/hostname instead of"), "{text}");
}

#[test]
fn clocks() {
    let patient = Patient::in_good_health();
    let late = AgentOptions { environment: another_clock(-BEHIND), ..AgentOptions::default() };
    let text =
        patient.suffers("problem clock b1", |mesh| restart(mesh, late), |mesh| restart(mesh, AgentOptions::default()));
    // Asking takes a while too.
    assert!(text.contains("39 s behind") || text.contains("40 s behind"), "{text}");
}

/// A process with this in its environment has a clock of its own that is so many seconds ahead. What it measures durations with stays.
fn another_clock(seconds: i64) -> Vec<(String, String)> {
    let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    assert!(PathBuf::from(&library).exists(), "no {library}; get it with: apt-get install faketime");
    let variables =
        [("LD_PRELOAD", library), ("FAKETIME", format!("{seconds:+}s")), ("DONT_FAKE_MONOTONIC", "1".into())];
    variables.map(|(name, value)| (name.to_owned(), value)).into()
}

#[test]
fn versions() {
    let patient = Patient::in_good_health();
    let with_pages = |change: fn(Value) -> Option<Value>| {
        let disguise = Disguise::put_on(patient.0.node("b1").unwrap(), change);
        let text = patient.is_told(&["warning agent-version b1"]);
        drop(disguise);
        patient.is_told(&[]);
        text
    };
    let text = with_pages(|mut page| {
        if let Some(version) = page.get_mut("version") {
            *version = json!("0.0.9");
        }
        Some(page)
    });
    assert!(text.contains("version 0.0.9"), "{text}");
    // The page `/checks` has no version.
    let text = with_pages(|page| page.get("version").is_some().then_some(page));
    assert!(text.contains("does not serve the page /checks"), "{text}");
}

#[test]
fn newcomers() {
    let mut patient = Patient::in_good_health();
    let cloud: Location =
        serde_json::from_value(json!({ "name": "c", "nodes": [{ "name": "c1", "pods": 0 }] })).unwrap();
    patient.0.add_location(&cloud).unwrap();
    let granted = patient.0.kubernetes().node("c1").unwrap()["spec"].clone();
    let withheld = json!({ "podCIDR": null, "podCIDRs": null });
    let grant = |mesh: &Mesh, spec: &Value| {
        mesh.kubernetes().patch_node("c1", json!({ "spec": spec })).unwrap();
    };
    let text = patient.suffers(
        "problem agent-ready c1",
        |mesh| {
            grant(mesh, &withheld);
            mesh.node("c1").unwrap().start_agent().unwrap();
        },
        |mesh| grant(mesh, &granted),
    );
    assert!(text.contains("pod CIDR"), "{text}");
}
