//! The command line.

mod print;

use std::io::Write as _;
use std::path::PathBuf;

use carrick_kube::objects::Objects;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::access::{self, Access, AccessOptions};
use crate::bundle::Bundle;
use crate::cluster_plan::ClusterPlan;
use crate::connectivity::{self, TestOptions};
use crate::dashboard::{self, DashboardOptions};
use crate::doctor::{self, DoctorOptions};
use crate::dry_run::{Annotation, Change, DryRun};
use crate::failure::Failure;
use crate::gateway::{self, GatewayCommand};
use crate::graph::Graph;
use crate::latency::{Between, Form, Latency};
use crate::nodes::{self, NodesCommand};
use crate::output::{OutputOptions, Rendered, Terminal, View, render};
use crate::peers::Peers;
use crate::routes::Routes;
use crate::snapshot::Snapshot;
use crate::status::Status;
use crate::trace::{End, Trace, look_up_pods, send_probes};
use crate::traffic::{Prices, TrafficTable};
use crate::wait::{self, WaitOptions};

/// Inspect a Carrick mesh: paths, gateways, latency, traffic and faults.
///
/// Exit status: 0 no fault, 1 a fault was found, 2 the command line is wrong, 3 neither the API server nor any agent can be reached.
#[derive(Parser, Clone, Debug)]
#[command(name = "carrickctl", version, propagate_version = true, max_term_width = 120)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// Which agents to ask.
    #[command(flatten)]
    pub access: AccessOptions,
    /// How to write the answer.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// A command.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Show an overview of the cluster: locations, gateways, nodes, tunnels and warnings.
    ///
    /// API: whether the node's agent receives changes from the API server (`synced`, `lost`). TUNNELS: the WireGuard tunnels without a fault, of
    /// those in the node's plan. A node has tunnels to the gateways of other locations only, so that nodes differ. WORST RTT: the longest of the
    /// median round trips to the nodes that it probes. WORST LOSS: the largest loss of them.
    ///
    /// The command exits with status 1 if a node has a fault.
    Status,
    /// Find faults in the mesh, with a remedy for each.
    ///
    /// The command exits with status 1 if it finds a problem.
    Doctor(DoctorOptions),
    /// Wait until nodes, or all nodes of the mesh, have no problem.
    ///
    /// A problem is what `status` reports. The command writes each change to standard error. It exits with status 1 if there is a problem
    /// at the end of the time.
    Wait(WaitOptions),
    /// Test the connectivity between all locations with pods of its own.
    ///
    /// The command makes a namespace with pods on one node of each location, which ask each other: pod, one megabyte, largest packet, node,
    /// host port, Service and DNS name, in both address families. It deletes the namespace at the end, also after Ctrl-C. If something does not
    /// answer, it shows what `doctor` finds, and exits with status 1.
    Test(TestOptions),
    /// List the Nodes whose machines are gone, and delete them on request.
    #[command(subcommand)]
    Nodes(NodesCommand),
    /// Move the traffic of a gateway to the other gateways of its location, and back.
    #[command(subcommand)]
    Gateway(GatewayCommand),
    /// Show the WireGuard peers of the devices, compared with the plans.
    Peers {
        /// Show only the peers of this node.
        node: Option<String>,
    },
    /// Show round trips, loss and path MTU between locations, measured by the agents' probes.
    ///
    /// Between two locations, P50 is the median of the paths' medians, P99 and jitter are those of the worst path, loss is the mean, and
    /// MTU is that of the narrowest path.
    Latency(LatencyOptions),
    /// Show the routes of a node, with the node that each route leads to.
    Routes {
        /// The name of the node.
        node: String,
    },
    /// Show the path of a packet and of its answer, hop by hop, with the current state of each hop.
    ///
    /// The path follows from the plans in force. If the packet is dropped, the command names the route, firewall rule or allowed IPs that
    /// drop it.
    Trace {
        /// The sender: a pod as namespace/name, a node, or an address.
        from: String,
        /// The receiver: a pod as namespace/name, a node, or an address.
        to: String,
        /// Send probes from the nodes at both ends, and show which node replies at each hop, and how fast.
        #[arg(long)]
        live: bool,
    },
    /// Show what a change would do to every node's plan and to the reachability between nodes (dry run).
    ///
    /// Without a change, the command compares the plans in force with the plans that the agents should have. The command exits with
    /// status 1 if a pair of nodes loses connectivity.
    Plan(PlanOptions),
    /// Draw the topology: `-o svg` (the default), `-o dot` for Graphviz, or `-o mermaid`.
    ///
    /// The picture groups nodes by location, and shows the round trip and rate of each tunnel. Broken parts are red.
    Graph,
    /// Show the traffic between locations, and its cost.
    Traffic {
        /// The prices per gigabyte for pairs of locations, as YAML or JSON:
        /// {currency: USD, default: 0.01, prices: [{from: a, to: b, per_gb: 0.09}]}.
        #[arg(long, value_name = "FILE")]
        prices: Option<PathBuf>,
    },
    /// Serve a live page for a browser on this machine, with a map, a matrix of locations, and events.
    ///
    /// The command runs until it is interrupted.
    Dashboard(DashboardOptions),
    /// Write an archive for a bug report: all agents' pages, objects and versions, without secrets.
    Bundle {
        /// The path of the archive.
        #[arg(value_name = "FILE", default_value = "carrick-bundle.tar.gz")]
        path: PathBuf,
    },
    /// Print the completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page.
    Man {
        /// Write a manual page for each command to this directory instead.
        #[arg(long, value_name = "DIRECTORY")]
        directory: Option<PathBuf>,
    },
    /// Print the version.
    Version,
}

