//! The agent: the I/O around [`crate::core::Core`].
//!
//! ```text
//! API server ──watch──▶                    ──orders──▶ kernel thread ──▶ kernel
//!       disk ──state──▶ event loop + Core                                  │
//! interfaces ─────────▶                    ◀─notices── monitor threads ◀───┘
//! ```
//!
//! One task runs the loop and owns the core. Threads listen to the kernel and others write to it, so that a slow kernel delays nobody
//! who asks for the agent's health. SIGTERM ends the loop; nothing is taken down.

mod checks;
mod drift;
mod event_loop;
mod events;
mod http;
mod icmp_errors;
mod interfaces;
mod kernel;
mod live_trace;
mod metrics;
#[cfg(test)]
mod monitoring_tests;
mod names;
mod pod_firewall;
pub mod pod_routes;
mod pods;
mod preshared_keys;
mod probes;
mod saved_state;
mod settings;
mod sightings;
mod status;
mod traffic;
mod warnings;
mod wireguard;

use carrick_kube::client::{ApiClient, ClientOptions};
use carrick_topology::NodeName;
use thiserror::Error;

pub use status::Status;

use crate::cli::AgentOptions;
use crate::exit::Exit;
use crate::state::StateDir;

/// Why the agent ended.
#[derive(Debug, Error)]
pub enum AgentError {
    /// A flag, an environment variable or a file is wrong.
    #[error("{0}")]
    Configuration(String),
    /// The state on disk cannot be used.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// The kernel refuses.
    #[error("{0}; the agent needs root, or CAP_NET_ADMIN")]
    Kernel(#[from] carrick_netlink::Error),
    /// The data path lacks a permission.
    #[error("{0}")]
    Permission(String),
    /// No WireGuard can be had.
    #[error("{0}")]
    WireGuard(String),
    /// The API server cannot even be asked.
    #[error(transparent)]
    Client(#[from] carrick_kube::client::ClientError),
    /// Something that every process needs is missing.
    #[error("cannot start {0}")]
    Start(String),
}

impl AgentError {
    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::State(_) => Exit::Configuration,
            Self::Configuration(_) | Self::Client(_) => Exit::Configuration,
            Self::Kernel(error) if error.is_not_permitted() => Exit::Permission,
            Self::Permission(_) => Exit::Permission,
            Self::Kernel(_) | Self::WireGuard(_) | Self::Start(_) => Exit::Failure,
        }
    }
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// See [`AgentError`].
pub async fn run(options: AgentOptions) -> Result<(), AgentError> {
    let me = node_name(&options)?;
    let settings = settings::settings(&options)?;
    tracing::info!(event = "agent_started", version = env!("CARGO_PKG_VERSION"), node = %me, granularity = %settings.granularity);
    // All that a person may have written wrongly is read before the first thing is made.
    let client = ApiClient::new(&client_options(&options)).await?;
    make_run_directory(&options)?;
    let state = StateDir::open(&options.state_dir, &me)?;
    let key = state.private_key()?;
    let wireguard = wireguard::choose(options.wireguard, &options.interface, &options.run_dir).await?;
    let prepared = event_loop::Prepared { state, key, client, wireguard };
    event_loop::EventLoop::start(me, options, settings, prepared)?.run().await
}

fn client_options(options: &AgentOptions) -> ClientOptions {
    ClientOptions { kubeconfig: options.kubeconfig.clone(), api_server: options.api_server.clone() }
}

fn node_name(options: &AgentOptions) -> Result<NodeName, AgentError> {
    let name = match &options.node_name {
        Some(name) => name.clone(),
        None => nix::unistd::gethostname()
            .map_err(|error| AgentError::Start(format!("without the host's name: {error}; set --node-name")))?
            .to_string_lossy()
            .to_lowercase(),
    };
    name.parse().map_err(|error| AgentError::Configuration(format!("--node-name: {error}")))
}

fn make_run_directory(options: &AgentOptions) -> Result<(), AgentError> {
    std::fs::create_dir_all(&options.run_dir)
        .map_err(|error| AgentError::Configuration(format!("--run-dir {}: {error}", options.run_dir.display())))
}
