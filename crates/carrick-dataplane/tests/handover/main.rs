//! Two gateways with a host behind each: packets of full size go encapsulated during a handover, and plain before and after.
//!
//! ```text
//! client 10.42.1.5 ── near 10.4.0.1 ══ carrick0 ══ far 10.4.0.2 ── server 10.42.2.5
//! ```
//!
//! The same with IPv6. A virtual cable takes the place of the tunnel, so that its packets can be counted. If the kernel has WireGuard, the
//! tunnel is a real one.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../firewall/namespace.rs"]
#[expect(dead_code, reason = "shared with the tests that need all of it")]
mod namespace;
#[path = "../kernel/plans.rs"]
#[expect(dead_code, reason = "shared with the tests that need all of it")]
mod plans;
#[path = "../firewall/wiring.rs"]
mod wiring;

use carrick_dataplane::HandoverDataplane;
use carrick_topology::handover::HandoverPlan;
use carrick_topology::model::mac_of_node;
use carrick_topology::plan::{NextHop, NodePlan, Route};
use namespace::{Namespace, is_silent, source_seen};
use wiring::{Pair, connect, give, in_both};

const CLIENT: Pair = Pair("10.42.1.5", "fd42:1::5");
const NEAR: Pair = Pair("10.4.0.1", "fdca::1");
const FAR: Pair = Pair("10.4.0.2", "fdca::2");
const SERVER: Pair = Pair("10.42.2.5", "fd42:2::5");
/// MTU of the tunnel in bytes.
const TUNNEL_MTU: usize = 1420;
/// The headers of IPv4 and IPv6, each with that of UDP, in bytes.
const HEADERS: [usize; 2] = [20 + 8, 40 + 8];
/// The path MTU that the kernel learns from the first packet affects the second one.
const ROUNDS: u64 = 3;

/// The tunnel between the gateways.
#[derive(Clone, Copy)]
enum Tunnel {
    Cable,
    /// The far end accepts the client's address only from a third gateway, which does not exist.
    WireGuard,
}

impl Tunnel {
    fn connect(self, near: &Namespace, far: &Namespace) {
        match self {
            Self::Cable => connect(near, "carrick0", far, "carrick0"),
            Self::WireGuard => connect_wireguard(near, far),
        }
    }
}

/// Private keys of the near gateway, the far gateway, and one that does not exist: 32 bytes each.
const KEYS: [&str; 3] = [
    "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
    "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
    "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=",
];

fn public_keys(namespace: &Namespace) -> [String; 3] {
    KEYS.map(|key| namespace.command("wg", &["pubkey"], key).trim().to_owned())
}

fn connect_wireguard(near: &Namespace, far: &Namespace) {
    connect(near, "uplink", far, "uplink");
    let [near_key, far_key, absent_key] = public_keys(near);
    let [near_nets, far_nets] = [NEAR, FAR].map(|mesh| format!("{}/32,{}/128", mesh.0, mesh.1));
    let [clients, servers] = [1, 2].map(|number| format!("10.42.{number}.0/24,fd42:{number}::/64"));
    near.ip("address add 192.0.2.1/24 dev uplink");
    far.ip("address add 192.0.2.2/24 dev uplink");
    let set = |gateway: &Namespace, private_key: &str, peers: &str| {
        gateway.ip("link add carrick0 type wireguard");
        let device = "set carrick0 listen-port 51820 private-key /dev/stdin ";
        let arguments: Vec<&str> = device.split_whitespace().chain(peers.split_whitespace()).collect();
        gateway.command("wg", &arguments, private_key);
        gateway.ip("link set carrick0 up");
    };
    let of_near = format!("peer {far_key} endpoint 192.0.2.2:51820 allowed-ips {far_nets},{servers}");
    set(near, KEYS[0], &of_near);
    let from_near = format!("peer {near_key} endpoint 192.0.2.1:51820 allowed-ips {near_nets}");
    set(far, KEYS[1], &format!("{from_near} peer {absent_key} allowed-ips {clients}"));
}

struct Mesh {
    client: Namespace,
    near: Namespace,
    far: Namespace,
    server: Namespace,
    encapsulating: HandoverDataplane,
    decapsulating: HandoverDataplane,
}

impl Mesh {
    fn new() -> Self {
        Self::over(Tunnel::Cable)
    }

