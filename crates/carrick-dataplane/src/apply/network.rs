//! Operations on devices, addresses, neighbours, routes, rules and kernel settings.

use std::collections::BTreeMap;

use carrick_netlink::link::{Change, change, create_vxlan, create_wireguard, delete};
use carrick_netlink::neighbour::{self, ForwardingEntry, Neighbour};
use carrick_netlink::{Request, Socket, address, link, route, rule};
use carrick_topology::DeviceName;

use super::failure::{Failure, FailureCause};
use super::subsystem::{Subsystem, in_runs};
use crate::operation::Operation;
use crate::route::{Hop, RoutingTable, TableRoute};
use crate::sysctl::Sysctls;

/// Who carries out what is not WireGuard's.
pub(crate) struct NetworkExecutor<'a> {
    socket: &'a mut Socket,
    sysctls: &'a mut Sysctls,
    vxlan_device: &'a DeviceName,
    table: RoutingTable,
    indices: Indices,
}

impl<'a> NetworkExecutor<'a> {
    /// Neighbours are those of `vxlan_device`, routes those of `table`.
    pub(crate) fn new(
        socket: &'a mut Socket,
        sysctls: &'a mut Sysctls,
        vxlan_device: &'a DeviceName,
        table: RoutingTable,
    ) -> Self {
        Self { socket, sysctls, vxlan_device, table, indices: Indices::default() }
    }

    /// Carries out operations of which none is WireGuard's; returns those that failed.
    pub(crate) fn apply(&mut self, operations: &[Operation]) -> Vec<Failure> {
        in_runs(operations, |subsystem, run| self.carry_out(subsystem, run))
    }

    pub(super) fn carry_out(&mut self, subsystem: Subsystem, run: &[Operation]) -> Vec<Result<(), FailureCause>> {
        match subsystem {
            Subsystem::Sysctl => self.sysctls(run),
            Subsystem::Devices => {
                let results = self.devices(run);
                self.indices = Indices::default();
                results
            }
            Subsystem::Route => self.route(run),
            Subsystem::WireGuard => unreachable!("WireGuard's operations are carried out elsewhere"),
        }
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

    fn route(&mut self, run: &[Operation]) -> Vec<Result<(), FailureCause>> {
        let requests: Vec<Result<Request, FailureCause>> =
            run.iter().map(|operation| self.route_request(operation)).collect();
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

    fn route_request(&mut self, operation: &Operation) -> Result<Request, FailureCause> {
        let mut index = |device: &DeviceName| self.indices.find(self.socket, device);
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
                route::replace(&wanted.to_kernel(device, self.table))
            }
            Operation::RemoveRoute(TableRoute { hop: Hop::Foreign(listed), .. }) => listed.delete(),
            Operation::RemoveRoute(found) => {
                let device = found.device().map(index).transpose()?;
                route::delete(&found.to_kernel(device, self.table))
            }
            Operation::AddRule(wanted) => rule::add(wanted),
            Operation::RemoveRule(found) => found.delete(),
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
