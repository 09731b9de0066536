//! Changes, one after the other, and how long each takes until the kernel holds it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::api::Api;
use super::kernel_state::{Crossing, KernelState};
use super::population::Population;
use super::report::Latency;

/// Between two changes, so that each is one of its own; not a divisor of anything that happens periodically.
const PAUSE: Duration = Duration::from_millis(271);

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// The endpoint of another location's active gateway.
    ChangedEndpoint,
    /// A node is added to a location, each time to the next one.
    NewNode,
}

/// Where changes are made and looked for.
pub(super) struct Changes<'a> {
    pub(super) api: &'a Api,
    pub(super) kernel: &'a KernelState,
    pub(super) population: &'a mut Population,
}

impl Changes<'_> {
    /// Makes that many changes. Each is timed from the moment at which the write to the API is begun.
    pub(super) fn measure(&mut self, trial: Trial, count: usize) -> Result<Latency> {
        let mut samples = Vec::new();
        for round in 0..count {
            std::thread::sleep(PAUSE);
            let sample = match trial {
                Trial::ChangedEndpoint => self.change_endpoint(round),
                Trial::NewNode => self.add_node(),
            };
            samples.push(sample.with_context(|| format!("{trial:?} number {round}"))?);
        }
        Ok(Latency::of(&samples))
    }

    fn change_endpoint(&mut self, round: usize) -> Result<Sample> {
        let gateway = self.population.move_gateway(round).context("no other location has a gateway")?;
        let (name, annotations) = (gateway.name(), self.population.annotations(&gateway));
        let began = Instant::now();
        let write = self.api.begin(|api| async move { api.publish(&name, &annotations).await });
        let arrived = self.kernel.await_endpoint(&gateway.public_key(), &gateway.endpoint())?;
        Ok(Sample { written: self.api.end(write)? - began, arrived: arrived - began })
    }

    fn add_node(&mut self) -> Result<Sample> {
        let node = self.population.add();
        let object = self.population.annotated_object(&node);
        let crossing = if node.is_in_own_location() { Crossing::InsideLocation } else { Crossing::BetweenLocations };
        let began = Instant::now();
        let write = self.api.begin(|api| async move { api.create_node(&object).await });
        let arrived = self.kernel.await_pod_cidrs(&node.pod_cidrs(), crossing)?;
        Ok(Sample { written: self.api.end(write)? - began, arrived: arrived - began })
    }
}

/// One change, from the moment at which its write was begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Until the API server has answered.
    pub(super) written: Duration,
    /// Until the kernel holds it.
    pub(super) arrived: Duration,
}
