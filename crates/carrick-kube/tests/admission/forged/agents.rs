//! By agents, with the token of the pod on their node.

use super::*;

pub(super) fn by_agents() -> Vec<Forged> {
    let cases = [
        ("another node's key", Agent("b"), Merge(Node("a"), annotation("public-key", OTHER_KEY)), OTHER_NODE),
        (
            "another node's key by its status",
            Agent("b"),
            Merge(NodeStatus("a"), annotation("public-key", OTHER_KEY)),
            OTHER_NODE,
        ),
        (
            "another node's key, applied",
            Agent("b"),
            Apply(Node("a"), applied("a", "public-key", OTHER_KEY)),
            OTHER_NODE,
        ),
        (
            "another node out of the mesh",
            Agent("b"),
            Merge(Node("a"), annotation("public-key", Value::Null)),
            OTHER_NODE,
        ),
        (
            "another node's mesh address",
            Agent("b"),
            Merge(Node("a"), annotation("mesh-addresses", "10.4.9.9")),
            OTHER_NODE,
        ),
        (
            "another node's endpoint",
            Agent("b"),
            Merge(Node("a"), annotation("advertised-endpoints", "198.51.100.9:1")),
            OTHER_NODE,
        ),
        ("a node by a token of no pod", UnboundAgent, Merge(Node("a"), annotation("public-key", OTHER_KEY)), UNBOUND),
        ("its own location", Agent("a"), Merge(Node("a"), annotation("location", "elsewhere")), OTHER_ANNOTATION),
        (
            "its own forced endpoint",
            Agent("a"),
            Merge(Node("a"), annotation("endpoint", "198.51.100.9:51820")),
            OTHER_ANNOTATION,
        ),
        ("its own rank as gateway", Agent("a"), Merge(Node("a"), annotation("gateway", "never")), OTHER_ANNOTATION),
        ("its own rank as relay", Agent("a"), Merge(Node("a"), annotation("relay", "preferred")), OTHER_ANNOTATION),
        (
            "its own internal addresses",
            Agent("a"),
            Merge(Node("a"), annotation("internal-addresses", "10.0.0.9/8")),
            OTHER_ANNOTATION,
        ),
        (
            "a network outside of the mesh",
            Agent("a"),
            Merge(Node("a"), annotation("allowed-location-cidrs", "8.8.8.0/24")),
            OTHER_ANNOTATION,
        ),
        ("its own keepalive", Agent("a"), Merge(Node("a"), annotation("persistent-keepalive", "1")), OTHER_ANNOTATION),
        (
            "a location that stays when its owner removes it",
            Agent("a"),
            Apply(Node("a"), applied("a", "location", "basel")),
            OWNER,
        ),
        (
            "a location whose owner is forgotten",
            Agent("a"),
            Merge(Node("a"), json!({"metadata": {"managedFields": [{}]}})),
            OWNER,
        ),
        (
            "a label that stays when its owner removes it",
            Agent("a"),
            Apply(
                Node("a"),
                json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a", "labels": {"kubernetes.io/hostname": "a"}}}),
            ),
            OWNS_LABEL,
        ),
        (
            "a location whose owner is one of the status",
            Agent("a"),
            Edit(Node("a"), |node| each_owner(node, |owner| owner["subresource"] = "status".into())),
            OWNER,
        ),
        (
            "labels that stay when their owner removes them",
            Agent("a"),
            Edit(Node("a"), |node| each_owner(node, |owner| owner["fieldsV1"]["f:metadata"]["f:labels"] = json!({}))),
            OWNS_LABEL,
        ),
        (
            "a spec that stays when its owner removes it",
            Agent("a"),
            Edit(Node("a"), |node| {
                each_owner(node, |owner| drop(owner["fieldsV1"].as_object_mut().unwrap().remove("f:spec")))
            }),
            OWNS_LABEL,
        ),
        ("a key that does not exist yet", Agent("a"), Merge(Node("a"), annotation("future", "x")), OTHER_ANNOTATION),
        ("a node with very many annotations", Agent("e"), Merge(Node("e"), annotation("public-key", KEY)), TOO_MANY),
        (
            "a resolver and a database of other networks",
            Agent("a"),
            Merge(Node("a"), annotation("advertised-internal-addresses", "10.0.0.7/24,10.10.0.53/32,192.168.1.53/32")),
            TOO_LONG,
        ),
        (
            "two resolvers of other networks",
            Agent("a"),
            Merge(Node("a"), annotation("advertised-internal-addresses", "10.0.0.7/24,192.168.1.53/32")),
            TOO_LONG,
        ),
        (
            "two endpoints of one family",
            Agent("a"),
            Merge(Node("a"), annotation("advertised-endpoints", "[2001:db8::1]:51820,[2001:db8::2]:51820")),
            TOO_LONG,
        ),
        (
            "many networks within its own",
            Agent("a"),
            Merge(Node("a"), annotation("pod-cidrs", vec!["10.244.1.0/25"; 100].join(","))),
            TOO_LONG,
        ),
        (
            "more observed endpoints than agents read",
            Agent("a"),
            Merge(Node("a"), annotation("observed-endpoints", "b=192.0.2.1:51820,".repeat(12_000))),
            TOO_LONG,
        ),
        ("no location", Agent("a"), Merge(Node("a"), annotation("location", Value::Null)), OTHER_ANNOTATION),
        (
            "an annotation of another program",
            Agent("a"),
            Merge(
                Node("a"),
                json!({"metadata": {"annotations": {"cluster-autoscaler.kubernetes.io/scale-down-disabled": "true"}}}),
            ),
            OTHER_ANNOTATION,
        ),
        (
            "a location by its label",
            Agent("a"),
            Merge(Node("a"), json!({"metadata": {"labels": {"topology.kubernetes.io/region": "elsewhere"}}})),
            LABELS,
        ),
        (
            "a Node that cannot be deleted",
            Agent("a"),
            Merge(Node("a"), json!({"metadata": {"finalizers": ["carrick.dev/x"]}})),
            LABELS,
        ),
        (
            "no taints",
            Agent("a"),
            Update(Node("a"), json!({"spec": {"taints": [{"key": "x", "effect": "NoExecute"}]}})),
            SPEC,
        ),
        ("new pods on a cordoned node", Agent("a"), Merge(Node("a"), json!({"spec": {"unschedulable": false}})), SPEC),
        ("another machine", Agent("b"), Merge(Node("b"), json!({"spec": {"providerID": "cloud://x"}})), SPEC),
        (
            "another host name",
            Agent("a"),
            Update(Node("a"), json!({"metadata": {"labels": {"kubernetes.io/hostname": "b"}}})),
            LABELS,
        ),
        (
            "more processors than it has",
            Agent("a"),
            Update(NodeStatus("a"), json!({"status": {"capacity": {"cpu": "400"}}})),
            STATUS,
        ),
        (
            "its own addresses",
            Agent("a"),
            Merge(
                NodeStatus("a"),
                json!({"status": {"addresses": [{"type": "ExternalIP", "address": "198.51.100.9"}]}}),
            ),
            STATUS,
        ),
        ("a Node of its name", Agent("d"), Create(new_node("d", annotation("public-key", OTHER_KEY))), CREATION),
        ("a wider pod CIDR", Agent("a"), Merge(Node("a"), annotation("pod-cidrs", "10.244.0.0/16")), NOT_ASSIGNED),
        (
            "another node's pod CIDR",
            Agent("a"),
            Merge(Node("a"), annotation("pod-cidrs", "10.244.2.0/24")),
            NOT_ASSIGNED,
        ),
        (
            "all addresses",
            Agent("a"),
            Merge(Node("a"), annotation("pod-cidrs", "10.244.1.0/24, 0.0.0.0/0")),
            NOT_ASSIGNED,
        ),
        (
            "all IPv6 addresses",
            Agent("a"),
            Merge(Node("a"), annotation("pod-cidrs", "fd00:10:1::/64,::/0")),
            NOT_ASSIGNED,
        ),
        (
            "a pod CIDR in another spelling",
            Agent("a"),
            Merge(Node("a"), annotation("pod-cidrs", "::ffff:10.244.2.0/120")),
            NOT_ASSIGNED,
        ),
        ("one pod of another node", Agent("a"), Merge(Node("a"), annotation("pod-cidrs", "10.244.2.7")), NOT_ASSIGNED),
        (
            "a half of its pod CIDR",
            Agent("a"),
            Merge(Node("a"), annotation("pod-cidrs", "10.244.1.0/25")),
            NOT_ASSIGNED,
        ),
        (
            "single pods of its own beside a pod CIDR",
            Agent("a"),
            Merge(Node("a"), annotation("pod-cidrs", "10.244.1.0/24,fd00:10:1::7/128,fd00:10:1::8/128")),
            NOT_ASSIGNED,
        ),
        (
            "another node's pod CIDR, applied",
            Agent("a"),
            Apply(Node("a"), applied("a", "pod-cidrs", "10.244.2.0/24")),
            NOT_ASSIGNED,
        ),
    ];
    table(cases)
}
