//! How long the traffic of a location pauses when its gateway fails, and what the gateway's return costs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use carrick_lab::address::Family;
use carrick_lab::failure::Failure;
use carrick_lab::flow::{Flow, Report};
use carrick_lab::lab::Lab;
use carrick_lab::topology::{DEMO, Topology};
use carrick_lab::{cpu_affinity, wait};
use serde::Serialize;
use serde_json::Value;

use crate::process_usage::ProcessUsage;
use crate::quantile::quantile;

/// Two clouds. Cloud `a` has a gateway, its standby, and two inner nodes.
const GATEWAYS: &str = "
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}, {name: a3}, {name: a4}]}
  - {name: b, nodes: [{name: b1}, {name: b2}]}
";

/// The gateway that fails.
const GATEWAY: &str = "a1";
/// The nodes that probe the gateway. Their agents are restarted between runs, so that they count no earlier flap.
const OBSERVERS: [&str; 5] = ["a2", "a3", "a4", "b1", "b2"];
/// The nodes of each cloud. Each cloud runs on a processor of its own, if the machine has two.
const CLOUDS: [&[&str]; 2] = [&["a1", "a2", "a3", "a4"], &["b1", "b2"]];
/// The time between two requests while the gateway fails.
const INTERVAL: Duration = Duration::from_millis(10);
/// The time between two requests while the gateway returns.
const SHORT_INTERVAL: Duration = Duration::from_millis(2);
/// The flows while the gateway returns: from two nodes whose traffic another gateway carries meanwhile.
const RETURN_FLOWS: [(&str, Family); 2] = [("a4-pod1", Family::V4), ("a3-pod1", Family::V6)];
/// The number of requests that are answered before and after each event.
const STEADY_ANSWERS: u64 = 100;
/// The number of probes that a path has answered before a run.
const STEADY_PROBES: u64 = 8;

/// How long the cost of probing is measured.
const PROBING_TIME: Duration = Duration::from_secs(30);

/// What probing costs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ProbingCost {
    /// The number of agents.
    pub agents: usize,
    /// The processor time of an agent's probe thread, in percent of a processor: the mean of all agents.
    pub percent: f64,
    /// The probes that an agent sends in a second: the mean of all agents. Each agent answers as many probes on average.
    pub probes_per_second: f64,
}

/// Measures what probing costs each agent of the demo, which has five nodes.
///
/// # Errors
/// The lab does not come up.
pub fn probing_cost() -> Result<ProbingCost> {
    let lab = up(DEMO)?;
    await_steady_paths(&lab)?;
    let agents: Vec<u32> = lab.nodes().filter_map(|node| node.agent_pid()).collect();
    let probing = || agents.iter().map(|pid| Ok(ProcessUsage::of(*pid)?.probing)).sum::<Result<Duration>>();
    let (before, sent_before, began) = (probing()?, probes_sent(&lab)?, Instant::now());
    std::thread::sleep(PROBING_TIME);
    let (spent, sent) = (probing()? - before, probes_sent(&lab)? - sent_before);
    let agent_seconds = began.elapsed().as_secs_f64() * agents.len() as f64;
    Ok(ProbingCost {
        agents: agents.len(),
        percent: spent.as_secs_f64() / agent_seconds * 100.0,
        probes_per_second: sent as f64 / agent_seconds,
    })
}

/// The number of probes that all agents together have sent, without those that measure path MTUs.
fn probes_sent(lab: &Lab) -> Result<u64> {
    let mut sent = 0;
    for node in lab.nodes() {
        let status = status(lab, node.name())?;
        sent += status["paths"].as_array().into_iter().flatten().filter_map(|path| path["sent"].as_u64()).sum::<u64>();
    }
    Ok(sent)
}

/// The result of the runs of one failure.
#[derive(Debug, Serialize)]
pub struct Measurement {
    /// How the gateway failed.
    pub failure: Failure,
    /// The number of runs.
    pub runs: usize,
    /// The longest time between two answers when the gateway failed.
    pub gap_ms: Quantiles,
    /// The requests of both flows that were lost when the gateway returned; absent if the gateway was never down.
    pub lost_on_return: Option<Quantiles>,
    /// The number of returns at which a request was lost.
    pub returns_with_loss: usize,
    /// The number of second answers to a request of either flow, in all returns together.
    pub answered_twice: u64,
}

/// Quantiles over all runs.
#[derive(Debug, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The maximum.
    pub max: f64,
}

impl Quantiles {
    fn of(values: &[f64]) -> Option<Self> {
        let at = |share| quantile(values, share);
        Some(Self { p50: at(0.5)?, p95: at(0.95)?, max: at(1.0)? })
    }
}

