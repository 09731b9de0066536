//! Duration of ADD and DEL, compared with the reference plugins and with the netlink requests alone. `scripts/bench-cni.sh` runs this
//! benchmark.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking, and prints")]

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use carrick_netlink::link::{self, Change, VethEnd};
use carrick_netlink::route::{self, Route};
use carrick_netlink::{Protocol, Socket, address};
use carrick_pods::node_data::NodeData;
use carrick_topology::constants::MAIN_TABLE;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};
use tempfile::TempDir;

const STATIC_PROTOCOL: u8 = 4;
const LOOPBACK: u32 = 1;
const PARALLEL: usize = 50;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| arguments.iter().position(|word| word == name).and_then(|at| arguments.get(at + 1));
    let runs: usize = value("--runs").map_or(100, |text| text.parse().unwrap());
    let reference = PathBuf::from(value("--reference").map_or("/usr/lib/cni", String::as_str));
    let plugin = PathBuf::from(value("--plugin").map_or(env!("CARGO_BIN_EXE_carrick-cni"), String::as_str));
    let subjects = Subject::all(&plugin, &reference);

    let mut rows = Vec::new();
    for parallel in [1, PARALLEL] {
        let mut measured: Vec<[Series; 2]> = subjects.iter().map(|_| Default::default()).collect();
        // The subjects take turns, so that other load on the machine affects all of them.
        let rounds = if parallel == 1 { runs } else { runs.div_ceil(parallel) };
        for round in 0..rounds {
            for (subject, series) in subjects.iter().zip(&mut measured) {
                subject.round(round * parallel, parallel, series);
            }
        }
        for (subject, series) in subjects.iter().zip(measured) {
            for (operation, series) in ["ADD", "DEL"].into_iter().zip(series) {
                rows.push(series.row(subject, operation, parallel));
            }
        }
    }
    if arguments.iter().any(|word| word == "--json") {
        println!("{}", json!({ "rows": rows }));
    } else {
        print_table(&rows);
    }
}

fn print_table(rows: &[Value]) {
    println!("plugin   hostPort op   parallel  runs   p50 ms   p99 ms   cpu ms");
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| row[key].as_f64().unwrap_or_default();
        println!(
            "{:<8} {:<8} {:<4} {:>8} {:>5} {:>8.2} {:>8.2} {:>8.2}",
            text("plugin"),
            row["host_port"].to_string(),
            text("operation"),
            number("parallel"),
            number("runs"),
            number("p50_ms"),
            number("p99_ms"),
            number("cpu_ms"),
        );
    }
}

/// Measurements of one operation.
#[derive(Default)]
struct Series {
    walls: Vec<Duration>,
    cpu: Duration,
}

impl Series {
    fn row(mut self, subject: &Subject, operation: &str, parallel: usize) -> Value {
        self.walls.sort_unstable();
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1_000.0;
        let at = |share: f64| milliseconds(self.walls[((self.walls.len() - 1) as f64 * share).round() as usize]);
        json!({
            "plugin": subject.name,
            "host_port": subject.host_port,
            "operation": operation,
            "parallel": parallel,
            "runs": self.walls.len(),
            "p50_ms": at(0.5),
            "p99_ms": at(0.99),
            "cpu_ms": milliseconds(self.cpu) / self.walls.len() as f64,
        })
    }
}

/// A plugin list to measure, on its own node. Without plugins, the netlink requests alone are measured.
struct Subject {
    name: &'static str,
    host_port: bool,
    node: Namespace,
    directory: TempDir,
    plugins: Vec<(PathBuf, Value)>,
    path: PathBuf,
}

impl Subject {
    fn all(plugin: &Path, reference: &Path) -> Vec<Self> {
        let mut subjects = vec![Self::new("floor", false, reference, |_| Vec::new())];
        for host_port in [false, true] {
            subjects.push(Self::new("carrick", host_port, reference, |directory| {
                NodeData {
                    pod_cidrs: vec!["10.42.0.0/16".parse().unwrap()],
                    mtu: 1370,
                    wireguard_port: None,
                    fault: None,
                }
                .write(directory)
                .unwrap();
                vec![(plugin.to_owned(), json!({ "type": "carrick-cni", "runDirectory": directory }))]
            }));
            for name in ["bridge", "ptp"] {
                subjects.push(Self::new(name, host_port, reference, |directory| {
                    let ipam = json!({
                        "type": "host-local",
                        "dataDir": directory,
                        "ranges": [[{ "subnet": "10.88.0.0/16" }]],
                        "routes": [{ "dst": "0.0.0.0/0" }],
                    });
                    let mut plugins = vec![(
                        reference.join(name),
                        json!({ "type": name, "bridge": "cni0", "isGateway": true, "ipam": ipam }),
                    )];
                    if host_port {
                        plugins.push((reference.join("portmap"), json!({ "type": "portmap", "snat": true })));
                    }
                    plugins
                }));
            }
        }
        subjects
    }

