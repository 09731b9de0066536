//! The hosts' ends of pods that another program changed, with the real plugin, in network namespaces of each test.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "all of this is tests")]

use std::fs::File;
use std::io::Write as _;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use carrick_agent::agent::pod_routes::PodRoutes;
use carrick_netlink::{Protocol, Socket, link};
use carrick_pods::ipam::Store;
use carrick_pods::node_data::NodeData;
use carrick_pods::pod_gateways;
use nix::sched::{CloneFlags, setns, unshare};
use tempfile::TempDir;

/// All that the plugin keeps in table main.
const SHOW: [&str; 2] = ["-4 route show proto 108", "-6 route show proto 108"];

struct Node {
    run_directory: TempDir,
}

struct Pod {
    container_id: &'static str,
    namespace: File,
}

/// Runs `test` on a thread of its own, whose network namespace is a node's that the agent has programmed.
fn on_node(test: impl FnOnce(&Node, &mut PodRoutes) + Send) {
    on_new_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root: unshare(CLONE_NEWNET)");
        let node = Node { run_directory: tempfile::tempdir().unwrap() };
        let pod_cidrs = ["10.42.0.0/24", "fd42::/64"].map(|cidr| cidr.parse().unwrap()).to_vec();
        NodeData { pod_cidrs, mtu: 1370, wireguard_port: None, fault: None }.write(node.run_directory.path()).unwrap();
        ip("link set lo up");
        let mut pod_routes = PodRoutes::open(node.run_directory.path()).unwrap();
        test(&node, &mut pod_routes);
    });
}

impl Node {
    fn attach(&self, container_id: &'static str) -> Pod {
        let namespace = on_new_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let pod = Pod { container_id, namespace };
        self.call("ADD", &pod);
        pod
    }

    fn detach(&self, pod: &Pod) {
        self.call("DEL", pod);
    }

