//! From what the kernel holds to what it must hold: pure, and in the order that never breaks before it makes.
//!
//! 1. settings of the host; 2. devices, down to up; 3. addresses; 4. peers and their allowed IPs; 5. neighbours;
//! 6. routes; 7. rules; then removals, in the opposite order of dependence.

mod devices;
mod peers;
mod routes;

use std::time::{Duration, SystemTime};

use carrick_netlink::rule::{Mark, Rule};
use carrick_netlink::wireguard::Device;
use carrick_topology::DeviceName;
use carrick_topology::contract::{ROUTE_PROTOCOL, ROUTING_TABLE, RULE_PRIORITY};

use crate::desired::Desired;
use crate::endpoint_memory::Endpoints;
use crate::observed::Observed;
use crate::operation::Operation;
use crate::sysctl::{Fate, host_differences};

/// What is known beside the kernel's state.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The present, for the age of handshakes.
    pub now: SystemTime,
    /// The endpoints that were wanted when they were last written.
    pub written_endpoints: &'a Endpoints,
    /// Where peers were last seen to come from while they had a session.
    pub seen_endpoints: &'a Endpoints,
}

/// What must be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// In order.
    pub operations: Vec<Operation>,
    /// The WireGuard device, when it is missing or silent and only another process can change that. What
    /// needs it is left out until then.
    pub waiting_for: Option<DeviceName>,
}

/// Compares. The same state gives no operations.
#[must_use]
pub fn diff(desired: &Desired, observed: &Observed, circumstances: &Circumstances<'_>) -> Difference {
    let wireguard = devices::wireguard(desired, observed);
    let vxlan = devices::vxlan(desired, observed);
    let peers = match (wireguard.fate, wireguard.configuration) {
        (Fate::IsMade, _) => peers::differences(&desired.wireguard, None, circumstances),
        (Fate::Stays, Some(found)) => peers::differences(&desired.wireguard, Some(found), circumstances),
        (Fate::Stays, None) | (Fate::IsMissing, _) => Changes::default(),
    };
    let routes = routes::differences(desired, observed, &|device: &DeviceName| {
        if *device == desired.wireguard.device {
            wireguard.fate
        } else if *device == desired.vxlan.device {
            vxlan.fate
        } else {
            Fate::Stays
        }
    });
    let rules = rules(desired, observed);

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

/// How long ago something happened; what lies in the future has just happened.
fn age(now: SystemTime, since_epoch: Duration) -> Duration {
    now.duration_since(SystemTime::UNIX_EPOCH + since_epoch).unwrap_or_default()
}

/// Changes of one kind.
#[derive(Debug, Default)]
struct Changes {
    made: Vec<Operation>,
    removed: Vec<Operation>,
}

fn rules(desired: &Desired, observed: &Observed) -> Changes {
    let mark = desired.wireguard.firewall_mark;
    let wanted: Vec<Rule> = desired
        .rules
        .iter()
        .map(|family| Rule {
            family: *family,
            priority: RULE_PRIORITY,
            table: ROUTING_TABLE,
            protocol: ROUTE_PROTOCOL,
            mark: Some(Mark { value: mark, mask: mark }),
            invert: true,
        })
        .collect();
    Changes {
        made: wanted.iter().filter(|rule| !observed.rules.contains(rule)).copied().map(Operation::AddRule).collect(),
        removed: observed
            .rules
            .iter()
            .filter(|rule| !wanted.contains(rule))
            .copied()
            .map(Operation::RemoveRule)
            .collect(),
    }
}
