//! From plans to the kernel, as other tools see it.

use std::fs;

use carrick_dataplane::Operation;
use carrick_topology::PublicKey;
use carrick_topology::model::{Family, mac_of_node};
use carrick_topology::plan::{NextHop, Route, VxlanNeighbour};

use crate::node::{dataplane, on_node, run};
use crate::plans;
use crate::userspace_double::hexadecimal;

fn sysctl(path: &str) -> String {
    fs::read_to_string(format!("/proc/sys/net/{path}")).unwrap().trim().to_owned()
}

#[test]
fn plan_becomes_the_kernels_state_as_other_tools_see_it() {
    on_node(|node| {
        let plan = plans::mesh(20, 3);
        node.reach(&plan);

        let links = run("ip -d link show");
        assert!(links.contains("carrick-vx") && links.contains("vxlan id 1107 local 10.0.0.1"), "{links}");
        assert!(links.contains("dstport 51822") && links.contains("nolearning"), "{links}");
        assert!(links.contains(&plan.vxlan.mac.to_string()), "{links}");
        for device in ["carrick0", "carrick-vx"] {
            let addresses = run(&format!("ip address show dev {device}"));
            for address in ["inet 10.4.0.1/32 scope global noprefixroute", "inet6 fdca:7272:6963:6b00::1/128"] {
                assert!(addresses.contains(address), "{addresses}");
            }
            assert!(addresses.contains("UP"), "{addresses}");
            assert_eq!(sysctl(&format!("ipv4/conf/{device}/rp_filter")), "2");
        }
        assert!(run("ip link show dev carrick0").contains("mtu 1420"));

        let routes = run("ip route show table 1107");
        assert!(routes.contains("10.128.1.0/24 dev carrick0 proto 107 scope link src 10.4.0.1 metric 100"), "{routes}");
        let by_vxlan = "10.128.0.0/24 via 10.4.1.0 dev carrick-vx proto 107 src 10.4.0.1 metric 100 onlink";
        assert!(routes.contains(by_vxlan), "{routes}");
        assert!(routes.contains("unreachable 10.128.1.0/24 proto 107 metric 10000"), "{routes}");
        let routes = run("ip -6 route show table 1107");
        assert!(
            routes.contains("fd42:0:0:2::/64 dev carrick0 proto 107 src fdca:7272:6963:6b00::1 metric 100"),
            "{routes}"
        );

        for family in ["-4", "-6"] {
            let rules = run(&format!("ip {family} rule show"));
            assert!(rules.contains("1107:\tnot from all fwmark 0x1000/0x1000 lookup 1107 proto 107"), "{rules}");
        }
        let mac = mac_of_node(&plans::name("node-10"));
        assert!(run("bridge fdb show dev carrick-vx").contains(&format!("{mac} dst 10.0.0.12 self permanent")));
        assert!(run("ip neighbour show dev carrick-vx").contains(&format!("10.4.1.10 lladdr {mac} PERMANENT")));

        let state = node.wireguard.state();
        assert_eq!((state.device.port, state.device.firewall_mark), (51820, 0x1000));
        assert_eq!(state.device.peers.len(), 3);
        assert_eq!(state.device.private_key, Some(node.keys.private.clone()));
    });
}

#[test]
fn unchanged_plan_writes_nothing() {
    on_node(|node| {
        let plan = plans::mesh(100, 10);
        node.reach(&plan);
        node.assert_settled(&plan);
        node.assert_settled(&plan);
        node.dataplane = dataplane(node.folder.path());
        node.assert_settled(&plan);
        assert_eq!(node.dataplane.writes(), 0, "a restarted agent finds everything as it left it");
    });
}

#[test]
fn private_key_that_is_kept_in_another_form_is_written_once() {
    on_node(|node| {
        node.wireguard.state().clamps = true;
        assert_ne!(node.keys.private, node.keys.private.clamped());
        let plan = plans::mesh(20, 3);
        node.reach(&plan);
        node.assert_settled(&plan);
    });
}

#[test]
fn changed_peer_touches_that_peer_alone() {
    on_node(|node| {
        let mut plan = plans::mesh(30, 5);
        node.reach(&plan);
        node.wireguard.state().sets.clear();

        plan.wireguard.peers.get_mut(&plans::key(3)).unwrap().persistent_keepalive = Some(25);
        let report = node.reach(&plan);
        assert_eq!(report.operations.len(), 1, "{:?}", report.operations);
        let sets = node.wireguard.state().sets.clone();
        assert_eq!(sets.len(), 1);
        assert_eq!(sets[0].matches("public_key").count(), 1, "{sets:?}");
        assert!(!sets[0].contains("allowed_ip") && !sets[0].contains("endpoint"), "{sets:?}");
        node.assert_settled(&plan);
    });
}

