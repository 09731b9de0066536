//! What one real agent costs beside many Node objects, and how fast it follows their changes.
//!
//! The API server and etcd are real, and so are the agent, its userspace WireGuard and the kernel that it programs. The other nodes
//! exist only as objects: they look as kubelets, the controller manager and other agents would have written them, and their status is
//! written again and again as kubelets do. All of it runs in namespaces of its own that end with this process.

mod agent_writes;
mod api;
mod changes;
mod kernel_state;
mod kubelets;
mod machine;
mod population;
mod report;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use self::changes::{Changes, Trial};
use self::kernel_state::KernelState;
use self::kubelets::Kubelets;
use self::machine::Machine;
use self::population::Population;
pub use self::report::{Latency, Measurement, Report};
use crate::footprint::Footprint;
use crate::state::StateDirectory;

/// How long the agent may take to know every node.
const SETTLE_LIMIT: Duration = Duration::from_secs(300);
/// How long nothing is measured after the agent knows every node: it still writes to its disk.
const REST: Duration = Duration::from_secs(12);
/// How often the kernel is compared with what is waited for while the agent settles.
const LOOK: Duration = Duration::from_millis(100);

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Trials {
    /// How many nodes the cluster has, the agent's own included.
    pub nodes: usize,
    /// How long the steady cluster is watched.
    pub steady: Duration,
    /// How many endpoints are changed, and then how many nodes are added.
    pub changes: usize,
}

/// Measures a cluster of one size.
///
/// # Errors
/// The cluster does not come up, or the agent does not follow it.
pub fn measure(trials: Trials) -> Result<Measurement> {
    let directory = StateDirectory::create(&format!("bench-scale-{}", std::process::id()))?;
    let machine = Machine::start(directory.path())?;
    // Everything that talks to the API or to the kernel's state does so from the node's network.
    machine.network()?.enter(|| in_network(&machine, trials))
}

fn in_network(machine: &Machine, trials: Trials) -> Result<Measurement> {
    let cluster = machine.start_cluster()?;
    let mut population = Population::new(trials.nodes);
    cluster.api.run(|api| {
        let own = population.own_node();
        async move { api.create_node(&own).await }
    })?;
    population.share_settings_of(&learn_settings(&cluster)?);
    tracing::info!(event = "nodes_being_created", nodes = trials.nodes);
    cluster.api.run(|api| population.create(api))?;
    let kubelets = Kubelets::start(&cluster.api, &population);

    tracing::info!(event = "agent_settles");
    let began = Instant::now();
    let agent = cluster.start_agent()?;
    let kernel = KernelState::open(machine)?;
    await_settled(&kernel, &population, || agent.check())?;
    let settle = began.elapsed();
    let settled = Footprint::of(agent.process().pid())?;
    std::thread::sleep(REST);

    tracing::info!(event = "steady_cluster_is_watched", seconds = trials.steady.as_secs());
    let before = cluster.gauge(&agent, &kubelets)?;
    std::thread::sleep(trials.steady);
    let after = cluster.gauge(&agent, &kubelets)?;

    tracing::info!(event = "changes_are_made", changes = trials.changes);
    let mut changes = Changes { api: &cluster.api, kernel: &kernel, population: &mut population };
    let endpoints = changes.measure(Trial::ChangedEndpoint, trials.changes)?;
    let new_nodes = changes.measure(Trial::NewNode, trials.changes)?;
    agent.check()?;
    let last = Footprint::of(agent.process().pid())?;
    drop(kubelets);
    Ok(report::Observations { trials, settle, settled, before, after, last, endpoints, new_nodes }
        .measurement(population.locations()))
}

/// Other agents have the same settings as this one and say so: what it says of itself is what they say.
fn learn_settings(cluster: &machine::Cluster<'_>) -> Result<String> {
    let agent = cluster.start_agent()?;
    let began = Instant::now();
    let settings = loop {
        agent.check()?;
        let published = cluster.api.run(|api| async move { api.annotation(population::OWN_NAME, "agent").await })?;
        match published {
            Some(settings) => break settings,
            None if began.elapsed() > SETTLE_LIMIT => bail!("the agent publishes nothing"),
            None => std::thread::sleep(LOOK),
        }
    };
    agent.end(nix::sys::signal::Signal::SIGTERM)?;
    Ok(settings)
}

fn await_settled(kernel: &KernelState, population: &Population, check: impl Fn() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    let wanted = population.remote_pod_cidrs();
    loop {
        check()?;
        let found = kernel.routes().context("read the node's routes")?;
        let missing = wanted.iter().filter(|cidr| !found.contains(*cidr)).count();
        if missing == 0 {
            return Ok(());
        }
        if began.elapsed() > SETTLE_LIMIT {
            bail!("after {} s the kernel lacks {missing} of {} pod CIDRs", SETTLE_LIMIT.as_secs(), wanted.len());
        }
        std::thread::sleep(LOOK);
    }
}
