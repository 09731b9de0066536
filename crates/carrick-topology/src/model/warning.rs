//! What a plan ignores, and why.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::mesh::MESH_NAME;
use super::name::{LocationName, NodeName, PeerName};
use crate::constants::RULE_PRIORITY;

/// The object that a warning is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectName {
    /// A node.
    Node(NodeName),
    /// An outside device.
    Peer(PeerName),
    /// A location, by name.
    Location(String),
    /// The settings that all nodes share: the object `Mesh`.
    Mesh,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(formatter, "node `{name}`"),
            Self::Peer(name) => write!(formatter, "peer `{name}`"),
            Self::Location(name) => write!(formatter, "location `{name}`"),
            Self::Mesh => write!(formatter, "mesh `{MESH_NAME}`"),
        }
    }
}

/// Why something is ignored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningReason {
    /// The value cannot be parsed; what is expected.
    Unreadable(String),
    /// The annotation is none that this version knows; the known key that is most like it.
    UnknownKey(String),
    /// The key is set as a label, and has an effect as an annotation only.
    LabelNotAnnotation,
    /// An older object claims the same value, or one that overlaps it.
    AlreadyClaimed(ObjectName),
    /// Another node claims the same public key, and proves that it holds the private key.
    KeyOfOther(ObjectName),
    /// Another node claims the same mesh address, which belongs to that node's name.
    AddressOfOther(ObjectName),
    /// The value overlaps something of the cluster; what that is.
    OverlapsCluster(String),
    /// A public address does not count as internal unless the operator sets it.
    PublicInternalAddress,
    /// The network, or the public internal address, is in none of the permitted location CIDRs.
    OutsidePermittedCidrs,
    /// The internal address is outside of the networks that the Mesh names for internal addresses.
    OutsideInternalCidrs,
    /// The pods' network is outside of the networks that the Mesh names for all pods, and so it is not closed when the node is gone.
    OutsideClusterCidrs,
    /// A link-local address cannot be an internal address.
    LinkLocalInternalAddress,
    /// The node has no mesh address of this family, so that nothing can be routed to it.
    NoMeshAddress,
    /// The address is outside the mesh CIDRs.
    OutsideMeshCidr,
    /// No internal address is of the family that the location uses: the node is alone.
    ForeignUnderlayFamily,
    /// No node of the location may be its gateway.
    NoGateway,
    /// Neither node can dial the other, and no gateway of a third location may relay.
    NoPath(NodeName),
    /// No node there can serve the peer.
    NoServingNode,
    /// The network overlaps a network that this node's host is attached to: packets to the host's network stay outside the mesh.
    OverlapsOwnSubnet(String),
    /// The network is a part of a wider network that this node's host is attached to. The mesh has this part.
    PartOfOwnSubnet(String),
    /// Packets to the internal address leave by this device, which carries no internal address of this node: VXLAN to it is dropped.
    RoutedElsewhere(String),
    /// Packets to the internal address leave by the default route of this device, which has a public address too.
    RoutedToInternet(String),
    /// The node has no location, and the host's routes show that it may share no network with other nodes that have none; the label that
    /// would name the location.
    LocationMissing(String),
    /// A routing rule of another program decides on packets of the mesh before those of Carrick do.
    RuleBefore {
        /// A destination of the mesh that it takes away.
        network: IpNet,
        /// The number of others.
        others: usize,
    },
    /// The environment variable has no effect; the one that was probably meant.
    UnknownVariable(String),
    /// Packets without encapsulation need a subnet that both nodes are attached to.
    NoSharedSubnet(NodeName),
    /// A node reaches this node's internal address outside the mesh, so that packets of the host itself to nodes of its location have the mesh
    /// address as source.
    MeshAddressTowards {
        /// The location of the nodes to which packets have the mesh address as source.
        location: LocationName,
        /// The node that reaches the address outside the mesh.
        node: NodeName,
        /// The network in which it does.
        network: IpNet,
    },
    /// The kernel of the node does not have this address family.
    FamilyMissing(String),
    /// Another node has the same endpoint: packets to it do not reach one certain node.
    SharedEndpoint(NodeName),
    /// The endpoint has an address of this node, whose plan has the warning: the node would dial itself.
    OwnAddress(NodeName),
    /// The domain name is not resolved.
    Unresolved,
    /// The domain name has addresses, and none of a family in which this node can send.
    NoUsableAddress,
    /// A flag of the agent has another value than the Mesh; the value that holds.
    OverriddenByMesh(String),
    /// The agent of the node has other settings than the agent of this one.
    SettingsDiffer(NodeName),
    /// This gateway does not drain: the agent of the other node sends by it, and is older than drains.
    PreventsDrain(NodeName),
}