/// Options of `carrickctl latency`.
#[derive(Args, Clone, Debug)]
pub struct LatencyOptions {
    /// Show pairs of nodes instead of locations.
    #[arg(long)]
    pub nodes: bool,
    /// Show a matrix of median round trips.
    #[arg(long, conflicts_with = "histogram")]
    pub matrix: bool,
    /// Show a histogram of the round trips between two locations, or with --nodes between two nodes.
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"])]
    pub histogram: Option<Vec<String>>,
}

/// Options of `carrickctl plan`.
#[derive(Args, Clone, Debug)]
pub struct PlanOptions {
    /// Set an annotation of a Node, or remove it with `key-`. The prefix carrick.dev/ is optional. May be repeated.
    #[arg(long, num_args = 2, value_names = ["NODE", "KEY=VALUE"], action = clap::ArgAction::Append)]
    pub annotate: Vec<String>,
    /// Add or replace the Nodes and Peers in a file. May be repeated.
    #[arg(long, value_name = "FILE")]
    pub apply: Vec<PathBuf>,
    /// Remove a node, as if it failed.
    #[arg(long, value_name = "NODE")]
    pub without: Option<String>,
}

impl PlanOptions {
    fn change(&self) -> Result<Change, Failure> {
        let annotations = self.annotate.chunks_exact(2).map(|pair| Annotation::parse(&pair[0], &pair[1]));
        let applied = if self.apply.is_empty() { Objects::default() } else { access::read_files(&self.apply)? };
        Ok(Change { annotations: annotations.collect::<Result<_, _>>()?, applied, without: self.without.clone() })
    }
}

impl LatencyOptions {
    fn form(&self) -> Form {
        match (self.histogram.as_deref(), self.matrix) {
            (Some([from, to, ..]), _) => Form::Histogram(from.clone(), to.clone()),
            (_, true) => Form::Matrix,
            (_, false) => Form::List,
        }
    }
}

/// Writes a line of progress.
fn say(line: &str) {
    let _closed = writeln!(anstream::stderr().lock(), "{line}");
}

