//! Why the rules of the table `inet carrick` drop packets, and how many they have dropped.

use std::collections::BTreeMap;

use carrick_netlink::Error;
use carrick_netlink::nftables::{Nftables, Rule};

use super::name::table_name;

/// Why a rule drops packets. Each reason is the comment of its rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// A pod of this node sends to a port of the mesh on a node.
    MeshPortFromPod,
    /// A packet out of the mesh goes to a port of the mesh, and its sender is no node.
    MeshPortFromOutside,
    /// A translation has chosen a port of the mesh as the source of a forwarded packet.
    MeshPortAsSource,
    /// A packet was translated to a port of the mesh, for instance by a Service.
    MeshPortTranslated,
    /// VXLAN comes to an address that is no internal address of this node.
    VxlanToOtherAddress,
    /// VXLAN comes from an address that is no internal address of the location.
    VxlanFromOutsideLocation,
    /// VXLAN comes in by a device that carries no internal address of this node.
    VxlanByOtherDevice,
    /// VXLAN of this node would leave by a device that carries no internal address of this node.
    VxlanOutByOtherDevice,
    /// This node would forward VXLAN that no node sent, to a node or into the location.
    VxlanForwarded,
    /// A packet has the source of another node's pod or mesh address, and comes in by a device that is none of the mesh's.
    MeshSourceByOtherDevice,
    /// A packet has the source of a pod of this node, and comes in by a device that is no pod's.
    OwnPodSourceByOtherDevice,
    /// A packet has the source of this node itself, and comes in from outside.
    OwnSourceByOtherDevice,
    /// An ICMP error says that a packet of the mesh is too large.
    ForgedPathMtu,
    /// Packets of a handover do not come out of a tunnel.
    HandoverOutsideTunnels,
    /// Packets of a handover come from a gateway that is in no handover.
    HandoverFromUnknownGateway,
    /// An encapsulated packet of a handover has a source that does not belong to the gateway's location.
    HandoverUnexpectedSource,
    /// A packet to a pod of this node leaves by a device that is no pod's.
    OwnPodByOtherDevice,
    /// A packet of a pod of this node would leave the mesh with the pod's address: it belongs to no connection, the kernel does not
    /// track it, or its connection began while the mesh carried the destination.
    OwnPodSourceUntranslated,
    /// A packet to a destination of the mesh leaves by a device that the routes do not name for the destination.
    MeshDestinationInClear,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::MeshPortFromPod,
        Self::MeshPortFromOutside,
        Self::MeshPortTranslated,
        Self::MeshPortAsSource,
        Self::VxlanToOtherAddress,
        Self::VxlanFromOutsideLocation,
        Self::VxlanByOtherDevice,
        Self::VxlanOutByOtherDevice,
        Self::VxlanForwarded,
        Self::MeshSourceByOtherDevice,
        Self::OwnPodSourceByOtherDevice,
        Self::OwnSourceByOtherDevice,
        Self::ForgedPathMtu,
        Self::HandoverOutsideTunnels,
        Self::HandoverFromUnknownGateway,
        Self::HandoverUnexpectedSource,
        Self::OwnPodByOtherDevice,
        Self::OwnPodSourceUntranslated,
        Self::MeshDestinationInClear,
    ];

    /// The comment of the rules that drop for this reason.
    #[must_use]
    pub const fn comment(self) -> &'static str {
        match self {
            Self::MeshPortFromPod => "mesh port from a pod",
            Self::MeshPortFromOutside => "mesh port from outside the nodes",
            Self::MeshPortTranslated => "translated to a mesh port",
            Self::MeshPortAsSource => "mesh port as a translated source",
            Self::VxlanToOtherAddress => "VXLAN to no internal address",
            Self::VxlanFromOutsideLocation => "VXLAN from outside the location",
            Self::VxlanByOtherDevice => "VXLAN by another device",
            Self::VxlanOutByOtherDevice => "VXLAN out by another device",
            Self::VxlanForwarded => "forwarded VXLAN",
            Self::MeshSourceByOtherDevice => "mesh source by another device",
            Self::OwnPodSourceByOtherDevice => "own pods' source by another device",
            Self::OwnSourceByOtherDevice => "the node's own source by another device",
            Self::ForgedPathMtu => "path MTU of the mesh by ICMP",
            Self::HandoverOutsideTunnels => "encapsulated packets outside the tunnels",
            Self::HandoverFromUnknownGateway => "encapsulated packets of unknown gateways",
            Self::HandoverUnexpectedSource => "encapsulated packets with an unexpected source",
            Self::OwnPodByOtherDevice => "own pods by another device",
            Self::OwnPodSourceUntranslated => "own pods' source outside the mesh",
            Self::MeshDestinationInClear => "mesh destination in clear",
        }
    }

    /// The reason as one word, for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MeshPortFromPod => "mesh-port-from-pod",
            Self::MeshPortFromOutside => "mesh-port-from-outside",
            Self::MeshPortTranslated => "mesh-port-translated",
            Self::MeshPortAsSource => "mesh-port-as-source",
            Self::VxlanToOtherAddress => "vxlan-to-other-address",
            Self::VxlanFromOutsideLocation => "vxlan-from-outside-location",
            Self::VxlanByOtherDevice => "vxlan-by-other-device",
            Self::VxlanOutByOtherDevice => "out-vxlan-by-other-device",
            Self::VxlanForwarded => "vxlan-forwarded",
            Self::MeshSourceByOtherDevice => "mesh-source-by-other-device",
            Self::OwnPodSourceByOtherDevice => "own-pod-source-by-other-device",
            Self::OwnSourceByOtherDevice => "own-source-by-other-device",
            Self::ForgedPathMtu => "forged-path-mtu",
            Self::HandoverOutsideTunnels => "handover-outside-tunnels",
            Self::HandoverFromUnknownGateway => "handover-from-unknown-gateway",
            Self::HandoverUnexpectedSource => "handover-unexpected-source",
            Self::OwnPodByOtherDevice => "own-pod-by-other-device",
            Self::OwnPodSourceUntranslated => "own-pod-source-untranslated",
            Self::MeshDestinationInClear => "mesh-destination-in-clear",
        }
    }
}

/// Drops and counts the packets that a rule selects.
pub(super) fn dropped(rule: Rule, reason: DropReason) -> Rule {
    rule.counter().drop().comment(reason.comment())
}

/// Reads how many packets the table `inet carrick` has dropped.
#[derive(Debug)]
pub struct DropCounters {
    nftables: Nftables,
}

impl DropCounters {
    /// Opens a connection to nftables in the calling thread's network namespace.
    ///
    /// # Errors
    /// The kernel lacks nfnetlink, or the process has no file descriptor left.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { nftables: Nftables::open()? })
    }

    /// The dropped packets by reason. The numbers start at zero when the table is put in place as a whole.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn read(&mut self) -> Result<BTreeMap<DropReason, u64>, Error> {
        let mut dropped = BTreeMap::new();
        for counter in self.nftables.counters(&table_name())? {
            let is_reason = |reason: &DropReason| counter.comment.as_deref() == Some(reason.comment());
            if let Some(reason) = DropReason::ALL.into_iter().find(is_reason) {
                *dropped.entry(reason).or_default() += counter.packets;
            }
        }
        Ok(dropped)
    }
}
