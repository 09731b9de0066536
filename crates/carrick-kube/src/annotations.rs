//! A node's metadata, read into [`Node`], and what its agent publishes, written as annotations.
//!
//! Reading never fails as a whole: a value or an element of a list that cannot be read is ignored,
//! and a [`Warning`] names the node, the annotation, the value and what would be right.

mod ineffective;
mod published;
pub(crate) mod reader;
pub(crate) mod value;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::ObjectName;
use carrick_topology::model::{CreationTime, InternalAddresses, LocationName, Node, NodeName, Preference};
use carrick_topology::{Endpoint, PublicKey, Warning};

pub use carrick_topology::Published;
use ineffective::warn_of_ineffective_keys;
pub use published::published_annotations;
use reader::Reader;

/// The prefix of Carrick's keys.
pub const PREFIX: &str = "carrick.dev/";

/// The keys: [`PREFIX`] and a word.
pub mod key {
    /// People's: the location's name.
    pub const LOCATION: &str = "carrick.dev/location";
    /// People's: the endpoint, `host:port`.
    pub const ENDPOINT: &str = "carrick.dev/endpoint";
    /// People's: CIDRs, or `none`.
    pub const INTERNAL_ADDRESSES: &str = "carrick.dev/internal-addresses";
    /// People's: `preferred` or `never`.
    pub const GATEWAY: &str = "carrick.dev/gateway";
    /// People's: `preferred` or `never`.
    pub const RELAY: &str = "carrick.dev/relay";
    /// People's: seconds, as `25` or `25s`; 0 turns it off.
    pub const PERSISTENT_KEEPALIVE: &str = "carrick.dev/persistent-keepalive";
    /// People's: CIDRs inside the node's location.
    pub const ALLOWED_LOCATION_CIDRS: &str = "carrick.dev/allowed-location-cidrs";

    /// The agent's: its WireGuard public key.
    pub const PUBLIC_KEY: &str = "carrick.dev/public-key";
    /// The agent's: the node's pod CIDRs.
    pub const POD_CIDRS: &str = "carrick.dev/pod-cidrs";
    /// The agent's: the node's addresses on the mesh.
    pub const MESH_ADDRESSES: &str = "carrick.dev/mesh-addresses";
    /// The agent's: the endpoints that it found.
    pub const ADVERTISED_ENDPOINTS: &str = "carrick.dev/advertised-endpoints";
    /// The agent's: the internal addresses that it found, with the length of their subnet.
    pub const ADVERTISED_INTERNAL_ADDRESSES: &str = "carrick.dev/advertised-internal-addresses";
    /// The agent's: where it sees NATed nodes come from, as `node=address:port`.
    pub const OBSERVED_ENDPOINTS: &str = "carrick.dev/observed-endpoints";
    /// The agent's: `version=…,protocol=…,settings=…`.
    pub const AGENT: &str = "carrick.dev/agent";

    /// The keys that people set. Neither an agent nor a kubelet may write them.
    pub const PEOPLES: [&str; 7] =
        [LOCATION, ENDPOINT, INTERNAL_ADDRESSES, GATEWAY, RELAY, PERSISTENT_KEEPALIVE, ALLOWED_LOCATION_CIDRS];

    /// The keys that the agent owns. No other client may set them.
    pub const AGENTS: [&str; 7] = [
        PUBLIC_KEY,
        POD_CIDRS,
        MESH_ADDRESSES,
        ADVERTISED_ENDPOINTS,
        ADVERTISED_INTERNAL_ADDRESSES,
        OBSERVED_ENDPOINTS,
        AGENT,
    ];
}

/// The part of a Node object's metadata that the mesh needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeMetadata {
    /// `metadata.name`.
    pub name: NodeName,
    /// `metadata.creationTimestamp`.
    pub created: CreationTime,
    /// `metadata.annotations`; those without [`PREFIX`] may be missing.
    pub annotations: BTreeMap<String, String>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
}

/// A node, and the values that are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedNode {
    /// The node.
    pub node: Node,
    /// One for each value that could not be read; all are about this node.
    pub warnings: BTreeSet<Warning>,
}

/// Reads a node's metadata. `topology_label` is the label that names the location where no annotation does.
#[must_use]
pub fn parse_node(metadata: &NodeMetadata, topology_label: &str) -> ParsedNode {
    let mut reader = Reader::new(ObjectName::Node(metadata.name.clone()), &metadata.annotations);
    let node = Node {
        name: metadata.name.clone(),
        created: metadata.created,
        location: location(&mut reader, &metadata.labels, topology_label),
        public_key: reader.one(key::PUBLIC_KEY, value::parsed::<PublicKey>),
        pod_cidrs: reader.list(key::POD_CIDRS, value::network),
        mesh_addresses: reader.one_per_family(key::MESH_ADDRESSES, value::host_address),
        internal_addresses: internal_addresses(&mut reader),
        endpoint: reader.one(key::ENDPOINT, value::parsed::<Endpoint>),
        advertised_endpoints: reader.list(key::ADVERTISED_ENDPOINTS, value::parsed::<Endpoint>),
        observed_endpoints: reader.list(key::OBSERVED_ENDPOINTS, value::observed_endpoint).into_iter().collect(),
        gateway: preference(&mut reader, key::GATEWAY),
        relay: preference(&mut reader, key::RELAY),
        persistent_keepalive: reader.one(key::PERSISTENT_KEEPALIVE, value::keepalive_seconds),
        allowed_location_cidrs: reader.list(key::ALLOWED_LOCATION_CIDRS, value::network),
        agent: reader.one(key::AGENT, value::agent_version),
    };
    warn_of_ineffective_keys(&mut reader, metadata, topology_label);
    ParsedNode { node, warnings: reader.into_warnings() }
}

fn location(reader: &mut Reader<'_>, labels: &BTreeMap<String, String>, topology_label: &str) -> Option<LocationName> {
    reader.one(key::LOCATION, value::parsed::<LocationName>).or_else(|| {
        let label = labels.get(topology_label).map(|name| name.trim()).filter(|name| !name.is_empty())?;
        reader.read(topology_label, label, value::parsed::<LocationName>)
    })
}

fn internal_addresses(reader: &mut Reader<'_>) -> InternalAddresses {
    match reader.text(key::INTERNAL_ADDRESSES) {
        Some("none") => InternalAddresses::None,
        Some(_) => InternalAddresses::Forced(reader.list(key::INTERNAL_ADDRESSES, value::interface_address)),
        None => {
            InternalAddresses::Advertised(reader.list(key::ADVERTISED_INTERNAL_ADDRESSES, value::interface_address))
        }
    }
}

fn preference(reader: &mut Reader<'_>, key: &str) -> Preference {
    reader.one(key, value::preference).unwrap_or_default()
}
