//! The agents' pods, and commands in their containers through the API server.

use std::net::IpAddr;
use std::pin::pin;

use carrick_topology::NodeName;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Client;
use kube::api::{Api, AttachParams, ListParams};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The namespace in which the manifests put the agents.
pub const NAMESPACE: &str = "carrick-system";
/// The label of the agents' pods.
pub const SELECTOR: &str = "app.kubernetes.io/name=carrick";
/// The name of the agent's container in its pod.
const CONTAINER: &str = "carrick";
/// The length at which the standard output of a command is cut, in bytes. No page of an agent is that long.
const MAX_STDOUT_BYTES: u64 = 256 << 20;
/// The length at which the standard error of a command is cut, in bytes.
const MAX_STDERR_BYTES: u64 = 4 << 10;

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

/// The result of a command in an agent's container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// What the command wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What the command wrote to its standard error.
    pub stderr: String,
    /// How the command ended.
    pub end: ExecEnd,
}

/// How a command in a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecEnd {
    /// With exit status 0.
    Success,
    /// With this exit status.
    ExitStatus(i32),
    /// The container runtime could not execute the command, for this reason.
    NotExecuted(String),
    /// The connection ended before the kubelet reported the exit status.
    ConnectionLost,
}

/// Why the API server executes no command in a container.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The caller lacks a permission; the text of the API server names the verb and the resource.
    #[error("{0}")]
    Forbidden(String),
    /// The API server or the kubelet refuses for another reason, or cannot be reached.
    #[error(transparent)]
    Api(kube::Error),
}

/// Executes a command in the container of an agent, through the API server and the kubelet, and waits for its end.
///
/// # Errors
/// See [`ExecError`].
pub async fn execute(client: &Client, namespace: &str, pod: &str, command: &[&str]) -> Result<Executed, ExecError> {
    let parameters = AttachParams::default()
        .container(CONTAINER)
        .stdin(false)
        .stdout(true)
        .stderr(true)
        .max_stdout_buf_size(1 << 16);
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let mut process = pods.exec(pod, command.iter().copied(), &parameters).await.map_err(|error| match error {
        kube::Error::Api(status) if status.is_forbidden() => ExecError::Forbidden(status.message),
        error => ExecError::Api(error),
    })?;
    let (status, stdout, stderr) = (process.take_status(), process.stdout(), process.stderr());
    let status = async {
        match status {
            Some(status) => status.await,
            None => None,
        }
    };
    let mut status = pin!(status);
    let mut output = pin!(async { tokio::join!(read(stdout, MAX_STDOUT_BYTES), read(stderr, MAX_STDERR_BYTES)) });
    let (status, (stdout, stderr)) = tokio::select! {
        output = &mut output => (status.await, output),
        status = &mut status => match status {
            Some(status) => (Some(status), output.await),
            // kube does not close the streams of a connection that breaks.
            None => (None, Default::default()),
        },
    };
    let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
    Ok(Executed { stdout, stderr, end: status.map_or(ExecEnd::ConnectionLost, exec_end) })
}

/// Reads a stream up to a length. It drops the rest, so that the other streams of the connection continue.
async fn read(stream: Option<impl AsyncRead + Unpin>, length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // An error ends the connection, and then no exit status comes.
        let _lost = (&mut stream).take(length).read_to_end(&mut bytes).await;
        let _lost = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    bytes
}

/// The last message of the kubelet: `k8s.io/apimachinery/pkg/util/remotecommand` documents the reason and the cause.
fn exec_end(status: Status) -> ExecEnd {
    if status.status.as_deref() == Some("Success") {
        return ExecEnd::Success;
    }
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    let code = causes.into_iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    match (status.reason.as_deref(), code.and_then(|cause| cause.message?.parse().ok())) {
        (Some("NonZeroExitCode"), Some(code)) => ExecEnd::ExitStatus(code),
        _ => ExecEnd::NotExecuted(status.message.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(status: serde_json::Value) -> ExecEnd {
        exec_end(serde_json::from_value(status).unwrap())
    }

    #[test]
    fn the_exit_status_is_that_of_the_command() {
        use serde_json::json;

        assert_eq!(end(json!({"metadata": {}, "status": "Success"})), ExecEnd::Success);
        let failed = json!({"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": "command terminated with non-zero exit code: exit status 2",
            "details": {"causes": [{"reason": "ExitCode", "message": "2"}]}});
        assert_eq!(end(failed), ExecEnd::ExitStatus(2));
        let not_found = json!({"metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
            "message": "exec: \"carrick\": executable file not found in $PATH"});
        assert!(matches!(end(not_found), ExecEnd::NotExecuted(reason) if reason.contains("not found")));
    }
}
