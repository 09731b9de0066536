//! Settings of the object `Mesh`: all agents take a change of the object while they run.

use std::time::{Duration, Instant};

use carrick_lab::address::Family;
use carrick_lab::flow::Flow;
use carrick_lab::wait;
use carrick_test_apiserver::proxy::Mode;
use carrick_test_apiserver::{ApiServer, Key, Resource};
use serde_json::{Value, json};

use crate::mesh::{CLOUDS, Mesh};

/// All agents take a change within this time of each other.
const SPREAD: Duration = Duration::from_secs(15);

fn api(mesh: &Mesh) -> &ApiServer {
    mesh.kubernetes().embedded().unwrap()
}

pub fn create(mesh: &Mesh, spec: &Value) {
    api(mesh).create(Resource::Mesh, json!({"metadata": {"name": "default"}, "spec": spec})).unwrap();
}

fn change(mesh: &Mesh, spec: &Value) {
    api(mesh).patch(&Key::mesh(), json!({ "spec": spec })).unwrap();
}

/// Waits until every agent has this value of a setting in force, and returns the time between the first and the last.
fn await_setting(mesh: &Mesh, setting: &str, value: &Value) -> Duration {
    let mut missing: Vec<_> = mesh.nodes().map(|node| node.name().to_owned()).collect();
    let mut first = None;
    wait::until(&format!("{setting} {value}"), || {
        missing.retain(|node| mesh.status(node)["settings"][setting] != *value);
        first = first.or_else(|| (missing.len() < mesh.nodes().count()).then(Instant::now));
        Ok(missing.is_empty().then_some(()))
    })
    .unwrap();
    first.unwrap().elapsed()
}

/// Waits until every kernel holds its agent's plan.
fn await_plans(mesh: &Mesh, tunnels_of_a2: usize) {
    wait::until("the tunnels of a2", || {
        let status = mesh.status("a2");
        let peers = status["peers"].as_object().map_or(0, serde_json::Map::len);
        Ok((peers == tunnels_of_a2 && status["failures"] == json!([])).then_some(()))
    })
    .unwrap();
}

#[test]
fn another_granularity_reaches_all_agents_under_traffic_and_the_flag_is_reported() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    await_plans(&mesh, 0);
    let flows = || {
        [
            mesh.flow("a2-pod1", "b2-pod1", Family::V4),
            mesh.flow("a2-pod1", "b2-pod1", Family::V6),
            mesh.flow("b1-pod1", "a2-pod1", Family::V4),
            mesh.flow("a1-pod1", "a2-pod1", Family::V4),
        ]
    };
    let running = flows();
    Flow::await_answers_of_all(&running, 50).unwrap();
    create(&mesh, &json!({"granularity": "full"}));
    let spread = await_setting(&mesh, "granularity", &json!("full"));
    assert!(spread < SPREAD, "the agents took the change within {spread:?}");
    await_plans(&mesh, 4);
    Flow::await_answers_of_all(&running, 200).unwrap();
    let reports = running.map(|flow| flow.stop().unwrap());
    let lost: Vec<_> = reports.iter().map(|report| report.lost.len()).collect();
    eprintln!("location to full: requests lost at 10 ms each {lost:?}, agents within {spread:?}");
    for report in &reports {
        assert!(report.longest_silence < Duration::from_secs(10), "{report:?}");
    }
    mesh.all_endpoints_reach_each_other();
    for node in mesh.nodes() {
        let warnings = mesh.warnings(node.name());
        let overridden = |text: &String| text.contains("--granularity `location` is overridden by the Mesh");
        assert!(warnings.len() == 1 && warnings.iter().all(overridden), "{}: {warnings:#?}", node.name());
    }

    let running = flows();
    Flow::await_answers_of_all(&running, 50).unwrap();
    api(&mesh).delete(&Key::mesh()).unwrap();
    await_setting(&mesh, "granularity", &json!("location"));
    await_plans(&mesh, 0);
    Flow::await_answers_of_all(&running, 200).unwrap();
    let lost: Vec<_> = running.map(|flow| flow.stop().unwrap().lost.len()).into();
    eprintln!("full to location: requests lost at 10 ms each {lost:?}");
    mesh.all_endpoints_reach_each_other();
    for node in mesh.nodes() {
        assert_eq!(mesh.warnings(node.name()), [""; 0], "{}", node.name());
    }
}

#[test]
fn a_network_counts_once_the_mesh_permits_it_and_a_node_boots_with_the_saved_object() {
    let mut mesh = Mesh::up(CLOUDS);
    let annotations = json!({"carrick.dev/allowed-location-cidrs": "198.18.7.0/28"});
    mesh.kubernetes().patch_node("b2", json!({"metadata": {"annotations": annotations}})).unwrap();
    let refused = |mesh: &Mesh, node: &str| {
        let warnings = mesh.warnings(node);
        warnings.iter().any(|text| text.contains("198.18.7.0/28") && text.contains("spec.permittedLocationCIDRs"))
    };
    wait::until("the warnings", || Ok(mesh.nodes().all(|node| refused(&mesh, node.name())).then_some(()))).unwrap();
    let has_route = |mesh: &Mesh| {
        let routes = mesh.node_namespaces("a1").exec(&["ip", "route", "show", "table", "1107"]).unwrap();
        routes.lines().any(|route| route.starts_with("198.18.7.0/28"))
    };
    assert!(!has_route(&mesh));

    create(&mesh, &json!({"permittedLocationCIDRs": ["198.18.7.0/24"], "clusterCIDRs": ["10.42.0.0/16"]}));
    wait::until("the route", || Ok(has_route(&mesh).then_some(()))).unwrap();
    wait::until("no warnings", || Ok((!mesh.nodes().any(|node| refused(&mesh, node.name()))).then_some(()))).unwrap();
    let cluster_cidrs = json!(["10.42.0.0/16"]);
    await_setting(&mesh, "cluster_cidrs", &cluster_cidrs);

    mesh.all_reach();
    change(&mesh, &json!({"failoverIntervalMilliseconds": 500, "permittedLocationCIDRs": 7}));
    await_setting(&mesh, "failover_interval_ms", &json!(500));
    let unreadable = |text: &String| text.contains("mesh `default`: spec.permittedLocationCIDRs `7` cannot be parsed");
    wait::until("a warning about the Mesh", || Ok(mesh.warnings("a1").iter().any(unreadable).then_some(()))).unwrap();
    assert!(refused(&mesh, "a1"), "a bad list leaves the default, and the rest of the object holds");

    let saved = mesh.node("b1").unwrap().path("/var/lib/carrick/cluster.json").unwrap();
    wait::until("the saved object", || {
        let saved: Value = serde_json::from_str(&std::fs::read_to_string(&saved)?)?;
        Ok((saved["cluster"]["mesh"]["shared"]["failover_interval_ms"] == 500).then_some(()))
    })
    .unwrap();
    mesh.kubernetes().set_all(Mode::Cut);
    mesh.crash("b1").unwrap();
    mesh.boot("b1").unwrap();
    mesh.start("b1").unwrap();
    mesh.node("b1").unwrap().await_agent().unwrap();
    let status = mesh.status("b1");
    assert_eq!((&status["api"], &status["settings"]["failover_interval_ms"]), (&json!("lost"), &json!(500)));
}
