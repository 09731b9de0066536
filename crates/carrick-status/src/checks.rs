//! What an agent finds when it looks at its own node: the page `/checks`.
//!
//! It is gathered when it is asked for, and gathering it writes nothing.

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
    /// What the node's clock said when the page was written, in milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub unix_ms: u64,
    /// The own Node object as the agent knows it.
    #[serde(default)]
    pub own_node: Option<Node>,
    /// The public half of the key that the agent keeps on disk.
    #[serde(default)]
    pub public_key: Option<PublicKey>,
    /// What came of asking the API server.
    #[serde(default)]
    pub api: Option<ApiAnswer>,
    /// The families that the plan needs and that the kernel does not forward.
    #[serde(default)]
    pub forwarding_off: BTreeSet<Family>,
    /// Devices of the mesh with a strict reverse-path filter, each with the setting that makes it strict.
    #[serde(default)]
    pub strict_filters: BTreeMap<DeviceName, String>,
    /// Forward chains of others that drop by default and lack an accept rule of Carrick's, as `ip filter FORWARD`.
    #[serde(default)]
    pub dropping_chains: BTreeSet<String>,
    /// The runtime's directory of CNI configurations; absent where the agent does not write into it.
    #[serde(default)]
    pub cni: Option<CniDirectory>,
    /// What would have to be done to make the kernel hold the plan, in words; without what the other fields tell.
    #[serde(default)]
    pub drift: Vec<String>,
    /// The WireGuard device as it is now.
    #[serde(default)]
    pub wireguard: WireGuardState,
    /// Sockets that are bound to the port which WireGuard is to listen on.
    #[serde(default)]
    pub listeners: BTreeSet<SocketAddr>,
    /// Other WireGuard devices of the kernel that listen on that port.
    #[serde(default)]
    pub rival_devices: BTreeSet<String>,
    /// Pods whose next hop is not as the CNI plugin made it.
    #[serde(default)]
    pub pod_gateways: Vec<PodGatewayFault>,
    /// What could not be looked at, and why.
    #[serde(default)]
    pub unreadable: Vec<String>,
}

/// What came of asking the API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApiAnswer {
    /// It answered.
    Answered {
        /// After this time, in milliseconds.
        after_ms: u64,
    },
    /// It did not, or refused; the reason.
    Failed(String),
}

/// A directory of CNI configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniDirectory {
    /// Where it is.
    pub path: String,
    /// The name of the agent's own configuration in it.
    pub own: String,
    /// The names of all configurations that a runtime would read; it takes the first.
    pub configurations: BTreeSet<String>,
}

/// The WireGuard device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WireGuardState {
    /// There is no plan yet that names one.
    #[default]
    Unplanned,
    /// The kernel has no device of its name.
    Missing,
    /// Its configuration cannot be read; the reason.
    Silent(String),
    /// It is there.
    Present(WireGuardDevice),
}

/// A WireGuard device that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireGuardDevice {
    /// UDP port on which it listens.
    pub port: u16,
    /// Its key.
    pub public_key: Option<PublicKey>,
    /// Its peers.
    pub peers: BTreeMap<PublicKey, PeerState>,
}

/// A pod whose next hop is not as the CNI plugin made it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodGatewayFault {
    /// Namespace and name of the pod, or else its container and interface.
    pub pod: String,
    /// The device at the host's end.
    pub device: String,
    /// What is wrong with it, in words.
    pub fault: String,
}

impl ChecksPage {
    /// The WireGuard device, if it is there.
    #[must_use]
    pub const fn wireguard_device(&self) -> Option<&WireGuardDevice> {
        match &self.wireguard {
            WireGuardState::Present(device) => Some(device),
            WireGuardState::Unplanned | WireGuardState::Missing | WireGuardState::Silent(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_it_was_written_and_fields_may_be_absent() {
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