/// Lets the gateway fail in this way and return, in each run.
///
/// # Errors
/// The lab does not come up, or the traffic stops.
pub fn measure(failure: Failure, runs: usize) -> Result<Measurement> {
    let mut lab = up(GATEWAYS)?;
    let (mut gaps, mut lost, mut answered_twice) = (Vec::new(), Vec::new(), 0);
    for run in 0..runs {
        await_steady_paths(&lab)?;
        cpu_affinity::separate(&lab, &CLOUDS)?;
        let flow = flow(&lab, "a4-pod1", Family::V4, INTERVAL)?;
        failure.inject(&mut lab, GATEWAY)?;
        flow.await_answers(2 * STEADY_ANSWERS)?;
        let report = flow.stop()?;
        gaps.push(report.longest_silence.as_secs_f64() * 1000.0);
        let returned = return_gateway(&mut lab, failure)?;
        let of_each: Vec<usize> = returned.iter().map(|report| report.lost.len()).collect();
        tracing::info!(event = "gateway_failed", ?failure, run, gap = ?report.longest_silence, lost_on_return = ?of_each);
        if !returned.is_empty() {
            lost.push(of_each.iter().sum::<usize>() as f64);
        }
        answered_twice += returned.iter().map(|report| report.duplicates).sum::<u64>();
        restart_observers(&lab)?;
    }
    let gap_ms = Quantiles::of(&gaps).context("at least one run is needed")?;
    let returns_with_loss = lost.iter().filter(|lost| **lost > 0.0).count();
    Ok(Measurement { failure, runs, gap_ms, lost_on_return: Quantiles::of(&lost), returns_with_loss, answered_twice })
}

fn up(topology: &str) -> Result<Lab> {
    let lab = Lab::up(&Topology::parse(topology)?)?;
    for node in lab.nodes() {
        node.await_agent()?;
    }
    Ok(lab)
}

/// Ends the failure under running flows, if a node has found the gateway down.
fn return_gateway(lab: &mut Lab, failure: Failure) -> Result<Vec<Report>> {
    if !any_observer_lists(lab, &["down"])? {
        failure.undo(lab, GATEWAY)?;
        return Ok(Vec::new());
    }
    let flows = RETURN_FLOWS.map(|(from, family)| flow(lab, from, family, SHORT_INTERVAL));
    let flows = flows.into_iter().collect::<Result<Vec<Flow>>>()?;
    failure.undo(lab, GATEWAY)?;
    cpu_affinity::separate(lab, &CLOUDS)?;
    wait::until("the gateway's return", || Ok((!any_observer_lists(lab, &["down", "returning"])?).then_some(())))?;
    Flow::await_answers_of_all(&flows, 2 * STEADY_ANSWERS)?;
    flows.into_iter().map(Flow::stop).collect()
}

fn flow(lab: &Lab, from: &str, family: Family, interval: Duration) -> Result<Flow> {
    let target = lab.pod("b1-pod1")?.addresses().of(family).context("the pod has no such address")?;
    let flow = Flow::start(lab.pod(from)?.namespaces(), target, interval)?;
    flow.await_answers(STEADY_ANSWERS)?;
    Ok(flow)
}

fn restart_observers(lab: &Lab) -> Result<()> {
    for name in OBSERVERS {
        let node = lab.node(name)?;
        node.kill_agent()?;
        node.start_agent()?;
        node.await_agent()?;
    }
    Ok(())
}

/// Waits until every probed path is up.
fn await_steady_paths(lab: &Lab) -> Result<()> {
    for node in lab.nodes() {
        wait::until("paths that are up", || {
            let paths = status(lab, node.name())?["paths"].as_array().cloned().unwrap_or_default();
            let is_steady = |path: &&Value| path["state"] == "up" && path["answered"].as_u64() >= Some(STEADY_PROBES);
            let steady = paths.iter().filter(is_steady).count();
            Ok((!paths.is_empty() && steady == paths.len()).then_some(()))
        })?;
    }
    Ok(())
}

/// Whether an observer has a node in one of these lists of its liveness.
fn any_observer_lists(lab: &Lab, lists: &[&str]) -> Result<bool> {
    for name in OBSERVERS {
        let liveness = &status(lab, name)?["liveness"];
        if lists.iter().any(|list| liveness[list].as_array().is_some_and(|nodes| !nodes.is_empty())) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn status(lab: &Lab, node: &str) -> Result<Value> {
    Ok(serde_json::from_str(&lab.node(node)?.agent_page("/status")?.body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_measured_values() {
        let quantiles = Quantiles::of(&(1..=20).map(f64::from).collect::<Vec<_>>()).unwrap();
        assert_eq!((quantiles.p50, quantiles.p95, quantiles.max), (10.0, 19.0, 20.0));
        assert!(Quantiles::of(&[]).is_none());
    }
}
