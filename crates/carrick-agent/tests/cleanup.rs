//! `carrick cleanup` in a namespace that holds Carrick's things and others'.
#![expect(clippy::expect_used, clippy::print_stderr, clippy::unwrap_used, reason = "all of this is tests")]

#[path = "userspace_wireguard/namespace.rs"]
#[expect(dead_code, reason = "shared with the tests of the data path, which use all of it")]
mod namespace;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use carrick_pods::ipam::{Reservation, Store, pools};
use carrick_pods::{Attachment, PodName};
use namespace::{CARRICK, Namespace};
use nix::fcntl::{Flock, FlockArg};

/// What stands in the namespace, without counters and interface numbers.
fn describe(namespace: &Namespace) -> String {
    namespace.run(
        "ip -br link show | cut -d' ' -f1 | sort; ip rule show; ip -6 rule show; \
         ip route show table all; ip -6 route show table all proto static; nft list ruleset",
    )
}

#[test]
fn it_removes_what_is_carrick_s_and_nothing_else() {
    let namespace = Namespace::new();
    namespace.run(
        "ip link add foreign0 type bridge && ip link set foreign0 up && \
         ip route add 198.51.100.0/24 dev foreign0 proto static && ip route add 203.0.113.0/24 dev foreign0 table 1103 proto static && \
         ip rule add priority 1106 table 1106 && nft add table inet foreign && nft add table inet carrick-cni",
    );
    let before = describe(&namespace);
    let _path = namespace.start("carrick0");
    namespace.run(
        "ip link set carrick0 up && ip address add 10.4.0.1/32 dev carrick0 && \
         ip link add carrick-vx type vxlan id 1107 dstport 51822 dev foreign0 && ip link set carrick-vx up && \
         ip link add carrick-ho type vxlan id 1108 dstport 51823 dev foreign0 && ip link set carrick-ho up && \
         ip route add 10.244.2.0/24 dev carrick-ho table 1106 proto 109 && \
         ip route add 10.4.0.2 dev carrick0 table 1105 proto 109 && \
         ip rule add not iif lo priority 1106 table 1106 protocol 109 && \
         ip rule add iif lo ipproto udp dport 51823 priority 1105 table 1105 protocol 109 && \
         ip route add 10.244.1.0/24 dev carrick0 table 1107 proto 107 && \
         ip route add blackhole 10.244.3.0/24 table 1107 proto static && \
         ip route add unreachable 10.244.1.0/24 table 1107 proto 107 metric 10000 && \
         ip -6 route add unreachable fd00::/64 table 1107 proto 107 && \
         ip rule add priority 1107 table 1107 protocol 107 && ip -6 rule add priority 1107 table 1107 protocol 107 && \
         nft add table inet carrick",
    );
    assert_ne!(describe(&namespace), before);

    namespace.run(&format!("{CARRICK} cleanup"));
    assert_eq!(describe(&namespace), before);
    let socket = namespace.output("test -e /run/wireguard/carrick0.sock");
    assert!(!socket.status.success(), "the data path was stopped");

    let again = namespace.command(CARRICK).arg("cleanup").output().unwrap();
    assert!(again.status.success());
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(said.contains("removed=0"), "{said}");
    assert_eq!(describe(&namespace), before);
}

/// The directories of a node with the plugin, beside things of others.
struct Directories(tempfile::TempDir);

impl Directories {
    fn new() -> Self {
        let directories = Self(tempfile::tempdir().unwrap());
        for (file, content) in [
            ("conf/10-carrick.conflist", "{}"),
            ("conf/20-other.conflist", "{}"),
            ("bin/carrick-cni", "plugin"),
            ("bin/other", "plugin"),
            ("run/node.json", "{}"),
            ("state/private-key", "key"),
        ] {
            let path = directories.0.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        symlink("carrick-cni", directories.0.path().join("bin/loopback")).unwrap();
        directories
    }

    fn store(&self) -> Store {
        Store::under(&self.0.path().join("run"))
    }

    fn cleanup(&self, namespace: &Namespace, flags: &[&str]) -> Command {
        let mut command = namespace.command(CARRICK);
        command.args(["cleanup", "--files"]).args(flags).current_dir(&self.0);
        for (flag, directory) in
            [("--state-dir", "state"), ("--run-dir", "run"), ("--cni-conf-dir", "conf"), ("--cni-bin-dir", "bin")]
        {
            command.arg(flag).arg(self.0.path().join(directory));
        }
        command
    }

    /// The files, as paths below the directory.
    fn files(&self) -> Vec<String> {
        let list = Command::new("find").args([".", "-not", "-type", "d"]).current_dir(&self.0).output().unwrap();
        let mut files: Vec<_> = String::from_utf8(list.stdout).unwrap().lines().map(str::to_owned).collect();
        files.sort();
        files
    }
}

#[test]
fn files_go_too_and_the_plugin_once_no_pod_needs_it() {
    let namespace = Namespace::new();
    namespace.run("nft add table inet carrick-cni && nft add table inet foreign");
    let directories = Directories::new();
    let attachment =
        Attachment { network: "carrick".to_owned(), container_id: "0a1b".to_owned(), interface: "eth0".to_owned() };
    let pod = PodName { namespace: "shop".to_owned(), name: "web".to_owned() };
    let pools = pools(&["10.42.0.0/24".parse().unwrap()]).unwrap();
    directories.store().reserve(Reservation::plain(attachment.clone(), Some(pod)), &pools).unwrap();

    let output = directories.cleanup(&namespace, &[]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("pods_without_network") && said.contains("shop/web"), "{said}");
    let files = directories.files();
    assert!(!files.contains(&"./conf/10-carrick.conflist".to_owned()), "{files:?}");
    assert!(files.contains(&"./bin/carrick-cni".to_owned()), "{files:?}");
    assert!(namespace.run("nft list tables").contains("carrick-cni"), "the pod's firewall stays");

    directories.store().release(&attachment).unwrap();
    let output = directories.cleanup(&namespace, &[]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(directories.files(), ["./bin/other", "./conf/20-other.conflist", "./state/private-key"]);
    assert_eq!(namespace.run("nft list tables"), "table inet foreign\n");

    let output = directories.cleanup(&namespace, &["--state"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(directories.files(), ["./bin/other", "./conf/20-other.conflist"]);
}

#[test]
fn it_waits_for_the_agent_that_runs() {
    let namespace = Namespace::new();
    let directories = Directories::new();
    let state = fs::File::open(directories.0.path().join("state")).unwrap();
    let agent = Flock::lock(state, FlockArg::LockExclusiveNonblock).unwrap();
    let mut cleanup = directories.cleanup(&namespace, &[]).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(cleanup.stderr.take().unwrap()).lines();
    assert!(said.next().unwrap().unwrap().contains("waiting_for_agent"));
    assert!(directories.files().contains(&"./conf/10-carrick.conflist".to_owned()), "nothing is removed before");
    drop(agent);
    assert!(cleanup.wait().unwrap().success());
    assert!(!directories.files().contains(&"./conf/10-carrick.conflist".to_owned()));
}

#[test]
fn without_permission_it_says_so() {
    let namespace = Namespace::new();
    namespace.run("ip rule add priority 1107 table 1107 protocol 107 && nft add table inet carrick");
    let output =
        namespace.output(&format!("setpriv --bounding-set=-net_admin --inh-caps=-net_admin {CARRICK} cleanup"));
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    assert!(namespace.run("ip rule show").contains("1107"));
}
