//! Pods that come and go.

use carrick_lab::{Lab, wait};

use crate::kubectl;

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: churn, namespace: default}
spec:
  replicas: 0
  selector: {matchLabels: {app: churn}}
  template:
    metadata: {labels: {app: churn}}
    spec:
      terminationGracePeriodSeconds: 0
      automountServiceAccountToken: false
      containers:
      - {name: sleep, image: 'localhost/box:lab', imagePullPolicy: Never, command: [sleep, '1000000']}
";
/// Pods at a time, and how often they are replaced.
const PODS: usize = 40;
const ROUNDS: usize = 5;

pub fn pods_come_and_go_without_a_trace(lab: &Lab) {
    let file = lab.state().path().join("churn.yaml");
    std::fs::write(&file, DEPLOYMENT).unwrap();
    kubectl(lab, &["apply", "--filename", &file.to_string_lossy()]);
    let before = traces(lab);
    for _ in 0..ROUNDS {
        scale(lab, PODS);
        kubectl(lab, &["rollout", "status", "deployment/churn"]);
        scale(lab, 0);
        wait::until("the pods to be gone", || {
            let pods = lab.kubernetes().kubectl(&["get", "pods", "--selector=app=churn", "--output=name"])?;
            Ok(pods.trim().is_empty().then_some(()))
        })
        .unwrap();
    }
    wait::until("the last addresses and links to be given back", || Ok((traces(lab) == before).then_some(()))).unwrap();
}

fn scale(lab: &Lab, replicas: usize) {
    kubectl(lab, &["scale", "deployment/churn", &format!("--replicas={replicas}")]);
}

/// What pods leave on nodes: links, routes and reserved addresses.
fn traces(lab: &Lab) -> Vec<(String, Vec<String>)> {
    let of_node = |node: &carrick_lab::node::Node| {
        let sorted = |text: String| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let links = node.exec(&["sh", "-c", "ls /sys/class/net | grep ^crk"]).unwrap();
        let routes = node.exec(&["ip", "route", "show", "table", "main", "proto", "108"]).unwrap();
        let addresses = node.exec(&["ls", "/run/carrick/ipam/addresses"]).unwrap();
        (node.name().to_owned(), [sorted(links), sorted(routes), sorted(addresses)].concat())
    };
    lab.nodes().map(of_node).collect()
}
