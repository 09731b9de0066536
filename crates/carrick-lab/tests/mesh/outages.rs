//! Agents that end and an API server that does not answer: programmed traffic continues, and the kernel's state stays.

use std::collections::BTreeMap;

use carrick_lab::address::Family;
use carrick_lab::flow::Flow;
use carrick_lab::wait;
use carrick_test_apiserver::proxy::Mode;

use crate::kernel::held;
use crate::mesh::{CLOUDS, Mesh};

/// The requests per second of each ping.
const REQUESTS_PER_SECOND: u64 = 100;

/// The duration of an API server's outage, in seconds: two minutes in full runs.
fn outage_seconds() -> u64 {
    let given = std::env::var("CARRICK_API_OUTAGE_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    let all = std::env::var_os("CARRICK_REQUIRE_ALL").is_some();
    given.unwrap_or(if all { 120 } else { 20 })
}

/// Running pings: between clouds, from behind NAT through a gateway, and inside a location.
struct Watched {
    flows: Vec<(&'static str, Flow)>,
    held: BTreeMap<String, String>,
}

impl Watched {
    fn start(mesh: &Mesh) -> Self {
        mesh.all_reach();
        let flows = vec![
            ("a1-pod1 to b1-pod1", mesh.flow("a1-pod1", "b1-pod1", Family::V4)),
            ("h1-pod1 to a2-pod1", mesh.flow("h1-pod1", "a2-pod1", Family::V6)),
            ("b1-pod1 to b2-pod1", mesh.flow("b1-pod1", "b2-pod1", Family::V4)),
        ];
        let mut watched = Self { flows, held: BTreeMap::new() };
        watched.for_seconds(1);
        watched.held = all_held(mesh);
        watched
    }

    /// Waits while the pings run.
    fn for_seconds(&self, seconds: u64) {
        Flow::await_answers_of_all(self.flows.iter().map(|(_, flow)| flow), seconds * REQUESTS_PER_SECOND).unwrap();
    }

    /// Checks that no ping was lost and that the kernel's state is as before.
    fn are_untouched(self, mesh: &Mesh) {
        self.for_seconds(1);
        let now = all_held(mesh);
        for (name, flow) in self.flows {
            let report = flow.stop().unwrap();
            assert!(report.lost.is_empty(), "{name}: {report:?}");
        }
        for (node, before) in &self.held {
            similar(node, before, &now[node]);
        }
    }
}

fn similar(node: &str, before: &str, now: &str) {
    let only_in = |one: &str, other: &str| -> Vec<String> {
        one.lines().filter(|line| !other.lines().any(|found| found == *line)).map(str::to_owned).collect()
    };
    assert!(before == now, "{node}: gone {:#?}, new {:#?}", only_in(before, now), only_in(now, before));
}

fn all_held(mesh: &Mesh) -> BTreeMap<String, String> {
    mesh.nodes().map(|node| (node.name().to_owned(), held(&node.namespaces().unwrap()))).collect()
}

fn await_synced(mesh: &Mesh, node: &str) {
    mesh.node(node).unwrap().await_agent().unwrap();
    wait::until("the API", || Ok((mesh.status(node)["api"] == "synced").then_some(()))).unwrap();
}

#[test]
fn a_killed_and_restarted_agent_interrupts_nothing() {
    let mesh = Mesh::up(CLOUDS);
    let watched = Watched::start(&mesh);
    for node in ["a1", "h1", "b2"] {
        mesh.node(node).unwrap().kill_agent().unwrap();
        watched.for_seconds(1);
        mesh.node(node).unwrap().start_agent().unwrap();
        await_synced(&mesh, node);
    }
    watched.are_untouched(&mesh);
}

#[test]
fn an_agent_that_is_told_to_end_leaves_the_data_path_up() {
    let mesh = Mesh::up(CLOUDS);
    let watched = Watched::start(&mesh);
    for node in mesh.nodes() {
        node.stop_agent().unwrap();
    }
    watched.for_seconds(2);
    for node in mesh.nodes() {
        node.start_agent().unwrap();
    }
    for node in mesh.nodes() {
        await_synced(&mesh, node.name());
    }
    watched.are_untouched(&mesh);
}

fn an_outage(mode: Mode, nodes: &[&str]) {
    let mesh = Mesh::up(CLOUDS);
    let watched = Watched::start(&mesh);
    for node in nodes {
        mesh.kubernetes().set(node, mode).unwrap();
    }
    watched.for_seconds(outage_seconds());
    for node in nodes {
        mesh.kubernetes().set(node, Mode::Pass).unwrap();
    }
    for node in nodes {
        await_synced(&mesh, node);
    }
    watched.are_untouched(&mesh);
}

#[test]
fn an_api_that_refuses_all_nodes_changes_nothing() {
    an_outage(Mode::Cut, &["a1", "a2", "b1", "b2", "h1"]);
}

#[test]
fn an_api_that_hangs_for_all_nodes_changes_nothing() {
    an_outage(Mode::Hang, &["a1", "a2", "b1", "b2", "h1"]);
}

#[test]
fn a_gateway_that_alone_loses_the_api_stays_in_the_mesh() {
    an_outage(Mode::Cut, &["a1"]);
}

#[test]
fn a_node_behind_nat_whose_api_hangs_alone_stays_in_the_mesh() {
    an_outage(Mode::Hang, &["h1"]);
}
