//! The checks and their identifiers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A check. Its identifier is stable, so that scripts can rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Every agent answers.
    AgentReachable,
    /// Every agent has a plan and could apply it.
    AgentReady,
    /// All agents run the same version.
    AgentVersion,
    /// All agents have the same shared settings.
    SharedSettings,
    /// The API server answers every agent in time.
    ApiServer,
    /// The admission policies are in force.
    AdmissionPolicy,
    /// The clocks of all nodes agree.
    Clock,
    /// Kernels forward packets.
    IpForwarding,
    /// Reverse-path filters accept the mesh's packets.
    ReversePathFilter,
    /// Forward chains of other programs accept the mesh's packets.
    ForwardPolicy,
    /// Connection tracking tables have room for new connections.
    ConntrackTable,
    /// Container runtimes use Carrick's CNI configuration.
    CniConfiguration,
    /// Pods have their gateways.
    PodGateway,
    /// Kernels match the plans.
    KernelState,
    /// WireGuard devices exist and answer.
    WireguardDevice,
    /// No other program uses WireGuard's port.
    WireguardPort,
    /// Endpoints can be dialled from other locations.
    PrivateEndpoint,
    /// No endpoint is in a pod CIDR of its node.
    EndpointInPodCidr,
    /// Each endpoint leads to one node.
    SharedEndpoint,
    /// No two objects claim the same addresses.
    OverlappingCidrs,
    /// Packets inside a location leave by devices of the location's network.
    LocationNetwork,
    /// No routing rule of another program decides before Carrick's rules on packets of the mesh.
    RoutingRules,
    /// The plans ignore no other value.
    IgnoredValues,
    /// Nodes use the keys that other nodes know.
    Keys,
    /// WireGuard's packets arrive in both directions.
    UdpReachability,
    /// WireGuard sessions are valid.
    Handshakes,
    /// The kind of network address translation in front of nodes.
    NatKind,
    /// Paths carry packets of the devices' size.
    PathMtu,
    /// Probes are answered.
    ProbePort,
}

impl Check {
    /// All checks, in the order of the report.
    pub const ALL: [Self; 29] = [
        Self::AgentReachable,
        Self::AgentReady,
        Self::AgentVersion,
        Self::SharedSettings,
        Self::ApiServer,
        Self::AdmissionPolicy,
        Self::Clock,
        Self::IpForwarding,
        Self::ReversePathFilter,
        Self::ForwardPolicy,
        Self::ConntrackTable,
        Self::CniConfiguration,
        Self::PodGateway,
        Self::KernelState,
        Self::WireguardDevice,
        Self::WireguardPort,
        Self::PrivateEndpoint,
        Self::EndpointInPodCidr,
        Self::SharedEndpoint,
        Self::OverlappingCidrs,
        Self::LocationNetwork,
        Self::RoutingRules,
        Self::IgnoredValues,
        Self::Keys,
        Self::UdpReachability,
        Self::Handshakes,
        Self::NatKind,
        Self::PathMtu,
        Self::ProbePort,
    ];

    /// The identifier, in kebab case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AgentReachable => "agent-reachable",
            Self::AgentReady => "agent-ready",
            Self::AgentVersion => "agent-version",
            Self::SharedSettings => "shared-settings",
            Self::ApiServer => "api-server",
            Self::AdmissionPolicy => "admission-policy",
            Self::Clock => "clock",
            Self::IpForwarding => "ip-forwarding",
            Self::ReversePathFilter => "reverse-path-filter",
            Self::ForwardPolicy => "forward-policy",
            Self::ConntrackTable => "conntrack-table",
            Self::CniConfiguration => "cni-configuration",
            Self::PodGateway => "pod-gateway",
            Self::KernelState => "kernel-state",
            Self::WireguardDevice => "wireguard-device",
            Self::WireguardPort => "wireguard-port",
            Self::PrivateEndpoint => "private-endpoint",
            Self::EndpointInPodCidr => "endpoint-in-pod-cidr",
            Self::SharedEndpoint => "shared-endpoint",
            Self::OverlappingCidrs => "overlapping-cidrs",
            Self::LocationNetwork => "location-network",
            Self::RoutingRules => "routing-rules",
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
    fn the_json_form_of_a_check_is_its_identifier() {
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
