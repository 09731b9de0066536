//! What this node only forwards between other nodes is not tracked: pods of other nodes cannot fill its connection tracking table.
//!
//! The networks are such that no rule of this table translates what goes between them. Another program may: the Service proxy sends what a pod
//! sends to a port of this node to a pod of any node. It keeps the pod's address where the Service asks for that (`externalTrafficPolicy: Local`), so that the answer would
//! pass this node untracked, and nothing would translate it back. Such connections get the address of this node, to which the answer then goes.

use carrick_netlink::Family;
use carrick_netlink::nftables::{AddressMatch, Chain, ChainKind, Hook, InterfaceMatch, Rule, priority};
use carrick_topology::plan::FirewallPlan;

use super::sets::{MESH_DEVICES, SetNames};
use super::{first_of, masqueraded};

/// Exempts packets in both directions. Before connection tracking.
pub(super) fn chain() -> Chain {
    let rules = Family::BOTH.map(|version| between_others(version).no_track());
    Chain::at(Hook::Prerouting, ChainKind::Filter, priority::RAW).with_rules(rules)
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
