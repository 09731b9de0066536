//! The content of the nftables table `inet carrick`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::handover::HandoverFilter;
use crate::model::{AllowedLocationMasquerade, DeviceName};
use crate::plan::mesh_ports::MeshPorts;

/// The content of the nftables table, as sets. The rules that use the sets are always the same.
///
/// The networks of a set may overlap, and are of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallPlan {
    /// The devices of the mesh.
    pub mesh_devices: MeshDevices,
    /// UDP port of the VXLAN device.
    pub vxlan_port: u16,
    /// The addresses at which VXLAN is accepted: this node's internal addresses.
    #[serde(default)]
    pub vxlan_addresses: BTreeSet<IpAddr>,
    /// The addresses from which VXLAN is accepted: internal addresses of the other nodes of the location.
    pub vxlan_sources: BTreeSet<IpAddr>,
    /// The VXLAN network identifier of the VXLAN device.
    #[serde(default)]
    pub vxlan_identifier: u32,
    /// The devices that carry internal addresses of this node: VXLAN leaves and comes in by no other. `None` if these devices do not show
    /// by which device packets inside the location go: an internal address is on no interface, or on the loopback device.
    #[serde(default)]
    pub vxlan_devices: Option<BTreeSet<DeviceName>>,
    /// Who may send to the ports of the mesh on nodes.
    #[serde(default)]
    pub mesh_ports: MeshPorts,
    /// This node's mesh addresses: the source of the host's own flows into the mesh.
    pub mesh_addresses: BTreeSet<IpAddr>,
    /// This node's internal addresses: sources of the host's own flows to [`Self::internal_destinations`], and of packets that come out of
    /// tunnels for a node of the location. At most one for each family.
    #[serde(default)]
    pub internal_sources: BTreeSet<IpAddr>,
    /// Internal addresses of other locations from which packets to [`Self::internal_sources`] come back through the mesh.
    #[serde(default)]
    pub internal_destinations: BTreeSet<IpAddr>,
    /// Mesh addresses and internal addresses of nodes of other locations, whose packets to nodes of this location keep their source.
    #[serde(default)]
    pub node_senders: BTreeSet<IpAddr>,
    /// Those of [`Self::location_internal_addresses`] to which packets out of tunnels go without encapsulation.
    #[serde(default)]
    pub plain_neighbours: BTreeSet<IpAddr>,
    /// This node's pod CIDRs.
    pub own_pods: BTreeSet<IpNet>,
    /// The beginning of the names of the devices of pods: a packet for a pod of this node that leaves by another device is dropped. `None`
    /// if another plugin connects the pods.
    pub pod_device_prefix: Option<String>,
    /// Leak guard: every destination that the mesh carries. A packet to one of these is dropped if it leaves by a device that
    /// [`Self::carried_by`] does not name for it.
    pub carried: BTreeSet<IpNet>,
    /// For each device, the carried destinations that may leave by it.
    pub carried_by: BTreeMap<DeviceName, BTreeSet<IpNet>>,
    /// Exceptions inside [`Self::carried`]: own subnets, endpoints and API servers, reached outside the mesh.
    pub direct: BTreeSet<IpNet>,
    /// Pod CIDRs and mesh addresses of nodes whose packets come in by devices of the mesh alone. What comes in by another device with such a
    /// source, while the source is in [`Self::carried`] and not in [`Self::direct`], is forged.
    #[serde(default)]
    pub encapsulated_sources: BTreeSet<IpNet>,
    /// Networks of other nodes between which this node only forwards: what goes from one of them to another is not tracked as a
    /// connection. It contains nothing that this node has, translates, or reaches outside of the mesh.
    #[serde(default)]
    pub transit: BTreeSet<IpNet>,
    /// The beginnings of the names of devices that lead to containers of other programs. None if another plugin connects the pods.
    #[serde(default)]
    pub container_devices: BTreeSet<String>,
    /// Bridges whose ports all lead to containers or virtual machines of the host. None if another plugin connects the pods.
    #[serde(default)]
    pub container_bridges: BTreeSet<DeviceName>,
    /// Networks of this location whose packets leave the mesh at this node.
    pub allowed_location: AllowedLocation,
    /// What leaves the mesh by one of these devices gets this source address, unless it is for one of [`Self::host_networks`]: the kernel's
    /// masquerading takes the first address of the device, not the one that the route names. At most one for each family.
    #[serde(default)]
    pub default_sources: BTreeMap<DeviceName, BTreeSet<IpAddr>>,
    /// Networks behind these devices that packets reach by other routes than the default route.
    #[serde(default)]
    pub host_networks: BTreeSet<IpNet>,
    /// Internal addresses of the other nodes of the location: packets out of tunnels to one of them get this node's source address, unless
    /// they are of a node.
    pub location_internal_addresses: BTreeSet<IpAddr>,
    /// IPv6 destinations behind tunnels whose MTU is below that of an IPv6 route, by the largest TCP segment that fits, in bytes.
    #[serde(default)]
    pub narrow: BTreeMap<u16, BTreeSet<IpNet>>,
    /// What is accepted encapsulated during a handover.
    #[serde(default)]
    pub handover: HandoverFilter,
    /// Firewall mark and mask of WireGuard's own outer packets, which the leak guard permits.
    pub firewall_mark: u32,
}

