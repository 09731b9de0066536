//! The kernel's part of a handover: see [`carrick_topology::handover`].
//!
//! A handover has its own device, routing tables and rules. [`crate::diff()`] does not compare them, and there are none between handovers.
//! Forwarded packets go encapsulated; the host's own packets do not.

mod wanted;

use std::collections::{BTreeMap, BTreeSet};

use carrick_netlink::rule::ListedRule;
use carrick_netlink::{Family, Protocol, Socket};
use carrick_topology::DeviceName;
use carrick_topology::handover::HandoverInForce;
use carrick_topology::plan::NodePlan;
use wanted::WantedHandover;

use crate::apply::{Failure, NetworkExecutor};
use crate::diff::{devices, routes, rule_differences};
use crate::observe;
use crate::observed::ObservedVxlan;
use crate::operation::Operation;
use crate::route::{RoutingTable, TableRoute};
use crate::sysctl::{Fate, SysctlValues, Sysctls};

/// The handovers of one network namespace.
#[derive(Debug)]
pub struct HandoverDataplane {
    socket: Socket,
    sysctls: Sysctls,
    remains: Remains,
    in_force: HandoverInForce,
}

/// What an apply changed.
#[derive(Debug, Default)]
pub struct HandoverApplied {
    /// The operations in the order in which they were carried out. Empty if the kernel held the plan.
    pub operations: Vec<Operation>,
}

/// Why the kernel does not hold what a handover needs. What could be removed of it is removed.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The kernel could not be read.
    #[error(transparent)]
    Netlink(#[from] carrick_netlink::Error),
    /// The kernel refused something.
    #[error(transparent)]
    Failure(Box<Failure>),
}

/// What the kernel may still hold of earlier handovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remains {
    Unknown,
    Nothing,
}

#[derive(Clone, Copy)]
struct Devices<'a> {
    handover: &'a DeviceName,
    wireguard: &'a DeviceName,
}

struct Found {
    vxlan: Option<ObservedVxlan>,
    routes: Vec<TableRoute>,
    outer_routes: Vec<TableRoute>,
    rules: BTreeSet<ListedRule>,
    sysctls: SysctlValues,
}

impl HandoverDataplane {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// The kernel gives no socket.
    pub fn open() -> Result<Self, carrick_netlink::Error> {
        let socket = Socket::open(Protocol::Route)?;
        Ok(Self {
            socket,
            sysctls: Sysctls::default(),
            remains: Remains::Unknown,
            in_force: HandoverInForce::default(),
        })
    }

