use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::call::Call;
use crate::node::{DUAL_STACK, Pod, on_node};

#[test]
fn version_needs_only_the_command() {
    let output = Command::new(env!("CARGO_BIN_EXE_carrick-cni"))
        .env_clear()
        .env("CNI_COMMAND", "VERSION")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success());
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer, json!({"cniVersion": "1.1.0", "supportedVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]}));
}

#[test]
fn version_answers_the_call_of_podman() {
    on_node(&DUAL_STACK, |node| {
        let mut call = Call::new("VERSION", node, &Pod::new(), "dummy");
        call.namespace = Some("dummy".to_owned());
        call.configuration = r#"{"cniVersion":"0.4.0"}"#.to_owned();
        assert_eq!(call.run().result()["cniVersion"], "0.4.0");
        node.assert_nothing_left();
    });
}

#[test]
fn without_a_command_the_plugin_fails_without_reading_its_input() {
    let output = Command::new(env!("CARGO_BIN_EXE_carrick-cni")).env_clear().stdin(Stdio::piped()).output().unwrap();
    assert!(!output.status.success());
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["code"], &answer["details"]), (&json!(4), &json!("CNI_COMMAND: not set")));
}

#[test]
fn a_configuration_of_any_length_ends_in_an_answer() {
    // A runtime that never stops writing fills no memory: the plugin reads a mebibyte and answers.
    for (padding, expected) in [(1000, None), ((1 << 20) + 1, Some(7)), (64 << 20, Some(7))] {
        let mut plugin = Command::new(env!("CARGO_BIN_EXE_carrick-cni"))
            .env_clear()
            .env("CNI_COMMAND", "VERSION")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = plugin.stdin.take().unwrap();
        let configuration = [br#"{"cniVersion":"1.1.0""#.to_vec(), vec![b' '; padding], b"}".to_vec()].concat();
        let written = input.write_all(&configuration);
        drop(input);
        let output = plugin.wait_with_output().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["code"].as_u64(), expected, "{answer}");
        if expected.is_some() {
            assert!(answer["details"].as_str().unwrap().contains("more than 1048576 bytes"), "{answer}");
        }
        assert!(written.is_ok() || expected.is_some(), "what the plugin takes is read as a whole");
    }
}

#[test]
fn an_error_has_the_version_of_the_configuration() {
    on_node(&DUAL_STACK, |node| {
        let add = Call { container_id: String::new(), ..Call::new("ADD", node, &Pod::new(), "") }.version("0.4.0");
        let error: serde_json::Value = serde_json::from_str(&add.run().stdout).unwrap();
        assert_eq!(error["cniVersion"], "0.4.0");
    });
}

#[test]
fn a_command_is_refused_in_versions_that_do_not_have_it() {
    on_node(&DUAL_STACK, |node| {
        for (command, version, code) in
            [("CHECK", "0.3.1", 1), ("STATUS", "1.0.0", 1), ("GC", "0.4.0", 1), ("STATUS", "1.1.0", 50)]
        {
            let _absent = std::fs::remove_file(node.run_directory().join("node.json"));
            let reply = Call::new(command, node, &Pod::new(), "0a1b").version(version).run();
            assert_eq!(reply.failure().0, code, "{command} {version}");
        }
        node.assert_nothing_left();
    });
}

#[test]
fn status_reports_a_host_that_does_not_forward() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        for switch in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            let path = std::path::Path::new("/proc/sys/net").join(switch);
            std::fs::write(&path, "0").unwrap();
            let (code, details) = Call::new("STATUS", node, &pod, "").run().failure();
            assert_eq!(code, 51);
            assert!(details.contains(path.to_str().unwrap()), "{details}");
            std::fs::write(&path, "1").unwrap();
        }
        Call::new("STATUS", node, &pod, "").run().silent();
    });
}

#[test]
fn status_reports_the_fault_that_the_agent_wrote() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        let fault = "the kernel does not forward IPv4";
        let path = node.run_directory().join("node.json");
        let healthy = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, healthy.replacen('{', &format!("{{\"fault\":\"{fault}\","), 1)).unwrap();
        let (code, details) = Call::new("STATUS", node, &pod, "").run().failure();
        assert_eq!((code, details.as_str()), (51, fault));
        std::fs::write(&path, healthy).unwrap();
        Call::new("STATUS", node, &pod, "").run().silent();
    });
}

#[test]
fn status_fails_until_the_agent_has_programmed_the_node() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        Call::new("STATUS", node, &pod, "").run().silent();
        std::fs::remove_file(node.run_directory().join("node.json")).unwrap();
        assert_eq!(Call::new("STATUS", node, &pod, "").run().failure().0, 50);
        node.assert_nothing_left();
    });
}
