//! The options that choose the agents.

use std::path::PathBuf;
use std::time::Duration;

use carrick_kube::agents;
use clap::Args;

use super::agent_socket::AgentSocket;

/// Which agents are asked, and how.
#[derive(Args, Clone, Debug)]
pub struct AccessOptions {
    /// The kubeconfig file [default: $KUBECONFIG, else ~/.kube/config].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Access")]
    pub kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig [default: its current context].
    #[arg(long, global = true, value_name = "NAME", help_heading = "Access")]
    pub context: Option<String>,
    /// The namespace of the agents' pods.
    #[arg(long, global = true, value_name = "NAME", default_value = agents::NAMESPACE, help_heading = "Access")]
    pub namespace: String,
    /// Ask the agent of this node through its socket, without the API server.
    #[arg(long, global = true, help_heading = "Access")]
    pub local: bool,
    /// Ask the agent behind this socket, without the API server. NODE is how it is named while it does not answer. May be repeated.
    #[arg(long = "socket", global = true, value_name = "[NODE=]PATH", help_heading = "Access")]
    pub sockets: Vec<AgentSocket>,
    /// Read Nodes and Peers from a file instead of the API (YAML or JSON, as written by
    /// `kubectl get nodes,peers.carrick.dev,meshes.carrick.dev -o yaml`). May be repeated. Without sockets, no agent is asked.
    #[arg(short = 'f', long = "filename", global = true, value_name = "FILE", help_heading = "Access")]
    pub files: Vec<PathBuf>,
    /// How long an agent may take to answer, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value = "2", value_parser = seconds, help_heading = "Access")]
    pub timeout: Duration,
}

impl Default for AccessOptions {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            namespace: agents::NAMESPACE.to_owned(),
            local: false,
            sockets: Vec::new(),
            files: Vec::new(),
            timeout: Duration::from_secs(2),
        }
    }
}

/// Parses a number of seconds, with or without the suffix `s`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let text = text.strip_suffix('s').unwrap_or(text);
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "expected a number of seconds above 0".to_owned())
}