    /// The number of messages and settings that could change something which were sent so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.socket.writes() + self.sysctls.writes()
    }

    /// The number by which the kernel names the changes of this socket.
    ///
    /// # Errors
    ///
    /// The socket has no address.
    pub fn port(&self) -> Result<u32, carrick_netlink::Error> {
        self.socket.port()
    }

    /// Makes the next [`Self::apply`] read the kernel: another program may have written to the tables of a handover.
    pub const fn look_again(&mut self) {
        self.remains = Remains::Unknown;
    }

    /// Which gateways this node encapsulates to and decapsulates from since the last [`Self::apply`].
    #[must_use]
    pub const fn in_force(&self) -> &HandoverInForce {
        &self.in_force
    }

    /// Makes the kernel hold what the plan's handover needs, or nothing if the plan has none, and writes only what differs. Once nothing is
    /// left, the kernel is not read again until the next handover or [`Self::look_again`].
    ///
    /// # Errors
    ///
    /// The kernel could not be read, or refused something. All of the handover is then removed; a later call tries again.
    pub fn apply(&mut self, plan: &NodePlan) -> Result<HandoverApplied, HandoverError> {
        self.in_force = HandoverInForce::default();
        let applied = match &plan.handover {
            Some(handover) => {
                let devices = Devices { handover: &handover.device, wireguard: &plan.wireguard.device };
                self.reach(devices, &WantedHandover::new(plan, handover))
            }
            None if self.remains == Remains::Nothing => Ok(HandoverApplied::default()),
            None => self.clear(Devices { handover: &DeviceName::handover(), wireguard: &plan.wireguard.device }),
        }?;
        self.in_force = plan.handover.as_ref().map(HandoverInForce::after).unwrap_or_default();
        Ok(applied)
    }

    fn reach(&mut self, devices: Devices<'_>, wanted: &WantedHandover) -> Result<HandoverApplied, HandoverError> {
        self.remains = Remains::Unknown;
        let found = self.look(devices)?;
        let mut operations = Vec::new();
        for (table, stage) in stages(wanted, &found) {
            if let Err(error) = self.carry_out(devices.handover, table, &stage) {
                if let Err(error) = self.clear(devices) {
                    tracing::warn!(event = "handover_not_removed", %error);
                }
                return Err(error);
            }
            operations.extend(stage);
        }
        Ok(HandoverApplied { operations })
    }

    fn clear(&mut self, devices: Devices<'_>) -> Result<HandoverApplied, HandoverError> {
        self.remains = Remains::Unknown;
        let found = self.look(devices)?;
        let mut inner: Vec<Operation> = found.rules.into_iter().rev().map(Operation::RemoveRule).collect();
        inner.extend(found.routes.into_iter().map(Operation::RemoveRoute));
        let outer: Vec<Operation> = found.outer_routes.into_iter().map(Operation::RemoveRoute).collect();
        let device: Vec<Operation> =
            found.vxlan.map(|_| Operation::DeleteDevice(devices.handover.clone())).into_iter().collect();
        let results = [
            (RoutingTable::HANDOVER, &inner),
            (RoutingTable::HANDOVER_OUTER, &outer),
            (RoutingTable::HANDOVER, &device),
        ]
        .map(|(table, operations)| self.carry_out(devices.handover, table, operations));
        results.into_iter().collect::<Result<(), HandoverError>>()?;
        self.remains = Remains::Nothing;
        Ok(HandoverApplied { operations: [inner, outer, device].concat() })
    }

    fn look(&mut self, devices: Devices<'_>) -> Result<Found, carrick_netlink::Error> {
        let socket = &mut self.socket;
        let link = observe::find(socket, devices.handover)?;
        let wireguard = observe::find(socket, devices.wireguard)?;
        let inner: BTreeMap<u32, DeviceName> = link.iter().map(|link| (link.index, devices.handover.clone())).collect();
        let outer: BTreeMap<u32, DeviceName> =
            wireguard.iter().map(|link| (link.index, devices.wireguard.clone())).collect();
        Ok(Found {
            vxlan: link.map(|link| observe::vxlan(socket, &link)).transpose()?,
            routes: observe::routes(socket, RoutingTable::HANDOVER, &inner)?,
            outer_routes: observe::routes(socket, RoutingTable::HANDOVER_OUTER, &outer)?,
            rules: observe::rules(socket, RoutingTable::HANDOVER)?,
            sysctls: self.sysctls.observe_device(devices.handover),
        })
    }

    /// Carries out all operations, and returns the first failure.
    fn carry_out(
        &mut self,
        device: &DeviceName,
        table: RoutingTable,
        operations: &[Operation],
    ) -> Result<(), HandoverError> {
        let mut executor = NetworkExecutor::new(&mut self.socket, &mut self.sysctls, device, table);
        executor
            .apply(operations)
            .into_iter()
            .next()
            .map_or(Ok(()), |failure| Err(HandoverError::Failure(Box::new(failure))))
    }
}

/// The operations, in steps. Each step needs all steps before it.
fn stages(wanted: &WantedHandover, found: &Found) -> [(RoutingTable, Vec<Operation>); 7] {
    let families = Family::BOTH.into();
    let settings = devices::Settings { families: &families, values: &found.sysctls };
    let device = devices::vxlan(&wanted.vxlan, &wanted.addresses, found.vxlan.as_ref(), settings);
    let outer = routes::differences(&wanted.outer_routes, &found.outer_routes, &|_: &DeviceName| Fate::Stays);
    let routes = routes::differences(&wanted.routes, &found.routes, &|_: &DeviceName| device.fate);
    let rules = rule_differences(&wanted.rules, &found.rules);
    [
        (RoutingTable::HANDOVER, [device.made, device.neighbours_made].concat()),
        (RoutingTable::HANDOVER_OUTER, outer.made),
        (RoutingTable::HANDOVER, routes.made),
        (RoutingTable::HANDOVER, rules.made),
        (RoutingTable::HANDOVER, [rules.removed, routes.removed].concat()),
        (RoutingTable::HANDOVER_OUTER, outer.removed),
        (RoutingTable::HANDOVER, [device.neighbours_removed, device.addresses_removed].concat()),
    ]
}
