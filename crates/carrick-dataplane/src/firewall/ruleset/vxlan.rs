//! VXLAN stays between nodes: inside a location, and through tunnels during a handover.
//!
//! VXLAN is not authenticated. A node believes who sent it by the addresses between which it goes and by the device that it comes in by. A node that
//! forwards packets of other programs, such as those of containers behind a bridge, often gives them its own address: so it must not forward to
//! these ports what nodes did not send.

use carrick_netlink::Family;
use carrick_netlink::nftables::{AddressMatch, InterfaceMatch, Rule, UDP};
use carrick_topology::plan::FirewallPlan;

use super::sets::{INTERNAL_DEVICES, MESH_DEVICES, SetNames};
use crate::firewall::dropped::{DropReason, dropped};

/// VXLAN out of the location's network: it comes in by a device that leads into the location.
pub(super) fn by_other_device(plan: &FirewallPlan) -> Option<Rule> {
    plan.vxlan_devices.as_ref()?;
    let by_other_device = to_port(plan.vxlan_port).input_interface(InterfaceMatch::NotIn(INTERNAL_DEVICES));
    Some(dropped(by_other_device, DropReason::VxlanByOtherDevice))
}

/// The kernel takes VXLAN at all addresses of the host. Nodes send it to internal addresses only. Others may reach addresses of the host that
/// no rule of another node protects.
pub(super) fn to_other_address(plan: &FirewallPlan, version: Family) -> Rule {
    let own = SetNames::of(version).vxlan_addresses;
    let to_other_address = to_port(plan.vxlan_port).version(version).destination(version, AddressMatch::NotIn(&own));
    dropped(to_other_address, DropReason::VxlanToOtherAddress)
}

/// What this node forwards to a VXLAN port, and no node sent.
pub(super) fn forwarded(plan: &FirewallPlan) -> Vec<Rule> {
    let to_nodes = Family::BOTH.into_iter().flat_map(|version| to_nodes(plan, version));
    let into_location = Family::BOTH.into_iter().flat_map(|version| into_location(plan, version));
    to_nodes.chain(into_location).map(|rule| dropped(rule, DropReason::VxlanForwarded)).collect()
}

/// This node's own VXLAN, known by its network identifier (RFC 7348 §5), stays in the location's network, wherever the host's routes lead.
pub(super) fn out_by_other_device(plan: &FirewallPlan) -> Option<Rule> {
    plan.vxlan_devices.as_ref()?;
    let [_, identifier @ ..] = plan.vxlan_identifier.to_be_bytes();
    let vxlan = to_port(plan.vxlan_port).udp_payload(4, &identifier);
    let out_by_other_device = vxlan.output_interface(InterfaceMatch::NotIn(INTERNAL_DEVICES));
    Some(dropped(out_by_other_device, DropReason::VxlanOutByOtherDevice))
}

fn to_port(port: u16) -> Rule {
    Rule::new().protocol(UDP).destination_port(port)
}

/// To a node, from elsewhere than the mesh. A host that routes between networks of a location forwards VXLAN of nodes; it has their addresses,
/// and comes in by a device that leads into the location.
fn to_nodes(plan: &FirewallPlan, version: Family) -> Vec<Rule> {
    let nodes = SetNames::of(version).mesh_port_addresses;
    let rules = |port: u16| {
        let from_elsewhere = || {
            let to_node = to_port(port).version(version).destination(version, AddressMatch::In(&nodes));
            to_node.input_interface(InterfaceMatch::NotIn(MESH_DEVICES))
        };
        let of_others = from_elsewhere().source(version, AddressMatch::NotIn(&nodes));
        let by_other_device = |_| from_elsewhere().input_interface(InterfaceMatch::NotIn(INTERNAL_DEVICES));
        [of_others].into_iter().chain(plan.vxlan_devices.as_ref().map(by_other_device))
    };
    [plan.vxlan_port, plan.handover.port].into_iter().flat_map(rules).collect()
}

/// Into the location's network, also out of the mesh. An address there may be that of a node which this node does not know yet: so nothing goes
/// to this port there but what the mesh carries without encapsulation.
fn into_location(plan: &FirewallPlan, version: Family) -> Vec<Rule> {
    let names = SetNames::of(version);
    let from_elsewhere =
        || to_port(plan.vxlan_port).version(version).input_interface(InterfaceMatch::NotIn(INTERNAL_DEVICES));
    let to_node = from_elsewhere().destination(version, AddressMatch::In(&names.location_addresses));
    let to_unknown = from_elsewhere()
        .output_interface(InterfaceMatch::In(INTERNAL_DEVICES))
        .destination(version, AddressMatch::NotIn(&names.carried));
    plan.vxlan_devices.iter().flat_map(|_| [to_node.clone(), to_unknown.clone()]).collect()
}