/// The devices of the mesh, by their purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshDevices {
    /// The WireGuard device.
    pub wireguard: DeviceName,
    /// The VXLAN device.
    pub vxlan: DeviceName,
    /// The VXLAN device that exists during a handover.
    pub handover: DeviceName,
}

impl MeshDevices {
    /// Those of a node whose WireGuard device has this name.
    #[must_use]
    pub fn with_wireguard(wireguard: DeviceName) -> Self {
        Self { wireguard, vxlan: DeviceName::vxlan(), handover: DeviceName::handover() }
    }

    /// All of them.
    #[must_use]
    pub const fn all(&self) -> [&DeviceName; 3] {
        [&self.wireguard, &self.vxlan, &self.handover]
    }

    /// Those by which packets of other locations arrive.
    #[must_use]
    pub const fn tunnels(&self) -> [&DeviceName; 2] {
        [&self.wireguard, &self.handover]
    }
}

impl Default for MeshDevices {
    fn default() -> Self {
        Self::with_wireguard(DeviceName::default_wireguard())
    }
}

impl FirewallPlan {
    /// Devices whose names begin so lead to containers or virtual machines of other programs, or to pods of another CNI plugin.
    pub const CONTAINER_DEVICES: [&str; 10] =
        ["br-", "cali", "cbr", "cni", "docker", "lxc", "lxdbr", "podman", "veth", "virbr"];

    /// This plan, and in addition the devices that `before` permitted: for the time in which routes change from one to the other.
    #[must_use]
    pub fn permitting_also(&self, before: &Self) -> Self {
        let mut both = self.clone();
        for (device, nets) in &before.carried_by {
            both.carried_by.entry(device.clone()).or_default().extend(nets);
        }
        both
    }
}

/// Networks of the location whose packets leave the mesh at this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedLocation {
    /// The networks.
    pub destinations: BTreeSet<IpNet>,
    /// Whether packets to them get this node's source address.
    pub masquerade: AllowedLocationMasquerade,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(device: &str, net: &str) -> FirewallPlan {
        let nets = BTreeSet::from([net.parse().unwrap()]);
        FirewallPlan {
            carried: nets.clone(),
            carried_by: BTreeMap::from([(device.parse().unwrap(), nets)]),
            ..FirewallPlan::default()
        }
    }

    #[test]
    fn the_devices_of_both_plans_are_permitted_while_routes_change() {
        let (before, after) = (plan("carrick-vx", "10.42.1.0/24"), plan("carrick0", "10.42.1.0/24"));
        let both = after.permitting_also(&before);
        assert_eq!(both.carried, after.carried);
        assert_eq!(both.carried_by.len(), 2);
        assert_eq!(after.permitting_also(&after), after);
    }
}
