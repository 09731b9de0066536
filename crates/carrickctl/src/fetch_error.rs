//! Why a page of an agent cannot be fetched.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// The status code with which an agent answers a request for a page that it does not know (RFC 9110 §15.5.5).
const NOT_FOUND: u16 = 404;

/// Why a page of an agent cannot be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FetchError {
    /// The node takes no part in the mesh and runs no agent, or the access reads only files.
    #[error("there is no agent to ask")]
    NoAgent,
    /// No pod of the agent's DaemonSet is scheduled to the node.
    #[error("no agent pod runs on the node in the namespace {namespace}")]
    NoPod {
        /// The namespace of the agents' pods.
        namespace: String,
    },
    /// The agent's pod is in another phase than `Running`.
    #[error("its pod {pod} is {phase}")]
    PodNotRunning {
        /// The name of the pod.
        pod: String,
        /// The phase of the pod.
        phase: String,
    },
    /// The caller lacks a permission.
    #[error("{reason}: `carrickctl` needs the verbs `get` and `create` on `pods/exec` in the namespace {namespace}")]
    Forbidden {
        /// The namespace of the agents' pods.
        namespace: String,
        /// The text of the API server, which names the verb and the resource that are missing.
        reason: String,
    },
    /// The API server, the kubelet or the container runtime executes no command in the pod.
    #[error("cannot execute `carrick page` in its pod {pod}: {reason}")]
    Exec {
        /// The name of the pod.
        pod: String,
        /// The error with its causes.
        reason: String,
    },
    /// The program in the pod does not know the command that fetches pages.
    #[error("the agent in its pod {pod} is too old: it has no command `carrick page`; upgrade the agent")]
    AgentTooOld {
        /// The name of the pod.
        pod: String,
    },
    /// The command in the pod reaches no agent.
    #[error("`carrick page` in its pod {pod} fails: {reason}")]
    PageCommand {
        /// The name of the pod.
        pod: String,
        /// The text of the command.
        reason: String,
    },
    /// The socket does not exist.
    #[error("no agent runs here: there is no {path}{hint}", path = .path.display(), hint = platform_hint())]
    NoSocket {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The socket exists, but no process listens on it.
    #[error("no agent runs here: no process listens on {path}{hint}", path = .path.display(), hint = platform_hint())]
    SocketClosed {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The caller may not use the socket.
    #[error("{path}: only root may connect to the agent", path = .path.display())]
    SocketForbidden {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The socket cannot be used for another reason.
    #[error("{path}: {reason}", path = .path.display())]
    Socket {
        /// The path of the socket.
        path: PathBuf,
        /// The error of the operating system.
        reason: String,
    },
    /// The agent does not answer in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The connection breaks before the answer is complete.
    #[error("the connection broke: {0}")]
    Interrupted(String),
    /// The answer is not HTTP.
    #[error("the answer is not HTTP")]
    NotHttp,
    /// The agent answers with another status code than 200.
    #[error("the agent answers with HTTP status {code}: {body}")]
    Status {
        /// The status code.
        code: u16,
        /// The body of the answer.
        body: String,
    },
    /// The page is not what this version of `carrickctl` expects.
    #[error("the page cannot be parsed: {0}")]
    Malformed(String),
}

impl FetchError {
    /// Whether the agent answers, but does not know the page. An agent of an older version does so.
    #[must_use]
    pub const fn is_unknown_page(&self) -> bool {
        matches!(self, Self::Status { code: NOT_FOUND, .. })
    }
}

/// What to do on a platform that runs no agents.
const fn platform_hint() -> &'static str {
    if cfg!(target_os = "linux") { "" } else { "; agents run only on Linux nodes: use a kubeconfig here" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_status_404_is_an_unknown_page() {
        let status = |code| FetchError::Status { code, body: String::new() };
        assert!(status(404).is_unknown_page());
        assert!(!status(403).is_unknown_page());
        assert!(!status(503).is_unknown_page());
        // The text of an error decides nothing.
        assert!(!FetchError::Interrupted("404".to_owned()).is_unknown_page());
    }

    #[test]
    fn a_timeout_is_told_in_seconds() {
        assert_eq!(FetchError::Timeout(Duration::from_millis(1500)).to_string(), "no answer within 1.5 s");
    }
}
