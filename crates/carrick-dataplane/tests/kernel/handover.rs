//! Handovers in the kernel of one node, as other tools see it.

use carrick_dataplane::{Drift, HandoverDataplane, Operation};
use carrick_topology::handover::HandoverPlan;
use carrick_topology::plan::{NextHop, NodePlan, Route};

use crate::node::{on_node, run};
use crate::plans;

fn with(handover: HandoverPlan) -> NodePlan {
    let mut plan = NodePlan { handover: Some(handover), ..plans::mesh(20, 3) };
    let (destination, source) = (plans::net("10.4.0.2/32"), Some(plans::ip("10.4.0.1")));
    plan.routes.push(Route { destination, next_hop: NextHop::WireGuard, source, mtu: None });
    plan
}

fn names(operations: &[Operation]) -> Vec<String> {
    operations.iter().map(ToString::to_string).collect()
}

fn assert_settled(handover: &mut HandoverDataplane, plan: &NodePlan) {
    let before = handover.writes();
    assert_eq!(handover.apply(plan).unwrap().operations, []);
    assert_eq!(handover.writes(), before);
}

/// Rules, routes and devices, without what the kernel adds later.
fn seen() -> Vec<String> {
    let listed =
        ["ip rule show", "ip -6 rule show", "ip -4 route show table all", "ip -6 route show table all proto 109"]
            .map(run)
            .into_iter();
    let links = run("ip -o link show");
    let names = links.lines().filter_map(|link| link.split(": ").nth(1));
    listed.map(|text| text.replace(" linkdown", "")).chain(names.map(str::to_owned)).collect()
}

#[test]
fn other_tools_see_the_planned_handover() {
    on_node(|node| {
        node.reach(&plans::mesh(20, 3));
        run("sysctl -q -w net.ipv4.conf.default.rp_filter=1 net.ipv6.conf.default.disable_ipv6=1");
        let (plan, mut handover) = (with(plans::handover()), HandoverDataplane::open().unwrap());
        handover.apply(&plan).unwrap();

        let link = run("ip -d link show dev carrick-ho");
        for part in ["mtu 1420", "vxlan id 1108 srcport", "dstport 51823", "nolearning", "UP"] {
            assert!(link.contains(part), "no {part} in {link}");
        }
        let planned = plan.handover.as_ref().unwrap();
        assert!(link.contains(&planned.mac.to_string()), "{link}");
        assert_eq!(run("sysctl -n net.ipv4.conf.carrick-ho.rp_filter").trim(), "2");
        assert_eq!(run("sysctl -n net.ipv6.conf.carrick-ho.disable_ipv6").trim(), "0");
        assert!(run("ip -4 address show dev carrick-ho").contains("inet 10.4.0.1/32 scope global noprefixroute"));

        let far = planned.receivers.values().next().unwrap().mac;
        assert_eq!(run("bridge fdb show dev carrick-ho").trim(), format!("{far} dst 10.4.0.2 self permanent"));
        let neighbours = run("ip neighbour show dev carrick-ho");
        assert!(neighbours.contains(&format!("10.4.0.2 lladdr {far} PERMANENT")), "{neighbours}");
        let neighbours = run("ip -6 neighbour show dev carrick-ho");
        assert!(neighbours.contains(&format!("fdca::2 lladdr {far} PERMANENT")), "{neighbours}");

        let routes = run("ip route show table 1106");
        let expected = "10.42.2.0/24 via 10.4.0.2 dev carrick-ho proto 109 metric 100 onlink mtu lock 1420";
        assert!(routes.contains(expected), "{routes}");
        let routes = run("ip -6 route show table 1106");
        let expected = "fd42:2::/64 via fdca::2 dev carrick-ho proto 109 metric 100 onlink mtu lock 1420";
        assert!(routes.contains(expected), "{routes}");
        for family in ["-4", "-6"] {
            let rules = run(&format!("ip {family} rule show"));
            assert!(rules.contains("1106:\tnot from all iif lo lookup 1106 proto 109"), "{rules}");
        }
        assert!(run("ip rule show").contains("1105:\tfrom all iif lo ipproto udp dport 51823 lookup 1105 proto 109"));
        let outer = run("ip route show table 1105");
        assert!(outer.starts_with("10.4.0.2 dev carrick0 proto 109 scope link src 10.4.0.1 metric 100 "), "{outer}");
        assert!(outer.contains("mtu 1280"), "{outer}");
        let mut narrow = plan.clone();
        narrow.routes.last_mut().unwrap().mtu = Some(1200);
        handover.apply(&narrow).unwrap();
        assert!(run("ip route show table 1105").contains("mtu 1200"), "not more than the MTU of the mesh's own route");
        handover.apply(&plan).unwrap();
        assert_settled(&mut handover, &plan);
        assert_settled(&mut HandoverDataplane::open().unwrap(), &plan);
    });
}

