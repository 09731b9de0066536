//! VXLAN leaves and comes in only by devices that lead into the location.

use carrick_lab::capture::Capture;
use carrick_lab::capture::marked::MarkedCapture;
use carrick_lab::wait;
use carrick_topology::Family;

use crate::injection::dropped;
use crate::marked_traffic::MarkedTraffic;
use crate::mesh::{Mesh, is_cut_off, reaches};

const CLOUD: &str = "
agent: {encapsulation: always}
locations:
  - {name: a, families: v4, nodes: [{name: a1}, {name: a2}]}
";

#[test]
fn vxlan_to_a_node_that_is_routed_by_another_device_is_dropped_and_said() {
    let mesh = Mesh::up(CLOUD);
    mesh.all_reach();
    let node = mesh.node_namespaces("a1");
    for command in [
        "ip link add pub0 type veth peer name pub1",
        "ip address add 203.0.113.7/24 dev pub0",
        "ip link set pub0 up",
        "ip link set pub1 up",
    ] {
        node.exec(&command.split(' ').collect::<Vec<_>>()).unwrap();
    }
    let far = mesh.internal_address("a2", Family::V4);
    let public = Capture::start(&node, "pub0", "udp").unwrap();
    let mac = node.exec(&["cat", "/sys/class/net/pub1/address"]).unwrap();
    node.exec(&["ip", "neighbour", "add", "203.0.113.254", "lladdr", mac.trim(), "dev", "pub0"]).unwrap();
    node.exec(&["ip", "route", "add", &far.to_string(), "via", "203.0.113.254"]).unwrap();

    let from = mesh.pod("a1-pod1").unwrap().namespaces();
    let pod = mesh.pod_address("a2-pod1", Family::V4);
    assert!(is_cut_off(from, pod));
    wait::until("the node counts what it drops", || {
        Ok((dropped(&mesh, "a1", "VXLAN out by another device") > 0).then_some(()))
    })
    .unwrap();
    // A device that comes up makes the agent look at the routes again.
    node.exec(&["ip", "address", "add", "203.0.113.8/24", "dev", "pub0"]).unwrap();
    wait::until("the warning", || {
        let is_said = |warning: &String| warning.contains("is reached by pub0") && warning.contains("--topology-label");
        Ok(mesh.warnings("a1").iter().any(is_said).then_some(()))
    })
    .unwrap();
    let vxlan: Vec<_> = public.stop().unwrap().into_iter().filter(|packet| packet.contains(".51822:")).collect();
    assert!(vxlan.is_empty(), "VXLAN by the public device: {vxlan:#?}");

    node.exec(&["ip", "link", "delete", "pub0"]).unwrap();
    assert!(reaches(from, pod));
    wait::until("no warning", || Ok(mesh.warnings("a1").is_empty().then_some(()))).unwrap();
}

/// Two nodes of two providers without a label of a location. Both are in the location `default`, each with a private network of its own.
const NO_LABEL: &str = "
agent: {encapsulation: always}
locations:
  - name: a
    families: v4
    nodes: [{name: a1, annotations: {carrick.dev/location: default, carrick.dev/internal-addresses: 10.0.0.11/24}}]
  - name: b
    families: v4
    nodes: [{name: b1, annotations: {carrick.dev/location: default, carrick.dev/internal-addresses: 192.168.1.11/24}}]
";

#[test]
fn nodes_of_two_providers_without_a_label_send_nothing_in_clear() {
    let mesh = Mesh::up(NO_LABEL);
    let uplinks = ["a1", "b1"].map(|node| MarkedCapture::start(&mesh.node_namespaces(node), "eth0").unwrap());
    for (node, address) in [("a1", "10.0.0.11/24"), ("b1", "192.168.1.11/24")] {
        let inside = mesh.node_namespaces(node);
        for command in [
            "ip link add priv0 type veth peer name priv1".to_owned(),
            format!("ip address add {address} dev priv0"),
            "ip link set priv1 up".to_owned(),
            "ip link set priv0 up".to_owned(),
        ] {
            inside.exec(&command.split(' ').collect::<Vec<_>>()).unwrap();
        }
    }
    for node in ["a1", "b1"] {
        wait::until("the warning, with what to do", || {
            let is_said =
                |warning: &String| warning.contains("is reached by eth0") && warning.contains("--topology-label");
            Ok(mesh.warnings(node).iter().any(is_said).then_some(()))
        })
        .unwrap();
        // The plan has the warning before the kernel has the plan.
        wait::until("the firewall with the device of the internal address", || {
            let table = mesh.node_namespaces(node).exec(&["nft", "list", "table", "inet", "carrick"])?;
            Ok(table.contains("priv0").then_some(()))
        })
        .unwrap();
    }
    let mut traffic = MarkedTraffic::new();
    for pod in ["a1-pod1", "b1-pod1"] {
        traffic.add_of(&mesh, pod, &[Family::V4]);
    }
    for node in ["a1", "b1"] {
        wait::until("the node counts what it drops", || {
            Ok((dropped(&mesh, node, "VXLAN out by another device") > 10).then_some(()))
        })
        .unwrap();
    }

    // What the warning says helps.
    mesh.kubernetes().annotate("b1", "carrick.dev/location", Some("elsewhere")).unwrap();
    traffic.await_packets(20);
    for capture in uplinks {
        let in_clear = capture.stop(&traffic.mark).unwrap();
        assert!(in_clear.is_empty(), "{in_clear:#?}");
    }
}
