//! A host in the network of a location, and a pod, send probes and answers in the name of nodes: packets that they made, and copies of
//! packets that they recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use carrick_lab::address::Family;
use carrick_lab::capture::Capture;
use carrick_lab::{network, wait};
use carrick_topology::constants::PROBE_PORT;
use serde_json::Value;

use crate::frames::{Mac, udp_with};
use crate::injection::dropped;
use crate::mesh::Mesh;
use crate::probe_wire::{Kind, Packet, ProbeId, Wire, forged};
use crate::spoofing::{gateway_mac, mac_of, send_frames};

const NODES: [&str; 4] = ["a1", "a2", "a3", "b1"];
/// The gateway that the packets are about.
const GATEWAY: &str = "a1";
/// The nodes that probe it inside its location.
const INSIDE: [&str; 2] = ["a2", "a3"];
/// Packets a second.
const RATE: u32 = 1_000;
/// The token of forged probes.
const TOKEN: [u8; 8] = [0xf0; 8];
/// What the sender of an answer hears: peers in tunnels and inside, or none.
const HEARS_ALL: u8 = 0b0101;
const HEARS_NONE: u8 = 0b1010;

/// Two locations. The gateway `a1` has a standby gateway.
fn up(families: &str) -> Mesh {
    let mesh = Mesh::up(&format!(
        "
locations:
  - {{name: a, families: {families}, nodes: [{{name: a1}}, {{name: a2}}, {{name: a3}}]}}
  - {{name: b, nodes: [{{name: b1}}]}}
"
    ));
    mesh.all_reach();
    await_answers(&mesh, &NODES, 5);
    mesh
}

fn paths(mesh: &Mesh, node: &str) -> Vec<Value> {
    mesh.status(node)["paths"].as_array().cloned().unwrap_or_default()
}

fn numbers(mesh: &Mesh, node: &str, field: &str) -> Vec<u64> {
    paths(mesh, node).iter().map(|path| path[field].as_u64().unwrap()).collect()
}

/// Waits until each path of these nodes has answered so many more probes.
fn await_answers(mesh: &Mesh, nodes: &[&str], more: u64) {
    for node in nodes {
        let before = numbers(mesh, node, "answered");
        wait::until(&format!("{more} answers to {node}"), || {
            let now = numbers(mesh, node, "answered");
            Ok((now.iter().zip(&before).all(|(now, before)| *now >= before + more) && !now.is_empty()).then_some(()))
        })
        .unwrap();
    }
}

fn restart_agent(mesh: &Mesh, node: &str) {
    mesh.node(node).unwrap().kill_agent().unwrap();
    mesh.node(node).unwrap().start_agent().unwrap();
    mesh.node(node).unwrap().await_agent().unwrap();
}

/// Waits until these nodes find the gateway down: a matter of a second, also on a busy machine.
fn await_gateway_down(mesh: &Mesh, nodes: &[&str]) {
    let began = Instant::now();
    for node in nodes {
        wait::until(&format!("{node} to find the gateway down"), || {
            assert!(began.elapsed() < Duration::from_secs(30), "{node} does not find the gateway down");
            Ok((mesh.status(node)["liveness"]["down"] == serde_json::json!([GATEWAY])).then_some(()))
        })
        .unwrap();
    }
}

fn assert_no_gateway_moved(mesh: &Mesh) {
    for node in NODES {
        assert_eq!(mesh.status(node)["liveness"]["down"], serde_json::json!([]), "{node}");
        assert_eq!(mesh.logged(node, "gateway_down"), [""; 0], "{node}");
    }
}

fn mac(mesh: &Mesh, node: &str) -> Mac {
    mac_of(&mesh.node_namespaces(node), "eth0")
}

/// The gateway takes no packet that another node of its location sent.
fn cut_off_inside(mesh: &Mesh) {
    let words = INSIDE.map(|node| mac(mesh, node).map(|byte| format!("{byte:02x}")).join(":"));
    let rule = format!("iifname eth0 ether saddr {{ {} }} drop", words.join(", "));
    let table =
        format!("table inet cut {{ chain arriving {{ type filter hook prerouting priority -400; {rule}; }}; }}");
    network::nft(&mesh.node_namespaces(GATEWAY), &table).unwrap();
}

