//! Two gateways and what is behind them: packets of full size go packed while traffic moves, and plain before and after.
//!
//! ```text
//! client 10.42.1.5 ── near 10.4.0.1 ══ carrick0 ══ far 10.4.0.2 ── server 10.42.2.5
//! ```
//!
//! The same in IPv6. A virtual cable stands for the tunnel, so that what goes through it can be counted.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../firewall/namespace.rs"]
#[expect(dead_code, reason = "shared with the tests that need all of it")]
mod namespace;
#[path = "../kernel/plans.rs"]
#[expect(dead_code, reason = "shared with the tests that need all of it")]
mod plans;
#[path = "../firewall/wiring.rs"]
mod wiring;

use carrick_dataplane::Handover;
use carrick_topology::model::MacAddress;
use carrick_topology::plan::{HandoverPlan, NextHop, NodePlan, Route};
use namespace::{Namespace, is_silent, source_seen};
use wiring::{Pair, connect, give, in_both};

const CLIENT: Pair = Pair("10.42.1.5", "fd42:1::5");
const NEAR: Pair = Pair("10.4.0.1", "fdca::1");
const FAR: Pair = Pair("10.4.0.2", "fdca::2");
const SERVER: Pair = Pair("10.42.2.5", "fd42:2::5");
/// What the tunnel takes, in bytes.
const TUNNEL_MTU: usize = 1420;
/// Headers of IPv4 and of IPv6, each with UDP's.
const HEADERS: [usize; 2] = [20 + 8, 40 + 8];
/// A path that the kernel has found to be narrow shows with the second packet.
const ROUNDS: u64 = 3;

struct Mesh {
    client: Namespace,
    near: Namespace,
    far: Namespace,
    server: Namespace,
    packing: Handover,
    unpacking: Handover,
}

impl Mesh {
    fn new() -> Self {
        let [client, near, far, server] = std::array::from_fn(|_| Namespace::new());
        connect(&near, "pods", &client, "eth0");
        connect(&far, "pods", &server, "eth0");
        connect(&near, "carrick0", &far, "carrick0");
        for (end, addresses) in [(&client, CLIENT), (&server, SERVER)] {
            give(end, "eth0", &[addresses]);
            end.ip("route add default dev eth0\nroute add ::/0 dev eth0");
        }
        for (gateway, own, other, behind, beyond) in
            [(&near, NEAR, FAR, CLIENT, SERVER), (&far, FAR, NEAR, SERVER, CLIENT)]
        {
            gateway.sysctl("ipv4/ip_forward", "1");
            gateway.sysctl("ipv6/conf/all/forwarding", "1");
            // Devices that are made from now on are strict, as on many hosts.
            gateway.sysctl("ipv4/conf/all/rp_filter", "1");
            gateway.sysctl("ipv4/conf/default/rp_filter", "1");
            gateway.ip(&format!("link set carrick0 mtu {TUNNEL_MTU}"));
            give(gateway, "carrick0", &[own]);
            for family in ["-4", "-6"] {
                gateway.command("ip", &[family, "rule", "add", "priority", "1107", "table", "1107"], "");
            }
            for ((behind, other), (own, beyond)) in in_both(behind, other).into_iter().zip(in_both(own, beyond)) {
                gateway.ip(&format!(
                    "route add {behind} dev pods\n\
                     route add {other} dev carrick0 src {own} table 1107\n\
                     route add {beyond} dev carrick0 src {own} table 1107"
                ));
            }
        }
        let open = |gateway: &Namespace| gateway.run(|| Handover::open().unwrap());
        let (packing, unpacking) = (open(&near), open(&far));
        Self { client, near, far, server, packing, unpacking }
    }

    fn apply(&mut self) {
        self.far.run(|| self.unpacking.apply(&unpacks()).unwrap());
        self.near.run(|| self.packing.apply(&packs()).unwrap());
    }

