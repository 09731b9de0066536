//! Settings of the mesh, and facts about one node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroUsize;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::constants;
use crate::hash::stable_hash;
use crate::model::{
    AllowedLocationMasquerade, DeviceName, DnsName, Encapsulation, Family, Granularity, MtuSetting, NodeName,
    PodNetwork, SharedSettings,
};

/// A network that a host reaches through gateways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutedNetwork {
    /// The device by which packets leave, of several next hops that of the first one.
    pub device: DeviceName,
    /// The gateways.
    pub via: BTreeSet<IpAddr>,
}

/// A routing rule of another program that the kernel asks before those of Carrick.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PrecedingRule {
    /// Lower is asked first.
    pub priority: u32,
    /// The rule in the words of `ip rule`, with the number of its table, and `drop` for each action that drops.
    pub text: String,
    /// The source of the packets that it is for; `None` for all.
    pub source: Option<IpNet>,
    /// The destinations of the packets whose way it decides.
    pub destinations: BTreeSet<IpNet>,
}

/// Facts about one node and the networks that it is attached to. They differ between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalFacts {
    /// Addresses of the API server: they are never routed into the mesh.
    pub api_servers: BTreeSet<IpAddr>,
    /// The device of each internal address of the node.
    pub internal_devices: BTreeMap<IpAddr, DeviceName>,
    /// Those of the devices of internal addresses that lead to no other host, such as the loopback device and dummy devices: packets to other
    /// nodes leave by the uplinks.
    #[serde(default)]
    pub unattached_devices: BTreeSet<DeviceName>,
    /// The networks that the host is attached to, each with its device. The mesh takes none of them away.
    #[serde(default)]
    pub networks: BTreeMap<IpNet, DeviceName>,
    /// The networks that the host reaches through gateways. The mesh takes none of them away.
    #[serde(default)]
    pub routed: BTreeMap<IpNet, RoutedNetwork>,
    /// The source addresses that the host's default routes name, at most one for each device and family. Pods leave the mesh with them.
    #[serde(default)]
    pub default_sources: BTreeMap<DeviceName, BTreeSet<IpAddr>>,
    /// Bridges whose ports all lead to containers or virtual machines of this host.
    #[serde(default)]
    pub container_bridges: BTreeSet<DeviceName>,
    /// The routing rules of other programs that the kernel asks before those of Carrick.
    #[serde(default)]
    pub preceding_rules: BTreeSet<PrecedingRule>,
    /// The environment variables of the agent that have no effect, each with the one that was probably meant.
    #[serde(default)]
    pub unknown_variables: BTreeMap<String, String>,
    /// The address families that the kernel does not have. The plan has nothing of them.
    #[serde(default)]
    pub missing_families: BTreeSet<Family>,
    /// The internal addresses of other nodes of the location to which packets leave by a device that carries no internal address of this
    /// node, with this device.
    #[serde(default)]
    pub stray_neighbours: BTreeMap<IpAddr, DeviceName>,
    /// The internal addresses of other nodes of the location to which packets leave by the default route of a device that has a public address
    /// too, with this device.
    #[serde(default)]
    pub internet_neighbours: BTreeMap<IpAddr, DeviceName>,
    /// The smallest MTU of the devices of the default routes, in bytes.
    pub uplink_mtu: u32,
    /// In each family, the smallest MTU of the devices that lead to internal addresses of the own location, in bytes. Where none is known,
    /// [`LocalFacts::uplink_mtu`] counts.
    #[serde(default)]
    pub internal_mtus: BTreeMap<Family, u32>,
    /// The MTU of the device by which WireGuard's packets to each endpoint leave, in bytes. For endpoints without a value,
    /// [`LocalFacts::uplink_mtu`] counts.
    #[serde(default)]
    pub endpoint_mtus: BTreeMap<IpAddr, u32>,
    /// The addresses of the domain names of endpoints.
    pub resolved: BTreeMap<DnsName, BTreeSet<IpAddr>>,
    /// The address that is dialled of each domain name with several: the one that answered, or the one that is tried now. Where none is known,
    /// the first one counts that the node can dial.
    #[serde(default)]
    pub chosen_addresses: BTreeMap<DnsName, IpAddr>,
    /// The path MTU to each probed node, in bytes, where it is less than the devices permit.
    #[serde(default)]
    pub path_mtus: BTreeMap<NodeName, u32>,
}

impl LocalFacts {
    /// The MTU of the devices that lead to internal addresses of the own location in this family, in bytes.
    #[must_use]
    pub fn internal_mtu(&self, family: Family) -> u32 {
        self.internal_mtus.get(&family).copied().unwrap_or(self.uplink_mtu)
    }
}

