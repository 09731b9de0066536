//! Looking without touching: what stands between the kernel and the plan, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use carrick_netlink::wireguard::Device;
use carrick_netlink::{Error, Family};
use carrick_topology::DeviceName;

use crate::desired::Desired;
use crate::operation::Operation;
use crate::reconciler::Reconciler;
use crate::sysctl::{forwarding_off, is_told, strict_filter};
use crate::wireguard::WireGuardError;

/// What was found.
#[derive(Debug)]
pub struct Inspection {
    /// The families that the plan needs and that the kernel does not forward.
    pub forwarding_off: BTreeSet<Family>,
    /// Carrick's devices with a strict reverse-path filter, each with the setting that makes it strict, below `/proc/sys/net`.
    pub strict_filters: BTreeMap<DeviceName, String>,
    /// What a reconciliation would do, without what the fields above tell.
    pub operations: Vec<Operation>,
    /// The WireGuard device.
    pub wireguard: InspectedWireGuard,
}

/// What was found of the WireGuard device.
#[derive(Debug)]
pub enum InspectedWireGuard {
    /// The kernel has no device of its name.
    Missing,
    /// It is there, and its configuration cannot be read; why, if that is known.
    Silent(Option<WireGuardError>),
    /// Its configuration.
    Present(Device),
}

impl Reconciler {
    /// Compares what the kernel holds with what is wanted. Writes nothing.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub fn inspect(&mut self, desired: &Desired, now: SystemTime) -> Result<Inspection, Error> {
        let observation = self.observe(desired)?;
        let difference = self.compare(desired, &observation, now);
        let observed = observation.observed;
        let strict = [&desired.wireguard.device, &desired.vxlan.device].into_iter().filter_map(|device| {
            let setting = strict_filter(device, &observed.sysctls)?;
            Some((device.clone(), setting))
        });
        let strict_filters: BTreeMap<DeviceName, String> = strict.collect();
        let is_news = |operation: &Operation| match operation {
            Operation::SetSysctl(setting) => !is_told(setting, &strict_filters),
            _ => true,
        };
        Ok(Inspection {
            forwarding_off: forwarding_off(desired, &observed.sysctls),
            operations: difference.operations.into_iter().filter(is_news).collect(),
            strict_filters,
            wireguard: match observed.wireguard.map(|found| found.configuration) {
                None => InspectedWireGuard::Missing,
                Some(None) => InspectedWireGuard::Silent(observation.unreadable_wireguard),
                Some(Some(device)) => InspectedWireGuard::Present(device),
            },
        })
    }
}
