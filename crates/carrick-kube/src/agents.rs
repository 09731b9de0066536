//! The agents' pods, and connections to their pages through the API server.

use std::net::IpAddr;

use carrick_topology::NodeName;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams};
use tokio::io::DuplexStream;

/// The namespace in which the manifests put the agents.
pub const NAMESPACE: &str = "carrick-system";
/// The label of the agents' pods.
pub const SELECTOR: &str = "app.kubernetes.io/name=carrick";
/// The port of an agent's pages on its node's loopback address.
pub const PORT: u16 = 1107;

/// The pod of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPod {
    /// Its name.
    pub name: String,
    /// The node that it runs on.
    pub node: NodeName,
    /// The pod's phase, such as `Running` or `Pending`.
    pub phase: String,
    /// The image that it was given.
    pub image: String,
}

/// A pod, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPod {
    /// The node that it runs on, once it is scheduled.
    pub node: Option<NodeName>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// The agents' pods that run or will, in the order of the API.
///
/// # Errors
/// The API server refused, or did not answer.
pub async fn pods(client: &Client, namespace: &str) -> Result<Vec<AgentPod>, kube::Error> {
    let list = Api::<Pod>::namespaced(client.clone(), namespace).list(&ListParams::default().labels(SELECTOR)).await?;
    // One that is on its way out still answers, and its successor may not yet: both are on the list, the successor last.
    let mut pods = list.items;
    pods.retain(|pod| !has_ended(pod));
    pods.sort_by_key(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(pods.into_iter().filter_map(agent_pod).collect())
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

fn agent_pod(pod: Pod) -> Option<AgentPod> {
    let spec = pod.spec?;
    Some(AgentPod {
        name: pod.metadata.name?,
        node: spec.node_name?.parse().ok()?,
        phase: pod.status.and_then(|status| status.phase).unwrap_or_default(),
        image: spec.containers.into_iter().next().and_then(|container| container.image).unwrap_or_default(),
    })
}

/// A pod by its name.
///
/// # Errors
/// There is none, or the API server refused.
pub async fn named_pod(client: &Client, namespace: &str, name: &str) -> Result<NamedPod, kube::Error> {
    let pod = Api::<Pod>::namespaced(client.clone(), namespace).get(name).await?;
    let status = pod.status.unwrap_or_default();
    let several = status.pod_ips.unwrap_or_default().into_iter().map(|ip| ip.ip);
    let mut addresses: Vec<IpAddr> = several.chain(status.pod_ip).filter_map(|ip| ip.parse().ok()).collect();
    addresses.dedup();
    let node = pod.spec.and_then(|spec| spec.node_name).and_then(|name| name.parse().ok());
    Ok(NamedPod { node, addresses })
}

/// A connection to a port on the loopback address of a pod.
pub struct Forward {
    /// What is sent and received.
    pub stream: DuplexStream,
    /// Why the kubelet refuses, if it does; then nothing comes by the stream.
    pub refusal: BoxFuture<'static, Option<String>>,
}

/// Connects to a port on the loopback address of a pod, through the API server and the pod's kubelet.
///
/// # Errors
/// The API server refused, or cannot reach the kubelet.
pub async fn connect(client: &Client, namespace: &str, pod: &str, port: u16) -> Result<Forward, kube::Error> {
    let mut forwarder = Api::<Pod>::namespaced(client.clone(), namespace).portforward(pod, &[port]).await?;
    let missing = || kube::Error::Service(std::io::Error::other("the forwarder has no stream for its port").into());
    let refusal = forwarder.take_error(port).ok_or_else(missing)?.boxed();
    Ok(Forward { stream: forwarder.take_stream(port).ok_or_else(missing)?, refusal })
}