impl WarningReason {
    /// The reason's kind as one word: for metrics and for the `reason` of Kubernetes Events.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "Unreadable",
            Self::UnknownKey(_) => "UnknownKey",
            Self::LabelNotAnnotation => "LabelNotAnnotation",
            Self::AlreadyClaimed(_) => "AlreadyClaimed",
            Self::KeyOfOther(_) => "KeyOfOther",
            Self::AddressOfOther(_) => "AddressOfOther",
            Self::OverlapsCluster(_) => "OverlapsCluster",
            Self::PublicInternalAddress => "PublicInternalAddress",
            Self::OutsidePermittedCidrs => "OutsidePermittedCidrs",
            Self::OutsideInternalCidrs => "OutsideInternalCidrs",
            Self::OutsideClusterCidrs => "OutsideClusterCidrs",
            Self::LinkLocalInternalAddress => "LinkLocalInternalAddress",
            Self::NoMeshAddress => "NoMeshAddress",
            Self::OutsideMeshCidr => "OutsideMeshCidr",
            Self::ForeignUnderlayFamily => "ForeignUnderlayFamily",
            Self::NoGateway => "NoGateway",
            Self::NoPath(_) => "NoPath",
            Self::NoServingNode => "NoServingNode",
            Self::OverlapsOwnSubnet(_) => "OverlapsOwnSubnet",
            Self::PartOfOwnSubnet(_) => "PartOfOwnSubnet",
            Self::RoutedElsewhere(_) => "RoutedElsewhere",
            Self::RoutedToInternet(_) => "RoutedToInternet",
            Self::LocationMissing(_) => "LocationMissing",
            Self::RuleBefore { .. } => "RuleBefore",
            Self::UnknownVariable(_) => "UnknownVariable",
            Self::NoSharedSubnet(_) => "NoSharedSubnet",
            Self::MeshAddressTowards { .. } => "MeshAddressTowards",
            Self::FamilyMissing(_) => "FamilyMissing",
            Self::SharedEndpoint(_) => "SharedEndpoint",
            Self::OwnAddress(_) => "OwnAddress",
            Self::Unresolved => "Unresolved",
            Self::NoUsableAddress => "NoUsableAddress",
            Self::OverriddenByMesh(_) => "OverriddenByMesh",
            Self::SettingsDiffer(_) => "SettingsDiffer",
            Self::PreventsDrain(_) => "PreventsDrain",
        }
    }
}

impl WarningReason {
    /// Whether the warning is about the node whose plan has it, and not about the object that holds the value: plans of other nodes do not
    /// have it.
    #[must_use]
    pub const fn concerns_single_nodes(&self) -> bool {
        matches!(
            self,
            Self::OverlapsOwnSubnet(_)
                | Self::PartOfOwnSubnet(_)
                | Self::RoutedElsewhere(_)
                | Self::MeshAddressTowards { .. }
                | Self::RoutedToInternet(_)
                | Self::RuleBefore { .. }
                | Self::FamilyMissing(_)
                | Self::OwnAddress(_)
                | Self::NoUsableAddress
                | Self::PreventsDrain(_)
        )
    }
}

