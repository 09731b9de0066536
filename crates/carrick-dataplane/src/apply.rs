//! Carrying operations out: in order, in few system calls, and past the ones that fail.

use std::collections::BTreeMap;

use carrick_netlink::link::{Change, change, create_vxlan, create_wireguard, delete};
use carrick_netlink::neighbour::{self, ForwardingEntry, Neighbour};
use carrick_netlink::wireguard::{AllowedIpChange, AllowedIps, DeviceChange, PeerChange, PeerVerb};
use carrick_netlink::{Request, Socket, address, link, route, rule};
use carrick_topology::DeviceName;

use crate::operation::Operation;
use crate::sysctl::Sysctls;
use crate::wireguard::{WireGuard, WireGuardError};

/// An operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {cause}")]
pub struct Failure {
    /// What was to be done.
    pub operation: Operation,
    /// Why it could not be.
    #[source]
    pub cause: FailureCause,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum FailureCause {
    /// The kernel refused.
    #[error(transparent)]
    Netlink(#[from] carrick_netlink::Error),
    /// WireGuard refused, or does not answer.
    #[error(transparent)]
    WireGuard(#[from] WireGuardError),
    /// The setting cannot be written.
    #[error(transparent)]
    Sysctl(#[from] std::io::Error),
}

/// Who carries operations out.
pub(crate) struct Executor<'a> {
    pub(crate) socket: &'a mut Socket,
    pub(crate) wireguard: &'a mut dyn WireGuard,
    pub(crate) sysctls: &'a mut Sysctls,
    pub(crate) wireguard_device: &'a DeviceName,
    pub(crate) vxlan_device: &'a DeviceName,
    /// Whether single allowed IPs can be removed, as far as it was tried.
    pub(crate) removal: &'a mut AllowedIpRemoval,
}

/// How allowed IPs leave a peer that no other peer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllowedIpRemoval {
    /// Each on its own; to be tried first, because the others are never missing for a moment.
    Single,
    /// By replacing the whole list: what is there does not know single removal (kernels before 6.16).
    Replace,
}

/// The subsystem that an operation talks to; consecutive operations of one go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subsystem {
    Sysctl,
    /// Makes or removes a device, so that numbers of devices change.
    Devices,
    Route,
    WireGuard,
}

impl Executor<'_> {
    /// Carries out all operations; returns those that failed.
    pub(crate) fn apply(&mut self, operations: &[Operation]) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut indices = Indices::default();
        for run in operations.chunk_by(|a, b| subsystem(a) == subsystem(b)) {
            let Some(first) = run.first() else { continue };
            let results = match subsystem(first) {
                Subsystem::Sysctl => self.sysctls(run),
                Subsystem::Devices => {
                    let results = self.devices(run);
                    indices = Indices::default();
                    results
                }
                Subsystem::Route => self.route(run, &mut indices),
                Subsystem::WireGuard => self.wireguard(run),
            };
            failures.extend(run.iter().zip(results).filter_map(|(operation, result)| {
                result.err().map(|cause| Failure { operation: operation.clone(), cause })
            }));
        }
        failures
    }

    fn sysctls(&mut self, run: &[Operation]) -> Vec<Result<(), FailureCause>> {
        run.iter()
            .map(|operation| match operation {
                Operation::SetSysctl(setting) => Ok(self.sysctls.write(setting)?),
                _ => Ok(()),
            })
            .collect()
    }

    fn devices(&mut self, run: &[Operation]) -> Vec<Result<(), FailureCause>> {
        run.iter()
            .map(|operation| {
                let request = match operation {
                    Operation::CreateWireGuard { device, mtu } => create_wireguard(device.as_str(), *mtu),
                    Operation::CreateVxlan { device, settings, mtu, mac } => {
                        create_vxlan(device.as_str(), settings, *mtu, *mac)
                    }
                    Operation::DeleteDevice(device) => {
                        delete(link::by_name(self.socket, device.as_str())?.index, device.as_str())
                    }
                    _ => return Ok(()),
                };
                Ok(self.socket.execute(&request)?)
            })
            .collect()
    }

    fn route(&mut self, run: &[Operation], indices: &mut Indices) -> Vec<Result<(), FailureCause>> {
        let requests: Vec<Result<Request, FailureCause>> =
            run.iter().map(|operation| self.route_request(operation, indices)).collect();
        let (positions, sendable): (Vec<usize>, Vec<Request>) = requests
            .iter()
            .enumerate()
            .filter_map(|(position, request)| request.as_ref().ok().map(|request| (position, request.clone())))
            .unzip();
        let mut results: Vec<Result<(), FailureCause>> =
            requests.into_iter().map(|request| request.map(drop)).collect();
        for (position, result) in positions.into_iter().zip(self.socket.batch(&sendable)) {
            results[position] = result.map_err(FailureCause::from);
        }
        results
    }

    fn route_request(&mut self, operation: &Operation, indices: &mut Indices) -> Result<Request, FailureCause> {
        let mut index = |device: &DeviceName| indices.find(self.socket, device);
        Ok(match operation {
            Operation::SetMtu { device, mtu } => {
                let wanted = Change { mtu: Some(*mtu), ..Change::default() };
                change(index(device)?, device.as_str(), &wanted)
            }
            Operation::SetMac { device, mac } => {
                let wanted = Change { mac: Some(*mac), ..Change::default() };
                change(index(device)?, device.as_str(), &wanted)
            }
            Operation::SetUp(device) => {
                let wanted = Change { up: Some(true), ..Change::default() };
                change(index(device)?, device.as_str(), &wanted)
            }
            Operation::AddAddress(device, network) => {
                address::add(&address::Address::without_side_effects(index(device)?, *network))
            }
            Operation::RemoveAddress(device, network) => {
                address::delete(&address::Address::without_side_effects(index(device)?, *network))
            }
            Operation::SetNeighbour(address, mac) => {
                neighbour::replace(&Neighbour { link: index(self.vxlan_device)?, address: *address, mac: *mac })
            }
            Operation::RemoveNeighbour(address, mac) => {
                neighbour::delete(&Neighbour { link: index(self.vxlan_device)?, address: *address, mac: *mac })
            }
            Operation::SetForwarding(mac, destination) => {
                let entry = ForwardingEntry { link: index(self.vxlan_device)?, mac: *mac, destination: *destination };
                neighbour::replace_forwarding(&entry)
            }
            Operation::RemoveForwarding(mac, destination) => {
                let entry = ForwardingEntry { link: index(self.vxlan_device)?, mac: *mac, destination: *destination };
                neighbour::delete_forwarding(&entry)
            }
            Operation::SetRoute(wanted) => {
                let device = wanted.device().map(index).transpose()?;
                route::replace(&wanted.to_kernel(device))
            }
            Operation::RemoveRoute(found) => {
                let device = found.device().map(index).transpose()?;
                route::delete(&found.to_kernel(device))
            }
            Operation::AddRule(wanted) => rule::add(wanted),
            Operation::RemoveRule(found) => rule::delete(found),
            Operation::SetSysctl(_)
            | Operation::DeleteDevice(_)
            | Operation::CreateWireGuard { .. }
            | Operation::CreateVxlan { .. }
            | Operation::ConfigureWireGuard(_)
            | Operation::SetPeer(_)
            | Operation::RemoveAllowedIps { .. }
            | Operation::RemovePeer(_) => unreachable!("only operations of one subsystem are grouped"),
        })
    }

    fn wireguard(&mut self, run: &[Operation]) -> Vec<Result<(), FailureCause>> {
        let changes: Vec<DeviceChange> = run.iter().map(|operation| device_change(operation, *self.removal)).collect();
        let results = self.wireguard.set(self.wireguard_device.as_str(), &changes);
        let results = run.iter().zip(results).map(|(operation, result)| match result {
            Err(error) if is_removal(operation) && *self.removal == AllowedIpRemoval::Single => {
                self.without_single_removal(operation, error)
            }
            result => result.map_err(FailureCause::from),
        });
        results.collect()
    }

    /// Tries again in the way that every WireGuard knows.
    fn without_single_removal(&mut self, operation: &Operation, error: WireGuardError) -> Result<(), FailureCause> {
        if !error.is_invalid_request() {
            return Err(error.into());
        }
        *self.removal = AllowedIpRemoval::Replace;
        let change = device_change(operation, *self.removal);
        let results = self.wireguard.set(self.wireguard_device.as_str(), std::slice::from_ref(&change));
        results.into_iter().collect::<Result<(), WireGuardError>>().map_err(FailureCause::from)
    }
}

