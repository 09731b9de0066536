//! What the kernel holds of Carrick's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use carrick_netlink::MacAddress;
use carrick_netlink::link::{LinkKind, Vxlan};
use carrick_netlink::rule::ListedRule;
use carrick_netlink::wireguard::Device;
use ipnet::IpNet;

use crate::route::TableRoute;
use crate::sysctl::SysctlValues;

/// What the kernel holds of Carrick's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The WireGuard device; `None` when there is none of its name.
    pub wireguard: Option<ObservedWireGuard>,
    /// The VXLAN device; `None` when there is none of its name.
    pub vxlan: Option<ObservedVxlan>,
    /// The routes in Carrick's table, whichever program added them, in the order of their identity.
    pub routes: Arc<Vec<TableRoute>>,
    /// The rules of Carrick's protocol number, whatever they select and do.
    pub rules: BTreeSet<ListedRule>,
    /// The kernel's settings.
    pub sysctls: SysctlValues,
}

/// A network device of Carrick's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedDevice {
    /// Whether it is up.
    pub up: bool,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its addresses, without link-local ones.
    pub addresses: BTreeSet<IpNet>,
}

/// The WireGuard device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedWireGuard {
    /// The network device.
    pub device: ObservedDevice,
    /// Whether it is the kernel's WireGuard, a TUN device, or something else.
    pub kind: LinkKind,
    /// Its configuration; `None` when it cannot be read now, because the process behind it does not answer.
    pub configuration: Option<Device>,
}

/// The VXLAN device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedVxlan {
    /// The network device.
    pub device: ObservedDevice,
    /// Its settings; `None` when it is no VXLAN device.
    pub settings: Option<Vxlan>,
    /// Its Ethernet address.
    pub mac: Option<MacAddress>,
    /// Permanent neighbours.
    pub neighbours: BTreeMap<IpAddr, MacAddress>,
    /// Permanent forwarding entries: Ethernet address and tunnel end.
    pub forwarding: BTreeSet<(MacAddress, IpAddr)>,
}
