//! What one real agent costs beside many Node objects, and how fast the agent follows their changes.
//!
//! The API server and etcd are real, and so are the agent, its userspace WireGuard and the kernel that the agent programs. The other
//! nodes are objects without a machine. Their objects look as kubelets, the controller manager and other agents write them, and the
//! benchmark updates their status as kubelets do. Everything runs in namespaces of its own that end with this process.

mod agent_writes;
mod api;
mod changes;
mod kernel_state;
mod kubelets;
mod latency;
mod machine;
mod parameters;
mod population;
mod report;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use carrick_lab::state::StateDirectory;
use nix::sys::signal::Signal;

use self::changes::{Change, Changes};
use self::kernel_state::KernelState;
use self::kubelets::Kubelets;
pub use self::latency::Latency;
use self::machine::{Cluster, Machine};
pub use self::parameters::Parameters;
use self::population::{OWN_NAME, Population};
pub use self::report::{Measurement, Report};
use crate::process_usage::ProcessUsage;

/// How long the agent may take to learn all nodes.
const SETTLE_LIMIT: Duration = Duration::from_secs(300);
/// How long the agent rests after it has learnt all nodes: it still writes to its disk.
const REST: Duration = Duration::from_secs(12);
/// How often the kernel's state is read while the agent learns the nodes.
const POLL: Duration = Duration::from_millis(100);

/// Measures a cluster of one size.
///
/// # Errors
/// The cluster does not come up, or the agent does not follow it.
pub fn measure(parameters: Parameters) -> Result<Measurement> {
    let directory = StateDirectory::create(&format!("bench-scale-{}", std::process::id()))?;
    let machine = Machine::start(directory.path())?;
    // Every client of the API and every reader of the kernel's state works in the node's network namespace.
    machine.network()?.enter(|| measure_in_network(&machine, parameters))
}

fn measure_in_network(machine: &Machine, parameters: Parameters) -> Result<Measurement> {
    let cluster = machine.start_cluster()?;
    let mut population = Population::new(parameters.nodes);
    cluster.api.run(|api| {
        let own = population.own_node();
        async move { api.create_node(&own).await }
    })?;
    population.set_agent_annotation(&learn_agent_annotation(&cluster)?);
    tracing::info!(event = "creating_nodes", nodes = parameters.nodes);
    cluster.api.run(|api| population.create(api))?;
    let kubelets = Kubelets::start(&cluster.api, &population);

    tracing::info!(event = "agent_starts");
    let began = Instant::now();
    let agent = cluster.start_agent()?;
    let kernel = KernelState::open(machine)?;
    await_routes(&kernel, &population, || agent.check())?;
    let settle = began.elapsed();
    let settled = ProcessUsage::of(agent.process().pid())?;
    std::thread::sleep(REST);

    tracing::info!(event = "measuring_steady_cluster", seconds = parameters.steady.as_secs());
    let before = cluster.counters(&agent, &kubelets)?;
    std::thread::sleep(parameters.steady);
    let after = cluster.counters(&agent, &kubelets)?;

    tracing::info!(event = "measuring_changes", changes = parameters.changes);
    let mut changes = Changes { api: &cluster.api, kernel: &kernel, population: &mut population };
    let endpoints = changes.measure(Change::Endpoint, parameters.changes)?;
    let new_nodes = changes.measure(Change::NewNode, parameters.changes)?;
    agent.check()?;
    let last = ProcessUsage::of(agent.process().pid())?;
    drop(kubelets);
    Ok(report::Observations { parameters, settle, settled, before, after, last, endpoints, new_nodes }
        .measurement(population.locations()))
}

/// The annotation `agent` of this agent. The agents of the other nodes have the same settings, so they publish the same value.
fn learn_agent_annotation(cluster: &Cluster<'_>) -> Result<String> {
    let agent = cluster.start_agent()?;
    let began = Instant::now();
    let annotation = loop {
        agent.check()?;
        let published = cluster.api.run(|api| async move { api.annotation(OWN_NAME, "agent").await })?;
        match published {
            Some(annotation) => break annotation,
            None if began.elapsed() > SETTLE_LIMIT => bail!("the agent publishes nothing"),
            None => std::thread::sleep(POLL),
        }
    };
    agent.end(Signal::SIGTERM)?;
    Ok(annotation)
}

/// Waits until the kernel has routes to the pods of all other nodes.
fn await_routes(kernel: &KernelState, population: &Population, check: impl Fn() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    let wanted = population.remote_pod_cidrs();
    loop {
        check()?;
        let present = kernel.routes().context("read the node's routes")?;
        let missing = wanted.iter().filter(|cidr| !present.contains(*cidr)).count();
        if missing == 0 {
            return Ok(());
        }
        if began.elapsed() > SETTLE_LIMIT {
            bail!("after {} s the kernel lacks {missing} of {} pod CIDRs", SETTLE_LIMIT.as_secs(), wanted.len());
        }
        std::thread::sleep(POLL);
    }
}