fn internal_address(mesh: &Mesh, node: &str) -> IpAddr {
    let internal = mesh.node(node).unwrap().layout().internal;
    internal.of(Family::V4).or(internal.of(Family::V6)).unwrap()
}

fn mesh_addresses(mesh: &Mesh, node: &str) -> Vec<IpAddr> {
    let node = mesh.kubernetes().node(node).unwrap();
    let addresses = node["metadata"]["annotations"]["carrick.dev/mesh-addresses"].as_str().unwrap();
    addresses.split(',').map(|address| address.trim().parse().unwrap()).collect()
}

fn forged_probe(source: IpAddr, destination: IpAddr) -> Packet {
    Packet { source, destination, payload: forged(Kind::Probe, 0, ProbeId { token: TOKEN, sequence: [0x10; 8] }) }
}

/// Probes with a wrong MAC to the gateway, in the name of each other node, to internal and mesh addresses.
fn forged_probes(mesh: &Mesh) -> Vec<Packet> {
    let own = mesh_addresses(mesh, GATEWAY);
    let mut packets = Vec::new();
    for node in INSIDE {
        packets.push(forged_probe(internal_address(mesh, node), internal_address(mesh, GATEWAY)));
    }
    for node in ["a2", "b1"] {
        for source in mesh_addresses(mesh, node) {
            let to = own.iter().find(|address| address.is_ipv4() == source.is_ipv4()).unwrap();
            packets.push(forged_probe(source, *to));
        }
    }
    packets
}

/// A filter (pcap-filter(7)) for packets of the gateway that have the token of forged probes.
fn answers_to_forged(mesh: &Mesh) -> String {
    let own = [internal_address(mesh, GATEWAY)].into_iter().chain(mesh_addresses(mesh, GATEWAY));
    let own: Vec<_> = own.map(|address| format!("src host {address}")).collect();
    format!("(udp[16:4] = 0xf0f0f0f0 or ip6[56:4] = 0xf0f0f0f0) and ({})", own.join(" or "))
}

/// The host that attacks: the router of the location, which sees all packets of the gateway.
struct Host {
    wire: Wire,
    macs: BTreeMap<IpAddr, Mac>,
    gateway: IpAddr,
    /// What it sends again and again.
    packets: Mutex<Vec<Packet>>,
    /// What it answers in the name of the gateway to each probe that it sees.
    answers: Option<u8>,
    /// What it has read of other senders.
    recorded: Mutex<Vec<Packet>>,
    /// How many answers of the gateway it has seen to each probe.
    answered: Mutex<BTreeMap<ProbeId, usize>>,
    sent: AtomicUsize,
}

impl Host {
    fn new(mesh: &Mesh, packets: Vec<Packet>, answers: Option<u8>) -> Self {
        let site = mesh.site("a").unwrap();
        let wire = Wire::open(site.router(), GATEWAY, &site.layout().lans[0].bridge);
        let mut macs: BTreeMap<_, _> =
            ["a1", "a2", "a3"].map(|node| (internal_address(mesh, node), mac(mesh, node))).into();
        macs.extend(mesh_addresses(mesh, GATEWAY).into_iter().map(|address| (address, mac(mesh, GATEWAY))));
        Self {
            wire,
            macs,
            gateway: internal_address(mesh, GATEWAY),
            packets: Mutex::new(packets),
            answers,
            recorded: Mutex::default(),
            answered: Mutex::default(),
            sent: AtomicUsize::new(0),
        }
    }

