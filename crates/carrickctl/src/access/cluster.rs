//! Access to agents through the API server: it executes `carrick page` in their containers.

use std::collections::BTreeMap;
use std::time::Duration;

use carrick_kube::agents::{self, AgentPod, ExecEnd, ExecError, Executed};
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

/// The exit status of `carrick` when it does not know a command or a flag.
const UNKNOWN_COMMAND: i32 = 2;

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
        let command = ["carrick", "page", "--include", page];
        let executed = agents::execute(&self.client.client(), &self.namespace, &pod.name, &command).await;
        let pod = pod.name.clone();
        let Executed { stdout, stderr, end } = executed.map_err(|error| match error {
            ExecError::Forbidden(reason) => FetchError::Forbidden { namespace: self.namespace.clone(), reason },
            ExecError::Api(error) => FetchError::Exec { pod: pod.clone(), reason: with_causes(&error) },
        })?;
        match end {
            ExecEnd::Success => http::body(stdout),
            ExecEnd::ExitStatus(UNKNOWN_COMMAND) => Err(FetchError::AgentTooOld { pod }),
            ExecEnd::ExitStatus(_) => Err(FetchError::PageCommand { pod, reason: stderr }),
            ExecEnd::NotExecuted(reason) => Err(FetchError::Exec { pod, reason }),
            ExecEnd::ConnectionLost => {
                Err(FetchError::Interrupted("the command in the pod did not report its end".to_owned()))
            }
        }
    }
}
