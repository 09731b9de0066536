//! What an agent publishes of its node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};

use carrick_topology::model::AgentVersion;
use carrick_topology::{Endpoint, NodeName, PublicKey};
use ipnet::IpNet;

use super::key;

/// The annotations that an agent owns, as values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Its WireGuard public key.
    pub public_key: Option<PublicKey>,
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

impl Published {
    /// The annotations, by key. What is empty has none.
    #[must_use]
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let agent = self
            .agent
            .as_ref()
            .map(|agent| format!("version={},protocol={},settings={}", agent.version, agent.protocol, agent.settings));
        let observed = self.observed_endpoints.iter().map(|(node, address)| format!("{node}={address}"));
        [
            (key::PUBLIC_KEY, self.public_key.map(|key| key.to_string()).unwrap_or_default()),
            (key::POD_CIDRS, list(&self.pod_cidrs)),
            (key::MESH_ADDRESSES, list(&self.mesh_addresses)),
            (key::ADVERTISED_ENDPOINTS, list(&self.advertised_endpoints)),
            (key::ADVERTISED_INTERNAL_ADDRESSES, list(&self.advertised_internal_addresses)),
            (key::OBSERVED_ENDPOINTS, list(observed)),
            (key::AGENT, agent.unwrap_or_default()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }
}

fn list(elements: impl IntoIterator<Item = impl Display>) -> String {
    elements.into_iter().map(|element| element.to_string()).collect::<Vec<_>>().join(",")
}
