//! The single changes that lead from what the kernel holds to what it must hold.

use std::fmt;
use std::net::IpAddr;

use carrick_netlink::MacAddress;
use carrick_netlink::link::Vxlan;
use carrick_netlink::rule::{ListedRule, Rule};
use carrick_netlink::wireguard::{DeviceChange, PeerChange, PeerVerb, PublicKey};
use carrick_topology::DeviceName;
use ipnet::IpNet;

use crate::route::TableRoute;
use crate::sysctl::Setting;

/// One change to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes a kernel setting.
    SetSysctl(Setting),
    /// Removes a device.
    DeleteDevice(DeviceName),
    /// Makes the kernel's WireGuard device.
    CreateWireGuard {
        /// Its name.
        device: DeviceName,
        /// Its MTU in bytes.
        mtu: u32,
    },
    /// Makes the VXLAN device.
    CreateVxlan {
        /// Its name.
        device: DeviceName,
        /// Its settings.
        settings: Vxlan,
        /// Its MTU in bytes.
        mtu: u32,
        /// Its Ethernet address.
        mac: MacAddress,
    },
    /// Changes key, port or mark of the WireGuard device; holds no peers.
    ConfigureWireGuard(DeviceChange),
    /// Changes a device's MTU.
    SetMtu {
        /// The device.
        device: DeviceName,
        /// Its MTU in bytes.
        mtu: u32,
    },
    /// Changes a device's Ethernet address.
    SetMac {
        /// The device.
        device: DeviceName,
        /// Its Ethernet address.
        mac: MacAddress,
    },
    /// Sets a device up.
    SetUp(DeviceName),
    /// Gives a device an address.
    AddAddress(DeviceName, IpNet),
    /// Makes or changes a peer; takes nothing away from it.
    SetPeer(PeerChange),
    /// Gives the VXLAN device a permanent neighbour.
    SetNeighbour(IpAddr, MacAddress),
    /// Tells the VXLAN device where an Ethernet address is.
    SetForwarding(MacAddress, IpAddr),
    /// Adds a route, or puts it in the place of the one with its destination and metric.
    SetRoute(TableRoute),
    /// Adds a rule.
    AddRule(Rule),
    /// Removes a rule.
    RemoveRule(ListedRule),
    /// Removes a route.
    RemoveRoute(TableRoute),
    /// Removes a neighbour of the VXLAN device.
    RemoveNeighbour(IpAddr, MacAddress),
    /// Removes a forwarding entry of the VXLAN device.
    RemoveForwarding(MacAddress, IpAddr),
    /// Takes allowed IPs away from a peer that no other peer gets.
    RemoveAllowedIps {
        /// The peer.
        peer: PublicKey,
        /// What it loses.
        removed: Vec<IpNet>,
    },
    /// Removes a peer.
    RemovePeer(PublicKey),
    /// Takes an address off a device.
    RemoveAddress(DeviceName, IpNet),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetSysctl(setting) => write!(f, "set {setting}"),
            Self::DeleteDevice(device) => write!(f, "delete device {device}"),
            Self::CreateWireGuard { device, mtu } => write!(f, "create WireGuard device {device} with MTU {mtu}"),
            Self::CreateVxlan { device, mtu, .. } => write!(f, "create VXLAN device {device} with MTU {mtu}"),
            Self::ConfigureWireGuard(change) => configuration(f, change),
            Self::SetMtu { device, mtu } => write!(f, "set MTU of {device} to {mtu}"),
            Self::SetMac { device, mac } => write!(f, "set address of {device} to {mac}"),
            Self::SetUp(device) => write!(f, "set {device} up"),
            Self::AddAddress(device, address) => write!(f, "add address {address} to {device}"),
            Self::SetPeer(change) => peer(f, change),
            Self::SetNeighbour(address, mac) => write!(f, "set neighbour {address} at {mac}"),
            Self::SetForwarding(mac, destination) => write!(f, "set forwarding entry {mac} towards {destination}"),
            Self::SetRoute(route) => write!(f, "set route {route}"),
            Self::AddRule(rule) => write!(f, "add rule {rule}"),
            Self::RemoveRule(rule) => write!(f, "remove rule {rule}"),
            Self::RemoveRoute(route) => write!(f, "remove route {route}"),
            Self::RemoveNeighbour(address, _) => write!(f, "remove neighbour {address}"),
            Self::RemoveForwarding(mac, destination) => {
                write!(f, "remove forwarding entry {mac} towards {destination}")
            }
            Self::RemoveAllowedIps { peer, removed, .. } => {
                write!(f, "remove {} allowed IPs from peer {peer}", removed.len())
            }
            Self::RemovePeer(peer) => write!(f, "remove peer {peer}"),
            Self::RemoveAddress(device, address) => write!(f, "remove address {address} from {device}"),
        }
    }
}

/// Names the settings that change, never a key.
fn configuration(f: &mut fmt::Formatter<'_>, change: &DeviceChange) -> fmt::Result {
    f.write_str("configure WireGuard device:")?;
    if change.private_key.is_some() {
        f.write_str(" private key")?;
    }
    if let Some(port) = change.port {
        write!(f, " port {port}")?;
    }
    if let Some(mark) = change.firewall_mark {
        write!(f, " mark {mark:#x}")?;
    }
    Ok(())
}

fn peer(f: &mut fmt::Formatter<'_>, change: &PeerChange) -> fmt::Result {
    let verb = match change.verb {
        PeerVerb::Set => "add",
        PeerVerb::Update => "change",
        PeerVerb::Remove => "remove",
    };
    write!(f, "{verb} peer {}", change.public_key)?;
    if let Some(endpoint) = change.endpoint {
        write!(f, " at {endpoint}")?;
    }
    Ok(())
}
