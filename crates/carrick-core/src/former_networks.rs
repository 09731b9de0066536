//! The networks of nodes that are gone: pod CIDRs, internal addresses and allowed-location CIDRs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use carrick_backoff::Now;
use carrick_topology::model::InternalAddresses;
use carrick_topology::plan::NextHop;
use carrick_topology::{Change, Cluster, LocationName, Node, NodeName, NodePlan};
use ipnet::IpNet;

use crate::former_pod_cidrs::FormerPodCidrs;

/// How long no packet to a network of a node that is gone leaves in clear: pods and host programs still send to it.
pub const FORMER_NETWORK_LIFETIME: Duration = Duration::from_secs(3600);

/// How many former internal addresses count that one agent found, the latest ones: an agent can change its address at any time.
const MOST_ADDRESSES_OF_AN_AGENT: usize = 8;

/// When each former network of the cluster is forgotten. The saved state has no times, so an agent that restarts begins them anew.
#[derive(Debug, Default)]
pub(crate) struct FormerNetworks {
    pod_cidrs: FormerPodCidrs,
    /// Internal addresses and allowed-location CIDRs.
    others: BTreeMap<(IpNet, FoundBy), Now>,
}

/// Who says that an internal address or a network was one of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum FoundBy {
    /// People, or the saved state of an agent that did not know.
    Others,
    /// The agent of this node.
    Agent(NodeName),
}

/// What a node loses by a change.
struct Lost {
    node: NodeName,
    location: LocationName,
    pod_cidrs: BTreeSet<IpNet>,
    others: BTreeMap<IpNet, FoundBy>,
}

impl FormerNetworks {
    /// Takes over those of a saved state.
    pub(crate) fn restore(&mut self, now: Now, cluster: &Cluster) {
        let until = now + FORMER_NETWORK_LIFETIME;
        self.pod_cidrs.restore(until, cluster);
        let of_agents = cluster.former_addresses_of_agents.iter();
        let of_agents =
            of_agents.flat_map(|(agent, nets)| nets.iter().map(|net| (*net, FoundBy::Agent(agent.clone()))));
        let mut found: BTreeSet<_> = of_agents.filter(|(net, _)| cluster.former_networks.contains_key(net)).collect();
        let of_agents: BTreeSet<IpNet> = found.iter().map(|(net, _)| *net).collect();
        let of_others = cluster.former_networks.keys().filter(|net| !of_agents.contains(net));
        found.extend(of_others.map(|net| (*net, FoundBy::Others)));
        self.others = found.into_iter().map(|found| (found, until)).collect();
    }

    /// Makes a change in the cluster. What another node loses by it is a former network from now on: pod CIDRs, and those internal addresses and
    /// allowed-location CIDRs to which the plan in force lets no packet leave in clear.
    pub(crate) fn apply(
        &mut self,
        now: Now,
        change: Change,
        me: &NodeName,
        cluster: &mut Cluster,
        plan: Option<&NodePlan>,
    ) {
        let lost = lost(&change, me, cluster);
        change.apply(cluster);
        let Some(Lost { node, location, pod_cidrs, others }) = lost else { return };
        let until = now + FORMER_NETWORK_LIFETIME;
        for cidr in pod_cidrs {
            self.pod_cidrs.lose(&node, cidr, until, cluster);
        }
        for (net, found_by) in others {
            let is_former = cluster.former_networks.contains_key(&net);
            if !is_former && !plan.is_some_and(|plan| holds(plan, &net)) {
                continue;
            }
            // Of several locations, the last one had the network.
            cluster.former_networks.insert(net, location.clone());
            self.others.insert((net, found_by.clone()), until);
            if let FoundBy::Agent(_) = &found_by {
                self.forget_earliest(&found_by, cluster);
            }
        }
    }

