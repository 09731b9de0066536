//! `carrickctl doctor`: finds faults in the mesh, with remedies.

mod observe;
mod report;

use std::time::Duration;

use carrick_doctor::{concerning, diagnose, needs_second_sample};
use carrick_topology::NodeName;
use clap::Args;

use crate::access::{Access, AccessOptions};
use crate::failure::Failure;

pub use report::Report;

/// The time between two samples. WireGuard retries a handshake after 5 s and up to a third of a second (`REKEY_TIMEOUT`, WireGuard paper
/// §6.4).
const BETWEEN_SAMPLES: Duration = Duration::from_secs(6);

/// Options of `carrickctl doctor`.
#[derive(Args, Clone, Debug, Default)]
pub struct DoctorOptions {
    /// Show only the findings about this node and its connections.
    #[arg(value_name = "NODE")]
    pub node: Option<NodeName>,
}

/// Fetches the pages of all agents and diagnoses the mesh.
///
/// # Errors
/// The node does not exist, or the API server cannot be reached.
pub async fn run(access: &AccessOptions, options: &DoctorOptions) -> Result<Report, Failure> {
    let access = Access::open(access).await?;
    if access.is_offline() {
        return Err(Failure::Usage(
            "doctor needs agents that answer, not saved objects: use a kubeconfig, `--local` or `--socket`".to_owned(),
        ));
    }
    let snapshot = access.snapshot().await?;
    let mut observations = observe::observe(&access, &snapshot).await;
    if let Some(node) = &options.node
        && !observations.agents.contains_key(node)
    {
        let known: Vec<_> = observations.agents.keys().map(NodeName::as_str).take(10).collect();
        return Err(Failure::Usage(format!(
            "there is no agent on a node `{node}`; the nodes are: {}",
            known.join(", ")
        )));
    }
    if needs_second_sample(&observations) {
        tokio::time::sleep(BETWEEN_SAMPLES).await;
        observe::observe_again(&access, &snapshot, &mut observations).await;
    }
    let findings = diagnose(&observations);
    let findings = options.node.as_ref().map_or_else(|| findings.clone(), |node| concerning(&findings, node));
    Ok(Report::new(findings, &observations))
}
