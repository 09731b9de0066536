//! Compares the kernel's state with the plan.

use std::path::Path;
use std::time::SystemTime;

use carrick_dataplane::firewall::{Firewall, TableChange};
use carrick_dataplane::inspection::InspectedWireGuard;
use carrick_dataplane::wireguard::{KernelWireGuard, UserspaceWireGuard, WireGuard};
use carrick_dataplane::{Desired, Keys, Reconciler, Sysctls, sightings};
use carrick_netlink::link::{self, LinkKind};
use carrick_netlink::wireguard::Device;
use carrick_netlink::{Error, Protocol, Socket};
use carrick_pods::ipam::{Store, StoreError};
use carrick_pods::pod_gateways;
use carrick_status::{ChecksPage, PodGatewayFault, WireGuardDevice, WireGuardState};
use carrick_topology::NodePlan;
use thiserror::Error as ThisError;

use super::patience::PATIENCE;
use crate::agent::sightings::peer_states;
use crate::cli::WireGuardBackend;

/// Compares devices, addresses, routes, rules, neighbours, peers and settings with the plan.
pub(super) fn look(
    plan: &NodePlan,
    keys: &Keys,
    backend: WireGuardBackend,
    run_directory: &Path,
    page: &mut ChecksPage,
) -> Result<(), Error> {
    let mut dataplane = Reconciler::open(wireguard(backend)?, Sysctls::default(), run_directory.to_owned())?;
    let desired = Desired::new(plan, keys, dataplane.maker());
    let now = SystemTime::now();
    let found = dataplane.inspect(&desired, now)?;
    page.forwarding_off = found.forwarding_off;
    page.strict_filters = found
        .strict_filters
        .into_iter()
        .map(|(device, setting)| (device, format!("net.{}", setting.replace('/', "."))))
        .collect();
    page.drift.extend(found.operations.iter().map(ToString::to_string));
    page.wireguard = match found.wireguard {
        InspectedWireGuard::Missing => WireGuardState::Missing,
        InspectedWireGuard::Silent(error) => WireGuardState::Unreadable(
            error.map_or_else(|| "it is no WireGuard device".to_owned(), |error| error.to_string()),
        ),
        InspectedWireGuard::Present(device) => WireGuardState::Present(state(device, now)),
    };
    // What is missing without the device comes back with it.
    if !matches!(page.wireguard, WireGuardState::Present(_)) {
        page.drift.clear();
    }
    rivals(plan, page)
}

/// Other devices of the kernel's WireGuard on the same port.
fn rivals(plan: &NodePlan, page: &mut ChecksPage) -> Result<(), Error> {
    let mut wireguard = match KernelWireGuard::open() {
        Ok(wireguard) => wireguard,
        Err(error) if error.is_not_found() || error.is_not_supported() => return Ok(()),
        Err(error) => return Err(error),
    };
    let links = link::dump(&mut Socket::open(Protocol::Route)?)?;
    let others = links
        .into_iter()
        .filter(|link| link.up && link.kind == LinkKind::WireGuard && link.name != plan.wireguard.device.as_str());
    for link in others {
        if wireguard.get(&link.name).is_ok_and(|device| device.port == plan.wireguard.port) {
            page.conflicting_devices.insert(link.name);
        }
    }
    Ok(())
}

/// Compares the nftables table and the chains of others with the plan.
pub(super) fn look_at_firewall(plan: &NodePlan, page: &mut ChecksPage) -> Result<(), Error> {
    let found = Firewall::open()?.inspect(&plan.firewall)?;
    page.dropping_chains = found.dropping;
    let change = match found.table {
        TableChange::None => return Ok(()),
        TableChange::Elements => "change elements of the nftables table inet carrick",
        TableChange::Replaced => "replace the nftables table inet carrick",
    };
    page.drift.push(change.to_owned());
    Ok(())
}

/// Why the pods' devices could not be looked at.
#[derive(Debug, ThisError)]
pub(super) enum PodError {
    /// The plugin's records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel could not be asked.
    #[error(transparent)]
    Kernel(#[from] Error),
}

/// The pods whose next hop is not as the plugin made it.
pub(super) fn pod_gateways(run_directory: &Path) -> Result<Vec<PodGatewayFault>, PodError> {
    let records = Store::under(run_directory).records()?.readable;
    let faults = pod_gateways::faults(&mut Socket::open(Protocol::Route)?, &records)?;
    let told =
        faults.into_iter().map(|found| PodGatewayFault { pod: found.pod, device: found.device, fault: found.fault });
    Ok(told.collect())
}

/// The WireGuard that the agent chose. Starts no process.
fn wireguard(backend: WireGuardBackend) -> Result<Box<dyn WireGuard>, Error> {
    let userspace = || UserspaceWireGuard::default().answering_within(PATIENCE);
    match backend {
        WireGuardBackend::Kernel => Ok(Box::new(KernelWireGuard::open()?)),
        WireGuardBackend::Userspace => Ok(Box::new(userspace())),
        WireGuardBackend::Auto => match KernelWireGuard::open() {
            Ok(kernel) => Ok(Box::new(kernel)),
            Err(error) if error.is_not_found() || error.is_not_supported() => Ok(Box::new(userspace())),
            Err(error) => Err(error),
        },
    }
}

fn state(device: Device, now: SystemTime) -> WireGuardDevice {
    WireGuardDevice { port: device.port, public_key: device.public_key, peers: peer_states(&sightings(device, now)) }
}