    fn call(&self, command: &str, pod: &Pod) {
        let plugin = plugin();
        let mut child = Command::new(&plugin)
            .env_clear()
            .env("CNI_PATH", "/opt/cni/bin")
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", pod.container_id)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_NETNS", format!("/proc/{}/fd/{}", std::process::id(), pod.namespace.as_raw_fd()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; build it with: cargo build -p carrick-cni", plugin.display()));
        let run_directory = self.run_directory.path().display();
        let configuration = format!(
            r#"{{"cniVersion": "1.0.0", "name": "carrick", "type": "carrick-cni", "runDirectory": "{run_directory}"}}"#
        );
        child.stdin.take().unwrap().write_all(configuration.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }
}

impl Pod {
    fn ip(&self, arguments: &str) {
        self.run(|| drop(ip(arguments)));
    }

    /// Runs `work` in the pod's network namespace.
    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        on_new_thread(|| {
            setns(&self.namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
    }
}

/// Beside the test's own folder, where Cargo puts binaries.
fn plugin() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("carrick-cni")
}

fn on_new_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| resume_unwind(panic)))
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn pod_routes() -> Vec<String> {
    let mut routes: Vec<String> = SHOW.map(ip).iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
    routes.sort();
    routes
}

fn flush() {
    ip("-4 route flush proto 108");
    ip("-6 route flush proto 108");
}

fn host_device(number: usize) -> String {
    let links = link::dump(&mut Socket::open(Protocol::Route).unwrap()).unwrap();
    links.into_iter().filter(|link| link.name.starts_with("crk")).nth(number).unwrap().name
}

/// Restores, and returns the routes and neighbours that it took.
#[track_caller]
fn restore(checked: &mut PodRoutes) -> (usize, usize) {
    let restored = checked.restore().unwrap();
    assert!(restored.failures.is_empty(), "{:?}", restored.failures);
    (restored.routes, restored.neighbours)
}

#[test]
fn flushed_routes_come_back_and_nothing_is_written_without_need() {
    on_node(|node, checked| {
        assert_eq!(restore(checked), (0, 0));
        let _pods = [node.attach("a"), node.attach("b")];
        let before = pod_routes();
        assert_eq!(before.len(), 4, "{before:?}");
        assert_eq!(restore(checked), (0, 0));
        assert_eq!(checked.writes(), 0);

        flush();
        assert_eq!(pod_routes(), [""; 0]);
        assert_eq!(restore(checked), (4, 0));
        assert_eq!(pod_routes(), before);
        assert_eq!((restore(checked), checked.writes()), ((0, 0), 4));

        // One of one pod, and a neighbour of the other.
        ip("route delete 10.42.0.2 proto 108");
        ip(&format!("neighbour delete 10.42.0.3 dev {}", host_device(1)));
        assert_eq!(restore(checked), (1, 1));
        assert_eq!(pod_routes(), before);
        assert_eq!((restore(checked), checked.writes()), ((0, 0), 6));
    });
}

#[test]
fn a_pod_that_went_meanwhile_does_not_come_back() {
    on_node(|node, checked| {
        let (gone, stays) = (node.attach("gone"), node.attach("stays"));
        flush();
        node.detach(&gone);
        assert_eq!(restore(checked), (2, 0));
        let routes = pod_routes();
        assert!(
            routes.len() == 2 && routes.iter().all(|route| route.contains("2::3") || route.contains("0.3")),
            "{routes:?}"
        );

        // As after a DEL that died between the device and the record.
        ip(&format!("link delete {}", host_device(0)));
        assert!(node.run_directory.path().join("ipam/attachments/stays:eth0").exists());
        assert_eq!(restore(checked), (0, 0));
        assert_eq!(pod_routes(), [""; 0]);
        node.detach(&stays);
    });
}

#[test]
fn what_no_record_names_is_left_alone() {
    on_node(|node, checked| {
        let _pod = node.attach("a");
        ip("link add other type bridge");
        ip("link set other up");
        ip("route add 10.42.0.77 dev other proto 108");
        flush();
        ip("route add 10.42.0.77 dev other proto 108");
        // Another program's route in the place of the pod's route: it stays, and the agent reports it.
        ip("route add 10.42.0.2 dev other proto static");
        let restored = checked.restore().unwrap();
        assert_eq!((restored.routes, restored.failures.len()), (1, 1), "{restored:?}");
        assert!(restored.failures[0].to_string().contains("10.42.0.2"), "{restored:?}");
        assert!(ip("route show 10.42.0.2").contains("other"));
        assert!(ip("route show 10.42.0.77").contains("other"));
    });
}

#[test]
fn a_pod_that_is_still_being_attached_is_left_to_its_plugin() {
    on_node(|node, checked| {
        let pod = node.attach("a");
        // The host's end has no carrier, as it has none before ADD sets up the pod's end.
        pod.ip("link set eth0 down");
        let device = host_device(0);
        let mut socket = Socket::open(Protocol::Route).unwrap();
        while link::by_name(&mut socket, &device).unwrap().operational {
            thread::yield_now();
        }
        flush();
        assert_eq!(restore(checked), (0, 0));

        pod.ip("link set eth0 up");
        while !link::by_name(&mut socket, &device).unwrap().operational {
            thread::yield_now();
        }
        assert_eq!(restore(checked), (2, 0));
    });
}

#[test]
fn whatever_another_program_does_to_the_hosts_end_is_put_right() {
    on_node(|node, checked| {
        let _pods = [node.attach("a"), node.attach("b")];
        let (device, number) = (host_device(0), ip("-o link show").lines().count());
        let seen = || {
            let of_device = |command: &str| ip(&format!("{command} show dev {device}"));
            let settings = [
                "ipv4/conf/*/forwarding",
                "ipv4/conf/*/arp_ignore",
                "ipv6/conf/*/forwarding",
                "ipv6/conf/*/accept_ra",
                "ipv6/conf/*/disable_ipv6",
            ];
            let settings = settings.map(|path| read_setting(&path.replace('*', &device))).concat();
            let addresses = of_device("-o -6 address").replace(" tentative", "");
            (pod_routes(), of_device("neighbour"), addresses, of_device("-br link"), settings)
        };
        let before = seen();
        assert!(before.2.contains("fe80::1/64") && number == 3, "{before:?}");
        let set = |setting: &str, value: &str| {
            std::fs::write(format!("/proc/sys/net/{}", setting.replace('*', &device)), value).unwrap();
        };
        let changes: [(&str, &dyn Fn()); 12] = [
            ("down and up, by a network manager", &|| {
                ip(&format!("link set {device} down"));
                ip(&format!("link set {device} up"));
            }),
            ("down", &|| drop(ip(&format!("link set {device} down")))),
            ("fe80::1 removed", &|| drop(ip(&format!("address delete fe80::1/64 dev {device}")))),
            ("all addresses removed", &|| drop(ip(&format!("address flush dev {device}")))),
            ("a route removed", &|| drop(ip("route delete 10.42.0.2"))),
            ("neighbours removed", &|| drop(ip(&format!("neighbour flush dev {device} nud permanent")))),
            ("a neighbour changed", &|| {
                drop(ip(&format!("neighbour replace 10.42.0.2 lladdr 02:00:00:00:00:99 dev {device}")))
            }),
            ("the Ethernet address changed", &|| drop(ip(&format!("link set {device} address 02:00:00:00:00:98")))),
            ("IPv4 forwarding off", &|| set("ipv4/conf/*/forwarding", "0")),
            ("ARP requests answered", &|| set("ipv4/conf/*/arp_ignore", "0")),
            ("router advertisements accepted", &|| set("ipv6/conf/*/accept_ra", "2")),
            ("IPv6 disabled", &|| set("ipv6/conf/*/disable_ipv6", "1")),
        ];
        let mut socket = Socket::open(Protocol::Route).unwrap();
        for (what, change) in changes {
            change();
            if !["forwarding", "advertisements", "ARP"].iter().any(|setting| what.contains(setting)) {
                let records = Store::under(node.run_directory.path()).records().unwrap().readable;
                assert_eq!(
                    pod_gateways::faults(&mut socket, &records).unwrap().len(),
                    1,
                    "{what}: the doctor sees nothing"
                );
            }
            let mut restored = checked.restore().unwrap();
            // A device that was set up has no carrier at once: the notification of the carrier asks for another comparison.
            while !link::by_name(&mut socket, &device).unwrap().operational {
                thread::yield_now();
            }
            restored.failures.extend(checked.restore().unwrap().failures);
            assert!(restored.failures.is_empty(), "{what}: {:?}", restored.failures);
            assert_eq!(seen(), before, "{what}");
            let written = checked.writes();
            restore(checked);
            assert_eq!(checked.writes(), written, "{what}: it is right already");
        }
    });
}

#[test]
fn the_settings_of_a_device_are_read_without_all_else() {
    on_node(|node, checked| {
        let _pod = node.attach("a");
        let path = format!("/proc/sys/net/ipv6/conf/{}/accept_ra", host_device(0));
        std::fs::write(&path, "1").unwrap();
        assert_eq!(checked.restore_device_settings().unwrap().settings, 1);
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), "0");
        assert_eq!(checked.restore_device_settings().unwrap().settings, 0);
    });
}

