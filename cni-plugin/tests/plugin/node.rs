//! Fixture of a node: a network namespace on its own thread, a run directory, and pods.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use carrick_netlink::nftables::{Elements, Nftables};
use carrick_netlink::{Family, Protocol, Socket, address, link, neighbour, route};
use carrick_pods::firewall::table_name;
use carrick_pods::node_data::NodeData;
use nix::sched::{CloneFlags, setns, unshare};
use tempfile::TempDir;

pub const DUAL_STACK: [&str; 2] = ["10.42.0.0/24", "fd42::/64"];
pub const MTU: u32 = 1370;
/// `RTPROT_KERNEL`.
const KERNEL_PROTOCOL: u8 = 2;

/// A node that the agent has programmed.
pub struct Node {
    directory: TempDir,
    before: Option<State>,
}

/// A pod: a network namespace with a path.
pub struct Pod {
    namespace: File,
}

/// Everything that an attachment can leave on a node.
#[derive(Debug, PartialEq, Eq)]
pub struct State {
    links: BTreeSet<String>,
    addresses: BTreeSet<String>,
    routes: BTreeSet<String>,
    neighbours: BTreeSet<String>,
    pub files: BTreeSet<PathBuf>,
    /// The elements of the plugin's table. The table itself remains.
    elements: BTreeSet<String>,
}

/// Runs `test` on its own thread in the network namespace of a new node.
pub fn on_node<T: Send>(pod_cidrs: &[&str], test: impl FnOnce(&Node) -> T + Send) -> T {
    let directory = tempfile::tempdir().unwrap();
    on_new_thread(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root: unshare(CLONE_NEWNET)");
        set_up_host();
        let mut node = Node { directory, before: None };
        node.program(pod_cidrs, MTU);
        node.before = Some(node.state());
        test(&node)
    })
}

/// Configures the host as the agent does, with strict reverse path filters, and adds an uplink with an address of each family.
fn set_up_host() {
    for (setting, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/all/rp_filter", "1"),
        ("ipv4/conf/default/rp_filter", "1"),
        ("ipv6/conf/all/forwarding", "1"),
    ] {
        fs::write(Path::new("/proc/sys/net").join(setting), value).unwrap();
    }
    for arguments in [
        "link set lo up",
        "link add uplink type bridge",
        "link set uplink addrgenmode none",
        "link set uplink up",
        "address add 192.0.2.1/24 dev uplink",
        "address add 2001:db8::1/64 dev uplink nodad",
    ] {
        succeed(Command::new("ip").args(arguments.split(' ')));
    }
}

impl Node {
    pub fn run_directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes the node data, as the agent does.
    pub fn program(&self, pod_cidrs: &[&str], mtu: u32) {
        let pod_cidrs = pod_cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
        NodeData { pod_cidrs, mtu, wireguard_port: None, fault: None }.write(self.run_directory()).unwrap();
    }

    pub fn state(&self) -> State {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        let links = link::dump(&mut socket).unwrap();
        let neighbours = links.iter().flat_map(|link| neighbour::dump(&mut socket, link.index).unwrap());
        let neighbours = neighbours.map(|neighbour| format!("{neighbour:?}")).collect();
        let addresses = address::dump(&mut socket, None).unwrap();
        let mut routes = BTreeSet::new();
        for family in Family::BOTH {
            let filter = route::Filter { family, table: None, protocol: None, device: None };
            let routes_of_family = route::dump(&mut socket, &filter).unwrap();
            // The kernel adds and removes its own routes with the addresses, some with a delay.
            let others = routes_of_family.iter().filter(|route| route.protocol != KERNEL_PROTOCOL);
            routes.extend(others.map(|route| format!("{route:?}")));
        }
        State {
            links: links.into_iter().map(|link| link.name).collect(),
            addresses: addresses.iter().map(|address| format!("{address:?}")).collect(),
            routes,
            neighbours,
            elements: elements(),
            files: files(&self.run_directory().join("ipam")),
        }
    }

    pub fn has_record(&self, container_id: &str) -> bool {
        self.run_directory().join("ipam/attachments").join(format!("{container_id}:eth0")).exists()
    }

    pub fn has_pod_devices(&self) -> bool {
        self.state().links.iter().any(|link| link.starts_with("crk"))
    }

    /// Checks that the node is as before the test, except for the empty files of the store.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let mut now = self.state();
        now.files.retain(|file| *file != self.run_directory().join("ipam/lock"));
        assert_eq!(Some(now), self.before);
    }
}

impl Pod {
    pub fn new() -> Self {
        let namespace = on_new_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        Self { namespace }
    }

    /// The path of the namespace, for every process.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd()).into()
    }

    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        on_new_thread(|| {
            setns(&self.namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.inside(|| Command::new(program).args(arguments).output().unwrap())
    }

    #[track_caller]
    pub fn succeed(&self, program: &str, arguments: &[&str]) -> String {
        self.inside(|| succeed(Command::new(program).args(arguments)))
    }
}

fn elements() -> BTreeSet<String> {
    let table = Nftables::open().unwrap().table(&table_name()).unwrap();
    let sets = table.into_iter().flat_map(|table| table.sets);
    let of_pods = sets.filter(|(name, _)| name != "loopback");
    let keys = of_pods.filter_map(|(name, set)| match set.elements {
        Elements::Keys(keys) => Some((name, keys)),
        Elements::Intervals(_) => None,
    });
    keys.flat_map(|(name, keys)| keys.into_iter().map(move |element| format!("{name} {element:?}"))).collect()
}

#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn on_new_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| resume_unwind(panic)))
}

fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return BTreeSet::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() && !path.is_symlink() { files(&path) } else { [path].into() }).collect()
}
