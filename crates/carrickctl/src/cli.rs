//! The command line.

mod print;

use std::path::PathBuf;

use carrick_kube::objects::Objects;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::access::{self, Access, AccessOptions};
use crate::blueprint::Blueprint;
use crate::bundle::Bundle;
use crate::dashboard::{self, DashboardOptions};
use crate::doctor::{self, DoctorOptions};
use crate::dry_run::{Annotation, Change, DryRun};
use crate::failure::Failure;
use crate::graph::Graph;
use crate::latency::{Between, Form, Latency};
use crate::output::{OutputOptions, Screen, Shown, View, show};
use crate::peers::Peers;
use crate::routes::Routes;
use crate::status::Status;
use crate::survey::Survey;
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
    /// The cluster on one screen: locations, gateways, nodes, tunnels, warnings. Ends with 1 when something is not well.
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
    pub async fn run(&self, screen: Screen) -> Result<Shown, Failure> {
        match &self.command {
            Command::Completions { shell } => Ok(print::completions(*shell)),
            Command::Man { directory } => print::manual(directory.as_deref()),
            Command::Version => Ok(print::version()),
            Command::Status => self.show(&Status::of(&self.survey().await?), screen),
            Command::Doctor(options) => self.show(&doctor::run(&self.access, options).await?, screen),
            Command::Peers { node } => self.show(&Peers::of(&self.pages().await?, node.as_deref())?, screen),
            Command::Latency(options) => {
                let between = if options.nodes { Between::Nodes } else { Between::Locations };
                self.show(&Latency::of(&self.pages().await?, between, options.form())?, screen)
            }
            Command::Routes { node } => {
                let blueprint = Blueprint::of(&self.survey().await?)?;
                self.show(&Routes::of(&blueprint, node)?, screen)
            }
            Command::Trace { from, to, live } => self.trace(from, to, *live, screen).await,
            Command::Plan(options) => {
                let change = options.change()?;
                self.show(&DryRun::of(&self.survey().await?, &change)?, screen)
            }
            Command::Graph => Graph::of(&self.survey().await?)?.write(self.output.output, screen),
            Command::Traffic { prices } => {
                let prices = prices.as_deref().map(Prices::read).transpose()?;
                self.show(&TrafficTable::of(&self.pages().await?, prices.as_ref()), screen)
            }
            Command::Dashboard(options) => {
                dashboard::serve(options, Access::open(&self.access).await?).await?;
                Ok(Shown::default())
            }
            Command::Bundle { path } => {
                let access = Access::open(&self.access).await?;
                self.show(&Bundle::write(&access, &access.survey().await?, path).await?, screen)
            }
        }
    }

    async fn trace(&self, from: &str, to: &str, live: bool, screen: Screen) -> Result<Shown, Failure> {
        let access = Access::open(&self.access).await?;
        if live && access.is_offline() {
            return Err(Failure::Usage(
                "--live has agents send probes, and saved objects have none: use a kubeconfig, `--local` or `--socket`"
                    .to_owned(),
            ));
        }
        let pods = look_up(&access, [from, to]).await?;
        let survey = access.survey().await?;
        let blueprint = Blueprint::of(&survey)?;
        let (from, to) = (End::of(&blueprint, &pods, from)?, End::of(&blueprint, &pods, to)?);
        let mut trace = Trace::of(&survey, &blueprint, &from, &to)?;
        if live {
            send_probes(&access, &survey, &blueprint, &mut trace).await;
        }
        self.show(&trace, screen)
    }

    fn show(&self, view: &impl View, screen: Screen) -> Result<Shown, Failure> {
        show(view, self.output.output, screen)
    }

    async fn survey(&self) -> Result<Survey, Failure> {
        Access::open(&self.access).await?.survey().await
    }

    /// A survey for what only agents can tell.
    async fn pages(&self) -> Result<Survey, Failure> {
        let survey = self.survey().await?;
        if survey.pages().next().is_some() {
            return Ok(survey);
        }
        let reason = survey.agents.iter().find_map(|agent| match &agent.answer {
            crate::survey::Answer::Silence(reason) => Some(format!("no agent answers; {}: {reason}", agent.name)),
            crate::survey::Answer::Page(_) | crate::survey::Answer::None => None,
        });
        Err(Failure::Unreachable(reason.unwrap_or_else(|| {
            "this takes agents that answer, and saved objects have none: use a kubeconfig, `--local` or `--socket`"
                .to_owned()
        })))
    }
}
