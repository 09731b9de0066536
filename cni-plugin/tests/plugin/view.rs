//! The commands for administrators.

use std::process::Command;

use serde_json::json;

use crate::call::{Call, detach_all};
use crate::node::{DUAL_STACK, Node, Pod, on_node, succeed};

/// The output of `carrick-cni ipam COMMAND`, and whether the command succeeded.
pub fn ipam(node: &Node, command: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_carrick-cni"))
        .args(["ipam", command, "--run-dir"])
        .arg(node.run_directory())
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn pods_are_listed_and_contradictions_are_reported() {
    on_node(&DUAL_STACK, |node| {
        assert_eq!(ipam(node, "check"), (true, "no contradictions found\n".to_owned()));
        let pod = Pod::new();
        let ports = json!({"portMappings": [{"hostPort": 8080, "containerPort": 80}]});
        let result = Call::new("ADD", node, &pod, "0a1b").asking(ports).run().result();
        let device = result["interfaces"][0]["name"].as_str().unwrap();
        let (_, listed) = ipam(node, "list");
        let line = listed.lines().nth(1).unwrap();
        for word in ["shop/pod-0a1b", "10.42.0.2,fd42::2", "tcp:8080", device, "0a1b:eth0"] {
            assert!(line.contains(word), "{listed}");
        }
        assert_eq!(ipam(node, "check"), (true, "no contradictions found\n".to_owned()));

        succeed(Command::new("nft").args(["flush", "ruleset"]));
        succeed(Command::new("ip").args(["link", "del", device]));
        std::fs::remove_file(node.run_directory().join("ipam/addresses/fd42::2")).unwrap();
        std::os::unix::fs::symlink("../attachments/gone:eth0", node.run_directory().join("ipam/addresses/10.42.0.9"))
            .unwrap();
        let (success, found) = ipam(node, "check");
        assert!(!success);
        for words in [
            "0a1b:eth0 names addresses/fd42::2, which is not claimed",
            "addresses/10.42.0.9 belongs to gone:eth0, which has no record",
            &format!("shop/pod-0a1b has no device {device}"),
            "there is no nftables table inet carrick-cni",
        ] {
            assert!(found.contains(words), "{words}: {found}");
        }
        std::fs::remove_file(node.run_directory().join("ipam/addresses/10.42.0.9")).unwrap();
        detach_all(node, &[(&pod, "0a1b")]);
    });
}