    fn new(
        name: &'static str,
        host_port: bool,
        reference: &Path,
        plugins: impl FnOnce(&Path) -> Vec<(PathBuf, Value)>,
    ) -> Self {
        // A tmpfs, like /run.
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let plugins = plugins(directory.path());
        let node = Namespace::new();
        node.inside(|| {
            for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                std::fs::write(Path::new("/proc/sys/net").join(setting), "1").unwrap();
            }
        });
        Self { name, host_port, node, directory, plugins, path: reference.to_owned() }
    }

    /// Attaches `count` pods at the same time, then detaches them.
    fn round(&self, first: usize, count: usize, [adds, dels]: &mut [Series; 2]) {
        let pods: Vec<Pod> = (first..first + count).map(Pod::new).collect();
        self.measure(&pods, adds, |pod| self.add(pod));
        self.measure(&pods, dels, |pod| self.del(pod));
    }

    fn measure(&self, pods: &[Pod], series: &mut Series, operate: impl Fn(&Pod) + Sync) {
        let who = if self.plugins.is_empty() { UsageWho::RUSAGE_SELF } else { UsageWho::RUSAGE_CHILDREN };
        let used = || {
            let usage = getrusage(who).unwrap();
            let micros =
                [usage.user_time(), usage.system_time()].map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
            Duration::from_micros(micros.iter().sum::<i64>().unsigned_abs())
        };
        let before = used();
        let operate = &operate;
        let walls = thread::scope(|scope| {
            let threads: Vec<_> = pods
                .iter()
                .map(|pod| {
                    scope.spawn(move || {
                        setns(&self.node.0, CloneFlags::CLONE_NEWNET).unwrap();
                        let started = Instant::now();
                        operate(pod);
                        started.elapsed()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        series.walls.extend(walls);
        series.cpu += used() - before;
    }

    fn add(&self, pod: &Pod) {
        if self.plugins.is_empty() {
            return bare_add(pod);
        }
        let mut result = Value::Null;
        for plugin in &self.plugins {
            result = self.call("ADD", pod, plugin, &result);
        }
    }

    fn del(&self, pod: &Pod) {
        if self.plugins.is_empty() {
            return bare_del(pod);
        }
        for plugin in self.plugins.iter().rev() {
            self.call("DEL", pod, plugin, &Value::Null);
        }
    }

    fn call(&self, command: &str, pod: &Pod, (binary, configuration): &(PathBuf, Value), previous: &Value) -> Value {
        let mut configuration = configuration.clone();
        configuration["cniVersion"] = "1.0.0".into();
        configuration["name"] = "bench".into();
        if self.host_port {
            let port = 10_000 + u16::try_from(pod.number % 20_000).unwrap();
            configuration["runtimeConfig"] =
                json!({ "portMappings": [{ "hostPort": port, "containerPort": 80, "protocol": "tcp" }] });
        }
        if !previous.is_null() {
            configuration["prevResult"] = previous.clone();
        }
        let mut child = Command::new(binary)
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", format!("{}-{}", self.name, pod.number))
            .env("CNI_NETNS", &pod.path)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", &self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .current_dir(self.directory.path())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        child.stdin.take().unwrap().write_all(configuration.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{} {command}: {}", binary.display(), String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }
}

/// A network namespace.
struct Namespace(File);

impl Namespace {
    fn new() -> Self {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        };
        Self(thread::spawn(make).join().unwrap())
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(enter).join().unwrap())
    }
}

struct Pod {
    number: usize,
    path: PathBuf,
    namespace: Namespace,
}

impl Pod {
    fn new(number: usize) -> Self {
        let namespace = Namespace::new();
        let path = format!("/proc/{}/fd/{}", std::process::id(), namespace.0.as_raw_fd()).into();
        Self { number, path, namespace }
    }

    fn host_device(&self) -> String {
        format!("bare{}", self.number)
    }
}

/// The netlink requests of a minimal ADD: a veth pair with its peer in the pod's namespace, both ends and `lo` up, an address, a route
/// on the host and two routes in the pod.
fn bare_add(pod: &Pod) {
    let mut host = Socket::open(Protocol::Route).unwrap();
    let own = File::open("/proc/thread-self/ns/net").unwrap();
    setns(&pod.namespace.0, CloneFlags::CLONE_NEWNET).unwrap();
    let mut inner = Socket::open(Protocol::Route).unwrap();
    setns(&own, CloneFlags::CLONE_NEWNET).unwrap();

    let near = VethEnd { name: pod.host_device(), mtu: 1370, mac: None };
    let far = VethEnd { name: "eth0".to_owned(), mtu: 1370, mac: None };
    host.execute(&link::create_veth(&near, &far, pod.namespace.0.as_fd())).unwrap();
    let (near, far) =
        (link::by_name(&mut host, &near.name).unwrap().index, link::by_name(&mut inner, "eth0").unwrap().index);
    let address: IpAddr = [10, 99, u8::try_from(pod.number >> 8).unwrap(), (pod.number & 255) as u8].into();
    let gateway: IpAddr = [169, 254, 1, 1].into();
    let up = Change { up: Some(true), ..Change::default() };
    let requests = [
        link::change(near, "near", &up),
        route::add(&Route::through(address.into(), MAIN_TABLE, STATIC_PROTOCOL, near)),
    ];
    host.batch(&requests).into_iter().for_each(Result::unwrap);
    let default = Route::through("0.0.0.0/0".parse().unwrap(), MAIN_TABLE, STATIC_PROTOCOL, far).via(gateway);
    let requests = [
        link::change(LOOPBACK, "lo", &up),
        link::change(far, "far", &up),
        address::add(&address::Address::without_side_effects(far, address.into())),
        route::add(&Route::through(gateway.into(), MAIN_TABLE, STATIC_PROTOCOL, far)),
        route::add(&default),
    ];
    inner.batch(&requests).into_iter().for_each(Result::unwrap);
}

fn bare_del(pod: &Pod) {
    let mut host = Socket::open(Protocol::Route).unwrap();
    let device = pod.host_device();
    let index = link::by_name(&mut host, &device).unwrap().index;
    host.execute(&link::delete(index, &device)).unwrap();
}
