//! Access to agents through the API server, by port-forwards to the loopback addresses of their pods.

use std::collections::BTreeMap;
use std::time::Duration;

use carrick_kube::agents::{self, AgentPod, Forward};
use carrick_kube::annotations::key;
use carrick_kube::client::ApiClient;
use carrick_kube::objects::{Objects, ObjectsError};
use carrick_kube::with_causes;
use carrick_topology::NodeName;

use super::AccessOptions;
use super::http;
use super::target::{Connection, Target};
use crate::failure::Failure;
use crate::fetch_error::FetchError;

/// How long the API server may take to list Nodes, Peers and pods.
const LIST_TIMEOUT: Duration = Duration::from_secs(15);

/// Access through the API server.
pub(super) struct ClusterAccess {
    client: ApiClient,
    namespace: String,
}

impl ClusterAccess {
    pub(super) async fn open(options: &AccessOptions) -> Result<Self, Failure> {
        let client = ApiClient::of_person(options.kubeconfig.as_deref(), options.context.as_deref()).await?;
        Ok(Self { client, namespace: options.namespace.clone() })
    }

    pub(super) fn client(&self) -> ApiClient {
        self.client.clone()
    }

    /// The agents of all Nodes, and the objects.
    pub(super) async fn targets(&self) -> Result<(Vec<Target>, Objects), Failure> {
        let client = self.client.client();
        let lists = async { tokio::join!(Objects::list(&client), agents::pods(&client, &self.namespace)) };
        let late = |_| {
            Failure::Unreachable(format!(
                "the API server did not list Nodes and pods within {} s",
                LIST_TIMEOUT.as_secs()
            ))
        };
        let (objects, pods) = tokio::time::timeout(LIST_TIMEOUT, lists).await.map_err(late)?;
        let objects = objects?;
        let pods = pods.map_err(|error| ObjectsError::Api { what: "pods of the agents", error })?;
        let mut pods: BTreeMap<NodeName, AgentPod> = pods.into_iter().map(|pod| (pod.node.clone(), pod)).collect();
        let targets = objects.nodes.iter().map(|(name, metadata)| {
            let connection = match pods.remove(name) {
                Some(pod) if pod.phase == "Running" => Connection::Pod(pod),
                Some(pod) => Connection::Impossible(FetchError::PodNotRunning { pod: pod.name, phase: pod.phase }),
                None if metadata.annotations.contains_key(key::PUBLIC_KEY) => {
                    Connection::Impossible(FetchError::NoPod { namespace: self.namespace.clone() })
                }
                None => Connection::NoAgent,
            };
            Target { name: name.to_string(), connection }
        });
        Ok((targets.collect(), objects))
    }

    pub(super) async fn get(&self, pod: &AgentPod, page: &str) -> Result<Vec<u8>, FetchError> {
        let connection = agents::connect(&self.client.client(), &self.namespace, &pod.name, agents::PORT).await;
        let Forward { stream, refusal } = connection
            .map_err(|error| FetchError::PortForward { pod: pod.name.clone(), reason: with_causes(&error) })?;
        // If the pod accepts the connection, the error channel of the port-forward ends before the answer or together with it.
        let refused = async {
            match refusal.await {
                Some(reason) => reason,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            answer = http::get(stream, page) => answer,
            reason = refused => {
                Err(FetchError::PodRefused { pod: pod.name.clone(), reason: reason.trim().to_owned() })
            }
        }
    }
}
