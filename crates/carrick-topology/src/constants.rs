//! Names and numbers that Carrick occupies in the kernel and on the wire.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Name of the WireGuard device.
pub const WIREGUARD_DEVICE: &str = "carrick0";
/// Name of the VXLAN device.
pub const VXLAN_DEVICE: &str = "carrick-vx";
/// The name of the loopback device in Linux.
pub const LOOPBACK_DEVICE: &str = "lo";
/// Host-side names of the pods' veth devices begin with this.
pub const POD_DEVICE_PREFIX: &str = "crk";
/// UDP port on which WireGuard listens.
pub const WIREGUARD_PORT: u16 = 51820;
/// UDP port on which agents answer probes. They listen on mesh and internal addresses only.
pub const PROBE_PORT: u16 = 51821;
/// UDP port of the VXLAN device; 8472 belongs to flannel and Cilium.
pub const VXLAN_PORT: u16 = 51822;
/// VXLAN network identifier (RFC 7348 §5).
pub const VXLAN_IDENTIFIER: u32 = 1107;
/// Name of the VXLAN device that exists during a handover.
pub const HANDOVER_DEVICE: &str = "carrick-ho";
/// UDP port of that device, used inside tunnels only.
pub const HANDOVER_PORT: u16 = 51823;
/// VXLAN network identifier of that device.
pub const HANDOVER_IDENTIFIER: u32 = 1108;
/// Routing table with the routes out of that device, for forwarded packets.
pub const HANDOVER_TABLE: u32 = 1106;
/// Priority of the rule, one for each family, that leads forwarded packets to [`HANDOVER_TABLE`] first.
pub const HANDOVER_RULE_PRIORITY: u32 = 1106;
/// Routing table with the routes of that device's outer packets.
pub const HANDOVER_OUTER_TABLE: u32 = 1105;
/// Priority of the rule that leads outer packets to [`HANDOVER_OUTER_TABLE`].
pub const HANDOVER_OUTER_RULE_PRIORITY: u32 = 1105;
/// Route protocol number of the routes and rules of handovers.
pub const HANDOVER_ROUTE_PROTOCOL: u8 = 109;
/// Routing table with the routes of packets that come out of tunnels, to other nodes of the location.
pub const LOCATION_TABLE: u32 = 1104;
/// Priority of the rules that lead packets out of tunnels to [`LOCATION_TABLE`].
pub const LOCATION_RULE_PRIORITY: u32 = 1104;
/// Route protocol number of these routes and rules.
pub const LOCATION_ROUTE_PROTOCOL: u8 = 110;
/// Firewall mark of WireGuard's own outer packets, and its mask.
pub const FIREWALL_MARK: u32 = 0x1000;
/// The kernel's main routing table (`RT_TABLE_MAIN`).
pub const MAIN_TABLE: u32 = 254;
/// Priority of the rules that lead packets for pods of this node to their routes in table main, whatever rules and tables other programs have.
pub const OWN_PODS_RULE_PRIORITY: u32 = 1103;
/// Routing table that holds Carrick's routes.
pub const ROUTING_TABLE: u32 = 1107;
/// Priority of the rule, one for each family, that leads to [`ROUTING_TABLE`].
pub const RULE_PRIORITY: u32 = 1107;
/// Route protocol number (`RTA_PROTOCOL`) on the routes and rules of the agent.
pub const ROUTE_PROTOCOL: u8 = 107;
/// Route protocol number on the CNI plugin's routes to the node's own pods, in table main.
pub const POD_ROUTE_PROTOCOL: u8 = 108;
/// Metric of the routes that carry traffic.
pub const ROUTE_METRIC: u32 = 100;
/// Metric of the `unreachable` routes behind them.
pub const UNREACHABLE_METRIC: u32 = 10_000;

/// Bytes that WireGuard adds to a packet over IPv4.
pub const WIREGUARD_OVERHEAD_V4: u32 = 60;
/// Bytes that WireGuard adds to a packet over IPv6.
pub const WIREGUARD_OVERHEAD_V6: u32 = 80;
/// Bytes that VXLAN adds to a packet over IPv4.
pub const VXLAN_OVERHEAD_V4: u32 = 50;
/// Bytes that VXLAN adds to a packet over IPv6.
pub const VXLAN_OVERHEAD_V6: u32 = 70;
/// The least MTU of IPv6 (RFC 8200 §5), in bytes. No device of Carrick has less.
pub const LEAST_DEVICE_MTU: u32 = 1280;
/// MTU assumed for an unknown path, in bytes.
pub const DEFAULT_UPLINK_MTU: u32 = 1500;

/// Seconds between the keepalives of a tunnel to or from a standby gateway: they keep its session.
pub const WARM_KEEPALIVE_SECONDS: u16 = 25;

/// The default mesh CIDRs.
#[must_use]
pub fn default_mesh_cidrs() -> [IpNet; 2] {
    [
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 4, 0, 0), 16)),
        IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfdca, 0x7272, 0x6963, 0x6b00, 0, 0, 0, 0), 64)),
    ]
}

/// The default permitted location CIDRs: private (RFC 1918), shared (RFC 6598) and unique local (RFC 4193) addresses.
#[must_use]
pub fn default_permitted_location_cidrs() -> [IpNet; 5] {
    [
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8)),
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10)),
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12)),
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16)),
        IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7)),
    ]
}

/// Addresses of clouds' metadata services in ranges that private networks use, where a machine finds its credentials: Alibaba Cloud, AWS and Google
/// Cloud. Those of other clouds are link-local or public. The mesh never carries them.
#[must_use]
pub const fn metadata_services() -> [IpAddr; 3] {
    [
        IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
        IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    ]
}
