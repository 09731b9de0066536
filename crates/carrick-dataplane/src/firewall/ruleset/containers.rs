//! Containers of other programs do not send in the name of nodes or pods.
//!
//! By which devices packets without encapsulation come in is not known in general: a host may have several uplinks, and answers may leave by another
//! one. But a device of containers brings no packets of a node or a pod to which the host's routes do not lead by this device, as they lead
//! to a node in a virtual machine.

use carrick_netlink::Family;
use carrick_netlink::nftables::{AddressMatch, Chain, InterfaceMatch, Rule, Verdict};
use carrick_topology::plan::FirewallPlan;

use super::sets::{INTERNAL_DEVICES, MESH_DEVICES, SetNames};
use crate::firewall::dropped::{DropReason, dropped};

/// The chain for packets with a source of the mesh that come in by a device to which no route to the source leads.
pub(super) const CHAIN: &str = "container-sources";

/// Sends packets with the source of a node or a pod through the chain. None where it is not known which
/// devices carry internal addresses.
pub(super) fn jumps(plan: &FirewallPlan) -> Vec<Rule> {
    let rules = |version| {
        let names = SetNames::of(version);
        let of_nodes = from_elsewhere(version).source(version, AddressMatch::In(&names.mesh_port_addresses));
        let of_mesh = from_elsewhere(version)
            .source(version, AddressMatch::In(&names.carried))
            .source(version, AddressMatch::NotIn(&names.direct));
        [of_nodes, of_mesh].map(|rule| rule.reverse_path_missing().verdict(Verdict::Jump(CHAIN.to_owned())))
    };
    let has_containers = !plan.container_devices.is_empty() || !plan.container_bridges.is_empty();
    let is_checked = plan.vxlan_devices.is_some() && has_containers;
    is_checked.then(|| Family::BOTH.into_iter().flat_map(rules)).into_iter().flatten().collect()
}

/// Drops what comes in by devices of containers for pods and for destinations of the mesh.
pub(super) fn chain(plan: &FirewallPlan) -> Chain {
    let elsewhere = Family::BOTH.map(|version| {
        let names = SetNames::of(version);
        let elsewhere = Rule::new().version(version).destination(version, AddressMatch::NotIn(&names.own_pods));
        elsewhere.destination(version, AddressMatch::NotIn(&names.carried)).verdict(Verdict::Return)
    });
    let by_container = plan.container_devices.iter().map(|prefix| {
        dropped(Rule::new().input_interface(InterfaceMatch::StartsWith(prefix)), DropReason::MeshSourceByOtherDevice)
    });
    let by_bridge = plan.container_bridges.iter().map(|bridge| {
        dropped(Rule::new().input_interface(InterfaceMatch::Is(bridge.as_str())), DropReason::MeshSourceByOtherDevice)
    });
    Chain::regular().with_rules(elsewhere).with_rules(by_container).with_rules(by_bridge)
}

fn from_elsewhere(version: Family) -> Rule {
    let elsewhere = Rule::new().version(version).input_interface(InterfaceMatch::NotIn(MESH_DEVICES));
    elsewhere.input_interface(InterfaceMatch::NotIn(INTERNAL_DEVICES))
}
