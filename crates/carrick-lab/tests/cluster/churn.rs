//! Pods that come and go.

use carrick_lab::cluster::IdlePods;
use carrick_lab::{Lab, wait};

/// Pods at a time, and how often they are replaced.
const PODS: usize = 40;
const ROUNDS: usize = 5;

pub fn pods_come_and_go_without_a_trace(lab: &Lab) {
    let idle_pods = IdlePods::create(lab.kubernetes(), lab.state().path(), "churn").unwrap();
    let before = traces(lab);
    for _ in 0..ROUNDS {
        idle_pods.scale(PODS).unwrap();
        idle_pods.await_ready().unwrap();
        idle_pods.scale(0).unwrap();
        idle_pods.await_gone().unwrap();
    }
    wait::until("the last addresses and links to be given back", || Ok((traces(lab) == before).then_some(()))).unwrap();
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
