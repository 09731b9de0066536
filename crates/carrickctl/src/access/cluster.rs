//! Agents behind the API server: their pods' loopback address, by port-forward.

use std::collections::BTreeMap;
use std::time::Duration;

use carrick_kube::agents::{self, AgentPod, Forward};
use carrick_kube::annotations::key;
use carrick_kube::client::ApiClient;
use carrick_kube::objects::{Objects, ObjectsError};
use carrick_kube::with_causes;
use carrick_topology::NodeName;

use super::{AccessOptions, Target, TargetWay, http};
use crate::failure::Failure;

/// How long the API server may take for its lists.
const API_PATIENCE: Duration = Duration::from_secs(15);

/// The way through the API server.
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
        let late =
            |_| Failure::Unreachable(format!("the API server gives no lists within {} s", API_PATIENCE.as_secs()));
        let (objects, pods) = tokio::time::timeout(API_PATIENCE, lists).await.map_err(late)?;
        let objects = objects?;
        let pods = pods.map_err(|error| ObjectsError::Api { what: "pods of the agents", error })?;
        let mut pods: BTreeMap<NodeName, AgentPod> = pods.into_iter().map(|pod| (pod.node.clone(), pod)).collect();
        let targets = objects.nodes.iter().map(|(name, metadata)| {
            let way = match pods.remove(name) {
                Some(pod) if pod.phase == "Running" => TargetWay::Pod(pod),
                Some(pod) => TargetWay::None(format!("its pod {} is {}", pod.name, pod.phase)),
                None if metadata.annotations.contains_key(key::PUBLIC_KEY) => {
                    TargetWay::None(format!("no pod in the namespace {} runs there", self.namespace))
                }
                None => TargetWay::Nobody,
            };
            Target { name: name.to_string(), way }
        });
        Ok((targets.collect(), objects))
    }

    pub(super) async fn get(&self, pod: &AgentPod, path: &str) -> Result<Vec<u8>, String> {
        let connection = agents::connect(&self.client.client(), &self.namespace, &pod.name, agents::PORT).await;
        let Forward { stream, refusal } =
            connection.map_err(|error| format!("no way to its pod {}: {}", pod.name, with_causes(&error)))?;
        // Without a refusal, the channel of refusals ends at some time, with or before the answer.
        let refused = async {
            match refusal.await {
                Some(reason) => reason,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            page = http::get(stream, path) => page,
            reason = refused => Err(format!("its pod {} refuses: {}", pod.name, reason.trim())),
        }
    }
}
