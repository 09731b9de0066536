//! A host in the network of a location sends probes and answers in the name of nodes: packets that it made, and copies of packets that it
//! recorded.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use carrick_lab::address::Family;
use carrick_lab::failure::Failure;
use carrick_lab::namespace::Namespaces;
use carrick_lab::wait;
use carrick_topology::constants::PROBE_PORT;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket};
use serde_json::Value;

use crate::mesh::Mesh;

const CLOUDS: &str = "
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}, {name: a3}]}
  - {name: b, nodes: [{name: b1}]}
";
const OBSERVERS: [&str; 3] = ["a2", "a3", "b1"];
/// Packets a second.
const RATE: u32 = 1_000;
/// Headers of IPv4 and UDP, in bytes.
const HEADERS: usize = 20 + 8;
/// Where the packet of a version has its parts (`carrick-probe/src/packet.rs`).
const VERSION: usize = HEADERS + 4;
const KIND: usize = HEADERS + 5;
const FLAP_COUNT: usize = HEADERS + 7;
const SEQUENCE: std::ops::Range<usize> = HEADERS + 16..HEADERS + 24;
const V1_BYTES: usize = HEADERS + 28;

/// The IP packets of probes and answers that pass between these nodes and others, as the router of the location sees them.
fn record(mesh: &Mesh, node: &str, count: usize) -> Vec<Vec<u8>> {
    let mut tcpdump = Command::new("tcpdump");
    tcpdump.args([
        "-i",
        node,
        "-nn",
        "-U",
        "-w",
        "-",
        "-c",
        &count.to_string(),
        &format!("ip and udp port {PROBE_PORT}"),
    ]);
    let file = mesh.site("a").unwrap().router().output(&mut tcpdump).unwrap().stdout;
    let number = |bytes: &[u8]| usize::try_from(u32::from_le_bytes(bytes.try_into().unwrap())).unwrap();
    assert_eq!(number(&file[20..24]), 1, "Ethernet");
    let (mut packets, mut rest) = (Vec::new(), &file[24..]);
    while !rest.is_empty() {
        let length = number(&rest[8..12]);
        packets.push(rest[16 + 14..16 + length].to_vec());
        rest = &rest[16 + length..];
    }
    packets
}

fn source(packet: &[u8]) -> IpAddr {
    IpAddr::from(<[u8; 4]>::try_from(&packet[12..16]).unwrap())
}

fn destination(packet: &[u8]) -> Ipv4Addr {
    Ipv4Addr::from(<[u8; 4]>::try_from(&packet[16..20]).unwrap())
}

/// The same packet with other bytes after its headers. The kernel computes the checksum of the IP header, and UDP may go without one.
fn with_payload(packet: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut packet = packet.to_vec();
    change(&mut packet);
    let length = u16::try_from(packet.len()).unwrap();
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet[24..26].copy_from_slice(&(length - 20).to_be_bytes());
    packet[26..28].copy_from_slice(&[0, 0]);
    packet
}

/// What the host can make of a recorded packet without a key: the next sequence numbers, a high flap count, and no code at all.
fn forge(recorded: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut forged = Vec::new();
    for packet in recorded {
        let sequence = u64::from_be_bytes(packet[SEQUENCE].try_into().unwrap());
        for later in 1..=20 {
            forged.push(with_payload(packet, |bytes| {
                bytes[SEQUENCE].copy_from_slice(&(sequence + later).to_be_bytes());
                bytes[FLAP_COUNT] = 6;
            }));
            forged.push(with_payload(packet, |bytes| {
                bytes[SEQUENCE].copy_from_slice(&(sequence + later).to_be_bytes());
                bytes[VERSION] = 1;
                bytes.truncate(V1_BYTES);
            }));
        }
    }
    forged
}

