//! Node objects, as the kubelet and the controller manager write them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::layout::NodeLayout;
use crate::topology::{self, LOCATION_LABEL};

/// The Node object of a node.
pub(super) fn node_object(node: &NodeLayout, spec: &topology::Node) -> Value {
    let mut labels: BTreeMap<String, String> = spec.labels.clone();
    for (key, value) in [
        ("kubernetes.io/hostname", &node.name),
        ("kubernetes.io/os", &"linux".to_owned()),
        (LOCATION_LABEL, &node.location),
    ] {
        labels.entry(key.to_owned()).or_insert_with(|| value.clone());
    }
    let addresses = |kind: &str, list: Vec<IpAddr>| -> Vec<Value> {
        let entry = |address| json!({ "type": kind, "address": address });
        list.into_iter().map(entry).collect()
    };
    let mut status = addresses("InternalIP", node.internal.list());
    status.extend(addresses("ExternalIP", node.public.list()));
    status.push(json!({ "type": "Hostname", "address": node.name }));
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": node.name, "labels": labels, "annotations": spec.annotations },
        "spec": { "podCIDR": node.pod_cidrs.first(), "podCIDRs": node.pod_cidrs },
        "status": { "addresses": status },
    })
}
