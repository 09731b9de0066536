//! Writes that the policies refuse, each with a part of the reason that the writer reads.

mod agents;

use serde_json::{Value, json};

use crate::callers::Caller::{self, *};
use crate::write::Target::{Node, NodeStatus, PeerStatus};
use crate::write::Write::{self, Apply, Create, Edit, Merge, Strategic, Update};
use crate::{KEY, OTHER_KEY};

/// A write that must be refused.
pub struct Forged {
    /// What it would reach.
    pub name: &'static str,
    pub caller: Caller,
    pub write: Write,
    /// Part of the reason.
    pub reason: &'static str,
}

const OTHER_NODE: &str = "an agent writes only the Node that it runs on";
const UNBOUND: &str = "not bound to a node";
const OTHER_ANNOTATION: &str = "An agent writes only these annotations: carrick.dev/public-key";
const TOO_MANY: &str = "has more than 1000 annotations";
const TOO_LONG: &str = "An agent publishes at most one endpoint, one internal address and one mesh address";
const BY_STATUS: &str = "cannot be written by the status of the Node a";
const LABELS: &str = "An agent changes no labels, finalizers or owners";
const SPEC: &str = "An agent changes no taint and nothing else in the spec";
const STATUS: &str = "belongs to the kubelet";
const CREATION: &str = "An agent does not create Nodes";
const NOT_ASSIGNED: &str = "is none of the pod CIDRs that the controller manager assigned to the Node a";
const PEOPLES: &str = "with a credential that may update Nodes: kubectl annotate node";
const KUBELET: &str = "The credential of a kubelet must not write";
const FINALIZER: &str = "A kubelet adds no finalizer to its Node";
const CHOSEN_CIDR: &str = "A kubelet does not choose the pod CIDRs";
const OWNER: &str = "Neither an agent nor a kubelet owns an annotation of people";
const OWNS_LABEL: &str = "An agent owns no label, taint or other field";
const AGENTS: &str = "Only the agent of the node";
const REPAIR: &str = "needs the verb repair on nodes.carrick.dev";
const PEER: &str = "Only agents write the status of the Peer laptop";
const OTHERS_PEER: &str = "it writes statuses only in the name of its own node";

pub fn annotation(key: &str, value: impl Into<Value>) -> Value {
    json!({"metadata": {"annotations": {format!("carrick.dev/{key}"): value.into()}}})
}

fn applied(node: &str, key: &str, value: &str) -> Value {
    let mut object = annotation(key, value);
    object["apiVersion"] = "v1".into();
    object["kind"] = "Node".into();
    object["metadata"]["name"] = node.into();
    object
}

fn new_node(name: &str, mut node: Value) -> Value {
    node["metadata"]["name"] = name.into();
    node
}

fn status(serving_node: Option<&str>) -> Value {
    json!({"status": {"servingNode": serving_node, "conditions": []}})
}

pub fn forged() -> Vec<Forged> {
    [agents::by_agents(), by_kubelets(), by_others(), of_peers()].into_iter().flatten().collect()
}