    /// Sends packets that fill the tunnel from the client to the server.
    fn send_full_size(&self) {
        for ((client, server), headers) in in_both(CLIENT, SERVER).into_iter().zip(HEADERS) {
            let (sender, receiver) = (self.client.socket(client), self.server.socket(server));
            let payload = vec![7; TUNNEL_MTU - headers];
            for _ in 0..ROUNDS {
                sender.send_to(&payload, receiver.local_addr().unwrap()).unwrap();
                let mut buffer = [0; 2048];
                let (length, from) = receiver.recv_from(&mut buffer).expect("a packet of full size arrives");
                assert_eq!((&buffer[..length], from), (&payload[..], sender.local_addr().unwrap()));
            }
        }
    }
}

/// Packets that the device has received.
fn received(gateway: &Namespace, device: &str) -> u64 {
    let statistics = gateway.command("ip", &["-s", "link", "show", "dev", device], "");
    let counts = statistics.lines().skip_while(|line| !line.contains("RX:")).nth(1).unwrap();
    counts.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn packs() -> NodePlan {
    plan_of(NEAR, Some(HandoverPlan { senders: [].into(), ..plans::handover() }))
}

fn unpacks() -> NodePlan {
    let handover = HandoverPlan {
        mac: MacAddress::of_node(&plans::name("far")),
        receivers: [].into(),
        senders: [(plans::name("me"), plans::sender(NEAR.0))].into(),
        routes: Vec::new(),
        ..plans::handover()
    };
    plan_of(FAR, Some(handover))
}

fn plan_of(mesh: Pair, handover: Option<HandoverPlan>) -> NodePlan {
    let source = Some(plans::ip(mesh.0));
    let route = |other| Route { destination: plans::ip(other).into(), next_hop: NextHop::WireGuard, source, mtu: None };
    let routes = [NEAR.0, FAR.0].into_iter().filter(|other| *other != mesh.0).map(route).collect();
    NodePlan { handover, routes, mesh_addresses: mesh.both().map(plans::ip).into(), ..plans::alone() }
}

#[test]
fn packets_of_full_size_pass_before_during_and_after() {
    let mut mesh = Mesh::new();
    mesh.send_full_size();

    mesh.apply();
    mesh.send_full_size();
    assert_eq!(received(&mesh.far, "carrick-ho"), 2 * ROUNDS, "each came packed, and whole");
    let plain_before = received(&mesh.far, "carrick0");

    for ((near, far), server) in in_both(NEAR, FAR).into_iter().zip(SERVER.both()) {
        let sender = mesh.near.socket(near);
        source_seen(&sender, &mesh.far.socket(far));
        source_seen(&sender, &mesh.server.socket(server));
    }
    assert_eq!(received(&mesh.far, "carrick-ho"), 2 * ROUNDS, "the gateway's own go plain");
    assert_eq!(received(&mesh.far, "carrick0") - plain_before, 4);

    mesh.near.run(|| mesh.packing.apply(&plan_of(NEAR, None)).unwrap());
    mesh.send_full_size();
    assert_eq!(received(&mesh.far, "carrick-ho"), 2 * ROUNDS, "plain again, while the far end still unpacks");
    mesh.far.run(|| mesh.unpacking.apply(&plan_of(FAR, None)).unwrap());
    mesh.send_full_size();
    for gateway in [&mesh.near, &mesh.far] {
        let left = ["link", "rule", "-6 rule", "route show table all", "-6 route show table all"]
            .map(|what| gateway.command("ip", &what.split(' ').collect::<Vec<_>>(), ""));
        assert!(!left.iter().any(|left| left.contains("carrick-ho") || left.contains("proto 109")), "{left:?}");
    }
}

#[test]
fn without_routes_of_their_own_for_outer_packets_ipv6_learns_it_in_spite_of_the_lock() {
    let mut mesh = Mesh::new();
    mesh.apply();
    mesh.near.ip("rule delete priority 1105");
    let (sender, receiver) = (mesh.client.socket(CLIENT.1), mesh.server.socket(SERVER.1));
    let payload = [7; TUNNEL_MTU - HEADERS[1]];
    sender.send_to(&payload, receiver.local_addr().unwrap()).unwrap();
    receiver.recv_from(&mut [0; 2048]).unwrap();
    sender.send_to(&payload, receiver.local_addr().unwrap()).unwrap();
    assert!(is_silent(&receiver), "the second is refused on the way");
}
