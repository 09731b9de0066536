use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::node::{DUAL_STACK, Node, on_node, succeed};
use crate::plugin::{
    CONFIGURATION_DIRECTORY, CONTROL_GROUP, IMAGE, PLUGIN_DIRECTORY, Plugin, image, program, say, skip,
};

/// podman with its containers in a directory of the node.
struct Podman {
    program: PathBuf,
    directory: PathBuf,
}

impl Podman {
    /// podman that has the image; `None` if podman is not installed or does not use CNI.
    fn new(node: &Node) -> Option<Self> {
        let podman = Self { program: program("podman")?, directory: node.run_directory().join("podman") };
        podman.configure();
        let version = podman.run("--version");
        let info = podman.command("info --format {{.Host.NetworkBackend}}").output().unwrap();
        let backend = String::from_utf8_lossy(&info.stdout).trim().to_owned();
        if backend != "cni" {
            let reason = String::from_utf8_lossy(&info.stderr).trim().to_owned();
            skip("podman", &format!("{}, has no CNI backend: {backend} {reason}", version.trim()));
            return None;
        }
        say(&format!("tested: {}", version.trim()));
        podman.run(&format!("load --input {}", image().display()));
        Some(podman)
    }

    fn configure(&self) {
        fs::create_dir_all(&self.directory).unwrap();
        let conmon = program("conmon").expect("podman needs conmon");
        let configuration = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
             [engine]\ncgroup_manager = \"cgroupfs\"\nruntime = \"runc\"\nevents_logger = \"file\"\nconmon_path = [{conmon:?}]\n\
             [network]\nnetwork_backend = \"cni\"\nnetwork_config_dir = {CONFIGURATION_DIRECTORY:?}\n\
             cni_plugin_dirs = [{PLUGIN_DIRECTORY:?}]\n"
        );
        fs::write(self.directory.join("containers.conf"), configuration).unwrap();
        fs::create_dir_all("/etc/containers").unwrap();
        fs::write("/etc/containers/policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.env("CONTAINERS_CONF", self.directory.join("containers.conf"));
        command.args(["--storage-driver", "vfs", "--root"]).arg(self.directory.join("root"));
        command.arg("--runroot").arg(self.directory.join("run")).args(arguments.split(' '));
        command
    }

    #[track_caller]
    fn run(&self, arguments: &str) -> String {
        succeed(&mut self.command(arguments))
    }

    /// Starts a container that sleeps. Returns its ID.
    #[track_caller]
    fn start(&self, name: &str, options: &str) -> String {
        let identifier = self.run(&format!(
            "run --detach --name {name} --network carrick --cgroup-parent {CONTROL_GROUP} {options} --entrypoint sleep {IMAGE} 1000"
        ));
        identifier.trim().to_owned()
    }

    /// What podman reports about the container's network.
    #[track_caller]
    fn network(&self, name: &str) -> Value {
        let inspected: Value = serde_json::from_str(&self.run(&format!("inspect {name}"))).unwrap();
        inspected[0]["NetworkSettings"]["Networks"]["carrick"].clone()
    }
}

#[test]
#[ignore = "scripts/test-runtimes.sh runs it"]
fn containers_of_podman_reach_each_other_and_the_host() {
    on_node(&DUAL_STACK, |node| {
        let mut plugin = Plugin::install(node);
        let Some(podman) = Podman::new(node) else { return };
        let one = podman.start("one", "--publish 8080:80");
        let two = podman.start("two", "--publish 127.0.0.1:8053:53/udp");
        let neighbour = podman.network("two");
        for address in ["192.0.2.1", "2001:db8::1"] {
            podman.run(&format!("exec one ping -c1 {address}"));
        }
        for family in ["IPAddress", "GlobalIPv6Address"] {
            let address = neighbour[family].as_str().unwrap();
            podman.run(&format!("exec one ping -c1 {address}"));
            succeed(Command::new("ping").args(["-c1", address]));
        }
        podman.run("exec one httpd -p 80");
        TcpStream::connect(("192.0.2.1", 8080)).unwrap();
        TcpStream::connect(("2001:db8::1", 8080)).unwrap();

        podman.run("rm --force --time 0 one two");
        for identifier in [one, two] {
            assert_eq!(plugin.commands(&identifier), ["ADD", "DEL"]);
        }
        let calls = plugin.calls();
        let asked: BTreeSet<&str> =
            calls.iter().filter(|call| call.command == "VERSION").map(|call| &*call.namespace).collect();
        assert_eq!(asked, ["dummy"].into(), "podman names a namespace that does not exist");
        plugin.assert_clean();
    });
}

#[test]
#[ignore = "scripts/test-runtimes.sh runs it"]
fn containers_of_podman_have_the_addresses_that_they_request() {
    on_node(&DUAL_STACK, |node| {
        let mut plugin = Plugin::install(node);
        let Some(podman) = Podman::new(node) else { return };
        for (name, addresses) in [("one", "--ip 10.42.0.77"), ("two", "--ip 10.42.0.78 --ip6 fd42::78")] {
            podman.start(name, &format!("{addresses} --mac-address 02:00:00:00:00:77"));
        }
        let got = |name: &str, key: &str| podman.network(name)[key].clone();
        assert_eq!(got("one", "IPAddress"), "10.42.0.77");
        assert_eq!(got("two", "IPAddress"), "10.42.0.78");
        assert_eq!(got("two", "GlobalIPv6Address"), "fd42::78");
        for name in ["one", "two"] {
            assert_eq!(got(name, "MacAddress"), "02:00:00:00:00:77");
        }
        for address in ["10.42.0.77", "10.42.0.78", "fd42::78"] {
            succeed(Command::new("ping").args(["-c1", address]));
        }
        podman.run("restart --time 0 one");
        succeed(Command::new("ping").args(["-c1", "10.42.0.77"]));

        podman.run("rm --force --time 0 one two");
        plugin.assert_clean();
    });
}
