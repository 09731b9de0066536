//! The own Node object, in full.

use std::collections::BTreeSet;
use std::net::IpAddr;

use carrick_topology::discovery;
use ipnet::IpNet;

use crate::annotations::{NodeMetadata, parse_node};

/// The own Node object, reduced to what its agent needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnNode {
    /// Name, age, annotations and labels.
    pub metadata: NodeMetadata,
    /// `metadata.uid`; it differs when the Node was deleted and created again.
    pub uid: String,
    /// `spec.podCIDRs`; empty until the controller manager has given the node its pod subnets.
    pub pod_cidrs: BTreeSet<IpNet>,
    /// `status.addresses` of type `InternalIP`, in their order.
    pub internal_ips: Vec<IpAddr>,
    /// `status.addresses` of type `ExternalIP`, in their order.
    pub external_ips: Vec<IpAddr>,
}

impl OwnNode {
    /// The node in the words of the model. `topology_label` is the label that names the location where no annotation does.
    #[must_use]
    pub fn parsed(&self, topology_label: &str) -> discovery::OwnNode {
        discovery::OwnNode {
            node: parse_node(&self.metadata, topology_label).node,
            pod_cidrs: self.pod_cidrs.clone(),
            internal_ips: self.internal_ips.clone(),
            external_ips: self.external_ips.clone(),
        }
    }
}