#[test]
fn allowed_ips_move_between_peers_without_being_nowhere() {
    on_node(|node| {
        let mut plan = plans::mesh(30, 5);
        node.reach(&plan);
        let moved = plan.wireguard.peers.remove(&plans::key(3)).unwrap();
        plan.wireguard.peers.get_mut(&plans::key(4)).unwrap().allowed_ips.extend(moved.allowed_ips);
        let report = node.reach(&plan);
        let shown: Vec<String> = report.operations.iter().map(ToString::to_string).collect();
        assert!(matches!(report.operations[0], Operation::SetPeer(_)), "{shown:?}");
        assert!(matches!(report.operations[1], Operation::RemovePeer(_)), "{shown:?}");
        assert_eq!(report.operations.len(), 2, "{shown:?}");
        node.assert_settled(&plan);
    });
}

#[test]
fn allowed_ips_leave_a_peer_also_where_single_ones_cannot_be_removed() {
    for removes_single_allowed_ips in [true, false] {
        on_node(|node| {
            node.wireguard.state().removes_single_allowed_ips = removes_single_allowed_ips;
            let mut plan = plans::mesh(30, 5);
            node.reach(&plan);
            for _ in 0..2 {
                plan.wireguard.peers.get_mut(&plans::key(3)).unwrap().allowed_ips.pop_first();
                node.wireguard.state().sets.clear();
                node.reach(&plan);
                let sets = node.wireguard.state().sets.join("\n");
                let of_peers: Vec<&str> = sets.split("public_key=").skip(1).collect();
                let replaced: Vec<&&str> = of_peers.iter().filter(|set| set.contains("replace_allowed_ips")).collect();
                assert_eq!(replaced.len(), usize::from(!removes_single_allowed_ips), "{sets}");
                let wanted = |key: &PublicKey| replaced.iter().any(|set| set.starts_with(&hexadecimal(&key.0)));
                assert!(!plan.wireguard.peers.keys().any(wanted), "a peer's list was replaced: {sets}");
                node.assert_settled(&plan);
            }
        });
    }
}

#[test]
fn preshared_keys_come_change_and_go() {
    on_node(|node| {
        let reference = carrick_topology::model::SecretReference { name: "psk".to_owned(), key: "laptop".to_owned() };
        let mut plan = plans::mesh(5, 2);
        plan.wireguard.peers.get_mut(&plans::key(1)).unwrap().preshared_key = Some(reference.clone());

        let withheld = plans::key(1);
        assert_eq!(node.desired(&plan).withheld_peers(), &[withheld].into());
        node.reach(&plan);
        let holds = |node: &crate::node::Node| {
            let state = node.wireguard.state();
            state.device.peers.iter().find(|peer| peer.public_key == withheld).map(|peer| peer.preshared_key.clone())
        };
        assert_eq!(holds(node), None, "a peer is never made without the key that it must have");

        for byte in [3, 4] {
            let key = carrick_netlink::wireguard::SecretKey::new([byte; 32]);
            node.keys.preshared.insert(reference.clone(), key.clone());
            node.reach(&plan);
            assert_eq!(holds(node), Some(Some(key)));
            node.assert_settled(&plan);
        }

        node.keys.preshared.clear();
        node.assert_settled(&plan);
        assert!(holds(node).unwrap().is_some(), "a peer whose key is not known is left as it is");

        plan.wireguard.peers.get_mut(&plans::key(1)).unwrap().preshared_key = None;
        node.reach(&plan);
        assert_eq!(holds(node), Some(None));
    });
}

#[test]
fn what_others_made_is_not_touched() {
    on_node(|node| {
        run("ip route add 198.51.100.0/24 dev eth0 proto 107");
        run("ip rule add from 192.0.2.1 lookup 1107 priority 1106");
        run("ip link add foreign type bridge");
        run("ip address add 10.99.0.1/24 dev eth0");
        let seen = || {
            (
                run("ip route show table main"),
                run("ip rule show priority 1106"),
                // The kernel may still look for duplicates of the link-local address.
                run("ip address show dev eth0").replace(" tentative", ""),
                run("ip link show dev foreign"),
            )
        };
        let before = seen();
        node.reach(&plans::mesh(20, 3));
        node.reach(&plans::alone());
        node.assert_settled(&plans::alone());
        assert_eq!(seen(), before);
    });
}

