//! The agent restores at once what another program deletes. Meanwhile no packet of the mesh leaves a node in clear.

use std::time::{Duration, Instant};

use carrick_lab::address::Family;
use carrick_lab::capture::{Capture, filter};
use carrick_lab::failure::wireguard_process;
use carrick_lab::flow::Flow;
use carrick_lab::namespace::Namespaces;
use carrick_lab::wait;
use nix::sys::signal::{Signal, kill};

use crate::kernel::held;
use crate::mesh::{CLOUDS, Mesh, is_cut_off, reaches};

/// Captures on the uplinks of all nodes and routers, and in the internet.
struct Uplinks(Vec<Capture>);

impl Uplinks {
    fn watch(mesh: &Mesh) -> Self {
        let mut captures = Vec::new();
        for node in mesh.nodes() {
            let capture = Capture::start(&node.namespaces().unwrap(), "eth0", &filter::clear_mesh());
            captures.push(capture.unwrap());
        }
        let allowed = [filter::wireguard(), filter::wireguard_unreachable(), filter::background()];
        let crossing = allowed.map(|filter| format!("not ({filter})")).join(" and ");
        captures.push(Capture::start(mesh.internet().namespaces(), "any", &crossing).unwrap());
        Self(captures)
    }

    fn saw_nothing(self) {
        for capture in self.0 {
            let mut packets = capture.stop().unwrap();
            // A gateway answers to the internal address of a node of its location, from which the node's own packets come.
            packets.retain(|packet| !packet.contains("ICMP6, destination unreachable"));
            assert!(packets.is_empty(), "{} packets in clear, the first: {:#?}", packets.len(), packets.first());
        }
    }
}

/// Traffic through the gateway `a1`, in both families and from behind it.
fn load(mesh: &Mesh) -> Vec<Flow> {
    let flow = |from: &str, to: &str, family| {
        let namespaces = mesh.pod(from).unwrap().namespaces();
        Flow::start(namespaces, mesh.pod_address(to, family), Duration::from_millis(2)).unwrap()
    };
    vec![
        flow("a1-pod1", "b1-pod1", Family::V4),
        flow("a2-pod1", "b2-pod1", Family::V6),
        flow("h1-pod1", "a1-pod1", Family::V4),
        flow("b1-pod1", "a2-pod1", Family::V4),
    ]
}

/// Runs an action on the gateway `a1` under load, and waits until the kernel's state is as before.
fn comes_back(mesh: &Mesh, what: &str, fault: impl FnOnce(&Namespaces)) {
    let node = mesh.node_namespaces("a1");
    let before = held(&node);
    let uplinks = Uplinks::watch(mesh);
    let flows = load(mesh);
    Flow::await_answers_of_all(&flows, 200).unwrap();
    fault(&node);
    let start = Instant::now();
    wait::until(what, || {
        mesh.node("a1").unwrap().check_agent()?;
        Ok((held(&node) == before).then_some(()))
    })
    .unwrap();
    let restored = start.elapsed();
    Flow::await_answers_of_all(&flows, 200).unwrap();
    let silence = longest_silence(flows);
    eprintln!("{what}: the kernel was as before after {restored:.0?}, the longest silence lasted {silence:.0?}");
    uplinks.saw_nothing();
}

/// Ends all pings at the same time, because each waits for late answers.
fn longest_silence(flows: Vec<Flow>) -> Duration {
    std::thread::scope(|scope| {
        let ended: Vec<_> = flows.into_iter().map(|flow| scope.spawn(|| flow.stop().unwrap())).collect();
        ended.into_iter().map(|report| report.join().unwrap().longest_silence).max().unwrap_or_default()
    })
}

fn run(command: &str) -> impl FnOnce(&Namespaces) {
    move |node| {
        node.exec(&["sh", "-ec", command]).unwrap();
    }
}

#[test]
fn a_deleted_wireguard_device_comes_back_and_nothing_leaks() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    comes_back(&mesh, "deleted carrick0", run("ip link delete carrick0"));
    mesh.all_reach();
}

#[test]
fn a_deleted_vxlan_device_comes_back_and_nothing_leaks() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    comes_back(&mesh, "deleted carrick-vx", run("ip link delete carrick-vx"));
    mesh.all_reach();
}

