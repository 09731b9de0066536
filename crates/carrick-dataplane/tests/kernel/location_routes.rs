//! The routes of packets that come out of tunnels, to other nodes of the location.

use carrick_dataplane::{Drift, LocationRoutes};
use carrick_topology::constants::ROUTE_METRIC;
use carrick_topology::plan::{NextHop, NodePlan, Route};

use crate::node::{on_node, run};
use crate::plans;

/// A gateway with two other nodes in its location.
fn gateway() -> NodePlan {
    let route = |destination: &str, via: &str| Route {
        destination: destination.parse().unwrap(),
        next_hop: NextHop::Vxlan { via: via.parse().unwrap() },
        source: None,
        mtu: None,
    };
    NodePlan {
        location_routes: vec![
            route("10.0.0.2/32", "10.4.0.2"),
            route("10.0.0.3/32", "10.4.0.3"),
            route("fd00::2/128", "fdca::2"),
        ],
        ..plans::alone()
    }
}

/// The device by which a packet leaves that came in by this one.
fn leaves_by(destination: &str, source: &str, input: &str) -> String {
    let found = run(&format!("ip route get {destination} from {source} iif {input}"));
    let (_, device) = found.split_once(" dev ").unwrap();
    device.split_whitespace().next().unwrap().to_owned()
}

fn assert_settled(routes: &mut LocationRoutes, plan: &NodePlan) {
    let before = routes.writes();
    let applied = routes.apply(plan).unwrap();
    assert!(applied.operations.is_empty(), "{:?}", applied.operations);
    assert_eq!(routes.writes(), before);
}

#[test]
fn packets_out_of_tunnels_go_to_nodes_of_the_location_in_vxlan_and_no_others_do() {
    on_node(|node| {
        run("sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0");
        let (plan, mut routes) = (gateway(), LocationRoutes::open().unwrap());
        node.reach(&plan);
        let applied = routes.apply(&plan).unwrap();
        assert!(applied.failures.is_empty(), "{:?}", applied.failures);
        assert_settled(&mut routes, &plan);
        assert_settled(&mut LocationRoutes::open().unwrap(), &plan);
        // The loose reverse-path filter of the device wants some route back.
        run("ip route add 10.9.0.0/24 dev carrick0");

        for (destination, far) in [("10.0.0.2", "10.9.0.7"), ("10.0.0.3", "10.9.0.7"), ("fd00::2", "fd09::7")] {
            assert_eq!(leaves_by(destination, far, "carrick0"), "carrick-vx", "{destination}");
        }
        run("ip link add eth1 type veth peer name eth1-far");
        run("ip link set eth1 up");
        assert_eq!(leaves_by("10.0.0.2", "10.9.0.7", "eth1"), "eth0", "what the host passes on");
        assert!(run("ip route get 10.0.0.2").contains("dev eth0"), "the host's own packets, VXLAN's among them");
        assert_eq!(leaves_by("10.0.0.9", "10.9.0.7", "carrick0"), "eth0", "no node of the location");
    });
}

#[test]
fn what_other_programs_change_is_put_right_and_nothing_is_left_when_the_node_is_no_gateway_any_more() {
    on_node(|node| {
        let (plan, mut routes) = (gateway(), LocationRoutes::open().unwrap());
        let mut watch = node.dataplane.watch(&plan.wireguard.device, &plan.vxlan.device).unwrap();
        node.reach(&plan);
        routes.apply(&plan).unwrap();
        watch.ignore(routes.port().unwrap());
        watch.read().unwrap();
        for change in [
            "ip route flush table 1104".to_owned(),
            "ip rule delete iif carrick0 priority 1104".to_owned(),
            "ip -6 rule delete iif carrick-ho priority 1104".to_owned(),
            "ip route add blackhole 10.0.0.9 table 1104".to_owned(),
            "ip rule add from 10.0.0.9 lookup 1104 priority 80 protocol 110".to_owned(),
            format!("ip route replace 10.0.0.2 dev eth0 table 1104 proto 110 metric {ROUTE_METRIC}"),
        ] {
            run(&change);
            let drifts = watch.read().unwrap();
            assert!(
                drifts.iter().any(|drift| matches!(drift, Drift::Route(_) | Drift::Rule(_))),
                "{change}: {drifts:?}"
            );
            assert!(!routes.apply(&plan).unwrap().operations.is_empty(), "{change}");
            assert_settled(&mut routes, &plan);
        }

        run("ip link delete carrick-vx");
        node.reach(&plan);
        assert!(!routes.apply(&plan).unwrap().operations.is_empty(), "the routes went with their device");
        assert_settled(&mut routes, &plan);

        assert!(!routes.apply(&plans::alone()).unwrap().operations.is_empty());
        assert_settled(&mut routes, &plans::alone());
        let left = ["ip route show table 1104", "ip -6 route show table 1104"].map(run).concat();
        assert_eq!(left, "");
        assert!(!["ip rule", "ip -6 rule"].map(run).concat().contains("1104"));
    });
}

#[test]
fn routes_have_their_source_again_after_the_kernel_lost_the_address() {
    on_node(|node| {
        run("ip address add fd00::77/64 dev eth0 nodad");
        let mut plan = plans::mesh(4, 2);
        let changed = plan.routes.iter_mut().find(|route| route.destination.addr().is_ipv6() && route.source.is_some());
        let route = changed.unwrap();
        route.source = Some("fd00::77".parse().unwrap());
        let shown = format!("ip -6 route show table 1107 {} metric {ROUTE_METRIC}", route.destination);
        node.reach(&plan);
        assert!(run(&shown).contains("src fd00::77"), "{}", run(&shown));
        let mut watch = node.dataplane.watch(&plan.wireguard.device, &plan.vxlan.device).unwrap();
        run("ip address delete fd00::77/64 dev eth0");
        run("ip address add fd00::77/64 dev eth0 nodad");
        // Linux 6.18 has taken the source out of the route now, Linux 6.1 and 5.10 keep it.
        let drifts = watch.read().unwrap();
        let is_told = |drift: &Drift| matches!(drift, Drift::Address(address) if address.contains("fd00::77"));
        assert!(drifts.iter().any(is_told), "{drifts:?}");
        node.reach(&plan);
        assert!(run(&shown).contains("src fd00::77"), "{}", run(&shown));
    });
}
