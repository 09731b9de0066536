//! Pods that come and go.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use carrick_lab::cluster::IdlePods;
use carrick_lab::node::Node;
use carrick_lab::{Lab, wait};
use serde_json::Value;

/// Pods at a time, and how often they are replaced.
const PODS: usize = 40;
const ROUNDS: usize = 5;

pub fn pods_come_and_go_without_a_trace(lab: &Lab) {
    let idle_pods = IdlePods::create(lab.kubernetes(), lab.state().path(), "churn").unwrap();
    for _ in 0..ROUNDS {
        idle_pods.scale(PODS).unwrap();
        idle_pods.await_ready().unwrap();
        idle_pods.scale(0).unwrap();
        idle_pods.await_gone().unwrap();
    }
    wait::until("each node to have the links, routes and addresses of its own pods alone", || {
        let pods = pods(lab)?;
        let nodes = lab.nodes().map(|node| Ok((node.name().to_owned(), traces(node)?)));
        let nodes: BTreeMap<_, _> = nodes.collect::<Result<_>>()?;
        Ok((nodes == pods).then_some(()))
    })
    .unwrap();
}

/// The number of a node's links of pods, its routes to pods, and the addresses that are reserved there.
type Traces = (usize, BTreeSet<String>, BTreeSet<String>);

fn traces(node: &Node) -> Result<Traces> {
    let lines = |text: String| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let links = lines(node.exec(&["sh", "-c", "ls /sys/class/net | grep ^crk; true"])?).len();
    let routes = ["-4", "-6"]
        .map(|family| node.exec(&["ip", family, "-json", "route", "show", "table", "main", "proto", "108"]))
        .into_iter()
        .map(|text| Ok(serde_json::from_str::<Vec<Value>>(&text?)?))
        .collect::<Result<Vec<_>>>()?;
    let routes = routes.concat().iter().map(|route| route["dst"].as_str().unwrap().to_owned()).collect();
    let addresses = lines(node.exec(&["ls", "/run/carrick/ipam/addresses"])?);
    Ok((links, routes, addresses))
}

/// What the pods that exist need on their nodes.
fn pods(lab: &Lab) -> Result<BTreeMap<String, Traces>> {
    let text = lab.kubernetes().kubectl(&["get", "pods", "--all-namespaces", "--output=json"])?;
    let pods: Value = serde_json::from_str(&text)?;
    let mut nodes: BTreeMap<_, Traces> = lab.nodes().map(|node| (node.name().to_owned(), Traces::default())).collect();
    for pod in pods["items"].as_array().unwrap().iter().filter(|pod| pod["spec"]["hostNetwork"] != true) {
        let Some((links, routes, addresses)) = pod["spec"]["nodeName"].as_str().and_then(|node| nodes.get_mut(node))
        else {
            continue;
        };
        *links += 1;
        let of_pod = pod["status"]["podIPs"].as_array().into_iter().flatten();
        let of_pod: Vec<_> = of_pod.map(|address| address["ip"].as_str().unwrap().to_owned()).collect();
        routes.extend(of_pod.iter().cloned());
        addresses.extend(of_pod);
    }
    Ok(nodes)
}
