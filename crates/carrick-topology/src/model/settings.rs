//! Settings of the mesh, and what a node knows of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::constants;
use crate::hash::stable_hash;
use crate::model::{DeviceName, DnsName, NodeName};

/// A word that is none of the choices.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{word}` is not one of {choices}")]
pub struct UnknownChoice {
    word: String,
    choices: &'static str,
}

macro_rules! choice {
    ($name:ident, $choices:literal, $($variant:ident = $word:literal),+) => {
        impl FromStr for $name {
            type Err = UnknownChoice;

            fn from_str(word: &str) -> Result<Self, UnknownChoice> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownChoice { word: word.to_owned(), choices: $choices }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(match self {
                    $(Self::$variant => $word,)+
                })
            }
        }
    };
}

/// What is meshed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// The gateways of the locations.
    #[default]
    Location,
    /// Every node with every node of other locations.
    Cross,
    /// Every node with every node.
    Full,
}

choice!(Granularity, "location, cross, full", Location = "location", Cross = "cross", Full = "full");

/// How pod packets travel between nodes of one location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encapsulation {
    /// In VXLAN.
    #[default]
    Always,
    /// Plainly where the internal addresses share a subnet, else in VXLAN.
    CrossSubnet,
    /// Plainly.
    Never,
}

choice!(Encapsulation, "always, cross-subnet, never", Always = "always", CrossSubnet = "cross-subnet", Never = "never");

/// Where the MTU of the WireGuard device comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MtuSetting {
    /// From the MTU of the path to the endpoints.
    #[default]
    Auto,
    /// This many bytes.
    Bytes(u32),
}

/// Whether traffic to allowed-location CIDRs takes the address of the node where it leaves the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllowedLocationMasquerade {
    /// It does: hosts there need no route back.
    #[default]
    On,
    /// It keeps its source.
    Off,
}

/// Who wires pods into the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PodNetwork {
    /// `carrick-cni`: pods hang on devices whose names begin with [`constants::POD_DEVICE_PREFIX`].
    #[default]
    Carrick,
    /// Another plugin, whose devices are not known.
    Foreign,
}

/// What this one node knows of itself and of its surroundings. Nodes differ in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalFacts {
    /// Addresses at which the API server is reached: never routed into the mesh.
    pub api_servers: BTreeSet<IpAddr>,
    /// The device that carries each of the node's own internal addresses.
    pub internal_devices: BTreeMap<IpAddr, DeviceName>,
    /// MTU of the path towards other nodes, in bytes.
    pub uplink_mtu: u32,
    /// What the domain names of endpoints resolve to.
    pub resolved: BTreeMap<DnsName, BTreeSet<IpAddr>>,
    /// The largest packets that pass on the ways to nodes which this one probes, in bytes, where that is less than the devices permit.
    #[serde(default)]
    pub path_mtus: BTreeMap<NodeName, u32>,
}

impl Default for LocalFacts {
    fn default() -> Self {
        Self {
            api_servers: BTreeSet::new(),
            internal_devices: BTreeMap::new(),
            uplink_mtu: constants::DEFAULT_UPLINK_MTU,
            resolved: BTreeMap::new(),
            path_mtus: BTreeMap::new(),
        }
    }
}

/// Settings of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// What is meshed.
    pub granularity: Granularity,
    /// How pod packets travel inside a location.
    pub encapsulation: Encapsulation,
    /// Gateways of a location that carry traffic at the same time.
    pub active_gateways: NonZeroUsize,
    /// Gateways of a location that stand by.
    pub standby_gateways: usize,
    /// Where mesh addresses come from, at most one for each family.
    pub mesh_cidrs: BTreeSet<IpNet>,
    /// The label that names a node's location.
    pub topology_label: String,
    /// Public ranges that count as internal.
    pub internal_cidrs: BTreeSet<IpNet>,
    /// Ranges of Service addresses: nothing in them is carried.
    pub service_cidrs: BTreeSet<IpNet>,
    /// Name of the WireGuard device.
    pub interface: DeviceName,
    /// UDP port on which WireGuard listens.
    pub port: u16,
    /// MTU of the WireGuard device.
    pub mtu: MtuSetting,
    /// Source of traffic to allowed-location CIDRs.
    pub allowed_location_masquerade: AllowedLocationMasquerade,
    /// Who wires pods.
    pub pod_network: PodNetwork,
    /// What this node knows of itself.
    pub local: LocalFacts,
}

impl Settings {
    /// The defaults of the design, with the WireGuard device of this name.
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
            interface,
            port: constants::WIREGUARD_PORT,
            mtu: MtuSetting::default(),
            allowed_location_masquerade: AllowedLocationMasquerade::default(),
            pod_network: PodNetwork::default(),
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

impl Default for Settings {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "the name is a constant of 8 bytes without `/` and white space")]
        let interface = constants::WIREGUARD_DEVICE.parse().expect("the constant is a device name");
        Self::for_interface(interface)
    }
}
