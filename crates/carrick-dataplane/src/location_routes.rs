//! The routes of packets that come out of tunnels, to other nodes of the location.
//!
//! They have a table and rules of their own: the host's own packets to these addresses, and VXLAN's outer packets among them, follow the host's
//! other routes.

use std::collections::{BTreeMap, BTreeSet};

use carrick_netlink::rule::{InputDevice, PacketOrigin, Rule};
use carrick_netlink::{Error, Family, Protocol, Socket};
use carrick_topology::DeviceName;
use carrick_topology::plan::NodePlan;

use crate::apply::{Failure, NetworkExecutor};
use crate::diff::{routes, rule_differences};
use crate::observe;
use crate::operation::Operation;
use crate::route::{RoutingTable, TableRoute, by_identity};
use crate::sysctl::{Fate, Sysctls};

/// The routes of packets out of tunnels, of one network namespace.
#[derive(Debug)]
pub struct LocationRoutes {
    socket: Socket,
    sysctls: Sysctls,
    /// Whether the kernel is known to hold none.
    is_empty: bool,
}

/// What an apply changed.
#[derive(Debug, Default)]
pub struct LocationRoutesApplied {
    /// The operations in the order in which they were carried out. Empty if the kernel held the plan.
    pub operations: Vec<Operation>,
    /// What failed of them; a later apply tries again.
    pub failures: Vec<Failure>,
}

impl LocationRoutes {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// The kernel gives no socket.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: Socket::open(Protocol::Route)?, sysctls: Sysctls::default(), is_empty: false })
    }

    /// The number of messages that could change something which were sent so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.socket.writes()
    }

    /// The number by which the kernel names the changes of this socket.
    ///
    /// # Errors
    ///
    /// The socket has no address.
    pub fn port(&self) -> Result<u32, Error> {
        self.socket.port()
    }

    /// Makes the next [`Self::apply`] read the kernel: another program may have written to the table.
    pub const fn look_again(&mut self) {
        self.is_empty = false;
    }

    /// Makes the kernel hold these routes of the plan, and writes only what differs.
    ///
    /// # Errors
    ///
    /// The kernel could not be read; then nothing was done.
    pub fn apply(&mut self, plan: &NodePlan) -> Result<LocationRoutesApplied, Error> {
        if plan.location_routes.is_empty() && self.is_empty {
            return Ok(LocationRoutesApplied::default());
        }
        self.is_empty = false;
        let operations = self.differences(plan)?;
        let device = &plan.vxlan.device;
        let mut executor = NetworkExecutor::new(&mut self.socket, &mut self.sysctls, device, RoutingTable::LOCATION);
        let failures = executor.apply(&operations);
        self.is_empty = plan.location_routes.is_empty() && failures.is_empty();
        Ok(LocationRoutesApplied { operations, failures })
    }

    /// Routes come before the rules that lead to them, and go after them.
    fn differences(&mut self, plan: &NodePlan) -> Result<Vec<Operation>, Error> {
        let vxlan = observe::find(&mut self.socket, &plan.vxlan.device)?;
        let names: BTreeMap<u32, DeviceName> =
            vxlan.iter().map(|link| (link.index, plan.vxlan.device.clone())).collect();
        let found_routes = observe::routes(&mut self.socket, RoutingTable::LOCATION, &names)?;
        let found_rules = observe::rules(&mut self.socket, RoutingTable::LOCATION)?;
        let fate = if vxlan.is_some() { Fate::Stays } else { Fate::IsMissing };
        let routes = routes::differences(&wanted_routes(plan), &found_routes, &|_: &DeviceName| fate);
        let rules = rule_differences(&wanted_rules(plan), &found_rules);
        Ok([routes.made, rules.made, rules.removed, routes.removed].concat())
    }
}

/// In the order of [`by_identity`].
fn wanted_routes(plan: &NodePlan) -> Vec<TableRoute> {
    let (wireguard, vxlan) = (&plan.wireguard.device, &plan.vxlan.device);
    let mut routes: Vec<TableRoute> =
        plan.location_routes.iter().map(|route| TableRoute::planned(route, wireguard, vxlan)).collect();
    routes.sort_by(by_identity);
    routes
}

fn wanted_rules(plan: &NodePlan) -> Vec<Rule> {
    let families: BTreeSet<Family> = plan.location_routes.iter().map(|route| route.destination.into()).collect();
    let tunnels = plan.firewall.mesh_devices.tunnels();
    let devices: Vec<InputDevice> =
        tunnels.into_iter().filter_map(|device| InputDevice::new(device.as_str())).collect();
    let rule = |family, device| Rule { origin: PacketOrigin::Device(device), ..RoutingTable::LOCATION.rule(family) };
    families.into_iter().flat_map(|family| devices.iter().map(move |device| rule(family, *device))).collect()
}
