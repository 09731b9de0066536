//! What is checked, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that is checked. Names never change; scripts may rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Every agent answers.
    AgentReachable,
    /// Every agent has a plan and could apply it.
    AgentReady,
    /// All agents have one version.
    AgentVersion,
    /// All agents have the settings that they must share.
    SharedSettings,
    /// The API server answers every agent, and soon.
    ApiServer,
    /// The clocks of all nodes agree.
    Clock,
    /// Kernels forward.
    IpForwarding,
    /// Reverse-path filters let the mesh's packets pass.
    ReversePathFilter,
    /// Forward chains of others let the mesh's packets pass.
    ForwardPolicy,
    /// Runtimes take Carrick's CNI configuration.
    CniConfiguration,
    /// Pods' next hops are there.
    PodGateway,
    /// Kernels hold what the plans say.
    KernelState,
    /// WireGuard devices are there and answer.
    WireguardDevice,
    /// Nobody else has WireGuard's port.
    WireguardPort,
    /// Endpoints can be dialled from other locations.
    PrivateEndpoint,
    /// No endpoint lies in a pod CIDR of its node.
    EndpointInPodCidr,
    /// No two claim the same addresses.
    OverlappingCidrs,
    /// Nothing else is left out of the plans.
    IgnoredValues,
    /// Nodes have the keys that others know.
    Keys,
    /// WireGuard's packets arrive, each way.
    UdpReachability,
    /// WireGuard's handshakes are young.
    Handshakes,
    /// What kind of network address translation nodes are behind.
    NatKind,
    /// Paths carry what devices send.
    PathMtu,
    /// Probes are answered.
    ProbePort,
}

impl Check {
    /// All checks, in the order in which they are told.
    pub const ALL: [Self; 24] = [
        Self::AgentReachable,
        Self::AgentReady,
        Self::AgentVersion,
        Self::SharedSettings,
        Self::ApiServer,
        Self::Clock,
        Self::IpForwarding,
        Self::ReversePathFilter,
        Self::ForwardPolicy,
        Self::CniConfiguration,
        Self::PodGateway,
        Self::KernelState,
        Self::WireguardDevice,
        Self::WireguardPort,
        Self::PrivateEndpoint,
        Self::EndpointInPodCidr,
        Self::OverlappingCidrs,
        Self::IgnoredValues,
        Self::Keys,
        Self::UdpReachability,
        Self::Handshakes,
        Self::NatKind,
        Self::PathMtu,
        Self::ProbePort,
    ];

    /// Its name, in kebab case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AgentReachable => "agent-reachable",
            Self::AgentReady => "agent-ready",
            Self::AgentVersion => "agent-version",
            Self::SharedSettings => "shared-settings",
            Self::ApiServer => "api-server",
            Self::Clock => "clock",
            Self::IpForwarding => "ip-forwarding",
            Self::ReversePathFilter => "reverse-path-filter",
            Self::ForwardPolicy => "forward-policy",
            Self::CniConfiguration => "cni-configuration",
            Self::PodGateway => "pod-gateway",
            Self::KernelState => "kernel-state",
            Self::WireguardDevice => "wireguard-device",
            Self::WireguardPort => "wireguard-port",
            Self::PrivateEndpoint => "private-endpoint",
            Self::EndpointInPodCidr => "endpoint-in-pod-cidr",
            Self::OverlappingCidrs => "overlapping-cidrs",
            Self::IgnoredValues => "ignored-values",
            Self::Keys => "keys",
            Self::UdpReachability => "udp-reachability",
            Self::Handshakes => "handshakes",
            Self::NatKind => "nat-kind",
            Self::PathMtu => "path-mtu",
            Self::ProbePort => "probe-port",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_one_name_everywhere() {
        for check in Check::ALL {
            assert_eq!(serde_json::to_value(check).unwrap(), check.name());
        }
        assert!(Check::ALL.is_sorted());
    }

    #[test]
    fn every_check_is_in_the_table_of_the_operations_page() {
        let page = include_str!("../../../docs/operations.md");
        for check in Check::ALL {
            assert!(page.contains(&format!("| `{check}` |")), "docs/operations.md does not explain {check}");
        }
    }
}
