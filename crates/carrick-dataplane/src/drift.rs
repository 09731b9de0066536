//! Drift: what other programs change of Carrick's state in the kernel, from the kernel's notifications. WireGuard sends no notification when
//! its configuration changes: only an observation finds that.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use carrick_netlink::address::Scope;
use carrick_netlink::monitor::{Configured, Event, Group, Monitor, Verb};
use carrick_netlink::{Error, Socket};
use carrick_topology::DeviceName;

use crate::observe::find;
use crate::route::{RoutingTable, is_own_table};

/// Something of Carrick's that changed. Whether it still is as planned, an observation tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// One of the devices was created, changed or removed.
    Device(DeviceName),
    /// An address of one of the devices was added or removed, or an address of the host was removed, which routes may have as source.
    Address(String),
    /// A route in one of Carrick's tables.
    Route(String),
    /// A rule of Carrick's, or one in its place.
    Rule(String),
    /// Neighbours or forwarding entries of one of the devices.
    Neighbours(DeviceName),
    /// A kernel setting of all devices or of one of the devices was written.
    Setting,
    /// Notifications were lost: anything may have changed.
    Lost,
}

impl Drift {
    /// The kind as one word, for metrics and logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Device(_) => "device",
            Self::Address(_) => "address",
            Self::Route(_) => "route",
            Self::Rule(_) => "rule",
            Self::Neighbours(_) => "neighbours",
            Self::Setting => "setting",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(device) => write!(f, "device {device}"),
            Self::Address(address) => write!(f, "address {address}"),
            Self::Route(route) => write!(f, "route {route}"),
            Self::Rule(rule) => write!(f, "rule {rule}"),
            Self::Neighbours(device) => write!(f, "neighbours of {device}"),
            Self::Setting => f.write_str("a kernel setting"),
            Self::Lost => f.write_str("notifications were lost"),
        }
    }
}

/// Watches what is Carrick's in the namespace of the thread that opened it. Its descriptor becomes readable when
/// there is something to be read.
#[derive(Debug)]
pub struct DriftWatch {
    monitor: Monitor,
    devices: [DeviceName; 3],
    indices: BTreeMap<u32, DeviceName>,
}

impl DriftWatch {
    /// Starts to watch. Open it before the first observation, so that no change is missed.
    ///
    /// # Errors
    ///
    /// The kernel gives no socket, or could not be asked for the devices.
    pub fn open(socket: &mut Socket, wireguard: &DeviceName, vxlan: &DeviceName) -> Result<Self, Error> {
        let mut monitor = Monitor::route(&Group::ALL)?;
        monitor.ignore(socket.port()?);
        let devices = [wireguard.clone(), vxlan.clone(), DeviceName::handover()];
        let mut indices = BTreeMap::new();
        for device in &devices {
            indices.extend(find(socket, device)?.map(|link| (link.index, device.clone())));
        }
        Ok(Self { monitor, devices, indices })
    }

    /// Ignores the changes that the socket with this port makes too.
    pub fn ignore(&mut self, port: u32) {
        self.monitor.ignore(port);
    }

    /// Reads all notifications that are there, without waiting, and returns those about Carrick's own.
    ///
    /// # Errors
    ///
    /// The socket failed.
    pub fn read(&mut self) -> Result<Vec<Drift>, Error> {
        let mut drifts = Vec::new();
        while let Some(events) = self.monitor.try_receive()? {
            drifts.extend(events.into_iter().filter_map(|event| self.classify(event)));
        }
        Ok(drifts)
    }

    fn classify(&mut self, event: Event) -> Option<Drift> {
        match event {
            Event::Link(verb, link) => {
                let device = self.devices.iter().find(|device| device.as_str() == link.name).cloned();
                let known = match (verb, &device) {
                    (Verb::Set, Some(device)) => self.indices.insert(link.index, device.clone()),
                    (Verb::Set, None) | (Verb::Deleted, _) => self.indices.remove(&link.index),
                };
                // A device that was renamed is one that is gone.
                device.or(known).map(Drift::Device)
            }
            // The kernel tells of an own IPv6 address some time after it was added, as if it had done it itself. The
            // comparison then finds nothing.
            Event::Address(verb, address) => {
                // The kernel takes an address that is gone from the IPv6 routes that have it as source, and tells nothing of it.
                let is_source_gone = verb == Verb::Deleted && address.scope != Scope::Link;
                let matters = is_source_gone || self.indices.contains_key(&address.link);
                matters.then(|| Drift::Address(address.to_string()))
            }
            Event::Route(_, route) => is_own_table(route.table).then(|| Drift::Route(route.to_string())),
            Event::Rule(_, rule) => {
                let is_own = RoutingTable::ALL.iter().any(|table| {
                    rule.protocol == table.protocol
                        || rule.table == table.number
                        || rule.priority == table.rule_priority
                });
                is_own.then(|| Drift::Rule(rule.to_string()))
            }
            Event::Neighbour { link } => self.indices.get(&link).cloned().map(Drift::Neighbours),
            Event::Setting(Configured::All) => Some(Drift::Setting),
            Event::Setting(Configured::Device(link)) => self.indices.contains_key(&link).then_some(Drift::Setting),
            Event::Setting(Configured::Default) | Event::Nftables { .. } => None,
            Event::Lost => Some(Drift::Lost),
        }
    }
}

impl AsFd for DriftWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}

impl AsRawFd for DriftWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.monitor.as_raw_fd()
    }
}
