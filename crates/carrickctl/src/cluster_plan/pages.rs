//! Reconstructs the cluster from the agents' pages if the objects are not known.

use std::collections::BTreeSet;

use carrick_topology::model::{InternalAddresses, Preference, host_net};
use carrick_topology::plan::{PeerIdentity, Role};
use carrick_topology::{Cluster, Endpoint, Host, Node, NodeName, NodePlan, Peer, PublicKey};

use crate::snapshot::{Agent, Snapshot};

/// The nodes and peers in the plans in force. Annotations are not known.
pub(super) fn cluster(snapshot: &Snapshot, notes: &mut Vec<String>) -> Cluster {
    let plans: Vec<&NodePlan> = snapshot.agents.iter().filter_map(Agent::plan).collect();
    let mut cluster = Cluster::default();
    for agent in &snapshot.agents {
        if let Some(plan) = agent.plan() {
            cluster.insert_node(node(agent, plan, &plans));
        }
    }
    for plan in &plans {
        plan.wireguard
            .peers
            .iter()
            .filter_map(|(key, planned)| outside(*key, planned))
            .for_each(|peer| cluster.insert_peer(peer));
    }
    notes.push(
        "computed without the API server: annotations, ages, and nodes whose agent does not answer are unknown (use a kubeconfig or `-f FILE`)"
            .to_owned(),
    );
    cluster
}

fn node(agent: &Agent, plan: &NodePlan, plans: &[&NodePlan]) -> Node {
    // Older nodes become gateways first, so these ages lead to the current gateways.
    let created = match plan.location.role {
        Role::Active => 0,
        Role::Standby => 1,
        Role::Inner => 2,
    };
    let entries = plans.iter().flat_map(|plan| &plan.wireguard.peers);
    let of_node = entries.filter(|(_, entry)| entry.identity == PeerIdentity::Node(plan.node.clone()));
    let (keys, endpoints): (BTreeSet<PublicKey>, Vec<_>) = of_node.map(|(key, entry)| (*key, entry.endpoint)).unzip();
    let endpoint = endpoints.into_iter().flatten().next();
    let behind_nat = endpoint.is_none() && !keys.is_empty();
    Node {
        location: Some(plan.location.name.clone()),
        public_key: Some(keys.first().copied().unwrap_or_else(|| placeholder_key(&plan.node))),
        pod_cidrs: plan.pod_cidrs.clone(),
        mesh_addresses: plan.mesh_addresses.clone(),
        internal_addresses: internal_addresses(agent, plan, plans),
        endpoint: endpoint.map(|address| Endpoint { host: Host::Address(address.ip()), port: address.port() }),
        gateway: if plan.location.role == Role::Inner && plan.location.gateway.is_none() {
            Preference::Never
        } else {
            Preference::Auto
        },
        persistent_keepalive: behind_nat.then_some(25),
        allowed_location_cidrs: plan.firewall.allowed_location.destinations.clone(),
        ..Node::new(plan.node.clone(), created)
    }
}

fn internal_addresses(agent: &Agent, plan: &NodePlan, plans: &[&NodePlan]) -> InternalAddresses {
    if plan.location.alone {
        return InternalAddresses::None;
    }
    let settings = agent.page().and_then(|page| page.settings.as_ref());
    let own = settings.into_iter().flat_map(|settings| settings.local.internal_devices.keys().copied());
    let seen = plans.iter().filter_map(|other| Some(other.vxlan.neighbours.get(&plan.node)?.internal_address));
    InternalAddresses::Forced(own.chain(seen).map(host_net).collect())
}

/// A key for a node whose key is in no plan, because no node has a tunnel to it. The packet walk only needs distinct keys.
fn placeholder_key(node: &NodeName) -> PublicKey {
    let mut bytes = [0; 32];
    let hash = carrick_topology::hash::stable_hash(&["placeholder", node.as_str()]);
    bytes[..8].copy_from_slice(&hash.to_be_bytes());
    PublicKey::from_bytes(bytes)
}

fn outside(key: PublicKey, planned: &carrick_topology::plan::WireGuardPeer) -> Option<Peer> {
    let PeerIdentity::Outside(name) = &planned.identity else { return None };
    Some(Peer {
        name: name.clone(),
        created: 0,
        public_key: key,
        allowed_ips: planned.allowed_ips.clone(),
        endpoint: planned.endpoint.map(|address| Endpoint { host: Host::Address(address.ip()), port: address.port() }),
        persistent_keepalive: planned.persistent_keepalive,
        preshared_key: planned.preshared_key.clone(),
        location: None,
    })
}
