//! Containers of another program on a node, behind a bridge whose packets the node masquerades, as Docker does: they send ordinary packets, and
//! nothing that they craft reaches a pod.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use carrick_lab::namespace::{Namespaces, network_path};
use carrick_lab::{ping, wait};
use carrick_topology::Family;

use crate::frames::udp_with;
use crate::injection::{NODE, PORT, TARGET, clouds, dropped, pod_sockets, received, send, send_vxlan};
use crate::mesh::Mesh;
use crate::outside_peer::run;
use crate::spoofing::{mac_of, send_frames_by};

/// The node of the container.
const HOST: &str = "a1";
/// Pods of the node, of its location, and of another one.
const PODS: [&str; 3] = ["a1-pod1", TARGET, "b1-pod1"];
const NODES: [&str; 3] = [HOST, NODE, "b1"];
/// The time after which an answer to an ordinary packet counts as lost.
const LATE: Duration = Duration::from_secs(10);

/// Makes the bridge and the container on the node.
fn container(mesh: &Mesh, bridge: &str) -> Namespaces {
    let host = mesh.node_namespaces(HOST);
    let path = network_path("container");
    host.make_network(&path).unwrap();
    run(
        &host,
        &"ip link add docker0 type bridge
         ip address add 172.17.0.1/16 dev docker0
         ip address add fd17::1/64 dev docker0 nodad
         ip link set docker0 up
         ip link add veth0 type veth peer name eth0 netns container
         ip link set veth0 master docker0 up
         nft add table inet docker
         nft 'add chain inet docker postrouting { type nat hook postrouting priority srcnat; }'
         nft 'add rule inet docker postrouting ip saddr 172.17.0.0/16 oifname != docker0 masquerade'
         nft 'add rule inet docker postrouting ip6 saddr fd17::/64 oifname != docker0 masquerade'"
            .replace("docker0", bridge),
    );
    let own = Namespaces::network("container", &mesh.node(HOST).unwrap().path(&path).unwrap()).unwrap();
    let container = host.with_network_of(&own).unwrap();
    run(
        &container,
        "ip link set lo up
         ip address add 172.17.0.2/16 dev eth0
         ip address add fd17::2/64 dev eth0 nodad
         ip link set eth0 up
         ip route add default via 172.17.0.1
         ip route add default via fd17::1",
    );
    container
}

/// What containers reach: nodes, pods, and hosts in the internet.
fn ordinary_targets(mesh: &Mesh) -> Vec<IpAddr> {
    let internet = mesh.node("b1").unwrap().layout().public.list();
    let of_family = |family| {
        let pods = PODS.map(|pod| mesh.pod_address(pod, family));
        let nodes = NODES.map(|node| mesh.internal_address(node, family));
        [pods, nodes].concat()
    };
    Family::BOTH.into_iter().flat_map(of_family).chain(internet).collect()
}

/// Sends packets to all pods in the name of other pods and of nodes, as a program with raw sockets can.
fn send_forged_sources(mesh: &Mesh, container: &Namespaces, bridge: &str) {
    let bridge = mac_of(&mesh.node_namespaces(HOST), bridge);
    let own = mac_of(container, "eth0");
    let mesh_addresses =
        |node| -> Vec<IpAddr> { serde_json::from_value(mesh.status(node)["plan"]["mesh_addresses"].clone()).unwrap() };
    let mut sources = NODES.map(mesh_addresses).concat();
    for family in Family::BOTH {
        sources.extend(NODES.map(|node| mesh.internal_address(node, family)));
        sources.extend(PODS.map(|pod| mesh.pod_address(pod, family)));
    }
    let mut frames = Vec::new();
    for pod in PODS {
        for source in &sources {
            let target = mesh.pod_address(pod, Family::of(source));
            let content = format!("from {source} to {pod}");
            if *source != target {
                frames.push(("forged", udp_with(content.as_bytes(), own, bridge, *source, target, PORT)));
            }
        }
    }
    send_frames_by(container, "eth0", &frames);
}

fn crafted_packets_of_a_container_reach_no_pod(granularity: &str, encapsulation: &str, bridge: &str) {
    let mesh = Mesh::up(&clouds(granularity, encapsulation));
    mesh.all_reach();
    let container = container(&mesh, bridge);
    // The agent puts a new table in place when it learns of the bridge, and the counters begin again.
    wait::until("the node's table knows the bridge", || {
        let table = mesh.node_namespaces(HOST).exec(&["nft", "list", "table", "inet", "carrick"])?;
        let knows = |name: &str| table.contains(&format!("\"{name}\""));
        Ok((knows(bridge) || (bridge.starts_with("docker") && knows("docker*"))).then_some(()))
    })
    .unwrap();
    for target in ordinary_targets(&mesh) {
        let answer = ping::until_answered(&container, target, LATE).unwrap();
        assert!(answer.is_some(), "{granularity}, {encapsulation}: no answer of {target}");
    }
    let sockets: Vec<UdpSocket> = PODS.into_iter().flat_map(|pod| pod_sockets(&mesh, pod, &[PORT])).collect();

    send_vxlan(&mesh, "a container", &container);
    send_forged_sources(&mesh, &container, bridge);

    let mut expected = Vec::new();
    for family in Family::BOTH {
        for pod in PODS {
            let content = format!("{family} without tricks to {pod}");
            send(&container, content.as_bytes(), SocketAddr::new(mesh.pod_address(pod, family), PORT));
            expected.push(content);
        }
    }
    let mut arrived = received(&sockets);
    arrived.sort();
    expected.sort();
    assert_eq!(arrived, expected, "{granularity}, {encapsulation}");
    wait::until("the container's node counts what it drops", || {
        Ok((dropped(&mesh, HOST, "forwarded VXLAN") > 0).then_some(()))
    })
    .unwrap();
}

#[test]
fn crafted_packets_of_a_container_reach_no_pod_in_location() {
    for encapsulation in ["always", "cross-subnet", "never"] {
        crafted_packets_of_a_container_reach_no_pod("location", encapsulation, "docker0");
    }
}

#[test]
fn crafted_packets_of_a_container_reach_no_pod_in_cross() {
    for encapsulation in ["always", "cross-subnet", "never"] {
        crafted_packets_of_a_container_reach_no_pod("cross", encapsulation, "nerdctl0");
    }
}

#[test]
fn crafted_packets_of_a_container_reach_no_pod_in_full() {
    for encapsulation in ["always", "cross-subnet", "never"] {
        crafted_packets_of_a_container_reach_no_pod("full", encapsulation, "vmbr1");
    }
}