/// An address of the host, and one that the pod does not have by its plugin.
const HOST_ADDRESS: &str = "198.18.0.1";
const FORGED_ADDRESS: &str = "10.99.0.1";

#[test]
fn a_pod_of_an_older_plugin_gets_no_answer_to_arp_requests_and_keeps_its_connections() {
    on_node(|node, checked| {
        let pod = node.attach("a");
        let device = host_device(0);
        // As a plugin leaves it that does not know the setting.
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{device}/arp_ignore"), "0").unwrap();
        ip(&format!("address add {HOST_ADDRESS}/32 dev lo"));
        pod.ip(&format!("address add {FORGED_ADDRESS}/32 dev eth0"));
        pod.ip(&format!("route add {HOST_ADDRESS} dev eth0 src {FORGED_ADDRESS}"));
        let learnt = || ip(&format!("neighbour show {FORGED_ADDRESS} dev {device}"));

        assert_eq!(resolve(&pod), Resolution::Answered);
        assert!(learnt().contains("lladdr"), "the request fills the table of neighbours: {}", learnt());

        assert_eq!(checked.restore_device_settings().unwrap().settings, 1);
        ip(&format!("neighbour delete {FORGED_ADDRESS} dev {device}"));
        assert_eq!(resolve(&pod), Resolution::Failed);
        assert_eq!(learnt(), "");

        pod.ip(&format!("route delete {HOST_ADDRESS} dev eth0"));
        pod.run(|| {
            let status = Command::new("ping").args(["-c1", "-w5", "-I", "10.42.0.2", HOST_ADDRESS]).output().unwrap();
            assert!(status.status.success(), "by the next hop that the pod knows without asking: {status:?}");
        });
    });
}

#[derive(Debug, PartialEq, Eq)]
enum Resolution {
    Answered,
    Failed,
}

/// Lets the pod's kernel ask for the Ethernet address of the host's address, from the forged one.
fn resolve(pod: &Pod) -> Resolution {
    pod.run(|| {
        std::fs::write("/proc/sys/net/ipv4/neigh/eth0/retrans_time_ms", "50").unwrap();
        ip(&format!("neighbour flush to {HOST_ADDRESS} dev eth0"));
        let socket = UdpSocket::bind((FORGED_ADDRESS, 0)).unwrap();
        socket.send_to(b"x", (HOST_ADDRESS, 9)).unwrap();
        loop {
            let state = ip(&format!("neighbour show {HOST_ADDRESS} dev eth0"));
            if state.contains("FAILED") {
                return Resolution::Failed;
            }
            if state.contains("lladdr") {
                return Resolution::Answered;
            }
            thread::sleep(Duration::from_millis(5));
        }
    })
}

fn read_setting(path: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/net/{path}")).unwrap()
}
