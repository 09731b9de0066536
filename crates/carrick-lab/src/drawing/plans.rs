//! The plans that the agents of a topology's nodes compute.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use anyhow::Result;
use carrick_kube::annotations::{NodeMetadata, parse_node};
use carrick_topology::Liveness;
use carrick_topology::discovery::{Attachment, Interface, InterfaceAddress, OwnNode, own_facts};
use carrick_topology::hash::stable_hash;
use carrick_topology::mesh_address::choose_mesh_addresses;
use carrick_topology::model::{InternalAddresses, Node};
use carrick_topology::plan::plan_all;
use carrick_topology::{Cluster, Family, NodeName, NodePlan, PublicKey, Settings};
use ipnet::IpNet;

use crate::layout::{NodeLayout, Numbering};
use crate::topology::{self, AgentSettings, LOCATION_LABEL, Topology};

/// The plan of every node, with all nodes up.
///
/// # Errors
/// The topology has more locations or nodes than the lab has addresses for.
pub(super) fn plans(topology: &Topology) -> Result<BTreeMap<NodeName, NodePlan>> {
    let settings = settings(&topology.agent)?;
    let mut cluster = Cluster::default();
    let mut numbering = Numbering::default();
    for location in &topology.locations {
        let mut numbers = numbering.location(location)?;
        for spec in &location.nodes {
            let layout = numbering.node(&mut numbers, spec, topology.families)?;
            let mut node = node(&layout, spec, numbers.mtu, &settings)?;
            node.mesh_addresses = choose_mesh_addresses(&cluster, &settings.mesh_cidrs, &node.name);
            cluster.insert_node(node);
        }
    }
    Ok(plan_all(&cluster, &settings, &Liveness::default()))
}

fn settings(agent: &AgentSettings) -> Result<Settings> {
    Ok(Settings {
        granularity: agent.granularity,
        encapsulation: agent.encapsulation,
        active_gateways: NonZeroUsize::new(agent.active_gateways.into()).unwrap_or(NonZeroUsize::MIN),
        ..Settings::default()
    })
}

/// A Node with the annotations that its agent publishes.
fn node(layout: &NodeLayout, spec: &topology::Node, mtu: u32, settings: &Settings) -> Result<Node> {
    let mut labels = spec.labels.clone();
    labels.entry(LOCATION_LABEL.to_owned()).or_insert_with(|| layout.location.clone());
    let metadata = NodeMetadata {
        name: layout.name.parse()?,
        created: layout.number.into(),
        annotations: spec.annotations.clone(),
        labels,
    };
    let mut node = parse_node(&metadata, &settings.topology_label).node;
    let own = OwnNode {
        node: node.clone(),
        pod_cidrs: layout.pod_cidrs.iter().copied().collect(),
        internal_ips: layout.internal.list(),
        external_ips: layout.public.list(),
    };
    let facts = own_facts(&own, &[interface(layout, mtu)?], settings);
    node.public_key = Some(key(&node.name));
    node.pod_cidrs = facts.pod_cidrs;
    node.advertised_endpoints = facts.advertised_endpoints;
    if let InternalAddresses::Advertised(addresses) = &mut node.internal_addresses {
        *addresses = facts.advertised_internal_addresses;
    }
    Ok(node)
}

/// The uplink of a lab's node.
fn interface(layout: &NodeLayout, mtu: u32) -> Result<Interface> {
    let networks = [layout.lan.v4.map(IpNet::from), layout.lan.v6.map(IpNet::from)];
    let lengths = networks.into_iter().flatten().map(|network| network.prefix_len());
    let inside = layout.internal.list().into_iter().zip(lengths);
    let mut nets: Vec<IpNet> = inside.map(|(address, length)| IpNet::new(address, length)).collect::<Result<_, _>>()?;
    nets.extend(layout.public.list().into_iter().map(IpNet::from));
    let default_route = nets.iter().map(Family::of_net).collect();
    let addresses = nets.into_iter().map(InterfaceAddress::primary).collect();
    Ok(Interface {
        name: "eth0".parse()?,
        attachment: Attachment::Network,
        mtu,
        addresses,
        on_link: BTreeSet::new(),
        default_route,
    })
}

/// A public key that differs from those of other nodes. No private key belongs to it.
fn key(name: &NodeName) -> PublicKey {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&stable_hash(&["picture", name.as_str()]).to_be_bytes());
    PublicKey::from_bytes(bytes)
}
