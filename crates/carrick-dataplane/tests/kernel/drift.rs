//! What others change is told; what we do ourselves, and what others do to their own things, is not.

use carrick_dataplane::Poll;
use carrick_dataplane::drift::Drift;
use carrick_dataplane::firewall::Firewall;
use carrick_netlink::monitor::Event;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::time::SystemTime;

use crate::node::{Node, on_node, run};
use crate::plans;

#[test]
fn every_loss_is_told_and_nothing_else() {
    let mac = carrick_topology::model::mac_of_node(&plans::name("node-10"));
    let losses = [
        ("ip link set carrick-vx down".to_owned(), "device"),
        ("ip link set carrick0 mtu 1300".to_owned(), "device"),
        ("ip address delete 10.4.0.1/32 dev carrick0".to_owned(), "address"),
        ("ip -6 address delete fdca:7272:6963:6b00::1/128 dev carrick0".to_owned(), "address"),
        ("ip route delete 10.128.1.0/24 table 1107 metric 100".to_owned(), "route"),
        ("ip -6 route delete fd42:0:0:2::/64 table 1107 metric 100".to_owned(), "route"),
        ("ip route replace 10.128.1.0/24 dev eth0 table 1107 proto static metric 100".to_owned(), "route"),
        ("ip rule delete priority 1107".to_owned(), "rule"),
        ("ip rule delete priority 1103".to_owned(), "rule"),
        ("ip -6 rule delete priority 1103".to_owned(), "rule"),
        ("ip -6 rule delete priority 1107".to_owned(), "rule"),
        (format!("bridge fdb delete {mac} dev carrick-vx dst 10.0.0.12"), "neighbours"),
        ("ip neighbour delete 10.4.1.10 dev carrick-vx".to_owned(), "neighbours"),
        ("ip link delete carrick-vx".to_owned(), "device"),
    ];
    on_node(|node| {
        let plan = plans::mesh(20, 3);
        node.reach(&plan);
        let mut watch = node.dataplane.watch(&plan.wireguard.device, &plan.vxlan.device).unwrap();
        assert_eq!(watch.read().unwrap(), [], "starts with nothing");

        for (loss, kind) in losses {
            run(&loss);
            let mut readable = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
            poll(&mut readable, PollTimeout::NONE).unwrap();
            let drifts = watch.read().unwrap();
            assert!(drifts.iter().any(|drift| drift.kind() == kind), "{loss}: {drifts:?}");
            node.reach(&plan);
            watch.read().unwrap();
        }

        run("ip route add 192.0.2.0/24 dev eth0");
        run("ip address add 192.0.2.1/32 dev eth0");
        run("ip rule add from 192.0.2.1 lookup main priority 77");
        run("ip neighbour add 10.0.0.9 lladdr 02:00:00:00:00:09 dev eth0");
        run("ip link add foreign type bridge");
        // The kernel tells late of the own IPv6 addresses.
        let is_others = |drift: &Drift| !matches!(drift, Drift::Address(address) if address.starts_with("fd"));
        assert_eq!(watch.read().unwrap().into_iter().filter(is_others).collect::<Vec<_>>(), []);
    });
}

#[test]
fn own_routes_addresses_and_rules_are_no_drift() {
    on_node(|node| {
        node.reach(&plans::mesh(20, 3));
        let plan = plans::alone();
        let mut watch = node.dataplane.watch(&plan.wireguard.device, &plan.vxlan.device).unwrap();
        node.reach(&plans::mesh(30, 3));
        node.reach(&plans::alone());
        let drifts = watch.read().unwrap();
        // The kernel does not say who changed devices and forwarding entries, and tells late of IPv6 addresses.
        let is_by_kernel = |drift: &Drift| match drift {
            Drift::Device(_) | Drift::Neighbours(_) | Drift::Setting => true,
            Drift::Address(address) => address.contains(':'),
            Drift::Route(_) | Drift::Rule(_) | Drift::Lost => false,
        };
        let told: Vec<&Drift> = drifts.iter().filter(|drift| !is_by_kernel(drift)).collect();
        assert!(told.is_empty(), "{told:?}");
    });
}

