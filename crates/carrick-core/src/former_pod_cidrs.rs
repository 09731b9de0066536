//! The pod CIDRs that nodes have lost.

use std::collections::{BTreeMap, BTreeSet};

use carrick_backoff::Now;
use carrick_topology::{Cluster, NodeName};
use ipnet::IpNet;

/// How many former pod CIDRs of one node and one address family count: an agent can change what it publishes at any time, and each of them is a
/// route and a firewall entry on every node.
const MOST_FORMER_POD_CIDRS: usize = 8;

/// When each former pod CIDR is forgotten.
#[derive(Debug, Default)]
pub(crate) struct FormerPodCidrs {
    /// For each node, networks of which none contains another one.
    of_nodes: BTreeMap<NodeName, BTreeMap<IpNet, Now>>,
}

impl FormerPodCidrs {
    /// Takes over those of a saved state.
    pub(crate) fn restore(&mut self, until: Now, cluster: &Cluster) {
        let of_node = |cidrs: &BTreeSet<IpNet>| cidrs.iter().map(|cidr| (*cidr, until)).collect();
        self.of_nodes = cluster.former_pod_cidrs.iter().map(|(node, cidrs)| (node.clone(), of_node(cidrs))).collect();
    }

    /// A node loses a pod CIDR. If the node has lost too many, the widest ones count, and of these the earliest: a part of a pod CIDR takes no
    /// place of a whole one, and a network that was never in use none of an earlier one.
    pub(crate) fn lose(&mut self, node: &NodeName, cidr: IpNet, until: Now, cluster: &mut Cluster) {
        let cidr = cidr.trunc();
        let kept = self.of_nodes.entry(node.clone()).or_default();
        if let Some((_, container_until)) = kept.iter_mut().find(|(net, _)| net.contains(&cidr)) {
            *container_until = until;
            return;
        }
        kept.retain(|net, _| !cidr.contains(net));
        let of_family = kept.iter().filter(|(net, _)| net.network().is_ipv4() == cidr.network().is_ipv4());
        if of_family.clone().count() >= MOST_FORMER_POD_CIDRS {
            let narrowest = of_family.max_by_key(|(net, until)| (net.prefix_len(), **until));
            let Some(narrowest) = narrowest.map(|(net, _)| *net).filter(|net| net.prefix_len() > cidr.prefix_len())
            else {
                return;
            };
            kept.remove(&narrowest);
        }
        kept.insert(cidr, until);
        cluster.former_pod_cidrs.insert(node.clone(), kept.keys().copied().collect());
    }

    /// When the next one is forgotten.
    pub(crate) fn due(&self) -> Option<Now> {
        self.of_nodes.values().flat_map(BTreeMap::values).min().copied()
    }

    /// Forgets those that nodes lost long ago.
    pub(crate) fn forget_due(&mut self, now: Now, cluster: &mut Cluster) {
        for cidrs in self.of_nodes.values_mut() {
            cidrs.retain(|_, until| *until > now);
        }
        self.of_nodes.retain(|_, cidrs| !cidrs.is_empty());
        let of_nodes = self.of_nodes.iter();
        cluster.former_pod_cidrs =
            of_nodes.map(|(node, cidrs)| (node.clone(), cidrs.keys().copied().collect())).collect();
    }
}
