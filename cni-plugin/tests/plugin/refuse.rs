//! Calls that must fail and leave nothing.

use serde_json::json;

use crate::call::{Call, detach_all};
use crate::node::{DUAL_STACK, Pod, on_node};

#[test]
fn add_fails_until_the_agent_has_programmed_the_node() {
    on_node(&DUAL_STACK, |node| {
        std::fs::remove_file(node.run_directory().join("node.json")).unwrap();
        let reply = Call::new("ADD", node, &Pod::new(), "0a1b").run();
        assert!(reply.stdout.contains("the agent has not programmed this node yet"), "{reply:?}");
        assert_eq!(reply.failure().0, 11);
        node.assert_nothing_left();
    });
}

#[test]
fn a_second_add_is_refused_and_changes_nothing() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        Call::new("ADD", node, &pod, "0a1b").run().result();
        let before = node.state();
        assert_eq!(Call::new("ADD", node, &pod, "0a1b").run().failure().0, 101);
        assert_eq!(node.state(), before);
        pod.succeed("ping", &["-c1", "192.0.2.1"]);
        detach_all(node, &[(&pod, "0a1b")]);
    });
}

#[test]
fn a_full_node_refuses_add_until_an_address_is_released() {
    on_node(&["10.42.0.0/30"], |node| {
        let (first, second) = (Pod::new(), Pod::new());
        Call::new("ADD", node, &first, "first").run().result();
        let before = node.state();
        let (code, details) = Call::new("ADD", node, &second, "second").run().failure();
        assert_eq!((code, details.as_str()), (102, "all IPv4 addresses of the node's pod CIDRs are in use"));
        assert_eq!(node.state(), before);
        Call::new("DEL", node, &first, "first").run().silent();
        assert_eq!(Call::new("ADD", node, &second, "second").run().addresses(), ["10.42.0.2"]);
        detach_all(node, &[(&second, "second")]);
    });
}

#[test]
fn an_interface_name_in_use_is_refused() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        pod.succeed("ip", &["link", "add", "eth0", "type", "bridge"]);
        let (code, details) = Call::new("ADD", node, &pod, "0a1b").run().failure();
        assert_eq!((code, details.as_str()), (4, "CNI_IFNAME: the pod already has an interface eth0"));
        node.assert_nothing_left();
    });
}

#[test]
fn a_failed_add_is_rolled_back() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        pod.succeed("ip", &["link", "add", "other", "type", "bridge"]);
        pod.succeed("ip", &["link", "set", "other", "up"]);
        pod.succeed("ip", &["address", "add", "10.0.0.1/24", "dev", "other"]);
        pod.succeed("ip", &["route", "add", "default", "via", "10.0.0.2"]);
        let (code, details) = Call::new("ADD", node, &pod, "0a1b").run().failure();
        assert_eq!(code, 100);
        assert!(details.starts_with("add route 0.0.0.0/0"), "{details}");
        assert!(!pod.succeed("ip", &["link"]).contains("eth0"));
        node.assert_nothing_left();
    });
}

#[test]
fn the_hosts_namespace_is_refused() {
    on_node(&DUAL_STACK, |node| {
        let mut add = Call::new("ADD", node, &Pod::new(), "0a1b");
        for (namespace, code) in [("/proc/self/ns/net", 4), ("/proc/self/ns/uts", 4), ("/run/netns/gone", 3)] {
            add.namespace = Some(namespace.to_owned());
            let (refused, details) = add.run().failure();
            assert_eq!(refused, code, "{details}");
            assert!(details.starts_with("CNI_NETNS: "), "{details}");
        }
        node.assert_nothing_left();
    });
}

#[test]
fn an_invalid_environment_variable_is_named() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        let good = Call::new("ADD", node, &pod, "0a1b");
        let bad = [
            ("CNI_COMMAND", Call { command: "ATTACH", ..good.clone() }),
            ("CNI_CONTAINERID", Call { container_id: "../../etc".to_owned(), ..good.clone() }),
            ("CNI_CONTAINERID", Call { container_id: String::new(), ..good.clone() }),
            ("CNI_IFNAME", Call { interface: "a/b".to_owned(), ..good.clone() }),
            ("CNI_NETNS", Call { namespace: None, ..good }),
        ];
        for (name, call) in bad {
            let (code, details) = call.run().failure();
            assert_eq!(code, 4, "{name}");
            assert!(details.starts_with(&format!("{name}: ")), "{details}");
        }
        node.assert_nothing_left();
    });
}

#[test]
fn an_invalid_configuration_is_refused() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        let wrong = |key: &str, value: serde_json::Value| {
            let mut call = Call::new("ADD", node, &pod, "0a1b");
            call.set(key, value);
            call.run().failure().0
        };
        assert_eq!(wrong("cniVersion", json!("0.2.0")), 1);
        assert_eq!(wrong("prevResult", json!({"ips": []})), 2);
        assert_eq!(wrong("runDirectory", json!(["a"])), 6);
        assert_eq!(wrong("name", json!("a b")), 7);
        assert_eq!(wrong("runDirectory", json!("relative")), 7);
        let no_json = Call { configuration: "{".to_owned(), ..Call::new("ADD", node, &pod, "0a1b") };
        assert_eq!(no_json.run().failure().0, 6);
        node.assert_nothing_left();
    });
}

#[test]
fn invalid_node_data_is_refused() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        let add = Call::new("ADD", node, &pod, "0a1b");
        for (pod_cidrs, mtu, code) in [
            (&["10.42.0.0/31"][..], 1370, 7),
            (&[][..], 1370, 11),
            (&["fd42::/64"][..], 1279, 7),
            (&["10.42.0.0/24"][..], 70_000, 100),
        ] {
            node.program(pod_cidrs, mtu);
            assert_eq!(add.run().failure().0, code, "{pod_cidrs:?} {mtu}");
        }
        std::fs::write(node.run_directory().join("node.json"), "{}").unwrap();
        assert_eq!(add.run().failure().0, 104);
        node.assert_nothing_left();
    });
}
