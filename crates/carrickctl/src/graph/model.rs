//! The topology and its state, as data.

use carrick_drawing::LocationBox;
use carrick_topology::plan::Role;
use serde::Serialize;

/// The topology, and its state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Graph {
    /// The locations, by name.
    pub locations: Vec<GraphLocation>,
    /// The tunnels between nodes, by the names of the nodes.
    pub tunnels: Vec<GraphTunnel>,
}

/// A location.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GraphLocation {
    /// The name of the location.
    pub name: String,
    /// The nodes of the location.
    pub nodes: Vec<GraphNode>,
    #[serde(skip)]
    pub(super) drawn: LocationBox,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GraphNode {
    /// The name of the node.
    pub name: String,
    /// The role of the node in its location.
    pub role: Option<Role>,
    /// Whether the node has no fault.
    pub healthy: bool,
}

/// A tunnel between two nodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GraphTunnel {
    /// The node whose name sorts first.
    pub from: String,
    /// The other node.
    pub to: String,
    /// Whether the tunnel carries traffic; otherwise it is ready for a standby gateway.
    pub carries: bool,
    /// Whether the tunnel has no fault; absent if neither end answers.
    pub up: Option<bool>,
    /// The median round trip, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Bytes per second in both directions together; absent if another tunnel shares one of the counters.
    pub bytes_per_second: Option<f64>,
}
