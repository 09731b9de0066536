//! One step of a packet: how it arrives at a node, and what the node does with it.

use super::{Hop, Outcome};
use crate::model::NodeName;

/// A packet at a node, and how it came there.
pub(super) struct Arrival {
    pub(super) node: NodeName,
    pub(super) by: Entry,
}

/// How a packet entered a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Pod,
    Host,
    WireGuard,
    Vxlan,
    Encapsulated,
    Plain,
}

/// What a node does with a packet.
pub(super) enum Verdict {
    End(Outcome),
    Forward {
        hop: Hop,
        next: Arrival,
        mtu: u32,
    },
    /// Out of a tunnel to an outside peer.
    Leave {
        hop: Hop,
        outcome: Outcome,
        mtu: u32,
    },
}