#[test]
fn only_differences_are_written() {
    on_node(|node| {
        node.reach(&plans::mesh(20, 3));
        let (mut plan, mut handover) = (with(plans::handover()), HandoverDataplane::open().unwrap());
        handover.apply(&plan).unwrap();
        let planned = plan.handover.as_mut().unwrap();
        planned.routes.remove(1);
        planned.routes[0].mtu = 1400;
        planned.exceptions.insert(plans::net("10.42.2.128/25"));
        planned.routes.retain(|route| route.destination.addr().is_ipv4());
        planned.receivers.values_mut().for_each(|receiver| receiver.next_hops = [plans::ip("10.4.0.2")].into());
        assert_eq!(
            names(&handover.apply(&plan).unwrap().operations),
            [
                "set route 10.42.2.0/24 metric 100 via 10.4.0.2 by carrick-ho",
                "set route 10.42.2.128/25 metric 100 throw",
                "remove rule IPv6 priority 1106 to table 1106",
                "remove route 10.42.3.0/24 metric 100 via 10.4.0.2 by carrick-ho",
                "remove route fd42:2::/64 metric 100 via fdca::2 by carrick-ho",
                "remove neighbour fdca::2",
            ]
        );
        assert_settled(&mut handover, &plan);
    });
}

#[test]
fn a_device_of_another_kind_or_with_other_settings_is_replaced() {
    on_node(|node| {
        node.reach(&plans::mesh(20, 3));
        let (plan, mut handover) = (with(plans::handover()), HandoverDataplane::open().unwrap());
        for other in ["bridge", "vxlan id 1108 dstport 51824", "vxlan id 1109 dstport 51823"] {
            run(&format!("ip link add carrick-ho type {other}"));
            let operations = names(&handover.apply(&plan).unwrap().operations);
            assert_eq!(operations[0], "delete device carrick-ho", "{other}");
            assert_settled(&mut handover, &plan);
            run("ip link delete carrick-ho");
        }
        for tampering in [
            "ip link set carrick-ho down",
            "ip link set carrick-ho mtu 1400",
            "ip link set carrick-ho address 02:00:00:00:00:01",
            "ip link delete carrick-ho",
            "ip route flush table 1106",
            "ip rule delete priority 1106",
            "ip route flush table 1105",
            "ip rule delete priority 1105",
        ] {
            handover.apply(&plan).unwrap();
            run(tampering);
            assert_ne!(handover.apply(&plan).unwrap().operations, [], "{tampering}");
            assert_settled(&mut handover, &plan);
        }
    });
}

#[test]
fn nothing_is_left_of_a_handover_and_the_kernel_is_not_read_again() {
    on_node(|node| {
        let (plan, over) = (with(plans::handover()), plans::mesh(20, 3));
        node.reach(&over);
        run("ip rule add from 192.0.2.1 lookup 1106 priority 1106");
        let before = seen();
        HandoverDataplane::open().unwrap().apply(&plan).unwrap();
        assert_ne!(seen(), before);

        let mut after_restart = HandoverDataplane::open().unwrap();
        let operations = names(&after_restart.apply(&over).unwrap().operations);
        assert_eq!(operations.first().unwrap(), "remove rule IPv6 priority 1106 to table 1106");
        assert_eq!(operations.last().unwrap(), "delete device carrick-ho");
        assert_eq!(seen(), before);
        node.assert_settled(&over);
        assert_settled(&mut after_restart, &over);

        run("ip link add carrick-ho type bridge");
        assert_settled(&mut after_restart, &over);
        after_restart.apply(&plan).unwrap();
        run("ip link delete carrick-ho");
        after_restart.apply(&over).unwrap();
        assert_eq!(seen(), before, "rules outlive the device");
    });
}

#[test]
fn a_handover_is_no_drift_and_a_reconciliation_keeps_it() {
    on_node(|node| {
        let (plan, mut handover) = (with(plans::handover()), HandoverDataplane::open().unwrap());
        node.reach(&plan);
        let mut watch = node.dataplane.watch(&plan.wireguard.device, &plan.vxlan.device).unwrap();
        watch.ignore(handover.port().unwrap());
        handover.apply(&plan).unwrap();
        node.assert_settled(&plan);
        assert_settled(&mut handover, &plan);
        handover.apply(&plans::mesh(20, 3)).unwrap();
        node.assert_settled(&plan);
        let told = watch.read().unwrap();
        // The kernel does not say who changed devices, their neighbours and addresses.
        let is_told_of_own = |drift: &Drift| match drift {
            Drift::Device(_) | Drift::Neighbours(_) | Drift::Address(_) | Drift::Setting => true,
            Drift::Route(_) | Drift::Rule(_) | Drift::Lost => false,
        };
        assert!(told.iter().all(is_told_of_own), "{told:?}");
    });
}

#[test]
fn a_refused_handover_is_removed_and_tried_again() {
    on_node(|node| {
        node.reach(&plans::mesh(20, 3));
        let (mut plan, mut handover) = (with(plans::handover()), HandoverDataplane::open().unwrap());
        let via = |plan: &mut NodePlan, via| plan.handover.as_mut().unwrap().routes[0].via = plans::ip(via);
        handover.apply(&plan).unwrap();
        // A multicast address is no next hop.
        via(&mut plan, "224.0.0.1");
        let error = handover.apply(&plan).unwrap_err().to_string();
        assert!(error.starts_with("set route 10.42.2.0/24 metric 100 via 224.0.0.1 by carrick-ho: "), "{error}");
        let rules = run("ip rule show") + &run("ip -6 rule show");
        assert!(!rules.contains("proto 109"), "{rules}");
        assert_eq!(run("ip route show table all proto 109") + &run("ip -6 route show table all proto 109"), "");
        assert!(!run("ip link show").contains("carrick-ho"));
        via(&mut plan, "10.4.0.2");
        handover.apply(&plan).unwrap();
        assert_settled(&mut handover, &plan);
    });
}
