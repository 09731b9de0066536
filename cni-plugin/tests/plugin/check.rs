use serde_json::Value;

use crate::call::{Call, detach_all};
use crate::node::{DUAL_STACK, Node, Pod, on_node, succeed};

/// An attached pod, the CHECK call for it, and the result of ADD.
fn attached(node: &Node, version: &str) -> (Pod, Call, Value) {
    let pod = Pod::new();
    let result = Call::new("ADD", node, &pod, "0a1b").version(version).run().result();
    let mut check = Call::new("CHECK", node, &pod, "0a1b").version(version);
    check.set("prevResult", result.clone());
    (pod, check, result)
}

fn detach(node: &Node, pod: &Pod) {
    detach_all(node, &[(pod, "0a1b")]);
}

#[test]
fn an_unchanged_pod_passes_in_every_version() {
    for version in ["0.4.0", "1.0.0", "1.1.0"] {
        on_node(&DUAL_STACK, |node| {
            let (pod, check, _) = attached(node, version);
            check.run().silent();
            detach(node, &pod);
        });
    }
}

#[test]
fn changes_of_later_plugins_pass() {
    on_node(&DUAL_STACK, |node| {
        let (pod, mut check, mut result) = attached(node, "1.0.0");
        pod.succeed("ip", &["route", "add", "198.51.100.0/24", "via", "169.254.1.1"]);
        pod.succeed("ip", &["address", "add", "203.0.113.1/32", "dev", "eth0"]);
        pod.succeed("ip", &["-6", "route", "del", "default"]);
        result["routes"].as_array_mut().unwrap().pop();
        result["interfaces"].as_array_mut().unwrap().push(serde_json::json!({"name": "ifb0"}));
        check.set("prevResult", result);
        check.run().silent();
        detach(node, &pod);
    });
}

#[test]
fn a_changed_mac_address_is_reported() {
    on_node(&DUAL_STACK, |node| {
        let (pod, mut check, mut result) = attached(node, "1.0.0");
        pod.succeed("ip", &["link", "set", "eth0", "address", "02:00:00:00:00:07"]);
        let (code, details) = check.run().failure();
        assert_eq!(code, 103);
        assert!(details.contains("eth0 has the MAC address 02:00:00:00:00:07"), "{details}");

        result["interfaces"][1]["mac"] = "02:00:00:00:00:07".into();
        check.set("prevResult", result);
        let (code, details) = check.run().failure();
        assert_eq!(code, 103);
        assert!(details.starts_with("the pod has no neighbour 169.254.1.1"), "{details}");
        detach(node, &pod);
    });
}

#[test]
fn every_missing_object_is_named() {
    let damages: [(&str, &str, &str); 8] = [
        ("pod", "address del 10.42.0.2/32 dev eth0", "eth0 has no address 10.42.0.2"),
        ("pod", "address del fd42::2/128 dev eth0", "eth0 has no address fd42::2"),
        ("pod", "-6 route del default", "the pod has no route to ::/0"),
        ("pod", "link set eth0 down", "the pod's device eth0 is down"),
        ("pod", "link set eth0 name eth7", "the pod has no device eth0"),
        ("pod", "neighbour del 169.254.1.1 dev eth0", "the pod has no neighbour 169.254.1.1"),
        ("host", "route del 10.42.0.2", "the host has no route to 10.42.0.2/32"),
        ("host", "-6 neighbour del fd42::2 dev DEVICE", "the host has no neighbour fd42::2"),
    ];
    for (place, damage, problem) in damages {
        on_node(&DUAL_STACK, |node| {
            let (pod, check, result) = attached(node, "1.1.0");
            let damage = damage.replace("DEVICE", result["interfaces"][0]["name"].as_str().unwrap());
            let arguments: Vec<&str> = damage.split(' ').collect();
            match place {
                "pod" => pod.succeed("ip", &arguments),
                _ => succeed(std::process::Command::new("ip").args(arguments)),
            };
            let (code, details) = check.run().failure();
            assert_eq!(code, 103);
            assert!(details.contains(problem), "{damage}: {details}");
            detach(node, &pod);
        });
    }
}

#[test]
fn missing_and_changed_bandwidth_limits_are_reported() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        let bits = serde_json::json!({"ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 16_000_000, "egressBurst": 800});
        let add = Call::new("ADD", node, &pod, "0a1b").asking(serde_json::json!({ "bandwidth": bits }));
        let result = add.run().result();
        // CHECK compares with what ADD configured, not with runtimeConfig.
        let mut check = Call::new("CHECK", node, &pod, "0a1b");
        check.set("prevResult", result.clone());
        check.run().silent();
        // A later plugin can change the MTU.
        pod.succeed("ip", &["link", "set", "eth0", "mtu", "1300"]);
        check.run().silent();

        let device = result["interfaces"][0]["name"].as_str().unwrap();
        pod.succeed("tc", &["qdisc", "del", "dev", "eth0", "root"]);
        let faster = format!("qdisc replace dev {device} root tbf rate 9mbit burst 100000 limit 200000");
        succeed(std::process::Command::new("tc").args(faster.split(' ')));
        let (code, details) = check.run().failure();
        assert_eq!(code, 103);
        let wanted = [(device, 8_000_000), ("eth0", 16_000_000)]
            .map(|(device, rate)| format!("{device} has no bandwidth limit of {rate} bits per second"));
        assert_eq!(details, wanted.join("; "));
        detach(node, &pod);
    });
}

#[test]
fn a_detached_pod_fails() {
    on_node(&DUAL_STACK, |node| {
        let (pod, check, _) = attached(node, "1.0.0");
        detach(node, &pod);
        assert_eq!(check.run().failure(), (103, "there is no record of 0a1b:eth0".to_owned()));
    });
}

#[test]
fn the_previous_result_is_required() {
    on_node(&DUAL_STACK, |node| {
        let (pod, mut check, _) = attached(node, "1.0.0");
        check.set("prevResult", Value::Null);
        assert_eq!(check.run().failure().0, 7);
        check.set("prevResult", serde_json::json!({"ips": [{"address": "garbage"}]}));
        assert_eq!(check.run().failure().0, 7);
        detach(node, &pod);
    });
}