#[test]
fn every_other_loss_is_made_good_and_nothing_leaks() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    let losses = [
        "nft flush ruleset",
        "ip route flush table 1107; ip -6 route flush table 1107",
        "ip rule delete priority 1107; ip -6 rule delete priority 1107",
        "ip address flush dev carrick0",
        "ip address flush dev carrick-vx",
        "ip link set carrick0 down",
        "ip link set carrick-vx down",
        "bridge fdb show dev carrick-vx | while read mac rest; do bridge fdb delete $mac dev carrick-vx; done",
        "ip neighbour flush dev carrick-vx nud permanent; ip -6 neighbour flush dev carrick-vx nud permanent",
        "for peer in $(wg show carrick0 peers); do wg set carrick0 peer $peer remove; done",
    ];
    for loss in losses {
        comes_back(&mesh, loss, run(loss));
    }
    mesh.all_reach();
}

#[test]
fn a_killed_data_path_comes_back_and_nothing_leaks() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    await_sight(&mesh, "a1", "h1");
    comes_back(&mesh, "killed carrick userspace-wireguard", |node| {
        let killed = wireguard_process(node).unwrap();
        kill(killed, Signal::SIGKILL).unwrap();
        wait::until("another data path", || Ok(wireguard_process(node).ok().filter(|pid| *pid != killed))).unwrap();
    });
    mesh.all_reach();
}

/// Waits until the agent of `node` knows the endpoint from which the peer dials in.
fn await_sight(mesh: &Mesh, node: &str, peer: &str) {
    wait::until("the peer's endpoint in /status", || {
        let status = mesh.status(node);
        let planned = status["plan"]["wireguard"]["peers"].as_object().unwrap();
        let (key, _) = planned.iter().find(|(_, planned)| planned["identity"]["node"] == peer).unwrap();
        let seen = &status["peers"][key];
        Ok((seen["endpoint"].is_string() && seen["seconds_since_handshake"].is_u64()).then_some(()))
    })
    .unwrap();
}

#[test]
fn without_wireguard_locations_are_apart() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    let endpoints = mesh.all_endpoints();
    for node in mesh.nodes() {
        node.kill_agent().unwrap();
    }
    let uplinks = Uplinks::watch(&mesh);
    for node in mesh.nodes() {
        node.exec(&["ip", "link", "delete", "carrick0"]).unwrap();
    }
    std::thread::scope(|scope| {
        for from in &endpoints {
            for to in endpoints.iter().filter(|to| to.name != from.name) {
                for target in to.addresses.list() {
                    scope.spawn(move || {
                        let (one, other) = (&from.name, &to.name);
                        if from.location == to.location {
                            assert!(reaches(&from.namespaces, target), "{one} does not reach {other} ({target})");
                        } else {
                            assert!(is_cut_off(&from.namespaces, target), "{one} reaches {other} ({target})");
                        }
                    });
                }
            }
        }
    });
    uplinks.saw_nothing();
}

/// The kernel removes the IPv4 routes over a device that goes down without a notification, and a short interruption changes no plan. The
/// test restores the host's own routes, as the host's network manager does.
#[test]
fn routes_over_an_uplink_come_back_with_it() {
    let mesh = Mesh::up(PLAIN);
    let node = mesh.node_namespaces("a2");
    let before = held(&node);
    let over_uplink = ["ip", "-4", "route", "show", "table", "all", "proto", "107", "dev", "eth0"];
    assert_ne!(node.exec(&over_uplink).unwrap(), "");
    node.exec(&["sh", "-c", FLAP]).unwrap();
    assert_eq!(node.exec(&["cat", "/run/over-uplink"]).unwrap(), "");
    wait::until("the routes over eth0", || {
        mesh.node("a2").unwrap().check_agent()?;
        Ok((held(&node) == before).then_some(()))
    })
    .unwrap();
    mesh.all_endpoints_reach_each_other();
}

/// Nodes of a location reach each other's pods over their own network.
const PLAIN: &str = "
families: v4
agent: {encapsulation: cross-subnet}
locations:
  - {name: a, families: v4, nodes: [{name: a1}, {name: a2}]}
  - {name: b, families: v4, nodes: [{name: b1}]}
";
/// `ip route restore` returns an error for a route that exists, such as that of the connected subnet.
const FLAP: &str = "
ip route save table main > /run/routes
printf 'link set eth0 down\nroute show table all proto 107 dev eth0\nlink set eth0 up\n' | ip -4 -batch - > /run/over-uplink
ip route restore < /run/routes
true";
