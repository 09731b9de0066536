//! The nodes between which the test asks, and the servers on them.

use std::collections::BTreeSet;

use carrick_kube::test_pods::{Place, TestServer};
use carrick_topology::NodeName;

use crate::failure::Failure;
use crate::snapshot::Snapshot;

/// The port of the servers in pods.
pub(super) const POD_PORT: u16 = 8080;
/// The host port of the servers in pods.
pub(super) const HOST_PORT: u16 = 28080;
/// The port of the servers in the network of their node.
const NODE_PORT: u16 = 28081;

/// A node of the test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub node: NodeName,
    pub location: String,
    pub image: String,
}

impl End {
    /// The name of the pod, and of the Service, of the end with this number.
    pub fn pod_name(number: usize) -> String {
        format!("pod-{number}")
    }

    /// The name of the pod in the network of the node.
    pub fn host_name(number: usize) -> String {
        format!("host-{number}")
    }
}

/// One ready node of each location; in a mesh of one location two of its nodes.
///
/// # Errors
/// There are no two ready nodes.
pub(super) fn ends(snapshot: &Snapshot, image: Option<&str>) -> Result<Vec<End>, Failure> {
    let ready = snapshot.agents.iter().filter_map(|agent| {
        let (page, pod) = (agent.page()?, agent.pod.as_ref()?);
        let plan = page.plan.as_ref().filter(|_| page.ready)?;
        Some(End {
            node: plan.node.clone(),
            location: plan.location.name.to_string(),
            image: image.unwrap_or(&pod.image).to_owned(),
        })
    });
    let ready: Vec<End> = ready.collect();
    let locations: BTreeSet<&str> = ready.iter().map(|end| end.location.as_str()).collect();
    let chosen: Vec<End> = match locations.len() {
        1 => ready.into_iter().take(2).collect(),
        _ => locations
            .iter()
            .filter_map(|location| ready.iter().find(|end| end.location == *location))
            .cloned()
            .collect(),
    };
    if chosen.len() < 2 {
        return Err(Failure::Unreachable("the test needs two nodes whose agents answer and are ready".to_owned()));
    }
    Ok(chosen)
}

/// The servers on the nodes.
pub(super) fn servers(ends: &[End]) -> Vec<TestServer> {
    let of_end = |(number, end): (usize, &End)| {
        let server =
            |name, port, place| TestServer { name, node: end.node.clone(), image: end.image.clone(), port, place };
        [
            server(End::pod_name(number), POD_PORT, Place::Pod { host_port: HOST_PORT }),
            server(End::host_name(number), NODE_PORT, Place::Host),
        ]
    };
    ends.iter().enumerate().flat_map(of_end).collect()
}

/// The port of a server in the network of its node.
pub(super) const fn node_port() -> u16 {
    NODE_PORT
}
