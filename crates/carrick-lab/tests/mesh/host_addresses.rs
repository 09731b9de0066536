//! A host whose addresses change while its agent runs.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use carrick_lab::address::Family;
use carrick_lab::wait;
use serde_json::Value;

use crate::mesh::Mesh;

/// How long a new address may take from the kernel's notification to the Node, on a machine that runs other tests.
const PUBLICATION_LIMIT: Duration = Duration::from_secs(20);

fn published(mesh: &Mesh, node: &str) -> String {
    let node = mesh.kubernetes().node(node).unwrap();
    let annotations = ["advertised-endpoints", "advertised-internal-addresses"].map(|key| {
        node["metadata"]["annotations"][format!("carrick.dev/{key}")].as_str().unwrap_or_default().to_owned()
    });
    annotations.join(" ")
}

/// The device and the prefix length of an address of a node.
fn carrier(mesh: &Mesh, node: &str, address: IpAddr) -> (String, u64) {
    let listed = mesh.node_namespaces(node).exec(&["ip", "-json", "address", "show"]).unwrap();
    let devices: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let of_device = |device: &Value| {
        let own = device["addr_info"].as_array().unwrap().iter().find(|own| own["local"] == address.to_string())?;
        Some((device["ifname"].as_str().unwrap().to_owned(), own["prefixlen"].as_u64().unwrap()))
    };
    devices.iter().find_map(of_device).unwrap()
}

#[test]
fn an_address_that_ends_is_replaced_at_once_and_a_virtual_one_never_takes_its_place() {
    let mesh = Mesh::up("locations: [{name: a, nodes: [{name: a1}]}, {name: b, nodes: [{name: b1}]}]");
    mesh.all_reach();
    let flow = mesh.flow("a1-pod1", "b1-pod1", Family::V6);
    let old = mesh.node("a1").unwrap().layout().public.v6.unwrap();
    let (device, length) = carrier(&mesh, "a1", old.into());
    let beside = |number: u128| Ipv6Addr::from_bits(old.to_bits() ^ number);
    let (virtual_address, new) = (beside(0x100), beside(0x200));
    let ip = |verb: &str, address: Ipv6Addr, rest: &[&str]| {
        let net = format!("{address}/{length}");
        let command = ["ip", "-6", "address", verb, &net, "dev", &device, "nodad"];
        mesh.node_namespaces("a1").exec(&[&command[..], rest].concat()).unwrap();
    };
    assert!(published(&mesh, "a1").contains(&old.to_string()), "{}", published(&mesh, "a1"));

    ip("add", virtual_address, &["preferred_lft", "0"]);
    ip("add", new, &[]);
    let began = Instant::now();
    ip("change", old, &["preferred_lft", "0"]);
    wait::until("the next address", || {
        let published = published(&mesh, "a1");
        Ok((published.contains(&new.to_string()) && !published.contains(&format!("[{old}]"))).then_some(()))
    })
    .unwrap();
    let took = began.elapsed();
    eprintln!("published after {} ms", took.as_millis());
    assert!(took < PUBLICATION_LIMIT, "{took:?}");
    assert!(!published(&mesh, "a1").contains(&virtual_address.to_string()), "{}", published(&mesh, "a1"));

    flow.await_answers(100).unwrap();
    let report = flow.stop().unwrap();
    assert!(report.lost.is_empty(), "{report:?}");
    mesh.all_reach();
}
