//! The pod CIDRs of nodes that are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carrick_backoff::Now;
use carrick_topology::{Change, Cluster, NodeName};
use ipnet::IpNet;

/// How long no packet to the pod CIDR of a node that is gone leaves in clear: pods and host programs still send to it.
pub const FORMER_POD_CIDR_LIFETIME: Duration = Duration::from_secs(3600);

/// When each former pod CIDR of the cluster is forgotten. The saved state has no times, so an agent that restarts begins them anew.
#[derive(Debug, Default)]
pub(crate) struct FormerPodCidrs {
    until: BTreeMap<IpNet, Now>,
}

impl FormerPodCidrs {
    /// Takes over those of a saved state.
    pub(crate) fn restore(&mut self, now: Now, cluster: &Cluster) {
        self.until = cluster.former_pod_cidrs.iter().map(|cidr| (*cidr, now + FORMER_POD_CIDR_LIFETIME)).collect();
    }

    /// Makes a change in the cluster. Pod CIDRs that another node loses by it are former ones from now on.
    pub(crate) fn apply(&mut self, now: Now, change: Change, me: &NodeName, cluster: &mut Cluster) {
        let lost = match &change {
            Change::Node { name, node, .. } if name != me => {
                let before = cluster.nodes.get(name).map(|node| node.pod_cidrs.clone()).unwrap_or_default();
                let after = node.as_ref().map(|node| &node.pod_cidrs);
                before.into_iter().filter(|cidr| !after.is_some_and(|after| after.contains(cidr))).collect()
            }
            Change::Node { .. } | Change::Peer { .. } | Change::Mesh { .. } => BTreeSet::new(),
        };
        change.apply(cluster);
        for cidr in lost {
            self.until.insert(cidr, now + FORMER_POD_CIDR_LIFETIME);
            cluster.former_pod_cidrs.insert(cidr);
        }
    }

    /// When the next one is forgotten.
    pub(crate) fn due(&self) -> Option<Now> {
        self.until.values().min().copied()
    }

    /// Those that are to be forgotten by now.
    pub(crate) fn take_due(&mut self, now: Now) -> Vec<IpNet> {
        self.until.extract_if(.., |_, until| *until <= now).map(|(cidr, _)| cidr).collect()
    }
}
