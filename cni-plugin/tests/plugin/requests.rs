use std::process::Command;

use serde_json::{Value, json};

use crate::call::{Call, detach_all};
use crate::node::{DUAL_STACK, Node, Pod, on_node, succeed};

fn refused(node: &Node, asked: Value) -> (u64, String) {
    let before = node.state();
    let pod = Pod::new();
    let failure = Call::new("ADD", node, &pod, "refused").asking(asked).run().failure();
    let mut after = node.state();
    after.files.retain(|file| before.files.contains(file) || !file.ends_with("ipam/lock"));
    assert_eq!(after, before);
    failure
}

#[test]
fn requested_addresses_are_assigned_or_refused_with_a_reason() {
    on_node(&DUAL_STACK, |node| {
        let (pod, other) = (Pod::new(), Pod::new());
        let asked = json!({"ips": ["10.42.0.77/24", "fd42::abcd"], "mac": "02:00:00:00:00:42"});
        let add = Call::new("ADD", node, &pod, "0a1b").asking(asked);
        let reply = add.run();
        assert_eq!(reply.addresses(), ["10.42.0.77", "fd42::abcd"]);
        assert_eq!(reply.result()["interfaces"][1]["mac"], "02:00:00:00:00:42");
        for address in ["192.0.2.1", "2001:db8::1"] {
            pod.succeed("ping", &["-c1", address]);
        }
        let mut check = Call { command: "CHECK", ..add };
        check.set("prevResult", reply.result());
        check.run().silent();

        assert_eq!(
            refused(node, json!({"ips": ["10.42.0.77"]})),
            (105, "the address 10.42.0.77 belongs to shop/pod-0a1b".to_owned())
        );
        assert_eq!(refused(node, json!({"ips": ["10.43.0.2"]})).0, 7);
        assert_eq!(refused(node, json!({"mac": "ff:ff:ff:ff:ff:ff"})).0, 7);
        assert_eq!(refused(node, json!({"ips": "10.42.0.78"})).0, 6);
        assert_eq!(Call::new("ADD", node, &other, "other").run().addresses(), ["10.42.0.2", "fd42::2"]);
        detach_all(node, &[(&pod, "0a1b"), (&other, "other")]);
    });
}

#[test]
fn podman_requests_addresses_through_arguments() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        let mut add = Call::new("ADD", node, &pod, "0a1b");
        add.arguments = Some("IgnoreUnknown=1;K8S_POD_NAME=one;MAC=02:00:00:00:00:42;IP=10.42.0.77".to_owned());
        let reply = add.run();
        assert_eq!(reply.addresses(), ["10.42.0.77", "fd42::2"]);
        assert_eq!(reply.result()["interfaces"][1]["mac"], "02:00:00:00:00:42");
        Call { command: "DEL", ..add.clone() }.run().silent();
        add.arguments = Some("IP=10.43.0.2".to_owned());
        assert_eq!(add.run().failure().0, 7);
        node.assert_nothing_left();
    });
}

#[test]
fn bandwidth_is_limited_in_both_directions() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        let bits = json!({"ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 16_000_000, "egressBurst": 800_000});
        let result = Call::new("ADD", node, &pod, "0a1b").asking(json!({ "bandwidth": bits })).run().result();
        let device = result["interfaces"][0]["name"].as_str().unwrap();
        let towards = succeed(Command::new("tc").args(["qdisc", "show", "dev", device, "root"]));
        assert!(towards.contains("tbf") && towards.contains("rate 8Mbit"), "{towards}");
        let from = pod.succeed("tc", &["qdisc", "show", "dev", "eth0", "root"]);
        assert!(from.contains("tbf") && from.contains("rate 16Mbit"), "{from}");
        pod.succeed("ping", &["-c1", "-s", "1300", "192.0.2.1"]);
        detach_all(node, &[(&pod, "0a1b")]);
        for wrong in [json!({"ingressRate": 8_000_000}), json!({"egressBurst": 1_000})] {
            assert_eq!(refused(node, json!({ "bandwidth": wrong })).0, 7);
        }
    });
}

#[test]
fn a_limited_pod_does_not_send_faster_than_its_limit() {
    on_node(&DUAL_STACK, |node| {
        let (slow, fast) = (Pod::new(), Pod::new());
        // With 1 MB/s and a burst of 100 kB, 600 kB take at least half a second.
        let bits = json!({"egressRate": 8_000_000, "egressBurst": 800_000});
        Call::new("ADD", node, &slow, "slow").asking(json!({ "bandwidth": bits })).run().result();
        Call::new("ADD", node, &fast, "fast").run().result();
        let receiver = fast.inside(|| std::net::TcpListener::bind("10.42.0.3:9000").unwrap());
        let took = std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = receiver.accept().unwrap();
                std::io::copy(&mut stream, &mut std::io::sink()).unwrap()
            });
            slow.inside(|| {
                use std::io::{Read, Write};
                let started = std::time::Instant::now();
                let mut stream = std::net::TcpStream::connect("10.42.0.3:9000").unwrap();
                stream.write_all(&vec![0; 600_000]).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                assert_eq!(stream.read(&mut [0]).unwrap(), 0);
                started.elapsed()
            })
        });
        assert!(took.as_millis() >= 490, "{took:?}");
        detach_all(node, &[(&slow, "slow"), (&fast, "fast")]);
    });
}