#[test]
fn everything_that_is_lost_comes_back() {
    let losses = [
        "ip link delete carrick-vx",
        "ip link set carrick-vx down",
        "ip link set carrick0 down",
        "ip link set carrick0 mtu 1300",
        "ip link set carrick-vx address 02:00:00:00:00:99",
        "ip address flush dev carrick0",
        "ip route flush table 1107",
        "ip -6 route flush table 1107",
        "ip rule delete priority 1107",
        "ip -6 rule delete priority 1107",
        "ip neighbour flush dev carrick-vx nud permanent",
        "bridge fdb delete MAC dev carrick-vx dst 10.0.0.12",
        "bridge fdb replace MAC dev carrick-vx dst 10.0.0.99",
        "ip route replace 10.128.1.0/24 dev eth0 table 1107 proto 107 metric 100",
        "ip route replace unreachable 10.128.2.0/24 table 1107 proto 107 metric 100",
        "ip -6 route replace fd42:0:0:2::/64 dev eth0 table 1107 proto 107 metric 100",
        "ip route add 10.200.0.0/16 dev carrick0 table 1107 proto 107",
        "ip address add 10.4.0.77/32 dev carrick0",
        "sysctl -q -w net.ipv4.ip_forward=0",
        "sysctl -q -w net.ipv6.conf.all.forwarding=0",
        "sysctl -q -w net.ipv4.conf.carrick0.rp_filter=1",
    ];
    on_node(|node| {
        let plan = plans::mesh(20, 3);
        node.reach(&plan);
        let mac = mac_of_node(&plans::name("node-10")).to_string();
        for loss in losses {
            run(&loss.replace("MAC", &mac));
            let report = node.reach(&plan);
            assert!(!report.operations.is_empty(), "{loss} was not noticed");
            node.assert_settled(&plan);
        }
    });
}

#[test]
fn restarted_userspace_wireguard_is_programmed_again() {
    on_node(|node| {
        let plan = plans::mesh(20, 3);
        node.reach(&plan);
        let programmed = node.wireguard.state().device.clone();
        {
            let mut state = node.wireguard.state();
            state.device.peers.clear();
            state.device.private_key = None;
        }
        node.reach(&plan);
        assert_eq!(node.wireguard.state().device, programmed);
    });
}

#[test]
fn missing_userspace_device_holds_up_only_what_needs_it() {
    on_node(|node| {
        run("ip link delete carrick0");
        let plan = plans::mesh(20, 3);
        let report = node.reconcile(&plan);
        assert_eq!(report.waiting_for.as_ref().map(|device| device.as_str()), Some("carrick0"));
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        let routes = run("ip route show table 1107");
        assert!(routes.contains("carrick-vx") && !routes.contains("carrick0"), "{routes}");
        assert!(routes.contains("unreachable 10.128.1.0/24"), "{routes}");

        run("ip tuntap add carrick0 mode tun");
        node.reach(&plan);
        node.assert_settled(&plan);
    });
}

#[test]
fn silent_userspace_process_holds_up_only_its_peers() {
    on_node(|node| {
        fs::remove_file(node.folder.path().join("carrick0.sock")).unwrap();
        let report = node.reconcile(&plans::mesh(20, 3));
        assert!(!report.is_complete());
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        assert!(report.unreadable_wireguard.as_ref().unwrap().is_not_found(), "{report:?}");
        assert_eq!(report.sightings, None, "a device that cannot be read says nothing of its peers");
        assert!(run("ip route show table 1107").contains("dev carrick0"));
        assert!(!node.folder.path().join("endpoints").exists(), "nothing was written, so nothing is remembered");
    });
}

#[test]
fn one_refusal_stops_nothing_else_and_is_tried_again() {
    on_node(|node| {
        let refused = plans::key(1);
        node.wireguard.state().refused = Some(refused);
        let mut plan = plans::mesh(20, 3);
        let nowhere = NextHop::Direct { via: plans::ip("10.0.0.9"), device: "eth9".parse().unwrap() };
        plan.routes.push(Route { destination: plans::net("10.77.0.0/16"), next_hop: nowhere, source: None, mtu: None });

        let report = node.reconcile(&plan);
        let mut failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
        failures.sort();
        assert_eq!(failures.len(), 2, "{failures:?}");
        assert!(failures[0].starts_with(&format!("add peer {refused}")), "{failures:?}");
        assert!(failures[0].contains("Operation not permitted"), "{failures:?}");
        assert!(failures[1].starts_with("set route 10.77.0.0/16"), "{failures:?}");
        assert!(failures[1].contains("ENODEV"), "{failures:?}");
        assert_eq!(node.wireguard.state().device.peers.len(), 2);

        node.wireguard.state().refused = None;
        plan.routes.pop();
        node.reach(&plan);
        node.assert_settled(&plan);
    });
}

