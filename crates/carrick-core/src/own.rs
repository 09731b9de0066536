//! What this node says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use carrick_topology::discovery::{Interface, OwnFacts};
use carrick_topology::mesh_address::choose_mesh_addresses;
use carrick_topology::model::{AgentVersion, Family, InternalAddresses, KeyProof, LocalFacts, Node, PublicKey};
use carrick_topology::{Cluster, NodeName, Published, Settings};
use ipnet::IpNet;

/// Version of what agents tell each other, in annotations and on the probe port, and of the rules by which all of them must choose gateways.
/// Protocol 2: packets on the probe port have a message authentication code ([`carrick_topology::plan::ProbeFormat`]). Protocol 3: gateways
/// are chosen by groups (decision 0022). Protocol 4: gateways drain ([`carrick_topology::model::Duty`]).
const PROTOCOL: u32 = 4;

/// The node's own key, and the proof that it holds the private key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnKey {
    pub(crate) public: PublicKey,
    pub(crate) proof: Option<KeyProof>,
}

impl OwnKey {
    /// The proof that the Node shows, if it is one of this key. Each start of an agent makes another proof, and one is as good as the other.
    fn proof_to_publish(&self, shown: Option<&Node>) -> Option<KeyProof> {
        let shown = shown.filter(|node| node.public_key == Some(self.public)).and_then(|node| node.public_key_proof);
        shown.or(self.proof)
    }
}

/// What a running agent has found out. What is `None` is not known yet: what an earlier agent published stays until then.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Learned<'a> {
    /// Where nodes behind NAT come from, once WireGuard was read.
    pub(crate) observed_endpoints: Option<&'a BTreeMap<NodeName, SocketAddr>>,
    /// [`AgentVersion::outside_mesh`], once there is a plan.
    pub(crate) outside_mesh: Option<&'a BTreeSet<IpNet>>,
}

/// So many networks outside the mesh fit into the annotation `agent`, which `deploy/policy.yaml` limits to 8192 characters.
const MOST_NETWORKS_OUTSIDE_MESH: usize = 128;

impl Learned<'_> {
    fn observed_endpoints(&self, shown: Option<&Node>) -> BTreeMap<NodeName, SocketAddr> {
        let known = self.observed_endpoints.or(shown.map(|node| &node.observed_endpoints));
        known.cloned().unwrap_or_default()
    }

    fn outside_mesh(&self, shown: Option<&Node>) -> BTreeSet<IpNet> {
        let published = shown.and_then(|node| node.agent.as_ref()).map(|agent| &agent.outside_mesh);
        let networks = self.outside_mesh.or(published).into_iter().flatten();
        networks.copied().take(MOST_NETWORKS_OUTSIDE_MESH).collect()
    }
}

/// The cluster as it will be once the API shows what this node publishes. The own plan need not wait for that.
pub(crate) fn overlay(
    cluster: &Arc<Cluster>,
    me: &NodeName,
    key: OwnKey,
    facts: Option<&OwnFacts>,
    learned: Learned<'_>,
    settings: &Settings,
) -> Arc<Cluster> {
    let (Some(facts), Some(shown)) = (facts, cluster.nodes.get(me)) else {
        return Arc::clone(cluster);
    };
    let wanted = published(cluster, me, key, facts, learned, settings);
    if shows(shown, &wanted) {
        return Arc::clone(cluster);
    }
    let mut own = shown.clone();
    own.public_key = wanted.public_key;
    own.public_key_proof = wanted.public_key_proof;
    own.pod_cidrs = wanted.pod_cidrs;
    own.mesh_addresses = wanted.mesh_addresses;
    own.advertised_endpoints = wanted.advertised_endpoints;
    own.agent = wanted.agent;
    if let InternalAddresses::Advertised(addresses) = &mut own.internal_addresses {
        *addresses = wanted.advertised_internal_addresses;
    }
    let mut cluster = Cluster::clone(cluster);
    cluster.insert_node(own);
    Arc::new(cluster)
}

/// Finds what the node can know of its own surroundings before the API shows the own Node: the devices of the internal addresses that
/// were published last.
pub(crate) fn find_devices(cluster: &Cluster, me: &NodeName, interfaces: &[Interface], local: &mut LocalFacts) {
    let Some(node) = cluster.nodes.get(me) else { return };
    let addresses = match &node.internal_addresses {
        InternalAddresses::Advertised(addresses) | InternalAddresses::Forced(addresses) => addresses.clone(),
        InternalAddresses::None => BTreeSet::new(),
    };
    local.internal_devices.clear();
    for address in addresses.iter().map(IpNet::addr) {
        if let Some(interface) = interfaces.iter().find(|interface| interface.carries(address)) {
            local.internal_devices.insert(address, interface.name.clone());
        }
    }
}

/// What this node should publish.
pub(crate) fn published(
    cluster: &Cluster,
    me: &NodeName,
    key: OwnKey,
    facts: &OwnFacts,
    learned: Learned<'_>,
    settings: &Settings,
) -> Published {
    let is_present = |family: Family| !settings.local.missing_families.contains(&family);
    let shown = cluster.nodes.get(me);
    let mesh_addresses = choose_mesh_addresses(cluster, &settings.mesh_cidrs, me).into_iter();
    Published {
        public_key: Some(key.public),
        public_key_proof: key.proof_to_publish(shown),
        pod_cidrs: facts.pod_cidrs.iter().copied().filter(|cidr| is_present(Family::of_net(cidr))).collect(),
        mesh_addresses: mesh_addresses.filter(|address| is_present(Family::of(address))).collect(),
        advertised_endpoints: facts.advertised_endpoints.clone(),
        advertised_internal_addresses: facts.advertised_internal_addresses.clone(),
        observed_endpoints: learned.observed_endpoints(shown),
        agent: Some(AgentVersion {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            settings: settings.published_hash(cluster.mesh.as_ref()),
            outside_mesh: learned.outside_mesh(shown),
        }),
    }
}

/// Whether the Node shows this already.
pub(crate) fn shows(shown: &Node, wanted: &Published) -> bool {
    is_reachable_as(shown, wanted)
        && shown.public_key_proof == wanted.public_key_proof
        && shown.observed_endpoints == wanted.observed_endpoints
        && shown.agent == wanted.agent
}

/// Whether the Node shows all of this that other nodes need to reach it. Internal addresses that people force hide those that the agent found, which are not compared then.
pub(crate) fn is_reachable_as(shown: &Node, wanted: &Published) -> bool {
    let internal = match &shown.internal_addresses {
        InternalAddresses::Advertised(addresses) => *addresses == wanted.advertised_internal_addresses,
        InternalAddresses::Forced(_) | InternalAddresses::None => true,
    };
    internal
        && shown.public_key == wanted.public_key
        && shown.pod_cidrs == wanted.pod_cidrs
        && shown.mesh_addresses == wanted.mesh_addresses
        && shown.advertised_endpoints == wanted.advertised_endpoints
}
