//! Nodes that leave and come back.

use std::time::{Duration, Instant};

use carrick_lab::address::Family;
use carrick_lab::cluster::IdlePods;
use carrick_lab::matrix::MatrixOptions;
use carrick_lab::{Lab, wait};
use serde_json::Value;

use crate::lasting::{Watched, loses_nothing};
use crate::{cluster, kubectl};

/// The bytes of a transfer that only checks whether two pods reach each other.
const MEASUREMENT: MatrixOptions = MatrixOptions { timeout: Duration::from_secs(60), tcp_bytes: 1000 };
/// Pings between locations other than the node's.
const ELSEWHERE: &[Watched] = &[("a1-pod1", "h1-pod1", Family::V4), ("h1-pod1", "a2-pod1", Family::V6)];
/// Pings to the node's location and to the node.
const BESIDE: &[Watched] = &[("a1-pod1", "b1-pod1", Family::V4), ("h1-pod1", "b2-pod1", Family::V6)];
/// The number of pods, so that each node has some.
const PODS: usize = 10;
/// The node that leaves.
const NODE: &str = "b2";

pub fn a_drained_node_stays_in_the_mesh(lab: &Lab) {
    let idle_pods = IdlePods::create(lab.kubernetes(), lab.state().path(), "spread").unwrap();
    idle_pods.scale(PODS).unwrap();
    idle_pods.await_ready().unwrap();
    assert!(evictable(lab) > 0, "there is something to evict");
    loses_nothing(lab, "a node drained", BESIDE, || {
        kubectl(lab, &["drain", NODE, "--ignore-daemonsets", "--delete-emptydir-data"]);
        idle_pods.await_ready().unwrap();
    });
    assert_eq!(evictable(lab), 0, "only pods of DaemonSets are left");
    all_endpoints_reach_each_other(lab);
    kubectl(lab, &["uncordon", NODE]);
    idle_pods.delete().unwrap();
}

pub fn a_node_joins_again_with_a_new_key(lab: &Lab) {
    let old = public_key(lab);
    assert!(is_known(lab, &old), "another node has the node as a peer");
    let node = lab.node(NODE).unwrap();
    loses_nothing(lab, "a node deleted and joined again", ELSEWHERE, || {
        node.crash().unwrap();
        cluster(lab).leave(NODE);
        lab.kubernetes().delete_node(NODE).unwrap();
        wait::until("the others to forget the node", || Ok((!is_known(lab, &old)).then_some(()))).unwrap();
        node.reinstall().unwrap();
        let began = Instant::now();
        lab.boot(NODE).unwrap();
        cluster(lab).join(&[node], lab.kubernetes()).unwrap();
        wait::until("the Node to be ready again", || {
            cluster(lab).check(NODE)?;
            Ok(cluster(lab).unready(lab.kubernetes())?.is_empty().then_some(()))
        })
        .unwrap();
        eprintln!("{NODE} is ready {:.1} s after its machine was switched on", began.elapsed().as_secs_f64());
    });
    assert_ne!(public_key(lab), old);
    all_endpoints_reach_each_other(lab);
    assert!(!is_known(lab, &old), "no node uses the old key again");
}

fn all_endpoints_reach_each_other(lab: &Lab) {
    let pairs = lab.ping_matrix(MEASUREMENT).unwrap();
    assert!(pairs.len() >= 80, "{}", pairs.len());
    for pair in &pairs {
        assert!(pair.reachable && pair.tcp_ok, "{pair:?}");
    }
}

/// The number of pods on the node that belong to no DaemonSet.
fn evictable(lab: &Lab) -> usize {
    let on_node = format!("--field-selector=spec.nodeName={NODE}");
    let pods = kubectl(lab, &["get", "pods", "--all-namespaces", &on_node, "--output=json"]);
    let pods: Value = serde_json::from_str(&pods).unwrap();
    let stays = |pod: &&Value| pod["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet";
    pods["items"].as_array().unwrap().iter().filter(|pod| !stays(pod)).count()
}

fn public_key(lab: &Lab) -> String {
    let node = lab.kubernetes().node(NODE).unwrap();
    node["metadata"]["annotations"]["carrick.dev/public-key"].as_str().unwrap().to_owned()
}

/// Whether the plan of another node names a key.
fn is_known(lab: &Lab, key: &str) -> bool {
    let others = lab.nodes().filter(|node| node.name() != NODE);
    others.map(|node| node.agent_page("/status").unwrap()).any(|answer| answer.body.contains(key))
}
