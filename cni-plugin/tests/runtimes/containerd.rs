use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::node::{DUAL_STACK, Node, on_node, succeed};
use crate::plugin::{CONTROL_GROUP, IMAGE, PLUGIN_DIRECTORY, Plugin, image, program, say};

/// How long a test waits for a condition.
const PATIENCE: Duration = Duration::from_secs(60);

/// A containerd for one test, and its command-line client.
struct Containerd {
    daemon: Child,
    client: PathBuf,
    socket: PathBuf,
}

impl Containerd {
    /// A running containerd that has the image; `None` if containerd is not installed.
    fn new(node: &Node) -> Option<Self> {
        let (containerd, client) = (program("containerd")?, program("ctr")?);
        let directory = node.run_directory().join("containerd");
        fs::create_dir_all(&directory).unwrap();
        let at = |name: &str| directory.join(name);
        let configuration = include_str!("containerd.toml").replace("DIRECTORY", directory.to_str().unwrap());
        fs::write(at("config.toml"), configuration).unwrap();
        let log = File::create(at("log")).unwrap();
        let mut daemon = Command::new(&containerd);
        daemon.arg("--config").arg(at("config.toml")).stdout(Stdio::null()).stderr(log);
        let containerd = Self { daemon: daemon.spawn().unwrap(), client, socket: at("socket") };
        wait_until("containerd answers", || containerd.client("version").output().unwrap().status.success());
        let version = succeed(Command::new(program("containerd")?).arg("--version"));
        say(&format!("tested: {}", version.trim()));
        for namespace in ["default", "k8s.io"] {
            containerd
                .run(&format!("--namespace {namespace} images import --snapshotter native {}", image().display()));
        }
        Some(containerd)
    }

    fn client(&self, arguments: &str) -> Command {
        let mut command = Command::new(&self.client);
        command.arg("--address").arg(&self.socket).args(arguments.split(' '));
        command
    }

    #[track_caller]
    fn run(&self, arguments: &str) -> String {
        succeed(&mut self.client(arguments))
    }

    /// Starts a container that sleeps. The client stays attached; it calls the plugin when the container starts and ends.
    #[track_caller]
    fn start(&self, name: &str) -> Child {
        let options = format!("--rm --snapshotter native --cni --cgroup {CONTROL_GROUP}/{name}");
        let client =
            self.client(&format!("run {options} {IMAGE} {name} sleep 1000")).stdin(Stdio::null()).spawn().unwrap();
        wait_until(&format!("{name} runs"), || {
            self.run("task ls").lines().any(|line| line.starts_with(name) && line.ends_with("RUNNING"))
        });
        client
    }
}

/// The calls of a kubelet to containerd.
struct Kubelet<'a> {
    program: PathBuf,
    containerd: &'a Containerd,
}

impl Kubelet<'_> {
    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(&self.containerd.socket).args(arguments.split(' '));
        command
    }

    #[track_caller]
    fn run(&self, arguments: &str) -> String {
        succeed(&mut self.command(arguments))
    }

    /// Starts a pod with one container. Returns the IDs of sandbox and container.
    #[track_caller]
    fn start(&self, name: &str) -> (String, String) {
        wait_until("the imported image is available to kubelets", || {
            self.command(&format!("image {IMAGE}")).output().unwrap().status.success()
        });
        let identifiers = self.run(&format!("start {name} {IMAGE}"));
        let (sandbox, container) = identifiers.trim().split_once(' ').unwrap();
        (sandbox.to_owned(), container.to_owned())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _gone = self.daemon.kill();
        let _gone = self.daemon.wait();
    }
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "did not happen within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "scripts/test-runtimes.sh runs it"]
fn containers_of_containerd_reach_each_other_and_the_host() {
    on_node(&DUAL_STACK, |node| {
        let mut plugin = Plugin::install(node);
        let Some(containerd) = Containerd::new(node) else { return };
        let names = ["one", "two"];
        let clients = names.map(|name| containerd.start(name));
        for address in ["192.0.2.1", "2001:db8::1", "10.42.0.3", "fd42::3"] {
            containerd.run(&format!("task exec --exec-id ping one ping -c1 {address}"));
        }
        for address in ["10.42.0.2", "fd42::3"] {
            succeed(Command::new("ping").args(["-c1", address]));
        }

        for (name, mut client) in names.into_iter().zip(clients) {
            containerd.run(&format!("task kill --signal SIGKILL {name}"));
            client.wait().unwrap();
            assert_eq!(plugin.commands(&format!("default-{name}")), ["ADD", "DEL"]);
        }
        let last = plugin.calls().pop().unwrap();
        assert_eq!(last.namespace, "", "the container does not exist any more when ctr calls DEL");
        assert!(last.configuration["prevResult"].is_object());
        plugin.assert_clean();
    });
}

#[test]
#[ignore = "scripts/test-runtimes.sh runs it"]
fn pods_of_a_kubelet_on_containerd_are_attached_and_detached() {
    on_node(&DUAL_STACK, |node| {
        let mut plugin = Plugin::install(node);
        let Some(containerd) = Containerd::new(node) else { return };
        let Some(program) = program("cri") else { return };
        let reference = std::env::var_os("CNI_REFERENCE_PLUGINS").unwrap_or_else(|| "/usr/lib/cni".into());
        // containerd calls the loopback plugin before ours.
        symlink(Path::new(&reference).join("loopback"), Path::new(PLUGIN_DIRECTORY).join("loopback")).unwrap();
        let kubelet = Kubelet { program, containerd: &containerd };
        let (sandbox, container) = kubelet.start("one");
        for address in ["192.0.2.1", "2001:db8::1"] {
            kubelet.run(&format!("exec {container} ping -c1 {address}"));
        }
        for address in ["10.42.0.2", "fd42::2"] {
            succeed(Command::new("ping").args(["-c1", address]));
        }
        kubelet.run(&format!("exec {container} httpd -p 80"));
        TcpStream::connect(("192.0.2.1", 8080)).unwrap();
        let asked = plugin.calls().pop().unwrap().configuration["runtimeConfig"].take();
        assert_eq!(asked["bandwidth"]["EgressRate"], 16_000_000, "the field names of containerd: {asked}");

        kubelet.run(&format!("stop {sandbox}"));
        assert_eq!(plugin.commands(&sandbox), ["ADD", "DEL"]);
        kubelet.run(&format!("remove {sandbox}"));
        assert_eq!(plugin.commands(&sandbox), ["ADD", "DEL", "DEL"]);
        plugin.assert_clean();
    });
}
