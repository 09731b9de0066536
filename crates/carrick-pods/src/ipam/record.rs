//! What is kept about one attachment.

use std::net::IpAddr;

use carrick_netlink::MacAddress;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::attachment::{Attachment, PodName};
use crate::host_port::HostPort;
use crate::rate::Rate;

/// One attachment and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Whose it is.
    #[serde(flatten)]
    pub attachment: Attachment,
    /// What Kubernetes calls the pod, where the runtime said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodName>,
    /// The name of the device at the host's end.
    pub device: String,
    /// The pod's addresses, at most one of each family.
    pub addresses: Vec<IpAddr>,
    /// The Ethernet address that was asked for; without one it is the attachment's own.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "mac")]
    pub mac: Option<MacAddress>,
    /// The ports of the host that lead to the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_ports: Vec<HostPort>,
    /// How much may pass towards the pod, where that is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Rate>,
    /// How much may pass from the pod, where that is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Rate>,
}

impl Record {
    /// The pod's address in the family of a host port.
    #[must_use]
    pub fn destination(&self, port: &HostPort) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| address.is_ipv4() == port.host.is_ipv4())
    }

    /// The Ethernet address of the pod's device.
    #[must_use]
    pub fn pod_mac(&self) -> MacAddress {
        self.mac.unwrap_or_else(|| self.attachment.pod_mac())
    }

    /// Namespace and name of the pod, or else the container and the device.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.pod {
            Some(pod) => format!("{}/{}", pod.namespace, pod.name),
            None => self.attachment.key(),
        }
    }
}

/// Ethernet addresses as text.
mod mac {
    use super::{Deserialize, Deserializer, MacAddress, Serializer};

    pub(super) fn serialize<S: Serializer>(mac: &Option<MacAddress>, serializer: S) -> Result<S::Ok, S::Error> {
        match mac {
            Some(mac) => serializer.collect_str(mac),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Option<MacAddress>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
    }
}
