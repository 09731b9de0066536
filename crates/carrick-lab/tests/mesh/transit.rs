//! A pod cannot fill the connection tracking table of a node that only forwards its packets.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::Duration;

use carrick_lab::namespace::Namespaces;
use carrick_topology::Family;

use crate::frames::{tcp_acknowledgement, udp};
use crate::mesh::Mesh;
use crate::spoofing::{gateway_mac, mac_of, send_frames};

/// So many connections of each kind and family.
const FLOOD: u16 = 3000;
const FIRST_PORT: u16 = 20_000;
/// Frames that the userspace data path takes without a pause, and the pause.
const BURST: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);
/// What the nodes themselves add meanwhile.
const OTHERS: u64 = 300;
/// The port of a Service on a node, and of its pod.
const NODE_PORT: u16 = 30_080;
const POD_PORT: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(10);

fn clouds(encapsulation: &str) -> String {
    format!(
        "
agent: {{encapsulation: {encapsulation}, flags: ['--standby-gateways=0']}}
locations:
  - {{name: a, nodes: [{{name: a1}}, {{name: a2}}]}}
  - {{name: b, nodes: [{{name: b1}}, {{name: b2}}]}}
"
    )
}

fn tracked(mesh: &Mesh, node: &str) -> u64 {
    let count = mesh.node_namespaces(node).exec(&["cat", "/proc/sys/net/netfilter/nf_conntrack_count"]).unwrap();
    count.trim().parse().unwrap()
}

/// Segments from the middle of TCP connections, and datagrams, as a program with a raw socket sends them.
fn flood(mesh: &Mesh, from: &str, to: &str) {
    let sender = mesh.pod(from).unwrap().namespaces();
    let (own, gateway) = (mac_of(sender, "eth0"), gateway_mac(sender));
    for family in Family::BOTH {
        let (source, target) = (mesh.pod_address(from, family), mesh.pod_address(to, family));
        let frames = (FIRST_PORT..FIRST_PORT + FLOOD).flat_map(|port| {
            let segment = tcp_acknowledgement(own, gateway, (source, port), (target, port));
            [("TCP", segment), ("UDP", udp(own, gateway, source, target, port))]
        });
        for burst in frames.collect::<Vec<_>>().chunks(BURST) {
            send_frames(sender, burst);
            sleep(PAUSE);
        }
    }
}

fn a_pod_does_not_fill_the_tables_of_gateways(encapsulation: &str) {
    let mesh = Mesh::up(&clouds(encapsulation));
    mesh.all_reach();
    let nodes = ["a1", "b1", "b2"];
    let before = nodes.map(|node| tracked(&mesh, node));
    flood(&mesh, "a2-pod1", "b2-pod1");
    let after = nodes.map(|node| tracked(&mesh, node));
    let [first, second, target] = [0, 1, 2].map(|node| after[node].saturating_sub(before[node]));
    assert!(target > u64::from(FLOOD), "of the flood, {target} connections arrive at the node of the target");
    assert!(first < OTHERS && second < OTHERS, "{encapsulation}: {nodes:?} have tracked {before:?}, then {after:?}");
    mesh.all_endpoints_reach_each_other();
}

#[test]
fn a_pod_does_not_fill_the_connection_tracking_tables_of_gateways_in_vxlan() {
    a_pod_does_not_fill_the_tables_of_gateways("always");
}

#[test]
fn a_pod_does_not_fill_the_connection_tracking_tables_of_gateways_without_encapsulation() {
    a_pod_does_not_fill_the_tables_of_gateways("never");
}

/// The Service proxy on a node, for a Service that keeps the source of clients.
fn redirect(on: &Namespaces, to: [IpAddr; 2]) {
    let rules = to.map(|pod| {
        let version = if pod.is_ipv4() { ("ipv4", "ip") } else { ("ipv6", "ip6") };
        let pod = SocketAddr::new(pod, POD_PORT);
        format!("meta nfproto {} fib daddr type local udp dport {NODE_PORT} dnat {} to {pod}", version.0, version.1)
    });
    let chain = format!("type nat hook prerouting priority dstnat; {}", rules.join("; "));
    on.exec(&["nft", &format!("table inet proxy {{ chain prerouting {{ {chain}; }}; }}")]).unwrap();
}

fn socket(pod: &Namespaces, address: IpAddr, port: u16) -> UdpSocket {
    let socket = pod.enter(|| Ok(UdpSocket::bind((address, port))?)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A Service on a gateway, for clients and pods that are both elsewhere.
fn a_service_on_a_gateway_works(mesh: &Mesh, client: &str, gateway: &[IpAddr], pod: &str) {
    let [client_inside, pod_inside] = [client, pod].map(|pod| mesh.pod(pod).unwrap().namespaces());
    for address in gateway {
        let family = Family::of(address);
        let asking = socket(client_inside, mesh.pod_address(client, family), 0);
        let answering = socket(pod_inside, mesh.pod_address(pod, family), POD_PORT);
        let service = SocketAddr::new(*address, NODE_PORT);
        let mut buffer = [0; 16];
        asking.send_to(b"question", service).unwrap();
        let (_, seen) = answering.recv_from(&mut buffer).unwrap();
        answering.send_to(b"answer", seen).unwrap();
        let answer = asking.recv_from(&mut buffer).map(|(length, from)| (buffer[..length].to_vec(), from));
        assert_eq!(answer.unwrap(), (b"answer".to_vec(), service), "{client} to {service} for {pod}");
    }
}

#[test]
fn services_on_a_gateway_redirect_pods_of_other_nodes_to_pods_of_other_nodes() {
    for encapsulation in ["always", "never"] {
        let mesh = Mesh::up(&clouds(encapsulation));
        mesh.all_reach();
        let gateway = mesh.node_namespaces("a1");
        let internal = Family::BOTH.map(|family| mesh.internal_address("a1", family));
        let own: Vec<IpAddr> = serde_json::from_value(mesh.status("a1")["plan"]["mesh_addresses"].clone()).unwrap();
        assert_eq!(own.len(), 2);

        redirect(&gateway, Family::BOTH.map(|family| mesh.pod_address("a2-pod1", family)));
        a_service_on_a_gateway_works(&mesh, "b2-pod1", &[&internal[..], &own].concat(), "a2-pod1");

        gateway.exec(&["nft", "delete table inet proxy"]).unwrap();
        redirect(&gateway, Family::BOTH.map(|family| mesh.pod_address("b2-pod1", family)));
        a_service_on_a_gateway_works(&mesh, "a2-pod1", &[&internal[..], &own].concat(), "b2-pod1");
    }
}