fn by_kubelets() -> Vec<Forged> {
    let cases = [
        ("its own location", Kubelet("a"), Merge(Node("a"), annotation("location", "elsewhere")), PEOPLES),
        (
            "its own location by its status",
            Kubelet("a"),
            Strategic(NodeStatus("a"), annotation("location", "elsewhere")),
            PEOPLES,
        ),
        (
            "a location whose owner is forgotten",
            Kubelet("a"),
            Merge(Node("a"), json!({"metadata": {"managedFields": [{}]}})),
            OWNER,
        ),
        (
            "a location whose owner is one of the status",
            Kubelet("a"),
            Edit(Node("a"), |node| each_owner(node, |owner| owner["subresource"] = "status".into())),
            OWNER,
        ),
        (
            "a location that its owner no longer owns, and owns another annotation instead",
            Kubelet("a"),
            Edit(Node("a"), |node| each_owner(node, swap_location)),
            OWNER,
        ),
        (
            "a location whose owner is one of another version",
            Kubelet("a"),
            Edit(Node("a"), |node| each_owner(node, |owner| owner["apiVersion"] = "v2".into())),
            OWNER,
        ),
        ("no location", Kubelet("a"), Merge(Node("a"), annotation("location", Value::Null)), PEOPLES),
        (
            "a network outside of the mesh",
            Kubelet("a"),
            Strategic(NodeStatus("a"), annotation("allowed-location-cidrs", "8.8.8.0/24")),
            PEOPLES,
        ),
        (
            "its own internal addresses",
            Kubelet("a"),
            Merge(Node("a"), annotation("internal-addresses", "10.0.0.9/8")),
            PEOPLES,
        ),
        ("its own rank as gateway", Kubelet("a"), Apply(Node("a"), applied("a", "gateway", "never")), PEOPLES),
        ("its own rank as relay", Kubelet("a"), Apply(Node("a"), applied("a", "relay", "preferred")), PEOPLES),
        ("its own endpoint", Kubelet("a"), Update(Node("a"), annotation("endpoint", "198.51.100.9:51820")), PEOPLES),
        (
            "its own endpoint by its whole status",
            Kubelet("a"),
            Update(NodeStatus("a"), annotation("endpoint", "198.51.100.9:51820")),
            PEOPLES,
        ),
        (
            "a Node that stays when it is deleted",
            Kubelet("a"),
            Merge(Node("a"), json!({"metadata": {"finalizers": ["example.com/x"]}})),
            FINALIZER,
        ),
        (
            "a Node that stays, by its status",
            Kubelet("b"),
            Strategic(NodeStatus("b"), json!({"metadata": {"finalizers": ["example.com/x"]}})),
            FINALIZER,
        ),
        (
            "a Node that stays, when it registers",
            Kubelet("d"),
            Create(new_node("d", json!({"metadata": {"finalizers": ["example.com/x"]}}))),
            FINALIZER,
        ),
        ("its own keepalive", Kubelet("a"), Merge(Node("a"), annotation("persistent-keepalive", "1")), PEOPLES),
        (
            "another key of its node",
            Kubelet("a"),
            Strategic(NodeStatus("a"), annotation("public-key", OTHER_KEY)),
            AGENTS,
        ),
        (
            "other pods to its node",
            Kubelet("a"),
            Merge(NodeStatus("a"), annotation("pod-cidrs", "10.244.2.0/24")),
            AGENTS,
        ),
        ("its node out of the mesh", Kubelet("a"), Merge(Node("a"), annotation("public-key", Value::Null)), KUBELET),
        (
            "an endpoint when it registers",
            Kubelet("d"),
            Create(new_node("d", annotation("endpoint", "198.51.100.9:51820"))),
            PEOPLES,
        ),
        ("a key when it registers", Kubelet("d"), Create(new_node("d", annotation("public-key", KEY))), AGENTS),
        (
            "a pod CIDR when it registers",
            Kubelet("d"),
            Create(new_node("d", json!({"spec": {"podCIDR": "8.8.8.0/24", "podCIDRs": ["8.8.8.0/24"]}}))),
            CHOSEN_CIDR,
        ),
        (
            "an endpoint of a node with very many annotations",
            Kubelet("e"),
            Merge(NodeStatus("e"), annotation("endpoint", "198.51.100.9:51820")),
            PEOPLES,
        ),
        (
            "a pod CIDR before it is assigned",
            Kubelet("b"),
            Merge(Node("b"), json!({"spec": {"podCIDR": "8.8.8.0/24", "podCIDRs": ["8.8.8.0/24"]}})),
            CHOSEN_CIDR,
        ),
    ];
    table(cases)
}

