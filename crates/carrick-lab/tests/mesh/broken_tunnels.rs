//! One tunnel between two gateways is broken, and all others work.

use std::net::SocketAddr;
use std::time::Duration;

use carrick_lab::address::Family;
use carrick_lab::flow::Flow;
use carrick_lab::wait;
use serde_json::json;

use crate::failover::{await_down, await_paths};
use crate::mesh::Mesh;

/// Two clouds of two gateways; one of them has a node behind its gateways.
const GATEWAYS: &str = "
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}, {name: a3}]}
  - {name: b, nodes: [{name: b1}, {name: b2}]}
";

/// Which packets of the tunnel are lost, as `a1` sees it.
#[derive(Clone, Copy)]
enum Lost {
    Sent,
    Both,
}

/// Far more than the pauses on a quiet machine, which `docs/numbers.md` has: a pair that is cut off for good fails the test.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

fn break_tunnel(mesh: &Mesh, lost: Lost) {
    let peers = mesh.status("a1")["plan"]["wireguard"]["peers"].clone();
    let to_b1 = peers.as_object().unwrap().values().find(|peer| peer["identity"] == json!({"node": "b1"}));
    let endpoint: SocketAddr = to_b1.unwrap()["endpoint"].as_str().unwrap().parse().unwrap();
    let (family, address) = (if endpoint.is_ipv4() { "ip" } else { "ip6" }, endpoint.ip());
    let sent = format!("chain sent {{ type filter hook output priority 300; {family} daddr {address} drop; }}\n");
    let received =
        format!("chain received {{ type filter hook prerouting priority -400; {family} saddr {address} drop; }}\n");
    let chains = match lost {
        Lost::Sent => sent,
        Lost::Both => format!("{sent}{received}"),
    };
    mesh.node_namespaces("a1").exec(&["nft", &format!("table inet broken {{\n{chains}}}\n")]).unwrap();
}

fn survives(lost: Lost) {
    let mesh = Mesh::up(GATEWAYS);
    mesh.all_reach();
    await_paths(&mesh);
    let flows = || -> Vec<(&str, &str, Flow)> {
        let pairs = [
            ("a1-pod1", "b1-pod1", Family::V4),
            ("b1-pod1", "a1-pod1", Family::V6),
            ("a3-pod1", "b1-pod1", Family::V4),
            ("b1-pod1", "a3-pod1", Family::V6),
            ("b2-pod1", "a1-pod1", Family::V4),
        ];
        let flows: Vec<_> = pairs.map(|(from, to, family)| (from, to, mesh.flow(from, to, family))).into();
        Flow::await_answers_of_all(flows.iter().map(|(.., flow)| flow), 50).unwrap();
        flows
    };
    let pauses = |flows: Vec<(&str, &str, Flow)>| {
        Flow::await_answers_of_all(flows.iter().map(|(.., flow)| flow), 200).unwrap();
        for (from, to, flow) in flows {
            let report = flow.stop().unwrap();
            eprintln!("{from} to {to}: {} sent, {} lost, {:?}", report.sent, report.lost.len(), report.longest_silence);
            assert!(report.longest_silence < LONGEST_PAUSE, "{from} to {to}: {:?}", report.longest_silence);
        }
    };

    let running = flows();
    break_tunnel(&mesh, lost);
    await_down(&mesh, &["a1"], &["b1"]);
    await_down(&mesh, &["b1"], &["a1"]);
    await_down(&mesh, &["a2", "a3", "b2"], &[]);
    pauses(running);
    assert_eq!(mesh.status("a1")["liveness"]["bypassed"], json!(["b1"]));

    let running = flows();
    mesh.node_namespaces("a1").exec(&["nft", "delete table inet broken"]).unwrap();
    await_down(&mesh, &["a1", "b1"], &[]);
    wait::until("the end of the handover", || Ok(mesh.status("a1")["liveness"]["returning"].is_null().then_some(())))
        .unwrap();
    pauses(running);
    mesh.all_endpoints_reach_each_other();
}

#[test]
fn a_tunnel_between_two_active_gateways_that_is_broken_both_ways() {
    survives(Lost::Both);
}

#[test]
fn a_tunnel_between_two_active_gateways_that_is_broken_one_way() {
    survives(Lost::Sent);
}
