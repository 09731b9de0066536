//! The VXLAN device, which connects the nodes of one location.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{DeviceName, Family, MacAddress, NodeName};

/// The VXLAN device (RFC 7348), without learning: all neighbours are static.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VxlanPlan {
    /// Its name.
    pub device: DeviceName,
    /// The VXLAN network identifier.
    pub identifier: u32,
    /// UDP destination port.
    pub port: u16,
    /// The family of the outer packets: the one that the location's internal addresses share.
    pub underlay: Family,
    /// The source of outer packets: this node's internal address, because receivers accept no other one. `None` if no interface has that
    /// address; the kernel then chooses one.
    pub local: Option<IpAddr>,
    /// Its link-layer address.
    pub mac: MacAddress,
    /// Its MTU in bytes, never below 1280.
    pub mtu: u32,
    /// The other nodes of the location.
    pub neighbours: BTreeMap<NodeName, VxlanNeighbour>,
}

/// Another node of the location: one forwarding entry (its link-layer address at its internal address)
/// and one neighbour entry for each mesh address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VxlanNeighbour {
    /// The link-layer address of its VXLAN device.
    pub mac: MacAddress,
    /// The destination of outer packets: an internal address of the underlay's family.
    pub internal_address: IpAddr,
    /// Its mesh addresses: the next hops of routes through it.
    pub mesh_addresses: std::collections::BTreeSet<IpAddr>,
}
