//! Connections of the API server to kubelets, at addresses that exist in the kubelets' locations only.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr};

use carrick_lab::Lab;
use carrick_lab::cluster::ClusterPod;
use carrick_lab::cluster::services::{PORT, fetch};

use crate::kubectl;

pub fn logs_exec_and_port_forward_work_on_every_node(lab: &Lab) {
    let pods = lab.cluster_pods().unwrap();
    assert_eq!(pods.len(), lab.nodes().count());
    for pod in &pods {
        let logs = kubectl(lab, &["logs", &pod.name]);
        assert!(logs.contains(&format!("serving on {}", pod.node)), "{}: {logs}", pod.node);
        let said = kubectl(lab, &["exec", &pod.name, "--", "cat", "/www/node"]);
        assert_eq!(said.trim(), pod.node);
        assert_eq!(through_a_forwarded_port(lab, pod).trim(), pod.node);
    }
}

/// The internet has no route to an internal address. The documents describe the consequences.
pub fn a_control_plane_outside_reaches_no_kubelet(lab: &Lab) {
    for pod in lab.cluster_pods().unwrap() {
        let refusal = lab.kubernetes().kubectl(&["logs", &pod.name]).unwrap_err().to_string();
        assert!(refusal.contains(":10250"), "{}: {refusal}", pod.node);
    }
}

/// Sends a request to a pod's web server through `kubectl port-forward`.
fn through_a_forwarded_port(lab: &Lab, pod: &ClusterPod) -> String {
    let forwarded = format!("0:{PORT}");
    let mut process = lab.kubernetes().start_kubectl(&["port-forward", &pod.name, &forwarded]).unwrap();
    let mut line = String::new();
    // kubectl prints a line for each connection, and ends when its standard output is closed.
    let mut output = BufReader::new(process.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let port = line.strip_prefix("Forwarding from 127.0.0.1:").and_then(|rest| rest.split(' ').next()?.parse().ok());
    let Some(port) = port else {
        let mut errors = String::new();
        process.kill().unwrap();
        process.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        panic!("{}: kubectl port-forward says {line:?} {errors:?}", pod.node);
    };
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let fetched = fetch(lab.kubernetes().namespaces(), address, "/node");
    process.kill().unwrap();
    process.wait().unwrap();
    let (body, _) = fetched.unwrap_or_else(|error| panic!("{}: {error:#}", pod.node));
    String::from_utf8(body).unwrap()
}
