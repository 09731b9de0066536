//! Reference plugins after ours in a plugin list, called as a runtime calls a list: ADD in order, each plugin with the result of the
//! plugin before; CHECK in order and DEL in reverse order, each plugin with the final result.

use std::ffi::OsString;
use std::io::{Write, stderr};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::call::{Call, Reply};
use crate::echo::{PATIENCE, REFUSAL, ask_tcp, neighbour, serve_tcp, unplug};
use crate::node::{DUAL_STACK, Node, Pod, on_node, succeed};

/// The newest version that all of the plugins support.
const VERSION: &str = "1.0.0";
const PACKAGE: &str = "containernetworking-plugins";

/// Our plugin and a reference plugin after it.
struct Chain<'a> {
    node: &'a Node,
    pod: &'a Pod,
    /// The `runtimeConfig` of our plugin.
    requested: Value,
    program: PathBuf,
    configuration: Value,
    /// The `PATH` of the reference plugin.
    path: OsString,
}

/// The program of a reference plugin; `None` if it is not installed. The message goes directly to standard error, because the test
/// harness captures what tests print.
fn reference(plugin: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("CNI_REFERENCE_PLUGINS").unwrap_or_else(|| "/usr/lib/cni".into());
    let program = PathBuf::from(directory).join(plugin);
    if program.exists() {
        return Some(program);
    }
    let missing = format!("{} is missing; install it with: sudo apt-get install {PACKAGE}", program.display());
    assert!(std::env::var_os("CARRICK_REQUIRE_ALL").is_none(), "{missing}");
    stderr().write_all(format!("SKIPPED chain of carrick-cni and {plugin}: {missing}\n").as_bytes()).unwrap();
    None
}

impl Chain<'_> {
    fn add(&self) -> Value {
        let result = self.own("ADD", None).result();
        self.other("ADD", &result).result()
    }

    fn check(&self, result: &Value) {
        self.own("CHECK", Some(result)).silent();
        self.other("CHECK", result).silent();
    }

    fn del(&self, result: &Value) {
        self.other("DEL", result).silent();
        self.own("DEL", Some(result)).silent();
        self.node.assert_nothing_left();
    }

    fn own(&self, command: &'static str, result: Option<&Value>) -> Reply {
        let mut call = Call::new(command, self.node, self.pod, "0a1b").version(VERSION).asking(self.requested.clone());
        if let Some(result) = result {
            call.set("prevResult", result.clone());
        }
        call.run()
    }

    fn other(&self, command: &str, result: &Value) -> Reply {
        let mut configuration = self.configuration.clone();
        configuration["cniVersion"] = VERSION.into();
        configuration["name"] = "carrick".into();
        configuration["prevResult"] = result.clone();
        let mut child = Command::new(&self.program)
            .envs([("CNI_COMMAND", command), ("CNI_CONTAINERID", "0a1b"), ("CNI_IFNAME", "eth0"), ("CNI_PATH", "/")])
            .env("CNI_NETNS", self.pod.path())
            .env("PATH", &self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(configuration.to_string().as_bytes()).unwrap();
        Reply::of(child)
    }
}

fn own_path() -> OsString {
    std::env::var_os("PATH").unwrap()
}

fn port_mappings() -> Value {
    json!({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]})
}

/// CHECK of portmap (seen with 1.1.1) searches the rules of one family in those of the other too, so it fails if both `iptables` and
/// `ip6tables` work. Here only `iptables` is in the `PATH`.
#[test]
fn portmap_after_us_maps_host_ports() {
    let Some(program) = reference("portmap") else { return };
    on_node(&DUAL_STACK[..1], |node| {
        let pod = &Pod::new();
        let configuration = json!({"type": "portmap", "snat": true, "runtimeConfig": port_mappings()});
        let only_ipv4 = tempfile::tempdir().unwrap();
        let directories = own_path();
        let mut found = std::env::split_paths(&directories).map(|directory| directory.join("iptables"));
        let iptables = found.find(|path| path.exists()).unwrap();
        symlink(iptables, only_ipv4.path().join("iptables")).unwrap();
        let path = only_ipv4.path().into();
        let chain = Chain { node, pod, requested: json!({}), program, configuration, path };
        let result = chain.add();
        serve_tcp(pod, 80);
        let outside = neighbour();
        assert_eq!(outside.inside(|| ask_tcp("192.0.2.1", 8080, PATIENCE)).as_deref(), Some("192.0.2.9"));
        chain.check(&result);
        unplug();
        chain.del(&result);
        assert_eq!(ask_tcp("192.0.2.1", 8080, REFUSAL), None);
    });
}

#[test]
fn portmap_after_us_maps_host_ports_of_both_families() {
    let Some(program) = reference("portmap") else { return };
    on_node(&DUAL_STACK, |node| {
        let pod = &Pod::new();
        let configuration = json!({"type": "portmap", "snat": true, "runtimeConfig": port_mappings()});
        // Both plugins get the same ports. A plugin list that the agent did not write can do that.
        let chain = Chain { node, pod, requested: port_mappings(), program, configuration, path: own_path() };
        let result = chain.add();
        serve_tcp(pod, 80);
        let outside = neighbour();
        for (host, client) in [("192.0.2.1", "192.0.2.9"), ("2001:db8::1", "2001:db8::9")] {
            assert_eq!(outside.inside(|| ask_tcp(host, 8080, PATIENCE)).as_deref(), Some(client));
        }
        chain.own("CHECK", Some(&result)).silent();
        unplug();
        chain.del(&result);
        assert_eq!(ask_tcp("192.0.2.1", 8080, REFUSAL), None);
    });
}

#[test]
fn tuning_after_us_changes_the_pods_settings() {
    let Some(program) = reference("tuning") else { return };
    on_node(&DUAL_STACK, |node| {
        let pod = &Pod::new();
        let configuration = json!({
            "type": "tuning",
            "dataDir": node.run_directory().join("tuning"),
            "sysctl": {"net.ipv4.ip_default_ttl": "77"},
        });
        let chain = Chain { node, pod, requested: json!({}), program, configuration, path: own_path() };
        let result = chain.add();
        let ttl = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
        assert_eq!(pod.inside(ttl), "77\n");
        assert_ne!(ttl(), "77\n");
        let echo = succeed(Command::new("ping").args(["-c1", "10.42.0.2"]));
        assert!(echo.contains("ttl=77"), "{echo}");
        chain.check(&result);
        chain.del(&result);
    });
}

#[test]
fn bandwidth_after_us_limits_both_directions() {
    let Some(program) = reference("bandwidth") else { return };
    on_node(&DUAL_STACK, |node| {
        let pod = &Pod::new();
        let bits = json!({"ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 16_000_000, "egressBurst": 800_000});
        let configuration = json!({"type": "bandwidth", "runtimeConfig": {"bandwidth": bits}});
        let chain = Chain { node, pod, requested: json!({}), program, configuration, path: own_path() };
        let result = chain.add();
        let devices = result["interfaces"].as_array().unwrap().iter().map(|device| device["name"].as_str().unwrap());
        let devices: Vec<&str> = devices.collect();
        // The last interface belongs to the reference plugin, for packets from the pod.
        for (device, rate) in [(devices[0], "rate 8Mbit"), (devices[2], "rate 16Mbit")] {
            let queue = succeed(Command::new("tc").args(["qdisc", "show", "dev", device, "root"]));
            assert!(queue.contains("tbf") && queue.contains(rate), "{device}: {queue}");
        }
        pod.succeed("ping", &["-c1", "-s", "1300", "192.0.2.1"]);
        chain.check(&result);
        chain.del(&result);
    });
}
