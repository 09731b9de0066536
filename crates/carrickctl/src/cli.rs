//! The command line.

mod print;

use std::path::PathBuf;

use carrick_kube::objects::Objects;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::access::{self, Access, AccessOptions};
use crate::bundle::Bundle;
use crate::cluster_plan::ClusterPlan;
use crate::dashboard::{self, DashboardOptions};
use crate::doctor::{self, DoctorOptions};
use crate::dry_run::{Annotation, Change, DryRun};
use crate::failure::Failure;
use crate::graph::Graph;
use crate::latency::{Between, Form, Latency};
use crate::output::{OutputOptions, Rendered, Terminal, View, render};
use crate::peers::Peers;
use crate::routes::Routes;
use crate::snapshot::Snapshot;
use crate::status::Status;
use crate::trace::{End, Trace, look_up, send_probes};
use crate::traffic::{Prices, TrafficTable};

/// See the mesh: which node talks to which, over which gateway, how fast, how much, and if not, why not.
///
/// Exit codes: 0 all is well, 1 something is not, 2 the command line is wrong, 3 nobody can be reached.
#[derive(Parser, Clone, Debug)]
#[command(name = "carrickctl", version, propagate_version = true, max_term_width = 120)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Which agents are asked.
    #[command(flatten)]
    pub access: AccessOptions,
    /// How the answer is written.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// The cluster on one terminal: locations, gateways, nodes, tunnels, warnings. Ends with 1 when something is not well.
    Status,
    /// What is wrong, seen from both ends, and the one thing to do about it. Ends with 1 when there is a problem.
    Doctor(DoctorOptions),
    /// WireGuard peers as the devices have them, beside what the plans want.
    Peers {
        /// Of this node alone.
        node: Option<String>,
    },
    /// Round trips, loss and path MTU between locations, by the agents' own probes.
    ///
    /// Between locations, P50 is the median of the ways' medians, P99 and jitter are those of the worst way, loss is the mean, and MTU
    /// that of the narrowest way.
    Latency(LatencyOptions),
    /// The routes of a node, with the node that each leads to.
    Routes {
        /// The node.
        node: String,
    },
    /// A packet's way, hop by hop, there and back, with what is known of each hop at this moment.
    ///
    /// It is the packet walk over the plans that the agents hold; where it breaks, the rule or the cipher route is named.
    Trace {
        /// Who sends: a pod as namespace/name, a node, or an address.
        from: String,
        /// Who should receive: a pod as namespace/name, a node, or an address.
        to: String,
        /// Have the nodes at both ends send probes along the way, and set beside each hop who answers, and how fast.
        #[arg(long)]
        live: bool,
    },
    /// A dry run: what a change would do to every node's plan, and who would reach each other no more.
    ///
    /// Without a change, what the agents hold is compared with what they should.
    Plan(PlanOptions),
    /// The topology as a picture: `-o svg` (the default), `-o dot` for Graphviz, `-o mermaid`.
    ///
    /// Locations are groups; tunnels have their round trip and rate; what is broken is red.
    Graph,
    /// Bytes from location to location, and what they cost.
    Traffic {
        /// The price of a gigabyte by pair of locations, as YAML or JSON:
        /// {currency: USD, default: 0.01, prices: [{from: a, to: b, per_gb: 0.09}]}.
        #[arg(long, value_name = "FILE")]
        prices: Option<PathBuf>,
    },
    /// A page for the browser of this machine: the map, the matrix of locations and what happens, live. Runs until it is interrupted.
    Dashboard(DashboardOptions),
    /// One archive for a bug report: every agent's pages, objects, versions; without secrets.
    Bundle {
        /// The archive to write.
        #[arg(value_name = "FILE", default_value = "carrick-bundle.tar.gz")]
        path: PathBuf,
    },
    /// Completions for a shell, on the standard output.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// The manual page, on the standard output.
    Man {
        /// Write the page of every command into this directory instead.
        #[arg(long, value_name = "DIRECTORY")]
        directory: Option<PathBuf>,
    },
    /// The version of this program.
    Version,
}

/// Options of `carrickctl latency`.
#[derive(Args, Clone, Debug)]
pub struct LatencyOptions {
    /// Between nodes instead of locations.
    #[arg(long)]
    pub nodes: bool,
    /// Median round trips as a matrix.
    #[arg(long, conflicts_with = "histogram")]
    pub matrix: bool,
    /// How long the round trips between two locations took, or with --nodes two nodes.
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"])]
    pub histogram: Option<Vec<String>>,
}

/// Options of `carrickctl plan`.
#[derive(Args, Clone, Debug)]
pub struct PlanOptions {
    /// Set an annotation of a Node, or remove it with `key-`; the prefix carrick.dev/ may be left out. May be repeated.
    #[arg(long, num_args = 2, value_names = ["NODE", "KEY=VALUE"], action = clap::ArgAction::Append)]
    pub annotate: Vec<String>,
    /// Add or replace the Nodes and Peers of a file. May be repeated.
    #[arg(long, value_name = "FILE")]
    pub apply: Vec<PathBuf>,
    /// A node dies: what becomes unreachable.
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

impl Cli {
    /// Carries the command out once.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn run(&self, terminal: Terminal) -> Result<Rendered, Failure> {
        match &self.command {
            Command::Completions { shell } => Ok(print::completions(*shell)),
            Command::Man { directory } => print::manual(directory.as_deref()),
            Command::Version => Ok(print::version()),
            Command::Status => self.render(&Status::of(&self.snapshot().await?), terminal),
            Command::Doctor(options) => self.render(&doctor::run(&self.access, options).await?, terminal),
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
                "--live has agents send probes, and saved objects have none: use a kubeconfig, `--local` or `--socket`"
                    .to_owned(),
            ));
        }
        let pods = look_up(&access, [from, to]).await?;
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

    /// A snapshot for what only agents can tell.
    async fn pages(&self) -> Result<Snapshot, Failure> {
        let snapshot = self.snapshot().await?;
        if snapshot.pages().next().is_some() {
            return Ok(snapshot);
        }
        let reason =
            snapshot.unreachable().pop_first().map(|(name, error)| format!("no agent answers; {name}: {error}"));
        Err(Failure::Unreachable(reason.unwrap_or_else(|| {
            "this takes agents that answer, and saved objects have none: use a kubeconfig, `--local` or `--socket`"
                .to_owned()
        })))
    }
}
