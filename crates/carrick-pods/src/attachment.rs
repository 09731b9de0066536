//! The attachment of a container to a network, and the names that follow from it.

use carrick_netlink::MacAddress;
use carrick_topology::constants::POD_DEVICE_PREFIX;
use carrick_topology::hash::stable_hash;
use serde::{Deserialize, Serialize};

/// The identity of an attachment: network name, container and interface (CNI specification 1.1.0, section 2).
///
/// The values follow the specification's rules: none contains `/` or `:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The name of the network.
    pub network: String,
    /// The container ID that the runtime gave.
    pub container_id: String,
    /// The name of the interface inside the pod.
    pub interface: String,
}

/// The name of a pod in Kubernetes. Runtimes pass it in `CNI_ARGS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodName {
    /// The namespace of the pod.
    pub namespace: String,
    /// The name of the pod.
    pub name: String,
}

/// Number of hexadecimal digits after the prefix in the name of a host device.
const DEVICE_DIGITS: usize = 11;

/// Whether `name` has the form of the names that [`Attachment::host_device`] returns. Other programs may have devices with the
/// same prefix.
#[must_use]
pub fn is_host_device(name: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = name.strip_prefix(POD_DEVICE_PREFIX);
    digits.is_some_and(|digits| digits.len() == DEVICE_DIGITS && digits.bytes().all(is_digit))
}

impl Attachment {
    /// The file name of the attachment's record. The network is not part of the name, because a pod cannot have two interfaces
    /// with the same name.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}:{}", self.container_id, self.interface)
    }

    /// The name of the host's end of the veth pair: a prefix and 44 bits of a hash.
    #[must_use]
    pub fn host_device(&self) -> String {
        format!("{POD_DEVICE_PREFIX}{:0DEVICE_DIGITS$x}", self.hash("device") >> 20)
    }

    /// The MAC address of the host's end. udev replaces a random address some time after the device appears, but keeps an
    /// address that was set at creation.
    #[must_use]
    pub fn host_mac(&self) -> MacAddress {
        self.mac("host")
    }

    /// The MAC address of the pod's end, unless the runtime asks for another one.
    #[must_use]
    pub fn pod_mac(&self) -> MacAddress {
        self.mac("pod")
    }

    fn mac(&self, end: &str) -> MacAddress {
        let [a, b, c, d, e, ..] = self.hash(end).to_be_bytes();
        MacAddress([0x02, a, b, c, d, e])
    }

    fn hash(&self, purpose: &str) -> u64 {
        stable_hash(&[purpose, &self.container_id, &self.interface])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(container_id: &str) -> Attachment {
        Attachment {
            network: "carrick".to_owned(),
            container_id: container_id.to_owned(),
            interface: "eth0".to_owned(),
        }
    }

    #[test]
    fn only_generated_names_are_host_devices() {
        assert!(is_host_device(&attachment("0a1b").host_device()));
        for name in
            ["crkother", "crk0123456789", "crk0123456789ab", "crk0123456789g", "crk0123456789A", "veth0123456789"]
        {
            assert!(!is_host_device(name), "{name}");
        }
    }

    #[test]
    fn names_depend_on_container_and_interface() {
        let pod = attachment("0a1b");
        assert_eq!(pod.key(), "0a1b:eth0");
        let device = pod.host_device();
        assert_eq!((device.len(), &device[..3]), (14, "crk"));
        assert_eq!(device, attachment("0a1b").host_device());
        assert_ne!(device, attachment("0a1c").host_device());
        assert_ne!(device, Attachment { interface: "eth1".to_owned(), ..pod.clone() }.host_device());
        assert_ne!(pod.host_mac(), pod.pod_mac());
    }
}
