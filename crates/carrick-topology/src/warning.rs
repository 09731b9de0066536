//! What was left out of a plan, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{NodeName, PeerName};

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
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(formatter, "node `{name}`"),
            Self::Peer(name) => write!(formatter, "peer `{name}`"),
            Self::Location(name) => write!(formatter, "location `{name}`"),
        }
    }
}

/// Why something was left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningReason {
    /// The value could not be read; what would be right.
    Unreadable(String),
    /// An older object claims the same thing, or something that overlaps it.
    ClaimedBy(ObjectName),
    /// It overlaps what the cluster uses itself; what that is.
    OverlapsCluster(String),
    /// A public address does not count as internal unless people say so.
    PublicInternalAddress,
    /// The mesh has no address of this family, so that nothing can be routed to it.
    NoMeshAddress,
    /// The address lies outside the mesh CIDRs.
    OutsideMeshCidr,
    /// No internal address of the family that the location uses: the node stands alone.
    ForeignUnderlayFamily,
    /// Every node of the location is kept from being its gateway.
    NoGateway,
    /// Neither can dial the other, and no gateway of a third location may relay.
    NoPath(NodeName),
    /// No node there can serve the peer.
    NoServingNode,
    /// The network has the same numbers as this node's own subnet, so that it is not routed here.
    OverlapsOwnSubnet(String),
    /// Plain packets need a subnet shared with this node.
    NoSharedSubnet(NodeName),
    /// The domain name has not been resolved.
    Unresolved,
    /// The node's agent runs with other settings than this one.
    SettingsDiffer(NodeName),
}

impl WarningReason {
    /// The reason's kind as one word: for metrics and for the `reason` of Kubernetes Events.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "Unreadable",
            Self::ClaimedBy(_) => "AlreadyClaimed",
            Self::OverlapsCluster(_) => "OverlapsCluster",
            Self::PublicInternalAddress => "PublicInternalAddress",
            Self::NoMeshAddress => "NoMeshAddress",
            Self::OutsideMeshCidr => "OutsideMeshCidr",
            Self::ForeignUnderlayFamily => "ForeignUnderlayFamily",
            Self::NoGateway => "NoGateway",
            Self::NoPath(_) => "NoPath",
            Self::NoServingNode => "NoServingNode",
            Self::OverlapsOwnSubnet(_) => "OverlapsOwnSubnet",
            Self::NoSharedSubnet(_) => "NoSharedSubnet",
            Self::Unresolved => "Unresolved",
            Self::SettingsDiffer(_) => "SettingsDiffer",
        }
    }
}

impl fmt::Display for WarningReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(expected) => write!(formatter, "cannot be read: {expected}"),
            Self::ClaimedBy(owner) => write!(formatter, "is claimed by {owner}, which is older"),
            Self::OverlapsCluster(what) => write!(formatter, "overlaps {what}"),
            Self::PublicInternalAddress => formatter.write_str(
                "is public: it counts as internal only when the annotation `internal-addresses` or `--internal-cidr` says so",
            ),
            Self::NoMeshAddress => formatter.write_str("has no mesh address of this family to be routed through"),
            Self::OutsideMeshCidr => formatter.write_str("lies outside the mesh CIDRs"),
            Self::ForeignUnderlayFamily => {
                formatter.write_str("has no internal address of the family that its location uses: it stands alone")
            }
            Self::NoGateway => formatter.write_str("is isolated: `gateway: never` keeps every node from being its gateway"),
            Self::NoPath(other) => write!(
                formatter,
                "cannot reach node `{other}`: neither has an endpoint that the other can dial, and no gateway of a third location may relay"
            ),
            Self::NoServingNode => formatter.write_str("is served by no node: no gateway there has a public endpoint"),
            Self::OverlapsOwnSubnet(subnet) => {
                write!(formatter, "has the same numbers as this node's own subnet {subnet}: it is not routed here")
            }
            Self::NoSharedSubnet(other) => {
                write!(formatter, "shares no subnet with node `{other}`, which encapsulation `never` needs")
            }
            Self::Unresolved => formatter.write_str("has not been resolved to an address"),
            Self::SettingsDiffer(other) => {
                write!(formatter, "has other mesh settings than node `{other}`: all agents need the same flags")
            }
        }
    }
}

/// One item that was left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Warning {
    /// The object that holds the item.
    pub object: ObjectName,
    /// The annotation or field.
    pub field: String,
    /// The value that was left out.
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
