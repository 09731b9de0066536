//! Findings about agents that do not answer, that wait, or that differ from the others.

use std::path::PathBuf;

use carrick_lab::agent::AgentOptions;
use carrick_lab::topology::Location;
use carrick_test_apiserver::{Key, Resource};
use serde_json::{Value, json};

use crate::changed_pages::ChangedPages;
use crate::ctl::run;
use crate::diagnosed_mesh::DiagnosedMesh;
use crate::mesh::Mesh;

/// How far the clock of node `b1` is behind, in seconds.
const BEHIND: i64 = 40;

fn restart(mesh: &Mesh, options: AgentOptions) {
    let node = mesh.node("b1").unwrap();
    node.stop_agent().unwrap();
    node.start_agent_with(options).unwrap();
    node.await_agent().unwrap();
}

#[test]
fn an_agent_that_does_not_answer_or_has_other_flags_is_a_problem() {
    let diagnosed = DiagnosedMesh::without_findings();
    let socket = diagnosed.0.node("a1").unwrap().path("/run/carrick/agent.sock").unwrap();
    let alone = run(["doctor", "--socket", socket.to_str().unwrap()]);
    assert!(alone.code == 0 && alone.out.contains("\nnot examined  handshakes "), "{alone:?}");

    diagnosed.reports(
        "problem agent-reachable -",
        |mesh| mesh.node("b1").unwrap().kill_agent().unwrap(),
        |mesh| mesh.node("b1").unwrap().start_agent().unwrap(),
    );

    let other =
        AgentOptions { flags: vec!["--topology-label=kubernetes.io/hostname".to_owned()], ..AgentOptions::default() };
    let text = diagnosed.reports(
        "problem shared-settings b1",
        |mesh| restart(mesh, other),
        |mesh| restart(mesh, AgentOptions::default()),
    );
    assert!(text.contains("--topology-label kubernetes.io/hostname instead of"), "{text}");
}

#[test]
fn a_missing_admission_policy_is_a_warning() {
    let diagnosed = DiagnosedMesh::without_findings();
    let binding = Key::cluster(Resource::AdmissionPolicyBinding, "carrick-nodes");
    let spec = json!({"policyName": "carrick-nodes", "validationActions": ["Deny"]});
    let text = diagnosed.reports(
        "warning admission-policy -",
        |mesh| {
            mesh.kubernetes().embedded().unwrap().delete(&binding).unwrap();
            restart(mesh, AgentOptions::default());
        },
        |mesh| {
            let object = json!({"metadata": {"name": "carrick-nodes"}, "spec": spec});
            mesh.kubernetes().embedded().unwrap().create(Resource::AdmissionPolicyBinding, object).unwrap();
            restart(mesh, AgentOptions::default());
        },
    );
    assert!(text.contains("the ValidatingAdmissionPolicyBinding carrick-nodes is not installed"), "{text}");
    assert!(text.contains("according to b1"), "{text}");
}

#[test]
fn a_clock_that_is_behind_is_a_problem() {
    let diagnosed = DiagnosedMesh::without_findings();
    let late = AgentOptions { environment: another_clock(-BEHIND), ..AgentOptions::default() };
    let text = diagnosed.reports(
        "problem clock b1",
        |mesh| restart(mesh, late),
        |mesh| restart(mesh, AgentOptions::default()),
    );
    // The request itself takes some time.
    assert!(text.contains("39 s behind") || text.contains("40 s behind"), "{text}");
}

/// Environment variables that set a process's wall clock this number of seconds ahead. The monotonic clock stays.
fn another_clock(seconds: i64) -> Vec<(String, String)> {
    let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    assert!(PathBuf::from(&library).exists(), "no {library}; get it with: apt-get install faketime");
    let variables =
        [("LD_PRELOAD", library), ("FAKETIME", format!("{seconds:+}s")), ("DONT_FAKE_MONOTONIC", "1".into())];
    variables.map(|(name, value)| (name.to_owned(), value)).into()
}

#[test]
fn an_agent_of_an_older_version_is_a_warning() {
    let diagnosed = DiagnosedMesh::without_findings();
    let with_pages = |change: fn(Value) -> Option<Value>| {
        let changed = ChangedPages::install(diagnosed.0.node("b1").unwrap(), change);
        let text = diagnosed.await_findings(&["warning agent-version b1"]);
        drop(changed);
        diagnosed.await_findings(&[]);
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
fn a_new_node_without_a_pod_cidr_is_a_problem() {
    let mut diagnosed = DiagnosedMesh::without_findings();
    let cloud: Location =
        serde_json::from_value(json!({ "name": "c", "nodes": [{ "name": "c1", "pods": 0 }] })).unwrap();
    diagnosed.0.add_location(&cloud).unwrap();
    let granted = diagnosed.0.kubernetes().node("c1").unwrap()["spec"].clone();
    let withheld = json!({ "podCIDR": null, "podCIDRs": null });
    let grant = |mesh: &Mesh, spec: &Value| {
        mesh.kubernetes().patch_node("c1", json!({ "spec": spec })).unwrap();
    };
    let text = diagnosed.reports(
        "problem agent-ready c1",
        |mesh| {
            grant(mesh, &withheld);
            mesh.node("c1").unwrap().start_agent().unwrap();
        },
        |mesh| grant(mesh, &granted),
    );
    assert!(text.contains("pod CIDR"), "{text}");
}
