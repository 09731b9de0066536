//! Clients in the internet, outside the mesh: NodePort Services, and load balancers' addresses at public nodes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use carrick_lab::cluster::services::{fetch, is_megabyte};
use carrick_lab::{Lab, wait};
use serde_json::{Value, json};

use crate::kubectl;

/// How long kube-proxy may take to learn of a Service.
const PATIENCE: Duration = Duration::from_secs(60);
/// The port of the Services.
const LOAD_BALANCER_PORT: u16 = 80;

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: NAME, namespace: default}
spec:
  type: LoadBalancer
  externalTrafficPolicy: POLICY
  ipFamilyPolicy: RequireDualStack
  selector: {app: echo-LOCATION}
  ports: [{port: 80, targetPort: 8080}]
";

pub fn node_ports_answer_from_outside(lab: &Lab) {
    for location in &lab.topology().locations {
        let port = expose(lab, &format!("outside-{}", location.name), "Cluster", &location.name);
        for node in lab.nodes() {
            ask(lab, node.name(), port);
        }
        // The next Service has the same addresses.
        kubectl(lab, &["delete", "service", &format!("outside-{}", location.name)]);
    }
}

/// With `externalTrafficPolicy: Local`, a node answers for its own pods alone, and the pods see the client's address.
pub fn a_local_service_shows_its_clients(lab: &Lab) {
    let name = "outside-local";
    let port = expose(lab, name, "Local", "cloud-a");
    let path = "--output=jsonpath={.spec.healthCheckNodePort}";
    let health: u16 = kubectl(lab, &["get", "service", name, path]).parse().unwrap();
    let internet = lab.internet().namespaces();
    for node in ["a1", "a2"] {
        ask(lab, node, port);
        for address in public(lab, node) {
            for port in [port, LOAD_BALANCER_PORT] {
                let (body, _) = fetch(internet, SocketAddr::new(address, port), "/cgi-bin/client").unwrap();
                let seen = String::from_utf8(body).unwrap();
                let seen: IpAddr = seen.trim().trim_matches(['[', ']']).parse().unwrap();
                assert_eq!(seen.to_canonical(), own_address(lab, address), "{node} {address}:{port}");
            }
            fetch(internet, SocketAddr::new(address, health), "/").unwrap();
        }
    }
    for node in ["b1", "b2"] {
        for address in public(lab, node) {
            await_refusal(lab, SocketAddr::new(address, health));
        }
        // kube-proxy drops what it has no backend for, so each of these waits until it gives up.
        let address = public(lab, node)[0];
        assert!(fetch(internet, SocketAddr::new(address, port), "/node").is_err(), "{node} has no backend");
    }
    kubectl(lab, &["delete", "service", name]);
}

/// Waits until a health check reports no backend.
fn await_refusal(lab: &Lab, health: SocketAddr) {
    wait::until("kube-proxy to refuse", || {
        let refusal = fetch(lab.internet().namespaces(), health, "/").err().map(|error| format!("{error:#}"));
        Ok(refusal.filter(|refusal| refusal.contains("503")))
    })
    .unwrap();
}

/// A node's public addresses.
fn public(lab: &Lab, node: &str) -> Vec<IpAddr> {
    lab.node(node).unwrap().layout().public.list()
}

/// The source address of requests from the internet to an address.
fn own_address(lab: &Lab, target: IpAddr) -> IpAddr {
    let source = || {
        let unspecified =
            if target.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((unspecified, 0))?;
        socket.connect((target, 9))?;
        Ok(socket.local_addr()?.ip())
    };
    lab.internet().namespaces().enter(source).unwrap()
}

/// Transfers a megabyte from each public address of a node: at the NodePort, and at a load balancer's address, which is the node's own.
fn ask(lab: &Lab, node: &str, port: u16) {
    let internet = lab.internet().namespaces();
    for address in public(lab, node) {
        for port in [port, LOAD_BALANCER_PORT] {
            let address = SocketAddr::new(address, port);
            let deadline = Instant::now() + PATIENCE;
            let fetched = wait::until("kube-proxy to serve the port", || match fetch(internet, address, "/megabyte") {
                Ok((body, _)) => Ok(Some(body)),
                Err(error) if Instant::now() > deadline => Err(error),
                Err(_not_yet) => Ok(None),
            });
            let body = fetched.unwrap_or_else(|error| panic!("{node} {address}: {error:#}"));
            assert!(is_megabyte(&body), "{node} {address}: {} bytes", body.len());
        }
    }
}

/// Creates a Service with the public addresses of its nodes, as a cloud's controller does. Returns its NodePort.
fn expose(lab: &Lab, name: &str, policy: &str, location: &str) -> u16 {
    let file = lab.state().path().join(format!("{name}.yaml"));
    let manifest = SERVICE.replace("NAME", name).replace("POLICY", policy).replace("LOCATION", location);
    std::fs::write(&file, manifest).unwrap();
    kubectl(lab, &["apply", "--filename", &file.to_string_lossy()]);
    let addresses: Vec<Value> = lab
        .nodes()
        .flat_map(|node| node.layout().public.list())
        .map(|address| json!({ "ip": address.to_string(), "ipMode": "VIP" }))
        .collect();
    let status = json!({ "status": { "loadBalancer": { "ingress": addresses } } }).to_string();
    kubectl(lab, &["patch", "service", name, "--subresource=status", "--type=merge", "--patch", &status]);
    kubectl(lab, &["get", "service", name, "--output=jsonpath={.spec.ports[0].nodePort}"]).parse().unwrap()
}
