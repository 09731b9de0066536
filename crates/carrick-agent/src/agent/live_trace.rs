//! The page `/trace`: the node sends probes along a path for each request.
//!
//! The agent sends a datagram for each hop limit from 1 on. The kernels on the path answer with ICMP errors, which a process can read
//! without a capability. The agent probes only addresses of the mesh, with few and small packets, one path at a time.

mod hop;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carrick_status::LiveTracePage;
use carrick_topology::NodePlan;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::status::Status;

/// The largest number of hops.
const MOST_HOPS: u8 = 16;

/// The least time between the probes of two paths.
const BETWEEN_TRACES: Duration = Duration::from_millis(400);

/// The parameters of a request.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Question {
    /// The destination.
    to: IpAddr,
    /// The number of hops to probe.
    hops: Option<u8>,
}

/// Why the agent sends no probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoTrace {
    /// The agent has no plan.
    #[error("the agent has no plan yet: nothing is known of the mesh")]
    NoPlan,
    /// The destination is outside the mesh.
    #[error("{0} is not an address of the mesh: the agent probes only nodes and pods")]
    Elsewhere(IpAddr),
}

/// Sends the probes.
#[derive(Clone)]
pub(super) struct Tracer {
    status: Status,
    /// The time of the last probes.
    turn: Arc<Mutex<Option<Instant>>>,
}

impl Tracer {
    pub(super) fn new(status: Status) -> Self {
        Self { status, turn: Arc::default() }
    }

    /// Sends probes as soon as the least time since the last ones is over.
    pub(super) async fn page(&self, question: Question) -> Result<LiveTracePage, NoTrace> {
        let plan = self.status.plan().ok_or(NoTrace::NoPlan)?;
        if !is_of_mesh(&plan, question.to) {
            return Err(NoTrace::Elsewhere(question.to));
        }
        let mut last = self.turn.lock().await;
        if let Some(last) = *last {
            tokio::time::sleep_until((last + BETWEEN_TRACES).into()).await;
        }
        let hops = question.hops.unwrap_or(MOST_HOPS).clamp(1, MOST_HOPS);
        let probed = tokio::task::spawn_blocking(move || hop::probe(question.to, hops)).await;
        *last = Some(Instant::now());
        drop(last);
        let failed = |reason: String| LiveTracePage { not_sent: Some(reason), ..LiveTracePage::default() };
        let page = match probed {
            Ok(Ok(page)) => page,
            Ok(Err(error)) => failed(error.to_string()),
            Err(error) => failed(error.to_string()),
        };
        Ok(LiveTracePage { node: Some(plan.node.clone()), ..page })
    }
}

/// Whether an address belongs to a pod, a node or another destination of the mesh.
fn is_of_mesh(plan: &NodePlan, address: IpAddr) -> bool {
    let carried = plan.firewall.carried.iter().chain(&plan.pod_cidrs).any(|net| net.contains(&address));
    let own = plan.mesh_addresses.contains(&address) || plan.vxlan.local == Some(address);
    let neighbours = plan.vxlan.neighbours.values();
    carried || own || neighbours.into_iter().any(|neighbour| neighbour.internal_address == address)
}

#[cfg(test)]
mod tests {
    use carrick_topology::Liveness;
    use carrick_topology::model::PublicKey;
    use carrick_topology::{Cluster, Node, NodeName, Settings};

    use super::*;
    use carrick_core::Core;

    #[tokio::test]
    async fn nothing_is_probed_without_a_plan() {
        let status = Status::new("me".parse().unwrap());
        status.turn(&Core::new("me".parse().unwrap(), PublicKey::from_bytes([1; 32]), Settings::default(), 7));
        let question = Question { to: IpAddr::from([10, 42, 0, 1]), hops: None };
        assert_eq!(Tracer::new(status).page(question).await, Err(NoTrace::NoPlan));
    }

    #[test]
    fn only_what_the_mesh_carries_is_probed() {
        let node = |name: &str, number: u8| Node {
            public_key: Some(PublicKey::from_bytes([number; 32])),
            pod_cidrs: [format!("10.42.{number}.0/24").parse().unwrap()].into(),
            mesh_addresses: [IpAddr::from([10, 4, 0, number])].into(),
            ..Node::new(name.parse::<NodeName>().unwrap(), number.into())
        };
        let nodes = [node("me", 1), node("other", 2)].map(|node| (node.name.clone(), node)).into();
        let cluster = Cluster { nodes, ..Cluster::default() };
        let me = "me".parse().unwrap();
        let plan = carrick_topology::plan(&cluster, &Settings::default(), &Liveness::default(), &me).unwrap();
        for of_mesh in ["10.42.1.9", "10.42.2.9", "10.4.0.1", "10.4.0.2"] {
            assert!(is_of_mesh(&plan, of_mesh.parse().unwrap()), "{of_mesh}");
        }
        for elsewhere in ["1.1.1.1", "127.0.0.1", "169.254.169.254", "255.255.255.255", "10.43.0.1", "::1", "ff02::1"] {
            assert!(!is_of_mesh(&plan, elsewhere.parse().unwrap()), "{elsewhere}");
        }
    }
}