/// Sends all of these again and again while the work lasts; gives how many were sent.
fn while_flooded(host: &Namespaces, packets: &[Vec<u8>], work: impl FnOnce()) -> usize {
    let (is_over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let flood = || {
                let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Raw)?;
                let began = Instant::now();
                for (number, packet) in (1..).zip(packets.iter().cycle()) {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let to = destination(packet).octets();
                    let to = SockaddrIn::new(to[0], to[1], to[2], to[3], 0);
                    // A full queue of a device drops one packet of many.
                    sent.fetch_add(
                        usize::from(sendto(raw.as_raw_fd(), packet, &to, MsgFlags::empty()).is_ok()),
                        Ordering::Relaxed,
                    );
                    std::thread::sleep((Duration::from_secs(1) * number / RATE).saturating_sub(began.elapsed()));
                }
                Ok(())
            };
            host.enter(flood).unwrap();
        });
        // The other thread ends when this one fails, too.
        let _over = Over(&is_over);
        work();
    });
    sent.into_inner()
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn paths(mesh: &Mesh, node: &str) -> Vec<Value> {
    mesh.status(node)["paths"].as_array().cloned().unwrap_or_default()
}

fn answered(mesh: &Mesh, node: &str) -> Vec<u64> {
    paths(mesh, node).iter().map(|path| path["answered"].as_u64().unwrap()).collect()
}

fn down(mesh: &Mesh, node: &str) -> Vec<String> {
    serde_json::from_value(mesh.status(node)["liveness"]["down"].clone()).unwrap()
}

/// Waits until each path of these nodes has answered so many more probes.
fn await_answers(mesh: &Mesh, nodes: &[&str], more: u64) {
    for node in nodes {
        let before = answered(mesh, node);
        wait::until(&format!("{more} answers to {node}"), || {
            Ok(answered(mesh, node).iter().zip(&before).all(|(now, before)| *now >= before + more).then_some(()))
        })
        .unwrap();
    }
}

fn restart_agent(mesh: &Mesh, node: &str) {
    mesh.node(node).unwrap().kill_agent().unwrap();
    mesh.node(node).unwrap().start_agent().unwrap();
    mesh.node(node).unwrap().await_agent().unwrap();
}

#[test]
fn a_host_in_the_network_of_a_location_cannot_speak_for_nodes() {
    let mut mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    await_answers(&mesh, &["a1", "a2", "a3", "b1"], 5);
    // Packets from before and after a start of an agent.
    let mut recorded = record(&mesh, "a1", 60);
    restart_agent(&mesh, "a3");
    await_answers(&mesh, &["a3"], 5);
    recorded.extend(record(&mesh, "a1", 60));
    let gateway = mesh.internal_address("a1", Family::V4);
    let (from_gateway, to_gateway): (Vec<_>, Vec<_>) =
        recorded.into_iter().filter(|packet| packet.len() >= V1_BYTES).partition(|packet| source(packet) == gateway);
    let is_probe = |packet: &&Vec<u8>| packet[KIND] == 1;
    for packets in [&from_gateway, &to_gateway] {
        let probes = packets.iter().filter(is_probe).count();
        assert!(probes > 10 && packets.len() - probes > 10, "{probes} of {}", packets.len());
    }
    let forged = [forge(&to_gateway), forge(&from_gateway), to_gateway, from_gateway.clone()].concat();

    let host = mesh.site("a").unwrap().router().clone();
    let sent = while_flooded(&host, &forged, || {
        await_answers(&mesh, &["a1", "a2", "a3", "b1"], 20);
        restart_agent(&mesh, "a3");
        restart_agent(&mesh, "a1");
        await_answers(&mesh, &["a1", "a2", "a3", "b1"], 20);
    });
    assert!(sent > 2_000, "{sent}");
    for node in ["a1", "a2", "a3", "b1"] {
        assert!(paths(&mesh, node).iter().all(|path| path["state"] == "up"), "{node}: {:#?}", paths(&mesh, node));
        assert_eq!(mesh.logged(node, "gateway_down"), [""; 0], "{node}");
    }

    // What the gateway sent before does not hide that it is cut off.
    while_flooded(&host, &from_gateway, || {
        Failure::CutOff.inject(&mut mesh, "a1").unwrap();
        for node in OBSERVERS {
            wait::until(&format!("{node} to find a1 down"), || Ok((down(&mesh, node) == ["a1"]).then_some(())))
                .unwrap();
        }
    });
    // And the location works on by its other gateway.
    let endpoints = mesh.pods_only().into_iter().filter(|endpoint| !endpoint.name.starts_with("a1"));
    crate::mesh::all_reach(&endpoints.collect::<Vec<_>>());
}
