//! Changes, one after the other, and how long each takes until the kernel has it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::api::Api;
use super::kernel_state::{KernelState, Route};
use super::latency::{Latency, Sample};
use super::population::Population;

/// The time between two changes, so that the agent handles each one alone. It is not a divisor of any period in the system.
const PAUSE: Duration = Duration::from_millis(271);

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The endpoint of another location's active gateway changes.
    Endpoint,
    /// A node is added, to each location in turn.
    NewNode,
}

/// Makes changes and watches for them.
pub(super) struct Changes<'a> {
    pub(super) api: &'a Api,
    pub(super) kernel: &'a KernelState,
    pub(super) population: &'a mut Population,
}

impl Changes<'_> {
    /// Makes this number of changes. The time of each change starts with its write to the API.
    pub(super) fn measure(&mut self, change: Change, count: usize) -> Result<Latency> {
        let mut samples = Vec::new();
        for number in 0..count {
            std::thread::sleep(PAUSE);
            let sample = match change {
                Change::Endpoint => self.change_endpoint(number),
                Change::NewNode => self.add_node(),
            };
            samples.push(sample.with_context(|| format!("{change:?} number {number}"))?);
        }
        Ok(Latency::of(&samples))
    }

    fn change_endpoint(&mut self, number: usize) -> Result<Sample> {
        let gateway = self.population.move_gateway(number).context("no other location has a gateway")?;
        let (name, annotations) = (gateway.name(), self.population.annotations(&gateway));
        let began = Instant::now();
        let write = self.api.begin(|api| async move { api.publish(&name, &annotations).await });
        let arrived = self.kernel.await_endpoint(&gateway.public_key(), &gateway.endpoint())?;
        Ok(Sample { written: self.api.end(write)? - began, arrived: arrived - began })
    }

    fn add_node(&mut self) -> Result<Sample> {
        let node = self.population.add();
        let object = self.population.annotated_object(&node);
        let route = if node.is_in_own_location() { Route::InsideLocation } else { Route::Tunnel };
        let began = Instant::now();
        let write = self.api.begin(|api| async move { api.create_node(&object).await });
        let arrived = self.kernel.await_pod_cidrs(&node.pod_cidrs(), route)?;
        Ok(Sample { written: self.api.end(write)? - began, arrived: arrived - began })
    }
}
