//! The agent: the I/O around [`carrick_core::Core`].
//!
//! ```text
//! API server ──watch──▶                    ──orders──▶ kernel thread ──▶ kernel
//!       disk ──state──▶ event loop + Core                                  │
//! interfaces ─────────▶                    ◀─events─── monitor threads ◀───┘
//! ```
//!
//! One task runs the loop and owns the core. Threads listen to the kernel and another thread writes to it, so that a slow kernel does not
//! delay the answer to a health check. SIGTERM ends the loop; nothing is taken down.

mod admission;
mod checks;
mod endpoint_mtus;
mod error;
mod event_loop;
mod events;
#[cfg(test)]
mod fault_tests;
mod former_device;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod http;
mod icmp_errors;
mod interfaces;
mod kernel;
mod kernel_events;
mod live_trace;
mod metrics;
#[cfg(test)]
mod monitoring_tests;
mod name_resolution;
mod peer_status;
mod pod_file_watch;
mod pod_firewall;
pub mod pod_routes;
mod pods;
mod preshared_keys;
mod probes;
mod repeated_drift;
mod reporter;
mod saved_state;
mod settings;
mod sightings;
mod status;
mod stray_neighbours;
mod traffic;
mod wireguard;

use carrick_kube::client::{ApiClient, ClientOptions};
use carrick_topology::NodeName;

pub use error::AgentError;
pub use http::SOCKET;
pub use status::Status;

use crate::cli::AgentOptions;
use crate::state::StateDir;

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
    former_device::remove(&options.interface, &key).await;
    let wireguard = wireguard::choose(options.wireguard, &options.interface, &options.run_dir).await?;
    let prepared = event_loop::Prepared { state, private_key: key, client, wireguard };
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
