//! What a prober hands to its caller: datagrams to send, and changes to act on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use carrick_topology::plan::PathKind;
use carrick_topology::{Liveness, NodeName};

use crate::packet::{Announcement, ProbeId};
use crate::probed_path::PathState;
use crate::target::Shape;

/// A probe to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The address that sends.
    pub from: IpAddr,
    /// The address to probe.
    pub to: IpAddr,
    /// The identity of the probe.
    pub id: ProbeId,
    /// What the probe says.
    pub announcement: Announcement,
    /// The shape of the probe.
    pub shape: Shape,
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProberEvent {
    /// The state of a path.
    ProbedPath {
        /// The node at the other end.
        to: NodeName,
        /// The kind of path.
        kind: PathKind,
        /// The new state.
        state: PathState,
    },
    /// The nodes that are down, or the handovers that are under way.
    Liveness(Liveness),
    /// The paths whose MTU is less than the devices permit, in bytes.
    PathMtus(BTreeMap<NodeName, u32>),
}