    fn over(tunnel: Tunnel) -> Self {
        let [client, near, far, server] = std::array::from_fn(|_| Namespace::new());
        connect(&near, "pods", &client, "eth0");
        connect(&far, "pods", &server, "eth0");
        tunnel.connect(&near, &far);
        for (end, addresses) in [(&client, CLIENT), (&server, SERVER)] {
            give(end, "eth0", &[addresses]);
            end.ip("route add default dev eth0\nroute add ::/0 dev eth0");
        }
        for (gateway, own, other, behind, beyond) in
            [(&near, NEAR, FAR, CLIENT, SERVER), (&far, FAR, NEAR, SERVER, CLIENT)]
        {
            gateway.sysctl("ipv4/ip_forward", "1");
            gateway.sysctl("ipv6/conf/all/forwarding", "1");
            // New devices have a strict reverse-path filter, as on many hosts.
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
        count_datagrams(&far);
        let open = |gateway: &Namespace| gateway.run(|| HandoverDataplane::open().unwrap());
        let (encapsulating, decapsulating) = (open(&near), open(&far));
        Self { client, near, far, server, encapsulating, decapsulating }
    }

    fn apply(&mut self) {
        self.far.run(|| self.decapsulating.apply(&decapsulates()).unwrap());
        self.near.run(|| self.encapsulating.apply(&encapsulates()).unwrap());
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

/// The devices whose datagrams the far gateway counts.
const COUNTED: [&str; 2] = ["carrick0", "carrick-ho"];

/// Counts UDP datagrams by device: the kernel also sends neighbour discovery and multicast reports, whenever it likes.
fn count_datagrams(gateway: &Namespace) {
    let rule =
        |device| format!("add rule inet test datagrams iifname {device} meta l4proto udp counter comment {device};");
    let chain = "add table inet test; add chain inet test datagrams { type filter hook prerouting priority -400; };";
    gateway.command("nft", &[&format!("{chain}{}", COUNTED.map(rule).concat())], "");
}

/// UDP datagrams that came in by the device.
fn received(gateway: &Namespace, device: &str) -> u64 {
    let rules = gateway.command("nft", &["list", "chain", "inet", "test", "datagrams"], "");
    let rule = rules.lines().find(|rule| rule.contains(&format!("\"{device}\" "))).unwrap();
    let (_, count) = rule.split_once("packets ").unwrap();
    count.split_whitespace().next().unwrap().parse().unwrap()
}

fn encapsulates() -> NodePlan {
    plan_of(NEAR, Some(HandoverPlan { senders: [].into(), ..plans::handover() }))
}

fn decapsulates() -> NodePlan {
    let handover = HandoverPlan {
        mac: mac_of_node(&plans::name("far")),
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
    assert_eq!(received(&mesh.far, "carrick-ho"), 2 * ROUNDS, "each arrived encapsulated and unfragmented");
    let plain_before = received(&mesh.far, "carrick0");

    for ((near, far), server) in in_both(NEAR, FAR).into_iter().zip(SERVER.both()) {
        let sender = mesh.near.socket(near);
        source_seen(&sender, &mesh.far.socket(far));
        source_seen(&sender, &mesh.server.socket(server));
    }
    assert_eq!(received(&mesh.far, "carrick-ho"), 2 * ROUNDS, "the gateway's own packets are plain");
    assert_eq!(received(&mesh.far, "carrick0") - plain_before, 4);

    mesh.near.run(|| mesh.encapsulating.apply(&plan_of(NEAR, None)).unwrap());
    mesh.send_full_size();
    assert_eq!(received(&mesh.far, "carrick-ho"), 2 * ROUNDS, "plain again, while the far end still decapsulates");
    mesh.far.run(|| mesh.decapsulating.apply(&plan_of(FAR, None)).unwrap());
    mesh.send_full_size();
    for gateway in [&mesh.near, &mesh.far] {
        let left = ["link", "rule", "-6 rule", "route show table all", "-6 route show table all"]
            .map(|what| gateway.command("ip", &what.split(' ').collect::<Vec<_>>(), ""));
        assert!(!left.iter().any(|left| left.contains("carrick-ho") || left.contains("proto 109")), "{left:?}");
    }
}

#[test]
fn without_routes_for_outer_packets_the_kernel_lowers_a_locked_ipv6_mtu() {
    let mut mesh = Mesh::new();
    mesh.apply();
    mesh.near.ip("rule delete priority 1105");
    let (sender, receiver) = (mesh.client.socket(CLIENT.1), mesh.server.socket(SERVER.1));
    let payload = [7; TUNNEL_MTU - HEADERS[1]];
    sender.send_to(&payload, receiver.local_addr().unwrap()).unwrap();
    receiver.recv_from(&mut [0; 2048]).unwrap();
    sender.send_to(&payload, receiver.local_addr().unwrap()).unwrap();
    assert!(is_silent(&receiver), "the second packet is dropped");
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh dataplane"]
fn encapsulated_packets_pass_although_wireguard_accepts_their_source_from_another_peer() {
    let mut mesh = Mesh::over(Tunnel::WireGuard);
    let is_refused = |mesh: &Mesh| {
        in_both(CLIENT, SERVER).map(|(client, server)| {
            let receiver = mesh.server.socket(server);
            mesh.client.socket(client).send_to(b"plain", receiver.local_addr().unwrap()).unwrap();
            is_silent(&receiver)
        })
    };
    assert_eq!(is_refused(&mesh), [true; 2]);

    mesh.apply();
    mesh.send_full_size();
    assert_eq!(received(&mesh.far, "carrick-ho"), 2 * ROUNDS);

    // The far end moves the source addresses, and accepts both.
    let near_key = &public_keys(&mesh.far)[0];
    let nets = format!("{}/32,{}/128,10.42.1.0/24,fd42:1::/64", NEAR.0, NEAR.1);
    mesh.far.command("wg", &["set", "carrick0", "peer", near_key, "allowed-ips", &nets], "");
    mesh.send_full_size();
    assert_eq!(received(&mesh.far, "carrick-ho"), 4 * ROUNDS);
    mesh.near.run(|| mesh.encapsulating.apply(&plan_of(NEAR, None)).unwrap());
    mesh.send_full_size();
    assert_eq!(received(&mesh.far, "carrick-ho"), 4 * ROUNDS, "plain again");
}
