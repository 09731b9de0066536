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
use crate::{Lab, Topology, wait};

/// Two clouds; in one of them a gateway, its standby, and a node that needs one of them.
const GATEWAYS: &str = "
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}, {name: a3}]}
  - {name: b, nodes: [{name: b1}, {name: b2}]}
";

/// The gateway that fails.
const GATEWAY: &str = "a1";
/// Those that judge it: their agents are started anew between runs, so that each fall is the first one.
const OBSERVERS: [&str; 4] = ["a2", "a3", "b1", "b2"];
/// A request each 10 ms.
const INTERVAL: Duration = Duration::from_millis(10);
/// Requests answered before and after each event.
const CALM: u64 = 100;

/// How long the agents are watched for what probing costs them.
const WATCH: Duration = Duration::from_secs(30);

/// What the probes of five nodes cost each of their agents, in percent of a processor: the mean of all.
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
    /// The requests of one flow that were lost when it came back; absent where it never counted as down.
    pub lost_on_return: Option<Quantiles>,
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

/// Lets the gateway fail so often in this way, and come back.
///
/// # Errors
/// The lab does not come up, or the traffic does not go on.
pub fn measure(failure: Failure, runs: usize) -> Result<Measurement> {
    let mut lab = Lab::up(&Topology::parse(GATEWAYS)?)?;
    for node in lab.nodes() {
        node.await_agent()?;
    }
    let (mut gaps, mut lost) = (Vec::new(), Vec::new());
    for run in 0..runs {
        await_calm(&lab)?;
        let flow = flow(&lab)?;
        failure.inflict(&mut lab, GATEWAY)?;
        flow.await_answers(2 * CALM)?;
        let report = flow.stop()?;
        gaps.push(report.longest_silence.as_secs_f64() * 1000.0);
        let returned = come_back(&mut lab, failure)?;
        lost.extend(returned.as_ref().map(|report| report.lost.len() as f64));
        tracing::info!(event = "gateway_failed", ?failure, run, gap = ?report.longest_silence, lost_on_return = ?returned.map(|report| report.lost));
        forget(&lab)?;
    }
    let gap_ms = Quantiles::of(&gaps).context("at least one run is needed")?;
    Ok(Measurement { failure, runs, gap_ms, lost_on_return: Quantiles::of(&lost) })
}

/// Brings the gateway back under a running flow, if it is down at all.
fn come_back(lab: &mut Lab, failure: Failure) -> Result<Option<Report>> {
    if !is_down_for_anybody(lab)? {
        failure.undo(lab, GATEWAY)?;
        return Ok(None);
    }
    let flow = flow(lab)?;
    failure.undo(lab, GATEWAY)?;
    wait::until("the gateway's return", || Ok((!is_down_for_anybody(lab)?).then_some(())))?;
    flow.await_answers(2 * CALM)?;
    flow.stop().map(Some)
}

fn flow(lab: &Lab) -> Result<Flow> {
    let target = lab.pod("b1-pod1")?.addresses().of(Family::V4).context("the pod has no IPv4 address")?;
    let flow = Flow::start(lab.pod("a3-pod1")?.namespaces(), target, INTERVAL)?;
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
