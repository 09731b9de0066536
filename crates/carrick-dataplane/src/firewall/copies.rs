//! The tables `ip carrick` and `ip6 carrick`, which are there only while a gateway returns: what leaves through the tunnels for others
//! goes by that gateway as well.
//!
//! `dup` knows tables of one version only. The chain stands behind the translation, so that sources are what the far end sees; the
//! kernel does not copy a copy again. The next hop alone is named: Carrick's own route to it says by which device.

use std::collections::BTreeMap;
use std::net::IpAddr;

use carrick_netlink::nftables::{
    AddressMatch, Chain, ChainKind, Hook, InterfaceMatch, IpVersion, Rule, Table, TableFamily, TableName, priority,
};
use carrick_topology::DeviceName;
use carrick_topology::plan::{Copies, FirewallPlan};

use super::ruleset::{VERSIONS, networks, table_name};

/// Behind `srcnat` and Carrick's own translation.
const BEHIND_TRANSLATION: i32 = priority::SOURCE_NAT + 50;

/// The name of the table for one version.
#[must_use]
pub fn copy_table_name(version: IpVersion) -> TableName {
    TableName::new(TableFamily::of_version(version), table_name().name)
}

/// The tables that a plan asks for; none while no gateway returns.
#[must_use]
pub fn copy_tables(plan: &FirewallPlan) -> BTreeMap<IpVersion, Table> {
    VERSIONS.into_iter().filter_map(|version| Some((version, copy_table(plan, version)?))).collect()
}

fn copy_table(plan: &FirewallPlan, version: IpVersion) -> Option<Table> {
    let wireguard = plan.mesh_devices.first()?;
    let targets = plan.copies.values().filter_map(|copies| Some((address(copies, version)?, copies)));
    let name = copy_table_name(version);
    let mut table = Table::new(name.family, name.name);
    let mut rules = Vec::new();
    for (number, (to, copies)) in (1..).zip(targets) {
        let set = format!("sources{number}");
        rules.push(copy(version, wireguard, &set, to));
        table = table.with_set(set, networks(version, &copies.sources));
    }
    if rules.is_empty() {
        return None;
    }
    let chain = Chain::at(Hook::Postrouting, ChainKind::Filter, BEHIND_TRANSLATION).with_rules(rules);
    Some(table.with_chain("copy", chain))
}

fn address(copies: &Copies, version: IpVersion) -> Option<IpAddr> {
    copies.by.iter().copied().find(|address| IpVersion::of(*address) == version)
}

fn copy(version: IpVersion, wireguard: &DeviceName, set: &str, to: IpAddr) -> Rule {
    Rule::new()
        .output_interface(InterfaceMatch::Is(wireguard.as_str()))
        .source(version, AddressMatch::In(set))
        .duplicate_to(to)
        .comment("by the gateway that returns as well")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn plan(by: &[&str]) -> FirewallPlan {
        let copies = Copies {
            by: by.iter().map(|address| address.parse().unwrap()).collect(),
            devices: BTreeSet::from(["carrick-vx".parse().unwrap()]),
            sources: BTreeSet::from(["10.42.3.0/24".parse().unwrap(), "fd42:3::/64".parse().unwrap()]),
        };
        FirewallPlan {
            mesh_devices: vec!["carrick0".parse().unwrap(), "carrick-vx".parse().unwrap()],
            copies: BTreeMap::from([("a1".parse().unwrap(), copies)]),
            ..FirewallPlan::default()
        }
    }

    #[test]
    fn there_is_a_table_only_where_something_is_copied() {
        assert!(copy_tables(&FirewallPlan { copies: BTreeMap::new(), ..plan(&[]) }).is_empty());
        assert!(copy_tables(&plan(&[])).is_empty());
        assert!(copy_tables(&plan(&["10.4.0.1"])).keys().eq(&[IpVersion::V4]));
        assert!(copy_tables(&plan(&["10.4.0.1", "fdca::1"])).keys().eq(&[IpVersion::V4, IpVersion::V6]));
    }
}
