//! How long the traffic of a location pauses when its gateway fails, and what its return costs.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

use crate::address::Family;
use crate::failure::Failure;
use crate::flow::{Flow, Report};
use crate::footprint::Footprint;
use crate::quantile::quantile;
use crate::{Lab, Topology, processor, wait};

/// Two clouds; in one of them a gateway, its standby, a node that stands by when the gateway is down, and one that needs a gateway.
const GATEWAYS: &str = "
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}, {name: a3}, {name: a4}]}
  - {name: b, nodes: [{name: b1}, {name: b2}]}
";

/// The gateway that fails.
const GATEWAY: &str = "a1";
/// Those that judge it: their agents are started anew between runs, so that each fall is the first one.
const OBSERVERS: [&str; 5] = ["a2", "a3", "a4", "b1", "b2"];
/// A request each 10 ms when the gateway fails.
const INTERVAL: Duration = Duration::from_millis(10);
/// A request each 2 ms when it comes back.
const CLOSE_INTERVAL: Duration = Duration::from_millis(2);
/// What is sent when it comes back: from a node for which another one carries meanwhile, and from one that carries for itself.
const RETURN_FLOWS: [(&str, Family); 2] = [("a4-pod1", Family::V4), ("a3-pod1", Family::V6)];
/// Requests answered before and after each event.
const CALM: u64 = 100;

/// How long the agents are watched for what probing costs them.
const WATCH: Duration = Duration::from_secs(30);

/// What the probes of six nodes cost each of their agents, in percent of a processor: the mean of all.
///
/// # Errors
/// The lab does not come up.
pub fn probing_percent() -> Result<f64> {
    let lab = Lab::up(&Topology::parse(GATEWAYS)?)?;
    for node in lab.nodes() {
        node.await_agent()?;
    }
    await_calm(&lab)?;
    let agents: Vec<u32> = lab.nodes().filter_map(|node| node.agent_pid()).collect();
    let probing = || {
        let each = agents.iter().map(|pid| Ok(Footprint::of(*pid)?.probing));
        each.sum::<Result<Duration>>()
    };
    let before = probing()?;
    std::thread::sleep(WATCH);
    let spent = probing()? - before;
    Ok(spent.as_secs_f64() / WATCH.as_secs_f64() / agents.len() as f64 * 100.0)
}

/// What the runs of one failure came to.
#[derive(Debug, Serialize)]
pub struct Measurement {
    /// How the gateway failed.
    pub failure: Failure,
    /// How often.
    pub runs: usize,
    /// The longest time between two answers when it failed.
    pub gap_ms: Quantiles,
    /// The requests of both flows that were lost when it came back; absent where it never counted as down.
    pub lost_on_return: Option<Quantiles>,
    /// The returns at which any request was lost.
    pub returns_with_loss: usize,
    /// The answers of both flows that came twice, at all returns together.
    pub answered_twice: u64,
}

/// Of all runs.
#[derive(Debug, Serialize)]
pub struct Quantiles {
    /// Half of them stayed within this.
    pub p50: f64,
    /// 95 of 100 stayed within this.
    pub p95: f64,
    /// All stayed within this.
    pub max: f64,
}

impl Quantiles {
    fn of(values: &[f64]) -> Option<Self> {
        let at = |share| quantile(values, share);
        Some(Self { p50: at(0.5)?, p95: at(0.95)?, max: at(1.0)? })
    }
}

/// The nodes of each cloud, which have a processor each as far as the machine has two.
const CLOUDS: [&[&str]; 2] = [&["a1", "a2", "a3", "a4"], &["b1", "b2"]];

