//! What an agent publishes of its node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::model::{AgentVersion, Endpoint, KeyProof, NodeName, PublicKey};

/// The most bytes that the observed endpoints of one node take when they are published as `node=address:port,…`. Agents write no more and read no
/// more. A Node can have 256 KiB of annotations (Kubernetes, "Annotations").
pub const MOST_OBSERVED_ENDPOINTS_BYTES: usize = 65_536;

/// What an agent publishes of its node, for the agents of other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Its WireGuard public key.
    pub public_key: Option<PublicKey>,
    /// The proof that it holds the private key.
    pub public_key_proof: Option<KeyProof>,
    /// The node's pod CIDRs.
    pub pod_cidrs: BTreeSet<IpNet>,
    /// The node's addresses on the mesh, at most one for each family.
    pub mesh_addresses: BTreeSet<IpAddr>,
    /// The endpoints that it found.
    pub advertised_endpoints: BTreeSet<Endpoint>,
    /// The internal addresses that it found, each with the length of its subnet.
    pub advertised_internal_addresses: BTreeSet<IpNet>,
    /// Where it sees NATed nodes come from.
    pub observed_endpoints: BTreeMap<NodeName, SocketAddr>,
    /// Itself.
    pub agent: Option<AgentVersion>,
}
