//! A node's metadata, read into [`Node`], and what its agent publishes, written as annotations.
//!
//! Reading never fails as a whole: a value or an element of a list that cannot be read is ignored,
//! and a [`Warning`] names the node, the annotation, the value and what would be right.

mod ineffective;
pub mod key;
mod published;
pub(crate) mod reader;
pub(crate) mod value;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::ObjectName;
use carrick_topology::model::{CreationTime, Duty, InternalAddresses, LocationName, Node, NodeName, Preference};
use carrick_topology::{Endpoint, PublicKey, Warning};

pub use carrick_topology::Published;
pub use ineffective::most_alike;
use ineffective::warn_of_ineffective_keys;
pub use key::PREFIX;
pub use published::published_annotations;
use reader::Reader;

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
    let public_key = reader.one(key::PUBLIC_KEY, value::parsed::<PublicKey>);
    let proof = |text: &str| value::key_proof(text, public_key, &metadata.name);
    let node = Node {
        name: metadata.name.clone(),
        created: metadata.created,
        location: location(&mut reader, &metadata.labels, topology_label),
        public_key,
        public_key_proof: reader.one(key::PUBLIC_KEY_PROOF, proof),
        pod_cidrs: reader.list(key::POD_CIDRS, value::network),
        mesh_addresses: reader.one_per_family(key::MESH_ADDRESSES, value::host_address, |address| Some(*address)),
        internal_addresses: internal_addresses(&mut reader),
        endpoint: reader.one(key::ENDPOINT, value::parsed::<Endpoint>),
        advertised_endpoints: reader.one_per_family(
            key::ADVERTISED_ENDPOINTS,
            value::advertised_endpoint,
            Endpoint::address,
        ),
        observed_endpoints: reader.list(key::OBSERVED_ENDPOINTS, value::observed_endpoint).into_iter().collect(),
        gateway: preference(&mut reader, key::GATEWAY),
        duty: reader.text(key::DRAIN).map_or(Duty::Serving, |_reason| Duty::Draining),
        relay: preference(&mut reader, key::RELAY),
        persistent_keepalive: reader.one(key::PERSISTENT_KEEPALIVE, value::keepalive_seconds),
        allowed_location_cidrs: reader.list(key::ALLOWED_LOCATION_CIDRS, value::network),
        agent: reader.one(key::AGENT, value::agent_version),
    };
    warn_of_ineffective_keys(&mut reader, &metadata.annotations, &metadata.labels, topology_label);
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
            let key = key::ADVERTISED_INTERNAL_ADDRESSES;
            let found = reader.one_per_family(key, value::interface_address, |net| Some(net.addr()));
            InternalAddresses::Advertised(found)
        }
    }
}

fn preference(reader: &mut Reader<'_>, key: &str) -> Preference {
    reader.one(key, value::preference).unwrap_or_default()
}
