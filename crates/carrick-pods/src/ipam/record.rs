//! The record of one attachment.

use std::net::IpAddr;

use carrick_netlink::MacAddress;
use serde::{Deserialize, Serialize};

use crate::attachment::{Attachment, PodName};
use crate::host_port::HostPort;
use crate::rate::Rate;

/// An attachment with its addresses, host ports and settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The attachment.
    #[serde(flatten)]
    pub attachment: Attachment,
    /// The pod's name in Kubernetes, if the runtime passed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodName>,
    /// The name of the host's end of the veth pair.
    pub device: String,
    /// The pod's addresses, at most one of each family.
    pub addresses: Vec<IpAddr>,
    /// The MAC address that the runtime asked for. Without one, [`Attachment::pod_mac`] is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// The host ports of the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_ports: Vec<HostPort>,
    /// The bandwidth limit towards the pod, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Rate>,
    /// The bandwidth limit from the pod, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Rate>,
}

impl Record {
    /// The pod's address in the family of a host port.
    #[must_use]
    pub fn destination(&self, port: &HostPort) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| address.is_ipv4() == port.host.is_ipv4())
    }

    /// The MAC address of the pod's interface.
    #[must_use]
    pub fn pod_mac(&self) -> MacAddress {
        self.mac.unwrap_or_else(|| self.attachment.pod_mac())
    }

    /// Namespace and name of the pod; container and interface if the pod's name is not known.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.pod {
            Some(pod) => format!("{}/{}", pod.namespace, pod.name),
            None => self.attachment.key(),
        }
    }
}
