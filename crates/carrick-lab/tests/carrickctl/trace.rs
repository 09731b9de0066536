//! `carrickctl trace`: its hops, compared with packet captures.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use carrick_lab::capture::Capture;
use carrick_lab::matrix::Endpoint;
use carrick_lab::ping;

use crate::ctl::ask;
use crate::mesh::Mesh;

/// Two open locations, and two behind symmetric NAT that meet at a relay.
const RELAYED: &str = "
agent: {flags: ['--standby-gateways=0']}
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}]}
  - {name: b, nodes: [{name: b1}, {name: b2}]}
  - {name: cafe, router: symmetric, nodes: [{name: c1, annotations: {carrick.dev/persistent-keepalive: '25'}}]}
  - {name: hotel, router: symmetric, nodes: [{name: h1, annotations: {carrick.dev/persistent-keepalive: '25'}}]}
";

/// The time after which an answer counts as lost.
const LATE: Duration = Duration::from_secs(5);

/// The sending node, and the outgoing device.
type Sent = (String, String);

#[test]
fn every_pair_of_pods_takes_the_path_that_trace_shows() {
    let mesh = Mesh::up(RELAYED);
    mesh.all_reach();
    let pods = mesh.pods_only();
    let pairs = pairs(&pods);
    let captures: Vec<_> = mesh
        .nodes()
        .map(|node| {
            (node.name().to_owned(), Capture::start(&node.namespaces().unwrap(), "any", "icmp or icmp6").unwrap())
        })
        .collect();
    for (from, _, destination) in &pairs {
        let answer = ping::once(&from.namespaces, *destination, LATE).unwrap();
        assert!(answer.is_some(), "{} to {destination}", from.name);
    }
    let seen: Vec<(String, Vec<String>)> =
        captures.into_iter().map(|(node, capture)| (node, capture.stop().unwrap())).collect();

    let mut relayed = 0;
    for (from, source, destination) in &pairs {
        let said = ask(&mesh, &["trace", &source.to_string(), &destination.to_string(), "-o", "json"]).json();
        let path = &said["paths"][0];
        assert_eq!(path["arrives"], true, "{} to {destination}: {said}", from.name);
        let hops = path["hops"].as_array().unwrap();
        let told: BTreeSet<Sent> = hops.iter().map(|hop| (text(&hop["from"]), text(&hop["device"]))).collect();
        assert_eq!(told, captured(&seen, *source, *destination), "{source} to {destination}");
        relayed += usize::from(hops.iter().filter(|hop| hop["link"] == "wireguard").count() == 2);
    }
    assert_eq!(relayed, 4, "cafe and hotel meet at a relay, in both directions and families");
    assert_eq!(pairs.len(), 6 * 5 * 2);

    let table = ask(&mesh, &["trace", "a2", &pods[3].addresses.list()[0].to_string()]);
    assert!(table.code == 0 && table.out.contains("carrick-vx  vxlan"), "{table:?}");
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn pairs(pods: &[Endpoint]) -> Vec<(&Endpoint, IpAddr, IpAddr)> {
    let mut pairs = Vec::new();
    for from in pods {
        for to in pods.iter().filter(|to| to.name != from.name) {
            for source in from.addresses.list() {
                let same_family = |address: &IpAddr| address.is_ipv4() == source.is_ipv4();
                pairs.extend(
                    to.addresses.list().into_iter().filter(same_family).map(|destination| (from, source, destination)),
                );
            }
        }
    }
    pairs
}

/// The nodes and Carrick's devices by which requests from one address to another left.
fn captured(seen: &[(String, Vec<String>)], source: IpAddr, destination: IpAddr) -> BTreeSet<Sent> {
    let addresses = format!(" {source} > {destination}: ");
    let mut sent = BTreeSet::new();
    for (node, lines) in seen {
        for line in lines.iter().filter(|line| line.contains(&addresses) && line.contains("echo request")) {
            let words: Vec<_> = line.split_whitespace().collect();
            if let [_, device @ ("carrick0" | "carrick-vx"), "Out", ..] = words[..] {
                sent.insert((node.clone(), device.to_owned()));
            }
        }
    }
    sent
}
