//! `carrickctl doctor`: what is wrong, and the one thing to do.

mod observe;
mod report;

use std::time::Duration;

use carrick_doctor::{concerning, diagnose, needs_second_sample};
use carrick_topology::NodeName;
use clap::Args;

use crate::access::{Access, AccessOptions};
use crate::failure::Failure;

pub use report::Report;

/// The time between two looks: WireGuard sends a handshake again after 5 s and up to a third of a second (`REKEY_TIMEOUT`, WireGuard
/// paper §6.4).
const BETWEEN_SAMPLES: Duration = Duration::from_secs(6);

/// What is asked.
#[derive(Args, Clone, Debug, Default)]
pub struct DoctorOptions {
    /// Tell of this node alone, and of what is between it and others.
    #[arg(value_name = "NODE")]
    pub node: Option<NodeName>,
}

/// Asks all agents and tells what is wrong.
///
/// # Errors
/// There is no such node, or the API server cannot be asked.
pub async fn run(access: &AccessOptions, options: &DoctorOptions) -> Result<Report, Failure> {
    let access = Access::open(access).await?;
    if access.is_offline() {
        return Err(Failure::Usage("saved objects have no ailments: doctor asks agents".to_owned()));
    }
    let snapshot = access.snapshot().await?;
    let mut observations = observe::observe(&access, &snapshot).await;
    if let Some(node) = &options.node
        && !observations.agents.contains_key(node)
    {
        return Err(Failure::Usage(format!("there is no agent on a node named {node}")));
    }
    if needs_second_sample(&observations) {
        tokio::time::sleep(BETWEEN_SAMPLES).await;
        observe::observe_again(&access, &snapshot, &mut observations).await;
    }
    let findings = diagnose(&observations);
    let findings = options.node.as_ref().map_or_else(|| findings.clone(), |node| concerning(&findings, node));
    Ok(Report::new(findings, &observations))
}
