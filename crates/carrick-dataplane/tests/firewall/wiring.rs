//! Cables between network namespaces, and addresses of both versions.

use crate::namespace::Namespace;

/// One address in both versions.
#[derive(Clone, Copy)]
pub struct Pair(pub &'static str, pub &'static str);

impl Pair {
    pub fn both(self) -> [&'static str; 2] {
        [self.0, self.1]
    }
}

/// The same pair of addresses in each version: first both of IPv4, then both of IPv6.
pub fn in_both(first: Pair, second: Pair) -> [(&'static str, &'static str); 2] {
    [(first.0, second.0), (first.1, second.1)]
}

/// A cable without neighbour discovery: both ends have the same Ethernet address.
pub fn connect(near: &Namespace, near_name: &str, far: &Namespace, far_name: &str) {
    let cable = "address 02:00:00:00:00:01";
    near.ip(&format!("link add {near_name} {cable} type veth peer name {far_name} {cable} netns {}", far.path()));
    for (namespace, device) in [(near, near_name), (far, far_name)] {
        namespace.ip(&format!("link set {device} arp off up"));
    }
    for (namespace, device) in [(near, near_name), (far, far_name)] {
        while !namespace.command("ip", &["link", "show", "dev", device], "").contains("state UP") {
            std::thread::yield_now();
        }
    }
}

/// Gives addresses to a device. The kernel finishes those of IPv6 in the background.
pub fn give(namespace: &Namespace, device: &str, pairs: &[Pair]) {
    for Pair(ipv4, ipv6) in pairs {
        namespace.ip(&format!("address add {ipv4}/32 dev {device}\naddress add {ipv6}/128 dev {device} nodad"));
        while namespace.command("ip", &["-6", "route", "show", "table", "local", "dev", device, ipv6], "").is_empty() {
            std::thread::yield_now();
        }
    }
}