    fn send(&self, packet: &Packet) {
        self.wire.send(self.macs[&packet.destination], packet);
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Attacks while the work lasts.
    fn attack_during(&self, work: impl FnOnce()) {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| self.flood(&is_over));
            scope.spawn(|| self.listen(&is_over));
            // The threads end when this one fails, too.
            let _over = Over(&is_over);
            work();
        });
    }

    fn flood(&self, is_over: &AtomicBool) {
        let began = Instant::now();
        for number in 1.. {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            let packets = self.packets.lock().unwrap();
            let next = packets.get(usize::try_from(number).unwrap() % packets.len().max(1)).cloned();
            drop(packets);
            if let Some(packet) = next {
                self.send(&packet);
            }
            std::thread::sleep((Duration::from_secs(1) * number / RATE).saturating_sub(began.elapsed()));
        }
    }

    fn listen(&self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let Some(packet) = self.wire.next(Duration::from_millis(50)) else { continue };
            match packet.kind() {
                Kind::Probe if packet.destination == self.gateway && packet.id().token != TOKEN => {
                    if let Some(heard) = self.answers {
                        let payload = forged(Kind::Answer, heard, packet.id());
                        self.send(&Packet { source: self.gateway, destination: packet.source, payload });
                    }
                }
                Kind::Answer if packet.source == self.gateway => {
                    *self.answered.lock().unwrap().entry(packet.id()).or_default() += 1;
                }
                Kind::Probe | Kind::Answer => {}
            }
            let is_copied = self.packets.lock().unwrap().iter().any(|sent| sent.payload == packet.payload);
            if self.macs.contains_key(&packet.destination) && packet.id().token != TOKEN && !is_copied {
                self.recorded.lock().unwrap().push(packet);
            }
        }
    }

    /// Records so many packets that pass, and sends copies of them from now on.
    fn copy(&self, count: usize) {
        self.recorded.lock().unwrap().clear();
        wait::until("recorded packets", || Ok((self.recorded.lock().unwrap().len() >= count).then_some(()))).unwrap();
        let recorded = std::mem::take(&mut *self.recorded.lock().unwrap());
        let is_there = |kind, to_gateway| {
            recorded.iter().any(|packet| packet.kind() == kind && (packet.destination == self.gateway) == to_gateway)
        };
        for kind in [Kind::Probe, Kind::Answer] {
            assert!(is_there(kind, true) && is_there(kind, false), "{kind:?}");
        }
        self.packets.lock().unwrap().extend(recorded);
    }

    /// Waits until it has sent so many more packets.
    fn await_sent(&self, more: usize) {
        let before = self.sent.load(Ordering::Relaxed);
        wait::until("sent packets", || Ok((self.sent.load(Ordering::Relaxed) >= before + more).then_some(()))).unwrap();
    }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The packets with a wrong code that the gateway has refused.
