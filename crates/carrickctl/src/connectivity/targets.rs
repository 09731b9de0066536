//! What the pod of an end asks.

use std::fmt;
use std::net::IpAddr;

use carrick_kube::test_pods::TestAddresses;
use carrick_topology::Family;
use serde::Serialize;

use super::ends::{End, HOST_PORT, POD_PORT, node_port};

/// The size of the large answer, in bytes.
const MEGABYTE: u32 = 1_000_000;

/// A way to reach an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// One byte from the pod.
    Pod,
    /// A megabyte from the pod.
    Megabyte,
    /// A datagram that fills a packet.
    LargestPacket,
    /// The node.
    Host,
    /// The host port of the pod.
    HostPort,
    /// The Service of the pod, by its address.
    Service,
    /// The Service of the pod, by its name.
    Name,
}

impl Check {
    /// All checks, in the order of the table.
    pub const ALL: [Self; 7] =
        [Self::Pod, Self::Megabyte, Self::LargestPacket, Self::Host, Self::HostPort, Self::Service, Self::Name];

    /// The heading of the check's column.
    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Pod => "POD",
            Self::Megabyte => "1 MB",
            Self::LargestPacket => "LARGEST PACKET",
            Self::Host => "HOST",
            Self::HostPort => "HOST PORT",
            Self::Service => "SERVICE",
            Self::Name => "DNS NAME",
        }
    }
}

/// A target of the client in a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The number of the end that is asked.
    pub to: usize,
    pub family: Family,
    pub check: Check,
    host: String,
    port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, family, check, host, port } = self;
        let number = if *family == Family::V4 { 4 } else { 6 };
        let name = format!("{to}-{family}-{check:?}");
        match check {
            Check::LargestPacket => write!(f, "{name}=udp{number}://{host}:{port}"),
            Check::Megabyte => write!(f, "{name}=tcp{number}://{host}:{port}/{MEGABYTE}"),
            _ => write!(f, "{name}=tcp{number}://{host}:{port}/1"),
        }
    }
}

/// What the pod of the end with the number `from` asks: each other end in each family that both have.
pub(super) fn targets(ends: &[End], from: usize, addresses: &TestAddresses, namespace: &str) -> Vec<Target> {
    let own = families(addresses.pods.get(&End::pod_name(from)));
    let mut targets = Vec::new();
    for to in (0..ends.len()).filter(|to| *to != from) {
        let (pod, host) = (End::pod_name(to), End::host_name(to));
        let mut add = |check, found: Option<&Vec<IpAddr>>, port| {
            for address in found.into_iter().flatten().filter(|address| own.contains(&Family::of(address))) {
                let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
                targets.push(Target { to, family: Family::of(address), check, host, port });
            }
        };
        for check in [Check::Pod, Check::Megabyte, Check::LargestPacket] {
            add(check, addresses.pods.get(&pod), POD_PORT);
        }
        add(Check::Host, addresses.pods.get(&host), node_port());
        add(Check::HostPort, addresses.pods.get(&host), HOST_PORT);
        add(Check::Service, addresses.services.get(&pod), POD_PORT);
        for family in families(addresses.services.get(&pod)).into_iter().filter(|family| own.contains(family)) {
            let host = format!("{pod}.{namespace}.svc");
            targets.push(Target { to, family, check: Check::Name, host, port: POD_PORT });
        }
    }
    targets
}

fn families(addresses: Option<&Vec<IpAddr>>) -> Vec<Family> {
    addresses.into_iter().flatten().map(Family::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_other_end_is_asked_in_the_families_that_both_have() {
        let end = |node: &str| End { node: node.parse().unwrap(), location: "l".to_owned(), image: "i".to_owned() };
        let ends = [end("a1"), end("b1")];
        let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let mut addresses = TestAddresses::default();
        addresses.pods.insert("pod-0".to_owned(), parse(&["10.42.0.2", "fd42::2"]));
        addresses.pods.insert("host-0".to_owned(), parse(&["10.1.0.1"]));
        addresses.pods.insert("pod-1".to_owned(), parse(&["10.42.1.2", "fd42:1::2"]));
        addresses.pods.insert("host-1".to_owned(), parse(&["10.2.0.1"]));
        addresses.services.insert("pod-1".to_owned(), parse(&["10.96.0.9"]));
        let targets = targets(&ends, 0, &addresses, "carrick-test-x");
        let texts: Vec<_> = targets.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 3 * 2 + 4, "{texts:?}");
        for expected in [
            "1-IPv6-Pod=tcp6://[fd42:1::2]:8080/1",
            "1-IPv4-Megabyte=tcp4://10.42.1.2:8080/1000000",
            "1-IPv4-LargestPacket=udp4://10.42.1.2:8080",
            "1-IPv4-Host=tcp4://10.2.0.1:28081/1",
            "1-IPv4-HostPort=tcp4://10.2.0.1:28080/1",
            "1-IPv4-Service=tcp4://10.96.0.9:8080/1",
            "1-IPv4-Name=tcp4://pod-1.carrick-test-x.svc:8080/1",
        ] {
            assert!(texts.iter().any(|text| text == expected), "{expected}: {texts:?}");
        }
    }
}
