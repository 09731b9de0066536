//! The agent's pages cannot be used against the agent.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use carrick_lab::agent::{self, PROBE_ADDRESS};
use carrick_lab::wait;
use carrick_topology::Family;

use crate::mesh::Mesh;

const CLOUDS: &str = "
agent: {flags: ['--listen=loopback,internal']}
locations:
  - {name: a, nodes: [{name: a1}]}
  - {name: b, nodes: [{name: b1}]}
";
/// How many connections the pod opens.
const CONNECTIONS: usize = 2000;
/// The greatest number of connections of a listener.
const LIMIT: usize = 64;
/// Descriptors that come and go while the agent works: its own connections and files.
const USUAL_DESCRIPTORS: usize = 16;

fn pages_address(mesh: &Mesh, node: &str) -> SocketAddr {
    SocketAddr::new(mesh.internal_address(node, Family::V4), PROBE_ADDRESS.port())
}

/// Waits until a pod reaches the pages on the internal address: the agent serves them once it knows its Node.
fn await_pages(mesh: &Mesh, pod: &str, address: SocketAddr) {
    let pod = mesh.pod(pod).unwrap().namespaces();
    wait::until("the pages on the internal address", || {
        Ok(agent::get_over_tcp(pod, address, "/readyz").is_ok_and(|answer| answer.status == 200).then_some(()))
    })
    .unwrap();
}

fn descriptors(mesh: &Mesh, node: &str) -> usize {
    let pid = mesh.node(node).unwrap().agent_pid().unwrap();
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Opens connections from a pod. It sends a part of a request on each second one.
fn open_connections(mesh: &Mesh, pod: &str, address: SocketAddr) -> Vec<TcpStream> {
    let connect = || {
        (0..CONNECTIONS)
            .map(|number| {
                let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(20))?;
                if number % 2 == 1 {
                    // The agent may have closed the connection already.
                    let _closed = stream.write_all(b"GET /metrics HTTP/1.1\r\n");
                }
                Ok(stream)
            })
            .collect()
    };
    mesh.pod(pod).unwrap().namespaces().enter(connect).unwrap()
}

#[test]
fn silent_connections_from_a_pod_take_nothing_from_the_agent() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    let address = pages_address(&mesh, "a1");
    await_pages(&mesh, "b1-pod1", address);
    let node = mesh.node_namespaces("a1");
    let before = descriptors(&mesh, "a1");

    let silent = open_connections(&mesh, "b1-pod1", address);
    assert_eq!(silent.len(), CONNECTIONS);
    let opened = Instant::now();
    let mut rounds = 0;
    while rounds < 20 || opened.elapsed() < Duration::from_secs(2) {
        let during = descriptors(&mesh, "a1");
        assert!(during <= before + LIMIT + USUAL_DESCRIPTORS, "{before} descriptors before, {during} now");
        for path in ["/healthz", "/readyz"] {
            let asked = Instant::now();
            let answer = agent::get_over_tcp(&node, PROBE_ADDRESS, path).unwrap();
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            assert!(asked.elapsed() < Duration::from_secs(10), "{path} took {:?}", asked.elapsed());
        }
        assert_eq!(mesh.node("a1").unwrap().agent_page("/status").unwrap().status, 200);
        let metrics = agent::get_over_tcp(mesh.pod("a1-pod1").unwrap().namespaces(), address, "/metrics").unwrap();
        assert_eq!(metrics.status, 200, "another pod is served: {}", metrics.body);
        rounds += 1;
    }
    mesh.all_reach();

    let full = r#"carrick_http_connections_closed_total{listener="internal",reason="full"}"#;
    let closed = mesh.metric("a1", full).unwrap();
    assert!(closed >= (CONNECTIONS - 2 * LIMIT) as f64, "{closed}");
    drop(silent);
    wait::until("the descriptors are as before", || {
        Ok((descriptors(&mesh, "a1") <= before + USUAL_DESCRIPTORS).then_some(()))
    })
    .unwrap();
}

#[test]
fn a_client_that_sends_its_request_slowly_is_disconnected() {
    let mesh = Mesh::up(CLOUDS);
    let address = pages_address(&mesh, "a1");
    await_pages(&mesh, "b1-pod1", address);
    let connect = || Ok(TcpStream::connect(address)?);
    let pod = mesh.pod("b1-pod1").unwrap().namespaces();
    let (mut slow, silent) = (pod.enter(connect).unwrap(), pod.enter(connect).unwrap());
    let began = Instant::now();
    for byte in b"GET /metrics HTTP/1.1\r\nx-header: ".iter().chain(std::iter::repeat(&b'x')) {
        if slow.write_all(&[*byte]).is_err() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "the connection is still open");
        std::thread::sleep(Duration::from_millis(50));
    }
    for mut stream in [slow, silent] {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let end = stream.read_to_end(&mut Vec::new());
        let is_open = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!end.is_err_and(|error| is_open(&error)), "the connection is still open");
    }
    let page = mesh.node("a1").unwrap().agent_page("/metrics").unwrap().body;
    let late = "carrick_http_connections_closed_total{listener=\"internal\",reason=\"head-timeout\"} 2";
    assert!(page.contains(late), "{page}");
}

#[test]
fn a_pod_cannot_read_the_private_pages() {
    let mesh = Mesh::up(CLOUDS);
    let address = pages_address(&mesh, "a1");
    await_pages(&mesh, "b1-pod1", address);
    for (from, address) in [
        (mesh.pod("b1-pod1").unwrap().namespaces().clone(), address),
        (mesh.pod("a1-pod1").unwrap().namespaces().clone(), address),
        (mesh.node_namespaces("a1"), PROBE_ADDRESS),
    ] {
        for page in ["/status", "/checks", "/trace?to=10.4.0.1"] {
            let answer = agent::get_over_tcp(&from, address, page).unwrap();
            assert_eq!(answer.status, 403, "{page}: {}", answer.body);
            assert!(answer.body.contains("carrickctl"), "{page}: {}", answer.body);
        }
    }
}

#[test]
fn pages_are_on_loopback_only_unless_a_setting_says_otherwise() {
    let mesh = Mesh::up("locations: [{name: a, nodes: [{name: a1}, {name: a2}]}]");
    let pages = pages_address(&mesh, "a1");
    assert!(agent::get_over_tcp(&mesh.node_namespaces("a1"), PROBE_ADDRESS, "/readyz").unwrap().status == 200);
    assert!(agent::get_over_tcp(&mesh.node_namespaces("a2"), pages, "/readyz").is_err());
    assert!(agent::get_over_tcp(mesh.pod("a1-pod1").unwrap().namespaces(), pages, "/readyz").is_err());
    // `carrick page` asks through the socket.
    let program = carrick_lab::binaries::find("carrick").unwrap();
    let program = program.to_str().unwrap();
    let readyz = mesh.node_namespaces("a1").exec(&[program, "page", "/readyz"]).unwrap();
    assert!(readyz.starts_with("ok\n"), "{readyz}");
    assert!(mesh.node_namespaces("a1").exec(&[program, "page", "/status"]).unwrap().starts_with('{'));
    let unknown = mesh.node_namespaces("a1").exec(&[program, "page", "/nothing"]).unwrap_err().to_string();
    assert!(unknown.contains("the agent has no such page; the pages are"), "{unknown}");
}
