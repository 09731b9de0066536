//! The ends of a trace: a pod by name, a node, or an address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use carrick_kube::agents::{NamedPod, named_pod};
use carrick_kube::with_causes;

use crate::access::Access;
use crate::cluster_plan::ClusterPlan;
use crate::failure::Failure;
use carrick_topology::NodeName;
use carrick_topology::walk::Origin;

/// An end of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The name of the end.
    pub name: String,
    /// Where the packets of the end come from; `None` for an address outside the mesh.
    pub origin: Option<Origin>,
    /// The addresses of the end.
    pub addresses: Vec<IpAddr>,
    /// The pod, as namespace/name, if the API server knows it.
    pub pod: Option<String>,
}

/// The pods from the command line, by `namespace/name`.
pub type NamedPods = BTreeMap<String, NamedPod>;

impl End {
    /// Finds an end by its text. `pods` contains the result of [`look_up_pods`].
    ///
    /// # Errors
    /// No pod, node or address matches the text.
    pub fn of(cluster_plan: &ClusterPlan, pods: &NamedPods, text: &str) -> Result<Self, Failure> {
        if let Some(pod) = pods.get(text) {
            return of_pod(cluster_plan, pod, text);
        }
        match text.parse::<IpAddr>() {
            Ok(address) => Ok(of_address(cluster_plan, address)),
            Err(_) => {
                let plan = cluster_plan.plan_of(text).map_err(|failure| no_end(cluster_plan, text, failure))?;
                Ok(Self {
                    name: text.to_owned(),
                    origin: Some(Origin::Host(plan.node.clone())),
                    addresses: plan.mesh_addresses.iter().copied().collect(),
                    pod: None,
                })
            }
        }
    }

    /// Whether the source address follows from the route. This is so for a host; a pod always uses its own address.
    pub(super) fn has_source_by_route(&self) -> bool {
        matches!(self.origin, Some(Origin::Host(_)))
    }
}

/// Says how to name a pod if there is no such node.
fn no_end(cluster_plan: &ClusterPlan, text: &str, failure: Failure) -> Failure {
    if cluster_plan.cluster.nodes.keys().any(|name| name.as_str() == text) {
        return failure;
    }
    Failure::Usage(format!("{failure}; pods: NAMESPACE/NAME, which needs a kubeconfig, or their address"))
}

fn of_pod(cluster_plan: &ClusterPlan, pod: &NamedPod, text: &str) -> Result<End, Failure> {
    let Some(first) = pod.addresses.first() else {
        return Err(Failure::Usage(format!("the pod {text} has no address yet")));
    };
    let of_pod = End {
        name: text.to_owned(),
        addresses: pod.addresses.clone(),
        pod: Some(text.to_owned()),
        ..of_address(cluster_plan, *first)
    };
    match (&of_pod.origin, &pod.node) {
        (Some(_), _) | (None, None) => Ok(of_pod),
        // A pod in the host's network namespace, whose node's address the mesh does not carry.
        (None, Some(node)) => Ok(End { origin: Some(Origin::Host(node.clone())), ..of_pod }),
    }
}

fn of_address(cluster_plan: &ClusterPlan, address: IpAddr) -> End {
    let name = address.to_string();
    let of_pods = cluster_plan.plans.values().find(|plan| plan.pod_cidrs.iter().any(|cidr| cidr.contains(&address)));
    let origin = match of_pods {
        Some(plan) => Some(Origin::Pod(plan.node.clone())),
        None => node_with(cluster_plan, address).map(Origin::Host).or_else(|| {
            let mut peers = cluster_plan.cluster.peers.values();
            peers
                .find(|peer| peer.allowed_ips.iter().any(|net| net.contains(&address)))
                .map(|peer| Origin::Outside(peer.name.clone()))
        }),
    };
    let name = match &origin {
        Some(Origin::Pod(node)) => format!("pod on {node}"),
        Some(Origin::Host(node)) => node.to_string(),
        Some(Origin::Outside(peer)) => peer.to_string(),
        None => name,
    };
    End { name, origin, addresses: vec![address], pod: None }
}

/// The node with a mesh address or an internal address.
pub(super) fn node_with(cluster_plan: &ClusterPlan, address: IpAddr) -> Option<NodeName> {
    let by_mesh =
        cluster_plan.plans.values().find(|plan| plan.mesh_addresses.contains(&address)).map(|plan| &plan.node);
    by_mesh.or_else(|| cluster_plan.node_at(address)).cloned()
}

/// Finds the pods among the ends that are written as `namespace/name` in the API.
///
/// # Errors
/// The pod does not exist, or the API server is not used.
pub async fn look_up_pods(access: &Access, ends: [&str; 2]) -> Result<NamedPods, Failure> {
    let mut pods = NamedPods::new();
    for end in ends {
        let Some((namespace, name)) = end.split_once('/') else { continue };
        let Some(client) = access.api_client() else {
            return Err(Failure::Usage(format!(
                "the pod {end} can only be found through the API server: use a kubeconfig, or the pod's address"
            )));
        };
        let pod = named_pod(&client.client(), namespace, name).await;
        let pod =
            pod.map_err(|error| Failure::Usage(format!("the pod {end} cannot be found: {}", with_causes(&error))))?;
        pods.insert(end.to_owned(), pod);
    }
    Ok(pods)
}