fn by_others() -> Vec<Forged> {
    let cases = [
        ("a key by an administrator", Admin, Merge(Node("a"), annotation("public-key", OTHER_KEY)), AGENTS),
        ("a key by a backup", Admin, Create(new_node("d", annotation("public-key", KEY))), AGENTS),
        (
            "a mesh address by an administrator",
            Admin,
            Merge(Node("a"), annotation("mesh-addresses", "10.4.9.9")),
            AGENTS,
        ),
        ("pod CIDRs by GitOps", Gitops, Apply(Node("a"), applied("a", "pod-cidrs", "10.244.1.0/25")), AGENTS),
        (
            "a protocol version by a cloud's controller",
            CloudController,
            Merge(NodeStatus("a"), annotation("agent", "version=9,protocol=9,settings=0")),
            AGENTS,
        ),
        ("a key by another DaemonSet", Monitor, Merge(Node("a"), annotation("public-key", OTHER_KEY)), AGENTS),
        (
            "another location by a DaemonSet that may write statuses",
            Monitor,
            Merge(NodeStatus("a"), annotation("location", "elsewhere")),
            BY_STATUS,
        ),
        ("a key by a user who may repair", Repairer, Merge(Node("a"), annotation("public-key", OTHER_KEY)), AGENTS),
        (
            "a node out of the mesh by another DaemonSet",
            Monitor,
            Merge(Node("a"), annotation("public-key", Value::Null)),
            REPAIR,
        ),
        ("a node out of the mesh by GitOps", Gitops, Merge(Node("a"), annotation("public-key", Value::Null)), REPAIR),
        (
            "a node out of the mesh by the autoscaler",
            Autoscaler,
            Update(Node("a"), annotation("mesh-addresses", Value::Null)),
            REPAIR,
        ),
    ];
    table(cases)
}

fn of_peers() -> Vec<Forged> {
    let cases = [
        (
            "a Peer's status in another node's name",
            Agent("b"),
            Merge(PeerStatus("laptop"), status(Some("a"))),
            OTHERS_PEER,
        ),
        ("a Peer's status in no name", Agent("a"), Merge(PeerStatus("laptop"), status(None)), OTHERS_PEER),
        ("no status of a Peer", Agent("b"), Merge(PeerStatus("laptop"), json!({"status": null})), OTHERS_PEER),
        ("a Peer's status by a token of no pod", UnboundAgent, Merge(PeerStatus("laptop"), status(Some("a"))), UNBOUND),
        ("a Peer's status by another DaemonSet", Monitor, Merge(PeerStatus("laptop"), status(Some("b"))), PEER),
        ("a Peer's status by GitOps", Gitops, Merge(PeerStatus("laptop"), status(Some("a"))), PEER),
        (
            "no status of a Peer by another DaemonSet",
            Monitor,
            Merge(PeerStatus("laptop"), json!({"status": null})),
            PEER,
        ),
        (
            "another status of a Peer by a user who may repair",
            Repairer,
            Merge(PeerStatus("laptop"), json!({"status": {"servingNode": null}})),
            PEER,
        ),
        ("a Peer's status by an administrator", Admin, Merge(PeerStatus("laptop"), status(Some("a"))), PEER),
    ];
    table(cases)
}

fn table<const N: usize>(cases: [(&'static str, Caller, Write, &'static str); N]) -> Vec<Forged> {
    cases.into_iter().map(|(name, caller, write, reason)| Forged { name, caller, write, reason }).collect()
}

/// Changes the entries of `managedFields` that own something of the metadata.
fn each_owner(node: &mut Value, change: fn(&mut Value)) {
    let owners = node["metadata"]["managedFields"].as_array_mut().unwrap();
    let of_metadata = owners.iter_mut().filter(|owner| owner["fieldsV1"].get("f:metadata").is_some());
    let changed = of_metadata.map(change).count();
    assert!(changed > 0, "the Node has no owners");
}

/// The entry owns as many annotations as before.
fn swap_location(owner: &mut Value) {
    let Some(Value::Object(annotations)) = owner["fieldsV1"]["f:metadata"].get_mut("f:annotations") else { return };
    if annotations.remove("f:carrick.dev/location").is_some() {
        let others = ["hold", "relay", "drain", "gateway"].map(|key| format!("f:carrick.dev/{key}"));
        let other = others.into_iter().find(|key| !annotations.contains_key(key)).unwrap();
        annotations.insert(other, json!({}));
    }
}
