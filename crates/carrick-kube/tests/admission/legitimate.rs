//! Writes of a healthy cluster, in this order. The policies accept each.

use serde_json::{Map, Value, json};

use crate::callers::Caller::{self, *};
use crate::forged::annotation;
use crate::write::Target::{Node, NodeStatus};
use crate::write::Write::{self, Apply, Create, Merge, Strategic, Update};
use crate::{KEY, OTHER_KEY};

fn annotations(entries: &Value) -> Value {
    json!({"metadata": {"annotations": entries}})
}

fn registered(name: &str) -> Value {
    json!({
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/region": "basel", "team": "x"},
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": {"taints": [{"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}]},
    })
}

/// The API server takes up to 256 KiB of annotations. Fewer suffice here.
fn with_many_annotations(name: &str) -> Value {
    let annotations: Map<String, Value> = (0..8_000).map(|number| (format!("x{number}"), "".into())).collect();
    json!({"metadata": {"name": name, "annotations": annotations}})
}

/// What the agents say when they come up, and what comes before it.
pub fn legitimate() -> Vec<(&'static str, Caller, Write)> {
    let of_people = json!({
        "carrick.dev/location": "basel", "carrick.dev/endpoint": "gate.example:51820", "carrick.dev/gateway": "preferred",
        "carrick.dev/relay": "never", "carrick.dev/internal-addresses": "10.0.0.7/24", "carrick.dev/persistent-keepalive": "25",
        "carrick.dev/allowed-location-cidrs": "192.168.7.0/24",
    });
    let of_agent = |key: &str, pod_cidrs: &str| {
        json!({
            "carrick.dev/public-key": key, "carrick.dev/public-key-proof": "AAAA", "carrick.dev/pod-cidrs": pod_cidrs, "carrick.dev/mesh-addresses": "10.4.0.9",
            "carrick.dev/advertised-endpoints": "198.51.100.7:51820", "carrick.dev/advertised-internal-addresses": "10.0.0.7/24",
            "carrick.dev/observed-endpoints": "b=203.0.113.5:1024", "carrick.dev/agent": "version=1,protocol=1,settings=0",
        })
    };
    let applied = |node: &str, entries: &Value| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "annotations": entries}});
    let two = ["10.244.1.0/24", "FD00:10:1::/64"];
    vec![
        ("a kubelet registers", Kubelet("a"), Create(registered("a"))),
        ("a kubelet registers with very many annotations", Kubelet("e"), Create(with_many_annotations("e"))),
        ("an administrator cordons it", Admin, Merge(Node("e"), json!({"spec": {"unschedulable": true}}))),
        ("another kubelet registers", Kubelet("b"), Create(registered("b"))),
        (
            "an agent publishes before a pod CIDR is assigned",
            Agent("b"),
            Merge(Node("b"), annotation("public-key", OTHER_KEY)),
        ),
        (
            "the controller manager assigns pod CIDRs",
            NodeController,
            Strategic(Node("a"), json!({"spec": {"podCIDR": two[0], "podCIDRs": two}})),
        ),
        (
            "the cloud's controller names the machine",
            CloudController,
            Merge(Node("a"), json!({"spec": {"providerID": "cloud://a", "taints": null}})),
        ),
        (
            "the cloud's controller writes labels",
            CloudController,
            Merge(Node("a"), json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "basel-1"}}})),
        ),
        (
            "the cloud's controller writes addresses",
            CloudController,
            Strategic(
                NodeStatus("a"),
                json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.7"}]}}),
            ),
        ),
        (
            "an agent publishes two pod CIDRs",
            Agent("a"),
            Apply(Node("a"), applied("a", &of_agent(KEY, "10.244.1.0/24,fd00:10:1::/64"))),
        ),
        (
            "an agent publishes again",
            Agent("a"),
            Apply(Node("a"), applied("a", &of_agent(KEY, "10.244.1.0/24, fd00:10:1::/64"))),
        ),
        (
            "an agent publishes a part of its pod CIDRs",
            Agent("a"),
            Merge(Node("a"), annotation("pod-cidrs", "fd00:10:1::/64")),
        ),
        (
            "an agent removes an annotation of its own",
            Agent("a"),
            Merge(Node("a"), annotation("advertised-endpoints", Value::Null)),
        ),
        ("an agent gives its node a new key", Agent("a"), Merge(Node("a"), annotation("public-key", KEY))),
        ("an agent changes nothing", Agent("a"), Merge(Node("a"), annotation("public-key", KEY))),
        ("an administrator annotates", Admin, Merge(Node("a"), annotations(&of_people))),
        ("GitOps applies annotations of people", Gitops, Apply(Node("b"), applied("b", &of_people))),
        ("another DaemonSet annotates a location", Monitor, Merge(Node("b"), annotation("location", "home"))),
        (
            "an administrator removes an annotation of people",
            Admin,
            Merge(Node("b"), annotation("gateway", Value::Null)),
        ),
        (
            "a kubelet updates its status",
            Kubelet("a"),
            Strategic(NodeStatus("a"), json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})),
        ),
        (
            "a kubelet updates its status with an annotation",
            Kubelet("a"),
            Strategic(
                NodeStatus("a"),
                json!({
            "metadata": {"annotations": {"csi.volume.kubernetes.io/nodeid": "{}"}},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]}}),
            ),
        ),
        (
            "a kubelet sends its whole Node with Carrick's annotations",
            Kubelet("a"),
            Update(NodeStatus("a"), json!({"status": {"capacity": {"cpu": "4"}}})),
        ),
        ("a kubelet labels its Node", Kubelet("a"), Merge(Node("a"), json!({"metadata": {"labels": {"team": "y"}}}))),
        (
            "a provisioner keeps a Node until it is drained",
            Autoscaler,
            Merge(Node("b"), json!({"metadata": {"finalizers": ["karpenter.sh/termination"]}})),
        ),
        (
            "a kubelet labels a Node that has a finalizer",
            Kubelet("b"),
            Merge(Node("b"), json!({"metadata": {"labels": {"team": "z"}}})),
        ),
        ("the provisioner lets the Node go", Autoscaler, Merge(Node("b"), json!({"metadata": {"finalizers": null}}))),
        (
            "the autoscaler taints a Node",
            Autoscaler,
            Update(
                Node("a"),
                json!({"spec": {"taints": [
            {"key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule"}]}}),
            ),
        ),
        ("an administrator cordons a Node", Admin, Strategic(Node("a"), json!({"spec": {"unschedulable": true}}))),
        (
            "an agent publishes on a cordoned and tainted Node",
            Agent("a"),
            Merge(Node("a"), annotation("observed-endpoints", "b=203.0.113.5:1025")),
        ),
        (
            "an administrator removes an agent's annotation",
            Admin,
            Merge(Node("a"), annotation("mesh-addresses", Value::Null)),
        ),
        ("an agent restores it", Agent("a"), Merge(Node("a"), annotation("mesh-addresses", "10.4.0.9"))),
        (
            "a user who may repair removes an agent's annotation",
            Repairer,
            Merge(Node("b"), annotation("public-key", Value::Null)),
        ),
    ]
}
