//! The program under the name `loopback`.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::call::{Call, Reply};
use crate::node::{DUAL_STACK, Node, Pod, on_node};

/// Calls the plugin by a link, as `carrick install-cni` makes it, with the configuration of containerd.
fn run(node: &Node, pod: &Pod, command: &'static str, version: &str) -> Reply {
    let link = node.run_directory().join("loopback");
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_carrick-cni"), &link).unwrap();
    }
    let mut call = Call {
        configuration: json!({"cniVersion": version, "name": "cni-loopback", "type": "loopback"}).to_string(),
        interface: "lo".to_owned(),
        ..Call::new(command, node, pod, "0a1b")
    };
    if command == "CHECK" {
        call.set("prevResult", json!({}));
    }
    let mut process = Command::new(link);
    process.env_clear().env("CNI_PATH", "/opt/cni/bin").env("CNI_COMMAND", call.command);
    process.env("CNI_CONTAINERID", &call.container_id).env("CNI_IFNAME", &call.interface);
    process.envs(call.namespace.iter().map(|path| ("CNI_NETNS", path)));
    let mut child = process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    call.feed(&mut child);
    Reply::of(child)
}

#[test]
fn loopback_sets_the_device_up_and_down() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        for (version, family) in [("0.3.1", Some("4")), ("1.1.0", None)] {
            let result = run(node, &pod, "ADD", version).result();
            assert_eq!(result["cniVersion"], version);
            assert_eq!(result["interfaces"][0]["name"], "lo");
            assert_eq!(result["ips"][0]["address"], "127.0.0.1/8");
            assert_eq!(result["ips"][0]["version"].as_str(), family);
            pod.succeed("ping", &["-c1", "127.0.0.1"]);
            run(node, &pod, "DEL", version).silent();
            assert!(!pod.succeed("ip", &["link", "show", "lo"]).contains("UP"));
        }
        node.assert_nothing_left();
    });
}

#[test]
fn loopback_checks_the_device_and_reports_its_versions() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        let versions = run(node, &pod, "VERSION", "1.0.0").result();
        assert!(versions["supportedVersions"].as_array().unwrap().len() >= 4, "{versions}");
        assert_eq!(run(node, &pod, "CHECK", "1.0.0").failure().0, 103);
        run(node, &pod, "ADD", "1.0.0").result();
        run(node, &pod, "CHECK", "1.0.0").silent();
    });
}
