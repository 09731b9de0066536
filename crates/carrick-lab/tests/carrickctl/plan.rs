//! `carrickctl plan`: its forecast, compared with what happens.

use std::collections::BTreeSet;
use std::time::Duration;

use carrick_lab::ping;
use serde_json::Value;

use crate::ctl::{ask, run};
use crate::mesh::{Mesh, is_cut_off};
use crate::saved;

/// Location a has one node that may be a gateway, b has two.
const FRAGILE: &str = "
agent: {flags: ['--standby-gateways=0']}
locations:
  - {name: a, nodes: [{name: a1}, {name: a2, annotations: {carrick.dev/gateway: never}}]}
  - {name: b, nodes: [{name: b1}, {name: b2}]}
";

/// How long the other nodes may take to detect that a node failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pairs of nodes that a dry run lists under a key.
fn pairs(run: &Value, word: &str) -> BTreeSet<(String, String)> {
    let partners = run["reachability"][word].as_object().unwrap().iter();
    let of = |(name, others): (&String, &Value)| {
        let others: Vec<String> = serde_json::from_value(others.clone()).unwrap();
        others.into_iter().map(|other| (name.clone(), other)).collect::<Vec<_>>()
    };
    partners.flat_map(of).collect()
}

#[test]
fn what_a_dead_node_takes_with_it_is_foreseen() {
    let mut mesh = Mesh::up(FRAGILE);
    mesh.all_reach();
    let file = saved::file(&saved::objects(&mesh, &[]));
    let file = file.path().to_str().unwrap();

    let present = ask(&mesh, &["plan", "-f", file, "-o", "json"]);
    assert_eq!(present.json()["nodes"], serde_json::json!({}), "agents hold what carrickctl computes");

    let without_objects = ask(&mesh, &["plan"]);
    assert!(without_objects.code == 2 && without_objects.err.contains("only `--without` works"), "{without_objects:?}");

    let said = ask(&mesh, &["plan", "--without", "a1", "-f", file, "-o", "json"]);
    assert_eq!(said.code, 1, "{said:?}");
    let lost = pairs(&said.json(), "lost");
    let expected: BTreeSet<_> =
        [("a2", "b1"), ("a2", "b2")].map(|(one, other)| (one.to_owned(), other.to_owned())).into();
    assert_eq!(lost, expected);
    let saved_only = run(["plan", "--without", "a1", "-f", file, "-o", "json"]);
    assert_eq!(pairs(&saved_only.json(), "lost"), expected, "without any agent: {saved_only:?}");
    let pages_only = ask(&mesh, &["plan", "--without", "b1", "-o", "json"]);
    assert_eq!(pages_only.code, 0, "b2 steps in: {pages_only:?}");

    let pods: Vec<_> = mesh.pods_only().into_iter().filter(|pod| !pod.name.starts_with("a1-")).collect();
    assert_eq!(pods.len(), 3);
    mesh.crash("a1").unwrap();
    for from in &pods {
        for to in pods.iter().filter(|to| to.name != from.name) {
            let node = |pod: &str| pod.trim_end_matches("-pod1").to_owned();
            let (one, other) = (node(&from.name).min(node(&to.name)), node(&from.name).max(node(&to.name)));
            for target in to.addresses.list() {
                if lost.contains(&(one.clone(), other.clone())) {
                    assert!(is_cut_off(&from.namespaces, target), "{} reaches {}", from.name, to.name);
                } else {
                    let answer = ping::until_answered(&from.namespaces, target, PATIENCE).unwrap();
                    assert!(answer.is_some(), "{} does not reach {}", from.name, to.name);
                }
            }
        }
    }
}

#[test]
fn an_annotation_does_what_was_foreseen() {
    let mesh = Mesh::up(FRAGILE);
    let file = saved::file(&saved::objects(&mesh, &[]));
    let file = file.path().to_str().unwrap();
    let foreseen = ask(&mesh, &["plan", "--annotate", "b2", "gateway=preferred", "-f", file, "-o", "json"]).json();
    let added: Vec<String> = serde_json::from_value(foreseen["nodes"]["b2"]["added"].clone()).unwrap();
    assert!(added.contains(&"role active".to_owned()), "{foreseen}");

    mesh.kubernetes().annotate("b2", "carrick.dev/gateway", Some("preferred")).unwrap();
    let changed = saved::file(&saved::objects(&mesh, &[]));
    let changed = changed.path().to_str().unwrap();
    carrick_lab::wait::until("the agents to hold what was foreseen", || {
        let role = mesh.status("b2")["plan"]["location"]["role"].clone();
        let open = ask(&mesh, &["plan", "-f", changed, "-o", "json"]).json()["nodes"].clone();
        Ok((role == "active" && open == serde_json::json!({})).then_some(()))
    })
    .unwrap();
}