impl fmt::Display for WarningReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(expected) => write!(formatter, "cannot be parsed: {expected}"),
            Self::UnknownKey(nearest) => {
                write!(formatter, "has no effect: this version knows no such annotation. The nearest that it knows is `{nearest}`")
            }
            Self::LabelNotAnnotation => {
                formatter.write_str("has no effect: it is a label. Set an annotation of this name (`kubectl annotate node`)")
            }
            Self::AlreadyClaimed(owner) => write!(formatter, "is claimed by {owner}, which is older"),
            Self::KeyOfOther(owner) => write!(
                formatter,
                "is claimed by {owner}, which proves that it holds the private key: if both nodes have the state directory of one disk, empty the directory of this one"
            ),
            Self::AddressOfOther(owner) => write!(formatter, "belongs to {owner} by the name of that node"),
            Self::OverlapsCluster(what) => write!(formatter, "overlaps {what}"),
            Self::PublicInternalAddress => formatter.write_str(
                "is public: it counts as internal only if `--internal-cidr` contains it, or if the annotation `internal-addresses` names it and `spec.permittedLocationCIDRs` of the Mesh `default` contains it",
            ),
            Self::OutsidePermittedCidrs => write!(
                formatter,
                "is outside the permitted location CIDRs: if it belongs to the location, add its network to `spec.permittedLocationCIDRs` of the Mesh `{MESH_NAME}`"
            ),
            Self::OutsideInternalCidrs => write!(
                formatter,
                "is outside of `spec.internalCIDRs` of the Mesh `{MESH_NAME}`: if it is an internal address, add its network there"
            ),
            Self::OutsideClusterCidrs => write!(
                formatter,
                "is outside of `spec.clusterCIDRs` of the Mesh `{MESH_NAME}`: packets to its pods may leave in clear when the node is gone. Add the network there"
            ),
            Self::LinkLocalInternalAddress => {
                formatter.write_str("is link-local: write an address that the other nodes of the location can reach")
            }
            Self::NoMeshAddress => formatter.write_str("has no mesh address of this family that packets could be routed to"),
            Self::OutsideMeshCidr => formatter.write_str("is outside the mesh CIDRs"),
            Self::ForeignUnderlayFamily => {
                formatter.write_str("has no internal address of the family that its location uses: the node is alone in its location")
            }
            Self::NoGateway => formatter.write_str("is isolated: all its nodes have `gateway: never`"),
            Self::NoPath(other) => write!(
                formatter,
                "cannot reach node `{other}`: neither has an endpoint that the other can dial, and no gateway of a third location may relay"
            ),
            Self::NoServingNode => formatter.write_str("is served by no node: no gateway of its location has a public endpoint"),
            Self::OverlapsOwnSubnet(network) => {
                write!(formatter, "overlaps the network {network} of this node: on this node, packets to that network stay outside the mesh")
            }
            Self::PartOfOwnSubnet(network) => {
                write!(formatter, "is a part of the network {network} of this node: this node does not reach other hosts with such addresses")
            }
            Self::RoutedElsewhere(device) => write!(
                formatter,
                "is reached by {device}, which carries no internal address of this node: packets to it inside the location are dropped. If the nodes share no network, give them different locations, by the label of `--topology-label` or by the annotation `carrick.dev/location`"
            ),
            Self::RoutedToInternet(device) => write!(
                formatter,
                "is reached by the default route of {device}, which has a public address too: packets to it inside the location may leave for the internet, and VXLAN is not encrypted. If the nodes share no network, give them different locations, by the label of `--topology-label` or by the annotation `carrick.dev/location`"
            ),
            Self::LocationMissing(label) => write!(
                formatter,
                "is not set, so the node is in one location with all nodes that have none. If they share no network, give each of them a location: the label `{label}`, or the annotation `carrick.dev/location`"
            ),
            Self::RuleBefore { network, others } => {
                let and = match others {
                    0 => String::new(),
                    1 => " and to another network of the mesh".to_owned(),
                    others => format!(" and to {others} other networks of the mesh"),
                };
                write!(
                    formatter,
                    "comes before the rules of Carrick, and packets to {network}{and} are routed or dropped by it, and do not enter the mesh: give the rule a priority above {RULE_PRIORITY}"
                )
            }
            Self::UnknownVariable(nearest) => {
                write!(formatter, "has no effect: this version knows no such variable. The nearest that it knows is `{nearest}`")
            }
            Self::NoSharedSubnet(other) => {
                write!(formatter, "shares no subnet with node `{other}`, which encapsulation `never` needs")
            }
            Self::MeshAddressTowards { location, node, network } => write!(
                formatter,
                "is in the network {network} that node `{node}` reaches outside the mesh: packets of this host to nodes of location `{location}` have the mesh address as source, not this one"
            ),
            Self::FamilyMissing(family) => write!(
                formatter,
                "is not in use on this node: its kernel has no {family} (`ipv6.disable=1` on the kernel's command line). The node and its pods have no addresses of this family"
            ),
            Self::SharedEndpoint(other) => write!(
                formatter,
                "is the endpoint of node `{other}` too, so a handshake may reach the wrong node. Give the node an endpoint of its own: `--internal-cidr` with the network in which the nodes have different addresses, or the annotation `carrick.dev/endpoint`"
            ),
            Self::OwnAddress(node) => {
                write!(formatter, "has an address of node `{node}`: node `{node}` does not dial it, because the packets would not leave the node")
            }
            Self::NoUsableAddress => formatter.write_str(
                "resolves to no address that this node can dial: the node has no address of their family. Give the name an address of the other family, or the node an address of this one",
            ),
            Self::Unresolved => formatter.write_str("is not resolved to an address"),
            Self::OverriddenByMesh(value) => {
                write!(formatter, "is overridden by the Mesh `{MESH_NAME}`, where the value is `{value}`: remove the flag from the agent")
            }
            Self::SettingsDiffer(other) => {
                write!(formatter, "has other mesh settings than node `{other}`: set them in the Mesh `{MESH_NAME}`, or give all agents the same flags")
            }
            Self::PreventsDrain(gateway) => {
                write!(formatter, "keeps gateway `{gateway}` from draining, because agents of this protocol go on to send by it: upgrade the agent")
            }
        }
    }
}

/// One item that is ignored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Warning {
    /// The object that holds the item.
    pub object: ObjectName,
    /// The annotation or field.
    pub field: String,
    /// The value that is ignored.
    pub value: String,
    /// Why.
    pub reason: WarningReason,
}

impl Warning {
    /// A warning about one value of an object.
    pub fn new(object: ObjectName, field: &str, value: impl fmt::Display, reason: WarningReason) -> Self {
        Self { object, field: field.to_owned(), value: value.to_string(), reason }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} `{}` {}", self.object, self.field, self.value, self.reason)
    }
}
