//! The Kubernetes API as nodes see it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use carrick_lab::Lab;
use carrick_lab::namespace::Namespaces;
use carrick_test_apiserver::proxy::Mode;
use serde_json::json;

use crate::lab;

const LOCATIONS: &str = "
    - {name: a, nodes: [{name: a1, annotations: {carrick.dev/gateway: never}, labels: {disk: ssd}}]}
    - {name: six, families: v6, nodes: [{name: s1}]}
    - {name: home, router: nat, families: v4, nodes: [{name: h1}]}";

#[test]
fn nodes_are_registered_as_kubelets_do() {
    let lab = lab(LOCATIONS);
    let a1 = lab.kubernetes().node("a1").unwrap();
    assert_eq!(
        a1["status"]["addresses"],
        json!([
            { "type": "InternalIP", "address": "10.10.0.11" },
            { "type": "InternalIP", "address": "fd00:10::11" },
            { "type": "ExternalIP", "address": "198.51.100.2" },
            { "type": "ExternalIP", "address": "2001:db8:10::11" },
            { "type": "Hostname", "address": "a1" },
        ])
    );
    assert_eq!(a1["spec"]["podCIDRs"], json!(["10.42.1.0/24", "fd42:0:0:1::/64"]));
    assert_eq!(a1["metadata"]["labels"]["topology.kubernetes.io/region"], "a");
    assert_eq!(a1["metadata"]["labels"]["disk"], "ssd");
    assert_eq!(a1["metadata"]["annotations"]["carrick.dev/gateway"], "never");

    lab.kubernetes().annotate("a1", "carrick.dev/gateway", None).unwrap();
    lab.kubernetes().annotate("a1", "carrick.dev/relay", Some("never")).unwrap();
    let annotations = lab.kubernetes().node("a1").unwrap()["metadata"]["annotations"].clone();
    assert_eq!(annotations, json!({ "carrick.dev/relay": "never" }));
    lab.kubernetes().delete_node("a1").unwrap();
    lab.kubernetes().node("a1").unwrap_err();
}

#[test]
fn each_node_reaches_the_api_through_a_proxy_of_its_own() {
    let lab = lab(LOCATIONS);
    let names = ["a1", "h1", "s1"];
    for name in names {
        assert!(asks(&lab, name), "{name} does not reach the API");
    }
    lab.kubernetes().set("h1", Mode::Cut).unwrap();
    assert_eq!(names.map(|name| asks(&lab, name)), [true, false, true]);
    lab.kubernetes().set_all(Mode::Cut);
    assert_eq!(names.map(|name| asks(&lab, name)), [false; 3]);
    lab.kubernetes().set_all(Mode::Pass);
    assert_eq!(names.map(|name| asks(&lab, name)), [true; 3]);
}

/// Whether a node gets its own Node object, at the address that its kubeconfig names.
fn asks(lab: &Lab, name: &str) -> bool {
    let node = lab.node(name).unwrap();
    let kubeconfig = node.exec(&["cat", "/run/lab/kubeconfig"]).unwrap();
    let (_, rest) = kubeconfig.split_once("http://").unwrap();
    let address: SocketAddr = rest.split('"').next().unwrap().parse().unwrap();
    let body = get(&node.namespaces().unwrap(), address, &format!("/api/v1/nodes/{name}"));
    body.is_ok_and(|body| body.contains("podCIDRs"))
}

fn get(node: &Namespaces, address: SocketAddr, path: &str) -> anyhow::Result<String> {
    node.enter(|| {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: api\r\n\r\n")?;
        let mut body = String::new();
        stream.read_to_string(&mut body)?;
        Ok(body)
    })
}

#[test]
fn a_real_api_server_stands_in_the_same_place() {
    let topology = format!("kubernetes: apiserver\nagent: {{start: false}}\nlocations: {LOCATIONS}");
    let lab = Lab::up(&carrick_lab::Topology::parse(&topology).unwrap()).unwrap();
    let a1 = lab.kubernetes().node("a1").unwrap();
    assert_eq!(a1["spec"]["podCIDRs"], json!(["10.42.1.0/24", "fd42:0:0:1::/64"]));
    assert_eq!(a1["status"]["addresses"][0]["address"], "10.10.0.11");
    lab.kubernetes().annotate("a1", "carrick.dev/relay", Some("never")).unwrap();
    let annotations = lab.kubernetes().node("a1").unwrap()["metadata"]["annotations"].clone();
    assert_eq!(annotations["carrick.dev/relay"], "never");
    let kubeconfig = lab.node("h1").unwrap().exec(&["cat", "/run/lab/kubeconfig"]).unwrap();
    assert!(kubeconfig.contains("https://203.0.113.10:"), "{kubeconfig}");
    lab.kubernetes().delete_node("a1").unwrap();
    lab.kubernetes().node("a1").unwrap_err();
}
