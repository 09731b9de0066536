//! Routing rules of other programs that the kernel asks before those of Carrick.

use std::collections::BTreeSet;

use carrick_netlink::route::{Kind, Route};
use carrick_netlink::rule::{ListedRule, Selection, SelectionAction};
use carrick_topology::Family;
use carrick_topology::constants::{LOOPBACK_DEVICE, POD_DEVICE_PREFIX, ROUTE_PROTOCOL, RULE_PRIORITY};
use carrick_topology::model::PrecedingRule;
use ipnet::IpNet;

use super::tables::is_of_host;

/// The names of Carrick's own devices begin so.
const MESH_DEVICE_PREFIX: &str = "carrick";

/// The rules that may decide on packets of pods, of the host, or out of tunnels. `routes` are those of the tables that rules lead to.
pub(super) fn rules<'r>(
    rules: &[ListedRule],
    routes: impl Iterator<Item = &'r Route> + Clone,
) -> BTreeSet<PrecedingRule> {
    let before = rules.iter().filter(|rule| rule.priority < RULE_PRIORITY && rule.protocol != ROUTE_PROTOCOL);
    let preceding = before.filter_map(|rule| {
        let selection = rule.selection().filter(selects_mesh)?;
        let destinations = destinations(&selection, rule.family, routes.clone());
        (!destinations.is_empty()).then(|| PrecedingRule {
            priority: rule.priority,
            text: selection.to_string(),
            source: if selection.invert { None } else { selection.source },
            destinations,
        })
    });
    preceding.collect()
}

/// Packets of the mesh have no firewall mark before they are routed. A rule with `not` may be for any of them.
fn selects_mesh(selection: &Selection) -> bool {
    let Selection { invert, input, mark, .. } = selection;
    let is_of_mesh = |device: &String| {
        device == LOOPBACK_DEVICE || device.starts_with(POD_DEVICE_PREFIX) || device.starts_with(MESH_DEVICE_PREFIX)
    };
    *invert || (input.as_ref().is_none_or(is_of_mesh) && mark.is_none_or(|mark| mark.value & mark.mask == 0))
}

/// The destinations whose way the rule decides.
fn destinations<'r>(selection: &Selection, family: Family, routes: impl Iterator<Item = &'r Route>) -> BTreeSet<IpNet> {
    let to = if selection.invert { None } else { selection.destination };
    let (table, suppressed) = match selection.action {
        SelectionAction::Drop => return [to.unwrap_or_else(|| everything(family))].into(),
        SelectionAction::Table { table, .. } if !is_of_host(table) => return BTreeSet::new(),
        SelectionAction::Table { table, suppressed } => (table, suppressed),
    };
    let counts = |route: &&Route| {
        route.table == table
            && route.family() == family
            && route.kind != Kind::Throw
            && suppressed.is_none_or(|suppressed| route.destination.prefix_len() > suppressed)
    };
    let clipped = routes.filter(counts).filter_map(|route| match to {
        Some(to) if to.contains(&route.destination) => Some(route.destination),
        Some(to) => route.destination.contains(&to).then_some(to),
        None => Some(route.destination),
    });
    IpNet::aggregate(&clipped.collect()).into_iter().collect()
}

fn everything(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(ipnet::Ipv4Net::default()),
        Family::V6 => IpNet::V6(ipnet::Ipv6Net::default()),
    }
}

#[cfg(test)]
mod tests {
    use carrick_netlink::rule::{InputDevice, Mark, PacketOrigin, Rule};

    use super::*;

    const PLAIN: Rule = Rule::new(Family::V4, 100, 200, 3);

    fn route(net: &str, table: u32) -> Route {
        Route::through(net.parse().unwrap(), table, 2, 3)
    }

    /// The destinations of the rules that count among these.
    fn found(listed: &[Rule]) -> Vec<String> {
        let routes = [
            route("0.0.0.0/0", 200),
            route("::/0", 200),
            Route { kind: Kind::Throw, ..route("10.42.0.0/16", 201) },
            route("10.42.2.0/25", 202),
            route("10.42.2.128/25", 202),
            route("10.42.9.0/24", 1107),
        ];
        let listed: Vec<ListedRule> = listed.iter().map(|rule| ListedRule::from(*rule)).collect();
        let found = rules(&listed, routes.iter());
        found.into_iter().map(|rule| format!("{} {:?}", rule.text, rule.destinations)).collect()
    }

    #[test]
    fn rules_that_are_asked_first_have_the_destinations_of_their_tables() {
        assert_eq!(found(&[PLAIN]), ["from all lookup 200 {0.0.0.0/0}"]);
        assert_eq!(found(&[Rule { family: Family::V6, ..PLAIN }]), ["from all lookup 200 {::/0}"]);
        assert_eq!(found(&[Rule { table: 202, ..PLAIN }]), ["from all lookup 202 {10.42.2.0/24}"]);
        let from = |device| PacketOrigin::Device(InputDevice::new(device).unwrap());
        for device in ["crk0123456789a", "carrick0", "carrick-vx"] {
            assert_eq!(found(&[Rule { origin: from(device), ..PLAIN }]).len(), 1, "{device}");
        }
        assert_eq!(found(&[Rule { origin: PacketOrigin::Host, ..PLAIN }]).len(), 1);
        // A VPN leads all but its own packets into its table.
        let mark = Some(Mark { value: 0xca6c, mask: u32::MAX });
        assert_eq!(found(&[Rule { mark, invert: true, ..PLAIN }]).len(), 1);
    }

    #[test]
    fn rules_that_concern_no_packet_of_the_mesh_do_not_count() {
        let from = |device| PacketOrigin::Device(InputDevice::new(device).unwrap());
        for (rule, why) in [
            (Rule { priority: RULE_PRIORITY, ..PLAIN }, "asked later"),
            (Rule { table: 201, ..PLAIN }, "the search goes on"),
            (Rule { table: 203, ..PLAIN }, "an empty table"),
            (Rule { table: 1107, ..PLAIN }, "Carrick's own table"),
            (Rule { table: 255, ..PLAIN }, "addresses of the host"),
            (Rule { origin: from("docker0"), ..PLAIN }, "packets of containers"),
            (Rule { mark: Some(Mark { value: 0x77, mask: 0xff }), ..PLAIN }, "marked packets"),
            (Rule { udp_port: Some(53), ..PLAIN }, "one port"),
        ] {
            assert_eq!(found(&[rule]), [""; 0], "{why}");
        }
    }
}
