//! The page `/checks`: the state of an agent's own node.
//!
//! The agent gathers the page on request, and changes nothing on the node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use carrick_topology::model::{Family, Node, PublicKey};
use carrick_topology::{DeviceName, NodeName};
use serde::{Deserialize, Serialize};

use crate::PeerState;

/// The page `/checks` of one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChecksPage {
    /// The agent's node.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// The node's clock when the agent wrote the page, in milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub unix_ms: u64,
    /// The agent's own Node object, as the agent knows it.
    #[serde(default)]
    pub own_node: Option<Node>,
    /// The public half of the key that the agent keeps on disk.
    #[serde(default)]
    pub public_key: Option<PublicKey>,
    /// The result of a request to the API server.
    #[serde(default)]
    pub api: Option<ApiAnswer>,
    /// The address families that the plan needs and that the kernel does not forward.
    #[serde(default)]
    pub forwarding_off: BTreeSet<Family>,
    /// The mesh's devices with a strict reverse-path filter, each with the sysctl that makes it strict.
    #[serde(default)]
    pub strict_filters: BTreeMap<DeviceName, String>,
    /// Forward chains of other programs that drop by default and have no accept rule for Carrick, such as `ip filter FORWARD`.
    #[serde(default)]
    pub dropping_chains: BTreeSet<String>,
    /// The programs of iptables-legacy whose table `filter` is in use, such as `iptables-legacy`. Their rules cannot be examined.
    #[serde(default)]
    pub legacy_filters: BTreeSet<String>,
    /// The kernel's connection tracking table; absent if the kernel has none, or none is in use.
    #[serde(default)]
    pub conntrack: Option<ConntrackTable>,
    /// The container runtime's directory of CNI configurations; absent if the agent does not write to it.
    #[serde(default)]
    pub cni: Option<CniDirectory>,
    /// The operations that would make the kernel match the plan, for people; without those that another field reports.
    #[serde(default)]
    pub drift: Vec<String>,
    /// The state of the WireGuard device.
    #[serde(default)]
    pub wireguard: WireGuardState,
    /// The sockets that are bound to WireGuard's planned port.
    #[serde(default)]
    pub listeners: BTreeSet<SocketAddr>,
    /// Other WireGuard devices of the kernel that listen on WireGuard's planned port.
    #[serde(default)]
    pub conflicting_devices: BTreeSet<String>,
    /// The pods whose gateway differs from what the CNI plugin configured.
    #[serde(default)]
    pub pod_gateways: Vec<PodGatewayFault>,
    /// What the agent could not read, and why.
    #[serde(default)]
    pub unreadable: Vec<String>,
}

/// The result of a request to the API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApiAnswer {
    /// The API server answered.
    Answered {
        /// The time until the answer, in milliseconds.
        after_ms: u64,
    },
    /// The request failed or was refused; the reason.
    Failed(String),
}

/// The kernel's connection tracking table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConntrackTable {
    /// The number of connections in the table of the agent's network namespace.
    pub count: u64,
    /// The largest number of connections. 0: there is no limit.
    pub max: u64,
}

/// A directory of CNI configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniDirectory {
    /// The path of the directory.
    pub path: String,
    /// The file name of the agent's configuration.
    pub own: String,
    /// The file names of all configurations that a runtime reads. The runtime uses the first one.
    pub configurations: BTreeSet<String>,
}

/// The state of the WireGuard device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WireGuardState {
    /// No plan names a device yet.
    #[default]
    Unplanned,
    /// The planned device does not exist.
    Missing,
    /// The agent cannot read the device's configuration; the reason.
    Unreadable(String),
    /// The device exists.
    Present(WireGuardDevice),
}

/// A WireGuard device that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireGuardDevice {
    /// The UDP port that the device listens on.
    pub port: u16,
    /// The device's public key.
    pub public_key: Option<PublicKey>,
    /// The device's peers.
    pub peers: BTreeMap<PublicKey, PeerState>,
}

/// A pod whose gateway differs from what the CNI plugin configured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodGatewayFault {
    /// The pod's namespace and name, or else its container ID and interface.
    pub pod: String,
    /// The host's end of the pod's veth pair.
    pub device: String,
    /// The difference, for people.
    pub fault: String,
}

impl ChecksPage {
    /// The WireGuard device, if it exists.
    #[must_use]
    pub const fn wireguard_device(&self) -> Option<&WireGuardDevice> {
        match &self.wireguard {
            WireGuardState::Present(device) => Some(device),
            WireGuardState::Unplanned | WireGuardState::Missing | WireGuardState::Unreadable(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_survives_a_round_trip_through_json_and_fields_may_be_absent() {
        let page = ChecksPage {
            node: Some("a1".parse().unwrap()),
            api: Some(ApiAnswer::Answered { after_ms: 3 }),
            forwarding_off: [Family::V4].into(),
            wireguard: WireGuardState::Present(WireGuardDevice { port: 51820, ..WireGuardDevice::default() }),
            ..ChecksPage::default()
        };
        let text = serde_json::to_string(&page).unwrap();
        assert_eq!(serde_json::from_str::<ChecksPage>(&text).unwrap(), page);
        assert_eq!(serde_json::from_str::<ChecksPage>("{}").unwrap(), ChecksPage::default());
    }
}