/// Lets the gateway fail so often in this way, and come back.
///
/// # Errors
/// The lab does not come up, or the traffic does not go on.
pub fn measure(failure: Failure, runs: usize) -> Result<Measurement> {
    let mut lab = Lab::up(&Topology::parse(GATEWAYS)?)?;
    for node in lab.nodes() {
        node.await_agent()?;
    }
    let (mut gaps, mut lost, mut answered_twice) = (Vec::new(), Vec::new(), 0);
    for run in 0..runs {
        await_calm(&lab)?;
        processor::separate(&lab, &CLOUDS)?;
        let flow = flow(&lab, "a4-pod1", Family::V4, INTERVAL)?;
        failure.inject(&mut lab, GATEWAY)?;
        flow.await_answers(2 * CALM)?;
        let report = flow.stop()?;
        gaps.push(report.longest_silence.as_secs_f64() * 1000.0);
        let returned = come_back(&mut lab, failure)?;
        let of_each: Vec<usize> = returned.iter().map(|report| report.lost.len()).collect();
        tracing::info!(event = "gateway_failed", ?failure, run, gap = ?report.longest_silence, lost_on_return = ?of_each);
        if !returned.is_empty() {
            lost.push(of_each.iter().sum::<usize>() as f64);
        }
        answered_twice += returned.iter().map(|report| report.duplicates).sum::<u64>();
        forget(&lab)?;
    }
    let gap_ms = Quantiles::of(&gaps).context("at least one run is needed")?;
    let returns_with_loss = lost.iter().filter(|lost| **lost > 0.0).count();
    Ok(Measurement { failure, runs, gap_ms, lost_on_return: Quantiles::of(&lost), returns_with_loss, answered_twice })
}

/// Brings the gateway back under running flows, if it is down at all.
fn come_back(lab: &mut Lab, failure: Failure) -> Result<Vec<Report>> {
    if !is_down_for_anybody(lab)? {
        failure.undo(lab, GATEWAY)?;
        return Ok(Vec::new());
    }
    let flows = RETURN_FLOWS.map(|(from, family)| flow(lab, from, family, CLOSE_INTERVAL));
    let flows = flows.into_iter().collect::<Result<Vec<Flow>>>()?;
    failure.undo(lab, GATEWAY)?;
    processor::separate(lab, &CLOUDS)?;
    wait::until("the gateway's return", || Ok((!is_returning_for_anybody(lab)?).then_some(())))?;
    flows.iter().try_for_each(|flow| flow.await_answers(2 * CALM))?;
    flows.into_iter().map(Flow::stop).collect()
}

fn flow(lab: &Lab, from: &str, family: Family, interval: Duration) -> Result<Flow> {
    let target = lab.pod("b1-pod1")?.addresses().of(family).context("the pod has no such address")?;
    let flow = Flow::start(lab.pod(from)?.namespaces(), target, interval)?;
    flow.await_answers(CALM)?;
    Ok(flow)
}

/// Agents that start anew have no falls to hold against anybody.
fn forget(lab: &Lab) -> Result<()> {
    for name in OBSERVERS {
        let node = lab.node(name)?;
        node.kill_agent()?;
        node.start_agent()?;
        node.await_agent()?;
    }
    Ok(())
}

/// Waits until every probed path is up.
fn await_calm(lab: &Lab) -> Result<()> {
    for node in lab.nodes() {
        wait::until("paths that are up", || {
            let paths = status(lab, node.name())?["paths"].as_array().cloned().unwrap_or_default();
            let up = paths.iter().filter(|path| path["state"] == "up" && path["answered"].as_u64() >= Some(8)).count();
            Ok((!paths.is_empty() && up == paths.len()).then_some(()))
        })?;
    }
    Ok(())
}

fn is_down_for_anybody(lab: &Lab) -> Result<bool> {
    for name in OBSERVERS {
        let down = status(lab, name)?["liveness"]["down"].as_array().is_some_and(|down| !down.is_empty());
        if down {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether it is down for anybody, or its return is not over.
fn is_returning_for_anybody(lab: &Lab) -> Result<bool> {
    for name in OBSERVERS {
        let returning = status(lab, name)?["liveness"]["returning"].as_array().is_some_and(|nodes| !nodes.is_empty());
        if returning {
            return Ok(true);
        }
    }
    is_down_for_anybody(lab)
}

fn status(lab: &Lab, node: &str) -> Result<Value> {
    Ok(serde_json::from_str(&lab.node(node)?.agent_page("/status")?.body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let quantiles = Quantiles::of(&(1..=20).map(f64::from).collect::<Vec<_>>()).unwrap();
        assert_eq!((quantiles.p50, quantiles.p95, quantiles.max), (10.0, 19.0, 20.0));
        assert!(Quantiles::of(&[]).is_none());
    }
}
