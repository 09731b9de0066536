use serde_json::Value;

use crate::call::{Call, detach_all};
use crate::node::{DUAL_STACK, Node, Pod, on_node, succeed};

fn expected(fixture: &str, pod: &Pod) -> Value {
    serde_json::from_str(&fixture.replace("SANDBOX", pod.path().to_str().unwrap())).unwrap()
}

fn result_in(version: &str, fixture: &str) {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        let mut add = Call::new("ADD", node, &pod, "0a1b").version(version);
        add.set("dns", serde_json::json!({"nameservers": ["10.43.0.10"]}));
        assert_eq!(add.run().result(), expected(fixture, &pod));
        Call::new("DEL", node, &pod, "0a1b").version(version).run().silent();
        node.assert_nothing_left();
    });
}

#[test]
fn the_result_has_the_format_of_0_3_1() {
    result_in("0.3.1", &include_str!("fixtures/result-0.4.0.json").replace("0.4.0", "0.3.1"));
}

#[test]
fn the_result_has_the_format_of_0_4_0() {
    result_in("0.4.0", include_str!("fixtures/result-0.4.0.json"));
}

#[test]
fn the_result_has_the_format_of_1_0_0() {
    result_in("1.0.0", include_str!("fixtures/result-1.0.0.json"));
}

#[test]
fn the_result_has_the_format_of_1_1_0() {
    result_in("1.1.0", include_str!("fixtures/result-1.1.0.json"));
}

fn ip_json(output: &str) -> Value {
    serde_json::from_str(output).unwrap()
}

fn host_device(node: &Node, pod: &Pod, container_id: &str) -> String {
    let result = Call::new("ADD", node, pod, container_id).run().result();
    result["interfaces"][0]["name"].as_str().unwrap().to_owned()
}

#[test]
fn the_hosts_end_and_the_record_name_the_pod() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        let device = host_device(node, &pod, "0a1b");
        let links = ip_json(&succeed(std::process::Command::new("ip").args(["-d", "-j", "link", "show", &device])));
        assert_eq!(links[0]["ifalias"], "shop/pod-0a1b");
        assert_eq!(links[0]["operstate"], "UP");
        assert_eq!((&links[0]["mtu"], &links[0]["linkinfo"]["info_kind"]), (&1370.into(), &"veth".into()));

        let record = std::fs::read_to_string(node.run_directory().join("ipam/attachments/0a1b:eth0")).unwrap();
        let record = ip_json(&record);
        assert_eq!(record["pod"]["namespace"], "shop");
        assert_eq!(record["device"], device);
        detach_all(node, &[(&pod, "0a1b")]);
    });
}

#[test]
fn host_routes_are_in_table_main_with_the_plugins_protocol() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        let device = host_device(node, &pod, "0a1b");
        for (family, destination) in [("-4", "10.42.0.2"), ("-6", "fd42::2")] {
            let arguments = [family, "-N", "-j", "route", "show", "proto", "108"];
            let routes = ip_json(&succeed(std::process::Command::new("ip").args(arguments)));
            let [route] = routes.as_array().unwrap().as_slice() else { panic!("{routes}") };
            assert_eq!((&route["dst"], &route["dev"]), (&destination.into(), &device.as_str().into()), "{route}");
        }
        detach_all(node, &[(&pod, "0a1b")]);
    });
}

#[test]
fn the_pod_has_its_interface_at_once() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        Call::new("ADD", node, &pod, "0a1b").run().result();
        let links = ip_json(&pod.succeed("ip", &["-j", "address", "show"]));
        let [loopback, device] = links.as_array().unwrap().as_slice() else { panic!("{links}") };
        assert!(loopback["flags"].as_array().unwrap().contains(&"UP".into()), "{loopback}");
        assert_eq!((&device["ifname"], &device["mtu"]), (&"eth0".into(), &1370.into()));
        let addresses = device["addr_info"].as_array().unwrap();
        for (address, length) in [("10.42.0.2", 32), ("fd42::2", 128)] {
            let found = addresses.iter().find(|info| info["local"] == address).unwrap_or_else(|| panic!("{device}"));
            assert_eq!(found["prefixlen"], length);
        }
        assert!(addresses.iter().all(|info| info["tentative"].is_null()), "usable without a delay: {device}");
    });
}

#[test]
fn ipv6_works_if_it_is_disabled_for_new_devices() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        let off = || std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        off();
        pod.inside(off);
        let reply = Call::new("ADD", node, &pod, "0a1b").run();
        assert_eq!(reply.addresses(), ["10.42.0.2", "fd42::2"]);
        pod.succeed("ping", &["-c1", "2001:db8::1"]);
        detach_all(node, &[(&pod, "0a1b")]);
    });
}

#[test]
fn a_single_family_has_one_address() {
    for (cidr, address) in [("10.42.0.0/24", "10.42.0.2"), ("fd42::/64", "fd42::2")] {
        on_node(&[cidr], |node| {
            let pod = Pod::new();
            assert_eq!(Call::new("ADD", node, &pod, "0a1b").run().addresses(), [address]);
            detach_all(node, &[(&pod, "0a1b")]);
        });
    }
}

#[test]
fn two_interfaces_of_one_pod_are_two_attachments() {
    on_node(&["10.42.0.0/24"], |node| {
        let pod = Pod::new();
        assert_eq!(Call::new("ADD", node, &pod, "0a1b").run().addresses(), ["10.42.0.2"]);
        // As if the first interface belonged to another network with its own routes.
        pod.succeed("ip", &["route", "flush", "dev", "eth0"]);
        let second = Call { interface: "net1".to_owned(), ..Call::new("ADD", node, &pod, "0a1b") };
        assert_eq!(second.run().addresses(), ["10.42.0.3"]);
        Call { command: "DEL", ..second }.run().silent();
        detach_all(node, &[(&pod, "0a1b")]);
    });
}

#[test]
fn a_changed_pod_cidr_applies_to_new_pods() {
    on_node(&DUAL_STACK, |node| {
        let (old, new) = (Pod::new(), Pod::new());
        Call::new("ADD", node, &old, "old").run().result();
        node.program(&["10.99.0.0/28", "fd99::/64"], 1300);
        let reply = Call::new("ADD", node, &new, "new").run();
        assert_eq!(reply.addresses(), ["10.99.0.2", "fd99::2"]);
        old.succeed("ping", &["-c1", "10.99.0.2"]);
        new.succeed("ping", &["-c1", "fd42::2"]);
        detach_all(node, &[(&old, "old"), (&new, "new")]);
    });
}
