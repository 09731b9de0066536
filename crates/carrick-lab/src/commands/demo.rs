//! The demo: a cluster over three clouds, and a measurement of all pairs.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use carrick_lab::Topology;
use carrick_lab::cluster::services;
use carrick_lab::daemon::{LabDaemon, Request};
use carrick_lab::description::{Description, NodeDescription};
use carrick_lab::matrix::{self, MatrixOptions, Pair};
use carrick_lab::topology::{DEMO, Kubernetes};
use carrick_topology::{Encapsulation, Granularity};
use serde::Serialize;

use super::prove::{self, Proof};
use super::{attach, guide, say, table};

/// A megabyte for each pair, and time for the first handshakes.
const MEASUREMENT: MatrixOptions = MatrixOptions { timeout: Duration::from_secs(15), tcp_bytes: 1_000_000 };
/// How long nodes may take to become ready before the measurement starts.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The options of the demo.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Which nodes have tunnels to each other: `location`, `cross` or `full`.
    #[arg(long, default_value_t)]
    granularity: Granularity,
    /// How pod packets travel inside a location: `always`, `cross-subnet` or `never` in VXLAN.
    #[arg(long, default_value_t)]
    encapsulation: Encapsulation,
    /// Use a real etcd and kube-apiserver instead of the small API server.
    #[arg(long)]
    apiserver: bool,
    /// Use real Kubernetes: etcd, kube-apiserver, controller manager and scheduler, and on each node containerd, kubelet and
    /// kube-proxy, with Carrick as a DaemonSet. Each location's Service is also tested, by its DNS name.
    #[arg(long, conflicts_with_all = ["apiserver", "prove"])]
    kubernetes: bool,
    /// Also capture packets in the internet, and stop WireGuard, to show that nothing passes without it.
    #[arg(long)]
    prove: bool,
    /// Leave the lab running, and print commands that show it.
    #[arg(long)]
    keep: bool,
    /// Print one JSON object and nothing else on standard output.
    #[arg(long)]
    json: bool,
    /// The topology file; two clouds and a home by default.
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
}

/// The result, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    granularity: Granularity,
    kubernetes: Kubernetes,
    nodes: Vec<NodeReport>,
    pairs: Vec<Pair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Proof>,
    ok: bool,
}

#[derive(Debug, Serialize)]
struct NodeReport {
    name: String,
    location: String,
    ready: bool,
}

/// `carrick-lab demo`. Succeeds if all pods and nodes reach all pods.
///
/// # Errors
/// The lab does not come up, or a part of it fails.
pub fn demo(name: Option<&str>, options: &Options) -> Result<ExitCode> {
    let began = Instant::now();
    let name = match (name, options.keep) {
        (Some(name), _) => name.to_owned(),
        (None, true) => "demo".to_owned(),
        (None, false) => format!("demo-{}", std::process::id()),
    };
    let topology = options.topology()?;
    tracing::info!(event = "demo_started", locations = topology.locations.len());
    let mut daemon = LabDaemon::up(&name, &topology)?;
    let description = daemon.description()?;
    let nodes = await_ready(&description);
    tracing::info!(event = "demo_measuring", seconds = began.elapsed().as_secs_f64());
    let watch = if options.prove { Some(prove::Watch::start(&description)?) } else { None };
    let endpoints = description.endpoints()?;
    let mut pairs = matrix::measure(&endpoints, MEASUREMENT)?;
    if description.kubectl.is_some() {
        let locations: Vec<_> = topology.locations.iter().map(|location| location.name.clone()).collect();
        pairs.extend(services::measure(&endpoints, &locations)?);
        pairs.sort_by(|one, other| (&one.from, &one.to, one.family).cmp(&(&other.from, &other.to, other.family)));
    }
    let proof = match watch {
        Some(watch) => Some(watch.prove(&mut daemon, &description)?),
        None => None,
    };
    let ok = !pairs.is_empty()
        && pairs.iter().all(|pair| pair.reachable && pair.tcp_ok)
        && nodes.iter().all(|node| node.ready)
        && proof.as_ref().is_none_or(|proof| proof.ok);
    let report = Report { granularity: options.granularity, kubernetes: topology.kubernetes, nodes, pairs, proof, ok };
    show(&report, options.json, began)?;
    if options.keep {
        daemon.request(Request::Stay)?;
        let guide = guide::guide(&name, &description);
        std::io::stderr().write_all(format!("\n{guide}\n").as_bytes()).context("write to standard error")?;
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Options {
    fn topology(&self) -> Result<Topology> {
        let mut topology = match &self.topology {
            Some(file) => Topology::read(file)?,
            None => Topology::parse(DEMO)?,
        };
        topology.agent.granularity = self.granularity;
        topology.agent.encapsulation = self.encapsulation;
        if self.kubernetes {
            topology.kubernetes = Kubernetes::Cluster;
        }
        if self.apiserver {
            topology.kubernetes = Kubernetes::Apiserver;
        }
        Ok(topology)
    }
}

fn await_ready(description: &Description) -> Vec<NodeReport> {
    let deadline = Instant::now() + READY_TIMEOUT;
    let ready = |name: &String| loop {
        if attach::is_ready(description, name) {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let report = |(name, node): (&String, &NodeDescription)| NodeReport {
        name: name.clone(),
        location: node.location.clone(),
        ready: ready(name),
    };
    description.nodes.iter().map(report).collect()
}

fn show(report: &Report, json: bool, began: Instant) -> Result<()> {
    if json {
        return say(&(serde_json::to_string(report)? + "\n"));
    }
    let reached = report.pairs.iter().filter(|pair| pair.reachable).count();
    let moved = report.pairs.iter().filter(|pair| pair.tcp_ok).count();
    let all = report.pairs.len();
    let mut text = format!(
        "\n{}{reached} of {all} pairs reach each other, {moved} of {all} transferred 1 MB over TCP with the correct hash\n",
        table::matrix(&report.pairs)
    );
    for node in report.nodes.iter().filter(|node| !node.ready) {
        text += &format!("{} is not ready\n", node.name);
    }
    if let Some(proof) = &report.proof {
        text += &proof.to_string();
    }
    text += if report.ok { "everything works" } else { "NOT everything works" };
    say(&format!("{text} after {:.1} s\n", began.elapsed().as_secs_f64()))
}