#[test]
fn a_setting_that_another_program_writes_is_found_by_the_next_look() {
    on_node(|node| {
        run("sysctl -q -w net.ipv6.conf.eth0.accept_ra=1 net.ipv6.conf.all.forwarding=0");
        let plan = plans::mesh(20, 3);
        node.reach(&plan);
        let desired = node.desired(&plan);
        let is_as_planned =
            |node: &mut Node| matches!(node.dataplane.poll(&desired, SystemTime::now()), Poll::AsPlanned(_));
        assert!(is_as_planned(node));
        for (setting, wanted) in [
            ("net.ipv4.ip_forward=0", "1"),
            ("net.ipv6.conf.all.forwarding=0", "1"),
            ("net.ipv4.conf.carrick0.rp_filter=1", "2"),
            ("net.ipv4.conf.carrick0.forwarding=0", "1"),
            ("net.ipv4.conf.carrick-vx.forwarding=0", "1"),
            ("net.ipv6.conf.carrick-vx.disable_ipv6=1", "0"),
            ("net.ipv6.conf.eth0.accept_ra=1", "2"),
            ("net.ipv6.conf.carrick-vx.accept_ra=2", "0"),
            ("net.ipv6.conf.carrick0.accept_ra=1", "0"),
        ] {
            run(&format!("sysctl -q -w {setting}"));
            assert!(!is_as_planned(node), "{setting}");
            node.reach(&plan);
            let (name, _) = setting.split_once('=').unwrap();
            assert_eq!(run(&format!("sysctl -n {name}")).trim(), wanted, "{setting}");
            assert!(is_as_planned(node), "{setting}");
        }
        // Another program's own choice, of which the agent never wrote 2.
        run("sysctl -q -w net.ipv6.conf.eth0-far.accept_ra=0");
        assert!(is_as_planned(node));
    });
}

#[test]
fn the_kernel_tells_of_forwarding_and_filters() {
    on_node(|node| {
        let plan = plans::mesh(20, 3);
        node.reach(&plan);
        let mut watch = node.dataplane.watch(&plan.wireguard.device, &plan.vxlan.device).unwrap();
        for setting in [
            "ipv4.conf.carrick-vx.forwarding=0",
            "ipv4.ip_forward=0",
            "ipv6.conf.all.forwarding=0",
            "ipv4.conf.carrick0.rp_filter=1",
        ] {
            run(&format!("sysctl -q -w net.{setting}"));
            assert!(watch.read().unwrap().contains(&Drift::Setting), "{setting}");
        }
        run("sysctl -q -w net.ipv4.conf.eth0.rp_filter=1");
        assert!(!watch.read().unwrap().contains(&Drift::Setting), "not Carrick's device");
    });
}

#[test]
fn own_transactions_on_nftables_are_no_drift() {
    on_node(|_| {
        let mut firewall = Firewall::open().unwrap();
        let mut monitor = firewall.watch().unwrap();
        let mut told = || {
            let mut events = Vec::new();
            while let Some(more) = monitor.try_receive().unwrap() {
                events.extend(more);
            }
            events
        };
        let plan = plans::mesh(20, 3).firewall;
        assert!(firewall.apply(&plan).unwrap().is_change());
        assert_eq!(told(), [], "the agent's own changes");
        for change in ["nft insert rule inet carrick forward drop", "nft delete table inet carrick"] {
            run(change);
            let events = told();
            assert!(matches!(events[..], [Event::Nftables { .. }]), "{change}: {events:?}");
            assert!(firewall.apply(&plan).unwrap().is_change());
            assert_eq!(told(), [], "the repair");
        }
    });
}

/// Such as the rule of a VPN for all packets, and the one of a cloud's network tools for the host's address.
#[test]
fn rules_of_other_programs_hide_no_route_to_this_nodes_pods() {
    on_node(|node| {
        node.reach(&plans::mesh(20, 3));
        run("ip link add crk1 type veth peer name crk1-far");
        run("ip link set crk1 up");
        run("ip route add 10.42.0.7 dev crk1 proto 108");
        run("ip -6 route add fd42::7 dev crk1 proto 108");
        run("ip route add default dev eth0 table 52");
        run("ip -6 route add default dev eth0 table 52");
        run("ip rule add priority 5270 lookup 52");
        run("ip -6 rule add priority 5270 lookup 52");
        run("ip rule add priority 1200 from 10.0.0.1 lookup 52");
        let device_to = |arguments: &str| {
            let route = run(&format!("ip route get {arguments}"));
            route.split_once("dev ").unwrap().1.split_whitespace().next().unwrap().to_owned()
        };
        for pod in ["10.42.0.7", "10.42.0.7 from 10.0.0.1", "fd42::7"] {
            assert_eq!(device_to(pod), "crk1", "{pod}");
        }
        assert_eq!(device_to("10.42.0.8"), "eth0", "no pod has this address: the host's routes decide");
        assert_eq!(device_to("198.51.100.7"), "eth0", "the other program's rules hold for all else");
    });
}