fn refused(mesh: &Mesh) -> f64 {
    mesh.metric(GATEWAY, r#"carrick_probe_packets_refused_total{reason="wrong-code"}"#).unwrap_or(0.0)
}

fn forged_packets_change_nothing(families: &str) {
    let mesh = up(families);
    let host = Host::new(&mesh, forged_probes(&mesh), Some(HEARS_NONE));
    let capture = Capture::start(&mesh.node_namespaces(GATEWAY), "any", &answers_to_forged(&mesh)).unwrap();
    assert!(refused(&mesh) < 100.0, "{}", refused(&mesh));
    host.attack_during(|| {
        let count = |field| NODES.map(|node| numbers(&mesh, node, field).iter().sum::<u64>()).iter().sum::<u64>();
        let (sent, answered) = (count("sent"), count("answered"));
        await_answers(&mesh, &NODES, 40);
        let (sent, answered) = (count("sent") - sent, count("answered") - answered);
        // A busy machine loses some. A forger that uses up the answers to a node lets nearly all be lost.
        assert!(answered * 2 > sent, "{answered} of {sent} probes are answered");
        assert!(refused(&mesh) > 1_000.0, "{}", refused(&mesh));
        restart_agent(&mesh, "a3");
        restart_agent(&mesh, GATEWAY);
        await_answers(&mesh, &NODES, 20);
    });
    assert!(host.sent.into_inner() > 2_000);
    let answers = capture.stop().unwrap();
    let ways: BTreeSet<_> = answers
        .iter()
        .filter_map(|answer| answer.split_once(" IP")?.1.split_once(": UDP"))
        .map(|(way, _)| way)
        .collect();
    assert!(answers.is_empty(), "{} answers: {ways:#?}", answers.len());
    assert_no_gateway_moved(&mesh);
    for node in NODES {
        assert!(paths(&mesh, node).iter().all(|path| path["state"] == "up"), "{node}: {:#?}", paths(&mesh, node));
    }
}

fn forged_packets_do_not_hide_a_failure(families: &str) {
    let mesh = up(families);
    let host = Host::new(&mesh, forged_probes(&mesh), Some(HEARS_ALL));
    host.attack_during(|| {
        cut_off_inside(&mesh);
        await_gateway_down(&mesh, &["a2", "a3", "b1"]);
    });
}

fn copies_change_nothing(families: &str) {
    let mesh = up(families);
    let host = Host::new(&mesh, Vec::new(), None);
    host.attack_during(|| {
        host.copy(100);
        host.await_sent(2_000);
        await_answers(&mesh, &NODES, 10);
        let answered = std::mem::take(&mut *host.answered.lock().unwrap());
        let twice = answered.values().filter(|answers| **answers > 1).count();
        assert!(answered.len() > 20 && twice == 0, "{twice} of {} probes are answered twice", answered.len());
        assert_no_gateway_moved(&mesh);

        // Copies from before a start of the agents that probe, and of the agent that is probed.
        INSIDE.iter().for_each(|node| restart_agent(&mesh, node));
        await_answers(&mesh, &INSIDE, 5);
        host.copy(100);
        restart_agent(&mesh, GATEWAY);
        await_answers(&mesh, &NODES, 10);
        assert_no_gateway_moved(&mesh);
        cut_off_inside(&mesh);
        await_gateway_down(&mesh, &["a2", "a3", "b1"]);
    });
}

#[test]
fn forged_packets_of_a_host_change_nothing_over_ipv4() {
    forged_packets_change_nothing("v4");
}

#[test]
fn forged_packets_of_a_host_change_nothing_over_ipv6() {
    forged_packets_change_nothing("v6");
}

#[test]
fn forged_packets_of_a_host_do_not_hide_a_failure_over_ipv4() {
    forged_packets_do_not_hide_a_failure("v4");
}

#[test]
fn forged_packets_of_a_host_do_not_hide_a_failure_over_ipv6() {
    forged_packets_do_not_hide_a_failure("v6");
}

#[test]
fn copies_of_recorded_packets_change_nothing_over_ipv4() {
    copies_change_nothing("v4");
}

#[test]
fn copies_of_recorded_packets_change_nothing_over_ipv6() {
    copies_change_nothing("v6");
}

#[test]
fn forged_packets_of_a_pod_reach_no_node() {
    const POD: &str = "a2-pod1";
    let mesh = up("dual");
    let pod = mesh.pod(POD).unwrap().namespaces();
    let (own, gateway) = (mac_of(pod, "eth0"), gateway_mac(pod));
    let mut frames = Vec::new();
    for family in Family::BOTH {
        let is_family = |address: &IpAddr| Family::of(address) == family;
        let forged_sources = [mesh.internal_address("a2", family), mesh.internal_address("b1", family)];
        let sources = [mesh.pod_address(POD, family)].into_iter().chain(forged_sources);
        let sources = sources.chain(mesh_addresses(&mesh, "b1").into_iter().filter(is_family));
        for source in sources {
            let nodes = ["a1", "a2", "b1"];
            let internal = nodes.map(|node| mesh.internal_address(node, family));
            let in_mesh = nodes.iter().flat_map(|node| mesh_addresses(&mesh, node)).filter(is_family);
            for to in internal.into_iter().chain(in_mesh) {
                let payload = forged_probe(source, to).payload;
                frames.push(("forged probe", udp_with(&payload, own, gateway, source, to, PROBE_PORT)));
            }
        }
    }
    let is_forged = "(udp[16:4] = 0xf0f0f0f0 or ip6[56:4] = 0xf0f0f0f0)";
    // On a node, the packets of the pod are to be seen on the pod's own device only.
    let elsewhere = ["a1", "a2", "b1"].map(|node| (mesh.node_namespaces(node), ["carrick0", "eth0"]));
    let captures: Vec<_> = elsewhere
        .iter()
        .flat_map(|(node, devices)| devices.map(|device| Capture::start(node, device, is_forged).unwrap()))
        .collect();
    let before = dropped(&mesh, "a2", "mesh port from a pod");
    // 24 of 96 frames have the source of the pod.
    let rounds = 20;
    for _ in 0..rounds {
        send_frames(pod, &frames);
    }
    await_answers(&mesh, &NODES, 10);
    let own_source = u64::try_from(rounds * frames.len() / 4).unwrap();
    let dropped = dropped(&mesh, "a2", "mesh port from a pod") - before;
    assert!(dropped >= own_source / 2, "{dropped} of {own_source} are counted");
    for capture in captures {
        assert_eq!(capture.stop().unwrap(), [""; 0]);
    }
    assert_no_gateway_moved(&mesh);
}
