//! Messages that a packet of the mesh is too large for a path.
//!
//! The agent finds the MTU of paths by probes. Who knows two addresses of nodes can forge such a message, and the kernel believes it for ten
//! minutes (`net.ipv4.route.mtu_expires`): packets of 560 bytes would carry what fits into one of 1500.

use carrick_netlink::Family;
use carrick_netlink::nftables::{Chain, InterfaceMatch, Operator, Rule, UDP, Verdict};
use carrick_topology::plan::{FirewallPlan, MeshPorts};

use super::sets::MESH_DEVICES;
use crate::firewall::dropped::{DropReason, dropped};

/// The chain for these messages.
pub(super) const CHAIN: &str = "path-mtu";
/// Version 4, and a header of five words (RFC 791 §3.1).
const WITHOUT_OPTIONS: u8 = 0x45;
/// The protocols of ICMP (RFC 792) and ICMPv6 (RFC 4443).
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// The headers that may stand between those of IPv6 and UDP: hop-by-hop options, routing, destination options (RFC 8200 §4).
const EXTENSIONS: [u8; 3] = [0, 43, 60];
/// Those that packets of this host really have: fragment (RFC 8200 §4.5), authentication (RFC 4302).
const REAL_EXTENSIONS: [u8; 2] = [44, 51];

/// Where a quoted header has the next protocol's number, and how long the header is, in bytes.
fn layout(version: Family) -> (u32, u32) {
    match version {
        Family::V4 => (9, 20),
        Family::V6 => (6, 40),
    }
}

/// A message that quotes a packet with this number after its header.
fn quoting(version: Family, protocol: u8) -> Rule {
    Rule::new().version(version).quotes(Operator::Equal, layout(version).0, &[protocol])
}

/// Messages that quote a UDP packet from or to this port. For the kernel, a socket at the port is reason enough to believe them.
fn quoting_port(version: Family, port: u16) -> [Rule; 2] {
    let (_, source) = layout(version);
    let destination = source + 2;
    [source, destination].map(|field| quoting(version, UDP).quotes(Operator::Equal, field, &port.to_be_bytes()))
}

/// A message that quotes ICMP: the kernel believes it about any address, and no program needs it.
fn quoting_icmp(version: Family) -> Rule {
    match version {
        Family::V4 => quoting(version, ICMP),
        Family::V6 => quoting(version, ICMPV6),
    }
}

/// Sends the messages through the chain.
pub(super) fn jumps() -> [Rule; 2] {
    Family::BOTH
        .map(|version| Rule::new().version(version).packet_too_big(version).verdict(Verdict::Jump(CHAIN.to_owned())))
}

/// Drops such messages: about WireGuard's packets if they come from a pod or out of the mesh, about all others from everywhere, and about ICMP
/// from everywhere. A header with options could hide the port.
pub(super) fn chain(plan: &FirewallPlan) -> Chain {
    let hidden = |version: Family| match version {
        Family::V4 => vec![Rule::new().version(version).quotes(Operator::NotEqual, 0, &[WITHOUT_OPTIONS])],
        Family::V6 => EXTENSIONS.map(|header| quoting(version, header)).into(),
    };
    let hidden_in_real = |version: Family| match version {
        Family::V4 => vec![],
        Family::V6 => REAL_EXTENSIONS.map(|header| quoting(version, header)).into(),
    };
    let of_version = |version: Family| {
        let everywhere = MeshPorts::BESIDES_WIREGUARD.into_iter().flat_map(move |port| quoting_port(version, port));
        let by_pod = plan.pod_device_prefix.as_deref().map(InterfaceMatch::StartsWith);
        let inside = by_pod.into_iter().chain([InterfaceMatch::In(MESH_DEVICES)]).flat_map(move |device| {
            let of_ports = plan.mesh_ports.ports.iter().flat_map(|port| quoting_port(version, *port));
            of_ports.chain(hidden_in_real(version)).map(|rule| rule.input_interface(device)).collect::<Vec<_>>()
        });
        everywhere.chain(inside).chain(hidden(version)).chain([quoting_icmp(version)])
    };
    let rules = Family::BOTH.into_iter().flat_map(of_version);
    Chain::regular().with_rules(rules.map(|rule| dropped(rule, DropReason::ForgedPathMtu)))
}
