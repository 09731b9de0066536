//! Removing all that is Carrick's from the kernel, and nothing else.
//!
//! Kernel settings stay: another program may need forwarding by now.

use std::io;
use std::path::Path;

use carrick_netlink::route::ListedRoute;
use carrick_netlink::{Error, Family, Request, Socket, link, route};
use carrick_topology::DeviceName;

use crate::endpoint_memory::EndpointMemory;
use crate::observe::{find, rules};
use crate::route::RoutingTable;

/// What was removed, and what could not be.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// The objects that are gone now, as people know them.
    pub removed: Vec<String>,
    /// What is still there, and why.
    pub failures: Vec<CleanupFailure>,
}

/// Something that could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum CleanupFailure {
    /// The kernel refused, or could not be asked.
    #[error(transparent)]
    Netlink(#[from] Error),
    /// A file could not be removed.
    #[error("remove the file of the wanted endpoints: {0}")]
    File(#[from] io::Error),
}

/// Removes rules, routes and `devices` (the WireGuard device, the VXLAN device and the device for handovers), in the order in which
/// traffic leaves them, and the files in the run folder. What is not there is no error; what fails does not stop the rest.
pub fn cleanup(socket: &mut Socket, devices: [&DeviceName; 3], run_folder: &Path) -> Cleaned {
    let mut cleaned = Cleaned::default();
    for table in RoutingTable::ALL {
        cleaned.remove_rules(socket, table);
        for family in Family::BOTH {
            cleaned.remove_routes(socket, table, family);
        }
    }
    for device in devices {
        match find(socket, device) {
            Ok(Some(found)) => {
                cleaned.execute(socket, format!("device {device}"), &link::delete(found.index, device.as_str()));
            }
            Ok(None) => {}
            Err(error) => cleaned.failures.push(error.into()),
        }
    }
    if let Err(error) = EndpointMemory::open(run_folder.join(EndpointMemory::FILE)).forget() {
        cleaned.failures.push(error.into());
    }
    cleaned
}

impl Cleaned {
    fn remove_rules(&mut self, socket: &mut Socket, table: RoutingTable) {
        match rules(socket, table) {
            Ok(rules) => rules.iter().for_each(|found| {
                self.execute(socket, format!("rule {found}"), &found.delete());
            }),
            Err(error) => self.failures.push(error.into()),
        }
    }

    fn remove_routes(&mut self, socket: &mut Socket, table: RoutingTable, family: Family) {
        let found = match route::dump_as(socket, &table.routes(family), |received| received.to_listed()) {
            Ok(found) => found,
            Err(error) => return self.failures.push(error.into()),
        };
        let requests: Vec<Request> = found.iter().map(ListedRoute::delete).collect();
        for (found, result) in found.iter().zip(socket.batch(&requests)) {
            self.record(format!("route {}", found.route), result);
        }
    }

    fn execute(&mut self, socket: &mut Socket, object: String, request: &Request) {
        let result = socket.execute(request);
        self.record(object, result);
    }

    fn record(&mut self, object: String, result: Result<(), Error>) {
        match result {
            Ok(()) => self.removed.push(object),
            Err(error) if error.is_not_found() => {}
            Err(error) => self.failures.push(error.into()),
        }
    }
}
