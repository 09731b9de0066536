//! What an attachment is to get from the store.

use std::net::IpAddr;

use carrick_netlink::MacAddress;

use crate::attachment::{Attachment, PodName};
use crate::host_port::HostPort;
use crate::rate::Rate;

/// An attachment before it has anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Whose it will be.
    pub attachment: Attachment,
    /// What Kubernetes calls the pod, where the runtime said so.
    pub pod: Option<PodName>,
    /// Addresses that it must be, at most one of each family; the others are chosen.
    pub addresses: Vec<IpAddr>,
    /// The Ethernet address that the pod's device must have.
    pub mac: Option<MacAddress>,
    /// The ports of the host that are to lead to the pod.
    pub host_ports: Vec<HostPort>,
    /// How much may pass towards the pod, where that is to be bounded.
    pub ingress: Option<Rate>,
    /// How much may pass from the pod, where that is to be bounded.
    pub egress: Option<Rate>,
}

impl Reservation {
    /// Any address of each family, and nothing else.
    #[must_use]
    pub fn plain(attachment: Attachment, pod: Option<PodName>) -> Self {
        Self { attachment, pod, addresses: Vec::new(), mac: None, host_ports: Vec::new(), ingress: None, egress: None }
    }
}