fn is_removal(operation: &Operation) -> bool {
    matches!(operation, Operation::RemoveAllowedIps { .. })
}

fn device_change(operation: &Operation, removal: AllowedIpRemoval) -> DeviceChange {
    let of_peer = |peer: PeerChange| DeviceChange { peers: vec![peer], ..DeviceChange::default() };
    match operation {
        Operation::ConfigureWireGuard(change) => change.clone(),
        Operation::SetPeer(change) => of_peer(change.clone()),
        Operation::RemovePeer(key) => of_peer(PeerChange::new(*key, PeerVerb::Remove)),
        Operation::RemoveAllowedIps { peer, removed, kept } => of_peer(PeerChange {
            allowed_ips: match removal {
                AllowedIpRemoval::Single => {
                    AllowedIps::Change(removed.iter().copied().map(AllowedIpChange::Remove).collect())
                }
                AllowedIpRemoval::Replace => AllowedIps::Replace(kept.clone()),
            },
            ..PeerChange::new(*peer, PeerVerb::Update)
        }),
        _ => DeviceChange::default(),
    }
}

fn subsystem(operation: &Operation) -> Subsystem {
    match operation {
        Operation::SetSysctl(_) => Subsystem::Sysctl,
        Operation::DeleteDevice(_) | Operation::CreateWireGuard { .. } | Operation::CreateVxlan { .. } => {
            Subsystem::Devices
        }
        Operation::ConfigureWireGuard(_)
        | Operation::SetPeer(_)
        | Operation::RemoveAllowedIps { .. }
        | Operation::RemovePeer(_) => Subsystem::WireGuard,
        Operation::SetMtu { .. }
        | Operation::SetMac { .. }
        | Operation::SetUp(_)
        | Operation::AddAddress(..)
        | Operation::RemoveAddress(..)
        | Operation::SetNeighbour(..)
        | Operation::RemoveNeighbour(..)
        | Operation::SetForwarding(..)
        | Operation::RemoveForwarding(..)
        | Operation::SetRoute(_)
        | Operation::RemoveRoute(_)
        | Operation::AddRule(_)
        | Operation::RemoveRule(_) => Subsystem::Route,
    }
}

/// The numbers of devices, asked for once each.
#[derive(Debug, Default)]
struct Indices {
    known: BTreeMap<DeviceName, u32>,
}

impl Indices {
    fn find(&mut self, socket: &mut Socket, device: &DeviceName) -> Result<u32, carrick_netlink::Error> {
        if let Some(index) = self.known.get(device) {
            return Ok(*index);
        }
        let index = link::by_name(socket, device.as_str())?.index;
        self.known.insert(device.clone(), index);
        Ok(index)
    }
}
