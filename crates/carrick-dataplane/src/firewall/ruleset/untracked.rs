//! What this node only forwards between other nodes is not tracked: pods of other nodes cannot fill its connection tracking table.
//!
//! VXLAN is not tracked either. Its source port depends on the connection inside, so that each connection of a pod would be one more connection between
//! two nodes.
//!
//! The networks are such that no rule of this table translates what goes between them. Another program may: the Service proxy sends what a pod
//! sends to a port of this node to a pod of any node. It keeps the pod's address where the Service asks for that (`externalTrafficPolicy: Local`), so that the answer would
//! pass this node untracked, and nothing would translate it back. Such connections get the address of this node, to which the answer then goes.

use carrick_netlink::Family;
use carrick_netlink::nftables::{AddressMatch, Chain, ChainKind, Hook, InterfaceMatch, Rule, UDP, priority};
use carrick_topology::plan::FirewallPlan;

use super::masquerade::{first_of, masqueraded};
use super::sets::{MESH_DEVICES, SetNames};

/// Exempts what comes in. Before connection tracking.
pub(super) fn received(plan: &FirewallPlan) -> Chain {
    let rules = Family::BOTH.into_iter().flat_map(|version| {
        let names = SetNames::of(version);
        let vxlan = to_port(plan.vxlan_port, version, &names.vxlan_addresses);
        let handover = to_port(plan.handover.port, version, &names.mesh_addresses);
        [between_others(version), vxlan, handover].map(Rule::no_track)
    });
    Chain::at(Hook::Prerouting, ChainKind::Filter, priority::RAW).with_rules(rules)
}

/// Exempts the VXLAN of this node. Before connection tracking.
pub(super) fn sent(plan: &FirewallPlan) -> Chain {
    let rules = Family::BOTH.into_iter().flat_map(|version| {
        let names = SetNames::of(version);
        let vxlan = to_port(plan.vxlan_port, version, &names.location_addresses);
        let handover = to_port(plan.handover.port, version, &names.mesh_port_senders);
        [vxlan, handover].map(Rule::no_track)
    });
    Chain::at(Hook::Output, ChainKind::Filter, priority::RAW).with_rules(rules)
}

/// Translates the source of connections whose destination another program has translated, and whose answers would not be tracked.
pub(super) fn redirected(plan: &FirewallPlan, version: Family) -> Vec<Rule> {
    let redirected = || between_others(version).destination_was_translated();
    let into_mesh = first_of(&plan.mesh_addresses, version).map(|address| {
        redirected()
            .output_interface(InterfaceMatch::In(MESH_DEVICES))
            .masquerade_as(address)
            .comment("redirected here")
    });
    into_mesh.into_iter().chain(masqueraded(plan, version, &redirected(), "redirected here")).collect()
}

fn between_others(version: Family) -> Rule {
    let transit = SetNames::of(version).transit;
    let from_others = Rule::new().version(version).source(version, AddressMatch::In(&transit));
    from_others.destination(version, AddressMatch::In(&transit))
}

fn to_port(port: u16, version: Family, addresses: &str) -> Rule {
    let to_port = Rule::new().version(version).protocol(UDP).destination_port(port);
    to_port.destination(version, AddressMatch::In(addresses))
}
