//! Pods, nodes, Services and names, from every location.

use std::time::Duration;

use carrick_lab::Lab;
use carrick_lab::cluster::services;
use carrick_lab::matrix::MatrixOptions;
use carrick_lab::node::Node;

use crate::{cluster, kubectl};

/// The transfer of each pair: a megabyte, and time for the first handshakes.
const MEASUREMENT: MatrixOptions = MatrixOptions { timeout: Duration::from_secs(60), tcp_bytes: 1_000_000 };

pub fn all_endpoints_reach_each_other(lab: &Lab) {
    assert!(cluster(lab).unready(lab.kubernetes()).unwrap().is_empty());
    let pairs = lab.ping_matrix(MEASUREMENT).unwrap();
    // Ten ends, five of them pods, in two families; a pod does not ask itself, and the home's node has no IPv6 of its own.
    assert!(pairs.len() >= 80, "{}", pairs.len());
    for pair in &pairs {
        assert!(pair.reachable && pair.tcp_ok, "{pair:?}");
    }
}

pub fn services_answer_by_name_everywhere(lab: &Lab) {
    let locations: Vec<_> = lab.topology().locations.iter().map(|location| location.name.clone()).collect();
    let endpoints = lab.endpoints().unwrap();
    let pairs = services::measure(&endpoints, &locations).unwrap();
    let families: usize = endpoints.iter().map(|endpoint| endpoint.families().count()).sum();
    assert_eq!(pairs.len(), families * locations.len());
    for pair in &pairs {
        assert!(pair.reachable && pair.tcp_ok, "{pair:?}");
    }
}

/// The agents run in this lab with the privileges of their manifests, so these suffice. This step checks what agents may not do.
pub fn the_agent_has_no_more_rights_than_it_needs(lab: &Lab) {
    let may = |verb: &str, resource: &str, more: &[&str]| {
        let question = ["auth", "can-i", verb, resource, "--as=system:serviceaccount:carrick-system:carrick"];
        lab.kubernetes().kubectl(&[&question, more].concat()).is_ok()
    };
    assert!(may("patch", "nodes", &[]));
    assert!(may("get", "secrets", &["--namespace=carrick-preshared-keys"]));
    assert!(!may("get", "secrets", &["--namespace=carrick-system"]));
    assert!(!may("get", "secrets", &["--namespace=kube-system"]));
    assert!(!may("list", "secrets", &["--namespace=carrick-preshared-keys"]));
    assert!(!may("get", "nodes", &[]));
    assert!(!may("delete", "nodes", &[]));
    assert!(!may("get", "pods", &["--all-namespaces"]));
    let path = "--output=jsonpath={.spec.template.spec.containers[0].securityContext}";
    let context = kubectl(lab, &["get", "daemonset", "carrick", "--namespace=carrick-system", path]);
    assert!(context.contains(r#""readOnlyRootFilesystem":true"#), "{context}");
    assert!(!context.contains("privileged"), "{context}");
    // The plugin is there all the same, by the init step.
    let path =
        "--output=jsonpath={.spec.template.spec.containers[0].volumeMounts[?(@.name==\"cni-plugins\")].readOnly}";
    assert_eq!(kubectl(lab, &["get", "daemonset", "carrick", "--namespace=carrick-system", path]), "true");
}

/// Prints the resident memory of each component, on the node where it is largest.
pub fn each_part_of_a_node_runs(lab: &Lab) {
    for part in ["carrick agent", "carrick userspace-wireguard", "kubelet", "kube-proxy", "containerd"] {
        let most = lab.nodes().map(|node| resident_kib(node, part)).max().unwrap();
        assert!(most > 0, "{part}");
        eprintln!("resident memory of {part}: at most {} MiB", most / 1024);
    }
}

/// The resident memory of a program on a node; 0 if the program does not run.
fn resident_kib(node: &Node, part: &str) -> u64 {
    let processes = node.exec(&["ps", "-eo", "rss=,args="]).unwrap();
    let of_part = processes.lines().filter_map(|line| {
        let (resident, command) = line.trim().split_once(' ')?;
        command.split(" -").next()?.contains(part).then(|| resident.parse::<u64>().unwrap())
    });
    of_part.max().unwrap_or(0)
}
