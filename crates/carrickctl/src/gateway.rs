//! `carrickctl gateway drain` and `undrain`: moves the traffic of a gateway to the other gateways of its location, and back.

mod progress;

use std::time::{Duration, Instant};

use carrick_kube::{nodes, with_causes};
use carrick_topology::NodeName;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::access::{Access, AccessOptions, seconds};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Document, Style, View};
use progress::{Goal, Progress, progress};

/// The time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// A command about gateways.
#[derive(Subcommand, Clone, Debug)]
pub enum GatewayCommand {
    /// Move the traffic that a node carries for others as a gateway to the other gateways of its location. No packet is lost.
    ///
    /// The command sets the annotation carrick.dev/drain, and waits until all nodes that send by the gateway have moved, which takes some 15 s. Then
    /// it says what still goes through the node. It exits with status 1 if the traffic has not moved at the end of the time, or if no other
    /// gateway of the location can take it. The annotation stays until `undrain`.
    Drain(DrainOptions),
    /// Let a drained gateway carry traffic again, and wait until the traffic has moved back. No packet is lost.
    Undrain(UndrainOptions),
}

/// Options of `carrickctl gateway drain`.
#[derive(Args, Clone, Debug)]
pub struct DrainOptions {
    /// The name of the node.
    pub node: NodeName,
    /// Why, for people who read the annotation.
    #[arg(long, default_value = "drained by carrickctl")]
    pub reason: String,
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    pub within: Duration,
}

/// Options of `carrickctl gateway undrain`.
#[derive(Args, Clone, Debug)]
pub struct UndrainOptions {
    /// The name of the node.
    pub node: NodeName,
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    pub within: Duration,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The gateway.
    pub node: NodeName,
    /// What was seen last.
    #[serde(flatten)]
    pub progress: Progress,
    /// How long the command waited, in seconds.
    pub seconds: u64,
}

/// Changes the annotation, and waits until the traffic has moved or the time is over. `report` gets a line for each change.
///
/// # Errors
/// The command line is wrong, or the API server refused or did not answer.
pub async fn run(access: &AccessOptions, command: &GatewayCommand, report: impl Fn(&str)) -> Result<Moved, Failure> {
    let (node, reason, within) = match command {
        GatewayCommand::Drain(DrainOptions { reason, .. }) if reason.trim().is_empty() => {
            return Err(Failure::Usage("--reason is empty: an empty annotation does not drain the gateway".to_owned()));
        }
        GatewayCommand::Drain(options) => (&options.node, Some(options.reason.as_str()), options.within),
        GatewayCommand::Undrain(options) => (&options.node, None, options.within),
    };
    let goal = if reason.is_some() { Goal::Drained } else { Goal::Serving };
    let access = Access::open(access).await?;
    let Some(client) = access.api_client() else {
        return Err(Failure::Usage(
            "gateway changes a Node: it needs a kubeconfig, and not `--local`, `--socket` or `-f`".to_owned(),
        ));
    };
    access.snapshot().await?.require(Some(node.as_str()))?;
    let changed = nodes::set_drain(&client.client(), node, reason).await;
    changed.map_err(|error| {
        Failure::Unreachable(format!("the annotation of Node {node} is not changed: {}", with_causes(&error)))
    })?;
    let began = Instant::now();
    let mut before = None;
    loop {
        let now = progress(&access.snapshot().await?, node, goal);
        let seconds = began.elapsed().as_secs();
        if now.is_over() || began.elapsed() + INTERVAL > within {
            return Ok(Moved { node: node.clone(), progress: now, seconds });
        }
        let line = now.to_string();
        if before.as_ref() != Some(&line) {
            report(&format!("{seconds:>4} s  {line}"));
        }
        before = Some(line);
        tokio::time::sleep(INTERVAL).await;
    }
}

impl View for Moved {
    fn draw(&self, document: &mut Document) {
        let (node, seconds) = (&self.node, self.seconds);
        let style = if self.progress.is_reached() { Style::Good } else { Style::Bad };
        document.uncut(format_args!("{node}: {}, after {seconds} s", self.progress), style);
        for line in self.progress.rest(node) {
            document.uncut(line, Style::Warn);
        }
    }

    fn exit(&self) -> Exit {
        if self.progress.is_reached() { Exit::Healthy } else { Exit::Unhealthy }
    }
}
