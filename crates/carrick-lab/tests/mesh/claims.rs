//! A node that claims what belongs to another node harms itself alone.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carrick_lab::address::Family;
use carrick_lab::wait;
use carrick_topology::constants::ROUTING_TABLE;
use serde_json::json;

use crate::mesh::{Mesh, all_reach, is_cut_off, reaches};
use crate::shared_settings::create;

const CLOUDS: &str = "
agent: {flags: ['--standby-gateways=0']}
locations:
  - {name: a, nodes: [{name: a1}]}
  - {name: b, nodes: [{name: b1}]}
  - {name: c, nodes: [{name: c1}]}
";

fn annotation(mesh: &Mesh, node: &str, key: &str) -> Option<String> {
    let node = mesh.kubernetes().node(node).unwrap();
    node["metadata"]["annotations"][key].as_str().map(str::to_owned)
}

/// `a1` precedes `b1` by its age. Its agent does not run, so that nothing restores what a forger writes in its name.
#[test]
fn an_older_node_that_claims_the_key_and_the_mesh_addresses_of_a_younger_one_does_not_cut_it_off() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    wait::until("the proofs of all nodes", || {
        let has_proof = |node| annotation(&mesh, node, "carrick.dev/public-key-proof").is_some();
        Ok(["a1", "b1", "c1"].into_iter().all(has_proof).then_some(()))
    })
    .unwrap();
    mesh.node("a1").unwrap().kill_agent().unwrap();
    let victims = mesh.pods_only().into_iter().filter(|pod| !pod.name.starts_with("a1")).collect::<Vec<_>>();
    let forge = |key: &str| {
        let value = annotation(&mesh, "b1", key).unwrap();
        mesh.kubernetes().annotate("a1", key, Some(&value)).unwrap();
    };
    let await_warning = |text: &str| {
        wait::until(&format!("the warning `{text}`"), || {
            let is_said = |node| mesh.warnings(node).iter().any(|warning| warning.contains(text));
            Ok((is_said("b1") && is_said("c1")).then_some(()))
        })
        .unwrap();
    };

    forge("carrick.dev/mesh-addresses");
    await_warning("belongs to node `b1` by the name of that node");
    all_reach(&victims);
    let addresses = annotation(&mesh, "b1", "carrick.dev/mesh-addresses").unwrap();
    for address in addresses.split(',').map(|address| address.parse::<IpAddr>().unwrap()) {
        assert!(reaches(&mesh.node_namespaces("c1"), address), "{address}");
    }

    forge("carrick.dev/public-key");
    await_warning("is claimed by node `b1`, which proves that it holds the private key");
    all_reach(&victims);
    // The plan has the warning before the kernel holds the plan.
    wait::until("the claimant to be cut off", || {
        let claimant = mesh.pod("c1-pod1").unwrap().namespaces();
        Ok(is_cut_off(claimant, mesh.pod_address("a1-pod1", Family::V4)).then_some(()))
    })
    .unwrap();
}

/// A data path that identifies peers by their point would take both forms for one peer: to remove one would remove the other.
#[test]
fn a_second_form_of_a_key_takes_no_tunnel_away() {
    let mesh = mesh_with_forger();
    let victims = mesh.pods_only().into_iter().filter(|pod| !pod.name.starts_with("c1")).collect::<Vec<_>>();
    let own = annotation(&mesh, "c1", "carrick.dev/public-key").unwrap();
    let mut second = STANDARD.decode(annotation(&mesh, "b1", "carrick.dev/public-key").unwrap()).unwrap();
    second[31] |= 0x80;
    let second = STANDARD.encode(second);
    let publish = |key: &str| mesh.kubernetes().annotate("c1", "carrick.dev/public-key", Some(key)).unwrap();

    for _ in 0..3 {
        publish(&second);
        await_warning(&mesh, "is a second form of another WireGuard public key");
        all_reach(&victims);
        publish(&own);
        wait::until("the tunnel to c1", || {
            Ok(["a1", "b1"].iter().all(|node| !mesh.status(node)["peers"][&own].is_null()).then_some(()))
        })
        .unwrap();
        all_reach(&victims);
    }
}

/// Waits until the plans of `a1` and `b1` have a warning with this text.
fn await_warning(mesh: &Mesh, text: &str) {
    wait::until(&format!("the warning `{text}`"), || {
        let is_said = |node| mesh.warnings(node).iter().any(|warning| warning.contains(text));
        Ok((is_said("a1") && is_said("b1")).then_some(()))
    })
    .unwrap();
}

/// The routes of the mesh on `a1` that match the address.
fn routes_to(mesh: &Mesh, address: IpAddr) -> String {
    let family = if address.is_ipv6() { "-6" } else { "-4" };
    let (table, address) = (ROUTING_TABLE.to_string(), address.to_string());
    mesh.node_namespaces("a1").exec(&["ip", family, "route", "show", "table", &table, "match", &address]).unwrap()
}

/// `c1` is the forger. Its agent does not run, so that nothing restores what is written in its name.
fn mesh_with_forger() -> Mesh {
    let mesh = Mesh::up(CLOUDS);
    create(&mesh, &json!({"clusterCIDRs": ["10.42.0.0/16", "fd42::/32"]}));
    mesh.all_reach();
    mesh.node("c1").unwrap().kill_agent().unwrap();
    mesh
}

/// Whether `a1` sends to the pod and to the internal address of `b1` as if nothing was forged.
fn assert_nothing_left_the_mesh(mesh: &Mesh, addresses: [IpAddr; 2]) {
    for address in addresses {
        let routes = routes_to(mesh, address);
        assert!(!routes.contains("throw") && routes.contains("carrick0"), "{address}: {routes}");
    }
    let victims = mesh.pods_only().into_iter().filter(|pod| !pod.name.starts_with("c1")).collect::<Vec<_>>();
    all_reach(&victims);
}

#[test]
fn an_endpoint_at_a_pod_of_another_node_takes_no_packet_out_of_the_mesh() {
    let mesh = mesh_with_forger();
    let addresses = [mesh.pod_address("b1-pod1", Family::V4), mesh.internal_address("b1", Family::V4)];
    let [pod, internal] = addresses;
    let forge = |address: IpAddr| {
        let forged = format!("{address}:51820");
        mesh.kubernetes().annotate("c1", "carrick.dev/advertised-endpoints", Some(&forged)).unwrap();
    };
    forge(pod);
    await_warning(&mesh, &format!("advertised-endpoints `{pod}:51820` overlaps the pod CIDR"));
    assert_nothing_left_the_mesh(&mesh, addresses);
    forge(internal);
    await_warning(&mesh, "overlaps an internal or mesh address of node `b1`");
    assert_nothing_left_the_mesh(&mesh, addresses);
}

#[test]
fn a_name_that_an_agent_advertises_takes_no_packet_out_of_the_mesh() {
    let mesh = mesh_with_forger();
    let addresses = [mesh.pod_address("b1-pod1", Family::V4), mesh.internal_address("b1", Family::V4)];
    let lines = addresses.map(|address| format!("{address} forged.example\n")).concat();
    let node = mesh.node("a1").unwrap();
    node.give_file("hosts", &lines).unwrap();
    node.exec(&["mount", "--bind", "/run/lab/hosts", "/etc/hosts"]).unwrap();
    node.exec(&["getent", "hosts", "forged.example"]).unwrap();
    mesh.kubernetes().annotate("c1", "carrick.dev/advertised-endpoints", Some("forged.example:51820")).unwrap();
    await_warning(&mesh, "advertised-endpoints `forged.example:51820` cannot be parsed");
    assert_nothing_left_the_mesh(&mesh, addresses);
}
