//! One pod's connection to the network, and the names that follow from it.

use carrick_netlink::MacAddress;
use carrick_topology::constants::POD_DEVICE_PREFIX;
use carrick_topology::hash::stable_hash;
use serde::{Deserialize, Serialize};

/// What identifies a connection (CNI specification, section 2: the network's name, the container and the device).
/// The texts obey the specification's rules, so that neither holds a `/` or `:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// The runtime's name for the sandbox.
    pub container_id: String,
    /// The device's name inside the pod.
    pub interface: String,
}

/// What Kubernetes calls a pod; runtimes pass it in `CNI_ARGS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Hexadecimal digits behind the prefix of a device's name.
const DEVICE_DIGITS: usize = 11;

/// Whether [`Attachment::host_device`] gives such names. Others may have devices with the same prefix.
#[must_use]
pub fn is_host_device(name: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = name.strip_prefix(POD_DEVICE_PREFIX);
    digits.is_some_and(|digits| digits.len() == DEVICE_DIGITS && digits.bytes().all(is_digit))
}

impl Attachment {
    /// The file name under which its record is kept. The network is no part of it: a pod cannot have two
    /// devices of one name, whatever their networks are called.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}:{}", self.container_id, self.interface)
    }

    /// The name of the device at the host's end: a prefix and 44 bits.
    #[must_use]
    pub fn host_device(&self) -> String {
        format!("{POD_DEVICE_PREFIX}{:0DEVICE_DIGITS$x}", self.hash("device") >> 20)
    }

    /// The Ethernet address of the host's end. A given one is left alone by udev, which otherwise
    /// replaces the kernel's random ones some time after the device appeared.
    pub fn host_mac(&self) -> MacAddress {
        self.mac("host")
    }

    /// The Ethernet address of the pod's end.
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
    fn own_names_are_told_from_others() {
        assert!(is_host_device(&attachment("0a1b").host_device()));
        for name in
            ["crkother", "crk0123456789", "crk0123456789ab", "crk0123456789g", "crk0123456789A", "veth0123456789"]
        {
            assert!(!is_host_device(name), "{name}");
        }
    }

    #[test]
    fn names_follow_from_container_and_interface() {
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
