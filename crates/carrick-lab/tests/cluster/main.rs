//! Carrick on real Kubernetes: kubelets, containerd and kube-proxy on nodes in several clouds, Carrick from its manifests and
//! its image, real pods and Services. It needs root and Go (or `KUBEBUILDER_ASSETS`), and fails where it has neither.
//!
//! One test, because the cluster is large: its steps run in order on one lab, and each says its name.
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]
#![expect(clippy::print_stderr, reason = "the steps' names, and numbers measured")]

mod churn;
mod deployment;
mod lasting;
mod outside;

use std::time::{Duration, Instant};

use carrick_lab::address::Family;
use carrick_lab::cluster::Cluster;
use carrick_lab::flow::Flow;
use carrick_lab::topology::{DEMO, Kubernetes};
use carrick_lab::{Lab, Topology};

/// Time between two requests of a watched flow.
const INTERVAL: Duration = Duration::from_millis(20);

/// What a step is called, and what it does with the lab.
type Step = (&'static str, fn(&Lab));

#[test]
fn carrick_carries_a_real_cluster() {
    let mut topology = Topology::parse(DEMO).unwrap();
    topology.kubernetes = Kubernetes::Cluster;
    let began = Instant::now();
    let lab = Lab::up(&topology).unwrap();
    eprintln!("five nodes ready, with their workload, after {:.1} s", began.elapsed().as_secs_f64());

    let steps: &[Step] = &[
        ("everybody_reaches_everybody", deployment::everybody_reaches_everybody),
        ("services_answer_by_name_everywhere", deployment::services_answer_by_name_everywhere),
        ("the_agent_has_no_more_rights_than_it_needs", deployment::the_agent_has_no_more_rights_than_it_needs),
        ("an_update_loses_nothing", lasting::an_update_loses_nothing),
        ("an_outage_of_the_api_loses_nothing", lasting::an_outage_of_the_api_loses_nothing),
        ("node_ports_answer_from_outside", outside::node_ports_answer_from_outside),
        ("pods_come_and_go_without_a_trace", churn::pods_come_and_go_without_a_trace),
    ];
    for (name, step) in steps {
        let began = Instant::now();
        eprintln!("step {name} ...");
        step(&lab);
        eprintln!("step {name} took {:.1} s", began.elapsed().as_secs_f64());
    }
}

fn cluster(lab: &Lab) -> &Cluster {
    lab.cluster().unwrap()
}

fn kubectl(lab: &Lab, arguments: &[&str]) -> String {
    lab.kubernetes().kubectl(arguments).unwrap()
}

/// A running ping from the pod of one node to that of another.
fn flow(lab: &Lab, from: &str, to: &str, family: Family) -> Flow {
    let endpoints = lab.endpoints().unwrap();
    let find = |name: &str| endpoints.iter().find(|endpoint| endpoint.name == name).unwrap();
    let target = find(to).addresses.of(family).unwrap();
    Flow::start(&find(from).namespaces, target, INTERVAL).unwrap()
}