    /// Tells the cluster, which is saved, which addresses agents alone found.
    pub(crate) fn note_finders(&self, cluster: &mut Cluster) {
        cluster.former_addresses_of_agents.clear();
        for (net, found_by) in self.others.keys() {
            let FoundBy::Agent(agent) = found_by else { continue };
            if !self.others.contains_key(&(*net, FoundBy::Others)) {
                cluster.former_addresses_of_agents.entry(agent.clone()).or_default().insert(*net);
            }
        }
    }

    /// When the next one is forgotten.
    pub(crate) fn due(&self) -> Option<Now> {
        self.others.values().copied().chain(self.pod_cidrs.due()).min()
    }

    /// Forgets those of nodes that have been gone for long. Returns whether there were any.
    pub(crate) fn forget_due(&mut self, now: Now, cluster: &mut Arc<Cluster>) -> bool {
        if self.due().is_none_or(|due| due > now) {
            return false;
        }
        self.others.retain(|_, until| *until > now);
        let others: BTreeSet<IpNet> = self.others.keys().map(|(net, _)| *net).collect();
        let cluster = Arc::make_mut(cluster);
        self.pod_cidrs.forget_due(now, cluster);
        cluster.former_networks.retain(|net, _| others.contains(net));
        self.note_finders(cluster);
        true
    }

    /// Forgets the earliest of the addresses that one agent found, if they are too many.
    fn forget_earliest(&mut self, agent: &FoundBy, cluster: &mut Cluster) {
        let of_agent = self.others.iter().filter(|((_, found_by), _)| found_by == agent);
        let mut by_time: Vec<_> = of_agent.map(|((net, _), until)| (*until, *net)).collect();
        by_time.sort_unstable();
        let excess = by_time.len().saturating_sub(MOST_ADDRESSES_OF_AN_AGENT);
        for (_, net) in by_time.into_iter().take(excess) {
            self.others.remove(&(net, agent.clone()));
            if !self.others.keys().any(|(other, _)| *other == net) {
                cluster.former_networks.remove(&net);
            }
        }
    }
}

/// Whether a change takes anything away from another node.
pub(crate) fn takes_away(change: &Change, me: &NodeName, cluster: &Cluster) -> bool {
    lost(change, me, cluster).is_some_and(|lost| !lost.others.is_empty())
}

fn lost(change: &Change, me: &NodeName, cluster: &Cluster) -> Option<Lost> {
    let Change::Node { name, node: after, .. } = change else { return None };
    let before = cluster.nodes.get(name).filter(|_| name != me)?;
    let after = after.as_deref();
    let has_pods = |cidr: &IpNet| after.is_some_and(|after| after.pod_cidrs.contains(cidr));
    let loses_key = before.public_key.is_some() && after.is_none_or(|after| after.public_key.is_none());
    let kept = after.filter(|_| !loses_key).map(held).unwrap_or_default();
    let mut others = held(before);
    others.retain(|net, _| !kept.contains_key(net));
    let pod_cidrs = before.pod_cidrs.iter().filter(|cidr| !has_pods(cidr)).copied().collect();
    Some(Lost { node: name.clone(), location: before.location_name(), pod_cidrs, others })
}

/// The internal addresses and allowed-location CIDRs of a node.
fn held(node: &Node) -> BTreeMap<IpNet, FoundBy> {
    let found_by = match &node.internal_addresses {
        InternalAddresses::Advertised(_) => FoundBy::Agent(node.name.clone()),
        InternalAddresses::Forced(_) | InternalAddresses::None => FoundBy::Others,
    };
    let declared = node.allowed_location_cidrs.iter().map(|net| (net.trunc(), FoundBy::Others));
    let addresses = node.internal_addresses.single().map(|net| (net, found_by.clone()));
    declared.chain(addresses).collect()
}

/// Whether the plan lets no packet to this very network leave in clear.
fn holds(plan: &NodePlan, net: &IpNet) -> bool {
    plan.routes.iter().any(|route| route.destination == *net && route.next_hop != NextHop::Throw)
}
