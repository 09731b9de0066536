//! Carrick on real Kubernetes: kubelets, containerd and kube-proxy on nodes in several clouds, Carrick from its manifests and
//! its image, real pods and Services. The tests fail without root, and without Go or `KUBEBUILDER_ASSETS`.
//!
//! There are two tests, one with the control plane on a node and one with it outside, because a cluster is large. The steps of a test run
//! in order on one lab, and print their names. Run one test at a time (`--test-threads=1`). `CARRICK_CLUSTER_STEP` selects the steps whose
//! names contain one of its words, separated by commas.
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]
#![expect(clippy::print_stderr, reason = "the steps' names, and numbers measured")]

mod audit;
mod chart;
mod churn;
mod ctl;
mod deployment;
mod kubelets;
mod lasting;
mod nodes;
mod outside;
mod plugin;
mod policy;
mod removal;

use std::time::{Duration, Instant};

use carrick_lab::address::Family;
use carrick_lab::cluster::Cluster;
use carrick_lab::flow::Flow;
use carrick_lab::topology::{DEMO, Kubernetes};
use carrick_lab::{Lab, Topology};

/// Time between two requests of a watched flow.
const INTERVAL: Duration = Duration::from_millis(20);

/// The name of a step, and the step.
type Step = (&'static str, fn(&Lab));

#[test]
fn carrick_carries_a_real_cluster() {
    let lab = up(None);
    run(
        &lab,
        &[
            ("all_endpoints_reach_each_other", deployment::all_endpoints_reach_each_other),
            ("services_answer_by_name_everywhere", deployment::services_answer_by_name_everywhere),
            ("the_agent_has_no_more_rights_than_it_needs", deployment::the_agent_has_no_more_rights_than_it_needs),
            ("each_part_of_a_node_runs", deployment::each_part_of_a_node_runs),
            ("a_control_plane_outside_reaches_no_kubelet", kubelets::a_control_plane_outside_reaches_no_kubelet),
            ("an_update_loses_nothing", lasting::an_update_loses_nothing),
            ("an_outage_of_the_api_loses_nothing", lasting::an_outage_of_the_api_loses_nothing),
            ("a_replaced_data_path_comes_back", lasting::a_replaced_data_path_comes_back),
            ("node_ports_answer_from_outside", outside::node_ports_answer_from_outside),
            ("a_local_service_shows_its_clients", outside::a_local_service_shows_its_clients),
            ("a_pod_gets_its_host_port_and_its_bandwidth", plugin::a_pod_gets_its_host_port_and_its_bandwidth),
            ("the_runtime_asks_for_the_plugins_status", plugin::the_runtime_asks_for_the_plugins_status),
            ("pods_are_told_apart_across_locations", policy::pods_are_told_apart_across_locations),
            ("a_drained_node_stays_in_the_mesh", nodes::a_drained_node_stays_in_the_mesh),
            ("a_node_joins_again_with_a_new_key", nodes::a_node_joins_again_with_a_new_key),
            ("pods_come_and_go_without_a_trace", churn::pods_come_and_go_without_a_trace),
            ("agents_use_all_their_rights_and_no_others", audit::agents_use_all_their_rights_and_no_others),
        ],
    );
}

/// The control plane is on a node, at a private address. Requests from pods and nodes of other locations, and requests to kubelets, go
/// through the mesh.
#[test]
fn a_control_plane_on_a_node_reaches_all_nodes() {
    let lab = up(Some("a2"));
    run(
        &lab,
        &[
            ("all_endpoints_reach_each_other", deployment::all_endpoints_reach_each_other),
            ("services_answer_by_name_everywhere", deployment::services_answer_by_name_everywhere),
            ("logs_exec_and_port_forward_work_on_every_node", kubelets::logs_exec_and_port_forward_work_on_every_node),
            ("carrickctl_needs_a_kubeconfig_alone", ctl::carrickctl_needs_a_kubeconfig_alone),
            ("a_removal_leaves_nothing", removal::a_removal_leaves_nothing),
            ("a_release_is_installed_and_leaves_clean_nodes", chart::a_release_is_installed_and_leaves_clean_nodes),
            ("an_upgrade_of_a_release_loses_nothing", chart::an_upgrade_of_a_release_loses_nothing),
        ],
    );
}

fn up(control_plane: Option<&str>) -> Lab {
    let mut topology = Topology::parse(DEMO).unwrap();
    topology.kubernetes = Kubernetes::Cluster;
    topology.control_plane = control_plane.map(str::to_owned);
    let began = Instant::now();
    let lab = Lab::up(&topology).unwrap();
    eprintln!("five nodes ready, with their workload, after {:.1} s", began.elapsed().as_secs_f64());
    lab
}

fn run(lab: &Lab, steps: &[Step]) {
    let wanted = std::env::var("CARRICK_CLUSTER_STEP").unwrap_or_default();
    for (name, step) in steps.iter().filter(|(name, _)| wanted.split(',').any(|word| name.contains(word))) {
        let began = Instant::now();
        eprintln!("step {name} ...");
        step(lab);
        eprintln!("step {name} took {:.1} s", began.elapsed().as_secs_f64());
    }
}

fn cluster(lab: &Lab) -> &Cluster {
    lab.cluster().unwrap()
}

fn kubectl(lab: &Lab, arguments: &[&str]) -> String {
    lab.kubernetes().kubectl(arguments).unwrap()
}

/// A running ping from a pod of one node to a pod of another node.
fn flow(lab: &Lab, from: &str, to: &str, family: Family) -> Flow {
    let endpoints = lab.endpoints().unwrap();
    let find = |name: &str| endpoints.iter().find(|endpoint| endpoint.name == name).unwrap();
    let target = find(to).addresses.of(family).unwrap();
    Flow::start(&find(from).namespaces, target, INTERVAL).unwrap()
}
