//! From what the kernel holds to what it must hold: pure, and in the order that never breaks before it makes.
//!
//! 1. settings of the host; 2. devices, down to up; 3. addresses; 4. peers and their allowed IPs; 5. neighbours;
//! 6. routes; 7. rules; then removals, in the opposite order of dependence.

mod changes;
pub(crate) mod devices;
mod peers;
pub(crate) mod routes;

use std::collections::BTreeSet;

use carrick_netlink::Family;
use carrick_netlink::rule::{ListedRule, Mark, Rule};
use carrick_netlink::wireguard::Device;
use carrick_topology::DeviceName;
use carrick_topology::constants::{MAIN_TABLE, OWN_PODS_RULE_PRIORITY};
use ipnet::IpNet;

pub(crate) use changes::Changes;
pub use changes::Circumstances;

use crate::desired::Desired;
use crate::observed::Observed;
use crate::operation::Operation;
use crate::route::RoutingTable;
use crate::sysctl::{Fate, host_differences};

/// What must be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// In order.
    pub operations: Vec<Operation>,
    /// The WireGuard device, when it is missing or silent and only another process can change that. The
    /// difference then lacks everything that needs the device.
    pub waiting_for: Option<DeviceName>,
}

/// Compares. The same state gives no operations.
#[must_use]
pub fn diff(desired: &Desired, observed: &Observed, circumstances: &Circumstances<'_>) -> Difference {
    let wireguard = devices::wireguard(desired, observed);
    let vxlan = devices::vxlan(
        &desired.vxlan,
        &desired.addresses,
        observed.vxlan.as_ref(),
        devices::Settings { families: &desired.rules, values: &observed.sysctls },
    );
    let peers = match (wireguard.fate, wireguard.configuration) {
        (Fate::IsMade, _) => peers::differences(&desired.wireguard, None, circumstances),
        (Fate::Stays, Some(found)) => peers::differences(&desired.wireguard, Some(found), circumstances),
        (Fate::Stays, None) | (Fate::IsMissing, _) => Changes::default(),
    };
    let routes = routes::differences(&desired.routes, &observed.routes, &|device: &DeviceName| {
        if *device == desired.wireguard.device {
            wireguard.fate
        } else if *device == desired.vxlan.device {
            vxlan.fate
        } else {
            Fate::Stays
        }
    });
    let rules = rule_differences(&wanted_rules(desired), &observed.rules);

    let mut operations: Vec<Operation> =
        host_differences(desired, &observed.sysctls).into_iter().map(Operation::SetSysctl).collect();
    operations.extend(wireguard.made);
    operations.extend(vxlan.made);
    operations.extend(peers.made);
    operations.extend(vxlan.neighbours_made);
    operations.extend(routes.made);
    operations.extend(rules.made);
    operations.extend(rules.removed);
    operations.extend(routes.removed);
    operations.extend(vxlan.neighbours_removed);
    operations.extend(peers.removed);
    operations.extend(wireguard.addresses_removed);
    operations.extend(vxlan.addresses_removed);
    Difference { operations, waiting_for: wireguard.waiting.then(|| desired.wireguard.device.clone()) }
}

/// Whether a WireGuard device that stays is configured otherwise than wanted.
#[must_use]
pub fn wireguard_differs(desired: &Desired, found: &Device, circumstances: &Circumstances<'_>) -> bool {
    let peers = peers::differences(&desired.wireguard, Some(found), circumstances);
    let device = peers::device_configuration(&desired.wireguard, Fate::Stays, Some(found));
    device.is_some() || !peers.made.is_empty() || !peers.removed.is_empty()
}

fn wanted_rules(desired: &Desired) -> Vec<Rule> {
    let mark = desired.wireguard.firewall_mark;
    let rule = |family: &Family| Rule {
        mark: Some(Mark { value: mark, mask: mark }),
        invert: true,
        ..RoutingTable::MESH.rule(*family)
    };
    let own_pods = desired.own_pods.iter().filter(|cidr| desired.rules.contains(&Family::from(**cidr)));
    own_pods.map(to_own_pods).chain(desired.rules.iter().map(rule)).collect()
}

/// A rule of another program could lead packets for this node's pods elsewhere, such as that of a VPN for all packets, or one by the source of the host.
/// A route that is wider than the pod CIDR, such as the default route, does not count.
fn to_own_pods(cidr: &IpNet) -> Rule {
    Rule {
        destination: Some(*cidr),
        suppressed: cidr.prefix_len().checked_sub(1),
        ..Rule::new(Family::from(*cidr), OWN_PODS_RULE_PRIORITY, MAIN_TABLE, RoutingTable::MESH.protocol)
    }
}

/// What differs in the rules of some tables. The last to be asked is removed first.
pub(crate) fn rule_differences(wanted: &[Rule], found: &BTreeSet<ListedRule>) -> Changes {
    let is_missing = |rule: &&Rule| !found.iter().any(|found| found.rule.as_ref() == Some(*rule));
    let is_surplus = |found: &&ListedRule| !found.rule.is_some_and(|rule| wanted.contains(&rule));
    Changes {
        made: wanted.iter().filter(is_missing).copied().map(Operation::AddRule).collect(),
        removed: found.iter().rev().filter(is_surplus).cloned().map(Operation::RemoveRule).collect(),
    }
}
