//! The network namespaces of a cluster's pods, found by the pods' addresses.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::address::Addresses;
use crate::kubernetes::Kubernetes;
use crate::namespace::Namespaces;
use crate::network::{self, Netlink};
use crate::node::Node;
use crate::wait;

/// The directory of the network namespaces that containerd makes.
const NAMESPACES: &str = "/run/netns";

/// A pod that a kubelet runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterPod {
    /// Its name in Kubernetes.
    pub name: String,
    /// Its node.
    pub node: String,
    /// Its addresses.
    pub addresses: Addresses,
    /// Its network namespace, on its node.
    pub namespace: PathBuf,
}

impl ClusterPod {
    /// Its network namespace, with the other namespaces of its node.
    ///
    /// # Errors
    /// The pod or its node is gone.
    pub fn namespaces(&self, node: &Node) -> Result<Namespaces> {
        let network = Namespaces::network(&self.name, &node.path(&self.namespace.to_string_lossy())?)?;
        node.namespaces()?.with_network_of(&network)
    }
}

/// Waits for the pod that a selector matches on a node.
pub(super) fn of_node(kubernetes: &Kubernetes, node: &Node, selector: &str) -> Result<ClusterPod> {
    let field = format!("--field-selector=spec.nodeName={}", node.name());
    wait::until(&format!("a pod on {}", node.name()), || {
        let text = kubernetes.kubectl(&["get", "pods", "--selector", selector, &field, "--output=json"])?;
        let pods: Value = serde_json::from_str(&text).context("parse kubectl's answer")?;
        let running =
            |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null() && !pod["status"]["podIPs"].is_null();
        let Some(pod) = pods["items"].as_array().into_iter().flatten().find(running) else {
            return Ok(None);
        };
        let addresses: Vec<IpAddr> = addresses_of(pod).collect();
        let namespace = namespace_with(node, &addresses)?;
        Ok(namespace.map(|namespace| ClusterPod {
            name: pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            node: node.name().to_owned(),
            addresses: addresses.into_iter().collect(),
            namespace,
        }))
    })
}

/// The addresses in a Pod's status.
pub(super) fn addresses_of(pod: &Value) -> impl Iterator<Item = IpAddr> {
    let entries = pod["status"]["podIPs"].as_array().into_iter().flatten();
    entries.filter_map(|entry| entry["ip"].as_str()?.parse().ok())
}

/// The network namespace on a node that has all these addresses.
fn namespace_with(node: &Node, wanted: &[IpAddr]) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(node.path(NAMESPACES)?).context("list a node's network namespaces")? {
        let name = entry?.file_name();
        let inside = Path::new(NAMESPACES).join(&name);
        let Ok(network) = Namespaces::network(node.name(), &node.path(&inside.to_string_lossy())?) else {
            continue;
        };
        let Ok(present) = network::configure(&network, Netlink::addresses) else { continue };
        if wanted.iter().all(|address| present.contains(address)) {
            return Ok(Some(inside));
        }
    }
    Ok(None)
}
