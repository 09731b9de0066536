use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::node::{DUAL_STACK, MTU, Node, Pod, on_node, succeed};
use crate::plugin::{PLUGIN_DIRECTORY, Plugin, program, say};

const VERSIONS: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// cnitool, the client of the CNI project, with the agent's plugin list in one version.
struct Cnitool<'a> {
    program: PathBuf,
    version: &'static str,
    configurations: PathBuf,
    pod: &'a Pod,
}

impl<'a> Cnitool<'a> {
    fn new(node: &Node, plugin: &Plugin<'_>, version: &'static str, pod: &'a Pod) -> Option<Self> {
        let program = program("cnitool")?;
        let mut list = plugin.configuration();
        list["cniVersion"] = version.into();
        list.as_object_mut().unwrap().remove("cniVersions");
        let configurations = node.run_directory().join(format!("lists-{version}"));
        fs::create_dir_all(&configurations).unwrap();
        fs::write(configurations.join("10-carrick.conflist"), list.to_string()).unwrap();
        Some(Self { program, version, configurations, pod })
    }

    fn call(&self, command: &str) -> Output {
        let mut call = Command::new(&self.program);
        call.args([command, "carrick"]).arg(self.pod.path());
        call.env("CNI_PATH", PLUGIN_DIRECTORY).env("NETCONFPATH", &self.configurations);
        let ports = json!({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]});
        call.env("CAP_ARGS", ports.to_string()).output().unwrap()
    }

    /// The output of a call that must succeed.
    #[track_caller]
    fn succeed(&self, command: &str) -> String {
        let output = self.call(command);
        assert!(output.status.success(), "{command} {}: {output:?}", self.version);
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn refusal(&self, command: &str) -> String {
        let output = self.call(command);
        assert!(!output.status.success(), "{command} {}: {output:?}", self.version);
        String::from_utf8(output.stderr).unwrap()
    }
}

/// The expected result in this version. Names and MAC addresses are those of `result`.
fn expected(version: &str, pod: &Pod, result: &Value) -> Value {
    let mut addresses = json!([
        {"address": "10.42.0.2/32", "gateway": "169.254.1.1", "interface": 1},
        {"address": "fd42::2/128", "gateway": "fe80::1", "interface": 1},
    ]);
    let mut interfaces = json!([
        {"name": result["interfaces"][0]["name"], "mac": result["interfaces"][0]["mac"]},
        {"name": "eth0", "mac": result["interfaces"][1]["mac"], "sandbox": pod.path()},
    ]);
    if version < "1.0.0" {
        addresses[0]["version"] = json!("4");
        addresses[1]["version"] = json!("6");
    }
    if version >= "1.1.0" {
        interfaces[0]["mtu"] = json!(MTU);
        interfaces[1]["mtu"] = json!(MTU);
    }
    let routes = json!([{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}, {"dst": "::/0", "gw": "fe80::1"}]);
    let mut expected = json!({"cniVersion": version, "interfaces": interfaces, "ips": addresses, "routes": routes});
    if version < "1.0.0" {
        // The library of cnitool adds this field.
        expected["dns"] = json!({});
    }
    expected
}

#[test]
#[ignore = "scripts/test-runtimes.sh runs it"]
fn cnitool_accepts_the_result_of_each_version() {
    for version in VERSIONS {
        on_node(&DUAL_STACK, |node| {
            let mut plugin = Plugin::install(node);
            let pod = Pod::new();
            let Some(cnitool) = Cnitool::new(node, &plugin, version, &pod) else { return };
            let result: Value = serde_json::from_str(&cnitool.succeed("add")).unwrap();
            assert_eq!(result, expected(version, &pod, &result));
            pod.succeed("ping", &["-c1", "192.0.2.1"]);
            succeed(Command::new("ping").args(["-c1", "fd42::2"]));
            if version == "0.3.1" {
                let refusal = cnitool.refusal("check");
                assert!(refusal.contains("does not support the CHECK command"), "{refusal}");
            } else {
                cnitool.succeed("check");
            }
            cnitool.succeed("status");
            cnitool.succeed("del");
            cnitool.succeed("del");
            say(&format!("tested: cnitool with a plugin list of version {version}"));
            plugin.assert_clean();
        });
    }
}

#[test]
#[ignore = "scripts/test-runtimes.sh runs it"]
fn cnitool_shows_the_problem_that_check_found() {
    on_node(&DUAL_STACK, |node| {
        let plugin = Plugin::install(node);
        let pod = Pod::new();
        let Some(cnitool) = Cnitool::new(node, &plugin, "1.1.0", &pod) else { return };
        cnitool.succeed("add");
        pod.succeed("ip", &["route", "del", "default"]);
        let refusal = cnitool.refusal("check");
        assert!(refusal.contains("0.0.0.0/0"), "{refusal}");
        cnitool.succeed("del");
        node.assert_nothing_left();
    });
}

/// For `gc`, cnitool lets libcni detach everything, and then calls GC without the list that the specification requires.
#[test]
#[ignore = "scripts/test-runtimes.sh runs it"]
fn gc_of_cnitool_detaches_everything_and_its_call_without_a_list_is_refused() {
    on_node(&DUAL_STACK, |node| {
        let plugin = Plugin::install(node);
        let pod = Pod::new();
        let Some(cnitool) = Cnitool::new(node, &plugin, "1.1.0", &pod) else { return };
        cnitool.succeed("add");
        let refusal = cnitool.refusal("gc");
        assert!(refusal.contains("cni.dev/valid-attachments: missing"), "{refusal}");
        let commands: Vec<String> = plugin.calls().into_iter().map(|call| call.command).collect();
        assert_eq!(commands, ["ADD", "DEL", "GC"]);
        node.assert_nothing_left();
    });
}