impl Cli {
    /// Runs the command once.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn run(&self, terminal: Terminal) -> Result<Rendered, Failure> {
        match &self.command {
            Command::Completions { shell } => Ok(print::completions(Cli::command(), *shell)),
            Command::Man { directory } => print::manual(Cli::command(), directory.as_deref()),
            Command::Version => Ok(print::version()),
            Command::Status => self.render(&Status::of(&self.snapshot().await?), terminal),
            Command::Doctor(options) => self.render(&doctor::run(&self.access, options).await?, terminal),
            Command::Wait(options) => self.render(&wait::run(&self.access, options, say).await?, terminal),
            Command::Test(options) => self.render(&connectivity::run(&self.access, options, say).await?, terminal),
            Command::Nodes(NodesCommand::Prune(options)) => {
                if self.output.watch {
                    return Err(Failure::Usage("nodes prune does not repeat: omit --watch".to_owned()));
                }
                self.render(&nodes::prune(&self.access, options, say).await?, terminal)
            }
            Command::Gateway(command) => {
                if self.output.watch {
                    return Err(Failure::Usage("gateway does not repeat: omit --watch".to_owned()));
                }
                self.render(&gateway::run(&self.access, command, say).await?, terminal)
            }
            Command::Peers { node } => self.render(&Peers::of(&self.pages().await?, node.as_deref())?, terminal),
            Command::Latency(options) => {
                let between = if options.nodes { Between::Nodes } else { Between::Locations };
                self.render(&Latency::of(&self.pages().await?, between, options.form())?, terminal)
            }
            Command::Routes { node } => {
                let cluster_plan = ClusterPlan::of(&self.snapshot().await?)?;
                self.render(&Routes::of(&cluster_plan, node)?, terminal)
            }
            Command::Trace { from, to, live } => self.trace(from, to, *live, terminal).await,
            Command::Plan(options) => {
                let change = options.change()?;
                self.render(&DryRun::of(&self.snapshot().await?, &change)?, terminal)
            }
            Command::Graph => Graph::of(&self.snapshot().await?)?.write(self.output.output, terminal),
            Command::Traffic { prices } => {
                let prices = prices.as_deref().map(Prices::read).transpose()?;
                self.render(&TrafficTable::of(&self.pages().await?, prices.as_ref()), terminal)
            }
            Command::Dashboard(options) => {
                dashboard::serve(options, Access::open(&self.access).await?).await?;
                Ok(Rendered::default())
            }
            Command::Bundle { path } => {
                let access = Access::open(&self.access).await?;
                self.render(&Bundle::write(&access, &access.snapshot().await?, path).await?, terminal)
            }
        }
    }

    async fn trace(&self, from: &str, to: &str, live: bool, terminal: Terminal) -> Result<Rendered, Failure> {
        let access = Access::open(&self.access).await?;
        if live && access.is_offline() {
            return Err(Failure::Usage(
                "--live needs agents that answer, not saved objects: use a kubeconfig, `--local` or `--socket`"
                    .to_owned(),
            ));
        }
        let pods = look_up_pods(&access, [from, to]).await?;
        let snapshot = access.snapshot().await?;
        let cluster_plan = ClusterPlan::of(&snapshot)?;
        let (from, to) = (End::of(&cluster_plan, &pods, from)?, End::of(&cluster_plan, &pods, to)?);
        let mut trace = Trace::of(&snapshot, &cluster_plan, &from, &to)?;
        if live {
            send_probes(&access, &snapshot, &cluster_plan, &mut trace).await;
        }
        self.render(&trace, terminal)
    }

    fn render(&self, view: &impl View, terminal: Terminal) -> Result<Rendered, Failure> {
        render(view, self.output.output, terminal)
    }

    async fn snapshot(&self) -> Result<Snapshot, Failure> {
        Access::open(&self.access).await?.snapshot().await
    }

    /// A snapshot with at least one agent that answers.
    async fn pages(&self) -> Result<Snapshot, Failure> {
        let snapshot = self.snapshot().await?;
        if snapshot.pages().next().is_some() {
            return Ok(snapshot);
        }
        let reason =
            snapshot.unreachable().pop_first().map(|(name, error)| format!("no agent answers; {name}: {error}"));
        Err(Failure::Unreachable(reason.unwrap_or_else(|| {
            "the command needs agents that answer, not saved objects: use a kubeconfig, `--local` or `--socket`"
                .to_owned()
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_says_what_is_deleted_and_what_the_columns_of_status_are() {
        let mut program = Cli::command();
        let nodes = program.find_subcommand("nodes").unwrap().get_about().unwrap().to_string();
        assert_eq!(nodes, "List the Nodes whose machines are gone, and delete them on request");
        let status = program.find_subcommand_mut("status").unwrap().render_long_help().to_string();
        for column in ["API:", "TUNNELS:", "WORST RTT:", "WORST LOSS:"] {
            assert!(status.contains(column), "{column}: {status}");
        }
    }
}
