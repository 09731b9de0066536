use std::process::Command;

use serde_json::{Value, json};

use crate::call::{Call, detach_all};
use crate::node::{DUAL_STACK, Node, Pod, on_node, succeed};
use crate::view::ipam;

fn gc(node: &Node, valid: &[&str]) -> Call {
    let mut call = Call::new("GC", node, &Pod::new(), "");
    let valid: Value = valid.iter().map(|id| json!({"containerID": id, "ifname": "eth0"})).collect();
    call.set("cni.dev/valid-attachments", valid);
    call
}

fn with_port(call: Call, port: u16) -> Call {
    call.asking(json!({"portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]}))
}

#[test]
fn gc_removes_only_attachments_that_are_not_in_the_list() {
    on_node(&DUAL_STACK, |node| {
        let (gone, stays, foreign) = (Pod::new(), Pod::new(), Pod::new());
        with_port(Call::new("ADD", node, &stays, "stays"), 8080).run().result();
        let mut other = Call::new("ADD", node, &foreign, "foreign");
        other.set("name", "other".into());
        other.run().result();
        let before = node.state();
        with_port(Call::new("ADD", node, &gone, "gone"), 8081).run().result();

        gc(node, &["stays", "unknown"]).run().silent();
        assert_eq!(node.state(), before);
        for pod in [&stays, &foreign] {
            pod.succeed("ping", &["-c1", "192.0.2.1"]);
        }
        gc(node, &["stays"]).run().silent();
        assert_eq!(node.state(), before);

        other.command = "DEL";
        other.run().silent();
        gc(node, &[]).run().silent();
        node.assert_nothing_left();
    });
}

#[test]
fn gc_removes_everything_without_a_record() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        let result = with_port(Call::new("ADD", node, &pod, "leaked"), 8080).run().result();
        let leaked = result["interfaces"][0]["name"].as_str().unwrap();
        std::fs::remove_file(node.run_directory().join("ipam/attachments/leaked:eth0")).unwrap();
        std::fs::write(node.run_directory().join("ipam/record.new"), "{").unwrap();
        // Devices of other programs with similar names.
        let foreign =
            [("crk0123456789a", "bridge"), ("crkother", "bridge"), ("crkveth", "veth"), ("crk0123456789x", "veth")];
        for (name, kind) in foreign {
            succeed(Command::new("ip").args(["link", "add", name, "type", kind]));
        }
        let (_, found) = ipam(node, "check");
        let named: Vec<&str> = found.lines().filter(|line| line.contains("GC removes it")).collect();
        assert_eq!(named, [format!("the device {leaked} belongs to no record; GC removes it")]);
        gc(node, &[]).run().silent();
        for (name, _) in foreign {
            succeed(Command::new("ip").args(["link", "del", name]));
        }
        node.assert_nothing_left();
    });
}

#[test]
fn gc_without_a_list_removes_nothing() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        Call::new("ADD", node, &pod, "0a1b").run().result();
        let before = node.state();
        assert_eq!(Call::new("GC", node, &pod, "").run().failure().0, 7);
        for wrong in [json!("all"), json!([{"containerID": "0a1b"}]), json!({})] {
            let mut call = gc(node, &[]);
            call.set("cni.dev/valid-attachments", wrong);
            assert_eq!(call.run().failure().0, 6);
        }
        assert_eq!(gc(node, &[]).version("1.0.0").run().failure().0, 1);
        assert_eq!(node.state(), before);
        detach_all(node, &[(&pod, "0a1b")]);
    });
}

#[test]
fn gc_with_null_as_list_removes_everything() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        Call::new("ADD", node, &pod, "0a1b").run().result();
        let mut call = gc(node, &["0a1b"]);
        call.set("cni.dev/valid-attachments", Value::Null);
        call.run().silent();
        node.assert_nothing_left();
    });
}

#[test]
fn gc_continues_after_a_damaged_record_and_names_it() {
    on_node(&DUAL_STACK, |node| {
        let (damaged, gone) = (Pod::new(), Pod::new());
        Call::new("ADD", node, &damaged, "damaged").run().result();
        let before = node.state();
        Call::new("ADD", node, &gone, "gone").run().result();
        std::fs::write(node.run_directory().join("ipam/attachments/damaged:eth0"), "{").unwrap();
        let (_, found) = ipam(node, "check");
        assert!(!found.contains("GC removes it"), "the damaged record can name the device: {found}");
        let (code, details) = gc(node, &[]).run().failure();
        assert_eq!(code, 104);
        assert!(details.contains("damaged:eth0"), "{details}");
        assert_eq!(node.state(), before);
        detach_all(node, &[(&damaged, "damaged")]);
    });
}

#[test]
fn gc_restores_a_flushed_table() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        with_port(Call::new("ADD", node, &pod, "stays"), 8080).run().result();
        let whole = succeed(Command::new("nft").args(["list", "ruleset"]));
        succeed(Command::new("nft").args(["flush", "ruleset"]));
        gc(node, &["stays"]).run().silent();
        assert_eq!(succeed(Command::new("nft").args(["list", "ruleset"])), whole);
        gc(node, &[]).run().silent();
        node.assert_nothing_left();
    });
}

#[test]
fn gc_on_a_node_without_pods_creates_nothing() {
    on_node(&DUAL_STACK, |node| {
        gc(node, &[]).run().silent();
        assert_eq!(succeed(Command::new("nft").args(["list", "ruleset"])), "");
        assert!(!node.run_directory().join("ipam").exists());
    });
}
