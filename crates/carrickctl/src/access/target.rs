//! The agents that are asked.

use std::path::PathBuf;

use carrick_kube::agents::AgentPod;

use crate::fetch_error::FetchError;

/// An agent that is asked.
pub(super) struct Target {
    /// The name of the node, or the path of the socket.
    pub(super) name: String,
    pub(super) connection: Connection,
}

/// How to connect to an agent.
pub(super) enum Connection {
    Pod(AgentPod),
    Socket(PathBuf),
    /// An agent is expected, but no connection to it is possible.
    Impossible(FetchError),
    /// No agent is expected: the node takes no part in the mesh.
    NoAgent,
}
