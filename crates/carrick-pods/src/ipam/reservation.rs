//! What an attachment asks of the store.

use std::net::IpAddr;

use carrick_netlink::MacAddress;

use crate::attachment::{Attachment, PodName};
use crate::host_port::HostPort;
use crate::rate::Rate;

/// A request to reserve addresses and host ports for an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The attachment.
    pub attachment: Attachment,
    /// The pod's name in Kubernetes, if the runtime passed it.
    pub pod: Option<PodName>,
    /// The requested addresses, at most one of each family. The store chooses the others.
    pub addresses: Vec<IpAddr>,
    /// The requested MAC address of the pod's interface.
    pub mac: Option<MacAddress>,
    /// The requested host ports.
    pub host_ports: Vec<HostPort>,
    /// The requested bandwidth limit towards the pod.
    pub ingress: Option<Rate>,
    /// The requested bandwidth limit from the pod.
    pub egress: Option<Rate>,
}

impl Reservation {
    /// A request for any address of each family, and nothing else.
    #[must_use]
    pub fn plain(attachment: Attachment, pod: Option<PodName>) -> Self {
        Self { attachment, pod, addresses: Vec::new(), mac: None, host_ports: Vec::new(), ingress: None, egress: None }
    }
}
