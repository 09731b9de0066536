//! Which address of this node packets get.

use std::collections::BTreeSet;
use std::net::IpAddr;

use carrick_netlink::Family;
use carrick_netlink::nftables::{AddressMatch, InterfaceMatch, Rule};
use carrick_topology::plan::FirewallPlan;

use super::sets::SetNames;

/// Gives what a rule selects the source that the default route names, where one does, and else the address of the device that it leaves
/// by.
pub(super) fn masqueraded(plan: &FirewallPlan, version: Family, rule: &Rule, comment: &str) -> Vec<Rule> {
    let names = SetNames::of(version);
    let by_default_route = plan.default_sources.iter().filter_map(|(device, sources)| {
        let address = first_of(sources, version)?;
        let by_device = rule.clone().output_interface(InterfaceMatch::Is(device.as_str()));
        Some(by_device.destination(version, AddressMatch::NotIn(&names.host_networks)).masquerade_as(address))
    });
    by_default_route.chain([rule.clone().masquerade()]).map(|rule| rule.comment(comment)).collect()
}

/// The address of a family.
pub(super) fn first_of(addresses: &BTreeSet<IpAddr>, version: Family) -> Option<IpAddr> {
    addresses.iter().copied().find(|address| Family::of(address) == version)
}
