//! `carrickctl nodes prune`: deletes the Nodes whose machines are gone.
//!
//! ```text
//! API server ──list──▶ Nodes ┐                 silent Nodes ──live probes of other agents──▶ Replies ┐
//! agents ─────snapshot─▶ pages ┴──▶ Observations ◀───────────────────────────────────────────────────────┘
//! Observations ──choose──▶ Choice ──confirmed──▶ deletions ──▶ Pruned
//! ```

mod age;
mod choice;
mod replies;
mod report;

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use carrick_kube::nodes::{self, ListedNode};
use carrick_kube::with_causes;
use clap::{Args, Subcommand};

use crate::access::{Access, AccessOptions};
use crate::failure::Failure;
use choice::{Choice, Observations, choose};
pub use report::{Outcome, Pruned};

/// What the person types to confirm the deletion.
const CONFIRMATION: &str = "delete";

/// A command about Nodes.
#[derive(Subcommand, Clone, Debug)]
pub enum NodesCommand {
    /// List Nodes whose machines are gone, and delete them with --delete.
    ///
    /// The command chooses a Node if its kubelet stopped reporting at least --after ago, its agent does not answer, and no other agent
    /// reaches it. It keeps nodes of the control plane and Nodes with the annotation carrick.dev/hold. Without --delete or --yes it deletes
    /// nothing. It exits with status 1 if the agents that answer cannot know which nodes are gone, or if a deletion fails.
    Prune(PruneOptions),
}

/// Options of `carrickctl nodes prune`.
#[derive(Args, Clone, Debug)]
pub struct PruneOptions {
    /// How long a kubelet must have been silent, such as 90m, 6h or 2d. At least 10m.
    #[arg(long, value_name = "DURATION", default_value = "6h", value_parser = age::parse)]
    pub after: Duration,
    /// Delete the Nodes after a confirmation on the terminal.
    #[arg(long)]
    pub delete: bool,
    /// Delete the Nodes without a confirmation.
    #[arg(long)]
    pub yes: bool,
    /// Also delete more than half of the nodes of a location, or of the mesh.
    #[arg(long)]
    pub force: bool,
}

/// Chooses the Nodes, and deletes them if the options say so. `report` gets a line for each step.
///
/// # Errors
/// The command line is wrong, or the API server refused or did not answer.
pub async fn prune(access: &AccessOptions, options: &PruneOptions, report: impl Fn(&str)) -> Result<Pruned, Failure> {
    let access = Access::open(access).await?;
    let Some(client) = access.api_client() else {
        return Err(Failure::Usage(
            "nodes prune deletes Nodes: it needs a kubeconfig, and not `--local`, `--socket` or `-f`".to_owned(),
        ));
    };
    let client = client.client();
    // The Nodes come first: a Node that changes while agents are asked is not deleted.
    let listed = nodes::list(&client).await;
    let nodes = listed.map_err(|error| {
        Failure::Unreachable(format!("the API server does not list Nodes: {}", with_causes(&error)))
    })?;
    let snapshot = access.snapshot().await?;
    let mut observations = Observations::new(&nodes, &snapshot, unix_seconds(), options.after);
    let doubtful = observations.doubtful();
    if !doubtful.is_empty() {
        report(&format!("probing {} from other nodes", doubtful.join(", ")));
        observations.replies = replies::gather(&access, &snapshot, &observations.witnesses(), &doubtful).await;
    }
    let choice = choose(&observations, options.force);
    let is_confirmed = !choice.chosen.is_empty() && (options.yes || (options.delete && confirm(&choice, &report)?));
    let mut pruned = Pruned { refusal: choice.refusal, nodes: choice.chosen, kept: choice.kept };
    if is_confirmed {
        for row in &mut pruned.nodes {
            if let Some(node) = nodes.iter().find(|node| node.name.as_str() == row.name) {
                row.outcome = delete(&client, node).await;
                report(&format!("{}: {}", row.name, row.outcome));
            }
        }
    }
    Ok(pruned)
}

async fn delete(client: &nodes::Client, node: &ListedNode) -> Outcome {
    match nodes::delete(client, node).await {
        Ok(deletion) => Outcome::from(deletion),
        Err(error) => Outcome::Failed(with_causes(&error)),
    }
}

/// Asks the person on the terminal.
fn confirm(choice: &Choice, report: &impl Fn(&str)) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("--delete asks on a terminal; use --yes in a script".to_owned()));
    }
    for row in &choice.chosen {
        report(&row.line());
    }
    let mut stderr = anstream::stderr().lock();
    let asked = write!(stderr, "Type `{CONFIRMATION}` to delete these Nodes: ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    read.map_err(|error| Failure::Usage(format!("the terminal cannot be read: {error}")))?;
    Ok(answer.trim() == CONFIRMATION)
}

/// The clock of this machine, in seconds since 1970-01-01 UTC.
fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