impl Default for LocalFacts {
    fn default() -> Self {
        Self {
            api_servers: BTreeSet::new(),
            internal_devices: BTreeMap::new(),
            unattached_devices: BTreeSet::new(),
            networks: BTreeMap::new(),
            routed: BTreeMap::new(),
            default_sources: BTreeMap::new(),
            container_bridges: BTreeSet::new(),
            preceding_rules: BTreeSet::new(),
            unknown_variables: BTreeMap::new(),
            missing_families: BTreeSet::new(),
            stray_neighbours: BTreeMap::new(),
            internet_neighbours: BTreeMap::new(),
            uplink_mtu: constants::DEFAULT_UPLINK_MTU,
            internal_mtus: BTreeMap::new(),
            endpoint_mtus: BTreeMap::new(),
            resolved: BTreeMap::new(),
            chosen_addresses: BTreeMap::new(),
            path_mtus: BTreeMap::new(),
        }
    }
}

/// Settings of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Which nodes have tunnels to each other.
    pub granularity: Granularity,
    /// How pod packets travel inside a location.
    pub encapsulation: Encapsulation,
    /// Gateways of a location that carry traffic at the same time.
    pub active_gateways: NonZeroUsize,
    /// Gateways of a location that stand by.
    pub standby_gateways: usize,
    /// The networks of mesh addresses, one for each family at most.
    pub mesh_cidrs: BTreeSet<IpNet>,
    /// The label that names a node's location.
    pub topology_label: String,
    /// Public networks whose addresses count as internal.
    pub internal_cidrs: BTreeSet<IpNet>,
    /// Networks of Service addresses: the mesh carries none of them.
    pub service_cidrs: BTreeSet<IpNet>,
    /// Networks in which allowed-location CIDRs and public internal addresses count.
    #[serde(default = "default_permitted_location_cidrs")]
    pub permitted_location_cidrs: BTreeSet<IpNet>,
    /// The networks of all pods of the cluster, now and later; empty if no setting gives them.
    #[serde(default)]
    pub cluster_cidrs: BTreeSet<IpNet>,
    /// The networks outside of which no address of a node counts as internal, `spec.internalCIDRs` of the Mesh; `None` for no restriction.
    #[serde(default)]
    pub internal_address_bounds: Option<BTreeSet<IpNet>>,
    /// The time between two probes of a gateway, in milliseconds.
    #[serde(default = "default_failover_interval_ms")]
    pub failover_interval_ms: u16,
    /// Name of the WireGuard device.
    pub interface: DeviceName,
    /// UDP port on which WireGuard listens.
    pub port: u16,
    /// MTU of the WireGuard device.
    pub mtu: MtuSetting,
    /// The source address of traffic to allowed-location CIDRs.
    pub allowed_location_masquerade: AllowedLocationMasquerade,
    /// Which CNI plugin connects the pods.
    pub pod_network: PodNetwork,
    /// What the flags of the agent give of the settings that all nodes share.
    #[serde(default)]
    pub flags: SharedSettings,
    /// Facts about this node.
    pub local: LocalFacts,
}

impl Settings {
    /// The default settings, with this name of the WireGuard device.
    #[must_use]
    pub fn for_interface(interface: DeviceName) -> Self {
        Self {
            granularity: Granularity::default(),
            encapsulation: Encapsulation::default(),
            active_gateways: NonZeroUsize::MIN,
            standby_gateways: 1,
            mesh_cidrs: constants::default_mesh_cidrs().into_iter().collect(),
            topology_label: "topology.kubernetes.io/region".to_owned(),
            internal_cidrs: BTreeSet::new(),
            service_cidrs: BTreeSet::new(),
            permitted_location_cidrs: default_permitted_location_cidrs(),
            cluster_cidrs: BTreeSet::new(),
            internal_address_bounds: None,
            failover_interval_ms: default_failover_interval_ms(),
            interface,
            port: constants::WIREGUARD_PORT,
            mtu: MtuSetting::default(),
            allowed_location_masquerade: AllowedLocationMasquerade::default(),
            pod_network: PodNetwork::default(),
            flags: SharedSettings::default(),
            local: LocalFacts::default(),
        }
    }

    /// Hash of the settings that all nodes must share, as 16 hexadecimal digits.
    ///
    /// Granularity, encapsulation, gateway counts, mesh CIDRs and topology label.
    #[must_use]
    pub fn shared_hash(&self) -> String {
        let mut parts = vec![
            self.granularity.to_string(),
            self.encapsulation.to_string(),
            self.active_gateways.to_string(),
            self.standby_gateways.to_string(),
            self.topology_label.clone(),
        ];
        parts.extend(self.mesh_cidrs.iter().map(ToString::to_string));
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        format!("{:016x}", stable_hash(&parts))
    }
}

fn default_permitted_location_cidrs() -> BTreeSet<IpNet> {
    constants::default_permitted_location_cidrs().into_iter().collect()
}

const fn default_failover_interval_ms() -> u16 {
    250
}

impl Default for Settings {
    fn default() -> Self {
        Self::for_interface(DeviceName::default_wireguard())
    }
}