#[test]
fn an_endpoint_that_changed_while_no_agent_ran_is_written() {
    on_node(|node| {
        let mut plan = plans::mesh(20, 3);
        node.reach(&plan);
        let roamed = "203.0.113.9:40000".parse().unwrap();
        {
            let mut state = node.wireguard.state();
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            for peer in &mut state.device.peers {
                peer.endpoint = Some(roamed);
                peer.last_handshake = Some(now);
            }
        }
        node.dataplane = dataplane(node.folder.path());
        node.assert_settled(&plan);

        let wish = "192.0.2.200:51820".parse().unwrap();
        plan.wireguard.peers.get_mut(&plans::key(1)).unwrap().endpoint = Some(wish);
        node.dataplane = dataplane(node.folder.path());
        let report = node.reach(&plan);
        assert_eq!(report.operations.len(), 1);
        let key = plans::key(1);
        for peer in &node.wireguard.state().device.peers {
            assert_eq!(peer.endpoint, Some(if peer.public_key == key { wish } else { roamed }));
        }
    });
}

#[test]
fn router_advertisements_survive_forwarding() {
    on_node(|node| {
        assert_eq!(sysctl("ipv6/conf/eth0/accept_ra"), "1");
        run("sysctl -q -w net.ipv6.conf.eth0-far.accept_ra=0");
        node.reach(&plans::mesh(20, 3));
        for own in ["carrick0", "carrick-vx"] {
            assert_eq!(sysctl(&format!("ipv6/conf/{own}/accept_ra")), "0", "no node is a router of others");
        }
        assert_eq!(sysctl("ipv6/conf/default/accept_ra"), "1");
        assert_eq!(sysctl("ipv6/conf/all/forwarding"), "1");
        assert_eq!(sysctl("ipv4/ip_forward"), "1");
        assert_eq!(sysctl("ipv6/conf/eth0/accept_ra"), "2");
        assert_eq!(sysctl("ipv6/conf/eth0-far/accept_ra"), "0", "not in use there");
    });
}

#[test]
fn single_family_leaves_the_other_alone() {
    for family in Family::BOTH {
        on_node(|node| {
            let mut plan = plans::mesh(10, 3);
            let of = |other: &Family| *other == family;
            plan.rules = [family].into();
            plan.mesh_addresses.retain(|address| of(&Family::of(address)));
            plan.routes.retain(|route| of(&Family::of_net(&route.destination)));
            for neighbour in plan.vxlan.neighbours.values_mut() {
                neighbour.mesh_addresses.retain(|address| of(&Family::of(address)));
                if family == Family::V6 {
                    neighbour.internal_address = plans::ip("fd00::2");
                }
            }
            plan.vxlan.underlay = family;
            plan.vxlan.local = None;
            node.reach(&plan);
            node.assert_settled(&plan);
            let (forwarding, other) = match family {
                Family::V4 => ("ipv4/ip_forward", "ipv6/conf/all/forwarding"),
                Family::V6 => ("ipv6/conf/all/forwarding", "ipv4/ip_forward"),
            };
            assert_eq!((sysctl(forwarding).as_str(), sysctl(other).as_str()), ("1", "0"));
        });
    }
}

#[test]
fn changed_underlay_makes_the_vxlan_device_anew_with_all_that_hangs_on_it() {
    on_node(|node| {
        let mut plan = plans::mesh(20, 3);
        node.reach(&plan);
        plan.vxlan.underlay = Family::V6;
        plan.vxlan.local = None;
        for (number, neighbour) in plan.vxlan.neighbours.values_mut().enumerate() {
            *neighbour =
                VxlanNeighbour { internal_address: plans::ip(&format!("fd00::{}", number + 2)), ..neighbour.clone() };
        }
        node.reach(&plan);
        node.assert_settled(&plan);
        assert!(run("ip route show table 1107").contains("carrick-vx"));
    });
}
