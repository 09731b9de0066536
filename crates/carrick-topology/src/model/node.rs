//! A node as its metadata describes it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{Endpoint, KeyProof, LocationName, NodeName, PublicKey, host_net, is_public};

/// When an object was created, in seconds since 1970-01-01 UTC (`metadata.creationTimestamp`).
///
/// Of two objects that claim the same thing, the older one has it.
pub type CreationTime = i64;

/// Whether the operator wants a node in a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preference {
    /// Before other nodes.
    Preferred,
    /// No preference.
    #[default]
    Auto,
    /// Never.
    Never,
}

/// Whether a node serves as a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duty {
    /// It serves wherever the plan makes it a gateway.
    #[default]
    Serving,
    /// It drains: other gateways of its location take over, if there are any, because a person wants that.
    Draining,
}

/// The addresses of a node inside its location, each with the length of its subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InternalAddresses {
    /// Addresses that the node's agent found. A public one does not count unless `--internal-cidr` contains it.
    Advertised(BTreeSet<IpNet>),
    /// Addresses that the operator set. A public one counts only in a permitted location CIDR or with `--internal-cidr`.
    Forced(BTreeSet<IpNet>),
    /// The operator set `none`: the node is alone in its location.
    None,
}

impl InternalAddresses {
    /// The addresses, each as the network that holds it alone.
    pub fn single(&self) -> impl Iterator<Item = IpNet> {
        let addresses = match self {
            Self::Advertised(addresses) | Self::Forced(addresses) => Some(addresses),
            Self::None => None,
        };
        addresses.into_iter().flatten().map(|net| host_net(net.addr()))
    }
}

impl Default for InternalAddresses {
    fn default() -> Self {
        Self::Advertised(BTreeSet::new())
    }
}

/// What a node's agent says of itself in its `agent` annotation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AgentVersion {
    /// The agent's version.
    pub version: String,
    /// The version of the protocol between agents.
    pub protocol: u32,
    /// Hash of the settings that all nodes must share, see [`crate::Settings::shared_hash`].
    pub settings: String,
    /// Networks with internal addresses of other locations that the node reaches outside the mesh: networks of its host, and single
    /// addresses such as those of the API server. Agents of [`Self::TELLS_OUTSIDE_MESH`] and later protocols publish them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub outside_mesh: BTreeSet<IpNet>,
}

impl AgentVersion {
    /// The first protocol whose agents publish [`Self::outside_mesh`].
    pub const TELLS_OUTSIDE_MESH: u32 = 3;

    /// Whether the agent publishes [`Self::outside_mesh`].
    #[must_use]
    pub const fn tells_outside_mesh(&self) -> bool {
        self.protocol >= Self::TELLS_OUTSIDE_MESH
    }
}

/// The part of a Kubernetes Node that the mesh needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// When the object was created.
    pub created: CreationTime,
    /// Its location: from the annotation, else from the topology label, else `None`.
    pub location: Option<LocationName>,
    /// Its WireGuard key. A node is a member of the mesh once the key is known.
    pub public_key: Option<PublicKey>,
    /// The proof that it holds the private key of that key. Only a proof that was verified is here.
    #[serde(default)]
    pub public_key_proof: Option<KeyProof>,
    /// Its pod subnets.
    pub pod_cidrs: BTreeSet<IpNet>,
    /// Its addresses on the mesh, at most one for each family.
    pub mesh_addresses: BTreeSet<IpAddr>,
    /// Its addresses inside its location.
    pub internal_addresses: InternalAddresses,
    /// The endpoint that the operator forced.
    pub endpoint: Option<Endpoint>,
    /// The endpoints that its agent found.
    pub advertised_endpoints: BTreeSet<Endpoint>,
    /// The endpoints from which this node hears nodes that advertise none.
    pub observed_endpoints: BTreeMap<NodeName, SocketAddr>,
    /// Whether it should be a gateway of its location.
    pub gateway: Preference,
    /// Whether it serves where it is one.
    #[serde(default)]
    pub duty: Duty,
    /// Whether it should carry traffic between two other locations.
    pub relay: Preference,
    /// Seconds between keepalives; `None` or 0 turns them off.
    pub persistent_keepalive: Option<u16>,
    /// Networks reachable inside its location.
    pub allowed_location_cidrs: BTreeSet<IpNet>,
    /// Its agent.
    pub agent: Option<AgentVersion>,
}

impl Node {
    /// A node of which only the name and the creation time are known.
    #[must_use]
    pub fn new(name: NodeName, created: CreationTime) -> Self {
        Self {
            name,
            created,
            location: None,
            public_key: None,
            public_key_proof: None,
            pod_cidrs: BTreeSet::new(),
            mesh_addresses: BTreeSet::new(),
            internal_addresses: InternalAddresses::default(),
            endpoint: None,
            advertised_endpoints: BTreeSet::new(),
            observed_endpoints: BTreeMap::new(),
            gateway: Preference::Auto,
            duty: Duty::default(),
            relay: Preference::Auto,
            persistent_keepalive: None,
            allowed_location_cidrs: BTreeSet::new(),
            agent: None,
        }
    }

    /// The order in which claims are settled: creation time, then name.
    #[must_use]
    pub fn age(&self) -> (CreationTime, &NodeName) {
        (self.created, &self.name)
    }

    /// The name of its location, or the name that all nodes without one share.
    #[must_use]
    pub fn location_name(&self) -> LocationName {
        self.location.clone().unwrap_or_else(LocationName::shared_default)
    }

    /// The keepalive interval in seconds, if it is on.
    #[must_use]
    pub fn keepalive(&self) -> Option<u16> {
        self.persistent_keepalive.filter(|seconds| *seconds > 0)
    }

    /// Whether other locations cannot dial this node: keepalive on, no forced endpoint, no public address.
    #[must_use]
    pub fn is_behind_nat(&self) -> bool {
        let has_public_endpoint = self
            .advertised_endpoints
            .iter()
            .any(|endpoint| endpoint.address().is_some_and(|address| is_public(&address)));
        self.keepalive().is_some() && self.endpoint.is_none() && !has_public_endpoint
    }
}
